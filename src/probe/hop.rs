//! The way a copy came, as the servers on it tell, and where its time went.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::Phase;

/// One server that the copy passed, as its Received field tells (RFC 5321 §4.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// Who handed it over.
    pub from: Option<Box<str>>,
    /// Who took it.
    pub by: Option<Box<str>>,
    /// Over which protocol, such as `ESMTPS`.
    pub protocol: Option<Box<str>>,
    /// TLS version and cipher, where told.
    pub tls: Option<Box<str>>,
    /// When, by that host's clock; null where that cannot be read.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub at: Option<Timestamp>,
    /// Since the hop before it that has a time, by the clocks of both: where these differ it may be negative.
    pub delay_ms: Option<f64>,
    /// By how much that host's clock is ahead of ours, where it contradicts ours or those of its neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<f64>,
    /// What of it could not be read, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Box<str>>,
}

/// Where the most time went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Slowest {
    /// In a phase of our own session.
    Phase {
        /// Which.
        phase: Phase,
        /// How long it took.
        ms: f64,
        /// The round trip, less its deferral.
        of_ms: f64,
    },
    /// Between two places on the way: hosts by their names, `mailbox` for its arrival there, `seen` for our sighting of
    /// it there. What lies between them is not told apart.
    Between {
        /// From where to where.
        between: [Box<str>; 2],
        /// How long that took, as exactly as the hosts' clocks tell.
        ms: f64,
        /// The round trip, less its deferral.
        of_ms: f64,
    },
    /// That cannot be told.
    Unknown {
        /// Why.
        unknown: Box<str>,
    },
}

/// What stands in [`Slowest::Between`] for the arrival in the mailbox.
pub const MAILBOX: &str = "mailbox";
/// What stands in [`Slowest::Between`] for our sighting of the copy.
pub const SEEN: &str = "seen";
