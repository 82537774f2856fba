//! What each payload puts into its message. Everything is made when it is needed; the patterns stand in the clear nowhere else.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Message, MultiPart, SinglePart};
use serde::{Deserialize, Serialize};
use zip::write::{FullFileOptions, SimpleFileOptions, ZipWriter};
use zip::{AesMode, CompressionMethod};

use super::{DEFAULT_LARGE, Pattern, Payload, Sample};
use crate::probe::tag::Tag;

/// Opens the encrypted archive; the message says it too.
pub const PASSWORD: &str = "infected";
/// Names of files that hold the virus, also within archives: what bears them names no signature.
pub const FILE_NAMES: &[&str] = &[
    "eicar-encrypted.zip",
    "eicar.tar.gz",
    "eicar.tar",
    "eicar.zip",
    "eicar.txt",
    "eicar.com",
];
/// The longest line that a message may have, without its end (RFC 5322 §2.1.1).
const LONGEST_LINE: usize = 998;
const ENOUGH_LINES: usize = 3;

/// How the text of a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Plain text, encoded if it must be.
    Plain,
    /// HTML.
    Html,
    /// Plain text, its bytes as they are.
    Unencoded,
}

/// How an attachment goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transfer {
    /// As it is: short ASCII lines.
    SevenBit,
    /// Base64.
    Base64,
}

/// An attachment, or another part beside the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Its file name; `None`: it is shown inline.
    pub name: Option<String>,
    /// Its media type.
    pub media_type: &'static str,
    /// How it goes over the wire.
    pub transfer: Transfer,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What a message is made of.
pub struct Content {
    /// The lines between the markers.
    pub block: String,
    /// How the text is written.
    pub writing: Writing,
    /// What is beside it.
    pub parts: Vec<Part>,
}

/// What a sample is made of; the words and the padding are drawn from the tag.
pub fn content(sample: &Sample, tag: Tag) -> std::io::Result<Content> {
    let mut content = Content {
        block: words(tag),
        writing: Writing::Plain,
        parts: Vec::new(),
    };
    let pad = sample.pad.map(|size| padding("padding.bin", size, tag));
    content.parts.extend(pad);
    let eicar = || Pattern::Eicar.bytes();
    let part = match sample.payload {
        Payload::Plain => None,
        Payload::Html => {
            content.writing = Writing::Html;
            None
        }
        Payload::EightBit | Payload::Smtputf8 => {
            content.writing = Writing::Unencoded;
            content
                .block
                .push_str("\r\nGrüße, déjà vu, čaj, чай, 茶: these words are not ASCII.");
            None
        }
        Payload::LongLines => {
            content.block = long_lines(&content.block);
            content.writing = Writing::Unencoded;
            None
        }
        Payload::Gtube
        | Payload::RspamdReject
        | Payload::RspamdHeader
        | Payload::RspamdSubject
        | Payload::RspamdNone => {
            let pattern = sample.payload.pattern().map(Pattern::bytes);
            let pattern = String::from_utf8(pattern.unwrap_or_default()).unwrap_or_default();
            content.block = format!("{}\r\n{pattern}", content.block);
            None
        }
        Payload::Large => {
            let size = sample.size.unwrap_or(DEFAULT_LARGE);
            Some(padding("large.bin", size, tag))
        }
        Payload::Attachment => sample
            .file
            .as_ref()
            .map(|file| binary(&file.name, file.bytes.clone())),
        Payload::ExecutableName => Some(binary("setup.exe", harmless())),
        Payload::DoubleExtension => Some(binary("invoice.pdf.exe", harmless())),
        Payload::EicarEncryptedZip => {
            Some(archive("eicar-encrypted.zip", encrypted_zip(&eicar())?))
        }
        Payload::Eicar => Some(short(Some("eicar.txt"), "text/plain")),
        Payload::EicarCom => Some(short(Some("eicar.com"), "application/octet-stream")),
        Payload::EicarInline => Some(short(None, "text/plain")),
        Payload::EicarHtml => Some(short(None, "text/html")),
        Payload::EicarBase64 => Some(binary("eicar.txt", eicar())),
        Payload::EicarRenamed => Some(Part {
            media_type: "image/jpeg",
            ..binary("photo.jpg", eicar())
        }),
        Payload::EicarZip => Some(archive("eicar.zip", zip("eicar.txt", &eicar())?)),
        Payload::EicarZipZip => {
            let inner = zip("eicar.txt", &eicar())?;
            Some(archive("archive.zip", zip("eicar.zip", &inner)?))
        }
        Payload::EicarTarGz => Some(Part {
            media_type: "application/gzip",
            ..archive("eicar.tar.gz", tar_gz("eicar.txt", &eicar())?)
        }),
        Payload::EicarNested => Some(nested(tag)?),
    };
    content.parts.extend(part);
    Ok(content)
}

/// The pattern as it is, the whole of a part.
fn short(name: Option<&str>, media_type: &'static str) -> Part {
    Part {
        name: name.map(str::to_owned),
        media_type,
        transfer: Transfer::SevenBit,
        bytes: Pattern::Eicar.bytes(),
    }
}

