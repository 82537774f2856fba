//! The test message: composed here and recognised beside it, so that the two cannot drift apart.
//!
//! The tag rides in the Message-ID, an X- header, the end of the subject and the body (and, given to the gateway, in the
//! envelope id), and any one of them alone is enough to recognise a copy.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use lettre::Address;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue,
};
use lettre::message::{Attachment, Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};
use thiserror::Error;

use super::mail::Mail;
use super::manifest::{Holds, Manifest, SentPart, Sha256, TextDigest};
use super::payload::content::{self, Content as Made, PASSWORD, Part, Transfer, Writing};
use super::payload::{Class, Payload, Sample};
use super::tag::Tag;

mod recognise;

pub use recognise::{Carrier, Kind, Recognised, recognise};

/// The header field that carries the tag.
pub const TAG_FIELD: &str = "X-Mailrobin-Tag";
pub(super) const PAYLOAD_BEGIN: &str = "[begin of test content]";
pub(super) const PAYLOAD_END: &str = "[end of test content]";
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
    let body = body(draft, &made.block);
    let manifest = manifest(draft, &made, &body);
    let text = text(made.writing, body);
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

fn manifest(draft: &Draft<'_>, made: &Made, body: &str) -> Manifest {
    let parts: Box<[SentPart]> = made.parts.iter().flat_map(sent_parts).collect();
    let payload = match (draft.sample.payload.pattern(), parts.last()) {
        (Some(pattern), _) => Holds::Pattern(pattern),
        (None, Some(part)) => Holds::File(part.sha256),
        (None, None) => Holds::Block,
    };
    Manifest {
        payload,
        block: TextDigest::of_text(&made.block),
        text: TextDigest::of_text(body),
        parts,
    }
}

/// A part, or what an attached message holds: the file in it is what counts, and comes last.
fn sent_parts(part: &Part) -> Vec<SentPart> {
    if part.media_type != "message/rfc822" {
        return vec![SentPart {
            name: part.name.clone(),
            media_type: part.media_type.into(),
            transfer: part.transfer,
            size: part.bytes.len() as u64,
            sha256: Sha256::of(&part.bytes),
        }];
    }
    let inner = Mail::parse(&part.bytes);
    let leaves = inner.iter().flat_map(Mail::leaves);
    let sent = leaves.map(|leaf| SentPart {
        name: leaf.name.map(str::to_owned),
        media_type: "text/plain".into(),
        transfer: match leaf.encoding {
            mail_parser::Encoding::Base64 => Transfer::Base64,
            _ => Transfer::SevenBit,
        },
        size: leaf.content.bytes().len() as u64,
        sha256: Sha256::of(leaf.content.bytes()),
    });
    sent.collect()
}

fn text(writing: Writing, body: String) -> SinglePart {
    match writing {
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

/// A header field whose value goes over the wire as it is (RFC 6532), but folded.
fn unencoded(name: &str, value: &str) -> Result<HeaderValue, ComposeError> {
    let folded = folded(name, value);
    HeaderName::new_from_ascii(name.to_owned())
        .map(|name| HeaderValue::dangerous_new_pre_encoded(name, value.into(), folded))
        .map_err(|_| ComposeError::FieldName(name.to_owned()))
}

/// A value in lines of 78 bytes at most, as far as its spaces allow (RFC 5322 §2.2.3).
fn folded(name: &str, value: &str) -> String {
    const LONGEST: usize = 78;
    let mut folded = String::with_capacity(value.len());
    let mut line = name.len() + ": ".len();
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            if !word.is_empty() && line + 1 + word.len() > LONGEST {
                folded.push_str("\r\n");
                line = 0;
            }
            folded.push(' ');
            line += 1;
        }
        folded.push_str(word);
        line += word.len();
    }
    folded
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

/// An address as lettre takes it, within the limit of RFC 5321 §4.5.3.1.3; its error says what is wrong in words.
pub fn address(text: &str) -> Result<Address, String> {
    const LONGEST: usize = 254;
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    Address::from_str(text).map_err(|error| error.to_string().to_lowercase())
}

#[cfg(test)]
mod tests;
