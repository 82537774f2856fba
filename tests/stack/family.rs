//! A second family of servers, Exim and Cyrus, so that one family's habits are not learned by heart: folders below
//! `INBOX.`, special uses in lower case, IDLE that polls, replies without enhanced codes and over several lines, reports
//! in other words.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::check::{Check, DEADLINE, Report, phases, reason_says, words};
use crate::imap::Contents;
use crate::proxy::Proxy;
use crate::round_trip::add_up;
use crate::servers::{FAMILY, Shared, Stack};

fn shared() -> Option<&'static Stack> {
    static SHARED: Shared = OnceLock::new();
    FAMILY.shared(&SHARED)
}

fn own() -> Option<Stack> {
    own_with(&[])
}

/// Servers of the caller's own, started with these arguments.
fn own_with(arguments: &[&str]) -> Option<Stack> {
    shared()?;
    Some(FAMILY.up(arguments).unwrap())
}

fn sent_to(stack: &Stack, recipient: &str) -> Report {
    stack.check().to(&format!("{recipient}@example.test")).run()
}

/// A check that reads this port by POP3.
fn pop3<'s>(stack: &'s Stack, service: &str, tls: &str) -> Check<'s> {
    let check = stack.check().mailbox("protocol", "pop3").trusting();
    check
        .mailbox("tls", tls)
        .mailbox("port", stack.port(service))
}

/// Mail of others, one read, one answered, one that somebody marked as deleted and that only a bare EXPUNGE would take.
fn with_foreign_mail(stack: &Stack, count: usize) -> Contents {
    stack.run("foreign", &[&count.to_string()]);
    let mut imap = stack.imap();
    for (uid, flag) in [(1, "\\Seen"), (2, "\\Answered"), (3, "\\Deleted")] {
        imap.flag("INBOX", uid, flag);
    }
    let before = imap.contents("INBOX");
    assert_eq!(before.len(), count);
    before
}

fn copy_uids(report: &Report) -> impl Iterator<Item = u32> {
    let copies = report
        .probes()
        .iter()
        .flat_map(|it| it["copies"].as_array().unwrap());
    copies.map(|copy| u32::try_from(copy["uid"].as_u64().unwrap()).unwrap())
}

#[test]
fn there_and_back_without_tls() {
    let Some(stack) = shared() else { return };
    let report = stack.check().run();
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(
        words(&probe["evidence"]["carriers"]),
        ["message-id", "header", "subject", "body"]
    );
    assert_eq!(probe["copies"][0]["folder"], "INBOX");
    add_up(probe);
    assert_eq!(report.stderr, "");
}

#[test]
fn over_tls_on_both_sides() {
    let Some(stack) = shared() else { return };
    let smtp = [("SUBMISSION", "starttls"), ("SMTPS", "implicit")];
    let imap = [("IMAP", "starttls"), ("IMAPS", "implicit")];
    for ((smtp, smtp_tls), (imap, imap_tls)) in smtp.into_iter().zip(imap) {
        for auth in ["plain", "login"] {
            let check = stack.check().trusting().logged_in().gateway("auth", auth);
            let check = check
                .gateway("tls", smtp_tls)
                .gateway("port", stack.port(smtp))
                .mailbox("tls", imap_tls)
                .mailbox("insecure_auth", false)
                .mailbox("port", stack.port(imap));
            let report = check.mailbox("auth", auth).run();
            let probe = report.is(0, "delivered", "ok");
            assert_eq!(probe["smtp"]["tls"], "TLSv1.3");
            assert_eq!(probe["evidence"]["vantage"], "authenticated");
            add_up(probe);
        }
    }
}

#[test]
fn over_pop3() {
    let Some(stack) = shared() else { return };
    for (service, tls) in [
        ("POP3", "none"),
        ("POP3", "starttls"),
        ("POP3S", "implicit"),
    ] {
        let report = pop3(stack, service, tls).run();
        let probe = report.is(0, "delivered", "ok");
        assert!(probe["copies"][0]["uidl"].is_string(), "{probe}");
    }
}

