//! What people are told when a test fails, and when it passes again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::RouteName;
use super::outcome::Code;
use super::state::State;

/// How bad a thing is that somebody is told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Look at it when there is time.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// The word that a config says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A test went Down.
    Failed,
    /// It still fails.
    StillFailing,
    /// It still fails, and this is the last notice until it recovers.
    Lost,
    /// A harmful payload came through.
    Leak,
    /// It passes only with warnings.
    Degraded,
    /// Nothing can be said of it.
    Unknown,
    /// It goes up and down; nothing more is told until it is steady.
    Flapping,
    /// It passes again.
    Recovered,
    /// mailrobin itself is in trouble, such as with a full disk.
    Trouble,
    /// That trouble is over.
    TroubleOver,
    /// Somebody asked for a test notice.
    Test,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Failed,
        Self::StillFailing,
        Self::Lost,
        Self::Leak,
        Self::Degraded,
        Self::Unknown,
        Self::Flapping,
        Self::Recovered,
        Self::Trouble,
        Self::TroubleOver,
        Self::Test,
    ];

    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::StillFailing => "still-failing",
            Self::Lost => "lost",
            Self::Leak => "leak",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::Flapping => "flapping",
            Self::Recovered => "recovered",
            Self::Trouble => "trouble",
            Self::TroubleOver => "trouble-over",
            Self::Test => "test",
        }
    }
}

/// One notice, the same for every channel: as JSON, in templates, and in a command's environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Its own id, a `UUIDv7`: what comes twice has the same.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// What it is about.
    pub event: Event,
    /// How bad that is.
    pub severity: Severity,
    /// One line that says it all.
    pub title: String,
    /// The route; null for trouble of mailrobin's own.
    pub route: Option<RouteName>,
    /// The test on it, such as `plain` or `eicar`; null where it is about none.
    pub test: Option<String>,
    /// How the test stands now.
    pub state: Option<State>,
    /// Why, as a stable word.
    pub code: Option<Code>,
    /// Why, as a sentence.
    pub reason: String,
    /// When what it is about began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// When it was made.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Failures one after the other.
    pub failures: u32,
    /// Which notice of its incident it is, from 1.
    pub number: u32,
    /// The incident: what is told of one failure has the same.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub incident: Option<Uuid>,
    /// The probe that showed it.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub probe: Option<Uuid>,
    /// Routes that depend on this one, of which nothing is told meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<RouteName>,
    /// The instance that tells.
    pub instance: String,
}

impl Notice {
    /// A notice to try a channel or a template with; every field has a value.
    pub fn sample(id: Uuid, at: Timestamp, instance: &str) -> Self {
        Self {
            id,
            event: Event::Test,
            severity: Severity::Critical,
            title: "mailrobin: this is a test notice".into(),
            route: Some("example".into()),
            test: Some("plain".into()),
            state: Some(State::Down),
            code: Some(Code::Missing),
            reason: "nothing is wrong: somebody asked for a test notice".into(),
            since: at,
            at,
            failures: 3,
            number: 1,
            incident: Some(id),
            probe: Some(id),
            dependents: vec!["another".into()],
            instance: instance.to_owned(),
        }
    }
}
