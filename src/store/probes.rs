//! Probes as the result document has them, wherever what is known of them is kept.

use jiff::{Span, Timestamp};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::StoreError;
use super::numbers::Words;
use super::prune::first_id;
use super::read::{INSTANCE, Reader, seq};
use super::row::{id, micros, moment, record, unpack, verdict_number};
use crate::probe::name::RouteName;
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;

/// Which probes are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this route alone.
    pub route: Option<RouteName>,
    /// Of this test alone, by its payload with variant.
    pub test: Option<String>,
    /// Of this verdict alone.
    pub verdict: Option<Verdict>,
    /// Only those that have an outcome.
    pub settled: bool,
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
    /// Probes, as the result document has them.
    pub async fn probes(&self, wanted: &Wanted) -> Result<Page, StoreError> {
        let read = async {
            let mut connection = self.pool.begin().await?;
            let reading = Reading::begin(&mut connection).await?;
            let rows = query(wanted).build().fetch_all(&mut *connection).await?;
            let is_full = rows.len() >= usize::try_from(wanted.limit).unwrap_or(usize::MAX);
            let beyond = rows.last().filter(|_| is_full).map(seq).transpose()?;
            let probes = rows.iter().map(|row| reading.object(row));
            let probes = probes.collect::<Result<_, _>>()?;
            Ok(Page { probes, beyond })
        };
        read.await.map_err(self.failed("cannot read its probes"))
    }

    /// The newest result of every test, as the result document has it.
    pub async fn newest(&self) -> Result<Vec<Record>, StoreError> {
        let read = async {
            let mut connection = self.pool.begin().await?;
            let reading = Reading::begin(&mut connection).await?;
            let rows = sqlx::query(
                "SELECT p.*, t.route, t.payload, t.variant, d.document FROM tests t JOIN probes p ON p.seq = \
                 (SELECT seq FROM probes WHERE test = t.test AND outcome IS NOT NULL ORDER BY due DESC LIMIT 1) \
                 LEFT JOIN details d ON d.seq = p.seq ORDER BY t.route, t.name",
            )
            .fetch_all(&mut *connection)
            .await?;
            let records = rows.iter().map(|row| reading.record(row));
            let records = records.collect::<Result<Vec<_>, _>>()?;
            Ok(records.into_iter().flatten().collect())
        };
        read.await.map_err(self.failed("cannot read its probes"))
    }
}

/// What rows are read with.
struct Reading {
    words: Words,
    /// Whose history it is.
    instance: String,
}

impl Reading {
    async fn begin(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let words = Words::load(connection).await?;
        let row = sqlx::query("SELECT value FROM facts WHERE name = $1")
            .bind(INSTANCE)
            .fetch_optional(connection)
            .await?;
        let instance = row.map_or_else(|| Ok(String::new()), |row| row.try_get("value"))?;
        Ok(Self { words, instance })
    }

    /// A row's probe: its document where there is one, else what the row says.
    fn object(&self, row: &SqliteRow) -> Result<Value, sqlx::Error> {
        if let Some(document) = document(row)? {
            return Ok(document);
        }
        match record(row, &self.words, &self.instance)? {
            Some(record) => {
                serde_json::to_value(record).map_err(|error| sqlx::Error::Decode(error.into()))
            }
            None => self.under_way(row),
        }
    }

    /// The same as a record; `None`: it is in flight.
    fn record(&self, row: &SqliteRow) -> Result<Option<Record>, sqlx::Error> {
        match document(row)? {
            Some(document) => Ok(Some(document)),
            None => record(row, &self.words, &self.instance),
        }
    }

    /// A probe without an outcome.
    fn under_way(&self, row: &SqliteRow) -> Result<Value, sqlx::Error> {
        Ok(serde_json::json!({
            "id": id(row, "id")?,
            "instance": self.instance,
            "route": row.try_get::<&str, _>("route")?,
            "payload": row.try_get::<Option<&str>, _>("payload")?,
            "variant": row.try_get::<&str, _>("variant")?,
            "outcome": null,
            "verdict": null,
            "code": null,
            "reason": null,
            "due_at": moment(row.try_get("due")?),
        }))
    }
}

/// The document that is kept beside a row. One that cannot be read is as good as none: the row still says the most.
fn document<T: serde::de::DeserializeOwned>(row: &SqliteRow) -> Result<Option<T>, sqlx::Error> {
    let Some(packed) = row.try_get::<Option<&[u8]>, _>("document")? else {
        return Ok(None);
    };
    let text = unpack(packed);
    let document = text.and_then(|text| Ok(serde_json::from_slice(&text)?));
    Ok(document
        .inspect_err(|error| tracing::warn!("a document of the history cannot be read: {error}"))
        .ok())
}

/// Finds the places of those that are wanted, by the index that leads there soonest, and then the rows.
fn query(wanted: &Wanted) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT p.*, t.route, t.payload, t.variant, d.document FROM probes p \
         JOIN tests t USING (test) LEFT JOIN details d ON d.seq = p.seq \
         WHERE p.seq IN (SELECT seq FROM probes ",
    );
    let is_of_few_tests = wanted.route.is_some() || wanted.test.is_some();
    if is_of_few_tests {
        query.push("INDEXED BY probes_of_test WHERE test IN (SELECT test FROM tests WHERE 1");
        if let Some(route) = &wanted.route {
            query
                .push(" AND route = ")
                .push_bind(route.as_str().to_owned());
        }
        if let Some(test) = &wanted.test {
            query.push(" AND name = ").push_bind(test.clone());
        }
        query.push(")");
    } else if wanted
        .verdict
        .is_some_and(|verdict| verdict != Verdict::Pass)
    {
        query.push("INDEXED BY probes_amiss WHERE verdict <> 1");
    } else {
        query.push("NOT INDEXED WHERE 1");
    }
    if let Some(verdict) = wanted.verdict {
        query
            .push(" AND verdict = ")
            .push_bind(verdict_number(verdict));
    }
    if wanted.settled {
        query.push(" AND outcome IS NOT NULL");
    }
    if let Some(from) = wanted.from {
        query.push(" AND due >= ").push_bind(micros(from));
        if !is_of_few_tests {
            let id = first_id(micros(from.saturating_sub(a_day()).unwrap_or(from)));
            query.push(" AND seq >= (SELECT seq FROM probes WHERE id >= ");
            query.push_bind(id.to_vec()).push(" ORDER BY id LIMIT 1)");
        }
    }
    if let Some(to) = wanted.to {
        query.push(" AND due < ").push_bind(micros(to));
        if !is_of_few_tests {
            let id = first_id(micros(to.saturating_add(a_day()).unwrap_or(to)));
            query.push(" AND seq <= (SELECT seq FROM probes WHERE id < ");
            query
                .push_bind(id.to_vec())
                .push(" ORDER BY id DESC LIMIT 1)");
        }
    }
    let (side, order) = if wanted.oldest_first {
        (" AND seq > ", " ORDER BY seq")
    } else {
        (" AND seq < ", " ORDER BY seq DESC")
    };
    if let Some(beyond) = wanted.beyond {
        query
            .push(side)
            .push_bind(i64::try_from(beyond).unwrap_or(i64::MAX));
    }
    query.push(order).push(" LIMIT ").push_bind(wanted.limit);
    query.push(")").push(order.replace("seq", "p.seq"));
    query
}

/// A probe starts less than this before or after it was due, and its id is made then.
fn a_day() -> Span {
    Span::new().hours(24)
}