fn binary(name: &str, bytes: Vec<u8>) -> Part {
    Part {
        name: Some(name.to_owned()),
        media_type: "application/octet-stream",
        transfer: Transfer::Base64,
        bytes,
    }
}

fn archive(name: &str, bytes: Vec<u8>) -> Part {
    Part {
        media_type: "application/zip",
        ..binary(name, bytes)
    }
}

fn harmless() -> Vec<u8> {
    b"This is a text. Only its name looks like a program.\r\n".to_vec()
}

fn zip(name: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file(name, options)?;
    zip.write_all(bytes)?;
    Ok(zip.finish()?.into_inner())
}

fn encrypted_zip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = FullFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .with_aes_encryption(AesMode::Aes256, PASSWORD);
    zip.start_file("eicar.txt", options)?;
    zip.write_all(bytes)?;
    Ok(zip.finish()?.into_inner())
}

fn tar_gz(name: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    tar.append_data(&mut header, name, bytes)?;
    tar.into_inner()?.finish()
}

/// A message with the file attached to it.
fn nested(tag: Tag) -> std::io::Result<Part> {
    let mailbox = |address: &str| address.parse().map_err(std::io::Error::other);
    let Part {
        media_type, bytes, ..
    } = short(None, "text/plain");
    // ClamAV decodes a file in an attached message, and overlooks one that is not encoded.
    let body =
        Body::new_with_encoding(bytes, ContentTransferEncoding::Base64).unwrap_or_else(Body::new);
    let attached = lettre::message::Attachment::new("eicar.txt".into());
    let media_type = ContentType::parse(media_type).map_err(std::io::Error::other)?;
    let inner = Message::builder()
        .from(mailbox("somebody@example.com")?)
        .to(mailbox("somebody.else@example.com")?)
        .subject("The file you asked for")
        .message_id(Some(format!("<{}@example.com>", tag.id().simple())))
        .date(std::time::UNIX_EPOCH)
        .multipart(
            MultiPart::mixed()
                .boundary("=_inner")
                .singlepart(SinglePart::plain("Here it is.\r\n".to_owned()))
                .singlepart(attached.body(body, media_type)),
        )
        .map_err(std::io::Error::other)?;
    Ok(Part {
        name: Some("forwarded.eml".into()),
        media_type: "message/rfc822",
        transfer: Transfer::SevenBit,
        bytes: inner.formatted(),
    })
}

/// Bytes that nothing compresses and no scanner knows, the same for the same tag.
fn padding(name: &str, size: u64, tag: Tag) -> Part {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut state = u64::from_le_bytes(tag.id().as_u64_pair().1.to_le_bytes());
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        // SplitMix64 (Steele, Lea, Flood 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)).to_le_bytes();
        let wanted = drawn.len().min(size - bytes.len());
        bytes.extend(drawn.iter().take(wanted));
    }
    binary(name, bytes)
}

/// The words over and over, in lines of the greatest length.
fn long_lines(words: &str) -> String {
    let words = words.replace("\r\n", " ");
    let endless = words.chars().cycle();
    let line: String = endless.take(LONGEST_LINE).collect();
    // A line that ends in a blank might lose it on the way.
    let line = format!("{}.", line.get(..LONGEST_LINE - 1).unwrap_or(&line));
    [line.as_str(); ENOUGH_LINES].join("\r\n")
}

/// A few sentences of everyday words, drawn from the tag, so that no two messages teach a filter the same text.
fn words(tag: Tag) -> String {
    const WHO: &[&str] = &[
        "The gardener",
        "A neighbour",
        "My colleague",
        "The librarian",
        "An old friend",
        "The baker",
        "Our teacher",
        "The captain",
    ];
    const DID: &[&str] = &[
        "brought",
        "found",
        "described",
        "repaired",
        "painted",
        "borrowed",
        "remembered",
        "carried",
    ];
    const WHAT: &[&str] = &[
        "a wooden table",
        "the blue lantern",
        "two maps",
        "a basket of pears",
        "the garden gate",
        "an umbrella",
        "the long letter",
        "a small boat",
    ];
    const WHEN: &[&str] = &[
        "before noon",
        "on the way home",
        "after the rain",
        "last spring",
        "near the river",
        "in the quiet hour",
        "behind the station",
        "with great care",
    ];
    let bytes = tag.id().into_bytes();
    let mut drawn = bytes.iter().rev().map(|byte| usize::from(*byte));
    let mut pick = |from: &[&'static str]| {
        let index = drawn.next().unwrap_or_default() % from.len();
        from.get(index).copied().unwrap_or_default()
    };
    (0..3)
        .map(|_| format!("{} {} {} {}.", pick(WHO), pick(DID), pick(WHAT), pick(WHEN)))
        .collect::<Vec<_>>()
        .join("\r\n")
}

#[cfg(test)]
mod tests;
