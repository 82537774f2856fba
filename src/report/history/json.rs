//! The report as JSON, and its schema.

use std::io::{self, Write};

use super::model::HistoryReport;

/// Writes the report, indented, with a line break at its end.
pub fn write(report: &HistoryReport, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The JSON Schema that every report follows.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(HistoryReport).to_value()
}
