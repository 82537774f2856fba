//! What helps against a refusal follows from its code, not from the command alone.

use super::*;

#[test]
fn a_remedy_follows_from_the_code() {
    use Phase::{Auth, Data, Mail, Rcpt, Starttls};
    for (phase, reply, word) in [
        (Mail, "421 4.3.2 shutting down", "ends the session"),
        (
            Mail,
            "421 4.7.0 [TSS04] deferred due to user complaints",
            "does not take mail from here for now",
        ),
        (
            Mail,
            "421 4.7.28 unusual rate of mail from you",
            "throttles",
        ),
        (Mail, "452 4.3.1 insufficient system storage", "full disk"),
        (Mail, "451 4.4.3 cannot resolve", "next server or its DNS"),
        (Mail, "501 5.1.7 bad sender address syntax", "check `from`"),
        (Mail, "550 5.7.1 you may not", "check `from`"),
        (Mail, "553 no such sender", "check `from`"),
        (
            Mail,
            "530 5.7.0 Must issue a STARTTLS command first",
            "wants TLS",
        ),
        (Mail, "530 5.7.0 Authentication required", "login first"),
        (Mail, "503 5.5.1 log in first", "login first"),
        (Mail, "500 5.5.2 what", "does not understand"),
        (Mail, "552 message size exceeds the maximum", "too large"),
        (
            Rcpt,
            "550 5.1.1 <relay@relay.example>: no such user at relay.example",
            "check `to`",
        ),
        (
            Rcpt,
            "554 5.7.1 <a@b.example>: Relay access denied",
            "log in, or ask",
        ),
        (Rcpt, "452 4.2.2 over quota", "raise its quota"),
        (Rcpt, "552 5.2.2 no room", "mailbox is full"),
        (Rcpt, "450 4.1.8 sender's domain not found", "check `from`"),
        (Rcpt, "450 4.7.1 cannot find your hostname", "reverse DNS"),
        (Rcpt, "450 4.7.1 come back later", "greylisting"),
        (Rcpt, "550 5.7.1 a corporate and separate rule", "policy"),
        (
            Data,
            "550 5.7.26 unauthenticated mail is not accepted",
            "DMARC",
        ),
        (Starttls, "454 4.7.0 TLS not available", "cannot do TLS"),
        (Auth, "454 4.7.0 temporary failure", "cannot check logins"),
        (Auth, "535 5.7.8 no", "username and password"),
    ] {
        let said = remedy(phase, &replied(reply));
        assert!(said.contains(word), "{reply}: {said:?}, not {word:?}");
    }
}

#[test]
fn a_filter_that_refuses_the_message_needs_no_remedy() {
    for reply in [
        "550 5.7.1 Virus Eicar-Test-Signature found",
        "550 5.7.1 Command rejected",
        "554 5.7.1 Gtube pattern",
    ] {
        assert_eq!(remedy(Phase::Data, &replied(reply)), "", "{reply}");
    }
}

fn replied(text: &str) -> Reply {
    Reply {
        code: text.get(..3).and_then(|code| code.parse().ok()).unwrap(),
        esc: enhanced(text),
        raw: text.into(),
    }
}

/// The three numbers that follow the code, or zeros.
fn enhanced(reply: &str) -> [u8; 3] {
    let second = reply.split(' ').nth(1).unwrap_or_default();
    let numbers: Option<Vec<u8>> = second.split('.').map(|it| it.parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .unwrap_or_default()
}
