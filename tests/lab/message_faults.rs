//! What faults do to messages, judged by the copies that arrive.

use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};
use tokio::time::Instant;

use crate::client::{ECHO, Imap, MIXED, SENDER, SIMPLE, copy_through, lab, send, send_as};

#[tokio::test]
async fn without_faults_the_message_arrives_byte_for_byte_under_its_trace() {
    let copy = copy_through(&[], SIMPLE).await;
    assert!(copy.ends_with(SIMPLE), "{copy}");
    assert!(copy.starts_with("Return-Path: <probe@lab.example>\r\nDelivered-To: probe@"));
    assert!(copy.contains("Delivered-To: echo@echo.example\r\n"));
    assert!(copy.contains("X-Forwarded-To: probe@lab.example\r\n"));
    let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
    let hops = parsed.header_values("Received").count();
    assert_eq!(hops, 3);
    assert!(parsed.received().unwrap().date().is_some());
}

#[tokio::test]
async fn the_mailbox_itself_is_delivered_to_directly() {
    let lab = lab(&[]).await;
    let reply = send(&lab, "probe+detail@lab.example", SIMPLE).await;
    assert!(reply.starts_with("250 2.0.0 Ok: queued as"));
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    let copy = imap.messages().await.remove(0);
    assert_eq!(copy.matches("Received: ").count(), 1);
    assert!(copy.contains("for <probe+detail@lab.example>;"));
}

#[tokio::test]
async fn delay() {
    let lab = lab(&["delay=150ms"]).await;
    let start = Instant::now();
    send(&lab, ECHO, SIMPLE).await;
    let replied = start.elapsed();
    Imap::open(&lab).await.await_messages(1).await;
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert!(replied < Duration::from_millis(150), "only the copy waits");
}

#[tokio::test]
async fn drop_says_250_and_nothing_comes() {
    let lab = lab(&["drop,to=lost"]).await;
    let reply = send(&lab, "lost+detail@echo.example", "Subject: one\r\n\r\n").await;
    assert!(reply.starts_with("250"));
    send(&lab, ECHO, "Subject: two\r\n\r\n").await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    assert!(imap.messages().await.remove(0).contains("Subject: two"));
}

#[tokio::test]
async fn first_and_every_choose_messages() {
    let lab = lab(&["drop,every=2", "mark-spam,first=1"]).await;
    for number in 1..=4 {
        send(&lab, ECHO, &format!("Subject: number {number}\r\n\r\n")).await;
    }
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    let copies = imap.messages().await;
    assert!(copies[0].contains("number 1") && copies[0].contains("X-Spam-Flag: YES"));
    assert!(copies[1].contains("number 3") && !copies[1].contains("X-Spam-Flag"));
}

#[tokio::test]
async fn duplicate() {
    let lab = lab(&["duplicate"]).await;
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    let copies = imap.messages().await;
    assert!(copies.iter().all(|copy| copy.ends_with(SIMPLE)));
}

#[tokio::test]
async fn junk() {
    let lab = lab(&["junk"]).await;
    send(&lab, ECHO, SIMPLE).await;
    Imap::select(&lab, "Junk").await.await_messages(1).await;
    assert!(Imap::open(&lab).await.messages().await.is_empty());
}

#[tokio::test]
async fn bounce_is_a_delivery_status_notification() {
    let lab = lab(&["bounce"]).await;
    let mail = format!("MAIL FROM:<{SENDER}> RET=HDRS ENVID=envelope-77");
    let rcpt = format!("RCPT TO:<{ECHO}> NOTIFY=FAILURE ORCPT=rfc822;echo@echo.example");
    assert!(send_as(&lab, &mail, &rcpt, SIMPLE).await.starts_with("250"));
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    let dsn = imap.messages().await.remove(0);
    assert!(dsn.starts_with("Return-Path: <>\r\n"));
    for expected in [
        "MAILER-DAEMON@",
        "report-type=delivery-status",
        "Reporting-MTA: dns; gateway.lab.example",
        "Original-Envelope-Id: envelope-77",
        "Original-Recipient: rfc822; echo@echo.example",
        "Final-Recipient: rfc822; echo@echo.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1",
        "Message-ID: <original@client.example>",
    ] {
        assert!(dsn.contains(expected), "{expected} is missing in {dsn}");
    }
    assert!(!dsn.contains("wonderful"), "RET=HDRS returns no body");
    let parsed = MessageParser::default().parse(dsn.as_bytes()).unwrap();
    assert_eq!(parsed.content_type().unwrap().subtype(), Some("report"));
    assert_eq!(parsed.parts.len(), 4);
}

#[tokio::test]
async fn bounce_obeys_ret_and_notify() {
    let lab = lab(&["bounce"]).await;
    let never = format!("RCPT TO:<{ECHO}> NOTIFY=NEVER");
    send_as(&lab, SENDER, &never, SIMPLE).await;
    let full = format!("MAIL FROM:<{SENDER}> RET=FULL");
    send_as(&lab, &full, &format!("RCPT TO:<{ECHO}>"), MIXED).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(1).await;
    let notices = imap.messages().await;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains(MIXED));
}

