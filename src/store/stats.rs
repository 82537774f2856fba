//! How often a test passed over a time, and how long its copies took.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::numbers::Words;
use super::row::{milliseconds, verdict_number};
use crate::probe::outcome::{Code, Verdict};
use crate::probe::state::TestKey;

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

/// How a probe ended, in the numbers of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) outcome: i64,
    pub(super) verdict: i64,
    pub(super) code: i64,
}

const PASS: i64 = verdict_number(Verdict::Pass);
const WARN: i64 = verdict_number(Verdict::Warn);
const FAIL: i64 = verdict_number(Verdict::Fail);

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
    /// How often each reason code did.
    pub codes: BTreeMap<String, u64>,
    /// The round trips of the copies that came, in microseconds.
    round_trips: Option<Histogram<u32>>,
}

/// The statistics of every test that had a probe.
pub type DayStats = BTreeMap<TestKey, Stats>;

impl Stats {
    /// All of the probes.
    pub fn probes(&self) -> u64 {
        self.pass + self.warn + self.fail + self.unknown
    }

    /// Probes that passed because nobody said what should become of their payload.
    pub fn only_reported(&self) -> u64 {
        let count = self.codes.get(Code::NotJudged.as_str()).copied();
        count.unwrap_or_default().min(self.pass)
    }

    /// Probes of which something can be said.
    pub fn judged(&self) -> u64 {
        self.pass + self.warn + self.fail - self.only_reported()
    }

    /// The share of them that passed, with a warning or without; `None` where nothing can be said.
    pub fn availability(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "probes are far fewer than 2^52")]
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let judged = self.judged();
        (judged > 0).then(|| share(judged - self.fail, judged))
    }

    /// The round trip that this share of the copies did not exceed, in milliseconds to 1%; `None` where none came.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let round_trips = self.round_trips.as_ref().filter(|it| !it.is_empty())?;
        let micros = round_trips.median_equivalent(round_trips.value_at_quantile(share));
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
        for (own, others) in [
            (&mut self.outcomes, &other.outcomes),
            (&mut self.codes, &other.codes),
        ] {
            for (word, count) in others {
                *own.entry(word.clone()).or_default() += count;
            }
        }
        if let Some(others) = &other.round_trips {
            match &mut self.round_trips {
                // Histograms of one precision that grow by themselves always fit.
                Some(own) => drop(own.add(others)),
                own @ None => *own = Some(others.clone()),
            }
        }
    }

    /// Takes those of a part of its time away again.
    pub(super) fn take_away(&mut self, part: &Self) {
        self.pass = self.pass.saturating_sub(part.pass);
        self.warn = self.warn.saturating_sub(part.warn);
        self.fail = self.fail.saturating_sub(part.fail);
        self.unknown = self.unknown.saturating_sub(part.unknown);
        for (own, parts) in [
            (&mut self.outcomes, &part.outcomes),
            (&mut self.codes, &part.codes),
        ] {
            for (word, count) in parts {
                if let Some(own) = own.get_mut(word) {
                    *own = own.saturating_sub(*count);
                }
            }
            own.retain(|_, count| *count > 0);
        }
        if let (Some(own), Some(parts)) = (&mut self.round_trips, &part.round_trips) {
            // What is a part of it can be taken away.
            let _ = own.subtract(parts);
        }
    }

    pub(super) fn count(&mut self, kind: Kind, count: u64, words: &Words) {
        let of_verdict = match kind.verdict {
            PASS => &mut self.pass,
            WARN => &mut self.warn,
            FAIL => &mut self.fail,
            _ => &mut self.unknown,
        };
        *of_verdict += count;
        for (own, word) in [
            (&mut self.outcomes, kind.outcome),
            (&mut self.codes, kind.code),
        ] {
            let word = words.text(word).unwrap_or_default();
            *own.entry(word.to_owned()).or_default() += count;
        }
    }

    pub(super) fn record(&mut self, round_trip: u64) {
        let own = &mut self.round_trips;
        if own.is_none() {
            *own = Histogram::new(DIGITS).ok();
        }
        if let Some(own) = own {
            // It grows as far as it has to: to saturate would cut off at what it held so far.
            let _ = own.record(round_trip);
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

    /// From a row of the days.
    pub(super) fn of_day(
        row: &SqliteRow,
        deserializer: &mut Deserializer,
    ) -> Result<Self, sqlx::Error> {
        let count = |column: &str| {
            let count: i64 = row.try_get(column)?;
            Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
        };
        let counts = |column: &str| {
            let text: &str = row.try_get(column)?;
            Ok::<_, sqlx::Error>(serde_json::from_str(text).unwrap_or_default())
        };
        let packed: &[u8] = row.try_get("round_trips")?;
        Ok(Self {
            pass: count("pass")?,
            warn: count("warn")?,
            fail: count("fail")?,
            unknown: count("unknown")?,
            outcomes: counts("outcomes")?,
            codes: counts("codes")?,
            round_trips: unpacked(packed, deserializer),
        })
    }
}

/// What [`Stats::packed`] made.
fn unpacked(mut packed: &[u8], deserializer: &mut Deserializer) -> Option<Histogram<u32>> {
    let mut round_trips: Histogram<u32> = deserializer.deserialize(&mut packed).ok()?;
    // It does not say of itself that it may grow, and another day's round trips may be longer.
    round_trips.auto(true);
    Some(round_trips)
}
