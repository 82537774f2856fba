//! FETCH: the parts of a message that are asked for, copied once into the reply.

use std::{borrow::Cow, io::Write as _};

use imap_codec::imap_types::{
    core::AString,
    fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Part, Section},
    sequence::SequenceSet,
};
use mail_parser::PartType;

use super::{Answer, Session, folders::quoted, structure};
use crate::lab::{
    fields,
    mailbox::{Flags, Stored},
    mime, stamp,
    wire::{Stream, WireError},
};

/// A reply that grew to this size is sent before more is added to it.
const ENOUGH: usize = 256 * 1024;

impl<S: Stream> Session<S> {
    pub(super) async fn fetch(
        &mut self,
        set: &SequenceSet,
        items: MacroOrMessageDataItemNames<'_>,
        by_uid: bool,
    ) -> Result<Answer, WireError> {
        let mut items = expand(items);
        if by_uid && !items.contains(&MessageDataItemName::Uid) {
            items.insert(0, MessageDataItemName::Uid);
        }
        let reads = items.iter().any(marks_seen);
        let supported = |item: &MessageDataItemName<'_>| {
            !matches!(
                item,
                MessageDataItemName::Binary { .. } | MessageDataItemName::BinarySize { .. }
            )
        };
        if !items.iter().all(supported) {
            return Ok(Answer::bad("BINARY is not offered"));
        }
        for (number, mut message) in self.messages(set, by_uid) {
            let out = self.wire.output();
            let _ = write!(out, "* {number} FETCH (");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                write_item(out, item, &message);
            }
            if reads && self.see(&mut message) {
                let flags = message.flags.names();
                let _ = write!(self.wire.output(), " FLAGS ({flags})");
            }
            self.wire.push(b")\r\n");
            if self.wire.output().len() > ENOUGH {
                self.wire.flush().await?;
            }
        }
        Ok(Answer::ok("FETCH done"))
    }

    /// Marks a message as seen; false when it was, or when the folder is read-only.
    fn see(&self, message: &mut Stored) -> bool {
        let Some(view) = self.view.as_ref().filter(|view| !view.read_only) else {
            return false;
        };
        if message.flags.has(Flags::SEEN) {
            return false;
        }
        message.flags.set(Flags::SEEN);
        let (uid, number) = (message.uid, self.number);
        self.site.mailbox.with(&view.folder, |folder| {
            folder.flag(uid, number, |flags| flags.set(Flags::SEEN))
        });
        self.site.mailbox.announce();
        true
    }
}

fn expand(items: MacroOrMessageDataItemNames<'_>) -> Vec<MessageDataItemName<'_>> {
    match items {
        MacroOrMessageDataItemNames::Macro(name) => match name {
            Macro::Fast => Macro::Fast.expand(),
            Macro::All => Macro::All.expand(),
            _ => Macro::Full.expand(),
        },
        MacroOrMessageDataItemNames::MessageDataItemNames(items) => items,
    }
}

fn marks_seen(item: &MessageDataItemName<'_>) -> bool {
    matches!(
        item,
        MessageDataItemName::BodyExt { peek: false, .. }
            | MessageDataItemName::Rfc822
            | MessageDataItemName::Rfc822Text
    )
}

fn write_item(out: &mut Vec<u8>, item: &MessageDataItemName<'_>, message: &Stored) {
    let bytes: &[u8] = &message.bytes;
    let body = || fields::body_start(bytes);
    match item {
        MessageDataItemName::Uid => {
            let _ = write!(out, "UID {}", message.uid);
        }
        MessageDataItemName::Flags => {
            let _ = write!(out, "FLAGS ({})", message.flags.names());
        }
        MessageDataItemName::InternalDate => {
            let date = stamp::internal_date(message.received);
            let _ = write!(out, "INTERNALDATE \"{date}\"");
        }
        MessageDataItemName::Rfc822Size => {
            let _ = write!(out, "RFC822.SIZE {}", bytes.len());
        }
        MessageDataItemName::Rfc822 => write_literal(out, "RFC822", bytes),
        MessageDataItemName::Rfc822Header => {
            write_literal(
                out,
                "RFC822.HEADER",
                bytes.get(..body()).unwrap_or_default(),
            );
        }
        MessageDataItemName::Rfc822Text => {
            write_literal(out, "RFC822.TEXT", bytes.get(body()..).unwrap_or_default());
        }
        MessageDataItemName::BodyExt {
            section, partial, ..
        } => {
            let name = section.as_ref().map(section_name).unwrap_or_default();
            let content = match section {
                None => Some(Cow::Borrowed(bytes)),
                Some(section) => section_of(bytes, section),
            };
            let Some(content) = content else {
                let _ = write!(out, "BODY[{name}] NIL");
                return;
            };
            let Some((start, len)) = partial else {
                write_literal(out, &format!("BODY[{name}]"), &content);
                return;
            };
            let from = usize::try_from(*start)
                .unwrap_or(usize::MAX)
                .min(content.len());
            let len = usize::try_from(len.get()).unwrap_or(usize::MAX);
            let to = from.saturating_add(len).min(content.len());
            let part = content.get(from..to).unwrap_or_default();
            write_literal(out, &format!("BODY[{name}]<{start}>"), part);
        }
        MessageDataItemName::Envelope => {
            let _ = write!(out, "ENVELOPE {}", structure::envelope(bytes));
        }
        MessageDataItemName::Body => {
            let _ = write!(out, "BODY {}", structure::body(bytes, false));
        }
        MessageDataItemName::BodyStructure => {
            let _ = write!(out, "BODYSTRUCTURE {}", structure::body(bytes, true));
        }
        MessageDataItemName::Binary { .. } | MessageDataItemName::BinarySize { .. } => {}
    }
}

fn write_literal(out: &mut Vec<u8>, name: &str, content: &[u8]) {
    let _ = write!(out, "{name} {{{}}}\r\n", content.len());
    out.extend_from_slice(content);
}

/// The section as the client wrote it, which the reply repeats.
fn section_name(section: &Section<'_>) -> String {
    let within = |part: &Option<Part>, name: &str| match part {
        Some(part) => format!("{}.{name}", numbers(part)),
        None => name.to_owned(),
    };
    let names = |names: &[AString<'_>]| {
        let quoted_if_odd = |name: &AString<'_>| {
            let name = String::from_utf8_lossy(name.as_ref()).into_owned();
            let plain = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if plain { name } else { quoted(&name) }
        };
        let names: Vec<String> = names.iter().map(quoted_if_odd).collect();
        names.join(" ")
    };
    match section {
        Section::Part(part) => numbers(part),
        Section::Mime(part) => format!("{}.MIME", numbers(part)),
        Section::Header(part) => within(part, "HEADER"),
        Section::Text(part) => within(part, "TEXT"),
        Section::HeaderFields(part, list) => {
            let list = names(list.as_ref());
            within(part, &format!("HEADER.FIELDS ({list})"))
        }
        Section::HeaderFieldsNot(part, list) => {
            let list = names(list.as_ref());
            within(part, &format!("HEADER.FIELDS.NOT ({list})"))
        }
    }
}

