//! Messages that are traps: nested 50,000 deep, as the copy itself and beside it.

use std::fmt::Write as _;

use crate::peer::Wrap;
use crate::stage::{Case, Collect, play, unchanged};

const DEPTH: usize = 50_000;

/// Messages within messages.
fn messages() -> String {
    "Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH) + "Subject: at last\r\n\r\nthe end\r\n"
}

/// Multiparts within multiparts.
fn multiparts() -> String {
    let mut nested = String::new();
    for level in 0..DEPTH {
        write!(
            nested,
            "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
        )
        .unwrap();
    }
    nested + "\r\nthe end\r\n"
}

/// Messages within messages, encoded.
fn encoded() -> String {
    let inner = data_encoding::BASE64_MIME.encode(messages().as_bytes());
    format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}")
}

/// The copy's own header over another body.
fn under_header(message: &str, body: &str) -> String {
    let (header, _) = message.split_once("\r\n\r\n").unwrap();
    let kept: Vec<_> = header
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-"))
        .collect();
    format!("{}\r\n{body}", kept.join("\r\n"))
}

/// The payload stands first, the trap behind it.
fn intact(message: &str, trap: &str) -> String {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let both = format!(
        "Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n\r\n{body}\r\n--outer\r\n{trap}\r\n--outer--\r\n"
    );
    under_header(message, &both)
}

fn both(name: &str, copy: Wrap) -> Vec<Case> {
    [Collect::Imap, Collect::Pop3]
        .into_iter()
        .map(|collect| {
            let mut case = Case::new(format!("mime {name} {collect:?}"), collect);
            case.contents.copy = Some(copy);
            case
        })
        .collect()
}

/// Every case that must end as written; those that do not yet are tests of their own, ignored with the reason.
pub(crate) fn cases() -> Vec<Case> {
    [
        a_copy_with_a_trap_behind_its_payload_is_delivered(),
        a_copy_that_is_only_a_trap_is_altered(),
        a_strangers_trap_does_not_hide_the_copy(),
        a_tag_below_everything_is_not_found(),
        trace_fields_without_end_are_cut(),
    ]
    .concat()
}

fn a_copy_with_a_trap_behind_its_payload_is_delivered() -> Vec<Case> {
    let cases = [
        both("messages behind", |message| intact(message, &messages())),
        both("multiparts behind", |message| {
            intact(message, &multiparts())
        }),
    ];
    cases.concat()
}

fn a_copy_that_is_only_a_trap_is_altered() -> Vec<Case> {
    let cases = [
        both("messages alone", |message| {
            under_header(message, &messages())
        }),
        both("multiparts alone", |message| {
            under_header(message, &multiparts())
        }),
        both("encoded alone", |message| under_header(message, &encoded())),
        both("tag below", |message| {
            under_header(
                message,
                &("Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH) + message),
            )
        }),
    ];
    let cases: Vec<_> = cases
        .concat()
        .into_iter()
        .map(|case| case.ends(&["altered"], &["altered"]))
        .collect();
    cases
}

/// The copy with these lines at the end of its header.
fn traced(message: &str, lines: &str) -> String {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    format!("{header}\r\n{lines}\r\n{body}")
}

/// Ten thousand fields, their dates of every kind of wrong.
fn hops(message: &str, times: usize) -> String {
    let fields = "Received: from a.example by b.example with ESMTP; Fri, 27 Nov 2026 10:11:12 +0000\r\n\
                  Received: from \u{1}\u{7f} by ((((; ;;;;; 99 Foo -1 25:61:61 +9999 m=+\r\n\
                  Authentication-Results: a.example; dkim=pass (((\r\n";
    traced(message, &fields.repeat(times))
}

/// Fields of so many folded lines.
fn long_fields(message: &str, lines: usize) -> String {
    let long = "a very long name\r\n ".repeat(lines);
    let fields = format!(
        "Received: from {long} by {long}; {long}\r\nAuthentication-Results: {long}; {long}={long}\r\n"
    );
    traced(message, &fields)
}

/// What a mailbox gives whole; the scripted IMAP server gives no more than the begin.
fn trace_fields_without_end_are_cut() -> Vec<Case> {
    let case = |name: &str, collect, copy: Wrap| {
        let mut case = Case::new(format!("mime {name} {collect:?}"), collect);
        case.contents.copy = Some(copy);
        case
    };
    vec![
        case("10,000 trace fields", Collect::Pop3, |message| {
            hops(message, 3_400)
        }),
        case("2,000 trace fields", Collect::Imap, |message| {
            hops(message, 700)
        }),
        case("a megabyte of trace", Collect::Pop3, |message| {
            long_fields(message, 10_000)
        }),
        case("trace fields of 20 KB", Collect::Imap, |message| {
            long_fields(message, 1_000)
        }),
    ]
}

/// A copy that a mailbox may give whole.
fn large(name: &str, copy: Wrap) -> Case {
    let mut case = Case::new(format!("mime {name} Pop3"), Collect::Pop3);
    case.contents.copy = Some(copy);
    case.ends(&["altered"], &["altered"])
}

#[test]
fn a_large_copy_of_nothing_but_messages_takes_no_more_memory() {
    play(&[large("300,000 messages", |message| {
        under_header(
            message,
            &"Content-Type: message/rfc822\r\n\r\n".repeat(300_000),
        )
    })]);
}

#[test]
fn a_large_copy_of_nothing_but_parts_takes_no_more_memory() {
    play(&[large("a million parts", |message| {
        let parts = "--b\r\n\r\n".repeat(1_000_000);
        under_header(
            message,
            &format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}"),
        )
    })]);
}

fn a_tag_below_everything_is_not_found() -> Vec<Case> {
    let cases: Vec<_> = both("all below", |message| {
        "Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH) + message
    })
    .into_iter()
    .map(|case| case.ends(&["missing"], &["missing"]))
    .collect();
    cases
}

fn a_strangers_trap_does_not_hide_the_copy() -> Vec<Case> {
    let traps = [
        ("messages", messages as fn() -> String),
        ("multiparts", multiparts),
        ("encoded", encoded),
    ];
    let cases: Vec<_> = traps
        .into_iter()
        .flat_map(|(name, trap)| {
            let mut cases = both(&format!("beside {name}"), unchanged);
            for case in &mut cases {
                case.contents.beside = Some(trap);
            }
            cases
        })
        .collect();
    cases
}
