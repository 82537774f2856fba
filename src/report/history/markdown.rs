//! The report as Markdown, for a wiki, an issue, or a mail that a time table sends.

use std::fmt::{self, Write};

use jiff::tz::TimeZone;

use super::model::HistoryReport;
use super::words::{self, FILTERS, INCIDENTS, NOTES};
use crate::report::markdown::inline;
use crate::text::{cut, line};

/// So much is shown of a cell.
const CELL: usize = 600;
/// So many incidents are listed, the newest.
const MOST: usize = 500;

/// The report as Markdown.
pub fn render(report: &HistoryReport, zone: &TimeZone) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, report, zone);
    text
}

fn write_report(out: &mut String, report: &HistoryReport, zone: &TimeZone) -> fmt::Result {
    let from = words::moment(report.from, zone);
    let to = words::moment(report.to, zone);
    writeln!(
        out,
        "## mailrobin: {from} to {to} ({})\n",
        inline(&report.timezone)
    )?;
    if report.routes.is_empty() {
        return writeln!(out, "Nothing was tested in this time.");
    }
    let of_routes = report.routes.iter().map(|route| {
        let mut row = words::line(route.route.to_string(), &route.figures).to_vec();
        row.push(words::outcomes(&route.figures));
        row
    });
    let mut columns = words::columns("route").to_vec();
    columns.push("outcomes");
    table(out, &columns, of_routes)?;
    for route in report.routes.iter().filter(|route| !route.parts.is_empty()) {
        writeln!(out, "\n### {}\n", inline(route.route.as_str()))?;
        let parts = route.parts.iter();
        let parts = parts.map(|part| words::line(part.name.clone(), &part.figures).to_vec());
        table(out, &words::columns("from"), parts)?;
    }
    writeln!(out, "\n### Incidents\n")?;
    if report.incidents.is_empty() {
        writeln!(out, "None.")?;
    } else {
        let hidden = report.incidents.len().saturating_sub(MOST);
        if hidden > 0 {
            writeln!(out, "{hidden} older ones are told in JSON alone.\n")?;
        }
        let shown = report.incidents.iter().skip(hidden);
        let rows = shown.map(|incident| words::incident(incident, zone).to_vec());
        table(out, &INCIDENTS, rows)?;
    }
    for filters in &report.filters {
        writeln!(out, "\n### Filters on {}\n", inline(filters.route.as_str()))?;
        for sum in &filters.sums {
            writeln!(out, "- {}", inline(&cut(&line(sum), CELL)))?;
        }
        writeln!(out)?;
        let rows = filters.payloads.iter().map(words::filter);
        table(out, &FILTERS, rows.map(Vec::from))?;
    }
    writeln!(out)?;
    let exactness = words::exactness(report, zone);
    for note in NOTES.into_iter().chain(exactness.as_deref()) {
        writeln!(out, "- {}", inline(note))?;
    }
    Ok(())
}

fn table(
    out: &mut String,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    writeln!(out, "| {} |", columns.join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(columns.len()))?;
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .map(|cell| inline(&cut(&line(cell), CELL)))
            .collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}
