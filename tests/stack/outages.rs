//! Servers that are away: all the time, for a while, or just when the copy comes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::check::reason_says;
use crate::imap::Imap;
use crate::proxy::{Answer, Proxy};
use crate::servers::{Stack, own, shared};

#[test]
fn a_mailbox_that_is_away_all_the_time_is_unseen() {
    let Some(stack) = own() else { return };
    stack.run("dovecot-stop", &[]);
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
    smtp.wait_for("queued as");
    stack.run("dovecot-stop", &[]);
    stack.run("dovecot-start", &[]);
    running.finish().is(0, "delivered", "ok");
}

/// A proxy before the gateway. IMAP is away before the message is passed on, so that no look can show the copy.
fn blinding(stack: &Arc<Stack>) -> Proxy {
    let servers = Arc::clone(stack);
    Proxy::with(stack.port("SMTP_PLAIN"), move |command| {
        // Of RCPT TO:<...>
        if command.starts_with("TO:<") {
            servers.run("imap-stop", &[]);
        }
        None
    })
}

/// Waits until a message has been delivered that nobody has looked at.
fn until_delivered(stack: &Stack) {
    let begun = Instant::now();
    let new = Path::new(stack.get("PROBE_MAILDIR")).join("new");
    while !fs::read_dir(&new).is_ok_and(|mut messages| messages.next().is_some()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing comes");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_copy_that_came_in_time_while_nobody_could_look_is_delivered() {
    let Some(stack) = own() else { return };
    let stack = Arc::new(stack);
    let smtp = blinding(&stack);
    let check = stack.check().smtp_through(&smtp);
    let running = check.route("deadline", "5s").start();
    smtp.wait_for("queued as");
    sleep(Duration::from_millis(5300));
    until_delivered(&stack);
    stack.run("dovecot-start", &[]);
    let report = running.finish();
    let probe = report.is(0, "delivered", "ok");
    assert!(probe["round_trip_ms"].as_f64().unwrap() > 5000.0);
    assert_eq!(probe["late"], false);
}

#[test]
fn a_copy_that_came_late_while_nobody_could_look_is_late() {
    let Some(stack) = own() else { return };
    let stack = Arc::new(stack);
    let smtp = blinding(&stack);
    let check = stack.check().smtp_through(&smtp).to("delay3@example.test");
    let running = check.route("deadline", "1s").start();
    until_delivered(&stack);
    stack.run("dovecot-start", &[]);
    let report = running.finish();
    let probe = report.is(2, "missing", "late");
    assert_eq!(probe["late"], true);
}

/// UIDs mean nothing any more once UIDVALIDITY has changed. A session that still has the old folder selected hears
/// `* NO Internal error` from Dovecot, and OK to every command.
#[test]
fn a_folder_made_anew_is_read_from_its_begin() {
    let Some(stack) = own() else { return };
    let stack = Arc::new(stack);
    stack.imap().create("Lists");
    for _ in 0..5 {
        stack.imap().append("Lists", b"Subject: old\r\n\r\nold\r\n");
    }
    let sent = Arc::new(Mutex::new(None::<Vec<u8>>));
    let (servers, to_come) = (Arc::clone(&stack), Arc::clone(&sent));
    let imap = Proxy::with(stack.port("IMAP"), move |command| {
        let is_look = command == "NOOP";
        let message = to_come.lock().unwrap().take_if(|_| is_look)?;
        make_anew(&servers, &[b"Subject: new\r\n\r\nnew\r\n", &message]);
        None
    });
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).imap_through(&imap);
    let check = check.to("drop@example.test").mailbox("folders", ["Lists"]);
    let running = check.start();
    *sent.lock().unwrap() = Some(smtp.accepted_message());
    running.finish().is(0, "delivered", "ok");
    imap.wait_for("* NO Internal error");
    only_foreign(stack.imap(), "Lists", "Subject: new");
}

