//! Logins on both sides: which are refused, by whom, and what is said about it.

use crate::check::{DEADLINE, reason_says};
use crate::servers::shared;

#[test]
fn no_smtp_password_goes_over_an_open_line() {
    let Some(stack) = shared() else { return };
    let check = stack.check().logged_in();
    let report = check.gateway("port", stack.port("SMTP_PLAINAUTH")).run();
    let probe = report.is(2, "unsent", "auth-unavailable");
    reason_says(probe, "insecure_auth");
}

#[test]
fn an_open_line_is_good_enough_where_the_config_says_so() {
    let Some(stack) = shared() else { return };
    let check = stack.check().logged_in().gateway("insecure_auth", true);
    let report = check.gateway("port", stack.port("SMTP_PLAINAUTH")).run();
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(probe["evidence"]["vantage"], "authenticated");
}

#[test]
fn a_gateway_without_auth_is_named_as_such() {
    let Some(stack) = shared() else { return };
    let report = stack.check().logged_in().gateway("insecure_auth", true);
    let report = report.run();
    let probe = report.is(2, "unsent", "auth-unavailable");
    reason_says(probe, "offers no login");
}

#[test]
fn a_wrong_smtp_password_is_unsent_in_the_servers_words() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().logged_in();
    let check = check.gateway("tls", "starttls").gateway("password", "no");
    let report = check.gateway("port", stack.port("SUBMISSION")).run();
    let probe = report.is(2, "unsent", "auth-failed");
    assert_eq!(probe["smtp"]["code"], 535);
    assert_eq!(probe["attempts"][0]["phase"], "auth");
    assert_eq!(
        probe["attempts"].as_array().unwrap().len(),
        1,
        "no second try"
    );
    reason_says(probe, "authentication failed");
    reason_says(probe, "check username and password");
}

#[test]
fn a_wrong_imap_password_is_known_at_once() {
    let Some(stack) = shared() else { return };
    let report = stack.check().mailbox("password", "no").run();
    let probe = report.is(3, "unseen", "mailbox-refused");
    assert!(report.took < DEADLINE, "{:?}", report.took);
    reason_says(probe, "Authentication failed");
    reason_says(probe, "check username and password");
}

#[test]
fn no_imap_password_goes_over_an_open_line() {
    let Some(stack) = shared() else { return };
    let report = stack.check().mailbox("insecure_auth", false).run();
    let probe = report.is(3, "unseen", "mailbox-refused");
    reason_says(probe, "insecure_auth");
}

#[test]
fn no_password_is_sent_where_imap_logins_are_disabled() {
    let Some(stack) = shared() else { return };
    let check = stack.check();
    let report = check.mailbox("host", stack.get("LOGINDISABLED_HOST")).run();
    let probe = report.is(3, "unseen", "mailbox-refused");
    reason_says(probe, "LOGINDISABLED");
}

#[test]
fn every_way_to_log_in_to_the_mailbox() {
    let Some(stack) = shared() else { return };
    for auth in ["auto", "login", "plain"] {
        let check = stack.check().mailbox("auth", auth);
        check.run().passes();
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let Some(stack) = shared() else { return };
    let check = stack.check().mailbox("folders", ["INBOX", "Nowhere"]);
    let check = check.route("deadline", "1s").route("blind_grace", "500ms");
    let report = check.run();
    let probe = report.is(3, "unseen", "mailbox-unreadable");
    reason_says(probe, "Nowhere");
    reason_says(probe, "`folders`");
}
