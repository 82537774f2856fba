//! What a copy still holds, however it is wrapped, and how what cannot be read counts.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, BASE64_MIME};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use zip::write::{FullFileOptions, SimpleFileOptions, ZipWriter};
use zip::{AesMode, CompressionMethod};

use super::*;
use crate::clock::Stamp;
use crate::judge::evidence::{Copy, Settings, copy};
use crate::mime::archive::MAX_MEMBER;
use crate::probe::facts::{Place, SeenBy, Sighting, Uid};
use crate::probe::message::{Composed, Draft, Kind, address, compose, recognise};
use crate::probe::outcome::Outcome;
use crate::probe::payload::{Attached, Pattern, Payload, Sample};
use crate::probe::tag::{Instance, Signer, Tag};

/// No copy may keep the judge longer, in a build without optimisation on a busy machine.
const AT_MOST: Duration = Duration::from_secs(30);

/// A probe that was sent, and what comes back of it.
struct Sent {
    sample: Sample,
    tag: Tag,
    composed: Composed,
    headers: Vec<(String, String)>,
}

fn signer() -> Signer {
    Signer::new(b"a family's key", Instance::named("berlin-1"))
}

impl Sent {
    fn new(payload: Payload) -> Self {
        let mut sample = Sample::of(payload);
        sample.size = (payload == Payload::Large).then_some(100 * 1024);
        sample.file = (payload == Payload::Attachment).then(|| {
            Arc::new(Attached {
                name: "letter.bin".into(),
                path: PathBuf::new(),
                bytes: b"\x00\x01 not a text \xff\n".repeat(9),
            })
        });
        Self::of(sample, [7; 7])
    }

    fn of(sample: Sample, random: [u8; 7]) -> Self {
        let tag = signer().mint("2026-01-02T03:04:05Z".parse().unwrap(), random);
        let headers = vec![("X-Environment".to_owned(), "staging – größer".to_owned())];
        let composed = compose(&draft(&sample, tag, &headers)).unwrap();
        Self {
            sample,
            tag,
            composed,
            headers,
        }
    }

    /// The copy of these bytes.
    fn back(&self, raw: &[u8]) -> Copy {
        self.seen(raw, true, false)
    }

    fn seen(&self, raw: &[u8], whole: bool, junk: bool) -> Copy {
        let sighting = Sighting {
            place: Place {
                mailbox: "returns".into(),
                folder: "INBOX".into(),
                junk,
                uid: Uid::Imap {
                    validity: 1,
                    uid: 1,
                },
                tag: self.tag,
            },
            seen: Stamp::now(),
            by: SeenBy::Poll,
            looked_before: None,
            delivered_at: None,
            size: u32::try_from(raw.len()).unwrap(),
            recognised: recognise(raw, &signer()),
            raw: raw.to_vec().into(),
            whole,
        };
        let draft = draft(&self.sample, self.tag, &self.headers);
        copy(
            &sighting,
            &draft,
            &self.composed.manifest,
            Settings::default(),
        )
    }

    /// The message as it was sent, with other bytes for some of its own.
    fn with(&self, from: &str, to: &str) -> Vec<u8> {
        let text = String::from_utf8(self.composed.bytes.to_vec()).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        text.replace(from, to).into_bytes()
    }

    /// A message with these parts, and the tag.
    fn parts(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut raw = format!(
            "From: a@example.com\r\nX-Mailrobin-Tag: {}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n",
            self.tag
        )
        .into_bytes();
        for part in parts {
            raw.extend(b"--b\r\n");
            raw.extend(part);
            raw.extend(b"\r\n");
        }
        raw.extend(b"--b--\r\n");
        raw
    }
}