/// Deletes the folder `Lists`, and makes it again with these messages. To be called from the rule of a proxy that the
/// probe's session goes through, so that this has no command under way: where Dovecot looks into a folder for one session
/// while another makes it anew, both write to the same files. Then CREATE or APPEND may fail, and UIDs change.
fn make_anew(stack: &Stack, messages: &[&[u8]]) {
    let mut imap = stack.imap();
    imap.delete("Lists");
    imap.create("Lists");
    for message in messages {
        imap.append("Lists", message);
    }
}

/// The folder holds one message, with this line and without a flag.
fn only_foreign(mut imap: Imap, folder: &str, line: &str) {
    let left = imap.contents(folder);
    assert_eq!(left.len(), 1, "{left:?}");
    for (uid, flags) in left {
        let message = imap.message(folder, uid);
        let message = String::from_utf8_lossy(&message);
        assert!(message.contains(line), "{message}");
        assert_eq!(flags, Vec::<String>::new(), "{message}");
    }
}

#[test]
fn a_gateway_that_is_not_there_is_unsent() {
    let Some(stack) = shared() else { return };
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let report = stack.check().gateway("port", port).run();
    let probe = report.is(2, "unsent", "connect-failed");
    assert_eq!(probe["phases"].as_array().unwrap().len(), 2);
    reason_says(probe, "nothing listens there");
}

#[test]
fn a_gateway_whose_name_is_unknown_is_unsent() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("host", "mx.nowhere.invalid").run();
    let probe = report.is(2, "unsent", "dns-failed");
    assert_eq!(probe["smtp"]["address"], json!(null));
    reason_says(probe, "check the name");
}

#[test]
fn an_imap_server_behind_the_gateways_port_is_no_gateway() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("port", stack.port("IMAP")).run();
    let probe = report.is(2, "unsent", "greeting-failed");
    reason_says(probe, "something else than SMTP");
}

#[test]
fn an_smtp_server_behind_the_mailboxs_port_is_no_mailbox() {
    let Some(stack) = shared() else { return };
    let check = stack.check().mailbox("port", stack.port("SMTP_PLAIN"));
    let check = check.mailbox("timeout", "1s").route("deadline", "1s");
    let report = check.route("blind_grace", "500ms").run();
    report.is(3, "unseen", "mailbox-unreadable");
}

#[test]
fn what_waited_to_be_cleaned_up_is_not_looked_for_in_a_folder_made_anew() {
    let Some(stack) = own() else { return };
    let stack = Arc::new(stack);
    stack.imap().create("Lists");
    let swapped = AtomicBool::new(false);
    let servers = Arc::clone(&stack);
    let imap = Proxy::with(stack.port("IMAP"), move |command| {
        if !command.starts_with("UID STORE") || swapped.swap(true, Ordering::SeqCst) {
            return None;
        }
        // The copy had this UID; now it is somebody else's.
        make_anew(&servers, &[b"Subject: not ours\r\n\r\nkeep me\r\n"]);
        Some(Answer::Close)
    });
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).imap_through(&imap);
    let check = check.to("drop@example.test").mailbox("folders", ["Lists"]);
    let running = check.with("--linger 3s").start();
    stack.imap().append("Lists", &smtp.accepted_message());
    running.finish().is(0, "delivered", "ok");
    only_foreign(stack.imap(), "Lists", "Subject: not ours");
}

#[test]
fn a_throttling_server_is_left_alone_for_as_long_as_it_asks() {
    let Some(stack) = shared() else { return };
    let logins = AtomicUsize::new(0);
    let imap = Proxy::with(stack.port("IMAP"), move |command| {
        let is_first =
            command.starts_with("AUTHENTICATE") && logins.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(Answer::Refused(
            "[UNAVAILABLE] Request is throttled. Suggested Backoff Time: 2500 milliseconds",
        ))
    });
    let report = stack.check().imap_through(&imap).run();
    let probe = report.is(0, "delivered", "ok");
    // The first pause of its own choice would have been a quarter of a second.
    assert!(
        probe["round_trip_ms"].as_f64().unwrap() >= 2_000.0,
        "{probe}"
    );
    let commands = imap.commands();
    let logins = commands
        .iter()
        .filter(|line| line.contains(" AUTHENTICATE "));
    assert_eq!(logins.count(), 2, "{commands:#?}");
}
