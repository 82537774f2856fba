//! How many messages a session carries.

use crate::peer::Script;
use crate::stage::Stage;

#[test]
fn a_session_carries_ten_messages_at_most() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default());
    let keys = format!("host = \"{}\"\nconnections = 1", stage.ip(1));
    let ran = stage.check_with(&keys, "", None, &["--count", "25"]);
    assert_eq!(
        (ran.exit, ran.probes.len()),
        (Some(0), 25),
        "{}",
        ran.stderr
    );
    let heard = peer.heard();
    let carried: Vec<_> = heard.iter().map(|session| session.messages.len()).collect();
    assert_eq!(carried, [10, 10, 5]);
    for session in &heard {
        let lines = session.lines();
        assert_eq!(
            lines.first().map(String::as_str),
            Some("EHLO client.example")
        );
        assert_eq!(lines.last().map(String::as_str), Some("QUIT"));
    }
}

/// A refused message counts as well: it is what the session was tried for.
#[test]
fn refused_messages_count_too() {
    let stage = Stage::set();
    let refuses = Script::default().saying("rcpt", &["550 5.1.1 nobody"]);
    let peer = stage.peer(1, refuses);
    let keys = format!("host = \"{}\"\nconnections = 1", stage.ip(1));
    let ran = stage.check_with(&keys, "", None, &["--count", "12"]);
    assert_eq!(
        (ran.exit, ran.probes.len()),
        (Some(2), 12),
        "{}",
        ran.stderr
    );
    let tried: Vec<_> = peer
        .heard()
        .iter()
        .map(|session| {
            session
                .lines()
                .iter()
                .filter(|line| line.starts_with("MAIL"))
                .count()
        })
        .collect();
    assert_eq!(tried, [10, 2]);
}
