//! Whether the file is sound, and what is in it.

#![expect(
    clippy::disallowed_methods,
    reason = "`mailrobin store` alone asks for it, and has nothing else to do"
)]

use std::fs;

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::read::Reader;
use super::row::moment;
use super::{StoreError, beside, is_corruption};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong with it; nothing: it is sound.
    pub problems: Vec<String>,
    /// The version of its schema; `None`: it cannot be read.
    pub schema: Option<i64>,
    /// What is in it; `None`: it cannot be counted.
    pub counts: Option<Counts>,
    /// How many bytes it takes on the disk.
    pub bytes: u64,
}

/// What is in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Probes, those in flight too.
    pub probes: u64,
    /// Probes in flight.
    pub in_flight: u64,
    /// Probes of which there is more than their row.
    pub details: u64,
    /// Days of a test that are reckoned.
    pub days: u64,
    /// Incidents.
    pub incidents: u64,
    /// Notices that are still to go out.
    pub outbox: u64,
    /// When the oldest probe was due.
    pub oldest: Option<Timestamp>,
    /// When the newest was.
    pub newest: Option<Timestamp>,
}

impl Reader {
    /// Reads everything and says what is wrong with it. Takes its time.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let checked = async {
            let mut connection = self.pool.acquire().await?;
            let mut problems = Vec::new();
            noted(integrity(&mut connection).await, &mut problems)?
                .into_iter()
                .flatten()
                .for_each(|problem| problems.push(problem));
            noted(strays(&mut connection).await, &mut problems)?
                .into_iter()
                .flatten()
                .for_each(|problem| problems.push(problem));
            let schema = noted(schema(&mut connection).await, &mut problems)?;
            let counts = noted(counts(&mut connection).await, &mut problems)?;
            let bytes = [self.path.clone(), beside(&self.path, "-wal")]
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|facts| facts.len())
                .sum();
            Ok(Checked {
                problems,
                schema,
                counts,
                bytes,
            })
        };
        checked.await.map_err(self.failed("cannot check it"))
    }
}

/// Damage is a problem among others, where something is read of a file that has some.
fn noted<T>(
    read: Result<T, sqlx::Error>,
    problems: &mut Vec<String>,
) -> Result<Option<T>, sqlx::Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_corruption(&error) => {
            let problem = error.to_string();
            if !problems.contains(&problem) {
                problems.push(problem);
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What `SQLite` finds.
async fn integrity(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("PRAGMA integrity_check(100)")
        .fetch_all(connection)
        .await?;
    let said = rows.iter().map(|row| row.try_get::<String, _>(0));
    let mut problems = said.collect::<Result<Vec<_>, _>>()?;
    problems.retain(|problem| problem != "ok");
    Ok(problems)
}

/// Rows that speak of others which are not there.
async fn strays(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT \"table\" AS named, parent, count(*) AS rows FROM pragma_foreign_key_check GROUP BY 1, 2 \
         UNION ALL SELECT 'details', 'probes', count(*) FROM details d \
         WHERE NOT EXISTS (SELECT 1 FROM probes p WHERE p.seq = d.seq) HAVING count(*) > 0",
    )
    .fetch_all(connection)
    .await?;
    let stray = |row: &sqlx::sqlite::SqliteRow| {
        let (named, parent): (&str, &str) = (row.try_get("named")?, row.try_get("parent")?);
        let rows: i64 = row.try_get("rows")?;
        Ok(format!(
            "{rows} rows of {named} belong to {parent} that are not there"
        ))
    };
    rows.iter().map(stray).collect()
}

async fn schema(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?;
    row.try_get("version")
}

async fn counts(connection: &mut SqliteConnection) -> Result<Counts, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM probes) AS probes, \
         (SELECT count(*) FROM probes WHERE outcome IS NULL) AS in_flight, \
         (SELECT count(*) FROM details) AS details, \
         (SELECT count(*) FROM days WHERE pass >= 0) AS days, \
         (SELECT count(*) FROM incidents) AS incidents, \
         (SELECT count(*) FROM outbox) AS outbox, \
         (SELECT min(due) FROM probes) AS oldest, \
         (SELECT max(due) FROM probes) AS newest",
    )
    .fetch_one(connection)
    .await?;
    let count = |column: &str| {
        let count: i64 = row.try_get(column)?;
        Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
    };
    let at =
        |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(moment));
    Ok(Counts {
        probes: count("probes")?,
        in_flight: count("in_flight")?,
        details: count("details")?,
        days: count("days")?,
        incidents: count("incidents")?,
        outbox: count("outbox")?,
        oldest: at("oldest")?,
        newest: at("newest")?,
    })
}
