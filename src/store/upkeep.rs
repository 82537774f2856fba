//! Upkeep: days are reckoned, what is old goes, and the file can be checked. Each step is small, as others wait to write.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Connection, Row, SqliteConnection};
use uuid::Uuid;

use super::StoreError;
use super::read::Reader;
use super::row::micros;
use super::stats::{DAY, from_probes};
use super::write::{Words, Writer};

/// So many rows go in one step.
const STEP: i64 = 2000;
/// So many pages are given back to the file system in one step.
const PAGES: &str = "PRAGMA incremental_vacuum(1000)";
/// The documents of passes are kept for so long.
pub const DOCUMENTS: Duration = Duration::from_hours(7 * 24);

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Passes.
    pub passes: Duration,
    /// Everything else.
    pub others: Duration,
    /// What a late copy is judged with.
    pub remember: Duration,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Probes.
    pub probes: u64,
    /// Documents of passes, and what late copies were judged with.
    pub details: u64,
    /// Incidents.
    pub incidents: u64,
}

impl Pruned {
    /// Whether nothing more was there to go.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What `SQLite` finds wrong; nothing: it is sound.
    pub problems: Vec<String>,
    /// Probes, those in flight too.
    pub probes: u64,
    /// Probes in flight.
    pub in_flight: u64,
    /// Documents and what else is kept beside the rows.
    pub details: u64,
    /// Incidents.
    pub incidents: u64,
    /// Notices that are still to go out.
    pub outbox: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// When the oldest probe was due.
    pub oldest: Option<Timestamp>,
}

/// The days before this one are reckoned.
pub(super) async fn days_until(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row =
        sqlx::query("SELECT CAST(value AS INTEGER) AS day FROM facts WHERE name = 'days_until'")
            .fetch_optional(connection)
            .await?;
    row.map_or(Ok(i64::MIN / DAY), |row| row.try_get("day"))
}

/// The smallest id that a probe made at this time can have: ids begin with their time (RFC 9562 §5.7).
fn first_id(at: Timestamp) -> [u8; 16] {
    let [_, _, time @ ..] = at.as_millisecond().to_be_bytes();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(time) {
        *to = from;
    }
    *Uuid::from_bytes(id).as_bytes()
}

impl Writer {
    /// Reckons one day that is over, if there is one to be reckoned. Whether there was.
    pub async fn reckon(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let today = micros(now).div_euclid(DAY);
        let path = self.path.clone();
        let known = *self.days_until();
        let reckoned = reckon(&mut self.connection, known, today).await;
        let until = reckoned.map_err(StoreError::at(&path, "cannot reckon its days"))?;
        let is_new = until.is_some_and(|until| until != known);
        if let Some(until) = until {
            *self.days_until() = until;
        }
        Ok(is_new || until.is_some())
    }

    /// Lets go of some of what is old. Nothing of it: there was no more.
    pub async fn prune(
        &mut self,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let pruned = async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            let remembered = first_id(before(retention.remember));
            let documented = first_id(before(DOCUMENTS));
            // Of those in flight everything is kept.
            let mut details = sqlx::query(
                "UPDATE details SET kept = NULL WHERE seq IN (SELECT d.seq FROM probes p JOIN details d USING (seq) \
                 WHERE p.id < $1 AND p.outcome IS NOT NULL AND d.kept IS NOT NULL LIMIT $2)",
            )
            .bind(remembered.as_slice())
            .bind(STEP)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            details += sqlx::query(
                "DELETE FROM details WHERE seq IN (SELECT d.seq FROM probes p JOIN details d USING (seq) \
                 WHERE p.id < $1 AND d.kept IS NULL AND p.verdict = (SELECT word FROM words WHERE text = 'pass') LIMIT $2)",
            )
            .bind(documented.as_slice())
            .bind(STEP)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            let passes = first_id(before(retention.passes));
            let others = first_id(before(retention.others));
            let gone = sqlx::query(
                "DELETE FROM probes WHERE seq IN (SELECT seq FROM probes WHERE outcome IS NOT NULL AND (id < $1 \
                 OR (id < $2 AND verdict = (SELECT word FROM words WHERE text = 'pass'))) AND id < max($1, $2) LIMIT $3) \
                 RETURNING seq",
            )
            .bind(others.as_slice())
            .bind(passes.as_slice())
            .bind(STEP)
            .fetch_all(&mut *transaction)
            .await?;
            for row in &gone {
                sqlx::query("DELETE FROM details WHERE seq = $1")
                    .bind(row.try_get::<i64, _>("seq")?)
                    .execute(&mut *transaction)
                    .await?;
            }
            let incidents = sqlx::query("DELETE FROM incidents WHERE ended < $1")
                .bind(micros(before(retention.others)))
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            transaction.commit().await?;
            sqlx::query(PAGES).execute(&mut self.connection).await?;
            Ok(Pruned {
                probes: u64::try_from(gone.len()).unwrap_or(u64::MAX),
                details,
                incidents,
            })
        };
        pruned
            .await
            .map_err(StoreError::at(&self.path, "cannot prune it"))
    }
}

