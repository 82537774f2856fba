//! What was sent, as far as a copy is compared with it: digests, for thousands of probes may be in flight.

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXLOWER;
use ring::digest;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::message::{PAYLOAD_BEGIN, PAYLOAD_END};
use super::payload::Pattern;
use super::payload::content::Transfer;

/// What was sent, as far as a copy is compared with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What a copy must still hold to be unaltered.
    pub payload: Holds,
    /// The words between the marker lines.
    pub block: TextDigest,
    /// The words of the whole text.
    pub text: TextDigest,
    /// What was beside the text.
    pub parts: Box<[SentPart]>,
}

impl Manifest {
    /// Names and media types of the attachments that have a name.
    pub fn named_parts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts
            .iter()
            .filter_map(|part| Some((part.name.as_deref()?, &*part.media_type)))
    }

    /// Of what was never sent.
    pub fn nothing() -> Self {
        Self {
            payload: Holds::Block,
            block: TextDigest::of_text(""),
            text: TextDigest::of_text(""),
            parts: Box::default(),
        }
    }
}

/// What is looked for in a copy, wherever in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holds {
    /// The words between the marker lines.
    Block,
    /// A pattern that filters know.
    Pattern(Pattern),
    /// A file, byte for byte.
    File(Sha256),
}

/// An attachment that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPart {
    /// Its file name.
    pub name: Option<String>,
    /// Its media type.
    pub media_type: Cow<'static, str>,
    /// How it went over the wire.
    pub transfer: Transfer,
    /// Its size, decoded.
    pub size: u64,
    /// What it held.
    pub sha256: Sha256,
}

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        for (to, from) in digest
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, bytes).as_ref())
        {
            *to = *from;
        }
        Self(digest)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        digits(deserializer).map(Self)
    }
}

/// A digest from its hexadecimal digits.
fn digits<'de, const N: usize, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
    <[u8; N]>::try_from(bytes).map_err(|_| D::Error::custom("a digest of another length"))
}

/// What a text's words come to: white space, quote marks and line breaks are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextDigest([u8; 16]);

impl TextDigest {
    /// Of a whole text.
    pub fn of_text(text: &str) -> Self {
        Self::of(words(text))
    }

    fn of<'t>(words: impl Iterator<Item = &'t str>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for word in words {
            context.update(word.as_bytes());
            context.update(b" ");
        }
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(short)
    }

    /// Of the block between the two marker lines; `None` where a text holds no such block.
    pub fn of_payload(text: &str) -> Option<Self> {
        let joined = unquoted(text);
        let (_, rest) = joined.split_once(PAYLOAD_BEGIN)?;
        let (block, _) = rest.split_once(PAYLOAD_END)?;
        Some(Self::of(block.split_whitespace()))
    }
}

impl Serialize for TextDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for TextDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        digits(deserializer).map(Self)
    }
}

/// The words of a text, one space between them, without the quote marks before its lines.
pub(super) fn unquoted(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.trim_start_matches(['>', '|', ' ', '\t']))
        .flat_map(str::split_whitespace)
}
