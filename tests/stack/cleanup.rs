//! What is left behind in the mailbox: our copies as the config says, and everybody else's mail as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::check::{Check, Report};
use crate::imap::Contents;
use crate::proxy::{Answer, Proxy};
use crate::servers::{Stack, own, shared};

/// A mailbox with some mail of others in it, whose contents are given.
fn with_foreign_mail(stack: &Stack) -> Contents {
    stack.run("foreign", &["3"]);
    let before = stack.imap().contents("INBOX");
    assert_eq!(before.len(), 3);
    before
}

fn five_with(stack: &Stack, cleanup: &str) -> Report {
    let check = stack.check().mailbox("cleanup", cleanup);
    let report = check.with("--count 5").run();
    report.passes();
    report
}

/// The UIDs of all copies.
fn uids(report: &Report) -> BTreeSet<u32> {
    let copies = report.probes().iter().map(|probe| &probe["copies"]);
    copies
        .flat_map(|copies| copies.as_array().unwrap())
        .map(|copy| u32::try_from(copy["uid"].as_u64().unwrap()).unwrap())
        .collect()
}

#[test]
fn delete_takes_away_our_copies_and_reports_and_nothing_else() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack);
    five_with(&stack, "delete");
    assert_eq!(stack.imap().contents("INBOX"), before);
    for (recipient, exit) in [("bounce", 2), ("junk", 2), ("twice", 1), ("newid", 0)] {
        let check = stack.check().to(&format!("{recipient}@example.test"));
        let report = check.with("--linger 3s").run();
        assert_eq!(report.exit, exit, "{report:?}");
        assert_eq!(stack.imap().contents("INBOX"), before, "{recipient}");
        assert_eq!(stack.imap().contents("Junk"), Contents::new());
    }
}

#[test]
fn seen_marks_our_copies_and_nothing_else() {
    let Some(stack) = own() else { return };
    let mut expected = with_foreign_mail(&stack);
    let report = five_with(&stack, "seen");
    for uid in uids(&report) {
        expected.insert(uid, vec!["\\Seen".into()]);
    }
    assert_eq!(stack.imap().contents("INBOX"), expected);
    assert_eq!(expected.len(), 8);
}

#[test]
fn keep_leaves_everything_as_it_is() {
    let Some(stack) = own() else { return };
    let mut expected = with_foreign_mail(&stack);
    let report = five_with(&stack, "keep");
    expected.extend(uids(&report).into_iter().map(|uid| (uid, Vec::new())));
    assert_eq!(stack.imap().contents("INBOX"), expected);
    assert_eq!(expected.len(), 8);
}

#[test]
fn move_takes_our_copies_to_the_folder() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack);
    five_with(&stack, "move:Trash");
    assert_eq!(stack.imap().contents("INBOX"), before);
    assert_eq!(stack.imap().contents("Trash").len(), 5);
}

#[test]
fn the_folder_to_move_to_is_created() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack);
    five_with(&stack, "move:Nowhere");
    assert_eq!(stack.imap().contents("INBOX"), before);
    assert_eq!(stack.imap().contents("Nowhere").len(), 5);
}

#[test]
fn what_cannot_be_moved_is_delivered_all_the_same() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack);
    // Dovecot has no folder of such a name, and creates none.
    five_with(&stack, "move:../Nowhere");
    let after = stack.imap().contents("INBOX");
    assert!(before.keys().all(|uid| after[uid].is_empty()));
    assert_eq!(after.len(), 8);
}

#[test]
fn a_clean_up_that_does_not_end_is_said() {
    let Some(stack) = own() else { return };
    let imap = Proxy::with(stack.port("IMAP"), |command| {
        command.starts_with("UID STORE").then_some(Answer::Silence)
    });
    let report = stack.check().imap_through(&imap).run();
    let probe = report.is(0, "delivered", "ok");
    let note = probe["evidence"]["cleanup"].as_str().unwrap_or_default();
    assert!(note.contains("was not over"), "{probe:#}");
    assert_eq!(stack.imap().contents("INBOX").len(), 1);
}

