//! Hostile IMAP mailboxes.

use crate::peer::{Act, line, pour};
use crate::stage::{Case, Collect, many, play};

/// The steps without which the mailbox cannot be read.
const STEPS: &[&str] = &[
    "greeting",
    "LOGIN",
    "CAPABILITY",
    "LIST",
    "SELECT",
    "NOOP",
    "HEADERS",
    "BODIES",
    "LISTED",
    "STATUS",
    "AUTHENTICATE",
];
/// The steps on which nothing depends.
const LATER: &[&str] = &["IDLE", "DONE", "STORE", "EXPUNGE", "LOGOUT"];

const MIB: usize = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// The mailbox cannot be read for what happens at this step.
fn at(what: &str, step: &'static str, act: Act) -> Case {
    let case = Case::new(format!("imap {step} {what}"), Collect::Imap)
        .mailbox(step, act)
        .unseen();
    // Some steps are taken only after others.
    match step {
        "LISTED" => case.mailbox("BODIES", say("{tag} OK done\r\n")),
        "STATUS" => {
            let junk = "* LIST (\\Junk) \"/\" Junk\r\n{tag} OK done\r\n";
            let mut case = case.mailbox("LIST", say(junk));
            case.contents.copy = None;
            case
        }
        "AUTHENTICATE" => {
            let can = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done\r\n";
            case.mailbox("CAPABILITY", say(can))
        }
        _ => case,
    }
}

/// The copy is seen whatever happens at this step.
fn later(what: &str, step: &'static str, act: Act) -> Case {
    Case::new(format!("imap {step} {what}"), Collect::Imap)
        .mailbox(step, act)
        .key("mailbox.timeout", "2s")
}

/// Every step, the same at each.
fn each(what: &str, act: &Act) -> Vec<Case> {
    let needed = STEPS.iter().map(|step| at(what, step, act.clone()));
    let rest = LATER.iter().map(|step| later(what, step, act.clone()));
    needed.chain(rest).collect()
}

fn say(words: &str) -> Act {
    Act::Say(words.into())
}

