//! The test message: composed and recognised in one place, so that the two cannot drift apart.
//!
//! The tag rides in the Message-ID, an X- header, the end of the subject and the body (and, given to the gateway, in the
//! envelope id), and any one of them alone is enough to recognise a copy.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use lettre::Address;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue,
};
use lettre::message::{Attachment, Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};
use ring::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::mail::{Field, Mail};
use super::payload::content::{self, Content as Made, PASSWORD, Part, Transfer, Writing};
use super::payload::{Class, Pattern, Payload, Sample};
use super::tag::{Signer, Tag};
use crate::mime::leaf::Content;

/// The header field that carries the tag.
pub const TAG_FIELD: &str = "X-Mailrobin-Tag";
const PAYLOAD_BEGIN: &str = "[begin of test content]";
const PAYLOAD_END: &str = "[end of test content]";
/// Of a message without a tag in its header, this much is searched.
pub const BODY_SEARCHED: usize = 256 * 1024;

/// What is to be composed.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Header From.
    pub from: &'a Address,
    /// Header To.
    pub to: &'a Address,
    /// The subject before the tag.
    pub subject: &'a str,
    /// Further header fields, as configured.
    pub headers: &'a [(String, String)],
    /// What it carries.
    pub sample: &'a Sample,
    /// The route's name, for the person who finds the message.
    pub route: &'a str,
    /// The tag.
    pub tag: Tag,
    /// Header Date.
    pub date: Timestamp,
}

/// A message ready for DATA, before dot-stuffing.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The message as it goes over the wire: CRLF line ends, ends with one.
    pub bytes: Bytes,
    /// What the copy is compared with.
    pub manifest: Manifest,
}

/// What was sent, as far as a copy is compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The words between the marker lines.
    Block,
    /// A pattern that filters know.
    Pattern(Pattern),
    /// A file, byte for byte.
    File(Sha256),
}

/// An attachment that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPart {
    /// Its file name.
    pub name: Option<String>,
    /// Its media type.
    pub media_type: &'static str,
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

/// A header field of the config that cannot be sent.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ComposeError {
    /// The name is no field name (RFC 5322 §2.2).
    #[error("{0:?} is not a header field name")]
    FieldName(String),
    /// The library refused the message.
    #[error("the message cannot be built: {0}")]
    Build(String),
}

/// Builds the message of one probe.
pub fn compose(draft: &Draft<'_>) -> Result<Composed, ComposeError> {
    let build = |error: &dyn fmt::Display| ComposeError::Build(error.to_string());
    let made = content::content(draft.sample, draft.tag).map_err(|error| build(&error))?;
    let manifest = manifest(draft, &made);
    let text = text(draft, &made);
    let builder = head(draft)?;
    let message = if made.parts.is_empty() {
        builder.singlepart(text)
    } else {
        // The boundary can stand in no part: it is made of the tag, which only the text holds, without its begin.
        let mut whole = MultiPart::mixed()
            .boundary(format!("=_{}", draft.tag))
            .singlepart(text);
        for part in made.parts {
            whole = whole.singlepart(single(part).map_err(|error| build(&error))?);
        }
        builder.multipart(whole)
    };
    let message = message.map_err(|error| build(&error))?;
    let mut bytes = message.formatted();
    drop(message);
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(Composed {
        bytes: bytes.into(),
        manifest,
    })
}

/// The header of a message, without what describes its body: for comparison with that of a copy.
pub fn header(draft: &Draft<'_>) -> Result<Vec<u8>, ComposeError> {
    head(draft)?
        .body(String::new())
        .map(|message| message.formatted())
        .map_err(|error| ComposeError::Build(error.to_string()))
}

