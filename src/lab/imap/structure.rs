//! ENVELOPE and BODYSTRUCTURE (RFC 3501 section 7.4.2).

use mail_parser::{Address, Message, MessagePart, MimeHeaders, PartType};
use std::fmt::Write as _;

use super::folders::quoted;
use crate::lab::{fields, mime};

/// Deeper nesting is shown as a plain part: no client asks for it, and we must not recurse far.
const DEPTH: usize = 20;

pub(super) fn envelope(message: &[u8]) -> String {
    let header = message
        .get(..fields::body_start(message))
        .unwrap_or_default();
    let parsed = mail_parser::MessageParser::default().parse_headers(header);
    let raw = |name: &str| nstring(fields::find(message, name).as_deref());
    let parsed = parsed.as_ref();
    let from = addresses(parsed.and_then(Message::from));
    let or_from = |list: String| if list == "NIL" { from.clone() } else { list };
    format!(
        "({} {} {from} {} {} {} {} {} {} {})",
        raw("date"),
        raw("subject"),
        or_from(addresses(parsed.and_then(Message::sender))),
        or_from(addresses(parsed.and_then(Message::reply_to))),
        addresses(parsed.and_then(Message::to)),
        addresses(parsed.and_then(Message::cc)),
        addresses(parsed.and_then(Message::bcc)),
        raw("in-reply-to"),
        raw("message-id"),
    )
}

fn addresses(address: Option<&Address<'_>>) -> String {
    let mut list = String::new();
    for address in address.into_iter().flat_map(Address::iter) {
        let Some((local, domain)) = address.address().and_then(|full| full.rsplit_once('@')) else {
            continue;
        };
        let name = nstring(address.name());
        let _ = write!(
            list,
            "({name} NIL {} {})",
            nstring(Some(local)),
            nstring(Some(domain))
        );
    }
    if list.is_empty() {
        "NIL".to_owned()
    } else {
        format!("({list})")
    }
}

/// `extended` adds what distinguishes BODYSTRUCTURE from BODY.
pub(super) fn body(message: &[u8], extended: bool) -> String {
    body_at(message, extended, 0)
}

fn body_at(message: &[u8], extended: bool, depth: usize) -> String {
    let parsed = crate::mime::parse(message).filter(|_| depth <= DEPTH);
    parsed
        .as_ref()
        .and_then(|parsed| {
            Some(part(
                parsed,
                parsed.parts.first()?,
                message,
                extended,
                depth,
            ))
        })
        .unwrap_or_else(|| plain(message))
}

fn plain(message: &[u8]) -> String {
    let lines = line_count(message);
    let size = message.len();
    format!("(\"text\" \"plain\" NIL NIL NIL \"8bit\" {size} {lines})")
}

fn part(
    parsed: &Message<'_>,
    this: &MessagePart<'_>,
    message: &[u8],
    extended: bool,
    depth: usize,
) -> String {
    let range = mime::range(this.offset_body, this.offset_end);
    let bytes = message.get(range).unwrap_or_default();
    if depth > DEPTH {
        return plain(bytes);
    }
    let kind = this.content_type();
    let parameters = parameters(kind);
    let disposition = match this.content_disposition() {
        Some(how) => {
            let parameters = self::parameters(Some(how));
            format!("({} {parameters})", quoted(how.ctype()))
        }
        None => "NIL".to_owned(),
    };
    let subtype = kind.and_then(|kind| kind.subtype());
    if let PartType::Multipart(children) = &this.body {
        let children: String = children
            .iter()
            .filter_map(|id| parsed.parts.get(usize::try_from(*id).ok()?))
            .map(|child| part(parsed, child, message, extended, depth + 1))
            .collect();
        let subtype = quoted(subtype.unwrap_or("mixed"));
        let rest = if extended {
            format!(" {parameters} {disposition} NIL NIL")
        } else {
            String::new()
        };
        return format!("({children} {subtype}{rest})");
    }
    let lines = line_count(bytes);
    let (main, sub) = (
        kind.map_or("text", |kind| kind.ctype()),
        subtype.unwrap_or("plain"),
    );
    let specific = match &this.body {
        PartType::Message(_) => {
            let inner = body_at(bytes, extended, depth + 1);
            format!(" {} {inner} {lines}", envelope(bytes))
        }
        _ if main.eq_ignore_ascii_case("text") => format!(" {lines}"),
        _ => String::new(),
    };
    let rest = if extended {
        format!(" NIL {disposition} NIL NIL")
    } else {
        String::new()
    };
    format!(
        "({} {} {parameters} {} {} {} {}{specific}{rest})",
        quoted(main),
        quoted(sub),
        nstring(this.content_id()),
        nstring(this.content_description()),
        quoted(this.content_transfer_encoding().unwrap_or("7bit")),
        bytes.len(),
    )
}

fn parameters(kind: Option<&mail_parser::ContentType<'_>>) -> String {
    let list: Vec<String> = kind
        .and_then(|kind| kind.attributes())
        .into_iter()
        .flatten()
        .map(|attribute| format!("{} {}", quoted(&attribute.name), quoted(&attribute.value)))
        .collect();
    if list.is_empty() {
        "NIL".to_owned()
    } else {
        format!("({})", list.join(" "))
    }
}

fn line_count(bytes: &[u8]) -> usize {
    bytes.split_inclusive(|&byte| byte == b'\n').count()
}

fn nstring(text: Option<&str>) -> String {
    match text {
        // Quoted strings are 7-bit; anything else travels as a literal.
        Some(text) if text.is_ascii() => quoted(text),
        Some(text) => format!("{{{}}}\r\n{text}", text.len()),
        None => "NIL".to_owned(),
    }
}
