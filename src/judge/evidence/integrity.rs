//! What became of what was sent, in any decoded part of a copy and in any archive in it.

use std::borrow::Cow;

use mail_parser::Encoding;

use crate::mime::archive::{Budget, unpack};
use crate::mime::leaf::{Content, Leaf};
use crate::pattern;
use crate::probe::evidence::{ChangedHeader, Fate, Integrity, PartFacts, PartFate};
use crate::probe::mail::Mail;
use crate::probe::manifest::{Holds, Manifest, SentPart, Sha256, TextDigest};
use crate::probe::payload::content::{PASSWORD, Transfer};
use crate::text::excerpt;

/// Of names and values of header fields, this much is kept.
const KEPT: usize = 200;
/// So many header fields and parts are listed.
const LISTED: usize = 50;
/// Fields that every server on the way writes.
const TRACE: &[&str] = &[
    "Received",
    "Return-Path",
    "Delivered-To",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Language",
    "Content-Disposition",
];
/// Names that come with nearly every copy need no memory of their own.
const USUAL: &[&str] = &[
    "ARC-Authentication-Results",
    "ARC-Message-Signature",
    "ARC-Seal",
    "Authentication-Results",
    "DKIM-Signature",
    "Received-SPF",
    "X-Forwarded-For",
    "X-Forwarded-To",
    "X-Original-To",
    "X-Sieve",
    "X-Sieve-Redirected-From",
    "X-Spam-Flag",
    "X-Spam-Level",
    "X-Spam-Score",
    "X-Spam-Status",
    "X-Virus-Scanned",
    "X-Virus-Status",
];

/// What was found.
pub(super) struct Inspected {
    /// Whether some part still holds the payload as sent; also, where a harmful one may hide in what could not be read.
    pub(super) holds: bool,
    /// What became of each part.
    pub(super) integrity: Integrity,
}

/// A part of the copy, or a file in an archive.
struct Item {
    facts: PartFacts,
    sha256: Sha256,
    is_packed: bool,
    encoding: Encoding,
    /// Text and headers of nested messages are no attachments.
    is_text: bool,
    holds: bool,
}

/// Compares a copy with what was sent. `sent` is the header that was sent, `truncated` whether the copy is longer than
/// what was read of it.
pub(super) fn inspect(
    mail: Option<&Mail<'_>>,
    sent: Option<&Mail<'_>>,
    manifest: &Manifest,
    truncated: bool,
) -> Inspected {
    let Some(mail) = mail else {
        return Inspected {
            holds: matches!(manifest.payload, Holds::Pattern(_)),
            integrity: Integrity {
                text: Fate::Missing,
                unread: Some("it is no message that could be parsed".into()),
                ..Integrity::default()
            },
        };
    };
    let mut budget = Budget::default();
    let leaves = mail.leaves();
    let mut text = Fate::Missing;
    let mut items = Vec::new();
    for leaf in &leaves {
        let fate = text_fate(leaf, manifest);
        text = better(text, fate);
        // A text without a pattern is compared by its words alone.
        let is_text = fate != Fate::Missing || matches!(leaf.content, Content::Header(_));
        if !(manifest.payload == Holds::Block && is_text) {
            items.extend(look_into(leaf, is_text, manifest, &mut budget));
        }
    }
    let parts = manifest
        .parts
        .iter()
        .map(|sent| part_fate(sent, &items))
        .collect();
    let unread = match (truncated, mail.unread(), budget.unread) {
        (true, ..) => Some("it is longer than what is read of a copy"),
        (_, unread @ Some(_), _) | (_, _, unread) => unread,
    };
    let holds = match manifest.payload {
        Holds::Block => text != Fate::Missing,
        Holds::Pattern(_) => items.iter().any(|item| item.holds) || unread.is_some(),
        Holds::File(_) => items.iter().any(|item| item.holds),
    };
    let mut integrity = Integrity {
        text,
        parts,
        unread: unread.map(Cow::Borrowed),
        ..Integrity::default()
    };
    integrity.added = added(&items, &integrity.parts);
    if let Some(sent) = sent {
        compare_headers(sent, mail, &mut integrity);
    }
    Inspected { holds, integrity }
}

/// The better of two readings of the text: it may stand in a message more than once.
fn better(one: Fate, other: Fate) -> Fate {
    let worth = |fate| match fate {
        Fate::Intact => 0,
        Fate::ReEncoded | Fate::Renamed => 1,
        Fate::Extended => 2,
        Fate::Replaced | Fate::Missing => 3,
    };
    if worth(other) < worth(one) {
        other
    } else {
        one
    }
}

/// What this leaf says of the text that was sent; `Missing`: nothing.
fn text_fate(leaf: &Leaf<'_>, manifest: &Manifest) -> Fate {
    let Some(text) = leaf.content.text() else {
        return Fate::Missing;
    };
    if TextDigest::of_payload(&text) != Some(manifest.block) {
        return Fate::Missing;
    }
    if TextDigest::of_text(&text) == manifest.text {
        return Fate::Intact;
    }
    Fate::Extended
}

