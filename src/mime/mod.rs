//! Parsing a message whose every byte may be hostile: bounded, and without the parser's recursions.
//!
//! mail-parser does the grammar. Dropping tens of thousands of messages nested in one another would overflow the stack;
//! where an encoded part holds them it also copies each level by recursion, with memory that grows with their square.

pub mod archive;
pub mod leaf;

use std::mem;
use std::ops::Deref;

use mail_parser::{Message, MessageParser, PartType};

/// How much of a message is parsed; what is beyond is not looked at.
pub const MAX_PARSED: usize = 128 * 1024 * 1024;
/// A message with encoded messages in it is parsed up to this size; of a larger one only the header is.
const MAX_ENCODED: usize = 32 * 1024;

/// Of a message with more nested messages, or more lines that may begin a part, only the header is parsed.
const MAX_NESTED: usize = 52_000;
const MAX_BOUNDARIES: usize = 200_000;

/// A parsed message that can be dropped, however deeply messages are nested in it.
pub struct Parsed<'x> {
    message: Message<'x>,
    /// Why a part of it was not looked at, if so.
    pub unread: Option<&'static str>,
}

/// Parses a whole message, or a header alone. `None` where not even a header can be made out.
pub fn parse(raw: &[u8]) -> Option<Parsed<'_>> {
    let parser = MessageParser::default();
    if let Some(trap) = trap(raw).filter(|_| raw.len() > MAX_ENCODED) {
        let message = parser.parse_headers(raw)?;
        let unread = Some(trap);
        return Some(Parsed { message, unread });
    }
    let bounded = raw.get(..MAX_PARSED).unwrap_or(raw);
    let message = parser.parse(bounded)?;
    let unread = if bounded.len() < raw.len() {
        Some("it is larger than any message that is parsed")
    } else if message.parts.len() > leaf::MAX_PARTS {
        Some("it has more parts than are looked at")
    } else {
        None
    };
    Some(Parsed { message, unread })
}

impl<'x> Deref for Parsed<'x> {
    type Target = Message<'x>;

    fn deref(&self) -> &Message<'x> {
        &self.message
    }
}

impl Drop for Parsed<'_> {
    fn drop(&mut self) {
        let mut parts = mem::take(&mut self.message.parts);
        while let Some(part) = parts.pop() {
            if let PartType::Message(mut nested) = part.body {
                parts.append(&mut nested.parts);
            }
        }
    }
}

/// Why a message would take the parser far more memory than it has itself, if it would: too many nested messages or
/// parts, or a nested message that is encoded, which RFC 2046 §5.2.1 forbids and some systems do.
fn trap(message: &[u8]) -> Option<&'static str> {
    let has_digest = contains(message, b"multipart/digest");
    let (mut nested, mut encoded) = (has_digest, false);
    let (mut messages, mut parts) = (0, 0);
    for line in message.split(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            (nested, encoded) = (has_digest, false);
        }
        parts += usize::from(line.starts_with(b"--"));
        let is_message = contains(line, b"message/");
        messages += usize::from(is_message);
        nested |= is_message;
        encoded |= contains(line, b"base64") || contains(line, b"quoted-printable");
        if nested && encoded {
            return Some("encoded messages are nested in it");
        }
        if messages > MAX_NESTED || parts > MAX_BOUNDARIES {
            return Some("it has more parts than are looked at");
        }
    }
    None
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    let Some((first, rest)) = wanted.split_first() else {
        return true;
    };
    let mut from = line;
    while let Some(at) = from
        .iter()
        .position(|byte| byte.eq_ignore_ascii_case(first))
    {
        from = from.get(at + 1..).unwrap_or_default();
        if from
            .get(..rest.len())
            .is_some_and(|next| next.eq_ignore_ascii_case(rest))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_MIME;

    use super::*;

    #[test]
    fn tens_of_thousands_of_nested_messages_are_parsed_and_dropped() {
        let bomb = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000) + "the end";
        assert!(parse(bomb.as_bytes()).is_some());
    }

    #[test]
    fn so_are_encoded_ones() {
        let inner = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000) + "the end";
        let bomb = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            BASE64_MIME.encode(inner.as_bytes())
        );
        assert!(parse(bomb.as_bytes()).is_some());
    }
}
