//! A received message as the judge reads it: its header fields as they stand, its leaves decoded.

use jiff::Timestamp;
use mail_parser::parsers::MessageStream;
use mail_parser::{Message, MimeHeaders};

use crate::mime::leaf::{self, Content, Leaf, media_type, slice};
use crate::mime::{self, Parsed};
use crate::probe::date;

/// A parsed message.
pub struct Mail<'x> {
    message: Parsed<'x>,
}

impl<'x> Mail<'x> {
    /// Parses a whole message, or a header alone. `None` where not even a header can be made out.
    pub fn parse(raw: &'x [u8]) -> Option<Self> {
        mime::parse(raw).map(|message| Self { message })
    }

    /// The fields of the outermost header, in their order. One that does not parse has still its name and its bytes.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        fields(&self.message)
    }

    /// The raw value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields()
            .find(|field| field.is(name))
            .and_then(|field| str::from_utf8(field.raw).ok())
            .map(str::trim)
    }

    /// The messages that are attached to it, the outer ones first.
    pub fn attached(&self) -> impl Iterator<Item = Attached<'_>> {
        let leaves = self.leaves().into_iter();
        leaves.filter_map(|leaf| match leaf.content {
            Content::Header(message) => Some(Attached(message)),
            Content::Text(_) | Content::Html(_) | Content::Binary(_) => None,
        })
    }

    /// Why a part of the message was not looked at, if so.
    pub fn unread(&self) -> Option<&'static str> {
        self.message.unread
    }

    /// The subject, decoded (RFC 2047) and unfolded.
    pub fn subject(&self) -> Option<&str> {
        self.message.subject()
    }

    /// The address in From, as it stands.
    pub fn author(&self) -> Option<&str> {
        self.message.from()?.first()?.address()
    }

    /// When the last server on the way says that it took the message: the date of the topmost Received field.
    pub fn received_at(&self) -> Option<Timestamp> {
        let (_, date) = self.field("Received")?.rsplit_once(';')?;
        date::moment(date)
    }

    /// The media type of the whole, lower case, `text/plain` where none is declared.
    pub fn media_type(&self) -> String {
        media_type(self.message.root_part())
    }

    /// A parameter of the whole's Content-Type.
    pub fn media_parameter(&self, name: &str) -> Option<&str> {
        self.message.content_type()?.attribute(name)
    }

    /// Every leaf, nested messages opened, in the order of their appearance within each message.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        leaf::leaves(&self.message)
    }

    /// The same, or the body as it stands where the message has no part that can be told from another.
    pub fn leaves_or_body(&self) -> Vec<Leaf<'_>> {
        let mut leaves = self.leaves();
        if leaves.is_empty() {
            leaves.extend(leaf::unparted(&self.message));
        }
        leaves
    }
}

/// An attached message.
#[derive(Clone, Copy)]
pub struct Attached<'m>(&'m Message<'m>);

impl<'m> Attached<'m> {
    /// The fields of its header, in their order.
    pub fn fields(self) -> impl Iterator<Item = Field<'m>> {
        fields(self.0)
    }

    /// Whether its header names this address as a recipient.
    pub fn was_sent_to(self, address: &str) -> bool {
        let address = address.to_ascii_lowercase();
        let names = ["To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To"];
        self.fields().any(|field| {
            names.iter().any(|name| field.is(name))
                && field.text().to_ascii_lowercase().contains(&address)
        })
    }
}

/// One header field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'m> {
    /// As written, in whatever case.
    pub name: &'m str,
    /// The value as it stands on the wire, folding included.
    pub raw: &'m [u8],
}

impl Field<'_> {
    /// Whether this is the field `name`.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value decoded (RFC 2047), unfolded, its white space made one.
    pub fn text(&self) -> String {
        let mut stream = MessageStream::new(self.raw);
        let decoded = stream.parse_unstructured();
        let text = decoded.as_text().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn fields<'m>(message: &'m Message<'_>) -> impl Iterator<Item = Field<'m>> {
    message.headers().iter().map(|header| Field {
        name: header.name.as_str(),
        raw: slice(&message.raw_message, header.offset_start, header.offset_end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_does_not_parse_keeps_its_bytes() {
        let mail =
            Mail::parse(b"Received: \xff\xfe; no date at all\r\nSubject: x\r\n\r\n").unwrap();
        let received = mail.fields().find(|field| field.is("received")).unwrap();
        assert!(received.raw.starts_with(b" \xff\xfe; no date"));
    }
}
