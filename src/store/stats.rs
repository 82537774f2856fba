//! How often a test passed over a time, and how long its copies took: whole days from what was reckoned of them, the rest
//! from the probes themselves.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::StoreError;
use super::read::Reader;
use super::row::{micros, milliseconds};
use super::write::Words;
use crate::probe::outcome::Verdict;
use crate::probe::state::TestKey;

/// A day, in microseconds.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Significant digits of a round trip in a histogram: 1%.
const DIGITS: u8 = 2;

/// From one moment up to another, which is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// It begins.
    pub from: Timestamp,
    /// It is over.
    pub to: Timestamp,
}

/// What came of a test's probes over a time.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Probes that passed.
    pub pass: u64,
    /// Probes that passed with a warning.
    pub warn: u64,
    /// Probes that failed.
    pub fail: u64,
    /// Probes of which nothing can be said.
    pub unknown: u64,
    /// How often each outcome came.
    pub outcomes: BTreeMap<String, u64>,
    /// The round trips of the copies that came, in microseconds.
    round_trips: Option<Histogram<u32>>,
}

/// The statistics of every test that had a probe.
pub type DayStats = BTreeMap<TestKey, Stats>;

impl Stats {
    /// Probes of which something can be said.
    pub fn judged(&self) -> u64 {
        self.pass + self.warn + self.fail
    }

    /// The share of them that passed, with a warning or without; `None` where nothing can be said.
    pub fn availability(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "probes are far fewer than 2^52")]
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let judged = self.judged();
        (judged > 0).then(|| share(self.pass + self.warn, judged))
    }

    /// The round trip that this share of the copies did not exceed, in milliseconds to 1%; `None` where none came.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let round_trips = self.round_trips.as_ref().filter(|it| !it.is_empty())?;
        let micros = round_trips.value_at_quantile(share);
        i64::try_from(micros).ok().map(milliseconds)
    }

    /// How many copies came.
    pub fn copies(&self) -> u64 {
        self.round_trips.as_ref().map_or(0, Histogram::len)
    }

    /// Adds those of another time, or of another test.
    pub fn add(&mut self, other: &Self) {
        self.pass += other.pass;
        self.warn += other.warn;
        self.fail += other.fail;
        self.unknown += other.unknown;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        if let Some(others) = &other.round_trips {
            match &mut self.round_trips {
                // Histograms of one precision that grow by themselves always fit.
                Some(own) => drop(own.add(others)),
                own @ None => *own = Some(others.clone()),
            }
        }
    }

    fn count(&mut self, verdict: Verdict, outcome: &str, round_trip: Option<i64>) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Warn => self.warn += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Unknown => self.unknown += 1,
        }
        match self.outcomes.get_mut(outcome) {
            Some(count) => *count += 1,
            None => drop(self.outcomes.insert(outcome.to_owned(), 1)),
        }
        if let Some(micros) = round_trip.and_then(|micros| u64::try_from(micros).ok()) {
            let own = &mut self.round_trips;
            if own.is_none() {
                *own = Histogram::new(DIGITS).ok();
            }
            if let Some(own) = own {
                own.saturating_record(micros);
            }
        }
    }

    /// The round trips as the database keeps them.
    pub(super) fn packed(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        if let Some(round_trips) = &self.round_trips {
            // Writing to memory does not fail.
            let _ = V2Serializer::new().serialize(round_trips, &mut packed);
        }
        packed
    }

    /// The outcomes as the database keeps them.
    pub(super) fn outcomes_json(&self) -> String {
        serde_json::to_string(&self.outcomes).unwrap_or_default()
    }

    fn of_day(row: &SqliteRow, deserializer: &mut Deserializer) -> Result<Self, sqlx::Error> {
        let count = |column: &str| {
            let count: i64 = row.try_get(column)?;
            Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
        };
        let packed: &[u8] = row.try_get("round_trips")?;
        let outcomes: &str = row.try_get("outcomes")?;
        Ok(Self {
            pass: count("pass")?,
            warn: count("warn")?,
            fail: count("fail")?,
            unknown: count("unknown")?,
            outcomes: serde_json::from_str(outcomes).unwrap_or_default(),
            round_trips: deserializer.deserialize(&mut &*packed).ok(),
        })
    }
}

