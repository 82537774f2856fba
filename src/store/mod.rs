//! What outlives a moment: probes in flight, their results, how each test stands, and the notices that are still to go out.
//!
//! One `SQLite` file. One [`Writer`] in one process; any number of [`Reader`]s, in any process. What the store is given to
//! keep it gives back as it was; what any of it means is for others to say.

mod check;
mod days;
mod numbers;
mod open;
mod probes;
mod prune;
mod read;
mod row;
mod stats;
mod transaction;
mod write;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use check::{Checked, Counts};
pub use open::{Opened, SetAside};
pub use probes::{Page, Wanted};
pub use prune::{DOCUMENTS, Pruned, Retention};
pub use read::{INSTANCE, InFlight, Reader, Recalled, Waiting};
pub use stats::{DayStats, Span, Stats};
pub use write::{Write, Writer};

/// Why the history could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// `SQLite`, or the file system behind it.
    #[error("the history {path}: {what}", path = .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What came back.
        source: sqlx::Error,
    },
    /// It was written by a newer mailrobin.
    #[error(
        "the history {path} was written by a newer mailrobin (its schema is {theirs}, this one knows {ours}): it is left as it is; use that version, or another --state-dir",
        path = .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        theirs: i64,
        /// The newest that is known here.
        ours: i64,
    },
    /// It is not a history.
    #[error("{path} is a database of something else: it is left as it is; name another file in [store] url", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else writes to it.
    #[error("another mailrobin is running with the history {path}: stop it, or use another --state-dir", path = .path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no history {path} yet: `mailrobin run` makes it", path = .path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// Something around the database.
    #[error("the history {path}: {what}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What came back.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether the file itself is damaged, so that no other try will do.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_corruption(source),
            Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Taken { .. }
            | Self::None { .. }
            | Self::File { .. } => false,
        }
    }

    fn at(path: &Path, what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Database { path, what, source }
    }
}

/// `SQLite`'s words for a damaged file: `SQLITE_CORRUPT` (11, with its extended codes) and `SQLITE_NOTADB` (26).
fn is_corruption(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// The path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
