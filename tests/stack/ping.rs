//! `mailrobin ping` against real servers: how far a session comes there, in their own words, and that nothing is left behind.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::servers::{Stack, own, shared};

struct Pinged {
    exit: Option<i32>,
    text: String,
}

/// Pings a service by its port, with the probe's password at hand.
fn ping(stack: &Stack, scheme: &str, service: &str, arguments: &str) -> Pinged {
    let port = stack.port(service);
    let password = match scheme {
        "smtp" | "smtps" => "SENDER_PASSWORD",
        _ => "PROBE_PASSWORD",
    };
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .env("MAILROBIN_PASSWORD", stack.get(password))
        .arg("ping")
        .arg(format!("{scheme}://127.0.0.1:{port}"))
        .args(
            arguments
                .replace("CA", stack.get("CA_FILE"))
                .split_whitespace(),
        )
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let said = String::from_utf8(stderr).unwrap();
    for secret in [stack.get("SENDER_PASSWORD"), stack.get("PROBE_PASSWORD")] {
        assert!(!text.contains(secret) && !said.contains(secret));
    }
    let exit = status.code();
    Pinged { exit, text }
}

impl Pinged {
    /// The only probe of a JSON document.
    #[track_caller]
    fn probe(&self, exit: i32, code: &str) -> Json {
        let document: Json = serde_json::from_str(&self.text).unwrap();
        let probe = &document["probes"][0];
        assert_eq!(
            (self.exit, probe["code"].as_str()),
            (Some(exit), Some(code)),
            "{probe:#}"
        );
        probe.clone()
    }
}

