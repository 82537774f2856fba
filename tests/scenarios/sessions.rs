//! What the gateway hears: the commands of RFC 5321 and its extensions, in their order and no others.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use mailrobin::probe::facts::End;
use mailrobin::smtp::submit::{Submission, Submitter};

use crate::peer::{Heard, Peer};
use crate::scenario::{Scenario, Script};
use crate::{QUIET, judge, stage};

fn heard(text: &str) -> Vec<Heard> {
    let _loud = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let scenario = Scenario::parse(&format!("title = \"a session\"\n{text}")).unwrap();
    let played = stage::play(&scenario);
    let differences = judge::differences(&scenario, &played);
    assert!(differences.is_empty(), "{differences:#?}");
    played.heard
}

#[test]
fn with_every_extension_the_envelope_says_all_there_is_to_say() {
    let heard = heard(
        r#"
        gateway = { deliver = true, ehlo = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250 DSN" }
        expect = { exit = 0, outcome = "delivered", carriers = ["message-id", "header", "subject", "body"] }
        "#,
    );
    let [session] = &heard[..] else {
        panic!("{} sessions", heard.len());
    };
    let message = &session.messages[0];
    let text = String::from_utf8(message.clone()).unwrap();
    let tag = text
        .lines()
        .find_map(|line| line.strip_prefix("X-Mailrobin-Tag: "))
        .unwrap();
    assert_eq!(
        session.lines,
        [
            "EHLO client.example",
            &format!(
                "MAIL FROM:<probe@lab.example> SIZE={} RET=HDRS ENVID={tag}",
                message.len()
            ),
            "RCPT TO:<echo@echo.example> NOTIFY=FAILURE,DELAY",
            "DATA",
            ".",
            "QUIT",
        ]
    );
    assert!(text.ends_with("\r\n"));
    assert_eq!(
        text.matches('\n').count(),
        text.matches("\r\n").count(),
        "bare line feeds"
    );
    assert!(text.lines().all(|line| line.len() <= 998));
}

#[test]
fn without_extensions_nothing_is_said_that_was_not_offered() {
    for ehlo in ["250 mx.example", "502 5.5.1 what is EHLO"] {
        let heard = heard(&format!(
            "gateway = {{ deliver = true, ehlo = \"{ehlo}\" }}\n\
             expect = {{ exit = 0, outcome = \"delivered\" }}"
        ));
        let greeting: &[&str] = if ehlo.starts_with("250") {
            &["EHLO client.example"]
        } else {
            &["EHLO client.example", "HELO client.example"]
        };
        let rest = [
            "MAIL FROM:<probe@lab.example>",
            "RCPT TO:<echo@echo.example>",
            "DATA",
            ".",
            "QUIT",
        ];
        assert_eq!(heard[0].lines, [greeting, &rest].concat());
    }
}

#[test]
fn a_kept_session_greets_once() {
    let heard = heard(
        r#"
        gateway = { deliver = true }
        check = { args = ["--count", "3", "--concurrency", "1"] }
        expect = { exit = 0, message_ids = 3, sessions = ["EHLO MAIL RCPT DATA . MAIL RCPT DATA . MAIL RCPT DATA . QUIT"] }
        "#,
    );
    assert_eq!(heard.len(), 1);
}

#[test]
fn a_refused_recipient_is_forgotten_with_rset() {
    let heard = heard(
        r#"
        gateway = { deliver = true, rcpt = ["550 5.1.1 nobody of that name", "250 ok"] }
        check = { args = ["--count", "2", "--concurrency", "1"] }
        [expect]
        exit = 2
        sessions = ["EHLO MAIL RCPT RSET MAIL RCPT DATA . QUIT"]
        probes = [{ outcome = "rejected" }, { outcome = "delivered" }]
        "#,
    );
    assert_eq!(heard.len(), 1);
}

/// The messages of `check` have no line that begins with a dot, so the client is asked directly.
#[test]
fn a_message_full_of_dots_arrives_byte_for_byte() {
    let message = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\na.\r\n...\r\n.\r\n";
    let peer = Peer::start(Script::default(), ([127, 0, 0, 1], 1).into());
    let config = format!(
        r#"
        [gateways.edge]
        host = "127.0.0.1"
        port = {}
        tls = "none"
        [mailboxes.returns]
        protocol = "imap"
        host = "127.0.0.1"
        username = "probe"
        password = "probe"
        [routes.inbound]
        gateway = "edge"
        mailbox = "returns"
        from = "probe@lab.example"
        to = "echo@echo.example"
        "#,
        peer.address.port()
    );
    let (plan, _) = mailrobin::config::parse(&config, "a config", Path::new("")).unwrap();
    let route = plan.routes.values().next().unwrap();
    let submission = Submission {
        from: route.from.clone(),
        to: route.to.clone(),
        message: message.as_slice().into(),
        envelope_id: "none".into(),
        address: None,
        pinned: false,
        in_clear: false,
        transcript: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (attempt, _) = runtime.block_on(async {
        let submitter = Submitter::new(Arc::clone(&route.gateway));
        submitter.submit(None, &submission, |_| {}).await
    });
    assert!(matches!(attempt.end, End::Accepted(_)), "{:?}", attempt.end);
    let heard = peer.heard();
    assert_eq!(heard[0].messages, [message]);
    assert_eq!(
        heard[0].wire[0],
        b"Subject: dots\r\n\r\n..\r\n...\r\n..a\r\na.\r\n....\r\n..\r\n"
    );
}