fn draft<'a>(sample: &'a Sample, tag: Tag, headers: &'a [(String, String)]) -> Draft<'a> {
    static ADDRESSES: std::sync::OnceLock<[lettre::Address; 2]> = std::sync::OnceLock::new();
    let [from, to] = ADDRESSES.get_or_init(|| {
        ["probe@monitor.example", "echo@example.com"].map(|text| address(text).unwrap())
    });
    Draft {
        from,
        to,
        subject: "Email Verification for inbound",
        headers,
        sample,
        route: "inbound",
        tag,
        date: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

/// A part: its header fields and its body.
fn part(header: &str, body: &[u8]) -> Vec<u8> {
    [header.as_bytes(), b"\r\n\r\n", body].concat()
}

/// A part in base64.
fn packed(name: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!(
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"{name}\""
    );
    part(&header, BASE64_MIME.encode(bytes).as_bytes())
}

fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

fn encrypted_zip(password: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = FullFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .with_aes_encryption(AesMode::Aes128, password);
    zip.start_file("a.txt", options).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

fn tar_gz(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_data(&mut header, name, bytes).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn eicar() -> Vec<u8> {
    Pattern::Eicar.bytes()
}

fn fates(copy: &Copy) -> Vec<Fate> {
    copy.integrity.parts.iter().map(|part| part.fate).collect()
}

fn added(copy: &Copy) -> Vec<&str> {
    copy.integrity
        .added
        .iter()
        .map(|part| part.name.as_deref().unwrap_or(&part.media_type))
        .collect()
}

#[test]
fn every_payload_is_recognised_and_comes_back_as_it_was_sent() {
    for payload in Payload::ALL {
        let sent = Sent::new(*payload);
        let found = recognise(&sent.composed.bytes, &signer());
        assert_eq!(
            (found.kind, found.tag),
            (Kind::Copy, Some(sent.tag)),
            "{payload}"
        );
        let copy = sent.back(&sent.composed.bytes);
        assert!(copy.holds, "{payload}");
        assert_eq!(copy.outcome, Outcome::Delivered, "{payload}");
        let integrity = &*copy.integrity;
        assert_eq!(integrity.text, Fate::Intact, "{payload}");
        assert_eq!(integrity.unread, None, "{payload}");
        assert!(integrity.headers_added.is_empty(), "{payload}");
        assert!(integrity.headers_removed.is_empty(), "{payload}");
        assert!(integrity.headers_changed.is_empty(), "{payload}");
        assert_eq!(
            sent.seen(&sent.composed.bytes, true, true).outcome,
            Outcome::Junked,
            "{payload}"
        );
    }
}

#[test]
fn nothing_is_told_of_a_copy_that_nobody_touched() {
    for payload in Payload::ALL {
        let sent = Sent::new(*payload);
        let copy = sent.back(&sent.composed.bytes);
        let parts = &copy.integrity.parts;
        assert!(
            parts.iter().all(|part| part.fate == Fate::Intact),
            "{payload}: {parts:?}"
        );
        assert_eq!(added(&copy), [""; 0], "{payload}");
    }
}

#[test]
fn nothing_of_a_payload_is_found_where_another_was_sent() {
    let plain = Sent::new(Payload::Plain);
    for payload in Payload::ALL.iter().filter(|it| **it != Payload::Plain) {
        let sent = Sent::new(*payload);
        let copy = sent.back(&plain.composed.bytes);
        let same_text = plain.composed.manifest.block == sent.composed.manifest.block;
        let is_text = sent.composed.manifest.payload == Holds::Block;
        assert_eq!(copy.holds, is_text && same_text, "{payload}");
        assert_eq!(copy.outcome == Outcome::Altered, !copy.holds, "{payload}");
    }
}

#[test]
fn the_fate_of_a_part_is_told_by_what_is_in_its_place() {
    let sent = Sent::new(Payload::Eicar);
    let virus = eicar();
    let named = |name: &str| {
        format!("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=\"{name}\"")
    };
    let base64 = format!(
        "{}\r\nContent-Transfer-Encoding: base64",
        named("eicar.txt")
    );
    let longer = [&virus[..], b"\r\n-- \r\nchecked"].concat();
    let quoted = [b"> ", &virus[..]].concat();
    let other = part(&named("notice.txt"), b"it was taken out");
    let cases: Vec<(&str, Vec<Vec<u8>>, Fate, bool)> = vec![
        (
            "as sent",
            vec![part(&named("eicar.txt"), &virus)],
            Fate::Intact,
            true,
        ),
        (
            "renamed",
            vec![part(&named("eicar.txt.bin"), &virus)],
            Fate::Renamed,
            true,
        ),
        (
            "another type",
            vec![part(
                &named("eicar.txt").replace("text/plain", "application/x-unknown"),
                &virus,
            )],
            Fate::Renamed,
            true,
        ),
        (
            "base64",
            vec![part(&base64, BASE64.encode(&virus).as_bytes())],
            Fate::ReEncoded,
            true,
        ),
        (
            "in an archive",
            vec![packed("all.zip", &zip("eicar.txt", &virus))],
            Fate::ReEncoded,
            true,
        ),
        (
            "with a footer",
            vec![part(&named("eicar.txt"), &longer)],
            Fate::Extended,
            true,
        ),
        (
            "quoted",
            vec![part(&named("eicar.txt"), &quoted)],
            Fate::Extended,
            true,
        ),
        (
            "other bytes",
            vec![part(&named("eicar.txt"), b"clean")],
            Fate::Replaced,
            false,
        ),
        ("another file", vec![other.clone()], Fate::Replaced, false),
        (
            "cut",
            vec![part(&named("eicar.txt"), &virus[..67])],
            Fate::Replaced,
            false,
        ),
        ("nothing", vec![], Fate::Missing, false),
        (
            "a notice beside it",
            vec![other, part(&named("eicar.txt"), &virus)],
            Fate::Intact,
            true,
        ),
        (
            "altered and intact",
            vec![
                part(&named("eicar.txt"), b"clean"),
                part(&named("eicar.txt"), &virus),
            ],
            Fate::Intact,
            true,
        ),
    ];
    for (what, parts, fate, holds) in cases {
        let copy = sent.back(&sent.parts(&parts));
        assert_eq!((fates(&copy), copy.holds), (vec![fate], holds), "{what}");
        assert_eq!(copy.outcome == Outcome::Altered, !holds, "{what}");
        let now = copy.integrity.parts[0].now.as_ref();
        let is_told = !matches!(fate, Fate::Intact | Fate::Missing);
        assert_eq!(now.is_some(), is_told, "{what}");
    }
}

#[test]
fn what_took_the_place_of_a_part_is_told_to_the_byte() {
    let sent = Sent::new(Payload::EicarZip);
    let notice = b"Malware was found";
    let copy = sent.back(&sent.parts(&[part(
        "Content-Type: text/plain; name=\"Malware Alert Text.txt\"\r\n\
         Content-Disposition: attachment; filename=\"Malware Alert Text.txt\"",
        notice,
    )]));
    let part = &copy.integrity.parts[0];
    assert_eq!(part.sent.name.as_deref(), Some("eicar.zip"));
    assert_eq!(part.sent.media_type, "application/zip");
    assert_eq!(part.fate, Fate::Replaced);
    let now = part.now.as_ref().unwrap();
    assert_eq!(now.name.as_deref(), Some("Malware Alert Text.txt"));
    assert_eq!(
        (&*now.media_type, now.size),
        ("text/plain", notice.len() as u64)
    );
    assert_eq!(now.sha256, Sha256::of(notice).to_string());
    assert_eq!(added(&copy), [""; 0]);
}

#[test]
fn parts_that_were_not_sent_are_told() {
    let sent = Sent::new(Payload::Plain);
    let body = sent.composed.bytes.to_vec();
    let body = String::from_utf8(body).unwrap();
    let (_, text) = body.split_once("\r\n\r\n").unwrap();
    let text = part(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable",
        text.as_bytes(),
    );
    let copy = sent.back(&sent.parts(&[
        text,
        packed("logo.png", b"\x89PNG"),
        part(
            "Content-Type: text/plain",
            b"This list is run by volunteers.",
        ),
    ]));
    assert_eq!(copy.outcome, Outcome::Delivered);
    assert_eq!(added(&copy), ["logo.png", "text/plain"]);
}

#[test]
fn header_fields_are_compared_by_what_they_say() {
    let sent = Sent::new(Payload::Plain);
    let subject = format!("Subject: Email Verification for inbound {}", sent.tag);
    let folded = format!(
        "Subject: Email\r\n  Verification for\r\n\tinbound {}",
        sent.tag
    );
    let encoded = format!(
        "SUBJECT: =?utf-8?q?Email_Verification?= =?utf-8?b?IGZvciBpbmJvdW5k?= {}",
        sent.tag
    );
    for other in [&folded, &encoded] {
        let text = String::from_utf8(sent.composed.bytes.to_vec()).unwrap();
        let unfolded = text.replace("\r\n ", " ");
        assert!(unfolded.contains(&subject), "{unfolded}");
        let copy = sent.back(unfolded.replace(&subject, other).as_bytes());
        assert!(copy.integrity.headers_changed.is_empty(), "{other}");
    }
    let raw = sent.with("X-Environment: ", "X-Environment: other ");
    let raw = String::from_utf8(raw).unwrap();
    let raw = raw.replace("X-Auto-Response-Suppress: All\r\n", "");
    let raw = format!(
        "Received: from a by b; Fri, 2 Jan 2026 03:04:05 +0000\r\nReturn-Path: <>\r\n\
         Delivered-To: a@b\r\nX-Loop: one\r\nx-loop: two\r\nDKIM-Signature: v=1\r\n{raw}"
    );
    let integrity = sent.back(raw.as_bytes()).integrity;
    let added: BTreeSet<_> = integrity
        .headers_added
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    assert_eq!(
        added,
        ["dkim-signature", "x-loop"].map(str::to_owned).into()
    );
    assert_eq!(integrity.headers_removed, ["X-Auto-Response-Suppress"]);
    let changed = &integrity.headers_changed;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].name, "X-Environment");
    assert_eq!(changed[0].sent, "staging – größer");
    assert_eq!(changed[0].received, "other staging – größer");
}

#[test]
fn thousands_of_header_fields_are_told_up_to_a_bound() {
    let sent = Sent::new(Payload::Plain);
    let more = (0..20_000)
        .map(|number| format!("X-Field-{number}: {}\r\n", "y".repeat(40)))
        .collect::<Vec<_>>()
        .concat();
    let raw = [more.as_bytes(), &sent.composed.bytes].concat();
    let begun = Stamp::now();
    let copy = sent.back(&raw);
    assert_eq!(copy.integrity.headers_added.len(), LISTED);
    assert!(Stamp::now().since(begun) < AT_MOST);
}

#[test]
fn a_virus_is_found_however_it_is_wrapped() {
    let virus = eicar();
    let pattern = String::from_utf8(virus.clone()).unwrap();
    let entities: Vec<_> = virus.iter().map(|byte| format!("&#{byte};")).collect();
    let entities = entities.concat();
    let utf16: Vec<u8> = pattern.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let quoted = virus
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let soft = if at % 20 == 19 { "=\r\n" } else { "" };
            format!("={byte:02X}{soft}")
        })
        .collect::<Vec<_>>()
        .concat();
    let attached = |inner: &[u8]| part("Content-Type: message/rfc822", inner);
    let innermost = [
        b"Subject: 3\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n",
        &packed("eicar.bin", &virus)[..],
        b"\r\n--c--\r\n",
    ]
    .concat();
    let deeper = |inner: &[u8]| {
        let header = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n";
        [&header[..], inner].concat()
    };
    let nested = attached(&deeper(&deeper(&innermost)));
    let html = |body: &str| {
        part(
            "Content-Type: text/html",
            format!("<p>{body}</p>").as_bytes(),
        )
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("plain", part("Content-Type: text/plain", &virus)),
        (
            "in a sentence",
            part(
                "Content-Type: text/plain",
                format!("see {pattern}!").as_bytes(),
            ),
        ),
        ("base64", packed("a.bin", &virus)),
        (
            "quoted-printable",
            part(
                "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
                quoted.as_bytes(),
            ),
        ),
        ("HTML", html(&pattern)),
        ("HTML in entities", html(&entities)),
        (
            "UTF-16",
            part(
                "Content-Type: text/plain; charset=utf-16be\r\nContent-Transfer-Encoding: base64",
                BASE64_MIME.encode(&utf16).as_bytes(),
            ),
        ),
        ("zip", packed("a.zip", &zip("a", &virus))),
        ("tar.gz", packed("a.tgz", &tar_gz("a", &virus))),
        (
            "tar.gz in a zip",
            packed("a.zip", &zip("a.tgz", &tar_gz("a", &virus))),
        ),
        (
            "zip in a tar.gz in a zip",
            packed("a.zip", &zip("a.tgz", &tar_gz("a.zip", &zip("a", &virus)))),
        ),
        (
            "zip without its name",
            packed("photo.jpg", &zip("a", &virus)),
        ),
        (
            "encrypted zip",
            packed("a.zip", &encrypted_zip(PASSWORD, &virus)),
        ),
        (
            "encrypted zip in a zip",
            packed("a.zip", &zip("b.zip", &encrypted_zip(PASSWORD, &virus))),
        ),
        ("message three deep", nested),
        (
            "message of its own in a header",
            attached(format!("X-Virus: {pattern}\r\n\r\n.\r\n").as_bytes()),
        ),
    ];
    let all = Payload::ALL.iter().copied();
    let eicars: Vec<_> = all
        .filter(|payload| payload.pattern() == Some(Pattern::Eicar))
        .collect();
    for (what, wrapped) in &cases {
        for payload in &eicars {
            let sent = Sent::new(*payload);
            let copy = sent.back(&sent.parts(std::slice::from_ref(wrapped)));
            assert!(copy.holds, "{payload}: {what}");
            assert_eq!(copy.integrity.unread, None, "{payload}: {what}");
            assert_eq!(copy.outcome, Outcome::Delivered, "{payload}: {what}");
        }
    }
}