fn steps(probe: &Json) -> Vec<&str> {
    let steps = probe["evidence"]["visit"]["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn said<'p>(probe: &'p Json, name: &str) -> &'p str {
    let steps = probe["evidence"]["visit"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == name);
    step.unwrap_or_else(|| panic!("no {name}: {probe:#}"))["text"]
        .as_str()
        .unwrap()
}

#[test]
fn postfix_up_to_rcpt_and_back() {
    let Some(stack) = shared() else { return };
    let (from, to) = (stack.get("PROBE_ADDRESS"), stack.get("ECHO_ADDRESS"));
    let arguments = format!("--format json --from {from} --to {to}");
    let probe = ping(stack, "smtp", "SMTP_PLAIN", &arguments).probe(0, "ok");
    assert_eq!(
        steps(&probe),
        [
            "dns", "connect", "banner", "ehlo", "mail", "rcpt", "rset", "quit"
        ]
    );
    assert!(said(&probe, "banner").starts_with("220 "), "{probe:#}");
    assert!(said(&probe, "ehlo").contains("PIPELINING"), "{probe:#}");
    assert_eq!(said(&probe, "mail"), "250 2.1.0 Ok");
    assert_eq!(said(&probe, "rcpt"), "250 2.1.5 Ok");
    assert_eq!(said(&probe, "rset"), "250 2.0.0 Ok");
    assert_eq!(said(&probe, "quit"), "221 2.0.0 Bye");
    let probe = ping(
        stack,
        "smtp",
        "SMTP_PLAIN",
        &format!("--format json --from {from} --to nobody@elsewhere.test"),
    )
    .probe(2, "rejected");
    assert_eq!(probe["attempts"][0]["phase"], "rcpt");
}

#[test]
fn postfix_with_tls_and_a_login() {
    let Some(stack) = shared() else { return };
    let login = format!(
        "--format json --ca-file CA --username {}",
        stack.get("SENDER_USER")
    );
    let probe = ping(stack, "smtp", "SUBMISSION", &login).probe(0, "ok");
    assert_eq!(
        steps(&probe),
        [
            "dns", "connect", "banner", "ehlo", "starttls", "auth", "quit"
        ]
    );
    assert!(said(&probe, "auth").starts_with("235 2.7.0"), "{probe:#}");
    assert_eq!(probe["evidence"]["visit"]["tls"]["protocol"], "TLSv1.3");
    let probe = ping(stack, "smtps", "SMTPS", &login).probe(0, "ok");
    assert_eq!(
        steps(&probe),
        ["dns", "connect", "tls", "banner", "ehlo", "auth", "quit"]
    );
    let wrong = login.replace(stack.get("SENDER_USER"), "nobody");
    let probe = ping(stack, "smtp", "SUBMISSION", &wrong).probe(2, "auth-failed");
    assert!(said(&probe, "auth").starts_with("535 5.7.8"), "{probe:#}");
}

#[test]
fn certificates_of_every_kind() {
    let Some(stack) = shared() else { return };
    for (service, word) in [
        ("SMTP_EXPIRED", "expired"),
        ("SMTP_WRONGNAME", "another name"),
    ] {
        let lenient = "--format json --ca-file CA";
        let probe = ping(stack, "smtp", service, lenient).probe(1, "certificate");
        assert!(
            probe["reason"].as_str().unwrap().contains(word),
            "{probe:#}"
        );
        let probe = ping(stack, "smtp", service, &format!("{lenient} --tls starttls"));
        let probe = probe.probe(2, "tls-failed");
        let own = &probe["evidence"]["visit"]["tls"]["chain"][0];
        assert!(own["not_after"].is_string(), "{probe:#}");
    }
    ping(stack, "smtp", "SMTP_STARTTLS", "--format json").probe(1, "certificate");
    ping(
        stack,
        "smtp",
        "SMTP_STARTTLS",
        "--format json --ca-file CA --tls starttls",
    )
    .probe(0, "ok");
    ping(stack, "smtp", "SMTP_PLAIN", "--format json --tls starttls").probe(2, "starttls-missing");
}

#[test]
fn dovecot_with_tls_and_a_login() {
    let Some(stack) = shared() else { return };
    let login = format!(
        "--format json --ca-file CA --username {}",
        stack.get("PROBE_ADDRESS")
    );
    for (scheme, service, can) in [
        ("imap", "IMAP", "IMAP4rev1"),
        ("imaps", "IMAPS", "IMAP4rev1"),
        ("pop3", "POP3", "UIDL"),
        ("pop3s", "POP3S", "UIDL"),
    ] {
        let probe = ping(stack, scheme, service, &login).probe(0, "ok");
        let steps = steps(&probe);
        let wanted: &[_] = if scheme.ends_with('s') {
            &[
                "dns",
                "connect",
                "tls",
                "banner",
                "capability",
                "auth",
                "quit",
            ]
        } else {
            &[
                "dns",
                "connect",
                "banner",
                "capability",
                "starttls",
                "capability",
                "auth",
                "quit",
            ]
        };
        assert_eq!(steps, wanted, "{scheme}");
        assert!(said(&probe, "banner").contains("Dovecot"), "{probe:#}");
        assert!(said(&probe, "capability").contains(can), "{probe:#}");
        assert!(said(&probe, "auth").contains("Logged in"), "{probe:#}");
        let wrong = login.replace(stack.get("PROBE_ADDRESS"), "nobody@monitor.test");
        let probe = ping(stack, scheme, service, &wrong).probe(2, "auth-failed");
        let refused = said(&probe, "auth").to_ascii_lowercase();
        assert!(refused.contains("authentication failed"), "{probe:#}");
    }
}

#[test]
fn several_visits_for_people() {
    let Some(stack) = shared() else { return };
    let pinged = ping(stack, "imap", "IMAP", "--ca-file CA -n 3 --interval 50ms");
    assert_eq!(pinged.exit, Some(0), "{}", pinged.text);
    assert!(
        pinged.text.contains("3 visits, 3 answered, 0.0% not"),
        "{}",
        pinged.text
    );
    assert!(pinged.text.contains("min/avg/max/mdev"), "{}", pinged.text);
}

/// Whatever a ping asks, the mailbox and the queue stay as they are.
#[test]
fn nothing_is_left_behind() {
    let Some(stack) = own() else { return };
    let address = stack.get("PROBE_ADDRESS");
    for _ in 0..3 {
        let arguments = format!("--from {address} --to {address}");
        assert_eq!(ping(&stack, "smtp", "SMTP_PLAIN", &arguments).exit, Some(0));
        let login = format!("--ca-file CA --username {address}");
        assert_eq!(ping(&stack, "imap", "IMAP", &login).exit, Some(0));
    }
    assert!(stack.imap().contents("INBOX").is_empty());
    let log = fs::read_to_string(stack.get("POSTFIX_LOG")).unwrap();
    assert!(log.contains("mail=1 rcpt=1 rset=1 quit=1"), "{log}");
    assert!(!log.contains("data="), "{log}");
}
