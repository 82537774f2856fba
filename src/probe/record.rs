//! The result document: one object a probe, the same in every output, in the API and in the store.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::evidence::Evidence;
use super::facts::SeenBy;
use super::name::RouteName;
use super::outcome::{Code, Outcome, Phase, Verdict};
use super::payload::{Class, Payload};

/// The version of the document's shape.
pub const SCHEMA: u32 = 1;

/// What one run of `check` found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin result document")]
pub struct Document {
    /// The version of this shape.
    pub schema: u32,
    /// The version of mailrobin.
    pub mailrobin: String,
    /// When the run began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// When it ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished_at: Timestamp,
    /// The worst verdict of all tests.
    pub verdict: Verdict,
    /// How many tests came to which verdict.
    pub summary: Summary,
    /// Every probe.
    pub probes: Vec<Record>,
}

/// Tests by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Tests that passed.
    pub pass: usize,
    /// Tests that passed with a warning.
    pub warn: usize,
    /// Tests that failed.
    pub fail: usize,
    /// Tests of which nothing can be said.
    pub unknown: usize,
}

/// What became of one probe, and the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The probe's id, a `UUIDv7`; the tag contains it.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// The instance that sent it, as in its tag.
    pub instance: String,
    /// The route under test.
    pub route: RouteName,
    /// What it carried; left out for a ping, which sends no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// What tells it from the payload as the catalogue has it, such as its size.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The plain probe of the same cycle that tells a filter's work from an outage; null where none is needed.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub control: Option<Uuid>,
    /// The probe of the same test that counts in its place: the path was still settling when this one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub superseded_by: Option<Uuid>,
    /// The outcomes that were expected; none: it is reported and not judged.
    pub expect: Vec<Outcome>,
    /// What became of it.
    pub outcome: Outcome,
    /// What that is worth.
    pub verdict: Verdict,
    /// Why, as a stable word.
    pub code: Code,
    /// Why, as a sentence.
    pub reason: String,
    /// When it should have started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub due_at: Timestamp,
    /// When it did; null if never.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When the gateway's final reply came.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub accepted_at: Option<Timestamp>,
    /// When the first copy was seen.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub seen_at: Option<Timestamp>,
    /// How it was noticed.
    pub seen_by: Option<SeenBy>,
    /// How long the copy may have been there before it was seen.
    pub resolution_ms: Option<f64>,
    /// The clock the durations were taken from.
    pub clock: Clock,
    /// When a copy that came later changed the verdict; left out where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub revised_at: Option<Timestamp>,
    /// Whether it was sent though the history could not be written; left out where it could.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unstored: bool,
    /// From the start of the first attempt to the copy seen.
    pub round_trip_ms: Option<f64>,
    /// From the start of the first attempt to the start of the accepted one.
    pub deferral_ms: f64,
    /// The time the round trip, less its deferral, may take.
    pub deadline_ms: f64,
    /// What is slower than this is worth a warning; left out where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_after_ms: Option<f64>,
    /// Whether a copy came after the deadline.
    pub late: bool,
    /// Copies beyond the first.
    pub duplicates: usize,
    /// Where the time went; together the round trip.
    pub phases: Vec<PhaseTime>,
    /// Every attempt to submit it.
    pub attempts: Vec<AttemptRecord>,
    /// The last attempt's session and its last reply.
    pub smtp: Option<Smtp>,
    /// Every copy seen, in the order of their sighting.
    pub copies: Vec<CopyRecord>,
    /// What supports the verdict.
    pub evidence: Evidence,
    /// Both sides of the SMTP sessions, where asked for with `--transcript`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transcript: Vec<String>,
}

impl Record {
    /// The payload's name, or `ping`.
    pub fn payload_name(&self) -> &'static str {
        self.payload.map_or("ping", Payload::as_str)
    }

    /// Whether the server turned us away as a client that it does not want now: it refused the credentials or the connection
    /// (421, RFC 5321 §3.8), or named a blocklist.
    pub fn is_unwelcome(&self) -> bool {
        let last = self.smtp.as_ref().and_then(|smtp| smtp.code);
        self.code.is_unwelcome() || (self.verdict != Verdict::Pass && last == Some(421))
    }

    /// What its payload is to filters; a ping is nothing to them.
    pub fn class(&self) -> Class {
        self.payload.map_or(Class::Harmless, Payload::class)
    }
}

/// The clock durations were taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// One process saw it all.
    #[default]
    Monotonic,
    /// The process was started anew meanwhile: durations are those of the wall clock.
    Wall,
}

/// How long one phase took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTime {
    /// Which.
    pub name: Phase,
    /// How long.
    pub ms: f64,
}

/// One attempt to submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRecord {
    /// The peer; null where none was reached.
    #[schemars(with = "Option<String>")]
    pub address: Option<SocketAddr>,
    /// The phase in which it ended.
    pub phase: Phase,
    /// The code of the reply that ended it; null where none came.
    pub code: Option<u16>,
    /// The server's words, or what went wrong instead; left out for the attempt that was accepted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// The last SMTP session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Smtp {
    /// The host as configured.
    pub host: String,
    /// The peer's address.
    #[schemars(with = "Option<String>")]
    pub address: Option<SocketAddr>,
    /// TLS version; null without TLS.
    pub tls: Option<String>,
    /// The last reply's code.
    pub code: Option<u16>,
    /// The last reply's enhanced status code.
    pub enhanced: Option<String>,
    /// The last reply's text.
    pub text: Option<String>,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyRecord {
    /// The folder it lay in.
    pub folder: String,
    /// Its UID (IMAP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its unique id (POP3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uidl: Option<String>,
    /// When it was seen.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub seen_at: Timestamp,
    /// When the server says it was delivered, to the second.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub delivered_at: Option<Timestamp>,
    /// Its size in bytes.
    pub size: u32,
    /// What this copy by itself would be.
    pub outcome: Outcome,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A duration as the document gives it: milliseconds, to the microsecond.
pub fn milliseconds(duration: std::time::Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of any real round trip fit 53 bits"
    )]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

/// The same for one that may be negative, such as that between two hosts' clocks; in whole milliseconds.
pub fn signed_milliseconds(duration: jiff::SignedDuration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of any two dates fit 53 bits"
    )]
    let millis = duration.as_millis() as f64;
    millis
}
