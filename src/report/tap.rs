//! The Test Anything Protocol, version 14: a point a test, and all that is known of it in a YAML block.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::account::{json, words};
use super::document::{Standing, TestRecords, tests};
use crate::probe::record::{Document, Record};
use crate::text::is_odd;
use crate::text::line;

/// The document as TAP.
pub fn render(document: &Document) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_points(&mut text, document);
    text
}

fn write_points(out: &mut String, document: &Document) -> fmt::Result {
    let tests = tests(&document.probes);
    let decided: Vec<_> = tests
        .iter()
        .filter_map(|test| Some((test, test.deciding()?)))
        .collect();
    writeln!(out, "TAP version 14\n1..{}", decided.len())?;
    for (number, (test, probe)) in (1..).zip(decided) {
        let name = escaped(&format!("{} {}", test.route, test.name()));
        let (ok, directive) = match test.standing(document.verdict) {
            Standing::Passed => ("ok", String::new()),
            Standing::Skipped => ("ok", format!(" # SKIP {}", escaped(&probe.reason))),
            Standing::Unknown | Standing::Failed => ("not ok", String::new()),
        };
        writeln!(out, "{ok} {number} - {name}{directive}")?;
        diagnostics(out, test, probe)?;
    }
    Ok(())
}

/// Text in a test's line: `#` would begin a directive.
fn escaped(text: &str) -> String {
    line(text).replace('\\', "\\\\").replace('#', "\\#")
}

fn diagnostics(out: &mut String, test: &TestRecords<'_>, decides: &Record) -> fmt::Result {
    writeln!(out, "  ---")?;
    entry(out, "message", &decides.reason)?;
    entry(out, "severity", &decides.verdict)?;
    entry(out, "outcome", &decides.outcome)?;
    entry(out, "code", &decides.code)?;
    entry(out, "expect", &decides.expect)?;
    entry(out, "id", &decides.id)?;
    entry(out, "round_trip_ms", &decides.round_trip_ms)?;
    entry(out, "deadline_ms", &decides.deadline_ms)?;
    entry(out, "phases", &decides.phases)?;
    if let Some(words) = words(decides) {
        entry(out, "server", &words)?;
    }
    entry(out, "evidence", &decides.evidence)?;
    if !decides.transcript.is_empty() {
        entry(out, "transcript", &decides.transcript)?;
    }
    let others: Vec<_> = test
        .probes
        .iter()
        .filter(|other| other.id != decides.id)
        .map(|other| {
            json!({
                "id": other.id, "outcome": other.outcome, "verdict": other.verdict, "code": other.code,
                "message": other.reason, "round_trip_ms": other.round_trip_ms, "superseded_by": other.superseded_by,
            })
        })
        .collect();
    if !others.is_empty() {
        entry(out, "other_probes", &others)?;
    }
    writeln!(out, "  ...")
}

/// A line of YAML, its value as JSON, which is YAML once the characters are escaped that only JSON takes as they are.
fn entry(out: &mut String, key: &str, value: &impl Serialize) -> fmt::Result {
    write!(out, "  {key}: ")?;
    for c in json(value).chars() {
        if is_odd(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        } else {
            out.push(c);
        }
    }
    writeln!(out)
}