#[test]
fn two_checks_at_once_do_not_touch_each_others_probes() {
    let Some(stack) = shared() else { return };
    let proxies = [(); 2].map(|()| Proxy::recording(stack.port("IMAP")));
    let keeping = stack.check().mailbox("cleanup", "keep");
    let keeping = keeping.imap_through(&proxies[0]).with("--count 30").start();
    let deleting = stack.check().imap_through(&proxies[1]);
    let report = deleting.with("--count 30").run();
    let kept = keeping.finish();
    assert_eq!(report.passes().len(), 30);
    assert_eq!(kept.passes().len(), 30);
    let left = stack.imap().contents("INBOX");
    assert!(uids(&kept).iter().all(|uid| left[uid].is_empty()));
    assert!(!uids(&report).iter().any(|uid| left.contains_key(uid)));
    let instances: BTreeSet<_> = [&report, &kept]
        .map(|report| report.probes()[0]["instance"].to_string())
        .into();
    assert_eq!(instances.len(), 2);
    // A message that another removes before it was read is no reason to log in anew.
    for proxy in proxies {
        let commands = proxy.commands();
        let logins = commands
            .iter()
            .filter(|line| line.contains(" AUTHENTICATE "));
        assert_eq!(logins.count(), 1, "{commands:#?}");
    }
}

#[test]
fn leftovers_of_earlier_runs_are_swept_by_whom_they_belong_to() {
    let Some(stack) = own() else { return };
    let before = with_foreign_mail(&stack);
    // To whom nothing can be in flight for long. Its own probe is refused, so that no copy of it has to come in that time.
    let soon = |instance: &str| {
        let check = stack.check().signing("instance", instance);
        let check = check.route("deadline", "1s").route("defer_for", "100ms");
        let check = check.route("blind_grace", "100ms");
        check.to("reject@example.test")
    };
    let sweeps = |check: Check<'_>| {
        check.run().is(2, "rejected", "rejected");
    };
    let leave_one = |instance: &str| {
        let check = stack.check().signing("instance", instance);
        check.mailbox("cleanup", "keep").run().passes();
        // Until then it might be a probe in flight.
        std::thread::sleep(Duration::from_millis(2_500));
    };
    let left = || stack.imap().contents("INBOX").len() - before.len();
    leave_one("berlin");
    sweeps(soon("paris"));
    assert_eq!(left(), 1, "another instance's stays");
    sweeps(soon("berlin").mailbox("cleanup", "keep"));
    assert_eq!(left(), 1, "who keeps its copies sweeps none");
    sweeps(soon("berlin"));
    assert_eq!(left(), 0, "one's own goes");
    leave_one("berlin");
    stack.check().run().passes();
    assert_eq!(left(), 1, "an instance without a name has no leftovers");
    let foreign = || soon("paris").signing("sweep_foreign", "2s");
    let by_pop3 = || {
        let check = foreign().mailbox("protocol", "pop3");
        check.mailbox("port", stack.port("POP3"))
    };
    sweeps(by_pop3().route("deadline", "10m"));
    assert_eq!(left(), 1, "too young for the longer deadline");
    sweeps(foreign());
    assert_eq!(left(), 0, "another's goes when it is old enough");
    leave_one("berlin");
    sweeps(by_pop3());
    assert_eq!(left(), 0, "over POP3 as well");
    assert_eq!(stack.imap().contents("INBOX"), before);
}

#[test]
fn on_gmail_deleted_is_what_lies_in_the_trash() {
    let Some(stack) = own() else { return };
    let gmail = "* CAPABILITY IMAP4rev1 IDLE UIDPLUS MOVE SPECIAL-USE X-GM-EXT-1";
    let imap = Proxy::with(stack.port("IMAP"), move |command| {
        (command == "CAPABILITY").then_some(Answer::Says(gmail))
    });
    stack.check().imap_through(&imap).run().passes();
    assert_eq!(stack.imap().contents("INBOX"), Contents::new());
    assert_eq!(stack.imap().contents("Trash").len(), 1);
    let commands = imap.commands();
    assert!(
        !commands.iter().any(|line| line.contains("EXPUNGE")),
        "{commands:#?}"
    );
}