#[test]
fn spam_is_found_however_it_is_quoted() {
    for payload in [Payload::Gtube, Payload::RspamdHeader, Payload::RspamdNone] {
        let sent = Sent::new(payload);
        let pattern = String::from_utf8(payload.pattern().unwrap().bytes()).unwrap();
        let raw = String::from_utf8(sent.composed.bytes.to_vec()).unwrap();
        let (header, body) = raw.split_once("\r\n\r\n").unwrap();
        for (what, body) in [
            ("quoted", body.replace("\r\n", "\r\n> ")),
            ("quoted twice", body.replace("\r\n", "\r\n>> ")),
            ("with a footer", format!("{body}\r\n-- \r\nchecked\r\n")),
            ("alone", pattern.clone()),
            ("in the middle of a line", format!("so {pattern} it is")),
        ] {
            let copy = sent.back(format!("{header}\r\n\r\n{body}").as_bytes());
            assert!(copy.holds, "{payload}: {what}");
        }
        let other = if payload == Payload::Gtube {
            b'Y'
        } else {
            b'X'
        };
        let other = String::from_utf8(Pattern::Gtube(other).bytes()).unwrap();
        let copy = sent.back(raw.replace(&pattern, &other).as_bytes());
        assert!(!copy.holds, "{payload}: another pattern");
    }
}

