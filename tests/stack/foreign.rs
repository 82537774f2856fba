//! Mail that is not a copy, though some of it looks like one: it never counts, and it is never touched.

use crate::imap::Imap;
use crate::proxy::Proxy;
use crate::servers::{Stack, own, shared};

/// While a probe that never comes back is awaited, puts messages that `make` makes from it and its tag into the mailbox.
/// Asserts that none of them counts, and that all of them stay as they were.
#[track_caller]
fn counts_for_nothing(stack: &Stack, make: impl FnOnce(&str, &str) -> Vec<String>) {
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("drop@example.test");
    let running = check.route("deadline", "2s").start();
    let message = String::from_utf8(smtp.accepted_message()).unwrap();
    let mut imap = stack.imap();
    let messages = make(&message, &tag(&message));
    let put = messages
        .iter()
        .map(|message| imap.append("INBOX", message.as_bytes()));
    let uids: Vec<_> = put.collect();
    let report = running.finish();
    report.is(2, "missing", "missing");
    are_untouched(&mut imap, &uids);
}

#[track_caller]
fn are_untouched(imap: &mut Imap, uids: &[u32]) {
    let contents = imap.contents("INBOX");
    for uid in uids {
        assert_eq!(contents.get(uid), Some(&Vec::new()), "message {uid}");
    }
}

/// A header field's value, unfolded.
fn field(message: &str, name: &str) -> String {
    let (header, _) = message.split_once("\r\n\r\n").unwrap();
    let unfolded = header.replace("\r\n ", " ");
    let found = unfolded
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found
        .unwrap_or_else(|| panic!("no {name} in {message}"))
        .to_owned()
}

fn tag(message: &str) -> String {
    field(message, "X-Mailrobin-Tag")
}

/// The message as people quote it.
fn quoted(message: &str) -> String {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let lines = body.lines().map(|line| format!("> {line}"));
    lines.collect::<Vec<_>>().join("\r\n")
}

fn other_than(letter: u8) -> u8 {
    if letter == b'a' { b'b' } else { b'a' }
}

#[test]
fn a_forged_tag_never_counts() {
    let Some(stack) = shared() else { return };
    counts_for_nothing(stack, |message, tag| {
        // In the time, the instance, the rest of the id, and the signature.
        let forged = [4, 14, 24, 39].map(|at| {
            let mut forged = tag.as_bytes().to_vec();
            forged[at] = other_than(forged[at]);
            let forged = String::from_utf8(forged).unwrap();
            assert!(message.matches(tag).count() >= 4);
            message.replace(tag, &forged)
        });
        forged.to_vec()
    });
}

#[test]
fn a_tag_of_another_key_never_counts() {
    let Some(stack) = shared() else { return };
    let Some(stranger) = own() else { return };
    let smtp = Proxy::recording(stranger.port("SMTP_PLAIN"));
    stranger.check().smtp_through(&smtp).run().passes();
    let strange = String::from_utf8(smtp.accepted_message()).unwrap();
    counts_for_nothing(stack, |_, _| vec![strange]);
}

#[test]
fn a_replayed_old_probe_is_no_arrival_and_stays() {
    let Some(stack) = shared() else { return };
    let report = stack.check().mailbox("cleanup", "keep").run();
    let uid = report.passes()[0]["copies"][0]["uid"].as_u64().unwrap();
    let uid = u32::try_from(uid).unwrap();
    let old = stack.imap().message("INBOX", uid);
    let old = String::from_utf8(old).unwrap();
    counts_for_nothing(stack, |_, new| {
        assert_ne!(tag(&old), new);
        vec![old]
    });
}

#[test]
fn a_persons_reply_is_no_copy() {
    let Some(stack) = shared() else { return };
    counts_for_nothing(stack, |message, _| {
        vec![format!(
            "From: Ann <ann@elsewhere.test>\r\nTo: probe@monitor.test\r\nSubject: Re: {}\r\n\
             Message-ID: <reply.1@elsewhere.test>\r\nIn-Reply-To: {id}\r\nReferences: {id}\r\n\r\n\
             What is this?\r\n\r\n{}",
            field(message, "Subject"),
            quoted(message),
            id = field(message, "Message-ID"),
        )]
    });
}

