//! The report's figures as a table for spreadsheets: a row a route, one a test of it, and one a part of the time.

use std::io::{self, Write};

use jiff::Timestamp;

use super::model::{Figures, HistoryReport};
use crate::report::table::{Table, text};

const COLUMNS: [&str; 19] = [
    "from",
    "to",
    "part",
    "route",
    "test",
    "availability",
    "probes",
    "pass",
    "warn",
    "fail",
    "unknown",
    "only_reported",
    "copies",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "incidents",
    "downtime_s",
    "outcomes",
];

/// Writes the figures. Incidents and filters have other columns: JSON has them.
pub fn write(report: &HistoryReport, out: impl Write) -> io::Result<()> {
    let mut table = Table::begin(out, &COLUMNS)?;
    let whole = (report.from, report.to);
    for route in &report.routes {
        let name = route.route.as_str();
        table.row(row(whole, ["", name, ""], &route.figures))?;
        for test in &route.tests {
            table.row(row(whole, ["", name, &test.test], &test.figures))?;
        }
        for part in &route.parts {
            let span = (part.from, part.to);
            table.row(row(span, [&part.name, name, ""], &part.figures))?;
        }
    }
    table.end()
}

fn row((from, to): (Timestamp, Timestamp), names: [&str; 3], figures: &Figures) -> Vec<String> {
    let number = |number: Option<f64>| number.map(|it| it.to_string()).unwrap_or_default();
    let Figures {
        availability,
        probes,
        pass,
        warn,
        fail,
        unknown,
        only_reported,
        round_trip_ms,
        outcomes,
        codes: _,
        incidents,
        downtime_s,
    } = figures;
    let mut row = vec![from.to_string(), to.to_string()];
    row.extend(names.map(text));
    row.push(number(*availability));
    let counts = [*probes, *pass, *warn, *fail, *unknown, *only_reported];
    row.extend(counts.map(|count| count.to_string()));
    row.push(round_trip_ms.copies.to_string());
    let trips = [round_trip_ms.p50, round_trip_ms.p95, round_trip_ms.p99];
    row.extend(trips.map(number));
    row.push(incidents.to_string());
    row.push(number(*downtime_s));
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(it, count)| format!("{it} {count}"))
        .collect();
    row.push(outcomes.join(" "));
    row
}
