//! Mailbox servers that mean no harm and are not like most: how they open a session, take logins, name their junk folder,
//! warn and refuse.

use crate::peer::Act;
use crate::stage::{Case, Collect, play};

fn say(words: &str) -> Act {
    Act::Say(words.into())
}

fn imap(name: &str) -> Case {
    Case::new(format!("imap {name}"), Collect::Imap)
}

fn pop3(name: &str) -> Case {
    Case::new(format!("pop3 {name}"), Collect::Pop3)
}

/// An IMAP server that can do this.
fn can(name: &str, capabilities: &str) -> Case {
    let told = format!("* CAPABILITY IMAP4rev1 {capabilities}\r\n{{tag}} OK done\r\n");
    imap(name).mailbox("CAPABILITY", say(&told))
}

/// A POP3 server whose CAPA has these lines.
fn capa(name: &str, lines: &str) -> Case {
    let told = format!("+OK\r\n{lines}\r\n.\r\n");
    pop3(name).mailbox("CAPA", say(&told))
}

const NO: &str = "{tag} NO not here\r\n";

#[test]
fn some_servers_open_no_folder_before_id() {
    let strict = "{tag} NO SELECT Unsafe Login. Please contact kefu@188.com for help\r\n";
    let strict = || say(strict);
    let answered = |answer| {
        let answer = format!("{answer}\r\n{{tag}} OK ID done\r\n");
        can(&answer, "ID")
            .mailbox("SELECT UNIDENTIFIED", strict())
            .mailbox("ID", say(&answer))
    };
    play(&[
        answered("* ID (\"name\" \"Coremail Imap\" \"TransID\" NIL)"),
        answered("* ID NIL"),
        answered("* ID (odd"),
        can("ID refused", "ID").mailbox("ID", say("{tag} BAD what\r\n")),
        imap("ID not offered").mailbox("ID", Act::Close),
    ]);
}

#[test]
fn the_login_is_one_that_is_offered() {
    play(&[
        can("PLAIN alone", "LOGINDISABLED AUTH=PLAIN").mailbox("LOGIN", say(NO)),
        can("PLAIN beside LOGIN", "AUTH=PLAIN").mailbox("LOGIN", say(NO)),
        can("SASL LOGIN alone", "LOGINDISABLED AUTH=LOGIN").mailbox("LOGIN", say(NO)),
        can("the command", "AUTH=GSSAPI").mailbox("AUTHENTICATE", say(NO)),
        imap("CAPABILITY refused").mailbox("CAPABILITY", say("{tag} BAD what\r\n")),
        can("none", "LOGINDISABLED AUTH=GSSAPI")
            .ends(&["unseen"], &["mailbox-refused"])
            .says("(LOGINDISABLED)"),
        capa("SASL PLAIN alone", "SASL PLAIN").mailbox("USER", say("-ERR no\r\n")),
        capa("SASL LOGIN alone", "SASL LOGIN").mailbox("USER", say("-ERR no\r\n")),
        capa("USER", "SASL CRAM-MD5\r\nUSER").mailbox("AUTH", say("-ERR no\r\n")),
        pop3("no CAPA")
            .mailbox("CAPA", say("-ERR what\r\n"))
            .mailbox("AUTH", say("-ERR no\r\n")),
        capa("none", "SASL GSSAPI")
            .mailbox("USER", say("-ERR no\r\n"))
            .ends(&["unseen"], &["mailbox-refused"])
            .says("offers no login"),
    ]);
}

#[test]
fn a_session_may_be_logged_in_from_the_start() {
    let preauth = |name| {
        imap(name)
            .mailbox("greeting", say("* PREAUTH welcome back\r\n"))
            .mailbox("LOGIN", say("{tag} BAD you are in\r\n"))
    };
    play(&[
        preauth("PREAUTH"),
        preauth("PREAUTH without TLS")
            .key("mailbox.tls", "starttls")
            .unseen()
            .says("greets with PREAUTH"),
    ]);
}

/// A server with these folders beside INBOX, where what comes is filed in `folder`.
fn listed(name: &str, list: &str, folder: &'static str) -> Case {
    let told = format!("* LIST () \"/\" INBOX\r\n{list}\r\n{{tag}} OK done\r\n");
    let mut case = imap(name).mailbox("LIST", say(&told));
    case.contents.folder = folder;
    case
}

fn junked(case: Case) -> Case {
    case.ends(&["junked"], &["junked"])
}

#[test]
fn the_junk_folder_is_found_by_its_name() {
    let cases = [
        ("Junk Email", "/"),
        ("Junk E-Mail", "/"),
        ("Bulk", "/"),
        ("Bulk Mail", "/"),
        ("INBOX.Junk", "."),
        ("INBOX/Spam", "/"),
        ("[Gmail]/Spam", "/"),
        ("Courrier ind&AOk-sirable", "/"),
        ("&j,dg0TDhMPww6w-", "/"),
        ("&V4NXPpCuTvY-", "/"),
        ("INBOX.&BCEEPwQwBDw-", "."),
    ];
    let case = |(folder, delimiter): &(&'static str, &str)| {
        let list = format!("* LIST (\\HasNoChildren) \"{delimiter}\" \"{folder}\"");
        junked(listed(folder, &list, folder))
    };
    play(&cases.iter().map(case).collect::<Vec<_>>());
}