/// The leaf, and every file in it if it is an archive.
fn look_into(
    leaf: &Leaf<'_>,
    is_text: bool,
    manifest: &Manifest,
    budget: &mut Budget,
) -> Vec<Item> {
    let bytes = leaf.content.bytes();
    let sha256 = Sha256::of(bytes);
    let holds = |bytes: &[u8], sha256| match manifest.payload {
        Holds::Block => false,
        Holds::Pattern(wanted) => pattern::holds(bytes, &wanted.bytes()),
        Holds::File(wanted) => wanted == sha256,
    };
    let in_text = |text: String| holds(text.as_bytes(), sha256);
    let html = matches!(leaf.content, Content::Html(_)).then(|| leaf.content.text());
    let mut items = vec![Item {
        facts: PartFacts {
            name: leaf.name.map(short),
            media_type: short(&leaf.media_type),
            size: bytes.len() as u64,
            sha256: sha256.to_string(),
        },
        sha256,
        is_packed: false,
        encoding: leaf.encoding,
        is_text,
        holds: holds(bytes, sha256) || html.flatten().is_some_and(in_text),
    }];
    unpack(bytes, Some(PASSWORD.as_bytes()), budget, |member| {
        let sha256 = Sha256::of(&member.bytes);
        items.push(Item {
            facts: PartFacts {
                name: Some(short(&member.name)),
                media_type: "application/octet-stream".into(),
                size: member.bytes.len() as u64,
                sha256: sha256.to_string(),
            },
            sha256,
            is_packed: true,
            encoding: Encoding::None,
            is_text: false,
            holds: holds(&member.bytes, sha256),
        });
    });
    items
}

fn part_fate(sent: &SentPart, items: &[Item]) -> PartFate {
    let facts = PartFacts {
        name: sent.name.clone(),
        media_type: sent.media_type.to_string(),
        size: sent.size,
        sha256: sent.sha256.to_string(),
    };
    let same_name = |item: &&Item| item.facts.name.is_some() && item.facts.name == sent.name;
    let encoding = match sent.transfer {
        Transfer::SevenBit => Encoding::None,
        Transfer::Base64 => Encoding::Base64,
    };
    let (fate, now) = if let Some(item) = items.iter().find(|item| item.sha256 == sent.sha256) {
        let is_renamed = item.facts.name != sent.name || item.facts.media_type != sent.media_type;
        let fate = if item.is_packed || (!is_renamed && item.encoding != encoding) {
            Fate::ReEncoded
        } else if is_renamed {
            Fate::Renamed
        } else {
            Fate::Intact
        };
        (fate, (fate != Fate::Intact).then_some(item))
    } else if let Some(item) = items.iter().find(|item| item.holds) {
        let fate = if item.facts.name == sent.name {
            Fate::Extended
        } else {
            Fate::ReEncoded
        };
        (fate, Some(item))
    } else if let Some(item) = items
        .iter()
        .find(same_name)
        .or(items.iter().find(|item| !item.is_text && !item.is_packed))
    {
        (Fate::Replaced, Some(item))
    } else {
        (Fate::Missing, None)
    };
    PartFate {
        sent: facts,
        fate,
        now: now.map(|item| item.facts.clone()),
    }
}

/// Parts that are nothing that was sent, nor stand in its place.
fn added(items: &[Item], parts: &[PartFate]) -> Vec<PartFacts> {
    let is_known = |item: &Item| {
        parts
            .iter()
            .any(|part| part.sent == item.facts || part.now.as_ref() == Some(&item.facts))
    };
    items
        .iter()
        .filter(|item| !item.is_text && !item.is_packed && !is_known(item))
        .take(LISTED)
        .map(|item| item.facts.clone())
        .collect()
}

fn compare_headers(sent: &Mail<'_>, received: &Mail<'_>, integrity: &mut Integrity) {
    let is_trace = |name: &str| TRACE.iter().any(|trace| trace.eq_ignore_ascii_case(name));
    for field in sent.fields().filter(|field| !is_trace(field.name)) {
        let value = field.text();
        let mut same = received.fields().filter(|other| other.is(field.name));
        let Some(first) = same.next() else {
            integrity.headers_removed.push(interned(field.name));
            continue;
        };
        let first = first.text();
        if first != value && !same.any(|other| other.text() == value) {
            integrity.headers_changed.push(ChangedHeader {
                name: short(field.name),
                sent: short(&value),
                received: short(&first),
            });
        }
    }
    for field in received.fields().filter(|field| !is_trace(field.name)) {
        let name = interned(field.name);
        let is_new = !sent.fields().any(|other| other.is(field.name))
            && !integrity.headers_added.contains(&name);
        if is_new && integrity.headers_added.len() < LISTED {
            integrity.headers_added.push(name);
        }
    }
}

fn interned(name: &str) -> Cow<'static, str> {
    USUAL
        .iter()
        .find(|usual| usual.eq_ignore_ascii_case(name))
        .map_or_else(|| Cow::Owned(short(name)), |usual| Cow::Borrowed(*usual))
}

fn short(text: &str) -> String {
    excerpt(text, KEPT)
}

#[cfg(test)]
mod tests;
