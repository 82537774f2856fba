//! Probes by the thousand: one JSON object a line, or a table.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::Value;

use super::table::{Table, text};
use crate::probe::facts::SeenBy;
use crate::probe::outcome::Phase;
use crate::probe::record::Record;

const COLUMNS: [&str; 24] = [
    "id",
    "instance",
    "route",
    "payload",
    "variant",
    "control",
    "outcome",
    "verdict",
    "code",
    "reason",
    "due_at",
    "started_at",
    "accepted_at",
    "seen_at",
    "seen_by",
    "resolution_ms",
    "round_trip_ms",
    "deadline_ms",
    "late",
    "duplicates",
    "revised_at",
    "unstored",
    "host",
    "address",
];

/// Writes each probe object on a line of its own.
pub fn lines(probes: &[Value], mut out: impl Write) -> io::Result<()> {
    for probe in probes {
        serde_json::to_writer(&mut out, probe)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A table of probes that is written page by page.
pub struct ProbeTable<W: Write>(Table<W>);

impl<W: Write> ProbeTable<W> {
    /// Writes the names of the columns.
    pub fn begin(out: W) -> io::Result<Self> {
        let phases = Phase::ALL.map(|phase| format!("{phase}_ms"));
        let columns = COLUMNS.into_iter().chain(phases.iter().map(String::as_str));
        Table::begin(out, &columns.collect::<Vec<_>>()).map(Self)
    }

    /// Writes these probes.
    pub fn write(&mut self, probes: Vec<Value>) -> io::Result<()> {
        for probe in probes {
            self.0.row(row(&serde_json::from_value(probe)?))?;
        }
        Ok(())
    }

    /// Writes what is still held back.
    pub fn end(self) -> io::Result<()> {
        self.0.end()
    }
}

fn row(record: &Record) -> Vec<String> {
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let number = |number: Option<f64>| number.map(|it| it.to_string()).unwrap_or_default();
    let seen_by = record.seen_by.map(|by| match by {
        SeenBy::Idle => "idle",
        SeenBy::Poll => "poll",
    });
    let smtp = record.smtp.as_ref();
    let address = smtp.and_then(|smtp| smtp.address);
    let mut row = vec![
        record.id.to_string(),
        text(&record.instance),
        text(record.route.as_str()),
        record.payload_name().to_owned(),
        text(&record.variant),
        record.control.map(|it| it.to_string()).unwrap_or_default(),
        record.outcome.to_string(),
        record.verdict.to_string(),
        record.code.to_string(),
        text(&record.reason),
        record.due_at.to_string(),
        moment(record.started_at),
        moment(record.accepted_at),
        moment(record.seen_at),
        seen_by.unwrap_or_default().to_owned(),
        number(record.resolution_ms),
        number(record.round_trip_ms),
        record.deadline_ms.to_string(),
        record.late.to_string(),
        record.duplicates.to_string(),
        moment(record.revised_at),
        record.unstored.to_string(),
        text(smtp.map_or("", |smtp| &smtp.host)),
        address.map(|it| it.to_string()).unwrap_or_default(),
    ];
    row.extend(Phase::ALL.map(|phase| {
        let time = record.phases.iter().find(|time| time.name == phase);
        number(time.map(|time| time.ms))
    }));
    row
}
