//! The copy collected over POP3 from Dovecot.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::check::{Check, reason_says};
use crate::servers::{Stack, own, shared};

/// A check that reads this port by POP3.
fn pop3<'s>(stack: &'s Stack, service: &str, tls: &str) -> Check<'s> {
    stack
        .check()
        .mailbox("protocol", "pop3")
        .mailbox("tls", tls)
        .mailbox("port", stack.port(service))
}

#[test]
fn without_tls_with_stls_and_with_tls_from_the_first_byte() {
    let Some(stack) = shared() else { return };
    for (service, tls) in [
        ("POP3", "none"),
        ("POP3", "starttls"),
        ("POP3S", "implicit"),
    ] {
        let check = pop3(stack, service, tls);
        let check = if tls == "none" {
            check
        } else {
            check.trusting()
        };
        let report = check.run();
        let probe = report.is(0, "delivered", "ok");
        assert!(probe["copies"][0]["uidl"].is_string(), "{probe}");
        assert_eq!(probe["seen_by"], "poll");
    }
}

#[test]
fn by_sasl_plain_and_not_with_a_wrong_password() {
    let Some(stack) = shared() else { return };
    let check = pop3(stack, "POP3", "none");
    check
        .mailbox("auth", "plain")
        .run()
        .is(0, "delivered", "ok");
    let check = pop3(stack, "POP3", "none");
    let report = check.mailbox("password", "wrong").run();
    let probe = report.is(3, "unseen", "mailbox-refused");
    reason_says(probe, "-ERR");
}

#[test]
fn what_is_dropped_is_missing_and_the_reason_names_the_junk_folder() {
    let Some(stack) = shared() else { return };
    for address in ["drop@example.test", "junk@example.test"] {
        let check = pop3(stack, "POP3", "none")
            .to(address)
            .route("deadline", "2s");
        let report = check.run();
        reason_says(
            report.is(2, "missing", "missing"),
            "POP3 shows no junk folder",
        );
    }
}

#[test]
fn only_our_copies_are_deleted() {
    let Some(stack) = own() else { return };
    stack.run("foreign", &["200"]);
    let before = stack.imap().contents("INBOX");
    assert_eq!(before.len(), 200);
    pop3(&stack, "POP3", "none")
        .with("--count 5")
        .run()
        .passes();
    assert_eq!(stack.imap().contents("INBOX"), before);
    let kept = pop3(&stack, "POP3", "none").mailbox("cleanup", "keep");
    kept.run().is(0, "delivered", "ok");
    assert_eq!(stack.imap().contents("INBOX").len(), 201);
}

#[test]
fn a_mailbox_that_somebody_else_holds_is_waited_for() {
    let Some(stack) = own() else { return };
    let (user, password) = (stack.get("PROBE_ADDRESS"), stack.get("PROBE_PASSWORD"));
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
    holder.join().unwrap();
}
