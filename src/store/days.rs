//! Reckoning over a time: whole days from what was reckoned of them, the rest from the probes themselves.

use std::collections::BTreeMap;

use hdrhistogram::serialization::Deserializer;
use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::StoreError;
use super::numbers::{Words, key};
use super::read::Reader;
use super::row::{micros, moment};
use super::stats::{DayStats, Kind, Span, Stats};
use super::transaction::{begin, end};
use super::write::Writer;
use crate::probe::state::TestKey;

/// A day, in microseconds.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The tests by their number.
async fn numbered_tests(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<i64, TestKey>, sqlx::Error> {
    let rows = sqlx::query("SELECT test, route, name FROM tests").fetch_all(connection);
    let mut tests = BTreeMap::new();
    for row in rows.await? {
        tests.insert(row.try_get("test")?, key(&row)?);
    }
    Ok(tests)
}

/// A row a probe would cost more than to look at it: a test's are handed over as one text.
const OF_PROBES: &str = "SELECT t.test, group_concat(p.outcome || ' ' || p.verdict || ' ' || p.code || ' ' \
     || coalesce(p.round_trip, '-'), ';') AS ends \
     FROM tests t CROSS JOIN probes p INDEXED BY probes_of_test \
     WHERE p.test = t.test AND p.due >= $1 AND p.due < $2 AND p.outcome IS NOT NULL \
     AND ($3 IS NULL OR t.test = $3) GROUP BY t.test";

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
    let rows = sqlx::query(OF_PROBES)
        .bind(from)
        .bind(to)
        .bind(test)
        .fetch_all(connection)
        .await?;
    for row in rows {
        let stats = into.entry(row.try_get("test")?).or_default();
        let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
        let ends: &str = row.try_get("ends")?;
        for end in ends.split(';') {
            let mut numbers = end.split(' ').map(|number| number.parse().ok());
            let mut next = || numbers.next().flatten();
            let (Some(outcome), Some(verdict), Some(code)) = (next(), next(), next()) else {
                continue;
            };
            let kind = Kind {
                outcome,
                verdict,
                code,
            };
            *kinds.entry(kind).or_default() += 1;
            if let Some(round_trip) = next().and_then(|micros| u64::try_from(micros).ok()) {
                stats.record(round_trip);
            }
        }
        for (kind, count) in kinds {
            stats.count(kind, count, words);
        }
    }
    Ok(())
}

/// How far the history is reckoned, and since when it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The days before this one are reckoned.
    pub(super) days_until: i64,
    /// Of the time before, in microseconds, probes are gone.
    pub(super) whole_since: i64,
}

impl Limits {
    const DAYS_UNTIL: &str = "days_until";
    const WHOLE_SINCE: &str = "whole_since";

    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let mut limits = Self {
            days_until: i64::MIN / DAY,
            whole_since: i64::MIN,
        };
        let rows = sqlx::query(
            "SELECT name, CAST(value AS INTEGER) AS value FROM facts WHERE name IN ($1, $2)",
        )
        .bind(Self::DAYS_UNTIL)
        .bind(Self::WHOLE_SINCE)
        .fetch_all(connection);
        for row in rows.await? {
            let limit = if row.try_get::<&str, _>("name")? == Self::DAYS_UNTIL {
                &mut limits.days_until
            } else {
                &mut limits.whole_since
            };
            *limit = row.try_get("value")?;
        }
        Ok(limits)
    }

    pub(super) async fn store(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for (name, value) in [
            (Self::DAYS_UNTIL, self.days_until),
            (Self::WHOLE_SINCE, self.whole_since),
        ] {
            sqlx::query("INSERT OR REPLACE INTO facts (name, value) VALUES ($1, CAST($2 AS TEXT))")
                .bind(name)
                .bind(value)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Whether this day was reckoned and still can be.
    pub(super) fn can_be_stale(self, day: i64) -> bool {
        day < self.days_until && day.saturating_mul(DAY) >= self.whole_since
    }

    /// Where a time is cut: of what is no longer whole, only between two days.
    fn cut(self, at: i64) -> i64 {
        if at < self.whole_since {
            (at + DAY / 2).div_euclid(DAY) * DAY
        } else {
            at
        }
    }
}

/// Reckons the time from `from` up to `to`: whole days that are reckoned already from the days. Of a last day that is there
/// for the most part, the rest is taken away again.
async fn reckon(
    connection: &mut SqliteConnection,
    words: &Words,
    (from, to): (i64, i64),
    limits: Limits,
    deserializer: &mut Deserializer,
) -> Result<BTreeMap<i64, Stats>, sqlx::Error> {
    let mut stats: BTreeMap<i64, Stats> = BTreeMap::new();
    let (from, to) = (limits.cut(from), limits.cut(to));
    let first = from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) != 0);
    let (ended, of_it) = (to.div_euclid(DAY), to.rem_euclid(DAY));
    let is_most = of_it > DAY / 2 && ended < limits.days_until;
    let last = (ended + i64::from(is_most)).min(limits.days_until);
    if first >= last {
        from_probes(connection, words, None, (from, to), &mut stats).await?;
        return Ok(stats);
    }
    from_probes(connection, words, None, (from, first * DAY), &mut stats).await?;
    from_probes(connection, words, None, (last * DAY, to), &mut stats).await?;
    let mut rest = BTreeMap::new();
    from_probes(connection, words, None, (to, last * DAY), &mut rest).await?;
    let rows = sqlx::query(
        "SELECT d.* FROM tests t CROSS JOIN days d \
         WHERE d.test = t.test AND d.day >= $1 AND d.day < $2",
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
    for (test, rest) in rest {
        if let Some(stats) = stats.get_mut(&test) {
            stats.take_away(&rest);
        }
    }
    stats.retain(|_, stats| stats.probes() > 0);
    Ok(stats)
}

