//! Recognises a probe in a message from a mailbox: a copy of it, a report about it, or something that only mentions it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BODY_SEARCHED, PAYLOAD_BEGIN, PAYLOAD_END, TAG_FIELD};
use crate::mime::leaf::{Content, Leaf};
use crate::probe::mail::{Field, Mail};
use crate::probe::manifest::unquoted;
use crate::probe::tag::{Signer, Tag};

/// Where in a message the tag was found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// Message-ID, or a field in which a server keeps the one it replaced.
    MessageId,
    /// [`TAG_FIELD`].
    Header,
    /// The subject.
    Subject,
    /// References, In-Reply-To, or another field that names the message this one refers to.
    References,
    /// A recipient field: plus-addressing.
    Recipient,
    /// Return-Path: VERP.
    Sender,
    /// The envelope id that a server reports back (RFC 3461 §4.4).
    EnvelopeId,
    /// Decoded text or an attached message.
    Body,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MessageId => "message-id",
            Self::Header => "header",
            Self::Subject => "subject",
            Self::References => "references",
            Self::Recipient => "recipient",
            Self::Sender => "sender",
            Self::EnvelopeId => "envelope-id",
            Self::Body => "body",
        })
    }
}

/// The relation of a message to the probe whose tag it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A copy of the probe.
    Copy,
    /// A message with the probe's text and no field of ours. It is a copy only if its From is ours, if it also holds what was
    /// sent beside the text, or if its Received fields show our submission; else somebody quotes the probe.
    Quote,
    /// A notice from a mail system about the probe (RFC 3464, or free form).
    Report,
    /// An answer, a complaint, a digest: it refers to the probe and proves nothing.
    Reply,
}

/// The result of [`recognise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The message's relation to the probe.
    pub kind: Kind,
    /// The first tag of ours that it carries.
    pub tag: Option<Tag>,
    /// Every carrier of that tag.
    pub carriers: Vec<Carrier>,
}

/// Finds the tag that a message, or its header alone, carries, and tells copies from what only refers to the probe.
pub fn recognise(raw: &[u8], signer: &Signer) -> Recognised {
    let Some(mail) = Mail::parse(raw) else {
        return Recognised {
            kind: Kind::Reply,
            tag: None,
            carriers: Vec::new(),
        };
    };
    let leaves = mail.leaves_or_body();
    let mut found = Vec::new();
    for field in mail.fields() {
        if let Some(carrier) = carrier(&field) {
            found.extend(signer.find(field.raw).map(|tag| (carrier, tag)));
        }
    }
    let subject = mail
        .subject()
        .and_then(|subject| signer.find(subject.as_bytes()));
    found.extend(subject.map(|tag| (Carrier::Subject, tag)));
    found.extend(
        leaves
            .iter()
            .filter_map(|leaf| Some((Carrier::Body, tag_in(leaf, signer)?))),
    );
    if found.is_empty() {
        // A header of a part, or a part that cannot be parsed.
        let searched = raw.get(..BODY_SEARCHED).unwrap_or(raw);
        found.extend(signer.find(searched).map(|tag| (Carrier::Body, tag)));
    }
    // The order of the carriers is that of their worth: a forward may quote another probe's tag in its body.
    found.sort_by_key(|(carrier, _)| *carrier);
    let Some(tag) = found.first().map(|(_, tag)| *tag) else {
        return Recognised {
            kind: Kind::Reply,
            tag: None,
            carriers: Vec::new(),
        };
    };
    let mut carriers: Vec<_> = found
        .iter()
        .filter(|(_, other)| *other == tag)
        .map(|(carrier, _)| *carrier)
        .collect();
    carriers.dedup();
    Recognised {
        kind: kind(&Traits::of(&mail, &leaves, (tag, &carriers), signer)),
        tag: Some(tag),
        carriers,
    }
}

/// The rule: a copy carries our own fields in its own header, or the payload outside any message it encloses; what merely
/// refers to the probe does neither. Who sent it, and in what language, is evidence at most.
fn kind(message: &Traits) -> Kind {
    if let Some(kind) = message.declared {
        return kind;
    }
    if message.has_own_fields && (message.has_text || !message.is_automatic_answer) {
        return Kind::Copy;
    }
    // Exim and others send their reports as automatic answers. Whether it is a report, its text must say.
    if message.has_null_sender || message.is_automatic_answer {
        return Kind::Report;
    }
    if message.encloses {
        let is_copy = message.is_forward && !message.is_from_daemon;
        return if is_copy { Kind::Copy } else { Kind::Report };
    }
    match (message.has_text, message.is_from_daemon) {
        (false, true) => Kind::Report,
        (false, false) if message.has_tagged_recipient => Kind::Quote,
        (false, false) => Kind::Reply,
        (true, false) if message.is_answer => Kind::Reply,
        (true, false) if message.is_forward || message.keeps_our_id => Kind::Copy,
        (true, _) => Kind::Quote,
    }
}