fn head(draft: &Draft<'_>) -> Result<MessageBuilder, ComposeError> {
    let Draft { tag, sample, .. } = draft;
    let subject = format!("{} {tag}", draft.subject);
    let subject = subject.trim_start();
    let mut builder = Message::builder()
        .from(Mailbox::new(
            Some("mailrobin probe".into()),
            draft.from.clone(),
        ))
        .to(Mailbox::new(None, draft.to.clone()))
        .message_id(Some(format!("<{tag}@{}>", draft.from.domain())))
        .date(SystemTime::from(draft.date));
    builder = if sample.payload == Payload::Smtputf8 {
        // lettre would encode what is the point of it.
        let replies = format!("\"Prüfung\" <größe@{}>", draft.from.domain());
        builder
            .raw_header(unencoded("Subject", &format!("Größe 試験 {subject}"))?)
            .raw_header(unencoded("Reply-To", &replies)?)
    } else {
        builder.subject(subject)
    };
    builder = builder
        .raw_header(field("Auto-Submitted", "auto-generated")?)
        .raw_header(field("X-Auto-Response-Suppress", "All")?)
        .raw_header(field(TAG_FIELD, &tag.to_string())?);
    for (name, value) in draft.headers {
        builder = builder.raw_header(field(name, value)?);
    }
    Ok(builder)
}

fn manifest(draft: &Draft<'_>, made: &Made) -> Manifest {
    let parts: Box<[SentPart]> = made.parts.iter().flat_map(sent_parts).collect();
    let payload = match (draft.sample.payload.pattern(), parts.last()) {
        (Some(pattern), _) => Holds::Pattern(pattern),
        (None, Some(part)) => Holds::File(part.sha256),
        (None, None) => Holds::Block,
    };
    Manifest {
        payload,
        block: TextDigest::of(words(&made.block)),
        text: TextDigest::of(words(&body(draft, &made.block))),
        parts,
    }
}

/// A part, or what an attached message holds: the file in it is what counts, and comes last.
fn sent_parts(part: &Part) -> Vec<SentPart> {
    if part.media_type != "message/rfc822" {
        return vec![SentPart {
            name: part.name.clone(),
            media_type: part.media_type,
            transfer: part.transfer,
            size: part.bytes.len() as u64,
            sha256: Sha256::of(&part.bytes),
        }];
    }
    let inner = Mail::parse(&part.bytes);
    let leaves = inner.iter().flat_map(Mail::leaves);
    let sent = leaves.map(|leaf| SentPart {
        name: leaf.name.map(str::to_owned),
        media_type: "text/plain",
        transfer: match leaf.encoding {
            mail_parser::Encoding::Base64 => Transfer::Base64,
            _ => Transfer::SevenBit,
        },
        size: leaf.content.bytes().len() as u64,
        sha256: Sha256::of(leaf.content.bytes()),
    });
    sent.collect()
}

fn text(draft: &Draft<'_>, made: &Made) -> SinglePart {
    let body = body(draft, &made.block);
    match made.writing {
        Writing::Plain => SinglePart::plain(body),
        Writing::Html => {
            let lines = body.replace('<', "&lt;").replace("\r\n", "<br>\r\n");
            SinglePart::html(format!("<html><body><p>\r\n{lines}</p></body></html>\r\n"))
        }
        Writing::Unencoded => {
            let encoding = if body.is_ascii() {
                ContentTransferEncoding::SevenBit
            } else {
                ContentTransferEncoding::EightBit
            };
            SinglePart::builder()
                .header(ContentType::TEXT_PLAIN)
                .body(Body::dangerous_pre_encoded(body.into_bytes(), encoding))
        }
    }
}

fn single(part: Part) -> Result<SinglePart, lettre::message::header::ContentTypeErr> {
    let content_type = ContentType::parse(part.media_type)?;
    let body = match part.transfer {
        Transfer::SevenBit => {
            Body::dangerous_pre_encoded(part.bytes, ContentTransferEncoding::SevenBit)
        }
        Transfer::Base64 => Body::new_with_encoding(part.bytes, ContentTransferEncoding::Base64)
            .unwrap_or_else(Body::new),
    };
    Ok(match part.name {
        Some(name) => Attachment::new(name).body(body, content_type),
        None => SinglePart::builder()
            .header(content_type)
            .header(ContentDisposition::inline())
            .body(body),
    })
}

/// A header field whose value goes over the wire as it is (RFC 6532).
fn unencoded(name: &str, value: &str) -> Result<HeaderValue, ComposeError> {
    HeaderName::new_from_ascii(name.to_owned())
        .map(|name| HeaderValue::dangerous_new_pre_encoded(name, value.into(), value.into()))
        .map_err(|_| ComposeError::FieldName(name.to_owned()))
}

