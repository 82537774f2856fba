//! What scanners and filters need of a payload to know it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::*;
use crate::pattern;
use crate::probe::payload::{Attached, Class};
use crate::probe::tag::{Instance, Signer};

fn tag(random: [u8; 7]) -> Tag {
    let signer = Signer::new(b"a family's key", Instance::named("berlin-1"));
    signer.mint("2026-01-02T03:04:05Z".parse().unwrap(), random)
}

fn made(payload: Payload) -> Content {
    content(&Sample::of(payload), tag([1; 7])).unwrap()
}

/// The only part of a payload.
fn part(payload: Payload) -> Part {
    let mut parts = made(payload).parts;
    assert_eq!(parts.len(), 1, "{payload}");
    parts.remove(0)
}

fn unzipped(bytes: &[u8]) -> (String, Vec<u8>) {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    assert_eq!(archive.len(), 1);
    let mut member = archive.by_index(0).unwrap();
    let name = member.name().unwrap().into_owned();
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes).unwrap();
    (name, bytes)
}

#[test]
fn the_virus_is_the_whole_of_its_part() {
    for (payload, name, media_type) in [
        (Payload::Eicar, Some("eicar.txt"), "text/plain"),
        (
            Payload::EicarCom,
            Some("eicar.com"),
            "application/octet-stream",
        ),
        (Payload::EicarInline, None, "text/plain"),
        (Payload::EicarHtml, None, "text/html"),
        (
            Payload::EicarBase64,
            Some("eicar.txt"),
            "application/octet-stream",
        ),
        (Payload::EicarRenamed, Some("photo.jpg"), "image/jpeg"),
    ] {
        let part = part(payload);
        assert_eq!(part.name.as_deref(), name, "{payload}");
        assert_eq!(part.media_type, media_type, "{payload}");
        assert!(part.bytes == pattern::eicar(), "{payload}");
        assert_eq!(part.bytes.len(), 68);
    }
}

#[test]
fn archives_hold_the_virus_and_nothing_else() {
    let file = ("eicar.txt".to_owned(), pattern::eicar());
    let zip = part(Payload::EicarZip);
    assert!(unzipped(&zip.bytes) == file);
    assert_eq!(zip.name.as_deref(), Some("eicar.zip"));
    let (name, inner) = unzipped(&part(Payload::EicarZipZip).bytes);
    assert_eq!(name, "eicar.zip");
    assert!(unzipped(&inner) == file);
    let packed = part(Payload::EicarTarGz);
    assert_eq!(packed.media_type, "application/gzip");
    let mut archive = tar::Archive::new(GzDecoder::new(&packed.bytes[..]));
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    assert!(bytes == pattern::eicar());
    assert_eq!(entry.path().unwrap().to_str(), Some("eicar.txt"));
    assert!(entries.next().is_none());
}

#[test]
fn only_its_password_opens_the_encrypted_archive() {
    let bytes = part(Payload::EicarEncryptedZip).bytes;
    assert!(!pattern::holds(&bytes, &pattern::eicar()));
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).unwrap();
    assert!(archive.by_index(0).is_err());
    assert!(archive.by_index_decrypt(0, b"wrong").is_err());
    let mut member = archive.by_index_decrypt(0, PASSWORD.as_bytes()).unwrap();
    let mut opened = Vec::new();
    member.read_to_end(&mut opened).unwrap();
    assert!(opened == pattern::eicar());
}

