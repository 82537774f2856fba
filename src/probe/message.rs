//! The test message: composed and recognised in one place, so that the two cannot drift apart.
//!
//! The tag rides in the Message-ID, an X- header, the end of the subject and the body (and, given to the gateway, in the
//! envelope id), and any one of them alone is enough to recognise a copy.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::mime::{Content, Field, Mail};
use super::payload::Payload;
use super::tag::{Signer, Tag};

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
    pub payload: Payload,
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
    pub bytes: Vec<u8>,
    /// What the copy is compared with.
    pub manifest: Manifest,
}

/// What was sent, as far as a copy must still hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The words of the payload block.
    pub text: Vec<String>,
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
    let Draft { tag, payload, .. } = draft;
    let text = match payload {
        Payload::Plain => plain_text(*tag),
    };
    let mut builder = Message::builder()
        .from(Mailbox::new(
            Some("mailrobin probe".into()),
            draft.from.clone(),
        ))
        .to(Mailbox::new(None, draft.to.clone()))
        .subject(format!("{} {tag}", draft.subject).trim_start())
        .message_id(Some(format!("<{tag}@{}>", draft.from.domain())))
        .date(SystemTime::from(draft.date))
        .raw_header(field("Auto-Submitted", "auto-generated")?)
        .raw_header(field("X-Auto-Response-Suppress", "All")?)
        .raw_header(field(TAG_FIELD, &tag.to_string())?);
    for (name, value) in draft.headers {
        builder = builder.raw_header(field(name, value)?);
    }
    let body = body(draft, &text);
    let message = builder
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| ComposeError::Build(error.to_string()))?;
    let mut bytes = message.formatted();
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(Composed {
        bytes,
        manifest: Manifest {
            text: words(&text).map(str::to_owned).collect(),
        },
    })
}

/// A header field that lettre encodes and folds.
fn field(name: &str, value: &str) -> Result<HeaderValue, ComposeError> {
    let name = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| ComposeError::FieldName(name.to_owned()))?;
    Ok(HeaderValue::new(name, value.to_owned()))
}

/// Whether a configured name can be a header field of the message.
pub fn is_field_name(name: &str) -> bool {
    HeaderName::new_from_ascii(name.to_owned()).is_ok()
}

fn body(draft: &Draft<'_>, payload: &str) -> String {
    let Draft {
        route,
        to,
        from,
        tag,
        ..
    } = draft;
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
         {PAYLOAD_BEGIN}\r\n\
         {payload}\r\n\
         {PAYLOAD_END}\r\n\
         \r\n\
         Reference: {tag}\r\n"
    )
}

/// A few sentences of everyday words, drawn from the tag, so that no two messages teach a filter the same text.
fn plain_text(tag: Tag) -> String {
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
    for leaf in mail.leaves() {
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
    let null_sender = mail.field("Return-Path") == Some("<>");
    let from_daemon = mail.field("From").is_some_and(|from| {
        let from = from.to_ascii_lowercase();
        from.contains("mailer-daemon") || from.contains("postmaster")
    });
    let is_original = carriers.contains(&Carrier::Header) || carriers.contains(&Carrier::MessageId);
    if from_daemon && null_sender && !is_original {
        return Kind::Report;
    }
    Kind::Mail
}

/// A person's reply: it names our message as its parent, has an identity of its own, and says `Re:`.
fn is_reply(mail: &Mail<'_>, carriers: &[Carrier]) -> bool {
    const MARKS: &[&str] = &[
        "re:", "aw:", "sv:", "antw:", "antwort:", "rif:", "res:", "odp:", "vs:", "ynt:",
    ];
    let own = carriers.contains(&Carrier::Header) || carriers.contains(&Carrier::MessageId);
    let subject = mail
        .subject()
        .unwrap_or_default()
        .trim_start()
        .to_lowercase();
    carriers.contains(&Carrier::References)
        && !own
        && MARKS.iter().any(|mark| subject.starts_with(mark))
}

/// The words between the two marker lines, or `None` where a text holds no such block. Quote marks, line breaks and
/// changes of white space are not part of a text.
pub fn payload_words(text: &str) -> Option<Vec<String>> {
    let joined = words(text).collect::<Vec<_>>().join(" ");
    let (_, rest) = joined.split_once(PAYLOAD_BEGIN)?;
    let (block, _) = rest.split_once(PAYLOAD_END)?;
    Some(block.split_whitespace().map(str::to_owned).collect())
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