/// Exim delivers ten messages of a connection at once, and leaves the others to its queue runner.
#[test]
fn twenty_probes_over_one_kept_connection() {
    let Some(stack) = shared() else { return };
    let report = stack.check().with("--count 20 --concurrency 1").run();
    assert_eq!(report.passes().len(), 20);
}

/// As Exim is installed, its queue runner comes every half hour.
#[test]
fn no_connection_is_kept_for_more_messages_than_exim_delivers_at_once() {
    let Some(stack) = own_with(&["--queue-run", "30m"]) else {
        return;
    };
    let check = stack.check().route("deadline", "5s");
    let report = check.with("--count 20 --concurrency 2").run();
    assert_eq!(report.passes().len(), 20);
}

#[test]
fn many_at_once() {
    let Some(stack) = shared() else { return };
    let report = stack.check().with("--count 30").run();
    assert_eq!(report.passes().len(), 30);
}

#[test]
fn two_hundred_messages_of_others_stay_as_they_are() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack, 200);
    stack.check().with("--count 5").run().passes();
    assert_eq!(stack.imap().contents("INBOX"), before);
    pop3(&stack, "POP3", "none")
        .with("--count 5")
        .run()
        .passes();
    assert_eq!(stack.imap().contents("INBOX"), before);
}

#[test]
fn delete_takes_away_our_copies_and_reports_and_nothing_else() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack, 3);
    for (recipient, exit) in [
        ("echo", 0),
        ("bounce", 2),
        ("orphan", 2),
        ("junk", 2),
        ("twice", 1),
        ("bodyonly", 0),
    ] {
        let check = stack.check().to(&format!("{recipient}@example.test"));
        let report = check.with("--linger 2s").run();
        assert_eq!(report.exit, exit, "{report:?}");
        assert_eq!(stack.imap().contents("INBOX"), before, "{recipient}");
        let junk = stack.imap().contents(stack.get("JUNK_FOLDER"));
        assert_eq!(junk, Contents::new());
    }
}

#[test]
fn seen_marks_our_copies_and_nothing_else() {
    let Some(stack) = own() else { return };
    let mut expected = with_foreign_mail(&stack, 3);
    let check = stack.check().mailbox("cleanup", "seen");
    let report = check.with("--count 5").run();
    report.passes();
    for uid in copy_uids(&report) {
        expected.insert(uid, vec!["\\Seen".into()]);
    }
    assert_eq!(stack.imap().contents("INBOX"), expected);
    assert_eq!(expected.len(), 8);
}

#[test]
fn keep_leaves_everything_as_it_is() {
    let Some(stack) = own() else { return };
    let mut expected = with_foreign_mail(&stack, 3);
    let check = stack.check().mailbox("cleanup", "keep");
    let report = check.with("--count 5").run();
    report.passes();
    expected.extend(copy_uids(&report).map(|uid| (uid, Vec::new())));
    assert_eq!(stack.imap().contents("INBOX"), expected);
    assert_eq!(expected.len(), 8);
}

#[test]
fn move_takes_our_copies_to_the_folder() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack, 3);
    let trash = stack.get("TRASH_FOLDER");
    let check = stack.check().mailbox("cleanup", &*format!("move:{trash}"));
    check.with("--count 5").run().passes();
    assert_eq!(stack.imap().contents("INBOX"), before);
    assert_eq!(stack.imap().contents(trash).len(), 5);
}

/// Somebody used to another server leaves the prefix out.
#[test]
fn what_cannot_be_moved_is_delivered_all_the_same_and_said() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack, 3);
    let check = stack.check().mailbox("cleanup", "move:Trash");
    let report = check.run();
    report.passes();
    assert!(
        report.stderr.contains("Mailbox does not exist"),
        "{report:?}"
    );
    let after = stack.imap().contents("INBOX");
    assert!(before.iter().all(|(uid, flags)| after[uid] == *flags));
    assert_eq!(after.len(), 4);
}

#[test]
fn in_the_junk_folder_below_the_inbox_is_junked() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "junk");
    let probe = report.is(2, "junked", "junked");
    assert_eq!(probe["copies"][0]["folder"], "INBOX.Junk");
}