/// What [`kind`] decides by. "Own" means: in the outermost message, not in one that it encloses.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Traits {
    /// What its own parts declare it to be (RFC 6522, RFC 3464, RFC 8098, RFC 5965).
    declared: Option<Kind>,
    /// Its own Message-ID, [`TAG_FIELD`] or envelope sender (VERP) is the probe's.
    has_own_fields: bool,
    /// A recipient field carries the tag, as with plus-addressing; with VERP those of answers do, too.
    has_tagged_recipient: bool,
    /// A server kept the Message-ID that it replaced, and that is the probe's.
    keeps_our_id: bool,
    /// Its own text holds the payload's block, or what is left of it.
    has_text: bool,
    /// It encloses the probe, or the probe's header, as a part or as text.
    encloses: bool,
    /// It says of itself that it forwards something.
    is_forward: bool,
    /// Its subject says that it is an answer.
    is_answer: bool,
    /// Its header says that a program answers (RFC 3834).
    is_automatic_answer: bool,
    /// Return-Path or From is empty: it reports, and nobody may answer it (RFC 5321 §4.5.5).
    has_null_sender: bool,
    /// Its From is the address of a mail system.
    is_from_daemon: bool,
}

impl Traits {
    fn of(
        mail: &Mail<'_>,
        leaves: &[Leaf<'_>],
        (tag, carriers): (Tag, &[Carrier]),
        signer: &Signer,
    ) -> Self {
        let own = || leaves.iter().filter(|leaf| !leaf.nested);
        let enclosed =
            |leaf: &&Leaf<'_>| tag_in(leaf, signer) == Some(tag) && is_enclosed(leaf, tag);
        let has_field = |names: &[&str]| {
            mail.fields().any(|field| {
                names.iter().any(|name| field.is(name)) && signer.find(field.raw) == Some(tag)
            })
        };
        let prefix = prefix(mail.subject().unwrap_or_default());
        let has_prefix = |known: &[&str]| prefix.as_deref().is_some_and(|it| known.contains(&it));
        let in_subject = mail
            .subject()
            .is_some_and(|subject| signer.find(subject.as_bytes()) == Some(tag));
        let encloses = leaves.iter().any(|leaf| enclosed(&leaf))
            || (carriers.contains(&Carrier::Body)
                && !leaves.iter().any(|leaf| tag_in(leaf, signer) == Some(tag)));
        let has_text = own().any(|leaf| holds_block(leaf) && !is_enclosed(leaf, tag));
        Self {
            declared: declared(mail, own()),
            has_own_fields: has_field(&["Message-ID", TAG_FIELD, "Return-Path"]),
            has_text,
            encloses,
            has_tagged_recipient: carriers.contains(&Carrier::Recipient),
            keeps_our_id: has_field(KEPT_IDS),
            is_forward: (has_prefix(FORWARDED) && (in_subject || has_text))
                || mail.author().is_some_and(|author| {
                    mail.attached().any(|original| original.was_sent_to(author))
                }),
            is_answer: has_prefix(ANSWERED),
            is_automatic_answer: mail.is_automatic_answer(),
            has_null_sender: mail.has_null_sender(),
            is_from_daemon: mail.is_from_daemon(),
        }
    }
}

/// Fields in which servers keep the Message-ID that they replace.
const KEPT_IDS: &[&str] = &[
    "X-Microsoft-Original-Message-ID",
    "X-Original-Message-ID",
    "Resent-Message-ID",
];
/// Fields that name the message that this one answers or comes from. Exchange writes the last on all that its agents make,
/// out-of-office answers among it.
const REFERRING: &[&str] = &[
    "References",
    "In-Reply-To",
    "X-MS-Exchange-Parent-Message-Id",
];
/// Words before a subject that say "answer", as mail programs write them.
const ANSWERED: &[&str] = &[
    "re", "aw", "sv", "antw", "antwort", "rif", "res", "odp", "ynt", "vá", "ref", "atb", "bls",
    "απ", "σχετ", "отв", "на", "ha", "回复", "回覆", "答复", "返信", "답장", "השב", "رد",
];
/// The same for "forwarded".
const FORWARDED: &[&str] = &[
    "fw",
    "fwd",
    "wg",
    "tr",
    "rv",
    "i",
    "vl",
    "vb",
    "vs",
    "fs",
    "doorst",
    "pd",
    "enc",
    "ilt",
    "i̇lt",
    "trs",
    "yml",
    "továbbítás",
    "redir",
    "πρθ",
    "пер",
    "转发",
    "轉寄",
    "転送",
    "전달",
    "הועבר",
    "إعادة توجيه",
];

/// What the message's own parts declare.
fn declared<'l, 'm: 'l>(mail: &Mail<'_>, own: impl Iterator<Item = &'l Leaf<'m>>) -> Option<Kind> {
    let mut declared = None;
    for leaf in own {
        match leaf.media_type.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                return Some(Kind::Report);
            }
            "message/disposition-notification"
            | "message/global-disposition-notification"
            | "message/feedback-report" => declared = Some(Kind::Reply),
            _ => {}
        }
    }
    if mail.media_type() != "multipart/report" {
        return declared;
    }
    let report_type = mail.media_parameter("report-type").unwrap_or_default();
    let is_answer = ["disposition-notification", "feedback-report"]
        .iter()
        .any(|kind| report_type.eq_ignore_ascii_case(kind));
    declared.or(Some(if is_answer { Kind::Reply } else { Kind::Report }))
}

