//! Certificates on both sides: which are refused, and the sentence that says what to do.

use crate::check::{DEADLINE, reason_says};
use crate::servers::{Stack, shared};

/// Asserts what a STARTTLS gateway with this certificate leads to.
#[track_caller]
fn gateway_is_refused(stack: &Stack, service: &str, trusting: bool, remedy: &str) {
    let check = stack.check().gateway("tls", "starttls");
    let check = check.gateway("port", stack.port(service));
    let check = if trusting { check.trusting() } else { check };
    let report = check.run();
    let probe = report.is(2, "unsent", "tls-failed");
    assert_eq!(probe["attempts"][0]["phase"], "starttls");
    reason_says(probe, remedy);
}

#[test]
fn an_expired_certificate() {
    let Some(stack) = shared() else { return };
    gateway_is_refused(stack, "SMTP_EXPIRED", true, "has expired: renew it");
}

#[test]
fn a_certificate_for_another_name() {
    let Some(stack) = shared() else { return };
    gateway_is_refused(stack, "SMTP_WRONGNAME", true, "for another name");
}

#[test]
fn an_unknown_authority() {
    let Some(stack) = shared() else { return };
    gateway_is_refused(stack, "SMTP_STARTTLS", false, "`ca_file`");
}

#[test]
fn no_starttls_where_it_is_asked_for() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("tls", "starttls").run();
    let probe = report.is(2, "unsent", "starttls-missing");
    reason_says(probe, "does not offer STARTTLS");
}

#[test]
fn tls_against_a_port_without_it() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("tls", "implicit").run();
    let probe = report.is(2, "unsent", "tls-failed");
    assert_eq!(probe["attempts"][0]["phase"], "tls");
    reason_says(probe, "check `port` and `tls`");
}

#[test]
fn an_unverified_gateway_is_warned_about() {
    let Some(stack) = shared() else { return };
    for service in ["SMTP_EXPIRED", "SMTP_WRONGNAME", "SMTP_STARTTLS"] {
        let check = stack.check().gateway("tls", "starttls");
        let check = check.gateway("port", stack.port(service));
        let report = check.gateway("tls_verify", false).run();
        report.passes();
        assert!(report.stderr.contains("tls_verify"), "{:?}", report.stderr);
    }
}

#[test]
fn imap_over_implicit_tls() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().mailbox("tls", "implicit");
    let check = check.mailbox("insecure_auth", false);
    check.mailbox("port", stack.port("IMAPS")).run().passes();
}

#[test]
fn imap_over_starttls() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().mailbox("tls", "starttls");
    check.mailbox("insecure_auth", false).run().passes();
}

#[test]
fn an_unknown_authority_of_the_mailbox_is_known_at_once() {
    let Some(stack) = shared() else { return };
    for (tls, service) in [("implicit", "IMAPS"), ("starttls", "IMAP")] {
        let check = stack.check().mailbox("tls", tls);
        let report = check.mailbox("port", stack.port(service)).run();
        let probe = report.is(3, "unseen", "mailbox-unreadable");
        assert!(report.took < DEADLINE, "{:?}", report.took);
        reason_says(probe, "`ca_file`");
    }
}

#[test]
fn an_unverified_mailbox_is_warned_about() {
    let Some(stack) = shared() else { return };
    let check = stack.check().mailbox("tls", "implicit");
    let check = check.mailbox("port", stack.port("IMAPS"));
    let report = check.mailbox("tls_verify", false).run();
    report.passes();
    assert!(report.stderr.contains("tls_verify"), "{:?}", report.stderr);
}
