//! The states of a test over time, and what came of one probe as far as states depend on it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::RouteName;
use super::outcome::{Code, Verdict};
use super::payload::{Payload, Sample};
use super::record::Record;

/// How a test stands, from best to worst. A route stands as its worst test does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It passes, or has not been tested yet.
    #[default]
    Up,
    /// It passes with a warning.
    Degraded,
    /// Nothing can be said of it.
    Unknown,
    /// It fails.
    Down,
    /// It fails, and nobody is told any more; the recovery still is.
    Lost,
}

impl State {
    /// All of them, from best to worst.
    pub const ALL: [Self; 5] = [
        Self::Up,
        Self::Degraded,
        Self::Unknown,
        Self::Down,
        Self::Lost,
    ];

    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A test of a route: what its results are counted under.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct TestKey {
    /// The route.
    pub route: RouteName,
    /// The payload's name with its variant, such as `plain` or `large 5 MiB`; `ping` for a ping.
    #[schemars(with = "String")]
    pub test: Arc<str>,
}

impl TestKey {
    /// A test by its payload's name and its variant.
    pub fn new(route: RouteName, payload: &str, variant: &str) -> Self {
        let test = if variant.is_empty() {
            payload.into()
        } else {
            format!("{payload} {variant}").into()
        };
        Self { route, test }
    }

    /// The test that sends this.
    pub fn sent(route: RouteName, sample: &Sample) -> Self {
        Self::new(route, sample.payload.as_str(), &sample.variant())
    }

    /// The test that a record is of.
    pub fn of(record: &Record) -> Self {
        Self::new(record.route.clone(), record.payload_name(), &record.variant)
    }

    /// What it sends; `None` for a ping.
    pub fn payload(&self) -> Option<Payload> {
        Payload::named(self.parts().0)
    }

    /// What tells it from the payload as the catalogue has it.
    pub fn variant(&self) -> &str {
        self.parts().1
    }

    /// No payload's name has a space in it.
    fn parts(&self) -> (&str, &str) {
        self.test.split_once(' ').unwrap_or((&self.test, ""))
    }
}

impl fmt::Display for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.route, self.test)
    }
}

/// What came of one probe, as far as states depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Of which test.
    pub key: TestKey,
    /// The probe's place in the order of starts: of two, the later started has the higher.
    pub seq: u64,
    /// The probe.
    pub probe: Uuid,
    /// When it should have started.
    pub due_at: Timestamp,
    /// What it is worth.
    pub verdict: Verdict,
    /// Why, as a stable word.
    pub code: Code,
    /// Why, as a sentence.
    pub reason: String,
    /// Whether the server turned us away as a client that it does not want now: to come again soon would make it worse.
    pub is_unwelcome: bool,
}
