//! The result document as JSON, and its schema.

use std::io::{self, Write};

use crate::probe::record::Document;

/// Writes the document, indented, with a line break at its end.
pub fn write(document: &Document, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The JSON Schema that every document follows.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
