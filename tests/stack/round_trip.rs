//! There and back over every kind of connection: the phases are those the session had, and nothing is lost between them.

use serde_json::Value as Json;

use crate::check::{Report, phases};
use crate::servers::{Stack, shared};

const TO_EHLO: [&str; 4] = ["dns", "connect", "banner", "ehlo"];
const FROM_MAIL: [&str; 4] = ["mail", "rcpt", "data", "transit"];

/// Asserts that the only probe came back with just these phases between EHLO and MAIL.
#[track_caller]
fn came_back_with<'r>(report: &'r Report, security: &[&str]) -> &'r Json {
    let probe = report.is(0, "delivered", "ok");
    let expected = [&TO_EHLO, security, &FROM_MAIL].concat();
    assert_eq!(phases(probe), expected);
    add_up(probe);
    probe
}

/// Asserts that the phases are the round trip. Each is given in whole microseconds.
#[track_caller]
pub(crate) fn add_up(probe: &Json) {
    let phases = probe["phases"].as_array().unwrap();
    let sum: f64 = phases.iter().map(|it| it["ms"].as_f64().unwrap()).sum();
    let whole = probe["round_trip_ms"].as_f64().unwrap();
    assert!(
        (sum - whole).abs() < 0.015,
        "{sum} is not {whole}: {probe:#}"
    );
}

#[test]
fn without_tls() {
    let Some(stack) = shared() else { return };
    let report = stack.check().run();
    let probe = came_back_with(&report, &[]);
    assert_eq!(probe["smtp"]["tls"], Json::Null);
    assert_eq!(probe["smtp"]["code"], 250);
    assert_eq!(probe["evidence"]["vantage"], "local");
    assert_eq!(
        probe["evidence"]["carriers"],
        serde_json::json!(["message-id", "header", "subject", "body"])
    );
    assert_eq!(report.stderr, "");
}

#[test]
fn opportunistic_tls_where_the_server_has_none() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("tls", "opportunistic").run();
    came_back_with(&report, &[]);
}

#[test]
fn opportunistic_tls_asks_for_no_certificate() {
    let Some(stack) = shared() else { return };
    for service in ["SMTP_STARTTLS", "SMTP_EXPIRED"] {
        let check = stack.check().gateway("tls", "opportunistic");
        let report = check.gateway("port", stack.port(service)).run();
        let probe = came_back_with(&report, &["starttls"]);
        assert_eq!(probe["smtp"]["tls"], "TLSv1.3");
    }
}

#[test]
fn opportunistic_tls_is_warned_about() {
    let Some(stack) = shared() else { return };
    let report = stack.check().gateway("tls", "opportunistic").run();
    let words = &report.stderr;
    assert!(words.contains("opportunistic"), "it says only {words:?}");
}

#[test]
fn starttls() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().gateway("tls", "starttls");
    let report = check.gateway("port", stack.port("SMTP_STARTTLS")).run();
    let probe = came_back_with(&report, &["starttls"]);
    assert_eq!(probe["smtp"]["tls"], "TLSv1.3");
}

#[test]
fn implicit_tls() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().gateway("tls", "implicit");
    let report = check.gateway("port", stack.port("SMTPS")).run();
    let probe = report.is(0, "delivered", "ok");
    assert_eq!(
        phases(probe),
        [
            &["dns", "connect", "tls", "banner", "ehlo"][..],
            &FROM_MAIL[..]
        ]
        .concat()
    );
    assert_eq!(probe["smtp"]["tls"], "TLSv1.3");
    add_up(probe);
}

fn submission(stack: &Stack, auth: &str) {
    let check = stack.check().trusting().gateway("tls", "starttls");
    let check = check.gateway("port", stack.port("SUBMISSION"));
    let report = check
        .logged_in()
        .gateway("auth", auth)
        .with("--transcript")
        .run();
    let probe = came_back_with(&report, &["starttls", "auth"]);
    assert_eq!(probe["evidence"]["vantage"], "authenticated");
    let said = probe["transcript"].to_string();
    assert!(
        said.contains(&format!("AUTH {}", auth.to_uppercase())),
        "{said}"
    );
}

#[test]
fn submission_with_auth_plain() {
    let Some(stack) = shared() else { return };
    submission(stack, "plain");
}

#[test]
fn submission_with_auth_login() {
    let Some(stack) = shared() else { return };
    submission(stack, "login");
}

#[test]
fn implicit_tls_with_auth() {
    let Some(stack) = shared() else { return };
    let check = stack.check().trusting().gateway("tls", "implicit");
    let check = check.gateway("port", stack.port("SMTPS")).logged_in();
    let report = check.run();
    let probe = report.is(0, "delivered", "ok");
    assert!(phases(probe).contains(&"auth"));
    assert_eq!(probe["evidence"]["vantage"], "authenticated");
    add_up(probe);
}

#[test]
fn the_probes_own_address_without_any_forwarding() {
    let Some(stack) = shared() else { return };
    let report = stack.check().to(stack.get("PROBE_ADDRESS")).run();
    came_back_with(&report, &[]);
}

#[test]
fn twenty_probes_over_two_kept_connections() {
    let Some(stack) = shared() else { return };
    let report = stack.check().with("--count 20 --concurrency 1").run();
    let probes = report.passes();
    assert_eq!(probes.len(), 20);
    for (at, probe) in probes.iter().enumerate() {
        // A connection carries ten messages.
        if at % 10 == 0 {
            assert_eq!(phases(probe), [TO_EHLO, FROM_MAIL].concat());
        } else {
            assert_eq!(phases(probe), FROM_MAIL);
        }
        add_up(probe);
    }
}