#[test]
fn a_persons_reply_without_a_thread_is_no_copy() {
    let Some(stack) = shared() else { return };
    counts_for_nothing(stack, |message, _| {
        vec![format!(
            "From: Ann <ann@elsewhere.test>\r\nTo: probe@monitor.test\r\nSubject: Re: {}\r\n\
             Message-ID: <reply.2@elsewhere.test>\r\n\r\nWhat is this?\r\n\r\n{}",
            field(message, "Subject"),
            quoted(message),
        )]
    });
}

#[test]
fn a_vacation_reply_is_no_copy() {
    let Some(stack) = shared() else { return };
    counts_for_nothing(stack, |message, _| {
        vec![format!(
            "From: Ann <ann@elsewhere.test>\r\nTo: probe@monitor.test\r\nSubject: Auto: {}\r\n\
             Message-ID: <reply.3@elsewhere.test>\r\nIn-Reply-To: {id}\r\nReferences: {id}\r\n\
             Auto-Submitted: auto-replied (vacation)\r\nPrecedence: bulk\r\n\r\nI am away.\r\n\r\n{}",
            field(message, "Subject"),
            quoted(message),
            id = field(message, "Message-ID"),
        )]
    });
}

#[test]
fn a_read_receipt_is_no_copy() {
    let Some(stack) = shared() else { return };
    counts_for_nothing(stack, |message, _| {
        vec![format!(
            "From: Ann <ann@elsewhere.test>\r\nTo: probe@monitor.test\r\nSubject: Read: {}\r\n\
             Message-ID: <receipt.1@elsewhere.test>\r\nIn-Reply-To: {id}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n\
             --b\r\n\r\nIt was read.\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n\
             Original-Message-ID: {id}\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n\
             --b--\r\n",
            field(message, "Subject"),
            id = field(message, "Message-ID"),
        )]
    });
}

/// However malformed or huge they are: they are skipped, and the copy behind them is found.
#[test]
fn hostile_messages_do_not_hide_the_copy() {
    let Some(stack) = shared() else { return };
    let level = |depth| format!("Content-Type: multipart/mixed; boundary={depth}\r\n\r\n--{depth}");
    let nested = (0..200).map(level).collect::<Vec<_>>().join("\r\n");
    let bound = "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n----\r\n";
    let messages = [
        "\r\n".to_owned(),
        "no header, no colon, no end".to_owned(),
        format!("Subject: {}\r\n\r\nlong\r\n", "a".repeat(300_000)),
        format!("Subject: =?utf-8?B?{}?=\r\n\r\n", "//".repeat(30_000)),
        "X: y\r\n".repeat(20_000),
        format!("Subject: big\r\n\r\n{}", "0123456789\r\n".repeat(400_000)),
        format!("From: (((((((((((((((<\r\nDate: never\r\n{bound}"),
        nested,
    ];
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let imap_log = Proxy::recording(stack.port("IMAP"));
    let check = stack.check().smtp_through(&smtp).imap_through(&imap_log);
    let running = check.to("delay2@example.test").start();
    smtp.wait_for("queued as");
    let mut imap = stack.imap();
    let uids = messages.map(|message| imap.append("INBOX", message.as_bytes()));
    running.finish().is(0, "delivered", "ok");
    are_untouched(&mut imap, &uids);
    assert!(
        imap_log.server_bytes() < 3_000_000,
        "it reads what is too big"
    );
}

#[test]
fn copies_are_found_in_every_watched_folder() {
    let Some(stack) = own() else { return };
    for folder in ["Lists", "Archive", "Entw&APw-rfe"] {
        stack.imap().create(folder);
    }
    for (folder, name) in [
        ("Lists", "Lists"),
        ("Archive", "Archive"),
        ("Entw&APw-rfe", "Entwürfe"),
    ] {
        let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
        let check = stack.check().smtp_through(&smtp).to("drop@example.test");
        let folders = ["INBOX", "Lists", "Archive", "Entwürfe"];
        let running = check.mailbox("folders", folders).start();
        let message = smtp.accepted_message();
        stack.imap().append(folder, &message);
        let report = running.finish();
        let probe = report.is(0, "delivered", "ok");
        assert_eq!(probe["copies"][0]["folder"], name);
        assert!(stack.imap().contents(folder).is_empty());
    }
}
