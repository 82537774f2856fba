//! The shapes of the answers, and their JSON Schemas.

use jiff::Timestamp;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::probe::incident::Incident;
use crate::probe::name::RouteName;
use crate::probe::record::Record;
use crate::service::status::{
    Activity, AlertView, LastResult, MailboxView, RouteView, StoreView, TestView,
};

/// All that the service sees, and what the history says: `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin status")]
pub struct Status {
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
    pub routes: Vec<RouteStatus>,
    /// The incidents that are open, the newest first; null where the history cannot be read.
    pub incidents: Option<Vec<Incident>>,
    /// Every mailbox that is watched.
    pub mailboxes: Vec<MailboxView>,
    /// Every channel that notices go out by.
    pub alerts: Vec<AlertView>,
    /// How writing the history fares.
    pub store: StoreView,
    /// Why the history cannot be read; null where it can.
    pub history_problem: Option<String>,
    /// What is wrong with the newest config file, which is not in use for that; null where nothing is.
    pub config_problem: Option<String>,
}

/// A route, and what the history says of it: `GET /api/v1/routes/NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStatus {
    /// What the service sees.
    #[serde(flatten)]
    pub view: RouteView,
    /// The test that decides its state: the next two are of that one. Null before the first result.
    pub test: Option<String>,
    /// Since when it stands so.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// The newest result.
    pub last: Option<LastResult>,
    /// How often it passed, and how long its copies took; null where the history cannot be read.
    pub history: Option<History>,
}

impl RouteStatus {
    pub(super) fn new(view: RouteView, history: Option<History>) -> Self {
        let newest = |test: &&TestView| test.last.as_ref().map(|last| last.due_at);
        let decides = view.tests.iter().filter(|test| test.state == view.state);
        let decides = decides.filter(|test| test.was_tested()).max_by_key(newest);
        Self {
            test: decides.map(|test| test.test.clone()),
            since: decides.and_then(TestView::stands_since),
            last: decides.and_then(|test| test.last.clone()),
            history,
            view,
        }
    }
}

/// What the history says of a route, all its tests together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Of the last 24 hours.
    pub last_24h: Period,
    /// Of the last 7 days.
    pub last_7d: Period,
    /// Of the last 30 days.
    pub last_30d: Period,
}

/// What came of a route's probes that were due in some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// Probes that passed.
    pub pass: u64,
    /// Probes that passed with a warning.
    pub warn: u64,
    /// Probes that failed.
    pub fail: u64,
    /// Probes of which nothing can be said.
    pub unknown: u64,
    /// The share that passed, with a warning or without, of those of which something can be said; null where there are none.
    pub availability: Option<f64>,
    /// Half of the copies did not take longer, to 1%; null where none came.
    pub p50_ms: Option<f64>,
    /// 95% of the copies did not take longer.
    pub p95_ms: Option<f64>,
}

/// Every route: `GET /api/v1/routes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin routes")]
pub struct Routes {
    /// When this was so.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The routes, by their names.
    pub routes: Vec<RouteStatus>,
}

/// Incidents, the newest first: `GET /api/v1/incidents`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin incidents")]
pub struct Incidents {
    /// The incidents.
    pub incidents: Vec<Incident>,
}

/// Probes, the newest first: `GET /api/v1/probes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "mailrobin probes")]
pub struct Probes {
    /// The probes.
    #[schemars(with = "Vec<Probe>")]
    pub probes: Vec<Value>,
    /// What to say in `beyond` for those that started before; null: there are none.
    pub next: Option<u64>,
}

/// A probe, for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is wanted")]
enum Probe {
    /// It has its outcome: an object of the result document.
    Settled(Box<Record>),
    /// It has none yet. Of the fields that it will have, those are here that are known.
    InFlight(InFlight),
}

/// A probe in flight.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is wanted")]
struct InFlight {
    /// The probe's id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    id: Uuid,
    /// The instance that sent it.
    instance: String,
    /// The route under test.
    route: RouteName,
    /// Null: it has none yet.
    outcome: (),
    /// When it should have started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    due_at: Timestamp,
}

/// The schema of each answer, by the name of its file in `schema/`.
pub fn schemas() -> [(&'static str, Value); 4] {
    [
        ("status", schema_for!(Status).to_value()),
        ("routes", schema_for!(Routes).to_value()),
        ("probes", schema_for!(Probes).to_value()),
        ("incidents", schema_for!(Incidents).to_value()),
    ]
}
