//! What the history says of a time: how available each route was, how long its copies took, its incidents, and what became of
//! what filters should stop. Reckoned once; one file an output.

pub mod calendar;
pub mod csv;
mod filters;
pub mod human;
mod incidents;
pub mod json;
pub mod markdown;
pub mod model;
mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use calendar::{Unit, parts};
use filters::filters;
use incidents::{downtime, is_of, told};
use model::{Figures, HistoryReport, Incident, Part, RoundTrips, RouteReport, SCHEMA, TestReport};

use crate::probe::name::RouteName;
use crate::probe::state::TestKey;
use crate::store::{INSTANCE, Reader, Span, Stats, StoreError};

/// What is asked of the history.
#[derive(Clone, Debug)]
pub struct Asked {
    /// About which time.
    pub span: Span,
    /// By which parts of it, if by any.
    pub by: Option<Unit>,
    /// About which routes; none: all of them.
    pub routes: Vec<RouteName>,
    /// By whose calendar.
    pub zone: TimeZone,
    /// When: what is open now lasts until then.
    pub now: Timestamp,
}

/// What it says.
pub async fn report(reader: &Reader, asked: &Asked) -> Result<HistoryReport, StoreError> {
    let Asked {
        span,
        by,
        routes,
        zone,
        now,
    } = asked;
    let is_asked = |route: &RouteName| routes.is_empty() || routes.contains(route);
    let incidents = reader.incidents((Some(span.from), Some(span.to)), u32::MAX);
    let mut incidents: Vec<_> = incidents
        .await?
        .into_iter()
        .map(|incident| told(incident, *now))
        .filter(|incident| is_asked(&incident.route) && is_of(incident, *span))
        .collect();
    incidents.sort_by_key(|incident| (incident.began, incident.id));
    let mut of_routes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for incident in &incidents {
        let of_route = of_routes.entry(&incident.route).or_default();
        of_route.push(incident);
    }
    let reckoning = Reckoning {
        incidents: of_routes,
        now: *now,
    };

    let of_tests = stats(reader, *span, is_asked).await?;
    let mut reports: BTreeMap<RouteName, RouteReport> = BTreeMap::new();
    let mut matrices = Vec::new();
    // A route that could not be tested at all has its incidents.
    let named = incidents.iter().map(|incident| &incident.route);
    for route in named.chain(routes).chain(of_tests.keys()) {
        if reports.contains_key(route) {
            continue;
        }
        let tests = of_tests.get(route).map_or(&[][..], Vec::as_slice);
        matrices.extend(filters(route, tests));
        reports.insert(route.clone(), reckoning.route(route, tests, *span));
    }
    for (first, part) in by.map_or_else(Vec::new, |unit| parts(*span, unit, zone)) {
        // One at a time: each holds a histogram of every test.
        let of_tests = stats(reader, part, is_asked).await?;
        for (route, report) in &mut reports {
            let sum = sum(of_tests.get(route).into_iter().flatten().map(|(_, it)| it));
            report.parts.push(Part {
                name: by.map(|unit| unit.name(first)).unwrap_or_default(),
                from: part.from,
                to: part.to,
                figures: reckoning.figures(&sum, part, route, None),
            });
        }
    }
    matrices.sort_by(|one, other| one.route.cmp(&other.route));
    let exact_since = reader.whole_since().await?;
    Ok(HistoryReport {
        schema: SCHEMA,
        mailrobin: env!("CARGO_PKG_VERSION").to_owned(),
        instance: reader.facts().await?.remove(INSTANCE),
        made_at: *now,
        from: span.from,
        to: span.to,
        timezone: name(zone, *now),
        exact_since: exact_since.filter(|since| *since > span.from),
        routes: reports.into_values().collect(),
        incidents,
        filters: matrices,
    })
}

/// What a time zone is called; of one without a name how far it is from UTC.
fn name(zone: &TimeZone, now: Timestamp) -> String {
    let offset = || now.to_zoned(zone.clone()).strftime("%:z").to_string();
    zone.iana_name().map_or_else(offset, str::to_owned)
}

/// What came of each route's tests.
async fn stats(
    reader: &Reader,
    span: Span,
    is_asked: impl Fn(&RouteName) -> bool,
) -> Result<BTreeMap<RouteName, Vec<(TestKey, Stats)>>, StoreError> {
    let mut routes: BTreeMap<RouteName, Vec<(TestKey, Stats)>> = BTreeMap::new();
    for (key, stats) in reader.stats(&[span]).await?.into_iter().flatten() {
        if is_asked(&key.route) {
            routes
                .entry(key.route.clone())
                .or_default()
                .push((key, stats));
        }
    }
    Ok(routes)
}

fn sum<'s>(all: impl Iterator<Item = &'s Stats>) -> Stats {
    let mut sum = Stats::default();
    for stats in all {
        sum.add(stats);
    }
    sum
}

/// What figures are reckoned with.
struct Reckoning<'a> {
    /// Those of each route.
    incidents: BTreeMap<&'a RouteName, Vec<&'a Incident>>,
    now: Timestamp,
}

impl Reckoning<'_> {
    fn route(&self, route: &RouteName, tests: &[(TestKey, Stats)], span: Span) -> RouteReport {
        let sum = sum(tests.iter().map(|(_, stats)| stats));
        let of_test = |(key, stats): &(TestKey, Stats)| TestReport {
            test: key.test.to_string(),
            figures: self.figures(stats, span, route, Some(&key.test)),
        };
        RouteReport {
            route: route.clone(),
            figures: self.figures(&sum, span, route, None),
            tests: tests.iter().map(of_test).collect(),
            parts: Vec::new(),
        }
    }

    /// Those of a route, or of one of its tests.
    fn figures(&self, stats: &Stats, span: Span, route: &RouteName, test: Option<&str>) -> Figures {
        let of_route = self.incidents.get(route).into_iter().flatten().copied();
        let is_its = |incident: &Incident| test.is_none_or(|test| *incident.test == *test);
        let incidents: Vec<_> = of_route
            .filter(|incident| is_its(incident) && is_of(incident, span))
            .collect();
        let downtime = downtime(incidents.iter().copied(), span, self.now);
        let is_known = stats.probes() > 0 || !incidents.is_empty();
        Figures {
            availability: stats.availability(),
            probes: stats.probes(),
            pass: stats.pass,
            warn: stats.warn,
            fail: stats.fail,
            unknown: stats.unknown,
            only_reported: stats.only_reported(),
            round_trip_ms: RoundTrips {
                copies: stats.copies(),
                p50: stats.percentile(0.5),
                p95: stats.percentile(0.95),
                p99: stats.percentile(0.99),
            },
            outcomes: stats.outcomes.clone(),
            codes: stats.codes.clone(),
            incidents: u64::try_from(incidents.len()).unwrap_or(u64::MAX),
            downtime_s: is_known.then_some(downtime.as_secs_f64()),
        }
    }
}