/// A header field that lettre encodes and folds.
fn field(name: &str, value: &str) -> Result<HeaderValue, ComposeError> {
    HeaderName::new_from_ascii(name.to_owned())
        .ok()
        .filter(|_| is_field_name(name))
        .map(|name| HeaderValue::new(name, value.to_owned()))
        .ok_or_else(|| ComposeError::FieldName(name.to_owned()))
}

/// Whether a configured name can be a header field of the message (RFC 5322 §3.6.8). lettre alone would let a line
/// break through.
pub fn is_field_name(name: &str) -> bool {
    let is_ftext = |byte| matches!(byte, 33..=57 | 59..=126);
    name.bytes().all(is_ftext) && HeaderName::new_from_ascii(name.to_owned()).is_ok()
}

fn body(draft: &Draft<'_>, payload: &str) -> String {
    let Draft {
        route,
        to,
        from,
        tag,
        sample,
        ..
    } = draft;
    let about = about(sample.payload);
    format!(
        "This is an automatic test message. Nobody needs to answer it.\r\n\
         \r\n\
         It was sent by mailrobin, a program that proves that mail gets through, for its\r\n\
         route {route:?}: from {from} to {to}, where a rule should\r\n\
         send a copy on to a mailbox that mailrobin watches.\r\n\
         \r\n\
         If you found it in a mailbox where it should not be, the rule that forwards it\r\n\
         or the clean-up behind it does not work; it is safe to delete. If you get many\r\n\
         of them, please tell the administrator who answers for {from}.\r\n\
         \r\n\
         {about}\
         {PAYLOAD_BEGIN}\r\n\
         {payload}\r\n\
         {PAYLOAD_END}\r\n\
         \r\n\
         Reference: {tag}\r\n"
    )
}

/// What a person must know who finds the payload.
fn about(payload: Payload) -> String {
    match (payload.class(), payload.pattern()) {
        (_, None) => String::new(),
        (Class::Policy, Some(_)) => format!(
            "It carries a test file that does no harm, in an archive that the password\r\n\
             {PASSWORD:?} opens.\r\n\r\n"
        ),
        (Class::Spam, Some(_)) => {
            "It holds a line that spam filters know as a test. It does no harm.\r\n\r\n".into()
        }
        (Class::Virus | Class::Harmless, Some(_)) => {
            "It carries a test file that virus scanners take for a virus. It does no harm.\r\n\r\n"
                .into()
        }
    }
}

/// Where in a message the tag was found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// Message-ID, or a field in which a server keeps the one it replaced.
    MessageId,
    /// [`TAG_FIELD`].
    Header,
    /// The subject.
    Subject,
    /// References or In-Reply-To.
    References,
    /// A recipient field: plus-addressing.
    Recipient,
    /// Return-Path: VERP.
    Sender,
    /// The envelope id that a server reports back (RFC 3461 §4.4).
    EnvelopeId,
    /// Decoded text or an attached message.
    Body,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MessageId => "message-id",
            Self::Header => "header",
            Self::Subject => "subject",
            Self::References => "references",
            Self::Recipient => "recipient",
            Self::Sender => "sender",
            Self::EnvelopeId => "envelope-id",
            Self::Body => "body",
        })
    }
}

/// What kind of message turned up in a watched mailbox. Decided before any search for tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither of the others: a copy, if it carries a verified tag.
    Mail,
    /// A delivery status notification (RFC 3464).
    Report,
    /// A vacation reply, a read receipt, or a person's reply: it may quote a tag and proves nothing.
    Reply,
}

/// A message looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// What it is.
    pub kind: Kind,
    /// The first tag of ours that it carries.
    pub tag: Option<Tag>,
    /// Every carrier of that tag.
    pub carriers: Vec<Carrier>,
}

