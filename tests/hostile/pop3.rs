//! Hostile POP3 mailboxes.

use crate::peer::{Act, line, pour};
use crate::stage::{Case, Collect, many, play};

/// The steps without which the mailbox cannot be read.
const STEPS: &[&str] = &[
    "greeting", "CAPA", "USER", "PASS", "AUTH", "LIST", "UIDL", "TOP", "RETR",
];
/// The steps on which nothing depends.
const LATER: &[&str] = &["DELE", "QUIT"];

const MIB: usize = 1024 * 1024;

/// The mailbox cannot be read for what happens at this step.
fn at(what: &str, step: &'static str, act: Act) -> Case {
    let case = Case::new(format!("pop3 {step} {what}"), Collect::Pop3)
        .mailbox(step, act)
        .unseen();
    match step {
        "AUTH" => {
            let can = b"+OK\r\nSASL PLAIN\r\n.\r\n";
            case.mailbox("CAPA", Act::Say(can.to_vec()))
        }
        _ => case,
    }
}

/// The copy is seen whatever happens at this step.
fn later(what: &str, step: &'static str, act: Act) -> Case {
    Case::new(format!("pop3 {step} {what}"), Collect::Pop3)
        .mailbox(step, act)
        .key("mailbox.timeout", "2s")
}

/// Every step, the same at each.
fn each(what: &str, act: &Act) -> Vec<Case> {
    let needed = STEPS.iter().map(|step| at(what, step, act.clone()));
    let rest = LATER.iter().map(|step| later(what, step, act.clone()));
    needed.chain(rest).collect()
}

/// Every case that must end as written; those that do not yet are tests of their own, ignored with the reason.
pub(crate) fn cases() -> Vec<Case> {
    [
        a_hundred_thousand_new_messages_at_once(),
        a_mailbox_with_lists_without_an_end(),
        a_mailbox_that_says_one_byte_a_second(),
        a_mailbox_that_hangs_up(),
        a_mailbox_that_says_nul(),
        a_mailbox_with_a_line_of_300_mib(),
        a_mailbox_with_a_thousand_lines(),
        a_mailbox_that_answers_a_command_nobody_sent(),
        a_mailbox_with_no_tls_where_tls_is_due(),
    ]
    .concat()
}

fn a_mailbox_that_hangs_up() -> Vec<Case> {
    each("closed", &Act::Close)
}

fn a_mailbox_that_says_one_byte_a_second() -> Vec<Case> {
    each("dripped", &Act::Drip)
}

fn a_mailbox_that_says_nul() -> Vec<Case> {
    each("nul", &Act::Say(b"\0\0\0\0\r\n".to_vec()))
}

fn a_mailbox_with_a_line_of_300_mib() -> Vec<Case> {
    let mut cases = each("line", &line("+OK ", 300 * MIB));
    let second = |step| at("second line", step, line("+OK\r\n", 300 * MIB));
    cases.extend(["CAPA", "LIST", "UIDL", "TOP", "RETR"].map(second));
    cases
}

fn a_mailbox_with_lists_without_an_end() -> Vec<Case> {
    let endless = |step| {
        let lines = "1 abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n";
        at(
            "endless",
            step,
            pour("+OK\r\n", &lines.repeat(1000), 6_000, ""),
        )
        .key("mailbox.timeout", "300ms")
    };
    ["CAPA", "LIST", "UIDL", "TOP", "RETR"].map(endless).into()
}

#[test]
fn a_mailbox_with_lists_that_just_fit() {
    let short = || pour("+OK\r\n", &"1 1\r\n".repeat(1000), 1_500, ".\r\n");
    play(&[at("1,500,000 messages", "LIST", short())
        .mailbox("UIDL", short())
        .key("route.deadline", "20s")]);
}

#[test]
fn a_mailbox_that_asks_on_and_on() {
    play(&[at(
        "endless challenges",
        "AUTH",
        Act::Again(b"+ \r\n".to_vec()),
    )]);
}

fn a_mailbox_with_a_thousand_lines() -> Vec<Case> {
    let lines = pour("+OK\r\n", "X-NONSENSE of some kind\r\n", 1000, ".\r\n");
    vec![Case::new("pop3 CAPA 1000 lines", Collect::Pop3).mailbox("CAPA", lines)]
}

/// What it says to the next command comes before that command.
fn early(step: &'static str, words: &str) -> Case {
    at("early", step, Act::Also(words.into()))
}

fn a_mailbox_that_answers_a_command_nobody_sent() -> Vec<Case> {
    vec![early("greeting", "+OK\r\n.\r\n")]
}

#[test]
fn a_mailbox_that_answers_before_it_is_asked() {
    play(&[
        early("PASS", "+OK\r\n.\r\n+OK\r\n.\r\n+OK\r\n"),
        early("LIST", "+OK\r\n.\r\n+OK\r\n"),
    ]);
}

fn a_mailbox_with_no_tls_where_tls_is_due() -> Vec<Case> {
    let stls = |what, act| at(what, "STLS", act).key("mailbox.tls", "starttls");
    let implicit = |what, act| at(what, "connect", act).key("mailbox.tls", "implicit");
    let slow = || Act::Trickle(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03".repeat(10));
    vec![
        stls("garbage", Act::Garbage),
        stls("closed", Act::Close),
        stls("dripped", Act::Drip),
        stls("injection", Act::Also(b"+OK as if secured\r\n".to_vec()))
            .says("could be an injection"),
        implicit("garbage", Act::Garbage),
        implicit("plain text", Act::Honest),
        implicit("slow record", slow()),
        implicit("silent", Act::Hold(Vec::new())),
    ]
}

fn a_hundred_thousand_new_messages_at_once() -> Vec<Case> {
    vec![many(Collect::Pop3)]
}