impl Reader {
    /// What came of every test's probes that were due in each of these times.
    pub async fn stats(&self, spans: &[Span]) -> Result<Vec<DayStats>, StoreError> {
        let reckoned = async {
            // All from one moment: a day may be reckoned, or probes may go, meanwhile.
            let mut connection = self.pool.begin().await?;
            let words = Words::load(&mut connection).await?;
            let tests = numbered_tests(&mut connection).await?;
            let limits = Limits::load(&mut connection).await?;
            let mut deserializer = Deserializer::new();
            let mut all = Vec::with_capacity(spans.len());
            for span in spans {
                let span = (micros(span.from), micros(span.to));
                let stats =
                    reckon(&mut connection, &words, span, limits, &mut deserializer).await?;
                let named = stats
                    .into_iter()
                    .filter_map(|(test, stats)| Some((tests.get(&test)?.clone(), stats)));
                all.push(named.collect());
            }
            Ok(all)
        };
        reckoned.await.map_err(self.failed("cannot reckon over it"))
    }

    /// Every test that was ever heard of.
    pub async fn tests(&self) -> Result<Vec<TestKey>, StoreError> {
        let tests = async { numbered_tests(&mut *self.pool.acquire().await?).await };
        let tests = tests.await.map_err(self.failed("cannot read its tests"))?;
        Ok(tests.into_values().collect())
    }

    /// When its first probe was due, as far as it still knows: to the day (UTC); `None`: there is none.
    pub async fn begins(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(
            "SELECT min(coalesce(min(day, due / $1), day, due / $1)) AS first FROM (SELECT \
             (SELECT day FROM days d WHERE d.test = t.test ORDER BY day LIMIT 1) AS day, \
             (SELECT due FROM probes p WHERE p.test = t.test ORDER BY due LIMIT 1) AS due FROM tests t)",
        )
        .bind(DAY)
        .fetch_one(&self.pool)
        .await;
        let first = row.and_then(|row| row.try_get::<Option<i64>, _>("first"));
        let first = first.map_err(self.failed("cannot read where it begins"))?;
        Ok(first.map(|day| moment(day * DAY)))
    }

    /// Since when every probe is there. Of the time before, only whole days (UTC) are known, and [`Reader::stats`] cuts
    /// there to the nearest; `None`: no probe has gone yet.
    pub async fn whole_since(&self) -> Result<Option<Timestamp>, StoreError> {
        let limits = async { Limits::load(&mut *self.pool.acquire().await?).await };
        let limits = limits
            .await
            .map_err(self.failed("cannot read where it begins"))?;
        Ok((limits.whole_since != i64::MIN).then(|| moment(limits.whole_since)))
    }
}

impl Writer {
    /// Reckons one day that is over, if there is one to be reckoned. Whether there was.
    pub async fn reckon(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let today = micros(now).div_euclid(DAY);
        let limits = self.limits();
        let reckoned = async {
            begin(&mut self.connection).await?;
            let reckoned = reckon_a_day(&mut self.connection, limits, today).await;
            end(&mut self.connection, reckoned).await
        };
        let reckoned = reckoned.await;
        let reckoned = reckoned.map_err(StoreError::at(&self.path, "cannot reckon its days"))?;
        if let Some(limits) = reckoned {
            self.set_limits(limits);
        }
        Ok(reckoned.is_some())
    }
}

/// Reckons a day that has become wrong, or else the next. What is reckoned then; `None`: there was nothing to do.
async fn reckon_a_day(
    connection: &mut SqliteConnection,
    mut limits: Limits,
    today: i64,
) -> Result<Option<Limits>, sqlx::Error> {
    let words = Words::load(connection).await?;
    let mut stats = BTreeMap::new();
    let stale =
        sqlx::query("SELECT test, day FROM days INDEXED BY days_stale WHERE pass < 0 LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?;
    let (day, test) = if let Some(row) = stale {
        let test = row.try_get("test")?;
        stats.insert(test, Stats::default());
        (row.try_get("day")?, Some(test))
    } else {
        // There may be years between two probes.
        let next = sqlx::query(
            "SELECT min((SELECT due FROM probes p WHERE p.test = t.test AND due >= $1 ORDER BY due LIMIT 1)) AS due \
             FROM tests t",
        )
        .bind(limits.days_until * DAY)
        .fetch_one(&mut *connection)
        .await?;
        let next: Option<i64> = next.try_get("due")?;
        let Some(day) = next
            .map(|due| due.div_euclid(DAY))
            .filter(|day| *day < today)
        else {
            return Ok(None);
        };
        limits.days_until = day + 1;
        (day, None)
    };
    let span = (day * DAY, (day + 1) * DAY);
    from_probes(connection, &words, test, span, &mut stats).await?;
    for (test, stats) in stats {
        keep(connection, (test, day), &stats).await?;
    }
    limits.store(connection).await?;
    Ok(Some(limits))
}

async fn keep(
    connection: &mut SqliteConnection,
    (test, day): (i64, i64),
    stats: &Stats,
) -> Result<(), sqlx::Error> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = |counts| serde_json::to_string(counts).unwrap_or_default();
    sqlx::query(
        "INSERT OR REPLACE INTO days (test, day, pass, warn, fail, unknown, outcomes, codes, round_trips) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(test)
    .bind(day)
    .bind(count(stats.pass))
    .bind(count(stats.warn))
    .bind(count(stats.fail))
    .bind(count(stats.unknown))
    .bind(counts(&stats.outcomes))
    .bind(counts(&stats.codes))
    .bind(stats.packed())
    .execute(connection)
    .await?;
    Ok(())
}