/// Without a prefix before the folders' names, with `/` between their levels, and with a junk folder of another name.
#[test]
fn without_a_prefix_the_junk_folder_is_known_by_its_use() {
    let Some(stack) = own_with(&["--altnamespace"]) else {
        return;
    };
    stack.check().run().is(0, "delivered", "ok");
    let report = sent_to(&stack, "junk");
    let probe = report.is(2, "junked", "junked");
    assert_eq!(probe["copies"][0]["folder"], "Quarantine");
    let check = stack.check().mailbox("cleanup", "move:Trash");
    check.run().is(0, "delivered", "ok");
    assert_eq!(stack.imap().contents("Trash").len(), 1);
}

#[test]
fn a_folder_without_its_prefix_is_named() {
    let Some(stack) = shared() else { return };
    let check = stack.check().mailbox("junk", "Junk");
    let check = check.route("deadline", "1s").route("blind_grace", "500ms");
    let report = check.run();
    let probe = report.is(3, "unseen", "mailbox-unreadable");
    reason_says(probe, "the folder Junk cannot be opened");
    reason_says(probe, "Mailbox does not exist");
}

#[test]
fn copies_are_found_in_every_watched_folder() {
    let Some(stack) = own() else { return };
    for (wire, name) in [
        ("INBOX.Lists", "INBOX.Lists"),
        ("INBOX.Entw&APw-rfe", "INBOX.Entwürfe"),
    ] {
        stack.imap().create(wire);
        let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
        let check = stack.check().smtp_through(&smtp).to("drop@example.test");
        let running = check.mailbox("folders", ["INBOX", name]).start();
        smtp.wait_for("OK id=");
        stack
            .imap()
            .append(wire, &smtp.accepted_messages().remove(0));
        let report = running.finish();
        let probe = report.is(0, "delivered", "ok");
        assert_eq!(probe["copies"][0]["folder"], name);
        assert!(stack.imap().contents(wire).is_empty());
    }
}

#[test]
fn a_folder_made_anew_is_read_from_its_begin() {
    let Some(stack) = own() else { return };
    let lists = "INBOX.Lists";
    stack.imap().create(lists);
    for _ in 0..5 {
        stack.imap().append(lists, b"Subject: old\r\n\r\nold\r\n");
    }
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("drop@example.test");
    let check = check.mailbox("folders", [lists]);
    let running = check.route("deadline", "8s").start();
    smtp.wait_for("OK id=");
    let mut imap = stack.imap();
    imap.delete(lists);
    imap.create(lists);
    let other = imap.append(lists, b"Subject: new\r\n\r\nnew\r\n");
    imap.append(lists, &smtp.accepted_messages().remove(0));
    running.finish().is(0, "delivered", "ok");
    assert_eq!(imap.contents(lists), [(other, Vec::new())].into());
}

#[test]
fn a_report_that_exim_writes_is_bounced() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "bounce");
    let probe = report.is(2, "bounced", "bounced");
    let bounce = &probe["evidence"]["bounce"];
    assert_eq!(bounce["action"], "failed");
    assert_eq!(bounce["status"], "5.0.0");
    assert_eq!(bounce["reporting_host"], "mx.example.test");
    assert_eq!(bounce["recipient"], "bounce@example.test");
}

#[test]
fn what_the_mailboxs_server_refuses_is_bounced() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "orphan");
    let probe = report.is(2, "bounced", "bounced");
    assert_eq!(
        probe["evidence"]["bounce"]["recipient"],
        "orphan@example.test"
    );
}

#[test]
fn what_the_next_server_refuses_is_bounced_in_its_words() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "farther");
    let probe = report.is(2, "bounced", "bounced");
    reason_says(probe, "550 relay not permitted");
}

/// Only what a next server said is in the report's fields; what Exim or an LMTP server said is in its text.
#[test]
fn a_report_without_a_diagnostic_is_told_in_the_words_of_its_text() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "bounce");
    let probe = report.is(2, "bounced", "bounced");
    reason_says(probe, "the mailbox is disabled");
    let report = sent_to(stack, "orphan");
    let probe = report.is(2, "bounced", "bounced");
    reason_says(probe, "Mailbox unknown");
}