/// Every case that must end as written; those that do not yet are tests of their own, ignored with the reason.
pub(crate) fn cases() -> Vec<Case> {
    [
        a_hundred_thousand_new_messages_at_once(),
        a_mailbox_with_a_literal_that_is_just_allowed(),
        a_mailbox_that_says_go_on_and_on(),
        a_mailbox_that_says_one_byte_a_second(),
        a_mailbox_that_hangs_up(),
        a_mailbox_that_says_nul(),
        a_mailbox_with_a_line_of_300_mib(),
        a_mailbox_with_a_literal_of_400_mb(),
        a_mailbox_that_tells_what_was_not_asked(),
        a_mailbox_that_answers_a_command_nobody_sent(),
        a_mailbox_that_has_answered_a_command_nobody_sent_yet_is_not_empty(),
        a_mailbox_that_withholds_what_it_lists(),
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
    each("nul", &say("\0\0\0\0\r\n"))
}

fn a_mailbox_with_a_line_of_300_mib() -> Vec<Case> {
    each("line", &line("* OK ", 300 * MIB))
}

fn a_mailbox_with_a_literal_of_400_mb() -> Vec<Case> {
    let sent = pour(
        "* 1 FETCH (UID 1 BODY[] {400000000}\r\n",
        &"a".repeat(4_000),
        100_000,
        ")\r\n{tag} OK done\r\n",
    );
    let mut cases = each("400 MB sent", &sent);
    let announced = Act::Hold(b"* 1 FETCH (UID 1 BODY[] {400000000}\r\n".to_vec());
    cases.extend(each("400 MB announced", &announced));
    let allowed = Act::Hold(b"* 1 FETCH (UID 1 BODY[] {30000000}\r\n".to_vec());
    cases.extend(each("30 MB announced", &allowed));
    cases
}

fn a_mailbox_with_a_literal_that_is_just_allowed() -> Vec<Case> {
    if cfg!(debug_assertions) {
        // Without optimisation a header of that size takes too long.
        return Vec::new();
    }
    let literal = |tail: &str| {
        pour(
            "* 1 FETCH (UID 1 BODY[HEADER]<0> {33554432}\r\n",
            &"a".repeat(CHUNK),
            32 * MIB / CHUNK,
            tail,
        )
    };
    vec![at("32 MiB", "HEADERS", literal(")\r\n{tag} BAD done\r\n"))]
}

#[test]
fn a_mailbox_with_a_literal_and_nonsense_behind_it() {
    let nonsense = pour(
        "* 1 FETCH (UID 1 BODY[HEADER]<0> {33554432}\r\n",
        &"a".repeat(CHUNK),
        32 * MIB / CHUNK,
        "]nonsense\r\n",
    );
    play(&[at("32 MiB and nonsense", "HEADERS", nonsense)]);
}

#[test]
fn a_mailbox_with_many_literals_in_one_response() {
    let literals = format!("BODY[1] {{{MIB}}}\r\n{} ", "a".repeat(MIB));
    play(&[at(
        "480 literals",
        "HEADERS",
        pour(
            "* 1 FETCH (UID 1 ",
            &literals,
            480,
            "UID 1)\r\n{tag} OK done\r\n",
        ),
    )]);
}

#[test]
fn a_mailbox_with_many_empty_literals_in_one_response() {
    play(&[at(
        "empty literals",
        "HEADERS",
        pour(
            "* 1 FETCH (UID 1 ",
            &"BODY[1] {0}\r\n ".repeat(1000),
            10_000,
            "UID 1)\r\n{tag} OK done\r\n",
        ),
    )]);
}

#[test]
fn a_mailbox_with_a_body_structure_nested_beyond_reason() {
    let nested = |opening: &str| {
        let brackets = opening.repeat(60_000 / opening.len());
        say(&format!("* 1 FETCH (UID 1 BODYSTRUCTURE {brackets}\r\n"))
    };
    play(&[
        at("nested multiparts", "HEADERS", nested("(")),
        at(
            "nested messages",
            "HEADERS",
            nested(
                "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 1 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ",
            ),
        ),
        at(
            "nested extensions",
            "HEADERS",
            say(&format!(
                "* 1 FETCH (UID 1 BODYSTRUCTURE (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 1 NIL NIL NIL NIL {}\r\n",
                "(".repeat(60_000)
            )),
        ),
    ]);
}

#[test]
fn a_mailbox_with_a_text_that_begins_in_the_middle_of_a_character() {
    let text = |code: &str| Act::Say([code.as_bytes(), b"\xe9 hello\r\n"].concat());
    let unasked = Act::First(b"* OK [ALERT]\xc3\xa9\r\n".to_vec());
    play(&[
        at("odd text", "greeting", text("* OK [ALERT]")).ends(&["delivered"], &["ok"]),
        at("odd text", "SELECT", text("* OK [UIDNEXT 2]")),
        at("odd text", "NOOP", unasked).ends(&["delivered"], &["ok"]),
    ]);
}

#[test]
fn a_mailbox_with_a_message_without_a_date() {
    let undated = say("* 1 FETCH (UID 1 INTERNALDATE NIL)\r\n{tag} OK done\r\n");
    play(&[at("no date", "HEADERS", undated).ends(&["delivered"], &["ok"])]);
}

fn a_mailbox_that_says_go_on_and_on() -> Vec<Case> {
    let continued = || Act::First("+ go on\r\n".repeat(1000).into());
    let mut cases: Vec<_> = ["CAPABILITY", "LIST", "SELECT", "NOOP", "STORE"]
        .iter()
        .map(|step| later("1000 continuations", step, continued()))
        .collect();
    cases.push(at(
        "endless challenges",
        "AUTHENTICATE",
        Act::Again(b"+ \r\n".to_vec()),
    ));
    cases.push(
        at(
            "endless continuations",
            "NOOP",
            pour("", &"+ go on\r\n".repeat(1000), 40_000, ""),
        )
        .key("mailbox.timeout", "300ms"),
    );
    cases.push(
        at(
            "endless untagged",
            "NOOP",
            pour("", &"* OK still here\r\n".repeat(1000), 40_000, ""),
        )
        .key("mailbox.timeout", "300ms"),
    );
    cases
}

fn a_mailbox_that_tells_what_was_not_asked() -> Vec<Case> {
    let news = "* 3 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* OK [ALERT] hello\r\n* 2 RECENT\r\n";
    let mut cases: Vec<_> = [
        "CAPABILITY",
        "LIST",
        "SELECT",
        "NOOP",
        "BODIES",
        "STORE",
        "LOGOUT",
    ]
    .iter()
    .map(|step| later("unasked news", step, Act::First(news.into())))
    .chain([later(
        "100,000 announced alone",
        "NOOP",
        Act::First(b"* 100000 EXISTS\r\n".to_vec()),
    )])
    .collect();
    let goodbye = |step| at("goodbye", step, Act::First(b"* BYE enough\r\n".to_vec()));
    cases.extend(["CAPABILITY", "LIST", "SELECT", "NOOP", "BODIES"].map(goodbye));
    cases
}

fn a_mailbox_that_answers_a_command_nobody_sent() -> Vec<Case> {
    let unknown = |step| later("unknown tag", step, Act::First(b"Z9 OK what\r\n".to_vec()));
    ["CAPABILITY", "LIST", "SELECT", "NOOP", "BODIES"]
        .map(unknown)
        .into()
}

/// What it says to the next command comes before that command.
fn early(step: &'static str) -> Case {
    at("early", step, Act::Also(b"{next} OK early\r\n".to_vec()))
}

fn a_mailbox_that_has_answered_a_command_nobody_sent_yet_is_not_empty() -> Vec<Case> {
    ["LOGIN", "SELECT"].map(early).into()
}

#[test]
fn a_mailbox_that_answers_before_it_is_asked() {
    play(&[early("NOOP")]);
}

fn a_mailbox_that_withholds_what_it_lists() -> Vec<Case> {
    let withheld = say("* 1 FETCH (UID 1)\r\n{tag} OK done\r\n");
    vec![
        at("withheld", "LISTED", withheld),
        at("refused", "BODIES", say("{tag} NO not today\r\n")),
        at("warned", "HEADERS", say("* NO broken\r\n{tag} OK done\r\n")),
    ]
}

fn a_mailbox_with_no_tls_where_tls_is_due() -> Vec<Case> {
    let starttls = |what, act| at(what, "STARTTLS", act).key("mailbox.tls", "starttls");
    let implicit = |what, act| at(what, "connect", act).key("mailbox.tls", "implicit");
    let injected = |words: &str| {
        let also = Act::Also(words.as_bytes().to_vec());
        starttls("injection", also).says("could be an injection")
    };
    let slow = || Act::Trickle(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03".repeat(10));
    vec![
        starttls("garbage", Act::Garbage),
        starttls("closed", Act::Close),
        starttls("dripped", Act::Drip),
        injected("* PREAUTH as if secured\r\n"),
        injected("* CAPABILITY IMAP4rev1 AUTH=PLAIN"),
        implicit("garbage", Act::Garbage),
        implicit("plain text", Act::Honest),
        implicit("slow record", slow()),
        implicit("silent", Act::Hold(Vec::new())),
    ]
}

fn a_hundred_thousand_new_messages_at_once() -> Vec<Case> {
    vec![many(Collect::Imap)]
}
