//! The leaves of a message: what a person or a filter would look into, transfer encodings undone, nested messages opened.

use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};

/// How many parts, nested ones included, are looked at.
pub const MAX_PARTS: usize = 10_000;

/// A part without parts of its own, its transfer encoding undone.
#[derive(Debug)]
pub struct Leaf<'m> {
    /// The file name it bears.
    pub name: Option<&'m str>,
    /// Lower case, `text/plain` where none is declared.
    pub media_type: String,
    /// How it was encoded for transfer.
    pub encoding: Encoding,
    /// Whether it is part of a message that is attached to the outermost one.
    pub nested: bool,
    /// What it holds.
    pub content: Content<'m>,
}

/// What a leaf holds.
#[derive(Clone, Copy, Debug)]
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

impl<'m> Content<'m> {
    /// The bytes to search and to compare: decoded content, or the raw header of a nested message.
    pub fn bytes(&self) -> &'m [u8] {
        match *self {
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

/// Every leaf, in the order of its appearance within each message; [`MAX_PARTS`] at most.
pub fn leaves<'m>(message: &'m Message<'m>) -> Vec<Leaf<'m>> {
    let mut queue: Vec<(&Message<'_>, bool)> = vec![(message, false)];
    let mut found = Vec::new();
    while let Some((message, nested)) = queue.pop() {
        if nested {
            found.push(Leaf {
                name: None,
                media_type: "message/rfc822".into(),
                encoding: Encoding::None,
                nested,
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
                PartType::Binary(bytes) | PartType::InlineBinary(bytes) => Content::Binary(bytes),
                PartType::Message(message) => {
                    queue.push((message, true));
                    continue;
                }
                PartType::Multipart(_) => continue,
            };
            found.push(Leaf {
                name: part.attachment_name(),
                media_type: media_type(part),
                encoding: part.encoding,
                nested,
                content,
            });
        }
    }
    found
}

/// The whole body as one text, for a multipart message that has none of the boundaries it declares.
pub fn unparted<'m>(message: &'m Message<'m>) -> Option<Leaf<'m>> {
    let root = message.parts.first()?;
    let body = slice(&message.raw_message, root.offset_body, root.offset_end);
    let text = match str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => str::from_utf8(body.get(..error.valid_up_to())?).ok()?,
    };
    Some(Leaf {
        name: None,
        media_type: "text/plain".into(),
        encoding: Encoding::None,
        nested: false,
        content: Content::Text(text),
    })
}

/// The media type that a part declares, lower case; `text/plain` where it declares none.
pub fn media_type(part: &MessagePart<'_>) -> String {
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

/// Bytes of a message between two offsets of the parser's.
pub fn slice(raw: &[u8], from: u32, to: u32) -> &[u8] {
    raw.get(from as usize..to as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn only_so_many_parts_are_looked_at() {
        let bomb = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000) + "the end";
        let message = parse(bomb.as_bytes()).unwrap();
        assert_eq!(leaves(&message).len(), MAX_PARTS);
    }
}