#[test]
fn dropped_is_missing() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("drop@example.test");
    let report = check.route("deadline", "1s").run();
    reason_says(report.is(2, "missing", "missing"), "OK id=");
}

#[test]
fn unknown_is_rejected_without_an_enhanced_code() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "nobody");
    let probe = report.is(2, "rejected", "rejected");
    assert_eq!(probe["smtp"]["code"], 550);
    assert!(probe["smtp"]["enhanced"].is_null());
    assert_eq!(probe["attempts"][0]["phase"], "rcpt");
    reason_says(probe, "Unrouteable address");
}

#[test]
fn relaying_is_rejected() {
    let Some(stack) = shared() else { return };
    let report = stack.check().to("somebody@elsewhere.test").run();
    let probe = report.is(2, "rejected", "rejected");
    reason_says(probe, "relay not permitted");
}

#[test]
fn a_refusal_over_several_lines_is_told_whole() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "many");
    let probe = report.is(2, "rejected", "rejected");
    reason_says(probe, "this recipient is not welcome");
    reason_says(probe, "for more than one reason");
    reason_says(probe, "see https://example.test/why");
}

#[test]
fn refused_after_the_dot_is_rejected() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "bodyreject");
    let probe = report.is(2, "rejected", "rejected");
    assert_eq!(probe["attempts"][0]["phase"], "data");
    reason_says(probe, "This message scored 12.3 spam points.");
}

#[test]
fn put_off_for_too_long_is_deferred() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("tempfail@example.test");
    let report = check.route("defer_for", "2s").run();
    let probe = report.is(2, "deferred", "deferred");
    assert!(probe["attempts"].as_array().unwrap().len() >= 2);
    assert_eq!(probe["attempts"][0]["code"], 451);
    reason_says(probe, "the user database is away");
}

#[test]
fn greylisting_is_waited_out_and_timed_apart() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "grey1");
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(probe["attempts"][0]["code"], 451);
    assert_eq!(phases(probe)[0], "deferral");
    add_up(probe);
}

#[test]
fn slower_than_warn_after_is_a_warning() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay1@example.test");
    let report = check.route("warn_after", "500ms").run();
    report.is(1, "delivered", "slow");
}

/// Nobody tells Cyrus of new mail here, so that its IDLE says nothing for up to a minute.
#[test]
fn a_copy_that_takes_its_time_is_seen_soon_after_it_came() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "delay6");
    let probe = report.is(0, "delivered", "ok");
    // The last look is at the deadline.
    let took = Duration::from_secs_f64(probe["round_trip_ms"].as_f64().unwrap() / 1000.0);
    let soon = Duration::from_secs(6)..DEADLINE;
    assert!(soon.contains(&took), "{probe:#}");
}

#[test]
fn twice_is_a_warning() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("twice@example.test");
    let report = check.with("--linger 3s").run();
    let probe = report.is(1, "delivered", "duplicate");
    assert_eq!(probe["duplicates"], 1);
}

#[test]
fn a_second_copy_that_cyrus_suppresses_is_none() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("suppressed@example.test");
    let report = check.with("--linger 1s").run();
    report.is(0, "delivered", "ok");
}

#[test]
fn a_copy_that_lost_carriers_of_its_tag_is_known_by_the_others() {
    let Some(stack) = shared() else { return };
    for (recipient, carriers) in [
        ("nox", &["message-id", "subject", "body"][..]),
        ("newid", &["header", "subject", "body"]),
        ("bodyonly", &["body"]),
    ] {
        let report = sent_to(stack, recipient);
        let probe = report.is(0, "delivered", "ok");
        assert_eq!(words(&probe["evidence"]["carriers"]), carriers);
    }
}

#[test]
fn a_mark_in_the_header_is_tagged() {
    let Some(stack) = shared() else { return };
    sent_to(stack, "spamheader").is(2, "tagged", "tagged");
}

