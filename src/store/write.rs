//! Writing: a batch of writes is one transaction. When [`Writer::commit`] returns, it survives a loss of power.

mod apply;

use std::fs::File;
use std::path::PathBuf;

use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;

use super::StoreError;
use super::days::Limits;
use super::numbers::{Tests, Words};
use super::row::Packer;
use super::transaction::{begin, end};
use crate::probe::incident::Incident;
use crate::probe::name::AlertName;
use crate::probe::record::Record;
use crate::probe::state::TestKey;

/// One thing to be kept.
#[derive(Clone, Debug)]
pub enum Write {
    /// A probe is about to be sent.
    Begun {
        /// Its place in the order of starts.
        seq: u64,
        /// The probe.
        id: Uuid,
        /// Of which test.
        test: TestKey,
        /// When it should have started.
        due: Timestamp,
        /// What another process needs to take it up.
        kept: Vec<u8>,
    },
    /// A probe has come further.
    Further {
        /// Which.
        seq: u64,
        /// What another process needs to take it up.
        kept: Vec<u8>,
    },
    /// A probe has its outcome, for the first time or anew.
    Settled {
        /// Its place in the order of starts.
        seq: u64,
        /// What became of it.
        record: Box<Record>,
        /// What a later copy is judged with; `None`: nothing can change it.
        kept: Option<Vec<u8>>,
    },
    /// A probe of which nothing more can be known.
    Abandoned {
        /// Which.
        seq: u64,
        /// Why, as a sentence.
        reason: String,
    },
    /// How a test stands.
    Standing {
        /// Which.
        test: TestKey,
        /// As JSON; `None`: it is not tested any more.
        standing: Option<String>,
    },
    /// An incident, new or changed.
    Incident(Box<Incident>),
    /// A notice is to go out.
    Notice {
        /// Its id.
        id: Uuid,
        /// When it was made.
        made: Timestamp,
        /// To whom.
        alert: AlertName,
        /// As JSON.
        body: String,
    },
    /// A notice went out, or nobody is there any more to get it.
    Told {
        /// Its id.
        id: Uuid,
        /// To whom.
        alert: AlertName,
    },
    /// A notice could not go out yet.
    Tried {
        /// Its id.
        id: Uuid,
        /// To whom.
        alert: AlertName,
        /// How often it was tried.
        attempts: u32,
    },
    /// A line of the schedule was due.
    Line {
        /// Which.
        line: String,
        /// When.
        due: Timestamp,
        /// How often it could not run, ever.
        missed: u64,
    },
    /// Something else that must outlive the process; `None`: no more.
    Fact {
        /// What it is.
        name: String,
        /// What it says.
        value: Option<String>,
    },
}

/// The one that writes.
#[derive(Debug)]
pub struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) path: PathBuf,
    /// Held as long as we are.
    _lock: File,
    known: Known,
}

/// What is known of the database while it is written.
#[derive(Debug)]
struct Known {
    words: Words,
    tests: Tests,
    limits: Limits,
    packer: Packer,
}

impl Known {
    /// What was learnt in the transaction is there, or not.
    fn learnt(&mut self, is_there: bool) {
        self.words.learnt(is_there);
        self.tests.learnt(is_there);
    }
}

impl Writer {
    pub(super) async fn new(
        mut connection: SqliteConnection,
        path: PathBuf,
        lock: File,
    ) -> Result<Self, StoreError> {
        let failed = || StoreError::at(&path, "cannot read it");
        let words = Words::load(&mut connection).await.map_err(failed())?;
        let tests = Tests::load(&mut connection).await.map_err(failed())?;
        let limits = Limits::load(&mut connection).await.map_err(failed())?;
        Ok(Self {
            connection,
            path,
            _lock: lock,
            known: Known {
                words,
                tests,
                limits,
                packer: Packer::new(),
            },
        })
    }

    /// Keeps all of these, or none.
    pub async fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        // Of one that was dropped before its end nothing is there.
        self.known.learnt(false);
        let written = self.write(writes).await;
        self.known.learnt(written.is_ok());
        written.map_err(StoreError::at(&self.path, "cannot write to it"))
    }

    async fn write(&mut self, writes: &[Write]) -> Result<(), sqlx::Error> {
        begin(&mut self.connection).await?;
        let mut applied = Ok(());
        for write in writes {
            applied = apply::apply(&mut self.connection, write, &mut self.known).await;
            if applied.is_err() {
                break;
            }
        }
        end(&mut self.connection, applied).await
    }

    /// How far it is reckoned, and since when it is whole.
    pub(super) fn limits(&self) -> Limits {
        self.known.limits
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.known.limits = limits;
    }

    /// Ends in good order.
    pub async fn close(self) -> Result<(), StoreError> {
        let path = self.path;
        let closed = self.connection.close().await;
        closed.map_err(StoreError::at(&path, "cannot close it"))
    }
}