#[test]
fn only_what_is_meant_to_holds_a_pattern() {
    let patterns = [
        pattern::eicar(),
        pattern::gtube(),
        pattern::gtube_with(b'Y'),
        pattern::gtube_with(b'Z'),
        pattern::gtube_with(b'A'),
    ];
    for payload in Payload::ALL {
        let made = made(*payload);
        let parts = made.parts.iter().map(|part| &part.bytes[..]);
        let all: Vec<_> = parts.chain([made.block.as_bytes()]).collect();
        let own = payload.pattern().map(Pattern::bytes);
        for pattern in &patterns {
            let holds = all.iter().any(|bytes| pattern::holds(bytes, pattern));
            let is_packed = made
                .parts
                .iter()
                .any(|it| it.media_type.ends_with("zip") || it.media_type == "message/rfc822");
            let is_own = own.as_ref() == Some(pattern);
            assert_eq!(holds, is_own && !is_packed, "{payload}");
        }
        // Spam is text, and a virus is not.
        let spam = own.is_some_and(|own| pattern::holds(made.block.as_bytes(), &own));
        assert_eq!(spam, payload.class() == Class::Spam, "{payload}");
    }
}

#[test]
fn spam_stands_on_a_line_of_its_own() {
    for payload in [
        Payload::Gtube,
        Payload::RspamdReject,
        Payload::RspamdHeader,
        Payload::RspamdSubject,
        Payload::RspamdNone,
    ] {
        let pattern = payload.pattern().unwrap().bytes();
        let block = made(payload).block;
        let lines = block.lines().filter(|line| line.as_bytes() == pattern);
        assert_eq!(lines.count(), 1, "{payload}");
    }
}

#[test]
fn nothing_of_the_tag_is_in_a_part() {
    let tag = tag([9; 7]);
    for payload in Payload::ALL {
        let made = content(&Sample::of(*payload), tag).unwrap();
        let word = tag.to_string();
        for part in &made.parts {
            assert!(!pattern::holds(&part.bytes, word.as_bytes()), "{payload}");
        }
    }
}

#[test]
fn the_same_tag_makes_the_same_and_another_makes_other_words() {
    let sample = Sample {
        pad: Some(5000),
        ..Sample::of(Payload::Eicar)
    };
    let made = |number: u8| content(&sample, tag([number; 7])).unwrap();
    let (one, again) = (made(1), made(1));
    assert_eq!(one.block, again.block);
    assert!(one.parts == again.parts);
    let drawn = |number: u64| {
        let [_, drawn @ ..] = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        drawn
    };
    let words = |number| content(&sample, tag(drawn(number))).unwrap().block;
    let blocks: BTreeSet<_> = (0..100).map(words).collect();
    assert!(blocks.len() > 90, "{}", blocks.len());
    assert!(one.parts[0] != made(2).parts[0]);
}

#[test]
fn padding_has_its_size_and_cannot_be_packed() {
    for size in [0, 1, 7, 8, 9, 100_000] {
        let sample = Sample {
            pad: Some(size),
            ..Sample::of(Payload::EicarZip)
        };
        let made = content(&sample, tag([3; 7])).unwrap();
        let [pad, virus] = &made.parts[..] else {
            panic!("{} parts", made.parts.len());
        };
        assert_eq!(pad.bytes.len() as u64, size);
        assert_eq!(pad.name.as_deref(), Some("padding.bin"));
        assert_eq!(virus.name.as_deref(), Some("eicar.zip"));
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&pad.bytes).unwrap();
        assert!(packed.finish().unwrap().len() >= pad.bytes.len());
    }
    assert_eq!(part(Payload::Large).bytes.len() as u64, DEFAULT_LARGE);
}

#[test]
fn long_lines_are_as_long_as_may_be() {
    let block = made(Payload::LongLines).block;
    let lengths: Vec<_> = block.split("\r\n").map(str::len).collect();
    assert_eq!(lengths, [LONGEST_LINE; ENOUGH_LINES]);
}

#[test]
fn a_file_of_the_users_is_sent_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let sample = Sample {
        file: Some(Arc::new(Attached {
            name: "ünïcode \"name\".bin".into(),
            path: PathBuf::new(),
            bytes: bytes.clone(),
        })),
        ..Sample::of(Payload::Attachment)
    };
    let made = content(&sample, tag([1; 7])).unwrap();
    assert_eq!(made.parts[0].bytes, bytes);
    assert_eq!(made.parts[0].name.as_deref(), Some("ünïcode \"name\".bin"));
}