#[test]
fn a_wrong_smtp_password_is_unsent() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().logged_in();
    let check = check.gateway("tls", "starttls").gateway("password", "no");
    let report = check.gateway("port", stack.port("SUBMISSION")).run();
    let probe = report.is(2, "unsent", "auth-failed");
    assert_eq!(probe["smtp"]["code"], 535);
    assert_eq!(probe["attempts"].as_array().unwrap().len(), 1);
    reason_says(probe, "Incorrect authentication data");
}

#[test]
fn what_helps_is_said_without_enhanced_codes() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().logged_in();
    let check = check.gateway("tls", "starttls").gateway("password", "no");
    let report = check.gateway("port", stack.port("SUBMISSION")).run();
    reason_says(report.probe(), "check username and password");
    reason_says(sent_to(stack, "nobody").probe(), "check `to`");
    let report = stack.check().to("somebody@elsewhere.test").run();
    reason_says(report.probe(), "log in");
}

#[test]
fn no_login_is_offered_without_tls() {
    let Some(stack) = shared() else { return };
    let check = stack.check().logged_in().gateway("insecure_auth", true);
    check.run().is(2, "unsent", "auth-unavailable");
}

#[test]
fn a_wrong_mailbox_password_is_unseen_at_once() {
    let Some(stack) = shared() else { return };
    for auth in ["login", "plain"] {
        let check = stack.check().mailbox("password", "no");
        let report = check.mailbox("auth", auth).run();
        let probe = report.is(3, "unseen", "mailbox-refused");
        assert!(report.took < DEADLINE, "{:?}", report.took);
        reason_says(probe, "check username and password");
        let report = pop3(stack, "POP3", "none")
            .mailbox("password", "no")
            .mailbox("auth", auth)
            .run();
        reason_says(report.is(3, "unseen", "mailbox-refused"), "-ERR");
    }
}

#[test]
fn a_mailbox_that_is_away_all_the_time_is_unseen() {
    let Some(stack) = own() else { return };
    stack.run("cyrus-stop", &[]);
    let check = stack.check().route("deadline", "1s");
    let report = check.route("blind_grace", "500ms").run();
    let probe = report.is(3, "unseen", "mailbox-unreadable");
    assert!(probe["accepted_at"].is_string(), "{probe:#}");
    reason_says(probe, "nothing listens there");
}

#[test]
fn a_mailbox_that_comes_back_before_the_deadline_still_tells() {
    let Some(stack) = own() else { return };
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("delay1@example.test");
    let running = check.start();
    smtp.wait_for("OK id=");
    stack.run("cyrus-stop", &[]);
    stack.run("cyrus-start", &[]);
    running.finish().is(0, "delivered", "ok");
}

/// Cyrus locks no mailbox against a second POP3 session, and shows each the messages of its begin.
#[test]
fn another_pop3_session_is_no_hindrance() {
    let Some(stack) = own() else { return };
    let (user, password) = (stack.get("PROBE_USER"), stack.get("PROBE_PASSWORD"));
    let mut stream = TcpStream::connect(("127.0.0.1", stack.port("POP3"))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines.next();
    for command in [format!("USER {user}"), format!("PASS {password}")] {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        assert!(lines.next().unwrap().unwrap().starts_with("+OK"));
    }
    let holder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1500));
        stream.write_all(b"QUIT\r\n").unwrap();
    });
    let report = pop3(&stack, "POP3", "none").run();
    report.is(0, "delivered", "ok");
    assert!(report.took < DEADLINE, "{:?}", report.took);
    holder.join().unwrap();
}

#[test]
fn two_checks_at_once_do_not_touch_each_others_probes() {
    let Some(stack) = own() else { return };
    let keeping = stack.check().mailbox("cleanup", "keep");
    let keeping = keeping.with("--count 20").start();
    let report = stack.check().with("--count 20").run();
    let kept = keeping.finish();
    assert_eq!(report.passes().len(), 20);
    assert_eq!(kept.passes().len(), 20);
    let left = stack.imap().contents("INBOX");
    assert!(copy_uids(&kept).all(|uid| left[&uid].is_empty()));
    assert!(!copy_uids(&report).any(|uid| left.contains_key(&uid)));
}