/// Looks at a message, or at its header alone, and finds the tag it carries.
pub fn recognise(raw: &[u8], signer: &Signer) -> Recognised {
    let Some(mail) = Mail::parse(raw) else {
        return Recognised {
            kind: Kind::Mail,
            tag: None,
            carriers: Vec::new(),
        };
    };
    let mut found = Vec::new();
    for field in mail.fields() {
        if let Some(carrier) = carrier(&field) {
            found.extend(signer.find(field.raw).map(|tag| (carrier, tag)));
        }
    }
    let subject = mail
        .subject()
        .and_then(|subject| signer.find(subject.as_bytes()));
    found.extend(subject.map(|tag| (Carrier::Subject, tag)));
    for leaf in &mail.leaves() {
        let searched = |bytes: &[u8]| signer.find(bytes.get(..BODY_SEARCHED).unwrap_or(bytes));
        let tag = match &leaf.content {
            Content::Text(_) | Content::Header(_) => searched(leaf.content.bytes()),
            Content::Html(html) => {
                searched(html.as_bytes()).or_else(|| searched(leaf.content.text()?.as_bytes()))
            }
            Content::Binary(bytes) if leaf.media_type.starts_with("message/") => searched(bytes),
            Content::Binary(_) => None,
        };
        found.extend(tag.map(|tag| (Carrier::Body, tag)));
    }
    // A carrier's place in the enum is how much it is worth: a forward may quote another probe's tag in its body.
    found.sort_by_key(|(carrier, _)| *carrier);
    let tag = found.first().map(|(_, tag)| *tag);
    let mut carriers: Vec<_> = found
        .iter()
        .filter(|(_, other)| Some(*other) == tag)
        .map(|(carrier, _)| *carrier)
        .collect();
    carriers.dedup();
    let kind = kind(&mail, &carriers);
    Recognised {
        kind,
        tag,
        carriers,
    }
}

fn carrier(field: &Field<'_>) -> Option<Carrier> {
    const KNOWN: &[(&str, Carrier)] = &[
        ("Message-ID", Carrier::MessageId),
        ("X-Microsoft-Original-Message-ID", Carrier::MessageId),
        ("X-MS-Exchange-Parent-Message-Id", Carrier::MessageId),
        ("X-Original-Message-ID", Carrier::MessageId),
        ("Resent-Message-ID", Carrier::MessageId),
        (TAG_FIELD, Carrier::Header),
        ("References", Carrier::References),
        ("In-Reply-To", Carrier::References),
        ("To", Carrier::Recipient),
        ("Delivered-To", Carrier::Recipient),
        ("X-Original-To", Carrier::Recipient),
        ("Envelope-To", Carrier::Recipient),
        ("Return-Path", Carrier::Sender),
        ("Original-Envelope-Id", Carrier::EnvelopeId),
        ("X-Original-Envelope-Id", Carrier::EnvelopeId),
        ("X-Envelope-Id", Carrier::EnvelopeId),
    ];
    KNOWN
        .iter()
        .find(|(name, _)| field.is(name))
        .map(|(_, carrier)| *carrier)
}

fn kind(mail: &Mail<'_>, carriers: &[Carrier]) -> Kind {
    let report_type = mail
        .media_parameter("report-type")
        .map(str::to_ascii_lowercase);
    if mail.media_type() == "multipart/report" {
        return match report_type.as_deref() {
            Some("disposition-notification") => Kind::Reply,
            _ => Kind::Report,
        };
    }
    let auto_submitted = mail.field("Auto-Submitted").map(str::to_ascii_lowercase);
    let replied = auto_submitted.is_some_and(|value| value.starts_with("auto-replied"))
        || ["X-Autoreply", "X-Autorespond", "X-Autoresponder"]
            .iter()
            .any(|name| mail.field(name).is_some());
    if replied || is_reply(mail, carriers) {
        return Kind::Reply;
    }
    let from_daemon = mail.field("From").is_some_and(|from| {
        let from = from.to_ascii_lowercase();
        from.contains("mailer-daemon") || from.contains("postmaster")
    });
    let is_original = carriers.contains(&Carrier::Header) || carriers.contains(&Carrier::MessageId);
    if from_daemon && !is_original {
        return Kind::Report;
    }
    Kind::Mail
}