#[test]
fn what_cannot_be_opened_may_hide_a_virus() {
    let virus = Sent::new(Payload::Eicar);
    let other = encrypted_zip("another password", b"harmless");
    let mut broken = zip("a.txt", &[7; 5000]);
    broken.truncate(60);
    for (what, bytes) in [("encrypted", other), ("broken", broken)] {
        let raw = virus.parts(&[packed("a.zip", &bytes)]);
        let copy = virus.back(&raw);
        assert!(copy.holds && copy.integrity.unread.is_some(), "{what}");
        assert_eq!(copy.outcome, Outcome::Delivered, "{what}");
        for payload in [Payload::Plain, Payload::Large, Payload::Html] {
            let harmless = Sent::new(payload);
            let copy = harmless.back(&harmless.parts(&[packed("a.zip", &bytes)]));
            assert_eq!(copy.outcome, Outcome::Altered, "{payload}: {what}");
        }
    }
}

/// Many times what it is packed to.
fn bomb() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("zeros", SimpleFileOptions::default())
        .unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..=MAX_MEMBER / 1024 / 1024 {
        zip.write_all(&zeros).unwrap();
    }
    let bomb = zip.finish().unwrap().into_inner();
    assert!(bomb.len() as u64 * 900 < MAX_MEMBER);
    bomb
}

