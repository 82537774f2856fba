//! What Prometheus is told (`OpenMetrics` 1.0): what happened is counted as it happens, what is so is taken from a
//! [`Snapshot`] at each scrape. So no gauge ever keeps an old value. `docs/metrics.md` lists all of it.

mod counted;
mod endpoints;
mod series;
mod view;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use counted::{Counted, is_changed};
use endpoints::Endpoints;
use series::{OfDelivery, OfPhase, OfResult, OfRoute, OfTest, Series};

use super::status::Snapshot;
use crate::probe::name::{AlertName, RouteName};
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;
use crate::probe::state::TestKey;

/// The media type of what [`Metrics::encode`] writes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All names begin so.
const PREFIX: &str = "mailrobin";
/// Of a mail's way back, in seconds: from a server beside us to greylisting.
const ROUND_TRIPS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    1800.0, 3600.0,
];
/// Of one phase of it: there are twelve, so they are coarser.
const PHASES: [f64; 12] = [
    0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// A moment, in seconds since 1970.
type Moment = Gauge<f64, AtomicU64>;

/// What came of a try to tell somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The notice arrived.
    Delivered,
    /// It did not.
    Failed,
}

impl Told {
    const ALL: [Self; 2] = [Self::Delivered, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// What happened since the service was started. Shared by those who see it happen and those who ask.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    probes: Series<OfResult, Counter>,
    revised: Series<OfResult, Counter>,
    round_trips: Series<OfTest, Histogram>,
    phases: Series<OfPhase, Histogram>,
    last_passes: Series<OfTest, Moment>,
    duplicates: Series<OfRoute, Counter>,
    late: Series<OfRoute, Counter>,
    alerts: Series<OfDelivery, Counter>,
    endpoints: Mutex<Endpoints>,
    /// What the config knows; `None`: nobody has said yet.
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    routes: BTreeSet<RouteName>,
    alerts: BTreeSet<AlertName>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let probes = Series::default();
        let help = "Probes that came to their outcome";
        registry.register("probes", help, Series::clone(&probes));
        let revised = Series::default();
        let help = "Probes that a later copy changed, with what they came to then";
        registry.register("revised", help, Series::clone(&revised));
        let round_trips = Series::of(|| Histogram::new(ROUND_TRIPS));
        let help = "From the start of the first attempt to the copy seen, of the copies that came; how long a ping took that was answered";
        let name = "round_trip";
        registry.register_with_unit(name, help, Unit::Seconds, Series::clone(&round_trips));
        let phases = Series::of(|| Histogram::new(PHASES));
        let help = "How long each phase of a probe took";
        registry.register_with_unit("phase", help, Unit::Seconds, Series::clone(&phases));
        let last_passes = Series::default();
        let help = "When the test passed last, with a warning or without";
        let name = "last_pass_timestamp";
        registry.register_with_unit(name, help, Unit::Seconds, Series::clone(&last_passes));
        let duplicates = Series::default();
        let help = "Copies beyond the first of their probe";
        registry.register("duplicates", help, Series::clone(&duplicates));
        let late = Series::default();
        let help = "Probes whose copy came after the deadline";
        registry.register("late", help, Series::clone(&late));
        let alerts = Series::default();
        let help = "Tries to deliver a notice";
        registry.register("alerts", help, Series::clone(&alerts));
        Self {
            registry,
            probes,
            revised,
            round_trips,
            phases,
            last_passes,
            duplicates,
            late,
            alerts,
            endpoints: Mutex::default(),
            known: Mutex::new(None),
        }
    }

    /// A probe came to its outcome, for the first time.
    pub fn settled(&self, record: &Record) {
        if !self.knows(&record.route) {
            return;
        }
        self.probes.with(result(record)).inc();
        for phase in &record.phases {
            let labels = OfPhase {
                route: record.route.clone(),
                phase: phase.name.as_str(),
            };
            self.phases.with(labels).observe(phase.ms / 1000.0);
        }
        self.came(Counted::default(), record);
        self.recalled(record);
    }

    /// A further copy of a probe came, which may have changed what was said of it before, where that is known.
    /// `probes_total` keeps what it counted; a change is counted by itself.
    pub fn revised(&self, before: Option<&Record>, record: &Record) {
        if !self.knows(&record.route) {
            return;
        }
        if is_changed(before, record) {
            self.revised.with(result(record)).inc();
        }
        let counted = before.map_or_else(|| Counted::but_for_one(record), Counted::of);
        self.came(counted, record);
        self.passed(record);
    }

