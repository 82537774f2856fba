//! What a report on the history says, in the shape that its JSON has.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::probe::name::RouteName;
use crate::probe::outcome::Code;
use crate::probe::payload::Class;

/// The version of this shape.
pub const SCHEMA: u32 = 1;

/// What the history says of a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin report on the history")]
pub struct HistoryReport {
    /// The version of this shape.
    pub schema: u32,
    /// The version of mailrobin.
    pub mailrobin: String,
    /// The instance whose history it is; null where the history does not say.
    pub instance: Option<String>,
    /// When the report was made.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub made_at: Timestamp,
    /// The time it is about begins.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    /// That time is over, or the report was made.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub to: Timestamp,
    /// The time zone in which its days, weeks and months were taken.
    pub timezone: String,
    /// Of the time before, only whole days (UTC) are known: parts that begin or end there do so at the nearest. Null: all
    /// is known exactly.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub exact_since: Option<Timestamp>,
    /// Every route that was tested, in the order of their names.
    pub routes: Vec<RouteReport>,
    /// Every incident that was open at some moment, the oldest first.
    pub incidents: Vec<Incident>,
    /// What became of harmful payloads, and of those that are a matter of policy, on the routes that are tested with them.
    pub filters: Vec<Filters>,
}

/// What the history says of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteReport {
    /// The route.
    pub route: RouteName,
    /// Over all of its tests, and the whole time.
    #[serde(flatten)]
    pub figures: Figures,
    /// Each of its tests, over the whole time.
    pub tests: Vec<TestReport>,
    /// The time by days, weeks or months, the oldest first; empty where none were asked for.
    pub parts: Vec<Part>,
}

/// What the history says of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// The payload's name with its variant; `ping` for a ping.
    pub test: String,
    /// Over the whole time.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What the history says of a part of the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// What it is called, such as `2026-10`; a week by its Monday.
    pub name: String,
    /// It begins.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    /// It is over.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub to: Timestamp,
    /// Over all tests of the route.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Figures of a time. What is not known is null, never nothing and never all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// The share of the judged probes that passed, with a warning or without; null where none was judged. Judged is what
    /// came to a verdict other than `unknown`, and is not only reported.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub availability: Option<f64>,
    /// Probes that came to an end.
    pub probes: u64,
    /// Those that passed.
    pub pass: u64,
    /// Those that passed with a warning.
    pub warn: u64,
    /// Those that failed.
    pub fail: u64,
    /// Those of which nothing can be said.
    pub unknown: u64,
    /// Those that passed because nobody said what should become of their payload.
    pub only_reported: u64,
    /// How long the copies took that came.
    pub round_trip_ms: RoundTrips,
    /// How often each outcome came.
    pub outcomes: BTreeMap<String, u64>,
    /// How often each reason code did.
    pub codes: BTreeMap<String, u64>,
    /// Incidents that were open at some moment.
    pub incidents: u64,
    /// For how many seconds at least one test was down: the time of all incidents together. Null where nothing was tested.
    pub downtime_s: Option<f64>,
}

/// Round trips in milliseconds, to 1%.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundTrips {
    /// Of how many copies.
    pub copies: u64,
    /// Half of them took no longer.
    pub p50: Option<f64>,
    /// Of twenty, nineteen took no longer.
    pub p95: Option<f64>,
    /// Of a hundred, 99 took no longer.
    pub p99: Option<f64>,
}

/// A time in which a test was in trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its id, as in notices.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// On which route.
    pub route: RouteName,
    /// Which of its tests.
    pub test: String,
    /// When it began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub began: Timestamp,
    /// When it ended; null where it has not.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended: Option<Timestamp>,
    /// How many seconds it lasted, or has lasted when the report was made.
    pub lasted_s: f64,
    /// Whether the test was down, so that its time is downtime.
    pub is_down: bool,
    /// Why, as a stable word.
    pub code: Code,
    /// Why, as a sentence.
    pub reason: String,
}

/// What became of harmful payloads, and of those that are a matter of policy, on a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Filters {
    /// The route.
    pub route: RouteName,
    /// One line for viruses and one for spam, where they were sent.
    pub sums: Vec<String>,
    /// Each payload, in the order of the catalogue.
    pub payloads: Vec<FilterRow>,
}

/// What became of a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FilterRow {
    /// The payload's name with its variant.
    pub payload: String,
    /// What it is to filters.
    pub class: Class,
    /// How often it was sent.
    pub probes: u64,
    /// How often that became of it which is expected; null where nobody said what is.
    pub as_expected: Option<u64>,
    /// How often it came through though it is harmful.
    pub leaks: u64,
    /// How often something else became of it than is expected.
    pub otherwise: u64,
    /// How often nothing can be said.
    pub unknown: u64,
    /// How often each outcome came.
    pub outcomes: BTreeMap<String, u64>,
}
