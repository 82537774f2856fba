//! The hops of a copy, from its Received fields: who took it from whom, how, and when by which clock.
//!
//! mail-parser reads what stands before the date, as far as it can; the date is found and read here, because a field that
//! mail-parser cannot read is gone from its view, and a hop without a time is still a hop.

use jiff::Timestamp;
use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, Host, Received};
use serde::{Deserialize, Serialize};

use crate::probe::date;
use crate::probe::hop::Hop;
use crate::probe::mail::{Attached, Field, Mail};
use crate::probe::record::signed_milliseconds;
use crate::text::excerpt;

/// So many hops are kept, those nearest to the mailbox: of these the writers are known best.
const KEPT: usize = 100;
/// Of a name, this many characters are kept.
const NAME: usize = 200;
/// Of a field, this many bytes at its begin and at its end are looked at.
const HEAD: usize = 2048;
const TAIL: usize = 512;
/// So many semicolons from the end on may stand before the date.
const SEMICOLONS: usize = 4;

/// The hops of a copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hops {
    /// The oldest first.
    pub hops: Box<[Hop]>,
    /// How many older ones were left out.
    pub left_out: usize,
}

/// Reads the hops of a copy. Where it came as an attachment that `is_ours`, those of the attached message are the older ones.
pub fn hops(mail: &Mail<'_>, is_ours: impl Fn(&[u8]) -> bool) -> Hops {
    let is_received = |field: &Field<'_>| field.is("Received");
    let attached = mail
        .attached()
        .find(|message| message.fields().any(|field| is_ours(field.raw)));
    let inner = attached.into_iter().flat_map(Attached::fields);
    let newest_first = mail.fields().chain(inner).filter(is_received);
    let mut total = 0_usize;
    let mut hops = Vec::new();
    for field in newest_first {
        total += 1;
        if total <= KEPT {
            hops.push(hop(field.raw));
        }
    }
    hops.reverse();
    let mut before: Option<Timestamp> = None;
    for hop in &mut hops {
        if let Some(at) = hop.at {
            hop.delay_ms = before.map(|before| signed_milliseconds(at.duration_since(before)));
            before = Some(at);
        }
    }
    Hops {
        left_out: total - hops.len(),
        hops: hops.into(),
    }
}

fn hop(raw: &[u8]) -> Hop {
    let mut hop = Hop::default();
    let head = raw.get(..HEAD).unwrap_or(raw);
    if let HeaderValue::Received(received) = MessageStream::new(head).parse_received() {
        // What stands in a comment before the first word, such as `(from root@localhost)`, is no host.
        let names_sender = head
            .trim_ascii_start()
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"from"));
        hop.from = names_sender.then(|| from(&received)).flatten();
        hop.by = received.by.as_ref().map(host);
        hop.protocol = received
            .with
            .map(|with| with.to_string().into())
            .or_else(|| protocol(head));
        let version = received.tls_version.map(|version| version.to_string());
        let cipher = received.tls_cipher.as_deref().map(str::to_owned);
        let tls: Vec<_> = version.into_iter().chain(cipher).collect();
        hop.tls = (!tls.is_empty()).then(|| plain(&tls.join(" ")));
    }
    match when(raw) {
        Ok(at) => hop.at = Some(at),
        Err(why) => hop.unreadable = Some(why),
    }
    hop
}

/// What the sending host calls itself, or else its name or address as the receiving host knows it.
fn from(received: &Received<'_>) -> Option<Box<str>> {
    let named = received.from.as_ref().map(host);
    named
        .filter(|name| !name.eq_ignore_ascii_case("unknown"))
        .or_else(|| received.helo.as_ref().map(host))
        .or_else(|| received.from_iprev.as_deref().map(plain))
        .or_else(|| received.from_ip.map(|ip| ip.to_string().into()))
}

/// A protocol that mail-parser does not know, such as `UTF8ESMTPS` (RFC 6531).
fn protocol(head: &[u8]) -> Option<Box<str>> {
    let head = String::from_utf8_lossy(head).to_ascii_uppercase();
    let mut words = head.split_whitespace();
    words.find(|word| *word == "WITH")?;
    let word = words.next()?.trim_end_matches(';');
    let is_known = word.contains("SMTP") || word.contains("LMTP");
    is_known.then(|| plain(word))
}

fn host(host: &Host<'_>) -> Box<str> {
    match host {
        Host::Name(name) => plain(name.trim_end_matches('.')),
        Host::IpAddr(ip) => ip.to_string().into(),
    }
}

fn plain(text: &str) -> Box<str> {
    excerpt(text, NAME).into()
}

/// The date stands behind the last semicolon, unless a comment with another one follows it.
fn when(raw: &[u8]) -> Result<Timestamp, Box<str>> {
    let tail = raw.get(raw.len().saturating_sub(TAIL)..).unwrap_or(raw);
    let tail = String::from_utf8_lossy(tail);
    let mut last = None;
    for (at, _) in tail.rmatch_indices(';').take(SEMICOLONS) {
        let text = tail.get(at + 1..).unwrap_or_default();
        if let Some(at) = date::moment(text) {
            return Ok(at);
        }
        last = last.or(Some(text));
    }
    Err(match last.map(str::trim) {
        None | Some("") => "it has no date".into(),
        Some(text) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("its date cannot be read: {}", plain(&text)).into()
        }
    })
}

#[cfg(test)]
mod tests;