/// The word before the subject's first colon, in lower case, behind any marks in brackets (`[EXTERNAL] Re: …`).
/// `Re[2]:` and `RE :` are written too.
fn prefix(subject: &str) -> Option<String> {
    let mut rest = subject.trim_start();
    while let Some((_, behind)) = rest
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    {
        rest = behind.trim_start();
    }
    let (word, _) = rest.split_once([':', '：'])?;
    let word = word.split('[').next().unwrap_or(word);
    Some(word.trim().to_lowercase())
}

/// Whether a text holds one of the payload's marker lines, however it is quoted or wrapped.
fn holds_block(leaf: &Leaf<'_>) -> bool {
    leaf.content.text().is_some_and(|text| {
        let text = unquoted(&text);
        text.contains(PAYLOAD_BEGIN) || text.contains(PAYLOAD_END)
    })
}

/// Whether a leaf is (part of) an enclosed message, or a text in which the probe's header stands: mail systems return
/// mail so, people who quote do not.
fn is_enclosed(leaf: &Leaf<'_>, tag: Tag) -> bool {
    if leaf.nested
        || leaf.media_type.starts_with("message/")
        || leaf.media_type.starts_with("text/rfc822-header")
    {
        return true;
    }
    let Some(text) = leaf.content.text() else {
        return false;
    };
    let tag = tag.to_string();
    text.lines().any(|line| {
        let line = line.trim_start_matches(['>', '|', ' ', '\t']);
        line.split_once(':').is_some_and(|(name, value)| {
            (name.eq_ignore_ascii_case("Message-ID") || name.eq_ignore_ascii_case(TAG_FIELD))
                && value.contains(&tag)
        })
    })
}

fn tag_in(leaf: &Leaf<'_>, signer: &Signer) -> Option<Tag> {
    let searched = |bytes: &[u8]| signer.find(bytes.get(..BODY_SEARCHED).unwrap_or(bytes));
    match &leaf.content {
        Content::Text(_) | Content::Header(_) => searched(leaf.content.bytes()),
        Content::Html(html) => {
            searched(html.as_bytes()).or_else(|| searched(leaf.content.text()?.as_bytes()))
        }
        Content::Binary(bytes) if leaf.media_type.starts_with("message/") => searched(bytes),
        Content::Binary(_) => None,
    }
}

fn carrier(field: &Field<'_>) -> Option<Carrier> {
    const KNOWN: &[(&str, Carrier)] = &[
        ("Message-ID", Carrier::MessageId),
        (TAG_FIELD, Carrier::Header),
        ("To", Carrier::Recipient),
        ("Delivered-To", Carrier::Recipient),
        ("X-Original-To", Carrier::Recipient),
        ("Envelope-To", Carrier::Recipient),
        ("Return-Path", Carrier::Sender),
        ("Original-Envelope-Id", Carrier::EnvelopeId),
        ("X-Original-Envelope-Id", Carrier::EnvelopeId),
        ("X-Envelope-Id", Carrier::EnvelopeId),
    ];
    let kept = KEPT_IDS.iter().map(|name| (*name, Carrier::MessageId));
    let referring = REFERRING.iter().map(|name| (*name, Carrier::References));
    KNOWN
        .iter()
        .copied()
        .chain(kept)
        .chain(referring)
        .find(|(name, _)| field.is(name))
        .map(|(_, carrier)| carrier)
}