#[tokio::test]
async fn delayed_dsn_comes_with_the_copy() {
    let lab = lab(&["delayed-dsn"]).await;
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    let both = imap.messages().await;
    assert!(both[0].contains("Action: delayed") && both[0].contains("Status: 4.4.1"));
    assert!(both[1].ends_with(SIMPLE));
}

#[tokio::test]
async fn success_is_reported_when_asked_for() {
    let lab = lab(&[]).await;
    let rcpt = format!("RCPT TO:<{ECHO}> NOTIFY=SUCCESS");
    send_as(&lab, SENDER, &rcpt, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    assert!(imap.messages().await[1].contains("Action: delivered"));
}

#[tokio::test]
async fn vacation_quotes_the_subject() {
    let lab = lab(&["vacation"]).await;
    send(&lab, ECHO, SIMPLE).await;
    let mut imap = Imap::open(&lab).await;
    imap.await_messages(2).await;
    let reply = &imap.messages().await[0];
    assert!(reply.contains("Auto-Submitted: auto-replied\r\n"));
    assert!(reply.contains("Subject: Automatic reply: A simple test\r\n"));
    assert!(reply.contains("In-Reply-To: <original@client.example>\r\n"));
}

#[tokio::test]
async fn header_alterations_leave_the_rest() {
    let copy = copy_through(&["mark-spam"], SIMPLE).await;
    assert!(copy.contains("X-Spam-Flag: YES\r\n") && copy.contains("X-Spam-Status: Yes, score="));
    assert!(copy.ends_with(SIMPLE));

    let copy = copy_through(&["mark-subject"], SIMPLE).await;
    let marked = SIMPLE.replace("A simple test", "***SPAM*** A simple test");
    assert!(copy.ends_with(&marked));

    let copy = copy_through(&["rewrite-subject"], SIMPLE).await;
    assert!(copy.contains("Subject: FW: ") && !copy.contains("A simple test"));

    let copy = copy_through(&["drop-x-headers"], SIMPLE).await;
    assert!(copy.ends_with(&SIMPLE.replace("X-Test: carried\r\n", "")));

    let copy = copy_through(&["new-message-id"], SIMPLE).await;
    assert!(!copy.contains("original@client") && copy.contains("\r\nMessage-ID: <"));
}

#[tokio::test]
async fn re_encode_changes_the_encoding_and_not_the_text() {
    for message in [SIMPLE, MIXED] {
        let copy = copy_through(&["re-encode"], message).await;
        assert!(copy.contains("quoted-printable"));
        assert!(!copy.contains("The wonderful body"), "{copy}");
        let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
        assert!(
            parsed
                .body_text(0)
                .unwrap()
                .starts_with("The wonderful body")
        );
    }
    let twice = copy_through(&["re-encode", "re-encode"], SIMPLE).await;
    assert!(twice.contains("Content-Transfer-Encoding: base64"));
    let parsed = MessageParser::default().parse(twice.as_bytes()).unwrap();
    assert!(parsed.body_text(0).unwrap().contains(".a line with a dot"));
}

#[tokio::test]
async fn footer_and_alter_touch_the_text_alone() {
    let copy = copy_through(&["footer"], MIXED).await;
    let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
    let text = parsed.body_text(0).unwrap();
    assert!(text.starts_with("The wonderful body") && text.contains("confidential"));
    assert_eq!(parsed.attachment_count(), 1);

    let copy = copy_through(&["re-encode", "footer"], SIMPLE).await;
    let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
    assert!(parsed.body_text(0).unwrap().contains("confidential"));

    let copy = copy_through(&["alter"], MIXED).await;
    assert!(!copy.contains("wonderful") && copy.contains("removed by policy"));
    assert!(copy.contains("UEsDBAoAAAAAAA=="));
}

#[tokio::test]
async fn strip_attachments() {
    let copy = copy_through(&["strip-attachments"], MIXED).await;
    assert!(copy.contains("The wonderful body\r\n--frontier--\r\n"));
    assert!(!copy.contains("a.zip"));
}

#[tokio::test]
async fn quote_and_forward_as_attachment() {
    let copy = copy_through(&["quote"], SIMPLE).await;
    assert!(copy.contains("Subject: Fwd: A simple test\r\n"));
    assert!(copy.contains("\r\n> The wonderful body"));
    assert!(copy.contains("\r\n> .a line with a dot\r\n"));

    let copy = copy_through(&["forward-as-attachment"], SIMPLE).await;
    let parsed = MessageParser::default().parse(copy.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some("Forwarded message"));
    let attached = parsed.attachment(0).unwrap();
    assert!(attached.is_message());
    let inner = attached.message().unwrap();
    assert_eq!(inner.message_id(), Some("original@client.example"));
    assert!(copy.contains(SIMPLE));
}