/// A reply, by a person or a program: it has an identity of its own, and says so before our subject.
fn is_reply(mail: &Mail<'_>, carriers: &[Carrier]) -> bool {
    const MARKS: &[&str] = &[
        "re",
        "aw",
        "sv",
        "antw",
        "antwort",
        "rif",
        "res",
        "odp",
        "vs",
        "ynt",
        "automatic reply",
        "automatische antwort",
        "réponse automatique",
        "respuesta automática",
        "out of office",
        "abwesend",
        "autoreply",
        "auto-reply",
    ];
    let own = carriers.contains(&Carrier::Header) || carriers.contains(&Carrier::MessageId);
    if own || carriers.is_empty() {
        return false;
    }
    let subject = mail.subject().unwrap_or_default().to_lowercase();
    let mut rest = subject.trim_start();
    // A gateway may have put its own mark in front: `[EXTERNAL] Re: …`.
    while let Some((_, behind)) = rest
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    {
        rest = behind.trim_start();
    }
    // `Re[2]:` and `RE :` are written too.
    rest.split_once(':').is_some_and(|(mark, _)| {
        let mark = mark.split('[').next().unwrap_or(mark).trim_end();
        MARKS.contains(&mark)
    })
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
        let joined = words(text).collect::<Vec<_>>().join(" ");
        let (_, rest) = joined.split_once(PAYLOAD_BEGIN)?;
        let (block, _) = rest.split_once(PAYLOAD_END)?;
        Some(Self::of(block.split_whitespace()))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.trim_start_matches(['>', '|', ' ', '\t']))
        .flat_map(str::split_whitespace)
}

/// An address as lettre takes it; its error says what is wrong in words.
pub fn address(text: &str) -> Result<Address, String> {
    Address::from_str(text).map_err(|error| error.to_string().to_lowercase())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_MIME;
    use proptest::prelude::*;

    use super::super::tag::Instance;
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
            prop_assert_eq!(found.kind, Kind::Mail);
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
                (format!("x-ms-exchange-parent-message-id: <{tag}@x>"), String::new(), Carrier::MessageId),
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
                prop_assert_eq!(found(&header, &body), (Kind::Mail, Some(tag), vec![carrier]), "{}", header);
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
            std::sync::Arc::new(super::super::payload::Attached {
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
                (Kind::Mail, Some(tag)),
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

    #[test]
    fn reports_and_replies_are_no_copies() {
        let tag = tag([1; 7]);
        let quoted = format!("Reference: {tag}");
        let kind = |header: &str| found(header, &quoted).0;
        assert_eq!(kind("Subject: FW: hello"), Kind::Mail);
        assert_eq!(kind("Auto-Submitted: auto-forwarded"), Kind::Mail);
        assert_eq!(kind("Auto-Submitted: auto-replied (vacation)"), Kind::Reply);
        assert_eq!(kind("X-Autoreply: yes"), Kind::Reply);
        assert_eq!(
            kind(&format!(
                "In-Reply-To: <{tag}@x>\r\nSubject: Re: Email {tag}"
            )),
            Kind::Reply
        );
        assert_eq!(
            kind(&format!(
                "In-Reply-To: <{tag}@x>\r\nSubject: FW: Email {tag}"
            )),
            Kind::Mail,
            "Outlook's forwards name their parent too"
        );
        let report =
            "MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b; report-type=";
        assert_eq!(kind(&format!("{report}delivery-status")), Kind::Report);
        assert_eq!(
            kind(&format!("{report}disposition-notification")),
            Kind::Reply
        );
        assert_eq!(
            kind("From: MAILER-DAEMON@mx.example (Mail Delivery System)"),
            Kind::Mail,
            "the first From counts"
        );
    }

    #[test]
    fn a_bounce_in_free_form_is_a_report() {
        let tag = tag([2; 7]);
        let raw = format!(
            "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx\r\n\r\n550 unknown user\r\n{}",
            text(tag)
        );
        assert_eq!(recognise(raw.as_bytes(), &signer()).kind, Kind::Report);
    }

    #[test]
    fn a_header_that_would_break_the_message_is_refused() {
        for name in ["X Bad", "X-B\r\nBcc", ""] {
            assert!(!is_field_name(name), "{name:?}");
        }
    }
}
