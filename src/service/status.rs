//! What the service sees, at one moment, and what it can be told: the one source of metrics, health checks, API and
//! `mailrobin status`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::probe::incident::Acknowledgement;
use crate::probe::name::{AlertName, MailboxName, RouteName};
use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::state::State;

/// What the service sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The version of mailrobin.
    pub version: String,
    /// The instance, as in its tags.
    pub instance: String,
    /// When this was so.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// When the service was started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// What it is at.
    pub activity: Activity,
    /// Every route, by its name.
    pub routes: Vec<RouteView>,
    /// Every mailbox that is watched.
    pub mailboxes: Vec<MailboxView>,
    /// Every channel that notices go out by.
    pub alerts: Vec<AlertView>,
    /// How the history fares.
    pub store: StoreView,
    /// What is wrong with the newest config file, which is not in use for that; null where nothing is.
    pub config_problem: Option<String>,
}

/// What the service is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// It takes up what an earlier process left, and tests nothing yet.
    Starting,
    /// It tests.
    #[default]
    Testing,
    /// It waits for what is in flight, and starts nothing more.
    Stopping,
}

/// A route, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// Its name.
    pub name: RouteName,
    /// That of its worst test.
    pub state: State,
    /// Whether the config has it tested.
    pub enabled: bool,
    /// Whether somebody has paused it.
    pub paused: bool,
    /// Whether it is being worked on.
    pub maintenance: bool,
    /// Who has taken notice of its failure; null: nobody, or there is none.
    pub acknowledged: Option<Acknowledgement>,
    /// Probes that have no outcome yet.
    pub in_flight: usize,
    /// When the next probe is due; null: never.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_due: Option<Timestamp>,
    /// How often it should have been tested and could not be.
    pub missed: u64,
    /// Its tests.
    pub tests: Vec<TestView>,
}

impl RouteView {
    /// How it stands; `None`: nothing is known now, as it is disabled, paused, or was never tested.
    pub fn standing(&self) -> Option<State> {
        let was_tested = self.tests.iter().any(TestView::was_tested);
        (self.enabled && !self.paused && was_tested).then_some(self.state)
    }
}

/// A test of a route, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestView {
    /// The payload with its variant, or `ping`.
    pub test: String,
    /// How it stands.
    pub state: State,
    /// Since when.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// Failures one after the other.
    pub failures: u32,
    /// Its newest result; null before the first.
    pub last: Option<LastResult>,
}

impl TestView {
    /// Whether anything ever came of it.
    pub fn was_tested(&self) -> bool {
        self.last.is_some() || self.stands_since().is_some()
    }

    /// Since when it stands so; `None`: nobody has noted that, as with one that was up from its first result on.
    pub fn stands_since(&self) -> Option<Timestamp> {
        self.since.filter(|since| *since > Timestamp::UNIX_EPOCH)
    }
}

/// The newest result of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastResult {
    /// The probe.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: Uuid,
    /// When it was due.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub due_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// What that is worth.
    pub verdict: Verdict,
    /// Why, as a stable word.
    pub code: Code,
    /// Why, as a sentence.
    pub reason: String,
    /// From the start of the first attempt to the copy seen.
    pub round_trip_ms: Option<f64>,
}

/// A mailbox, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailboxView {
    /// Its name.
    pub name: MailboxName,
    /// Whether the last look at it went well.
    pub connected: bool,
    /// Why it did not.
    pub problem: Option<String>,
}

/// A channel that notices go out by, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertView {
    /// Its name.
    pub name: AlertName,
    /// Notices that are still to go out.
    pub waiting: usize,
    /// Why the last one could not go out; null where it could.
    pub problem: Option<String>,
}

/// The history, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreView {
    /// Why it cannot be written; null where it can.
    pub problem: Option<String>,
    /// What waits in memory to be written.
    pub waiting: usize,
    /// Probes that were sent though it could not be written.
    pub unstored: u64,
    /// What could not be kept, because too much was waiting.
    pub lost: u64,
}

/// What the service can be asked or told.
#[derive(Debug)]
pub enum Command {
    /// What do you see?
    Look(oneshot::Sender<Box<Snapshot>>),
    /// The probes in flight of this route, or of all, as the result document has them, with `outcome` null.
    InFlight(Option<RouteName>, oneshot::Sender<Vec<Value>>),
    /// Test this route now. The answer is when that was due: every probe of the cycle has it as its `due_at`. A cycle that
    /// somebody asked for before and that is not done yet is joined.
    Trigger(RouteName, oneshot::Sender<Result<Timestamp, Refusal>>),
    /// Somebody has taken notice of the route's failure.
    Acknowledge {
        /// Which.
        route: RouteName,
        /// Who.
        by: String,
        /// What they say.
        note: String,
        /// Whether it is done.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Start nothing more on this route.
    Pause(RouteName, oneshot::Sender<Result<(), Refusal>>),
    /// Test it again.
    Resume(RouteName, oneshot::Sender<Result<(), Refusal>>),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such route.
    #[error("there is no route {0:?}")]
    NoRoute(RouteName),
    /// Nothing fails on it.
    #[error("nothing fails on route {0:?}, so there is nothing to acknowledge")]
    NothingFails(RouteName),
    /// It is not tested.
    #[error("route {0:?} is not tested: {1}")]
    NotTested(RouteName, &'static str),
    /// Too much is under way.
    #[error("route {0:?} cannot be tested now, as `max_in_flight` probes are under way")]
    Full(RouteName),
}
