//! What intermediaries do to a message: pure functions from bytes to bytes.
//!
//! What is not concerned stays as it was, byte for byte. A message that cannot be parsed passes
//! unchanged.

use std::borrow::Cow;
use std::fmt::Write as _;

use mail_parser::Encoding;

use super::{fault::kind::Kind, fields, mime};

/// What the forwarding side calls itself in messages of its own.
pub(crate) struct Forwarder<'a> {
    /// The address that received the message.
    pub(crate) address: &'a str,
    /// Where it forwards to.
    pub(crate) target: &'a str,
    /// A Message-ID without angle brackets that was never used.
    pub(crate) message_id: &'a str,
    /// Now, as a header field has it.
    pub(crate) date: &'a str,
}

const FOOTER: &str = "\r\n-- \r\nThis message is confidential and was checked for your safety.\r\n";

const NOTICE: &str = "The content of this message was removed by policy.\r\n";

/// The message as it is after this one alteration; other kinds of faults leave it alone.
pub(crate) fn apply(kind: Kind, message: Vec<u8>, by: &Forwarder<'_>) -> Vec<u8> {
    let altered = match kind {
        Kind::NewMessageId => Some(new_message_id(&message, by)),
        Kind::DropXHeaders => Some(drop_x_headers(&message)),
        Kind::RewriteSubject => Some(with_subject(&message, |_| "FW: Message for you".to_owned())),
        Kind::MarkSubject => Some(mark_subject(&message)),
        Kind::MarkSpam => Some(mark_spam(&message)),
        Kind::StripAttachments => mime::without_attachments(&message),
        Kind::Alter => alter(&message),
        Kind::Footer => footer(&message),
        Kind::ReEncode => re_encode(&message),
        Kind::Quote => quote(&message, by),
        Kind::ForwardAsAttachment => Some(as_attachment(&message, by)),
        _ => None,
    };
    altered.unwrap_or(message)
}

fn new_message_id(message: &[u8], by: &Forwarder<'_>) -> Vec<u8> {
    let added = format!("Message-ID: <{}>\r\n", by.message_id);
    fields::edit(message, &added, |field| {
        (!fields::is_named(field, "message-id")).then(|| field.into())
    })
}

fn drop_x_headers(message: &[u8]) -> Vec<u8> {
    fields::edit(message, "", |field| {
        let is_x = matches!(field, [b'x' | b'X', b'-', ..]);
        (!is_x).then(|| field.into())
    })
}

fn with_subject(message: &[u8], subject: impl Fn(&str) -> String) -> Vec<u8> {
    let line = |old: &str| format!("Subject: {}\r\n", subject(old));
    if fields::find(message, "subject").is_none() {
        return fields::edit(message, &line(""), |field| Some(field.into()));
    }
    fields::edit(message, "", |field| {
        Some(if fields::is_named(field, "subject") {
            Cow::Owned(line(&fields::value(field)).into_bytes())
        } else {
            field.into()
        })
    })
}

/// The message with a spam filter's word before its subject.
pub(crate) fn mark_subject(message: &[u8]) -> Vec<u8> {
    with_subject(message, |old| format!("***SPAM*** {old}"))
}

fn mark_spam(message: &[u8]) -> Vec<u8> {
    let mut marked = b"X-Spam-Flag: YES\r\n\
        X-Spam-Status: Yes, score=15.1 required=5.0 tests=LAB_TEST\r\n\
        X-Spam-Level: ***************\r\n"
        .to_vec();
    marked.extend_from_slice(message);
    marked
}

fn alter(message: &[u8]) -> Option<Vec<u8>> {
    let part = mime::text(message)?;
    Some(mime::replace_text(message, &part, NOTICE, Encoding::None))
}

fn footer(message: &[u8]) -> Option<Vec<u8>> {
    let part = mime::text(message)?;
    if !matches!(part.encoding, Encoding::None) {
        let text = format!("{}{FOOTER}", part.content);
        return Some(mime::replace_text(message, &part, &text, part.encoding));
    }
    // Unencoded text keeps its own bytes and charset: the footer is ASCII in every one of them.
    let (before, after) = message.split_at_checked(part.body.end)?;
    Some([before, FOOTER.as_bytes(), after].concat())
}

fn re_encode(message: &[u8]) -> Option<Vec<u8>> {
    let part = mime::text(message)?;
    let encoding = match part.encoding {
        Encoding::None => Encoding::QuotedPrintable,
        Encoding::QuotedPrintable | Encoding::Base64 => Encoding::Base64,
    };
    Some(mime::replace_text(message, &part, &part.content, encoding))
}

fn quote(message: &[u8], by: &Forwarder<'_>) -> Option<Vec<u8>> {
    let text = mime::text(message)?.content;
    let subject = fields::find(message, "subject").unwrap_or_default();
    let mut quoted = own_header(&format!("Fwd: {subject}"), by);
    quoted.push_str(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         ---------- Forwarded message ---------\r\n",
    );
    for name in ["From", "Date", "Subject", "To"] {
        let value = fields::find(message, name).unwrap_or_default();
        let _ = write!(quoted, "> {name}: {value}\r\n");
    }
    quoted.push_str(">\r\n");
    for line in text.lines() {
        let _ = write!(quoted, "> {line}\r\n");
    }
    Some(quoted.into_bytes())
}

fn as_attachment(message: &[u8], by: &Forwarder<'_>) -> Vec<u8> {
    // A boundary that the message cannot contain: it was just made up.
    let boundary = format!("=_{}", by.message_id.replace(['@', '.'], "_"));
    let mut wrapped = own_header("Forwarded message", by);
    let _ = write!(
        wrapped,
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         See the attached message.\r\n\r\n\
         --{boundary}\r\nContent-Type: message/rfc822\r\n\
         Content-Disposition: attachment; filename=\"forwarded.eml\"\r\n\r\n"
    );
    let end = format!("\r\n--{boundary}--\r\n");
    [wrapped.as_bytes(), message, end.as_bytes()].concat()
}

/// The header of a message that the forwarder writes itself, up to its content type.
fn own_header(subject: &str, by: &Forwarder<'_>) -> String {
    format!(
        "From: <{}>\r\nTo: <{}>\r\nDate: {}\r\nSubject: {subject}\r\n\
         Message-ID: <{}>\r\nMIME-Version: 1.0\r\n",
        by.address, by.target, by.date, by.message_id
    )
}
