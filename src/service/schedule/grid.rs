//! Times at even distances, and the mapping between the clocks.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Stamp;

/// Times at even distances.
///
/// On the wall clock they are the multiples of the period since the epoch, moved by an offset: a restart finds the same
/// ones. From then on they live on the monotonic clock, where no clock that is set changes a distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// One of its times; none before it is asked for.
    anchor: Instant,
    period: Duration,
}

impl Grid {
    /// The grid whose next time lies within a period from `now`, where the wall clock puts it.
    pub(super) fn placed(period: Duration, hash: u64, now: Stamp) -> Self {
        let phase = Phase::new(period, hash);
        let elapsed = phase.shifted(now.wall).rem_euclid(phase.period);
        Self {
            anchor: now.mono + nanos(phase.period - elapsed),
            period,
        }
    }

    /// The grid whose first time lies one period after `now`.
    pub(super) fn starting(period: Duration, now: Stamp) -> Self {
        let anchor = now.mono + period;
        Self { anchor, period }
    }

    pub(super) fn period(self) -> Duration {
        self.period
    }

    /// The first of its times after another.
    pub(super) fn after(self, moment: Instant) -> Instant {
        match moment.checked_duration_since(self.anchor) {
            None => self.anchor,
            Some(past) => moment + self.period.saturating_sub(remainder(past, self.period)),
        }
    }

    /// How many of its times lie after one of them and not after `until`, and the last of these.
    pub(super) fn further(self, from: Instant, until: Instant) -> (u64, Instant) {
        let past = until.saturating_duration_since(from);
        let count = past.as_nanos() / self.period.as_nanos().max(1);
        let last = from + past.saturating_sub(remainder(past, self.period));
        (u64::try_from(count).unwrap_or(u64::MAX), last)
    }
}

/// Where the times of a grid lie on the wall clock; in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    period: i128,
    offset: i128,
}

impl Phase {
    /// The offset is a whole number of milliseconds below the period.
    pub(super) fn new(period: Duration, hash: u64) -> Self {
        Self {
            period: i128::try_from(period.as_nanos())
                .unwrap_or(i128::MAX)
                .max(1),
            offset: i128::try_from(spread(hash, period).as_nanos()).unwrap_or(0),
        }
    }

    fn shifted(self, moment: Timestamp) -> i128 {
        moment.as_nanosecond() - self.offset
    }

    /// Its times up to `until` that were not run, the last run having been at `last`; the newest first.
    ///
    /// A time less than half a period after the last run counts as that run: the wall clock was corrected meanwhile,
    /// or it was the first run of a line, which is on no grid.
    pub(super) fn missed(
        self,
        last: Timestamp,
        until: Timestamp,
    ) -> impl ExactSizeIterator<Item = Timestamp> {
        let ran = (self.shifted(last) + self.period / 2).div_euclid(self.period);
        let newest = self.shifted(until).div_euclid(self.period);
        let count = usize::try_from(newest.saturating_sub(ran)).unwrap_or(0);
        (0..count).map(move |back| {
            let index = newest - i128::try_from(back).unwrap_or(0);
            let moment = index.saturating_mul(self.period) + self.offset;
            Timestamp::from_nanosecond(moment).unwrap_or(until)
        })
    }
}

/// A duration below another, in whole milliseconds, as a hash has it.
pub(super) fn spread(hash: u64, below: Duration) -> Duration {
    let millis = u64::try_from(below.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hash % millis)
}

fn remainder(past: Duration, period: Duration) -> Duration {
    let rest = past.as_nanos() % period.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
}

fn nanos(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// How far the wall clock went beyond the monotonic one between two moments.
pub(super) fn jump(from: Stamp, to: Stamp) -> SignedDuration {
    let passed = SignedDuration::try_from(to.since(from)).unwrap_or_default();
    to.wall.duration_since(from.wall).saturating_sub(passed)
}

/// The monotonic instant of a wall time, by what both clocks said at `origin`; `None` beyond what the clock can hold.
pub(super) fn mono_at(origin: Stamp, wall: Timestamp) -> Option<Instant> {
    let ahead = wall.duration_since(origin.wall);
    if ahead.is_negative() {
        Some(
            origin
                .mono
                .checked_sub(ahead.unsigned_abs())
                .unwrap_or(origin.mono),
        )
    } else {
        origin.mono.checked_add(ahead.unsigned_abs())
    }
}
