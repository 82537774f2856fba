//! `verp` and `plus_address`: the tag in the envelope, where it outlives what rewrites messages.

use mailrobin::probe::message::Carrier;
use mailrobin::probe::outcome::Outcome;

use crate::peer::Script;
use crate::stage::{Ran, Stage};

/// Nothing of ours is left in the message but what the envelope brings.
fn stripped(_: &str) -> String {
    "From: a@elsewhere.example\r\nTo: b@elsewhere.example\r\nSubject: hello\r\n\r\nHello.\r\n"
        .into()
}

fn play(route: &str, rewrite: fn(&str) -> String) -> (Ran, (String, String, String)) {
    let stage = Stage::set();
    let script = Script {
        rewrite,
        ..Script::default()
    };
    let peer = stage.peer(1, script);
    let keys = format!("host = \"{}\"", stage.ip(1));
    let ran = stage.check_with(&keys, route, None, &[]);
    let sent = peer.heard()[0].messages[0].clone();
    (ran, sent)
}

/// The header field as it was sent.
fn field(message: &str, name: &str) -> String {
    let (header, _) = message.split_once("\r\n\r\n").unwrap();
    let unfolded = header.replace("\r\n ", " ");
    let mut lines = unfolded.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
    value
        .unwrap_or_else(|| panic!("no {name} in {header}"))
        .to_owned()
}

#[test]
fn the_tag_is_in_the_envelope_and_the_message_keeps_the_bare_addresses() {
    for (verp, plus) in [(false, false), (true, false), (false, true), (true, true)] {
        let route = format!("verp = {verp}\nplus_address = {plus}");
        let (ran, (from, to, message)) = play(&route, str::to_owned);
        assert_eq!(ran.exit, Some(0), "{ran:#?}");
        let tag = field(&message, "X-Mailrobin-Tag");
        let wanted = |user, domain, is_tagged: bool| {
            let tag = if is_tagged {
                format!("+{tag}")
            } else {
                String::new()
            };
            format!("{user}{tag}@{domain}")
        };
        assert_eq!(from, wanted("probe", "lab.example", verp));
        assert_eq!(to, wanted("echo", "echo.example", plus));
        for (name, address) in [("From", "probe@lab.example"), ("To", "echo@echo.example")] {
            let value = field(&message, name);
            assert!(value.contains(address), "{name}: {value}");
            assert!(!value.contains(&tag), "{name}: {value}");
        }
        let carriers = &ran.only().evidence.carriers;
        assert_eq!(carriers.contains(&Carrier::Sender), verp, "{carriers:?}");
        assert_eq!(carriers.contains(&Carrier::Recipient), plus, "{carriers:?}");
    }
}

#[test]
fn a_copy_with_nothing_else_of_ours_is_known_by_its_envelope() {
    for (route, carrier) in [
        ("verp = true", Carrier::Sender),
        ("plus_address = true", Carrier::Recipient),
    ] {
        let (ran, _) = play(route, stripped);
        let probe = ran.only();
        assert_eq!(
            (ran.exit, probe.outcome),
            (Some(2), Outcome::Altered),
            "it has arrived, but what was sent is gone: {ran:#?}"
        );
        assert_eq!(probe.evidence.carriers, [carrier]);
        assert_eq!(probe.copies.len(), 1);
    }
}

#[test]
fn without_either_such_a_copy_is_not_known() {
    let (ran, _) = play("deadline = \"2s\"", stripped);
    assert_eq!(ran.only().outcome, Outcome::Missing, "{ran:#?}");
}

/// A gateway that puts a message off sees the same triplet again, or it would never be let through.
#[test]
fn the_envelope_stays_the_same_when_tried_again() {
    let stage = Stage::set();
    let grey = Script::default().saying("rcpt", &["451 4.7.1 later", "250 ok"]);
    let peer = stage.peer(1, grey);
    let keys = format!("host = \"{}\"", stage.ip(1));
    let route = "verp = true\nplus_address = true";
    let ran = stage.check_with(&keys, route, None, &[]);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    let heard: Vec<_> = peer
        .heard()
        .iter()
        .flat_map(crate::peer::Heard::lines)
        .collect();
    for verb in ["MAIL", "RCPT"] {
        let said: Vec<_> = heard.iter().filter(|line| line.starts_with(verb)).collect();
        assert_eq!(said.len(), 2, "{heard:#?}");
        assert_eq!(said[0], said[1]);
    }
}

/// That is what VERP is for: a bounce that quotes nothing still says whose it is.
#[test]
fn a_bounce_that_quotes_nothing_of_ours_is_known_by_the_address_it_came_to() {
    for (route, outcome) in [
        ("verp = true\ndeadline = \"3s\"", Outcome::Bounced),
        ("deadline = \"3s\"", Outcome::Missing),
    ] {
        let stage = Stage::with(&["bounce"]);
        let script = Script {
            rewrite: stripped,
            ..Script::default()
        };
        let _peer = stage.peer(1, script);
        let keys = format!("host = \"{}\"", stage.ip(1));
        let ran = stage.check_with(&keys, route, None, &[]);
        assert_eq!(ran.only().outcome, outcome, "{ran:#?}");
    }
}