fn numbers(part: &Part) -> String {
    let numbers: Vec<String> = part.0.as_ref().iter().map(ToString::to_string).collect();
    numbers.join(".")
}

/// `None` when the message has no such part.
fn section_of<'m>(message: &'m [u8], section: &Section<'_>) -> Option<Cow<'m, [u8]>> {
    let whole = |part: &Option<Part>| match part {
        None => Some(message),
        Some(part) => part_of(message, part).map(|part| part.body),
    };
    match section {
        Section::Part(part) => part_of(message, part).map(|part| part.body.into()),
        Section::Mime(part) => part_of(message, part).map(|part| part.header.into()),
        Section::Header(part) => {
            let message = whole(part)?;
            Some(message.get(..fields::body_start(message))?.into())
        }
        Section::Text(part) => {
            let message = whole(part)?;
            Some(message.get(fields::body_start(message)..)?.into())
        }
        Section::HeaderFields(part, names) => {
            Some(some_fields(whole(part)?, names.as_ref(), true).into())
        }
        Section::HeaderFieldsNot(part, names) => {
            Some(some_fields(whole(part)?, names.as_ref(), false).into())
        }
    }
}

/// The fields that are named, or all others, and the empty line.
fn some_fields(message: &[u8], names: &[AString<'_>], named: bool) -> Vec<u8> {
    let mut chosen = Vec::new();
    for field in fields::raw_fields(message) {
        let name = fields::name(field);
        let listed = names
            .iter()
            .any(|wanted| wanted.as_ref().eq_ignore_ascii_case(name));
        if listed == named {
            chosen.extend_from_slice(field);
        }
    }
    chosen.extend_from_slice(b"\r\n");
    chosen
}

struct Found<'m> {
    header: &'m [u8],
    body: &'m [u8],
}

/// Finds `1.2.3` in the tree of parts.
fn part_of<'m>(message: &'m [u8], part: &Part) -> Option<Found<'m>> {
    let parsed = crate::mime::parse(message)?;
    let mut current = parsed.parts.first()?;
    for (depth, number) in part.0.as_ref().iter().enumerate() {
        let index = usize::try_from(number.get()).ok()?.checked_sub(1)?;
        current = match &current.body {
            PartType::Multipart(children) => {
                let child = usize::try_from(*children.get(index)?).ok()?;
                parsed.parts.get(child)?
            }
            // A message that is no multipart has itself as its part 1.
            _ if depth == 0 && index == 0 => current,
            _ => return None,
        };
    }
    let header = mime::range(current.offset_header, current.offset_body);
    let body = mime::range(current.offset_body, current.offset_end);
    Some(Found {
        header: message.get(header)?,
        body: message.get(body)?,
    })
}
