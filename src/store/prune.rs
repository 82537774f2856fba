//! What is old goes, in steps that are small: others wait to write.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::StoreError;
use super::days::{DAY, Limits};
use super::row::micros;
use super::transaction::{begin, end};
use super::write::Writer;
use crate::config::plan::Plan;

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

impl Retention {
    /// As the config says.
    pub fn of(plan: &Plan) -> Self {
        Self {
            passes: plan.store.retention,
            others: plan.store.retention_failed,
            remember: plan.service.remember,
        }
    }
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
    /// Pages that were given back to the file system.
    pub pages: u64,
}

impl Pruned {
    /// Whether nothing more was there to go.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Pruned {
    fn add_assign(&mut self, other: Self) {
        self.probes += other.probes;
        self.details += other.details;
        self.incidents += other.incidents;
        self.pages += other.pages;
    }
}

impl Writer {
    /// Lets go of some of what is old. Nothing of it: there was no more.
    ///
    /// A probe stays until its day is reckoned: what is known of days outlives what they were reckoned from.
    pub async fn prune(
        &mut self,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let limits = self.limits();
        let pruned = async {
            begin(&mut self.connection).await?;
            let step = step(&mut self.connection, limits, retention, now).await;
            let (mut pruned, limits) = end(&mut self.connection, step).await?;
            self.set_limits(limits);
            let free = free_pages(&mut self.connection).await?;
            if free > 0 {
                sqlx::query(PAGES).execute(&mut self.connection).await?;
                let still = free_pages(&mut self.connection).await?;
                pruned.pages = free.saturating_sub(still);
            }
            Ok(pruned)
        };
        pruned
            .await
            .map_err(StoreError::at(&self.path, "cannot prune it"))
    }
}

/// One step; and the new limits.
async fn step(
    connection: &mut SqliteConnection,
    mut limits: Limits,
    retention: Retention,
    now: Timestamp,
) -> Result<(Pruned, Limits), sqlx::Error> {
    let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let mut details = forget_kept(connection, before(retention.remember)).await?;
    details += forget_passes(connection, before(DOCUMENTS)).await?;
    let reckoned = limits.days_until * DAY;
    let stale =
        sqlx::query("SELECT min(day) AS day FROM days INDEXED BY days_stale WHERE pass < 0")
            .fetch_one(&mut *connection)
            .await?;
    let stale: Option<i64> = stale.try_get("day")?;
    let known = stale.map_or(reckoned, |day| reckoned.min(day * DAY));
    let passes = micros(before(retention.passes)).min(known);
    let others = micros(before(retention.others)).min(known);
    let gone = sqlx::query(
        "DELETE FROM probes WHERE seq IN (SELECT seq FROM probes WHERE id < $1 AND outcome IS NOT NULL \
         AND due < iif(verdict = 1, $2, $3) ORDER BY id LIMIT $4) RETURNING seq",
    )
    .bind(first_id(passes.max(others)).as_slice())
    .bind(passes)
    .bind(others)
    .bind(STEP)
    .fetch_all(&mut *connection)
    .await?;
    let seqs = gone.iter().map(|row| row.try_get("seq"));
    let seqs: Vec<i64> = seqs.collect::<Result<_, _>>()?;
    if !seqs.is_empty() {
        sqlx::query("DELETE FROM details WHERE seq IN (SELECT value FROM json_each($1))")
            .bind(json(&seqs))
            .execute(&mut *connection)
            .await?;
        limits.whole_since = limits.whole_since.max(passes).max(others);
        limits.store(connection).await?;
    }
    let incidents = sqlx::query("DELETE FROM incidents WHERE ended < $1")
        .bind(micros(before(retention.others)))
        .execute(connection)
        .await?;
    let pruned = Pruned {
        probes: u64::try_from(seqs.len()).unwrap_or(u64::MAX),
        details,
        incidents: incidents.rows_affected(),
        pages: 0,
    };
    Ok((pruned, limits))
}

/// Forgets what copies of old probes would have been judged with. Of those in flight everything is kept.
async fn forget_kept(
    connection: &mut SqliteConnection,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE details SET kept = NULL WHERE seq IN (SELECT d.seq FROM details d INDEXED BY details_kept \
         CROSS JOIN probes p ON p.seq = d.seq WHERE d.kept IS NOT NULL AND d.seq <= \
         (SELECT seq FROM probes WHERE id < $1 ORDER BY id DESC LIMIT 1) \
         AND p.id < $1 AND p.outcome IS NOT NULL ORDER BY d.seq LIMIT $2) RETURNING seq",
    )
    .bind(first_id(micros(before)).as_slice())
    .bind(STEP)
    .fetch_all(&mut *connection)
    .await?;
    without_the_empty(connection, rows).await
}

/// Forgets the documents of old passes.
async fn forget_passes(
    connection: &mut SqliteConnection,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE details SET document = NULL, passed = NULL WHERE seq IN \
         (SELECT d.seq FROM details d INDEXED BY details_passed \
         CROSS JOIN probes p ON p.seq = d.seq WHERE d.passed IS NOT NULL AND d.seq <= \
         (SELECT seq FROM probes WHERE id < $1 ORDER BY id DESC LIMIT 1) \
         AND p.id < $1 ORDER BY d.seq LIMIT $2) RETURNING seq",
    )
    .bind(first_id(micros(before)).as_slice())
    .bind(STEP)
    .fetch_all(&mut *connection)
    .await?;
    without_the_empty(connection, rows).await
}

/// Removes those of these details that hold nothing any more. How many rows these are.
async fn without_the_empty(
    connection: &mut SqliteConnection,
    rows: Vec<sqlx::sqlite::SqliteRow>,
) -> Result<u64, sqlx::Error> {
    let seqs = rows.iter().map(|row| row.try_get("seq"));
    let seqs: Vec<i64> = seqs.collect::<Result<_, _>>()?;
    if !seqs.is_empty() {
        sqlx::query(
            "DELETE FROM details WHERE kept IS NULL AND document IS NULL \
             AND seq IN (SELECT value FROM json_each($1))",
        )
        .bind(json(&seqs))
        .execute(connection)
        .await?;
    }
    Ok(u64::try_from(seqs.len()).unwrap_or(u64::MAX))
}

/// The smallest id that a probe made at this time, in microseconds, can have: ids begin with their time (RFC 9562 §5.7).
pub(super) fn first_id(at: i64) -> [u8; 16] {
    let [_, _, time @ ..] = at.max(0).div_euclid(1000).to_be_bytes();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(time) {
        *to = from;
    }
    id
}

fn json(seqs: &[i64]) -> String {
    serde_json::to_string(seqs).unwrap_or_default()
}

async fn free_pages(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let row = sqlx::query("PRAGMA freelist_count")
        .fetch_one(connection)
        .await?;
    let pages: i64 = row.try_get(0)?;
    Ok(u64::try_from(pages).unwrap_or_default())
}