fn hundred_thousand_parts() -> Vec<Vec<u8>> {
    vec![part("Content-Type: text/plain", b"x"); 100_000]
}

#[test]
fn a_bomb_takes_bounded_time_and_counts_as_a_virus_where_one_was_sent() {
    for (what, parts) in [
        ("zip", vec![packed("a.zip", &bomb())]),
        ("parts", hundred_thousand_parts()),
    ] {
        for payload in [
            Payload::EicarZip,
            Payload::Gtube,
            Payload::Plain,
            Payload::Large,
        ] {
            let sent = Sent::new(payload);
            let raw = sent.parts(&parts);
            let begun = Stamp::now();
            let copy = sent.back(&raw);
            assert!(
                Stamp::now().since(begun) < AT_MOST,
                "{payload}: {what} took {:?}",
                Stamp::now().since(begun)
            );
            let is_harmful = payload.pattern().is_some();
            assert_eq!(copy.holds, is_harmful, "{payload}: {what}");
            if is_harmful {
                assert!(copy.integrity.unread.is_some(), "{payload}: {what}");
                assert_eq!(copy.outcome, Outcome::Delivered, "{payload}: {what}");
            } else {
                assert_eq!(copy.outcome, Outcome::Altered, "{payload}: {what}");
            }
        }
    }
}

