//! What becomes of a message on its way, and what is made of it: one address of the test servers for each fate.

use serde_json::{Value as Json, json};

use crate::check::{Report, reason_says, words};
use crate::servers::{Stack, shared};

fn sent_to(stack: &Stack, recipient: &str) -> Report {
    stack.check().to(&format!("{recipient}@example.test")).run()
}

#[track_caller]
fn carriers(probe: &Json) -> Vec<&str> {
    words(&probe["evidence"]["carriers"])
}

#[test]
fn dropped_is_missing() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("drop@example.test");
    let report = check.route("deadline", "1s").run();
    let probe = report.is(2, "missing", "missing");
    assert_eq!(probe["copies"], json!([]));
    assert_eq!(probe["round_trip_ms"], Json::Null);
    reason_says(probe, "queued as");
    reason_says(probe, "drop@example.test");
}

#[test]
fn refused_at_rcpt_is_rejected_in_the_servers_words() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "reject");
    let probe = report.is(2, "rejected", "rejected");
    assert_eq!(probe["smtp"]["code"], 550);
    assert_eq!(probe["smtp"]["enhanced"], "5.1.1");
    assert_eq!(probe["attempts"][0]["phase"], "rcpt");
    assert_eq!(probe["attempts"][0]["code"], 550);
    reason_says(probe, "User unknown");
    reason_says(probe, "check `to`");
}

#[test]
fn refused_after_the_dot_is_rejected() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "bodyreject");
    let probe = report.is(2, "rejected", "rejected");
    assert_eq!(probe["attempts"][0]["phase"], "data");
    assert_eq!(probe["smtp"]["enhanced"], "5.7.1");
    reason_says(probe, "Message content rejected");
}

#[test]
fn relay_denied_is_rejected() {
    let Some(stack) = shared() else { return };
    let report = stack.check().to("relay@elsewhere.test").run();
    let probe = report.is(2, "rejected", "rejected");
    assert_eq!(probe["smtp"]["code"], 554);
    assert_eq!(probe["attempts"][0]["phase"], "rcpt");
    reason_says(probe, "Relay access denied");
    reason_says(probe, "log in");
}

#[test]
fn an_expected_rejection_passes() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("bodyreject@example.test");
    check.expect("rejected").run().is(0, "rejected", "ok");
}

#[test]
fn a_delivery_that_is_not_expected_fails() {
    let Some(stack) = shared() else { return };
    let report = stack.check().expect("rejected").run();
    report.is(2, "delivered", "unexpected");
}

#[test]
fn twice_is_a_warning() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("twice@example.test");
    let report = check.with("--linger 3s").run();
    let probe = report.is(1, "delivered", "duplicate");
    assert_eq!(probe["duplicates"], 1);
    assert_eq!(probe["copies"].as_array().unwrap().len(), 2);
}

#[test]
fn in_the_junk_folder_is_junked() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "junk");
    let probe = report.is(2, "junked", "junked");
    assert_eq!(probe["copies"][0]["folder"], "Junk");
    assert_eq!(probe["copies"][0]["outcome"], "junked");
}

#[test]
fn an_expected_junking_passes() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("junk@example.test").expect("junked");
    check.run().is(0, "junked", "ok");
}

#[test]
fn a_rewritten_subject_is_no_harm() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "rewrite");
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(carriers(probe), ["message-id", "header", "body"]);
}

#[test]
fn removed_header_fields_are_no_harm() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "nox");
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(carriers(probe), ["message-id", "subject", "body"]);
}

#[test]
fn a_replaced_message_id_is_no_harm() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "newid");
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(carriers(probe), ["header", "subject", "body"]);
}

#[test]
fn a_footer_is_no_alteration() {
    let Some(stack) = shared() else { return };
    sent_to(stack, "footer").is(0, "delivered", "ok");
}

#[test]
fn a_marked_subject_is_tagged() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "spamsubject");
    let probe = report.is(2, "tagged", "tagged");
    let mark = json!({ "value": "***SPAM***", "positive": true });
    assert_eq!(probe["evidence"]["marks"]["Subject"], mark);
    reason_says(probe, "***SPAM***");
}

#[test]
fn a_mark_in_the_header_is_tagged() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "spamheader");
    let probe = report.is(2, "tagged", "tagged");
    let mark = json!({ "value": "YES", "positive": true });
    assert_eq!(probe["evidence"]["marks"]["X-Spam-Flag"], mark);
}

#[test]
fn a_delivery_report_is_bounced() {
    let Some(stack) = shared() else { return };
    let report = sent_to(stack, "bounce");
    let probe = report.is(2, "bounced", "bounced");
    let bounce = &probe["evidence"]["bounce"];
    assert_eq!(bounce["action"], "failed");
    assert_eq!(bounce["status"], "5.2.1");
    assert_eq!(bounce["reporting_host"], "mx.example.test");
    assert_eq!(bounce["recipient"], "bounce@example.test");
    reason_says(probe, "Mailbox is disabled");
}

#[test]
fn without_a_watched_mailbox_for_bounces_a_bounce_reads_as_missing() {
    let Some(stack) = shared() else { return };
    // The same account by another name: nothing says that it is where mail for the sender arrives.
    let check = stack
        .check()
        .mailbox("username", stack.get("PROBE_USER"))
        .to("drop@example.test");
    let report = check.route("deadline", "1s").run();
    let probe = report.is(2, "missing", "missing");
    reason_says(probe, "no watched mailbox gets bounces");
}