/// The tests by their number.
pub(super) async fn tests(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<i64, TestKey>, sqlx::Error> {
    let rows = sqlx::query("SELECT test, route, name FROM tests").fetch_all(connection);
    let mut tests = BTreeMap::new();
    for row in rows.await? {
        let key = TestKey {
            route: row.try_get::<&str, _>("route")?.into(),
            test: row.try_get::<&str, _>("name")?.into(),
        };
        tests.insert(row.try_get("test")?, key);
    }
    Ok(tests)
}

/// Reckons the time from `from` up to `to` from the probes themselves; one test's, or all.
pub(super) async fn from_probes(
    connection: &mut SqliteConnection,
    words: &Words,
    test: Option<i64>,
    (from, to): (i64, i64),
    into: &mut BTreeMap<i64, Stats>,
) -> Result<(), sqlx::Error> {
    if from >= to {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT t.test, p.outcome, p.verdict, p.round_trip FROM tests t CROSS JOIN probes p \
         WHERE p.test = t.test AND p.due >= $1 AND p.due < $2 AND p.outcome IS NOT NULL \
         AND ($3 IS NULL OR t.test = $3)",
    )
    .bind(from)
    .bind(to)
    .bind(test)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let verdict = words.text(row.try_get(2)?).and_then(super::row::parse);
        let Some(verdict) = verdict else { continue };
        let outcome = words.text(row.try_get(1)?).unwrap_or_default();
        let stats = into.entry(row.try_get(0)?).or_default();
        stats.count(verdict, outcome, row.try_get(3)?);
    }
    Ok(())
}

/// Reckons the time from `from` up to `to`: whole days that are reckoned already from the days.
async fn reckon(
    connection: &mut SqliteConnection,
    words: &Words,
    (from, to): (i64, i64),
    deserializer: &mut Deserializer,
) -> Result<BTreeMap<i64, Stats>, sqlx::Error> {
    let mut stats: BTreeMap<i64, Stats> = BTreeMap::new();
    let until = super::upkeep::days_until(connection).await?;
    let first = from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) != 0);
    let last = to.div_euclid(DAY).min(until);
    if first >= last {
        from_probes(connection, words, None, (from, to), &mut stats).await?;
        return Ok(stats);
    }
    from_probes(connection, words, None, (from, first * DAY), &mut stats).await?;
    from_probes(connection, words, None, (last * DAY, to), &mut stats).await?;
    let rows = sqlx::query(
        "SELECT test, day, pass, warn, fail, unknown, outcomes, round_trips FROM days \
         WHERE day >= $1 AND day < $2",
    )
    .bind(first)
    .bind(last)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let test: i64 = row.try_get("test")?;
        if row.try_get::<i64, _>("pass")? < 0 {
            let day: i64 = row.try_get("day")?;
            let span = (day * DAY, (day + 1) * DAY);
            from_probes(connection, words, Some(test), span, &mut stats).await?;
            continue;
        }
        let day = Stats::of_day(&row, deserializer)?;
        stats.entry(test).or_default().add(&day);
    }
    Ok(stats)
}

impl Reader {
    /// What came of every test's probes that were due in each of these times.
    pub async fn stats(&self, spans: &[Span]) -> Result<Vec<DayStats>, StoreError> {
        let reckoned = async {
            let mut connection = self.pool.acquire().await?;
            let words = Words::load(&mut connection).await?;
            let tests = tests(&mut connection).await?;
            let mut deserializer = Deserializer::new();
            let mut all = Vec::with_capacity(spans.len());
            for span in spans {
                let span = (micros(span.from), micros(span.to));
                let stats = reckon(&mut connection, &words, span, &mut deserializer).await?;
                let named = stats
                    .into_iter()
                    .filter_map(|(test, stats)| Some((tests.get(&test)?.clone(), stats)));
                all.push(named.collect());
            }
            Ok(all)
        };
        reckoned.await.map_err(self.failed("cannot reckon over it"))
    }
}
