//! `pipelining`: MAIL, RCPT and DATA in one go where the gateway offers it.

use mailrobin::probe::outcome::{Outcome, Phase};
use mailrobin::probe::record::Record;

use crate::peer::{Heard, Script};
use crate::stage::{Ran, Stage};

/// The verbs of each piece: what came at once stands together.
fn pieces(heard: &Heard) -> Vec<String> {
    let verbs = |piece: &String| {
        let verb = |line: &str| line.split([' ', ':']).next().unwrap_or_default().to_owned();
        piece.lines().map(verb).collect::<Vec<_>>().join(" ")
    };
    heard.pieces.iter().map(verbs).collect()
}

fn phases(probe: &Record) -> Vec<&str> {
    let phases = probe.phases.iter();
    phases.map(|phase| phase.name.as_str()).collect()
}

fn play(script: Script) -> (Ran, Vec<Heard>) {
    let stage = Stage::set();
    let peer = stage.peer(1, script);
    let keys = format!("host = \"{}\"\npipelining = true", stage.ip(1));
    (stage.check(&keys, None), peer.heard())
}

#[test]
fn three_commands_go_out_at_once() {
    let (ran, heard) = play(Script::default().with("PIPELINING"));
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(pieces(&heard[0]), ["EHLO", "MAIL RCPT DATA", "QUIT"]);
    let probe = ran.only();
    assert_eq!(probe.outcome, Outcome::Delivered);
    assert_eq!(
        phases(probe),
        [
            "dns", "connect", "banner", "ehlo", "mail", "data", "transit"
        ]
    );
    let sum: f64 = probe.phases.iter().map(|phase| phase.ms).sum();
    assert!(
        (sum - probe.round_trip_ms.unwrap()).abs() < 0.05,
        "{probe:#?}"
    );
}

#[test]
fn a_gateway_that_does_not_offer_it_is_asked_one_by_one() {
    let (ran, heard) = play(Script::default());
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(pieces(&heard[0]), ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]);
    assert!(phases(ran.only()).contains(&"rcpt"));
}

#[test]
fn without_the_key_they_go_one_by_one() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default().with("PIPELINING"));
    let ran = stage.check(&format!("host = \"{}\"", stage.ip(1)), None);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(
        pieces(&peer.heard()[0]),
        ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    );
}

/// A gateway that takes DATA though it refused the sender gets an empty message, which is no message.
#[test]
fn a_refused_sender_whose_data_is_taken_all_the_same_gets_a_lone_dot() {
    let refused = Script::default()
        .with("PIPELINING")
        .saying("mail", &["550 5.7.1 not you"])
        .saying("message", &["554 5.5.1 no recipients"]);
    let (ran, heard) = play(refused);
    let probe = ran.only();
    assert_eq!(
        (ran.exit, probe.outcome),
        (Some(2), Outcome::Rejected),
        "{ran:#?}"
    );
    assert_eq!(probe.attempts.len(), 1);
    assert_eq!(
        (probe.attempts[0].phase, probe.attempts[0].code),
        (Phase::Mail, Some(550))
    );
    assert!(probe.reason.contains("not you"), "{}", probe.reason);
    assert_eq!(
        pieces(&heard[0]),
        ["EHLO", "MAIL RCPT DATA", ".", "RSET", "QUIT"]
    );
    assert_eq!(heard[0].messages.len(), 0);
}

#[test]
fn a_refused_sender_whose_data_is_refused_too_gets_nothing_more() {
    let refused = Script::default()
        .with("PIPELINING")
        .saying("mail", &["550 5.7.1 not you"])
        .saying("rcpt", &["503 5.5.1 MAIL first"])
        .saying("data", &["503 5.5.1 RCPT first"]);
    let (ran, heard) = play(refused);
    let probe = ran.only();
    assert_eq!(
        (ran.exit, probe.outcome),
        (Some(2), Outcome::Rejected),
        "{ran:#?}"
    );
    assert_eq!(
        (probe.attempts[0].phase, probe.attempts[0].code),
        (Phase::Mail, Some(550))
    );
    assert_eq!(
        pieces(&heard[0]),
        ["EHLO", "MAIL RCPT DATA", "RSET", "QUIT"]
    );
}

#[test]
fn a_deferred_recipient_is_tried_again() {
    for data in ["503 5.5.1 no recipients", "354 go on"] {
        let grey = Script::default()
            .with("PIPELINING")
            .saying("rcpt", &["451 4.7.1 later", "250 ok"])
            .saying("data", &[data, "354 go on"]);
        let grey = match data {
            "354 go on" => grey.saying("message", &["554 5.5.1 no recipients", "250 ok"]),
            _ => grey,
        };
        let (ran, heard) = play(grey);
        let probe = ran.only();
        assert_eq!(
            (ran.exit, probe.outcome),
            (Some(0), Outcome::Delivered),
            "{ran:#?}"
        );
        let attempts: Vec<_> = probe
            .attempts
            .iter()
            .map(|attempt| (attempt.phase, attempt.code))
            .collect();
        assert_eq!(
            attempts,
            [(Phase::Rcpt, Some(451)), (Phase::Data, Some(250))]
        );
        assert!(probe.deferral_ms >= 400.0, "{probe:#?}");
        let messages: usize = heard.iter().map(|heard| heard.messages.len()).sum();
        assert_eq!(messages, 1);
    }
}

#[test]
fn a_refused_message_behind_pipelined_commands_is_refused_at_its_end() {
    let refused = Script::default()
        .with("PIPELINING")
        .saying("message", &["554 5.7.1 not this"]);
    let (ran, _) = play(refused);
    let probe = ran.only();
    assert_eq!(
        (ran.exit, probe.outcome),
        (Some(2), Outcome::Rejected),
        "{ran:#?}"
    );
    assert_eq!(
        (probe.attempts[0].phase, probe.attempts[0].code),
        (Phase::Data, Some(554))
    );
}
