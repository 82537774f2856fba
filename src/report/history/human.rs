//! The report for a person at a terminal: a line a route, then the incidents, then what filters did.

use std::fmt::{self, Write};

use jiff::tz::TimeZone;
use owo_colors::OwoColorize;

use super::model::{Figures, HistoryReport};
use super::words::{self, FILTERS, INCIDENTS, NOTES};
use crate::text::{cut, line};

/// No column is padded to more than this.
const COLUMN: usize = 60;
/// So many incidents are listed, the newest: the other formats have them all.
const MOST: usize = 50;
/// So much is shown of a reason.
const REASON: usize = 200;

/// The report, with colours; `width` is that of the terminal, `None`: notes are not wrapped.
pub fn render(report: &HistoryReport, zone: &TimeZone, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut text, report, zone, width);
    text
}

fn write_report(
    out: &mut String,
    report: &HistoryReport,
    zone: &TimeZone,
    width: Option<usize>,
) -> fmt::Result {
    let from = words::moment(report.from, zone);
    let to = words::moment(report.to, zone);
    writeln!(
        out,
        "{}",
        format!("{from} to {to} ({})", report.timezone).bold()
    )?;
    writeln!(out)?;
    if report.routes.is_empty() {
        return writeln!(out, "Nothing was tested in this time.");
    }
    let of_routes = report.routes.iter();
    let lines = of_routes.map(|route| (route.route.to_string(), &route.figures));
    figures(out, "route", lines.collect())?;
    for route in report.routes.iter().filter(|route| !route.parts.is_empty()) {
        writeln!(out)?;
        writeln!(out, "{}", line(route.route.as_str()).bold())?;
        let parts = route.parts.iter();
        let lines = parts.map(|part| (part.name.clone(), &part.figures));
        figures(out, "from", lines.collect())?;
    }
    writeln!(out, "\n{}", "Outcomes".bold())?;
    let outcomes = report.routes.iter().map(|route| {
        let name = route.route.to_string();
        vec![name, words::outcomes(&route.figures)]
    });
    table(out, &[], outcomes.collect())?;
    incidents(out, report, zone)?;
    for filters in &report.filters {
        let heading = format!("Filters on {}", line(filters.route.as_str()));
        writeln!(out, "\n{}", heading.bold())?;
        for sum in &filters.sums {
            writeln!(out, "{}", line(sum))?;
        }
        let rows = filters.payloads.iter().map(words::filter);
        table(out, &FILTERS, rows.map(Vec::from).collect())?;
    }
    writeln!(out)?;
    let exactness = words::exactness(report, zone);
    for note in NOTES.into_iter().chain(exactness.as_deref()) {
        writeln!(out, "{}", wrapped(note, width).dimmed())?;
    }
    Ok(())
}

/// A table of figures; of what was never unknown, nothing is said.
fn figures(out: &mut String, first: &'static str, lines: Vec<(String, &Figures)>) -> fmt::Result {
    const UNKNOWN: usize = 4;
    let is_known = lines.iter().all(|(_, figures)| figures.unknown == 0);
    let mut columns = words::columns(first).to_vec();
    let mut rows: Vec<_> = lines
        .into_iter()
        .map(|(name, figures)| words::line(name, figures).to_vec())
        .collect();
    if is_known {
        columns.remove(UNKNOWN);
        for row in &mut rows {
            row.remove(UNKNOWN);
        }
    }
    table(out, &columns, rows)
}

fn incidents(out: &mut String, report: &HistoryReport, zone: &TimeZone) -> fmt::Result {
    writeln!(out, "\n{}", "Incidents".bold())?;
    if report.incidents.is_empty() {
        return writeln!(out, "none");
    }
    let hidden = report.incidents.len().saturating_sub(MOST);
    if hidden > 0 {
        writeln!(
            out,
            "{hidden} older ones are told in the other formats alone"
        )?;
    }
    let shown = report.incidents.iter().skip(hidden);
    let rows = shown.map(|incident| words::incident(incident, zone).to_vec());
    table(out, &INCIDENTS, rows.collect())
}

/// A table without lines: the first column and words to the left, figures to the right.
fn table(out: &mut String, columns: &[&str], mut rows: Vec<Vec<String>>) -> fmt::Result {
    for cell in rows.iter_mut().flatten() {
        *cell = cut(&line(cell), REASON).into_owned();
    }
    let is_figure = |text: &str| text == "-" || text.starts_with(|c: char| c.is_ascii_digit());
    let head: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let mut widths = Vec::new();
    for column in 0..count {
        let cells = || rows.iter().chain([&head]).filter_map(|row| row.get(column));
        let width = cells().map(|cell| cell.chars().count()).max();
        let is_right = column > 0
            && rows
                .iter()
                .filter_map(|row| row.get(column))
                .all(|cell| is_figure(cell) && cell.len() < 20);
        widths.push((width.unwrap_or_default().min(COLUMN), is_right));
    }
    let mut write = |row: &[String], is_head: bool| {
        let mut text = String::new();
        for (cell, (width, is_right)) in row.iter().zip(&widths) {
            if *is_right {
                write!(text, "{cell:>width$}  ")?;
            } else {
                write!(text, "{cell:width$}  ")?;
            }
        }
        let text = text.trim_end();
        if is_head {
            writeln!(out, "{}", text.dimmed())
        } else {
            writeln!(out, "{text}")
        }
    };
    if !head.is_empty() {
        write(&head, true)?;
    }
    rows.iter().try_for_each(|row| write(row, false))
}

fn wrapped(text: &str, width: Option<usize>) -> String {
    match width {
        None => text.to_owned(),
        Some(width) => textwrap::fill(text, width.max(40)),
    }
}
