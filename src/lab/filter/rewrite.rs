//! What the filter does to the messages that it lets pass. The rest of a message stays as it was, byte for byte.

use std::borrow::Cow;

use mail_parser::{MessagePart, MimeHeaders, PartType};

use super::{
    SIGNATURE,
    scan::{Scanner, Unpacking, shown},
};
use crate::{
    lab::{fields, mime::range},
    mime::{leaf::leaves, parse},
};

pub(super) use crate::lab::alteration::mark_subject;

/// What describes the notice in the place of a removed part, in Exchange's words.
const NOTICE_HEADER: &str = "Content-Type: text/plain; charset=us-ascii; name=\"Malware Alert Text.txt\"\r\n\
    Content-Disposition: attachment; filename=\"Malware Alert Text.txt\"\r\n";

/// The message with a notice in the place of each part that is infected, or holds what is.
pub(super) fn strip(message: &[u8], unpacking: Unpacking) -> Vec<u8> {
    let Some(parsed) = parse(message) else {
        return message.to_vec();
    };
    let mut scanner = Scanner::new(unpacking);
    let mut stripped = Vec::with_capacity(message.len());
    let mut kept_from = 0;
    for part in &parsed.parts {
        let header = range(part.offset_header, part.offset_body);
        let end = range(part.offset_body, part.offset_end).end;
        if header.start < kept_from || !is_infected(part, &mut scanner) {
            continue;
        }
        let (Some(before), Some(header)) =
            (message.get(kept_from..header.start), message.get(header))
        else {
            continue;
        };
        stripped.extend_from_slice(before);
        stripped.extend(notice(header, part.attachment_name().unwrap_or("a part")));
        kept_from = end;
    }
    stripped.extend_from_slice(message.get(kept_from..).unwrap_or_default());
    stripped
}

fn is_infected(part: &MessagePart<'_>, scanner: &mut Scanner) -> bool {
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => scanner.is_infected(text.as_bytes()),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => scanner.is_infected(bytes),
        PartType::Message(nested) => leaves(nested)
            .iter()
            .any(|leaf| scanner.is_infected(leaf.content.bytes())),
        PartType::Multipart(_) => false,
    }
}

/// The part that stands for the removed one: its own header, which may be that of the message, described anew.
fn notice(header: &[u8], name: &str) -> Vec<u8> {
    let mut notice = fields::edit(header, NOTICE_HEADER, |field| {
        let describes = fields::name(field)
            .get(.."content-".len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(b"content-"));
        (!describes).then_some(Cow::Borrowed(field))
    });
    let text = format!(
        "Malware was detected in one or more attachments included with this email message.\r\n\
         Action: The attachment was removed.\r\n{} {SIGNATURE}\r\n",
        shown(name)
    );
    notice.extend_from_slice(text.as_bytes());
    notice
}
