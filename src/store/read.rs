//! Reading, beside the one that writes and in any other process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use uuid::Uuid;

use super::StoreError;
use super::numbers::key;
use super::row::{id, micros, moment, unpack};
use super::write::Writer;
use crate::probe::incident::Incident;
use crate::probe::name::AlertName;
use crate::probe::state::TestKey;

/// The fact that names the instance whose history this is.
pub const INSTANCE: &str = "instance";

/// Reads the history.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: SqlitePool,
    pub(super) path: PathBuf,
}

/// A probe that has no outcome yet.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its place in the order of starts.
    pub seq: u64,
    /// The probe.
    pub id: Uuid,
    /// What was kept of it.
    pub kept: Vec<u8>,
}

/// A probe that the history knows.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// Its place in the order of starts.
    pub seq: u64,
    /// Whether it has its outcome.
    pub is_settled: bool,
    /// What was kept of it, if it still is.
    pub kept: Option<Vec<u8>>,
}

/// A notice that is still to go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: Uuid,
    /// To whom.
    pub alert: AlertName,
    /// How often it was tried.
    pub attempts: u32,
    /// As JSON.
    pub body: String,
}

impl Reader {
    pub(super) fn new(pool: SqlitePool, path: PathBuf) -> Self {
        Self { pool, path }
    }

    /// Ends in good order. Whoever is the last to close a history tidies up beside it.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn failed(&self, what: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        StoreError::at(&self.path, what)
    }

    /// The highest place in the order of starts that was given away.
    pub async fn last_seq(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT coalesce(max(seq), 0) AS seq FROM probes")
            .fetch_one(&self.pool)
            .await;
        row.and_then(|row| seq(&row))
            .map_err(self.failed("cannot read its probes"))
    }

    /// The probes that have no outcome yet, in the order of their starts.
    pub async fn in_flight(&self) -> Result<Vec<InFlight>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.seq, p.id, d.kept FROM probes p LEFT JOIN details d ON d.seq = p.seq \
             WHERE p.outcome IS NULL ORDER BY p.seq",
        )
        .fetch_all(&self.pool)
        .await;
        let read = |row: SqliteRow| {
            Ok(InFlight {
                seq: seq(&row)?,
                id: id(&row, "id")?,
                // Of one that cannot be read nothing more can be known, and the others still can.
                kept: kept(&row).ok().flatten().unwrap_or_default(),
            })
        };
        rows.and_then(|rows| rows.into_iter().map(read).collect())
            .map_err(self.failed("cannot read the probes in flight"))
    }

    /// How each test stood.
    pub async fn standings(&self) -> Result<Vec<(TestKey, String)>, StoreError> {
        let rows =
            sqlx::query("SELECT route, name, standing FROM standings JOIN tests USING (test)")
                .fetch_all(&self.pool)
                .await;
        let read = |row: SqliteRow| Ok((key(&row)?, row.try_get("standing")?));
        rows.and_then(|rows| rows.into_iter().map(read).collect())
            .map_err(self.failed("cannot read how the tests stood"))
    }

    /// When each line of the schedule was due last, and how often it could not run.
    pub async fn lines(&self) -> Result<BTreeMap<String, (Timestamp, u64)>, StoreError> {
        let rows = sqlx::query("SELECT line, due, missed FROM lines")
            .fetch_all(&self.pool)
            .await;
        let read = |row: SqliteRow| {
            let missed: i64 = row.try_get("missed")?;
            let missed = u64::try_from(missed).unwrap_or_default();
            Ok((row.try_get("line")?, (moment(row.try_get("due")?), missed)))
        };
        rows.and_then(|rows| rows.into_iter().map(read).collect())
            .map_err(self.failed("cannot read its schedule"))
    }

    /// Everything else that outlived the process.
    pub async fn facts(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let rows = sqlx::query("SELECT name, value FROM facts")
            .fetch_all(&self.pool)
            .await;
        let read = |row: SqliteRow| Ok((row.try_get("name")?, row.try_get("value")?));
        rows.and_then(|rows| rows.into_iter().map(read).collect())
            .map_err(self.failed("cannot read its facts"))
    }

    /// The notices that are still to go out, the oldest first.
    pub async fn outbox(&self) -> Result<Vec<Waiting>, StoreError> {
        let rows =
            sqlx::query("SELECT notice, alert, attempts, body FROM outbox ORDER BY made, notice")
                .fetch_all(&self.pool)
                .await;
        let read = |row: SqliteRow| {
            Ok(Waiting {
                id: id(&row, "notice")?,
                alert: row.try_get::<&str, _>("alert")?.into(),
                attempts: row.try_get("attempts")?,
                body: row.try_get("body")?,
            })
        };
        rows.and_then(|rows| rows.into_iter().map(read).collect())
            .map_err(self.failed("cannot read its outbox"))
    }

    /// Incidents, the newest first: those that are not over before `from`, and began before `to`.
    pub async fn incidents(
        &self,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let rows = sqlx::query(
            "SELECT incident FROM incidents \
             WHERE ($1 IS NULL OR ended IS NULL OR ended >= $1) \
             AND ($2 IS NULL OR began < $2) ORDER BY began DESC, id DESC LIMIT $3",
        )
        .bind(from.map(micros))
        .bind(to.map(micros))
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        rows.and_then(|rows| rows.iter().map(incident).collect())
            .map_err(self.failed("cannot read its incidents"))
    }

    /// The incidents that are not over, the newest first.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        let rows = sqlx::query(
            "SELECT incident FROM incidents INDEXED BY incidents_open \
             WHERE ended IS NULL ORDER BY began DESC, id DESC",
        )
        .fetch_all(&self.pool)
        .await;
        rows.and_then(|rows| rows.iter().map(incident).collect())
            .map_err(self.failed("cannot read its incidents"))
    }
}

fn incident(row: &SqliteRow) -> Result<Incident, sqlx::Error> {
    let incident = serde_json::from_str(row.try_get("incident")?);
    incident.map_err(|error| sqlx::Error::Decode(error.into()))
}

impl Writer {
    /// What is kept of a probe, as far as everything is that was committed.
    pub async fn recall(&mut self, probe: Uuid) -> Result<Option<Recalled>, StoreError> {
        let row = sqlx::query(
            "SELECT p.seq, p.outcome, d.kept FROM probes p LEFT JOIN details d ON d.seq = p.seq WHERE p.id = $1",
        )
        .bind(probe.as_bytes().as_slice())
        .fetch_optional(&mut self.connection)
        .await;
        let read = |row: SqliteRow| {
            Ok(Recalled {
                seq: seq(&row)?,
                is_settled: row.try_get::<Option<i64>, _>("outcome")?.is_some(),
                kept: kept(&row)?,
            })
        };
        row.and_then(|row| row.map(read).transpose())
            .map_err(StoreError::at(&self.path, "cannot recall a probe"))
    }
}

/// Its place in the order of starts.
pub(super) fn seq(row: &SqliteRow) -> Result<u64, sqlx::Error> {
    let seq: i64 = row.try_get("seq")?;
    u64::try_from(seq).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn kept(row: &SqliteRow) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let packed: Option<&[u8]> = row.try_get("kept")?;
    let unpacked = packed.map(unpack).transpose();
    unpacked.map_err(|error| sqlx::Error::Decode(error.into()))
}