#[test]
fn the_attribute_is_asked_for_where_that_is_offered() {
    let marked = "* LIST (\\Junk) \"/\" Kram\r\n{tag} OK done\r\n";
    let mut asked = can("attributes on request", "SPECIAL-USE LIST-EXTENDED")
        .mailbox("LIST RETURN", say(marked))
        .mailbox("LIST", say("* LIST () \"/\" Kram\r\n{tag} OK done\r\n"));
    asked.contents.folder = "Kram";
    let mut refused = can("refused", "SPECIAL-USE LIST-EXTENDED")
        .mailbox("LIST RETURN", say("{tag} BAD what\r\n"))
        .mailbox("LIST", say(marked));
    refused.contents.folder = "Kram";
    play(&[junked(asked), junked(refused)]);
}

#[test]
fn a_junk_folder_that_cannot_be_watched_is_left_out() {
    let spaces = "* NAMESPACE ((\"\" \"/\")) ((\"Kollegen/\" \"/\")) NIL\r\n{tag} OK done\r\n";
    let closed = |case: Case| case.mailbox("SELECT OTHER", say("{tag} NO [NOPERM] keep out\r\n"));
    let junk = "* LIST (\\Junk) \"/\" Junk";
    let mut cases = vec![
        closed(listed(
            "Noselect",
            "* LIST (\\Junk \\Noselect) \"/\" Junk",
            "INBOX",
        )),
        closed(listed(
            "NonExistent",
            "* LIST (\\Junk \\NonExistent) \"/\" Junk",
            "INBOX",
        )),
        closed(listed(
            "of others",
            "* LIST (\\Junk) \"/\" shared/bob/Spam",
            "INBOX",
        )),
        closed(listed(
            "of colleagues",
            "* LIST (\\Junk) \"/\" Kollegen/eva/Junk",
            "INBOX",
        ))
        .mailbox(
            "CAPABILITY",
            say("* CAPABILITY IMAP4rev1 NAMESPACE\r\n{tag} OK done\r\n"),
        )
        .mailbox("NAMESPACE", say(spaces)),
        closed(listed("closed", junk, "INBOX")).says("the junk folder Junk cannot be opened"),
        closed(listed("named and closed", junk, "INBOX"))
            .key("mailbox.junk", "Junk")
            .unseen()
            .says("the folder Junk cannot be opened"),
        junked(listed(
            "ours and theirs",
            "* LIST (\\Junk) \"/\" \"Other Users/bob/Junk\"\r\n* LIST () \"/\" Spam",
            "Spam",
        )),
    ];
    let mut lost = closed(listed("closed and lost", junk, "INBOX"));
    lost.contents.copy = None;
    let lost = lost.ends(&["missing"], &["missing"]);
    cases.push(lost.says("no junk folder is watched, so it may also lie there"));
    play(&cases);
}

#[test]
fn a_warning_is_no_blindness() {
    let mut cases = Vec::new();
    for warning in [
        "* NO [ALERT] Mailbox is at 95% of quota\r\n",
        "* NO Mailbox is at 95% of quota\r\n",
    ] {
        let steps = ["LOGIN", "LIST", "SELECT", "NOOP", "HEADERS", "BODIES"];
        for step in steps {
            let case = imap(&format!("{step} {warning}"));
            let case = case.mailbox(step, Act::First(warning.into()));
            cases.push(case.says_once("Mailbox is at 95% of quota"));
        }
    }
    play(&cases);
}

#[test]
fn a_locked_maildrop_is_tried_again() {
    let locks = [
        "-ERR maildrop already locked",
        "-ERR [SYS/TEMP] try later",
        "-ERR unable to lock maildrop",
        "-ERR Your mailbox is in use by another session",
        "-ERR POP3 lock busy! Is another session active?",
        "-ERR fatal error",
    ];
    let locked =
        |words: &&str| pop3(words).mailbox("PASS", Act::Twice(format!("{words}\r\n").into_bytes()));
    let mut cases: Vec<_> = locks.iter().map(locked).collect();
    let wrong = "-ERR Password supplied for \"probe\" is incorrect.\r\n";
    cases.push(
        pop3("wrong password")
            .mailbox("PASS", say(wrong))
            .ends(&["unseen"], &["mailbox-refused"])
            .says("check username and password"),
    );
    play(&cases);
}

#[test]
fn an_empty_maildrop_may_refuse_to_be_listed() {
    let empty = |step| {
        let mut case = pop3(step).mailbox(step, say("-ERR no messages\r\n"));
        case.contents.copy = None;
        case.ends(&["missing"], &["missing"])
    };
    play(&[empty("LIST"), empty("UIDL")]);
}