#[test]
fn a_copy_that_was_not_read_to_its_end_may_hide_a_virus() {
    let stripped = |sent: &Sent| sent.parts(&[part("Content-Type: text/plain", b"nothing")]);
    for payload in [Payload::Eicar, Payload::EicarTarGz, Payload::Gtube] {
        let sent = Sent::new(payload);
        assert_eq!(sent.back(&stripped(&sent)).outcome, Outcome::Altered);
        let copy = sent.seen(&stripped(&sent), false, false);
        assert!(copy.holds && copy.integrity.unread.is_some(), "{payload}");
        assert_eq!(copy.outcome, Outcome::Delivered, "{payload}");
    }
    let large = Sent::new(Payload::Large);
    let half = &large.composed.bytes[..large.composed.bytes.len() / 2];
    let copy = large.seen(half, false, false);
    assert_eq!(copy.outcome, Outcome::Altered);
    assert!(copy.integrity.unread.is_some());
}

#[test]
fn what_is_no_message_may_hide_a_virus_and_is_no_text() {
    for raw in [&b""[..], b"\r\n", b"\xff\xfe\x00"] {
        assert!(!Sent::new(Payload::Plain).back(raw).holds);
        assert_eq!(
            Sent::new(Payload::Plain).back(raw).outcome,
            Outcome::Altered
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_payload_survives_whatever_its_tag(random: [u8; 7], at in 0..Payload::ALL.len()) {
        let sent = Sent::of(Sent::new(Payload::ALL[at]).sample, random);
        let copy = sent.back(&sent.composed.bytes);
        prop_assert!(copy.holds);
        prop_assert_eq!(copy.integrity.text, Fate::Intact);
    }

    #[test]
    fn any_bytes_are_inspected_without_a_panic(bytes: Vec<u8>, whole: bool) {
        for payload in [Payload::Plain, Payload::EicarZip, Payload::Gtube] {
            let copy = Sent::new(payload).seen(&bytes, whole, false);
            prop_assert_eq!(copy.outcome == Outcome::Altered, !copy.holds);
        }
    }

    #[test]
    fn any_bytes_may_be_cut_out_of_a_copy(from: prop::sample::Index, length in 0_usize..400, at in 0..Payload::ALL.len()) {
        let sent = Sent::new(Payload::ALL[at]);
        let mut raw = sent.composed.bytes.to_vec();
        let from = from.index(raw.len());
        let to = (from + length).min(raw.len());
        raw.drain(from..to);
        sent.back(&raw);
    }
}