    /// The newest result of a test, from the history: what it tells is still so, but it was counted in its time.
    pub fn recalled(&self, record: &Record) {
        if self.knows(&record.route) {
            self.passed(record);
            self.endpoints().note(record);
        }
    }

    /// Somebody was told, or could not be.
    pub fn told(&self, alert: &AlertName, told: Told) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known
            .as_ref()
            .is_none_or(|known| known.alerts.contains(alert))
        {
            self.deliveries(alert, told).inc();
        }
    }

    /// The config knows these and no others: what the others left is gone, and what is still to come of their probes and
    /// notices is not counted.
    pub fn retain(&self, routes: &[RouteName], alerts: &[AlertName]) {
        let known = Known {
            routes: routes.iter().cloned().collect(),
            alerts: alerts.iter().cloned().collect(),
        };
        let has = |route: &RouteName| known.routes.contains(route);
        self.probes.retain(|labels| has(&labels.route));
        self.revised.retain(|labels| has(&labels.route));
        self.round_trips.retain(|labels| has(&labels.route));
        self.phases.retain(|labels| has(&labels.route));
        self.last_passes.retain(|labels| has(&labels.route));
        self.duplicates.retain(|labels| has(&labels.route));
        self.late.retain(|labels| has(&labels.route));
        self.endpoints().retain(has);
        let has = |alert: &AlertName| known.alerts.contains(alert);
        self.alerts.retain(|labels| has(&labels.alert));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// The text of a scrape: what happened until now, and what the service sees.
    pub fn encode(&self, snapshot: &Snapshot) -> String {
        // A counter that appears with its first event hides that event from `rate` and `increase`.
        for route in snapshot.routes.iter().map(|route| &route.name) {
            if self.knows(route) {
                self.duplicates.with(of(route));
                self.late.with(of(route));
            }
        }
        for alert in &snapshot.alerts {
            for told in Told::ALL {
                self.deliveries(&alert.name, told);
            }
        }
        let seen = view::registry(snapshot, &self.endpoints());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &seen))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    /// Counts what copies tell, beyond what was counted.
    fn came(&self, counted: Counted, record: &Record) {
        let Counted {
            came,
            late,
            duplicates,
        } = Counted::of(record);
        if let Some(ms) = record.round_trip_ms.filter(|_| came && !counted.came) {
            self.round_trips.with(test(record)).observe(ms / 1000.0);
        }
        if late && !counted.late {
            self.late.with(of(&record.route)).inc();
        }
        let more = duplicates.saturating_sub(counted.duplicates);
        if more > 0 {
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            self.duplicates.with(of(&record.route)).inc_by(more);
        }
    }

    fn passed(&self, record: &Record) {
        match record.verdict {
            Verdict::Pass | Verdict::Warn => {}
            Verdict::Unknown | Verdict::Fail => return,
        }
        let at = record.seen_at.or(record.accepted_at).or(record.started_at);
        let at = seconds(at.unwrap_or(record.due_at));
        self.last_passes.change(test(record), |last| {
            // A probe that started earlier may come to its outcome later.
            if last.get() < at {
                last.set(at);
            }
        });
    }

    fn deliveries(&self, alert: &AlertName, told: Told) -> Counter {
        self.alerts.with(OfDelivery {
            alert: alert.clone(),
            result: told.as_str(),
        })
    }

    fn knows(&self, route: &RouteName) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .as_ref()
            .is_none_or(|known| known.routes.contains(route))
    }

    fn endpoints(&self) -> std::sync::MutexGuard<'_, Endpoints> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(route: &RouteName) -> OfRoute {
    OfRoute {
        route: route.clone(),
    }
}

fn test(record: &Record) -> OfTest {
    OfTest {
        route: record.route.clone(),
        payload: TestKey::of(record).test.as_ref().to_owned(),
    }
}

fn result(record: &Record) -> OfResult {
    let OfTest { route, payload } = test(record);
    OfResult {
        route,
        payload,
        outcome: record.outcome.as_str(),
        verdict: record.verdict.as_str(),
    }
}

fn seconds(at: Timestamp) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of any date fit 53 bits"
    )]
    let millis = at.as_millisecond() as f64;
    millis / 1000.0
}
