//! The catalogue of payloads: what a test message carries, and what that proves.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// Whether a filter should stop a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Ordinary mail: it must arrive.
    Harmless,
}

impl Class {
    /// The outcomes that are right for this class where the user names none.
    pub const fn default_expect(self) -> &'static [Outcome] {
        match self {
            Self::Harmless => &[Outcome::Delivered],
        }
    }
}

/// One entry of the catalogue.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// A short plain text.
    Plain,
}

impl Payload {
    /// The whole catalogue.
    pub const ALL: [Self; 1] = [Self::Plain];

    /// The word that stands for it in configs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
        }
    }

    /// Whether a filter should stop it.
    pub const fn class(self) -> Class {
        match self {
            Self::Plain => Class::Harmless,
        }
    }

    /// The payload of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|payload| payload.as_str() == name)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
