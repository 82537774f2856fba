//! One failure of one test from its beginning to its end.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::RouteName;
use super::outcome::Code;
use super::state::{State, TestKey};

/// One failure of one test from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// The id of the probe that failed first; of a leak that was found when it was over, one of its own.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// What fails.
    #[serde(flatten)]
    pub key: TestKey,
    /// When that probe was due.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub began: Timestamp,
    /// When the probe was due that passed first, of those that ended it; null while it is open.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended: Option<Timestamp>,
    /// Why it failed first, as a stable word.
    pub code: Code,
    /// Why it failed first, as a sentence.
    pub reason: String,
    /// The worst state meanwhile.
    pub worst: State,
    /// Failures in it.
    pub failures: u32,
    /// Notices told of it.
    pub notices: u32,
    /// A harmful payload came through in it.
    pub is_leak: bool,
    /// It goes up and down, and counts as open until it is steady.
    pub is_flapping: bool,
    /// A route that this one depends on, and that was down meanwhile.
    pub depends_on: Option<RouteName>,
    /// Somebody knows of it.
    pub acknowledged: Option<Acknowledgement>,
    /// What was run so that it may mend by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryAttempt>,
}

/// A recovery action that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryAttempt {
    /// When it had ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// How it ended, in words.
    pub exit: String,
    /// What it wrote to standard output and standard error, as far as it is kept.
    pub output: String,
}

/// Somebody knows of an incident: nothing more is told of it until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// What they say.
    pub note: Option<String>,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}
