//! Every message is recognised again, and holds what it should.

use data_encoding::BASE64_MIME;
use proptest::prelude::*;

use super::super::payload::{Attached, Pattern};
use super::super::tag::{Instance, Signer};
use super::*;

fn signer() -> Signer {
    Signer::new(b"a family's key", Instance::named("berlin-1"))
}

fn tag(random: [u8; 7]) -> Tag {
    signer().mint("2026-01-02T03:04:05Z".parse().unwrap(), random)
}

fn composed(tag: Tag) -> Composed {
    let headers = [("X-Environment".to_owned(), "staging – größer".to_owned())];
    compose(&Draft {
        from: &address("probe@monitor.example").unwrap(),
        to: &address("echo@example.com").unwrap(),
        subject: "Email Verification for inbound",
        headers: &headers,
        sample: &Sample::of(Payload::Plain),
        route: "inbound",
        tag,
        date: "2026-01-02T03:04:05Z".parse().unwrap(),
    })
    .unwrap()
}

fn text(tag: Tag) -> String {
    String::from_utf8(composed(tag).bytes.into()).unwrap()
}

fn body(tag: Tag) -> String {
    text(tag).split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What is found in a message with this header and body.
fn found(header: &str, body: &str) -> (Kind, Option<Tag>, Vec<Carrier>) {
    let raw = format!("From: a@example.com\r\n{header}\r\n\r\n{body}");
    let Recognised {
        kind,
        tag,
        carriers,
    } = recognise(raw.as_bytes(), &signer());
    (kind, tag, carriers)
}

fn holds_payload(raw: &str, tag: Tag) -> bool {
    let mail = Mail::parse(raw.as_bytes()).unwrap();
    mail.leaves()
        .iter()
        .filter_map(|leaf| TextDigest::of_payload(&leaf.content.text()?))
        .any(|text| text == composed(tag).manifest.block)
}

/// A message with the longest texts that a config may hold, made of this one again and again.
fn longest(payload: Payload, again: &str) -> Vec<u8> {
    let most = |bytes: usize| {
        let mut text = again.repeat(bytes / again.len() + 1);
        text.truncate(text.floor_char_boundary(bytes));
        text
    };
    let long = format!("{}@{}example", "a".repeat(64), "b.".repeat(91));
    let file = Attached {
        name: format!("a\r\nb {}", most(240)),
        path: "file".into(),
        bytes: b"attached".to_vec(),
    };
    let sample = Sample {
        file: (payload == Payload::Attachment).then(|| file.into()),
        ..Sample::of(payload)
    };
    let headers = [
        ("X-Long".to_owned(), most(990)),
        ("X-".repeat(38), most(920)),
    ];
    let draft = Draft {
        from: &address(&long).unwrap(),
        to: &address(&long).unwrap(),
        subject: &most(500),
        headers: &headers,
        sample: &sample,
        route: &most(128),
        tag: tag([7; 7]),
        date: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    compose(&draft).unwrap().bytes.into()
}

/// RFC 5322 §2.1.1: no line is longer than 998 bytes, and those of the header no longer than 78 where they can be folded.
#[test]
fn no_line_is_too_long_whatever_the_config_says() {
    for payload in Payload::ALL {
        for again in ["x", "word ", "größer", "größer als ", "\u{1f426}", "  "] {
            let message = longest(*payload, again);
            let mut is_header = true;
            for line in message.split(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let shown = String::from_utf8_lossy(line);
                assert!(line.len() <= 998, "{payload} {again:?}: {shown}");
                is_header &= !line.is_empty();
                let is_text = is_header && !shown.contains('@');
                if is_text && again == "word " && line.len() > 78 {
                    let words = shown.trim().split(' ').count();
                    assert!(words <= 2, "{payload} could fold {shown}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_well_formed_and_carries_its_tag_four_times(random: [u8; 7]) {
        let tag = tag(random);
        let message = text(tag);
        prop_assert!(message.ends_with("\r\n"));
        for line in message.split_terminator("\r\n") {
            prop_assert!(!line.contains(['\r', '\n']), "a bare line end in {line:?}");
            prop_assert!(line.len() <= 78, "{} characters in {line:?}", line.len());
            prop_assert!(line.is_ascii());
        }
        let found = recognise(message.as_bytes(), &signer());
        prop_assert_eq!(found.tag, Some(tag));
        prop_assert_eq!(found.kind, Kind::Copy);
        let all = [Carrier::MessageId, Carrier::Header, Carrier::Subject, Carrier::Body];
        prop_assert_eq!(found.carriers, all);
        let mail = Mail::parse(message.as_bytes()).unwrap();
        prop_assert_eq!(mail.field("Auto-Submitted"), Some("auto-generated"));
        let subject = format!("Email Verification for inbound {tag}");
        prop_assert_eq!(mail.subject(), Some(subject.as_str()));
        prop_assert!(holds_payload(&message, tag));
    }

    #[test]
    fn each_carrier_alone_is_enough(random: [u8; 7]) {
        let tag = tag(random);
        let body = body(tag);
        let base64 = BASE64_MIME.encode(body.as_bytes());
        let quoted: String = body
            .bytes()
            .enumerate()
            .map(|(at, byte)| match (byte, at % 7) {
                (b'\r' | b'\n', _) => char::from(byte).to_string(),
                (b'=', _) | (_, 0) => format!("={byte:02X}"),
                (_, 3) => format!("{}=\r\n", char::from(byte)),
                _ => char::from(byte).to_string(),
            })
            .collect();
        let html = format!("<html><body><p>{}</p></body></html>", body.replace("\r\n", "<br>\r\n"));
        let word = tag.to_string();
        let (encoded_a, encoded_b) = word.split_at(17);
        let cases: Vec<(String, String, Carrier)> = vec![
            (format!("Message-ID: <{tag}@monitor.example>"), String::new(), Carrier::MessageId),
            (format!("X-Microsoft-Original-Message-ID:\r\n <{tag}@monitor.example>"), String::new(), Carrier::MessageId),
            (format!("x-ms-exchange-parent-message-id: <{tag}@x>"), String::new(), Carrier::References),
            (format!("x-mailrobin-tag: {tag}"), String::new(), Carrier::Header),
            (format!("Subject: FW: [EXTERNAL] ***SPAM*** about {tag}"), String::new(), Carrier::Subject),
            (format!("Subject: =?utf-8?q?{encoded_a}?=\r\n =?utf-8?q?{encoded_b}?="), String::new(), Carrier::Subject),
            (format!("References: <other@x> <{tag}@x>"), String::new(), Carrier::References),
            (format!("Delivered-To: probe+{tag}@example.com"), String::new(), Carrier::Recipient),
            (format!("Return-Path: <probe+{tag}@example.com>"), String::new(), Carrier::Sender),
            (format!("Original-Envelope-Id: {tag}"), String::new(), Carrier::EnvelopeId),
            ("Subject: none".into(), body.clone(), Carrier::Body),
            ("Subject: none".into(), body.replace("\r\n", "\r\n> "), Carrier::Body),
            ("Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0".into(), base64, Carrier::Body),
            ("Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0".into(), quoted, Carrier::Body),
            ("Content-Type: text/html\r\nMIME-Version: 1.0".into(), html, Carrier::Body),
            ("Content-Type: message/rfc822\r\nMIME-Version: 1.0".into(), text(tag), Carrier::Body),
            (
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b".into(),
                format!("--b\r\n\r\nsee below\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: {tag}\r\n\r\n.\r\n--b--\r\n"),
                Carrier::Body,
            ),
        ];
        for (header, body, carrier) in cases {
            let (_, found, carriers) = found(&header, &body);
            prop_assert_eq!((found, carriers), (Some(tag), vec![carrier]), "{}", header);
        }
    }

    #[test]
    fn the_payload_survives_quoting_rewrapping_and_footers(random: [u8; 7], width in 20_usize..60) {
        let tag = tag(random);
        let body = body(tag);
        let rewrapped = textwrap::fill(&body.replace("\r\n", " "), width).replace('\n', "\r\n> ");
        for body in [body.replace("\r\n", "\r\n>> "), format!("> {rewrapped}"), format!("A banner\r\n{body}\r\n-- \r\nA footer")] {
            let raw = format!("Subject: x\r\n\r\n{body}");
            prop_assert!(holds_payload(&raw, tag), "{}", raw);
        }
        let cut = format!("Subject: x\r\n\r\n{}", body.replace(PAYLOAD_END, ""));
        prop_assert!(!holds_payload(&cut, tag));
        let replaced = format!("Subject: x\r\n\r\n{}", body.replace('.', "!"));
        prop_assert!(!holds_payload(&replaced, tag));
    }

    #[test]
    fn any_bytes_are_looked_at_without_a_panic(bytes: Vec<u8>) {
        recognise(&bytes, &signer());
    }
}

/// A payload's message, as it goes over the wire.
fn wire(payload: Payload, file: &[u8]) -> (Tag, Vec<u8>) {
    let tag = tag([3; 7]);
    let mut sample = Sample::of(payload);
    sample.size = Some(20_000);
    sample.file = (payload == Payload::Attachment).then(|| {
        std::sync::Arc::new(Attached {
            name: "letter.txt".into(),
            path: std::path::PathBuf::new(),
            bytes: file.to_vec(),
        })
    });
    let composed = compose(&Draft {
        from: &address("probe@monitor.example").unwrap(),
        to: &address("echo@example.com").unwrap(),
        subject: "Email Verification for inbound",
        headers: &[],
        sample: &sample,
        route: "inbound",
        tag,
        date: "2026-01-02T03:04:05Z".parse().unwrap(),
    });
    (tag, composed.unwrap().bytes.to_vec())
}

fn is_eight_bit(payload: Payload) -> bool {
    matches!(payload, Payload::EightBit | Payload::Smtputf8)
}

/// Lines that end in CR LF alone, and none too long (RFC 5321 §2.3.8, RFC 5322 §2.1.1).
fn wrong_lines(message: &[u8]) -> Option<String> {
    if !message.ends_with(b"\r\n") {
        return Some("it ends without a line end".into());
    }
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    lines.enumerate().find_map(|(at, line)| {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let bare = line.contains(&b'\r') || line.contains(&b'\n');
        let wrong = bare || line.contains(&0) || line.len() > 998;
        wrong.then(|| format!("line {at} of {} characters", line.len()))
    })
}

#[test]
fn every_payload_is_fit_for_the_wire_and_carries_its_tag_four_times() {
    for payload in Payload::ALL {
        let (tag, message) = wire(*payload, b"Dear reader,\r\nnothing.\r\n");
        assert_eq!(wrong_lines(&message), None, "{payload}");
        assert_eq!(message.is_ascii(), !is_eight_bit(*payload), "{payload}");
        let found = recognise(&message, &signer());
        assert_eq!(
            (found.kind, found.tag),
            (Kind::Copy, Some(tag)),
            "{payload}"
        );
        let all = [
            Carrier::MessageId,
            Carrier::Header,
            Carrier::Subject,
            Carrier::Body,
        ];
        assert_eq!(found.carriers, all, "{payload}");
    }
}

#[test]
fn a_file_goes_in_base64_whatever_is_in_it() {
    for file in [
        &b"Dear reader,\nnothing.\n"[..],
        b"no end",
        b"a\rb\r\nc\n.\n..\n",
        b"\xff\x00",
        "größer\n".as_bytes(),
    ] {
        let (_, message) = wire(Payload::Attachment, file);
        assert_eq!(wrong_lines(&message), None, "{file:?}");
        let encoded = data_encoding::BASE64.encode(file);
        assert!(
            crate::pattern::holds(&message, encoded.as_bytes()),
            "{file:?}"
        );
    }
}

#[test]
fn a_pattern_stands_in_the_clear_only_where_its_payload_says_so() {
    for payload in Payload::ALL {
        let Some(pattern) = payload.pattern().map(Pattern::bytes) else {
            continue;
        };
        let is_packed = matches!(
            payload,
            Payload::EicarZip
                | Payload::EicarZipZip
                | Payload::EicarTarGz
                | Payload::EicarNested
                | Payload::EicarEncryptedZip
        );
        // See the next test.
        if matches!(payload, Payload::EicarBase64 | Payload::EicarRenamed) {
            continue;
        }
        let (_, message) = wire(*payload, b"");
        let clear = crate::pattern::holds(&message, &pattern);
        assert_eq!(clear, !is_packed, "{payload}");
    }
}

#[test]
fn the_virus_in_base64_is_in_base64() {
    let virus = Pattern::Eicar.bytes();
    for payload in [Payload::EicarBase64, Payload::EicarRenamed] {
        let (_, message) = wire(payload, b"");
        assert!(!crate::pattern::holds(&message, &virus), "{payload}");
        let joined: Vec<u8> = message
            .into_iter()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let encoded = data_encoding::BASE64.encode(&virus);
        assert!(
            crate::pattern::holds(&joined, encoded.as_bytes()),
            "{payload}"
        );
    }
}

/// What a message that carries the tag is taken for.
fn kind(header: &str, body: &str) -> Kind {
    let (kind, found, _) = found(header, body);
    assert!(found.is_some(), "{header}");
    kind
}

/// A body of this type with these parts.
fn parts(kind: &str, parts: &[(&str, &str)]) -> (String, String) {
    let header = format!("MIME-Version: 1.0\r\nContent-Type: {kind}; boundary=b");
    let mut body = String::new();
    for (kind, part) in parts {
        body.extend(["--b\r\nContent-Type: ", kind, "\r\n\r\n", part, "\r\n"]);
    }
    (header, body + "--b--\r\n")
}

#[test]
fn a_copy_has_our_own_fields_or_the_payload() {
    let tag = tag([1; 7]);
    let (text, body) = (text(tag), body(tag));
    let mention = format!("About {tag}.");
    for (header, body) in [
        (format!("Message-ID: <{tag}@x>"), "gone"),
        (format!("X-Mailrobin-Tag: {tag}"), "gone"),
        ("Subject: FW: hello".into(), &*body),
        (format!("X-Microsoft-Original-Message-ID: <{tag}@x>"), &body),
        (
            format!("In-Reply-To: <{tag}@x>\r\nSubject: WG: Email {tag}"),
            &body,
        ),
    ] {
        assert_eq!(kind(&header, body), Kind::Copy, "{header}");
    }
    // As SpamAssassin wraps a message: the outer header is the same.
    let (header, wrapped) = parts("multipart/mixed", &[("message/rfc822", &text)]);
    let header = format!("Message-ID: <{tag}@x>\r\nX-Spam-Flag: YES\r\n{header}");
    assert_eq!(kind(&header, &wrapped), Kind::Copy);
    for (header, body) in [
        (format!("Subject: about {tag}"), "gone"),
        ("Subject: 3 messages held".into(), &*mention),
        (format!("References: <{tag}@x>"), "I am away."),
        (
            format!("X-MS-Exchange-Parent-Message-Id: <{tag}@x>\r\nSubject: {tag}"),
            "I am away.",
        ),
        (format!("Subject: Re: {tag}"), &body),
    ] {
        assert_eq!(kind(&header, body), Kind::Reply, "{header}");
    }
    for header in [
        "Subject: none".into(),
        "Auto-Submitted: auto-forwarded".into(),
        format!("Subject: [Request received] {tag}"),
        format!("In-Reply-To: <{tag}@x>\r\nSubject: [Request received] {tag}"),
        format!("References: <{tag}@x>\r\nSubject: Vast: {tag}"),
    ] {
        assert_eq!(kind(&header, &body), Kind::Quote, "{header}");
    }
}

#[test]
fn what_a_mail_system_writes_is_a_report() {
    let tag = tag([2; 7]);
    let (text, body) = (text(tag), body(tag));
    for header in [
        "Return-Path: <>",
        "Return-Path: <>\r\nSubject: FW: hello",
        "Auto-Submitted: auto-replied (vacation)",
        "X-Autoreply: yes",
        "X-Autogenerated: Reply",
        "Precedence: auto_reply",
    ] {
        assert_eq!(kind(header, &body), Kind::Report, "{header}");
    }
    // The header of the message stands in the text.
    assert_eq!(kind("Subject: Returned", &text), Kind::Report);
    for (whole, inner, is) in [
        ("multipart/mixed", "message/delivery-status", Kind::Report),
        ("multipart/mixed", "message/feedback-report", Kind::Reply),
        ("multipart/mixed", "text/plain", Kind::Report),
        (
            "multipart/report; report-type=delivery-status",
            "text/plain",
            Kind::Report,
        ),
        ("multipart/report", "text/plain", Kind::Report),
        (
            "multipart/report; report-type=disposition-notification",
            "text/plain",
            Kind::Reply,
        ),
        (
            "multipart/report; report-type=feedback-report",
            "text/plain",
            Kind::Reply,
        ),
    ] {
        let inner = [(inner, "Some: words"), ("message/rfc822", &*text)];
        let (header, body) = parts(whole, &inner);
        assert_eq!(kind(&header, &body), is, "{whole} with {inner:?}");
    }
    let raw = format!("From: MAILER-DAEMON@mx\r\n\r\n550 unknown user\r\n{text}");
    assert_eq!(recognise(raw.as_bytes(), &signer()).kind, Kind::Report);
}

#[test]
fn a_message_forwarded_as_an_attachment_is_a_copy() {
    let tag = tag([3; 7]);
    let enclosed = [
        ("text/plain", "See below."),
        ("message/rfc822", &*text(tag)),
    ];
    let (header, body) = parts("multipart/mixed", &enclosed);
    let from = |from: &str, subject: &str| {
        let raw = format!("From: {from}\r\nSubject: {subject}\r\n{header}\r\n\r\n{body}");
        recognise(raw.as_bytes(), &signer()).kind
    };
    let marked = format!("WG: Email {tag}");
    assert_eq!(from("Echo <echo@example.com>", "hello"), Kind::Copy);
    assert_eq!(from("echo@inner.example", &marked), Kind::Copy);
    assert_eq!(from("staff@hotmail.example", "complaint"), Kind::Report);
    assert_eq!(from("postmaster@example.com", "hello"), Kind::Report);
}

#[test]
fn a_header_that_would_break_the_message_is_refused() {
    for name in ["X Bad", "X-B\r\nBcc", ""] {
        assert!(!is_field_name(name), "{name:?}");
    }
}
