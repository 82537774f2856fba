//! Figures as people read them. What is not known is a dash.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::model::{Figures, FilterRow, HistoryReport, Incident};
use crate::judge::reason::human;
use crate::probe::outcome::Code;

/// Not known.
const NONE: &str = "-";

/// What the words mean, for whoever is handed the report.
pub(super) const NOTES: [&str; 3] = [
    "Available: of the probes that were judged, those that passed, with a warning or without. What nothing can be said of, \
     and what is only reported, is not judged.",
    "Time: the round trips of the copies that came; half, 95% and 99% of them took no longer.",
    "Downtime: the time in which at least one test of the route was in an incident and down.",
];

/// What else has to be known of a report that goes back far.
pub(super) fn exactness(report: &HistoryReport, zone: &TimeZone) -> Option<String> {
    let since = moment(report.exact_since?, zone);
    Some(format!(
        "Before {since} single probes are gone: what begins or ends there does so at the nearest midnight of UTC."
    ))
}

/// A share as a percentage; what is not all of it is never shown as 100%.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => NONE.into(),
        Some(share) if share >= 1.0 => "100%".into(),
        Some(share) => format!("{:.2}%", (share * 10_000.0).floor() / 100.0),
    }
}

pub(super) fn milliseconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| NONE.into(), |ms| seconds(ms / 1000.0))
}

pub(super) fn seconds(seconds: f64) -> String {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// How long it was down; not at all is no duration.
pub(super) fn downtime(downtime: Option<f64>) -> String {
    match downtime {
        None => NONE.into(),
        Some(time) if time <= 0.0 => "0".into(),
        Some(time) => seconds(time),
    }
}

pub(super) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Such as `delivered 2870, missing 2`, the most first.
pub(super) fn counts(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(word, count)| format!("{word} {count}"))
        .collect();
    if counts.is_empty() {
        NONE.into()
    } else {
        counts.join(", ")
    }
}

/// What became of a time's probes, and in brackets why, where that was not simply as it should be.
pub(super) fn outcomes(figures: &Figures) -> String {
    let is_as_usual = |code: &str| [Code::Ok.as_str(), Code::NotJudged.as_str()].contains(&code);
    let mut codes = figures.codes.clone();
    codes.retain(|code, _| !is_as_usual(code));
    let outcomes = counts(&figures.outcomes);
    if codes.is_empty() {
        outcomes
    } else {
        format!("{outcomes} [{}]", counts(&codes))
    }
}

/// The columns of a table of figures; of the first, what each line is about.
pub(super) fn columns(first: &'static str) -> [&'static str; 10] {
    [
        first,
        "available",
        "tests",
        "failed",
        "unknown",
        "p50",
        "p95",
        "p99",
        "incidents",
        "downtime",
    ]
}

/// A line of such a table.
pub(super) fn line(first: String, figures: &Figures) -> [String; 10] {
    let trips = &figures.round_trip_ms;
    [
        first,
        percent(figures.availability),
        figures.probes.to_string(),
        figures.fail.to_string(),
        figures.unknown.to_string(),
        milliseconds(trips.p50),
        milliseconds(trips.p95),
        milliseconds(trips.p99),
        figures.incidents.to_string(),
        downtime(figures.downtime_s),
    ]
}

/// The columns of a table of filters.
pub(super) const FILTERS: [&str; 8] = [
    "payload",
    "class",
    "tests",
    "as expected",
    "came through",
    "otherwise",
    "unknown",
    "outcomes",
];

/// A line of such a table.
pub(super) fn filter(row: &FilterRow) -> [String; 8] {
    let as_expected = row.as_expected.map(|count| count.to_string());
    [
        row.payload.clone(),
        row.class.as_str().into(),
        row.probes.to_string(),
        as_expected.unwrap_or_else(|| NONE.into()),
        row.leaks.to_string(),
        row.otherwise.to_string(),
        row.unknown.to_string(),
        counts(&row.outcomes),
    ]
}

/// The columns of a table of incidents.
pub(super) const INCIDENTS: [&str; 5] = ["began", "ended", "lasted", "test", "cause"];

/// A line of such a table.
pub(super) fn incident(incident: &Incident, zone: &TimeZone) -> [String; 5] {
    let Incident {
        began,
        ended,
        lasted_s,
        is_down,
        code,
        reason,
        ..
    } = incident;
    let ended = ended.map(|ended| moment(ended, zone));
    let not_down = if *is_down { "" } else { " (no downtime)" };
    [
        moment(*began, zone),
        ended.unwrap_or_else(|| "not yet".into()),
        seconds(*lasted_s),
        format!("{}/{}", incident.route, incident.test),
        format!("{reason} [{code}]{not_down}"),
    ]
}
