//! Hostile gateways.

use crate::peer::{Act, line, pour};
use crate::stage::{Case, Collect, play};

/// A step of a session, and the outcome and code of a message whose gateway does not answer properly there.
type Step = [&'static str; 3];

const STEPS: &[Step] = &[
    ["banner", "unsent", "greeting-failed"],
    ["ehlo", "unsent", "greeting-failed"],
    ["starttls", "unsent", "tls-failed"],
    ["auth", "unsent", "auth-failed"],
    ["mail", "deferred", "deferred"],
    ["rcpt", "deferred", "deferred"],
    ["data", "deferred", "deferred"],
    ["message", "missing", "reply-lost"],
];

const MIB: usize = 1024 * 1024;

/// A case in which `step` is reached, and ends as it must when that fails.
fn at(what: &str, step: Step, act: Act) -> Case {
    let [step, outcome, code] = step;
    let mut case = Case::new(format!("smtp {step} {what}"), Collect::Imap)
        .gateway(step, act)
        .ends(&[outcome], &[code]);
    case.contents.copy = None;
    match step {
        "starttls" => case.key("gateway.tls", "starttls"),
        "auth" => case
            .key("gateway.username", "probe")
            .key("gateway.password", "probe"),
        _ => case,
    }
}

/// Every case that must end as written; those that do not yet are tests of their own, ignored with the reason.
pub(crate) fn cases() -> Vec<Case> {
    [
        a_gateway_that_says_one_byte_a_second(),
        a_gateway_that_hangs_up(),
        a_gateway_with_a_line_of_300_mib(),
        a_gateway_that_says_nul(),
        a_gateway_that_asks_on_and_on(),
        a_gateway_with_many_lines(),
        a_gateway_with_no_tls_where_tls_is_due(),
        a_gateway_that_answers_after_the_end(),
        a_gateway_that_answers_before_it_is_asked(),
    ]
    .concat()
}

fn a_gateway_that_hangs_up() -> Vec<Case> {
    let mut cases: Vec<_> = STEPS
        .iter()
        .map(|step| at("closed", *step, Act::Close))
        .collect();
    cases.push(Case::new("smtp quit closed", Collect::Imap).gateway("quit", Act::Close));
    cases.push(refused("closed", Act::Close));
    cases
}

fn a_gateway_that_says_one_byte_a_second() -> Vec<Case> {
    let mut cases: Vec<_> = STEPS
        .iter()
        .map(|step| at("dripped", *step, Act::Drip))
        .collect();
    cases.push(Case::new("smtp quit dripped", Collect::Imap).gateway("quit", Act::Drip));
    cases.push(refused("dripped", Act::Drip));
    cases
}

fn a_gateway_with_a_line_of_300_mib() -> Vec<Case> {
    let endless = || line("250-", 300 * MIB);
    let mut cases: Vec<_> = STEPS
        .iter()
        .map(|step| at("line", *step, endless()))
        .collect();
    cases.push(refused("line", endless()));
    cases
}

fn a_gateway_that_asks_on_and_on() -> Vec<Case> {
    let auth = ["auth", "unsent", "auth-failed"];
    vec![at("challenges", auth, Act::Again(b"334 \r\n".to_vec()))]
}

fn a_gateway_that_says_nul() -> Vec<Case> {
    let nul = || Act::Say(b"\0\0\0\0\r\n".to_vec());
    let mut cases: Vec<_> = STEPS.iter().map(|step| at("nul", *step, nul())).collect();
    let inside = |step: &'static str, text: &[u8]| {
        Case::new(format!("smtp {step} nul inside"), Collect::Imap)
            .gateway(step, Act::Say(text.to_vec()))
    };
    cases.extend([
        inside("banner", b"220 a\0b\r\n"),
        inside("ehlo", b"250-a\0\r\n250-SIZE \0\r\n250 \0\r\n"),
        inside("message", b"250 2.0.0 \0\0\r\n"),
    ]);
    cases
}

fn a_gateway_with_many_lines() -> Vec<Case> {
    let mut cases: Vec<_> = STEPS
        .iter()
        .map(|step| {
            at(
                "endless lines",
                *step,
                pour("", "250-and more\r\n", 20 * MIB, ""),
            )
        })
        .collect();
    for (step, code) in [
        ("banner", 220),
        ("ehlo", 250),
        ("mail", 250),
        ("message", 250),
    ] {
        let lines = pour(
            "",
            &format!("{code}-more\r\n"),
            1000,
            &format!("{code} ok\r\n"),
        );
        cases
            .push(Case::new(format!("smtp {step} 1000 lines"), Collect::Imap).gateway(step, lines));
    }
    cases
}

fn a_gateway_with_no_tls_where_tls_is_due() -> Vec<Case> {
    let starttls = ["starttls", "unsent", "tls-failed"];
    let implicit = |what: &str, act: Act| {
        let mut case = at(what, ["connect", "unsent", "tls-failed"], act);
        case.keys.push(("gateway.tls", "implicit"));
        case
    };
    // A record that claims to be long, and comes slowly.
    let slow = || Act::Trickle(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03".repeat(10));
    vec![
        at("garbage", starttls, Act::Garbage),
        at(
            "injection",
            starttls,
            Act::Also(b"250 as if secured\r\n".to_vec()),
        ),
        implicit("garbage", Act::Garbage),
        implicit("plain text", Act::Honest),
        implicit("slow record", slow()),
        implicit("silent", Act::Hold(Vec::new())),
        implicit("closed", Act::Close),
    ]
}

fn a_gateway_that_answers_after_the_end() -> Vec<Case> {
    let unasked = || Act::Also(b"250 2.0.0 unasked\r\n421 4.3.2 and this\r\n".to_vec());
    vec![
        Case::new("smtp message unasked", Collect::Imap).gateway("message", unasked()),
        Case::new("smtp quit unasked", Collect::Imap).gateway("quit", unasked()),
    ]
}

/// What it says to the next command comes before that command.
fn early(step: &'static str, words: &str) -> Case {
    at("early", [step, "", ""], Act::Also(words.into())).ends(
        &["unsent", "deferred"],
        &["greeting-failed", "tls-failed", "auth-failed", "deferred"],
    )
}

fn a_gateway_that_answers_before_it_is_asked() -> Vec<Case> {
    vec![
        early("banner", "250 mx.example\r\n"),
        early("ehlo", "250 2.1.0 ok\r\n"),
        early("mail", "250 2.1.5 ok\r\n"),
    ]
}

#[test]
fn a_gateway_that_accepts_a_message_before_it_has_it() {
    play(&[
        early("rcpt", "354 go on\r\n250 2.0.0 queued\r\n"),
        early("data", "250 2.0.0 queued\r\n"),
    ]);
}

/// A refused recipient, and what follows RSET.
fn refused(what: &str, act: Act) -> Case {
    Case::new(format!("smtp rset {what}"), Collect::Imap)
        .gateway("rcpt", Act::Say(b"550 5.1.1 nobody\r\n".to_vec()))
        .gateway("rset", act)
        .ends(&["rejected"], &["rejected"])
}
