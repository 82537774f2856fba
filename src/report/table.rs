//! Tables for spreadsheets (CSV, RFC 4180).

use std::io::{self, Write};

/// A table that is written row by row.
pub(super) struct Table<W: Write>(csv::Writer<W>);

impl<W: Write> Table<W> {
    /// Writes the names of the columns.
    pub(super) fn begin(out: W, columns: &[&str]) -> io::Result<Self> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(columns).map_err(plain)?;
        Ok(Self(table))
    }

    pub(super) fn row(&mut self, cells: Vec<String>) -> io::Result<()> {
        self.0.write_record(cells).map_err(plain)
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A cell of words. A spreadsheet would take some of them for a formula, and they may be a peer's.
pub(super) fn text(words: &str) -> String {
    if words.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{words}")
    } else {
        words.to_owned()
    }
}

/// What became of the writing; whoever reads may have gone.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
