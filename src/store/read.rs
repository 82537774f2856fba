//! Reading, beside the one that writes and in any other process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::StoreError;
use super::row::{id, micros, moment, record, unpack};
use super::write::{Words, Writer};
use crate::probe::name::{AlertName, RouteName};
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;
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

/// Which probes are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this route alone.
    pub route: Option<RouteName>,
    /// Of this test alone, by its payload with variant.
    pub test: Option<String>,
    /// Of this verdict alone.
    pub verdict: Option<Verdict>,
    /// Due from then on.
    pub from: Option<Timestamp>,
    /// Due before.
    pub to: Option<Timestamp>,
    /// Started before this one; the newest come first. Where `oldest_first`: after it.
    pub beyond: Option<u64>,
    /// The oldest first.
    pub oldest_first: bool,
    /// So many at most.
    pub limit: u32,
}

/// Some of the probes that are wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The probes, as the result document has them; of one in flight only what is known.
    pub probes: Vec<Value>,
    /// Where the next page begins; `None`: there is no more.
    pub beyond: Option<u64>,
}

impl Reader {
    pub(super) fn new(pool: SqlitePool, path: PathBuf) -> Self {
        Self { pool, path }
    }

    /// Ends in good order.
    pub async fn close(&self) {
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
                kept: kept(&row)?.unwrap_or_default(),
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
        let read = |row: SqliteRow| {
            let key = TestKey {
                route: row.try_get::<&str, _>("route")?.into(),
                test: row.try_get::<&str, _>("name")?.into(),
            };
            Ok((key, row.try_get("standing")?))
        };
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

    /// Incidents as JSON, the newest first: those that are not over before `from`, and began before `to`.
    pub async fn incidents(
        &self,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT incident FROM incidents WHERE ($1 IS NULL OR ended IS NULL OR ended >= $1) \
             AND ($2 IS NULL OR began < $2) ORDER BY began DESC LIMIT $3",
        )
        .bind(from.map(micros))
        .bind(to.map(micros))
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        rows.and_then(|rows| rows.iter().map(|row| row.try_get("incident")).collect())
            .map_err(self.failed("cannot read its incidents"))
    }

    /// Probes, as the result document has them.
    pub async fn probes(&self, wanted: &Wanted) -> Result<Page, StoreError> {
        let failed = || self.failed("cannot read its probes");
        let read = async {
            let mut connection = self.pool.acquire().await?;
            let words = Words::load(&mut connection).await?;
            let instance = instance(&mut connection).await?;
            let rows = select(&mut connection, wanted).await?;
            let is_full = rows.len() >= usize::try_from(wanted.limit).unwrap_or(usize::MAX);
            let beyond = rows.last().filter(|_| is_full).map(seq).transpose()?;
            Ok((rows, words, instance, beyond))
        };
        let (rows, words, instance, beyond) = read.await.map_err(failed())?;
        let mut probes = Vec::with_capacity(rows.len());
        for row in rows {
            probes.push(self.object(&row, &words, &instance)?);
        }
        Ok(Page { probes, beyond })
    }

    /// A row's probe: its document where there is one, else what the row says.
    fn object(&self, row: &SqliteRow, words: &Words, instance: &str) -> Result<Value, StoreError> {
        let failed = || self.failed("cannot read its probes");
        let document: Option<&[u8]> = row.try_get("document").map_err(failed())?;
        if let Some(packed) = document {
            let text = unpack(packed).map_err(|error| self.content(error.to_string()))?;
            return serde_json::from_slice(&text).map_err(|error| self.content(error.to_string()));
        }
        match record(row, words, instance).map_err(failed())? {
            Some(record) => {
                serde_json::to_value(record).map_err(|error| self.content(error.to_string()))
            }
            None => Self::under_way(row, instance).map_err(failed()),
        }
    }

    /// A probe without an outcome.
    fn under_way(row: &SqliteRow, instance: &str) -> Result<Value, sqlx::Error> {
        Ok(serde_json::json!({
            "id": id(row, "id")?,
            "instance": instance,
            "route": row.try_get::<&str, _>("route")?,
            "payload": row.try_get::<Option<&str>, _>("payload")?,
            "outcome": null,
            "verdict": null,
            "code": null,
            "reason": null,
            "due_at": moment(row.try_get("due")?),
        }))
    }

    fn content(&self, what: String) -> StoreError {
        StoreError::Content {
            path: self.path.clone(),
            what,
        }
    }

    /// The newest result of every test, as the result document has it.
    pub async fn newest(&self) -> Result<Vec<Record>, StoreError> {
        let read = async {
            let mut connection = self.pool.acquire().await?;
            let words = Words::load(&mut connection).await?;
            let instance = instance(&mut connection).await?;
            let rows = sqlx::query(
                "SELECT p.*, t.route, t.payload, t.variant FROM tests t JOIN probes p ON p.seq = \
                 (SELECT seq FROM probes WHERE test = t.test AND outcome IS NOT NULL ORDER BY due DESC LIMIT 1)",
            )
            .fetch_all(&mut *connection)
            .await?;
            let records = rows.iter().map(|row| record(row, &words, &instance));
            let records = records.collect::<Result<Vec<_>, _>>()?;
            Ok(records.into_iter().flatten().collect())
        };
        read.await.map_err(self.failed("cannot read its probes"))
    }
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

macro_rules! probes {
    ($order:literal) => {
        concat!(
            "SELECT p.*, t.route, t.payload, t.variant, d.document FROM probes p ",
            "JOIN tests t USING (test) LEFT JOIN details d ON d.seq = p.seq ",
            "WHERE ($1 IS NULL OR t.route = $1) AND ($2 IS NULL OR t.name = $2) ",
            "AND ($3 IS NULL OR p.verdict = (SELECT word FROM words WHERE text = $3)) ",
            "AND ($4 IS NULL OR p.due >= $4) AND ($5 IS NULL OR p.due < $5) ",
            $order
        )
    };
}

const NEWEST_FIRST: &str = probes!("AND ($6 IS NULL OR p.seq < $6) ORDER BY p.seq DESC LIMIT $7");
const OLDEST_FIRST: &str = probes!("AND ($6 IS NULL OR p.seq > $6) ORDER BY p.seq LIMIT $7");

async fn select(
    connection: &mut SqliteConnection,
    wanted: &Wanted,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let text = if wanted.oldest_first {
        OLDEST_FIRST
    } else {
        NEWEST_FIRST
    };
    let verdict = wanted.verdict.map(Verdict::as_str);
    let beyond = wanted
        .beyond
        .map(|seq| i64::try_from(seq).unwrap_or(i64::MAX));
    sqlx::query(text)
        .bind(wanted.route.as_ref().map(RouteName::as_str))
        .bind(wanted.test.as_deref())
        .bind(verdict)
        .bind(wanted.from.map(micros))
        .bind(wanted.to.map(micros))
        .bind(beyond)
        .bind(wanted.limit)
        .fetch_all(connection)
        .await
}

/// Whose history it is.
async fn instance(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let row = sqlx::query("SELECT value FROM facts WHERE name = $1")
        .bind(INSTANCE)
        .fetch_optional(connection)
        .await?;
    row.map_or_else(|| Ok(String::new()), |row| row.try_get("value"))
}

fn seq(row: &SqliteRow) -> Result<u64, sqlx::Error> {
    let seq: i64 = row.try_get("seq")?;
    u64::try_from(seq).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn kept(row: &SqliteRow) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let packed: Option<&[u8]> = row.try_get("kept")?;
    let unpacked = packed.map(unpack).transpose();
    unpacked.map_err(|error| sqlx::Error::Decode(error.into()))
}
