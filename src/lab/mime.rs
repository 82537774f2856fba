//! The parts of a message that the lab looks into or rewrites, and the encodings it writes.

use std::fmt::Write as _;
use std::ops::Range;

use data_encoding::BASE64;
use mail_parser::{ContentType, Encoding, MessagePart, MimeHeaders, PartType};

use super::fields;
use crate::mime::parse;

/// The text of a message and where it stands.
pub(crate) struct Text {
    pub(crate) header: Range<usize>,
    pub(crate) body: Range<usize>,
    pub(crate) encoding: Encoding,
    pub(crate) is_html: bool,
    pub(crate) content: String,
}

/// The first text that is no attachment: plain if there is one, else HTML.
pub(crate) fn text(message: &[u8]) -> Option<Text> {
    let parsed = parse(message)?;
    let shown = |part: &&MessagePart<'_>| {
        part.attachment_name().is_none()
            && part
                .content_disposition()
                .is_none_or(ContentType::is_inline)
    };
    let plain = |part: &&MessagePart<'_>| matches!(part.body, PartType::Text(_));
    let html = |part: &&MessagePart<'_>| matches!(part.body, PartType::Html(_));
    let parts = || parsed.parts.iter().filter(shown);
    let part = parts().find(plain).or_else(|| parts().find(html))?;
    let (PartType::Text(text) | PartType::Html(text)) = &part.body else {
        return None;
    };
    Some(Text {
        header: range(part.offset_header, part.offset_body),
        body: range(part.offset_body, part.offset_end),
        encoding: part.encoding,
        is_html: html(&part),
        content: text.clone().into_owned(),
    })
}

pub(crate) fn range(start: u32, end: u32) -> Range<usize> {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    start..end
}

/// The message with other text in the place of its own, in the encoding given.
pub(crate) fn replace_text(message: &[u8], part: &Text, text: &str, encoding: Encoding) -> Vec<u8> {
    let (name, body) = match encoding {
        Encoding::Base64 => ("base64", base64_lines(text.as_bytes())),
        Encoding::QuotedPrintable => ("quoted-printable", quoted_printable(text)),
        Encoding::None => ("8bit", text.to_owned()),
    };
    let kind = if part.is_html { "html" } else { "plain" };
    let described = format!(
        "Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {name}\r\n"
    );
    let header = message.get(part.header.clone()).unwrap_or_default();
    let mut replaced = message
        .get(..part.header.start)
        .unwrap_or_default()
        .to_vec();
    replaced.extend(fields::edit(header, &described, |field| {
        let replaced = fields::is_named(field, "content-type")
            || fields::is_named(field, "content-transfer-encoding");
        (!replaced).then(|| field.into())
    }));
    replaced.extend_from_slice(body.as_bytes());
    replaced.extend_from_slice(message.get(part.body.end..).unwrap_or_default());
    replaced
}

pub(crate) fn base64_lines(bytes: &[u8]) -> String {
    let mut lines = String::with_capacity(bytes.len() * 3 / 2 + 4);
    for chunk in bytes.chunks(57) {
        lines.push_str(&BASE64.encode(chunk));
        lines.push_str("\r\n");
    }
    lines
}

/// Quoted-printable with short lines, so that soft line breaks fall within words.
fn quoted_printable(text: &str) -> String {
    const WIDTH: usize = 30;
    let mut encoded = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        let mut width = 0;
        for byte in content.bytes() {
            if width + 3 > WIDTH {
                encoded.push_str("=\r\n");
                width = 0;
            }
            if matches!(byte, b'!'..=b'<' | b'>'..=b'~') {
                encoded.push(char::from(byte));
                width += 1;
            } else {
                let _ = write!(encoded, "={byte:02X}");
                width += 3;
            }
        }
        if content.len() < line.len() {
            encoded.push_str("\r\n");
        }
    }
    encoded
}

/// A multipart message without its attachments; `None` when it has none to remove.
pub(crate) fn without_attachments(message: &[u8]) -> Option<Vec<u8>> {
    let parsed = parse(message)?;
    let boundary = parsed.content_type()?.attribute("boundary")?.to_owned();
    let body_start = fields::body_start(message);
    let (header, body) = message.split_at_checked(body_start)?;
    let delimiter = format!("--{boundary}");
    let end = format!("--{boundary}--");

    let mut kept = header.to_vec();
    let mut part: Vec<u8> = Vec::new();
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let trimmed = line.trim_ascii_end();
        if trimmed == delimiter.as_bytes() || trimmed == end.as_bytes() {
            if !is_attachment(&part) {
                kept.append(&mut part);
            }
            part.clear();
        }
        part.extend_from_slice(line);
    }
    kept.extend(part);
    (kept.len() < message.len()).then_some(kept)
}

/// `part` begins with its delimiter line; the preamble has none and stays.
fn is_attachment(part: &[u8]) -> bool {
    let header = part
        .iter()
        .position(|&byte| byte == b'\n')
        .and_then(|end| part.get(end + 1..))
        .filter(|_| part.starts_with(b"--"));
    header.is_some_and(|header| {
        let has = |name, mark: &str| {
            fields::find(header, name).is_some_and(|value| value.to_lowercase().contains(mark))
        };
        has("content-disposition", "attachment")
            || has("content-type", "name=")
            || has("content-disposition", "filename=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"Subject: x\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
        --b\r\nContent-Type: application/zip; name=a.zip\r\n\
        Content-Disposition: attachment; filename=a.zip\r\n\r\nPK\r\n--b--\r\n";

    #[test]
    fn only_the_attachment_goes() {
        let kept = String::from_utf8(without_attachments(MIXED).unwrap()).unwrap();
        assert!(kept.contains("--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"));
        assert!(!kept.contains("zip"));
    }

    #[test]
    fn replaced_text_reads_back_in_every_encoding() {
        for encoding in [Encoding::None, Encoding::Base64, Encoding::QuotedPrintable] {
            let part = text(MIXED).unwrap();
            assert_eq!(part.content, "hello");
            let wanted = "h\u{e9}llo = a long line that has to be broken somewhere\r\nnext\r\n";
            let replaced = replace_text(MIXED, &part, wanted, encoding);
            let read = text(&replaced).unwrap();
            assert_eq!(read.content.trim_end(), wanted.trim_end());
            assert_eq!(parse(&replaced).unwrap().attachment_count(), 1);
        }
    }
}
