//! What supports a verdict, as the result document gives it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::{Authentication, is_zero};
use super::facts::Vantage;
use super::hop::{Hop, Slowest};
use super::listing::Listing;
use super::message::Carrier;
use super::visit::VisitRecord;

/// What supports the verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Where the deciding copy carried the tag.
    pub carriers: Vec<Carrier>,
    /// What filters wrote on the deciding copy, by header field; a marked subject stands under `Subject`.
    pub marks: Marks,
    /// The servers that the deciding copy passed, the oldest first, as they tell themselves.
    #[serde(default)]
    pub hops: Box<[Hop]>,
    /// How many older ones were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hops_left_out: usize,
    /// Where the most of the deciding copy's time went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<Slowest>,
    /// What servers say of who sent the deciding copy.
    #[serde(default)]
    pub authentication: Authentication,
    /// What became of what was sent, in the deciding copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Box<Integrity>>,
    /// From where the gateway saw us.
    pub vantage: Option<Vantage>,
    /// What stopped a harmful payload; null where nothing did.
    pub stopped_by: Option<StoppedBy>,
    /// What a delivery status notification says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Bounce>,
    /// What blocklists say of the address we send from; first the one that the server named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocklists: Vec<Listing>,
    /// Why copies are still in the mailbox though `cleanup` asks for something else; left out where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Box<str>>,
    /// Of a ping: what was said and shown step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<Box<VisitRecord>>,
}

/// Filters' marks by header field, in the order of their names. There are few on a message, and may be thousands of
/// messages: a map would take far more memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "BTreeMap<String, Mark>", into = "BTreeMap<String, Mark>")]
#[schemars(inline)]
pub struct Marks(Box<[(Box<str>, Mark)]>);

impl Marks {
    /// Each field and its mark.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Mark)> {
        self.0.iter().map(|(field, mark)| (&**field, mark))
    }

    /// Whether this field stands on the message.
    pub fn has(&self, field: &str) -> bool {
        self.iter().any(|(name, _)| name == field)
    }

    /// The marks that say positively that the message is spam or infected.
    pub fn positive(&self) -> impl Iterator<Item = (&str, &Mark)> {
        self.iter().filter(|(_, mark)| mark.positive)
    }
}

impl From<BTreeMap<String, Mark>> for Marks {
    fn from(marks: BTreeMap<String, Mark>) -> Self {
        let marks = marks.into_iter().map(|(field, mark)| (field.into(), mark));
        Self(marks.collect())
    }
}

impl From<Marks> for BTreeMap<String, Mark> {
    fn from(marks: Marks) -> Self {
        let marks = marks
            .0
            .into_iter()
            .map(|(field, mark)| (field.into(), mark));
        marks.collect()
    }
}

/// A filter's mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The field's value, at most 200 characters.
    pub value: String,
    /// Whether it says positively that the message is spam or infected.
    pub positive: bool,
}

/// What a delivery status notification says of one recipient (RFC 3464).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounce {
    /// `failed`, `delayed`, …
    pub action: String,
    /// The enhanced status code.
    pub status: Option<String>,
    /// What the remote server said.
    pub diagnostic: Option<String>,
    /// The host that reports.
    pub reporting_host: Option<String>,
    /// The recipient it speaks of.
    pub recipient: Option<String>,
    /// The recipient that the message was first addressed to, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_recipient: Option<String>,
}

/// What stopped a harmful payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoppedBy {
    /// A scan: the filter named a signature, or let a harmless file of the same name and type through.
    Signature,
    /// A rule about names or types.
    Policy,
    /// Something; what, is not told.
    Unknown,
}

impl StoppedBy {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Policy => "policy",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Integrity {
    /// What became of the text.
    pub text: Fate,
    /// What became of each attachment, in the order they were sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartFate>,
    /// Parts that were not sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<PartFacts>,
    /// Names of header fields that were not sent; trace fields are not counted.
    pub headers_added: Vec<Cow<'static, str>>,
    /// Names of header fields that did not come back.
    pub headers_removed: Vec<Cow<'static, str>>,
    /// Header fields that came back with another value.
    pub headers_changed: Vec<ChangedHeader>,
    /// Why the copy could not be read to its end, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Cow<'static, str>>,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// As it was sent.
    #[default]
    Intact,
    /// As it was sent, in another transfer encoding or archive.
    ReEncoded,
    /// As it was sent, under another name or type.
    Renamed,
    /// As it was sent, with something before, between or after it: a banner, a footer, quoting.
    Extended,
    /// Something else is in its place.
    Replaced,
    /// It is not there.
    Missing,
}

impl Fate {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::ReEncoded => "re-encoded",
            Self::Renamed => "renamed",
            Self::Extended => "extended",
            Self::Replaced => "replaced",
            Self::Missing => "missing",
        }
    }
}

/// What is known of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartFacts {
    /// Its file name.
    pub name: Option<String>,
    /// Its media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Its size in bytes, decoded.
    pub size: u64,
    /// Its SHA-256, decoded.
    pub sha256: String,
}

/// What became of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartFate {
    /// As it was sent.
    #[serde(flatten)]
    pub sent: PartFacts,
    /// What became of it.
    pub fate: Fate,
    /// What it is now, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<PartFacts>,
}

/// A header field that came back with another value; at most 200 characters of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedHeader {
    /// Its name.
    pub name: String,
    /// As it was sent.
    pub sent: String,
    /// As it came back.
    pub received: String,
}
