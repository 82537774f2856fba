//! A received message as the judge reads it: its header fields as they stand, its leaves decoded.

use jiff::Timestamp;
use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

use crate::mime::{self, Parsed};

/// How many parts, nested ones included, are looked at.
const MAX_PARTS: usize = 10_000;

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

    /// The subject, decoded (RFC 2047) and unfolded.
    pub fn subject(&self) -> Option<&str> {
        self.message.subject()
    }

    /// When the last server on the way says that it took the message: the date of the topmost Received field.
    pub fn received_at(&self) -> Option<Timestamp> {
        let (_, date) = self.field("Received")?.rsplit_once(';')?;
        let date = mail_parser::DateTime::parse_rfc822(date.trim())?;
        Timestamp::from_second(date.to_timestamp()).ok()
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
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        let mut queue: Vec<(&Message<'_>, bool)> = vec![(&self.message, false)];
        let mut found = Vec::new();
        while let Some((message, nested)) = queue.pop() {
            if nested {
                found.push(Leaf {
                    media_type: "message/rfc822".into(),
                    content: Content::Header(message),
                });
            }
            for part in message
                .parts
                .iter()
                .take(MAX_PARTS.saturating_sub(found.len()))
            {
                let content = match &part.body {
                    PartType::Text(text) => Content::Text(text),
                    PartType::Html(html) => Content::Html(html),
                    PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                        Content::Binary(bytes)
                    }
                    PartType::Message(message) => {
                        queue.push((message, true));
                        continue;
                    }
                    PartType::Multipart(_) => continue,
                };
                found.push(Leaf {
                    media_type: media_type(part),
                    content,
                });
            }
        }
        found.into_iter()
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
}

/// A part without parts of its own, its transfer encoding undone.
pub struct Leaf<'m> {
    /// Lower case, `text/plain` where none is declared.
    pub media_type: String,
    /// What it holds.
    pub content: Content<'m>,
}

/// What a leaf holds.
pub enum Content<'m> {
    /// Text, its charset decoded.
    Text(&'m str),
    /// HTML, its charset decoded.
    Html(&'m str),
    /// Anything else.
    Binary(&'m [u8]),
    /// The header of a nested message, whose body follows as leaves of its own.
    Header(&'m Message<'m>),
}

impl Content<'_> {
    /// The bytes to search and to compare: decoded content, or the raw header of a nested message.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) | Self::Html(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
            Self::Header(message) => {
                let root = message.root_part();
                slice(&message.raw_message, root.offset_header, root.offset_body)
            }
        }
    }

    /// The text a person would read, HTML without its tags; `None` for what is no text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some((*text).to_owned()),
            Self::Html(html) => Some(mail_parser::decoders::html::html_to_text(html)),
            Self::Binary(_) | Self::Header(_) => None,
        }
    }
}

fn fields<'m>(message: &'m Message<'_>) -> impl Iterator<Item = Field<'m>> {
    message.headers().iter().map(|header| Field {
        name: header.name.as_str(),
        raw: slice(&message.raw_message, header.offset_start, header.offset_end),
    })
}

fn slice(raw: &[u8], from: u32, to: u32) -> &[u8] {
    raw.get(from as usize..to as usize).unwrap_or_default()
}

fn media_type(part: &MessagePart<'_>) -> String {
    part.content_type().map_or_else(
        || "text/plain".into(),
        |kind| {
            let main = kind.ctype().to_ascii_lowercase();
            match kind.subtype() {
                Some(sub) => format!("{main}/{}", sub.to_ascii_lowercase()),
                None => main,
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_parts_are_looked_at() {
        let bomb = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000) + "the end";
        let mail = Mail::parse(bomb.as_bytes()).unwrap();
        assert_eq!(mail.leaves().count(), MAX_PARTS);
    }

    #[test]
    fn a_header_that_does_not_parse_keeps_its_bytes() {
        let mail =
            Mail::parse(b"Received: \xff\xfe; no date at all\r\nSubject: x\r\n\r\n").unwrap();
        let received = mail.fields().find(|field| field.is("received")).unwrap();
        assert!(received.raw.starts_with(b" \xff\xfe; no date"));
    }
}