/// Reckons the day `until`, or the first that has become wrong. The day up to which all are reckoned then; `None`: nothing
/// was to be done.
async fn reckon(
    connection: &mut SqliteConnection,
    until: i64,
    today: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let words = Words::load(connection).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let stale = sqlx::query("SELECT test, day FROM days WHERE pass < 0 LIMIT 1")
        .fetch_optional(&mut *transaction)
        .await?;
    let mut stats = BTreeMap::new();
    let (day, until) = if let Some(row) = stale {
        let (test, day): (i64, i64) = (row.try_get("test")?, row.try_get("day")?);
        let span = (day * DAY, (day + 1) * DAY);
        stats.insert(test, super::stats::Stats::default());
        from_probes(&mut transaction, &words, Some(test), span, &mut stats).await?;
        (day, until)
    } else {
        let oldest = sqlx::query(
            "SELECT min(due) AS due FROM probes WHERE seq <= (SELECT min(seq) + 1000 FROM probes)",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let Some(oldest) = oldest.try_get::<Option<i64>, _>("due")? else {
            return Ok(None);
        };
        let day = until.max(oldest.div_euclid(DAY));
        if day >= today {
            return Ok(None);
        }
        let span = (day * DAY, (day + 1) * DAY);
        from_probes(&mut transaction, &words, None, span, &mut stats).await?;
        (day, day + 1)
    };
    for (test, stats) in stats {
        sqlx::query(
            "INSERT OR REPLACE INTO days (test, day, pass, warn, fail, unknown, outcomes, round_trips) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(test)
        .bind(day)
        .bind(i64::try_from(stats.pass).unwrap_or(i64::MAX))
        .bind(i64::try_from(stats.warn).unwrap_or(i64::MAX))
        .bind(i64::try_from(stats.fail).unwrap_or(i64::MAX))
        .bind(i64::try_from(stats.unknown).unwrap_or(i64::MAX))
        .bind(stats.outcomes_json())
        .bind(stats.packed())
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query(
        "INSERT OR REPLACE INTO facts (name, value) VALUES ('days_until', CAST($1 AS TEXT))",
    )
    .bind(until)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(until))
}

impl Reader {
    /// Reads everything and says what is wrong with it. Takes its time.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let checked = async {
            let mut connection = self.pool.acquire().await?;
            let rows = sqlx::query("PRAGMA integrity_check(100)")
                .fetch_all(&mut *connection)
                .await?;
            let said = rows.iter().map(|row| row.try_get::<String, _>(0));
            let mut problems = said.collect::<Result<Vec<_>, _>>()?;
            problems.retain(|problem| problem != "ok");
            let row = sqlx::query(
                "SELECT (SELECT count(*) FROM probes) AS probes, \
                 (SELECT count(*) FROM probes WHERE outcome IS NULL) AS in_flight, \
                 (SELECT count(*) FROM details) AS details, \
                 (SELECT count(*) FROM incidents) AS incidents, \
                 (SELECT count(*) FROM outbox) AS outbox, \
                 (SELECT min(due) FROM probes) AS oldest, \
                 (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size) AS bytes",
            )
            .fetch_one(&mut *connection)
            .await?;
            let count = |column: &str| {
                let count: i64 = row.try_get(column)?;
                Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
            };
            Ok(Checked {
                problems,
                probes: count("probes")?,
                in_flight: count("in_flight")?,
                details: count("details")?,
                incidents: count("incidents")?,
                outbox: count("outbox")?,
                bytes: count("bytes")?,
                oldest: row
                    .try_get::<Option<i64>, _>("oldest")?
                    .map(super::row::moment),
            })
        };
        checked.await.map_err(self.failed("cannot check it"))
    }
}
