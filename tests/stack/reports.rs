//! Delivery reports on our own messages: only `failed` decides, and a copy beats it.

use serde_json::Value as Json;

use crate::check::Report;
use crate::proxy::Proxy;
use crate::servers::{Stack, shared};

/// A probe that takes 2 s, and a report of this action on it that comes before.
fn reported(stack: &Stack, action: &str, linger: &str) -> Report {
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("delay2@example.test");
    let running = check.with("--linger").with(linger).start();
    let message = String::from_utf8(smtp.accepted_message()).unwrap();
    let report = format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.test\r\nTo: probe@monitor.test\r\n\
         Subject: About your message\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nPlease read on.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.test\r\n\r\nFinal-Recipient: rfc822; delay2@example.test\r\n\
         Action: {action}\r\nStatus: 4.4.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
         {message}\r\n--b--\r\n"
    );
    stack.imap().append("INBOX", report.as_bytes());
    running.finish()
}

#[track_caller]
fn is_delivered(report: &Report, action: &str) {
    let probe: &Json = report.is(0, "delivered", "ok");
    assert_eq!(probe["evidence"]["bounce"]["action"], action);
    assert_eq!(probe["duplicates"], 0);
    assert!(probe["round_trip_ms"].as_f64().unwrap() > 1900.0);
}

#[test]
fn a_report_of_a_delay_decides_nothing() {
    let Some(stack) = shared() else { return };
    is_delivered(&reported(stack, "delayed", "100ms"), "delayed");
}

#[test]
fn a_copy_beats_a_report_of_failure() {
    let Some(stack) = shared() else { return };
    is_delivered(&reported(stack, "failed", "4s"), "failed");
}
