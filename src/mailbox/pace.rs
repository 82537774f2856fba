//! When to look next: often while a probe is young, then so that the resolution stays near 2% of the time waited, and
//! never more often than a stranger's server will bear.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Interest;
use crate::net::back_off;
use crate::probe::facts::{Blindness, is_local};

/// The first and the longest time between attempts to come back to a mailbox.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Where the last look found something, more is likely to follow: the next comes after this share of the usual time.
const FLOWING: u32 = 4;
/// Of the time waited, the resolution.
const SHARE: u32 = 50;
/// Looks a minute that a server outside our own network is asked for on average.
const PUBLIC_RATE: Duration = Duration::from_secs(1);
/// Looks that may come at once before that average holds.
const PUBLIC_BURST: f64 = 15.0;

/// A service comes back this often to a mailbox that only a person can mend: somebody may have. Servers lock out who tries more.
pub const MENDED: Duration = Duration::from_mins(10);

/// The pace of one mailbox.
#[derive(Clone, Debug)]
pub struct Pace {
    slowest: Duration,
    fastest: Duration,
    is_local: bool,
    credit: f64,
    counted: Instant,
    flowing: bool,
}

impl Pace {
    /// `slowest`: how seldom it is looked at while a probe is out; `fastest`: how often at most.
    pub fn new(slowest: Duration, fastest: Duration, now: Instant) -> Self {
        Self {
            slowest,
            fastest: fastest.min(slowest),
            is_local: true,
            credit: PUBLIC_BURST,
            counted: now,
            flowing: false,
        }
    }

    /// The server is the one at this address.
    pub fn meet(&mut self, peer: Option<SocketAddr>) {
        self.is_local = peer.is_none_or(|peer| is_local(peer.ip()));
    }

    /// The last look found something, or not.
    pub fn found(&mut self, something: bool) {
        self.flowing = something;
    }

    /// A look is begun now.
    pub fn looked(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.credit = (self.credit + passed.as_secs_f64() / PUBLIC_RATE.as_secs_f64())
            .min(PUBLIC_BURST)
            - 1.0;
        self.counted = now;
    }

    /// When to look next, if at all, after a look that was begun at `last`.
    pub fn next(&self, interest: &Interest, last: Instant) -> Option<Instant> {
        let youngest = interest.youngest?;
        let waited = last.saturating_duration_since(youngest);
        let mut interval = (waited / SHARE).clamp(self.fastest, self.slowest);
        if self.is_local && self.flowing {
            interval = interval.min(self.fastest / FLOWING);
        }
        if !self.is_local && self.credit < 0.0 {
            interval = interval.max(PUBLIC_RATE.mul_f64(-self.credit));
        }
        let next = last + interval;
        if !self.is_local && self.credit < 0.0 {
            // Many deadlines share a look.
            return Some(next);
        }
        // A deadline is looked at when it comes, whatever the pace.
        Some(
            interest
                .due
                .filter(|due| *due > last)
                .map_or(next, |due| due.min(next)),
        )
    }
}

/// How long to stay away from a mailbox that cannot be read.
#[derive(Clone, Debug)]
pub struct BackOff(back_off::BackOff);

impl Default for BackOff {
    fn default() -> Self {
        let (first, longest) = BACK_OFF;
        Self(back_off::BackOff::new(first, longest))
    }
}

impl BackOff {
    /// It could be read again.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// The next pause, or what the server suggests; `None`: for good, because only a person can mend it.
    pub fn next(&mut self, blindness: &Blindness) -> Option<Duration> {
        if blindness.is_final {
            return None;
        }
        let suggested = suggested(&blindness.failure.what);
        Some(suggested.unwrap_or_else(|| self.0.pause()))
    }
}

/// How long a throttling server asks to be left alone, as Exchange Online says it: `Suggested Backoff Time: 5000
/// milliseconds`.
fn suggested(words: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(1);
    let words = words.to_ascii_lowercase();
    let (_, behind) = words.split_once("backoff time")?;
    let behind = behind.trim_start_matches([':', ' ', '=']);
    let (number, unit) = behind.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    let span = if unit.starts_with("milli") {
        Duration::from_millis(number)
    } else {
        Duration::from_secs(number)
    };
    Some(span.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FASTEST: Duration = Duration::from_millis(20);
    const SLOWEST: Duration = Duration::from_secs(10);

    fn public(start: Instant) -> Pace {
        let mut pace = Pace::new(SLOWEST, FASTEST, start);
        pace.meet(Some(([192, 0, 2, 1], 993).into()));
        pace
    }

    fn interest(youngest: Instant) -> Interest {
        Interest {
            youngest: Some(youngest),
            ..Interest::default()
        }
    }

    /// How often a probe sent at the start is looked for within `span`.
    fn looks(mut pace: Pace, start: Instant, span: Duration) -> u32 {
        let mut at = start;
        let mut count = 0;
        while let Some(next) = pace
            .next(&interest(start), at)
            .filter(|next| *next < start + span)
        {
            pace.looked(next);
            at = next;
            count += 1;
        }
        count
    }

    #[test]
    fn a_young_probe_is_looked_for_every_20_ms_and_an_old_one_at_2_percent() {
        let start = Instant::now();
        let pace = Pace::new(SLOWEST, FASTEST, start);
        let gap = |waited: Duration| {
            pace.next(&interest(start), start + waited).unwrap() - (start + waited)
        };
        assert_eq!(gap(Duration::ZERO), Duration::from_millis(20));
        assert_eq!(gap(Duration::from_mins(1)), Duration::from_millis(1200));
        assert_eq!(gap(Duration::from_hours(1)), Duration::from_secs(10));
    }

    #[test]
    fn a_strangers_server_is_asked_sixty_times_a_minute_on_average() {
        let start = Instant::now();
        let pace = public(start);
        let minute = Duration::from_mins(1);
        assert!(looks(pace.clone(), start, minute) <= 75);
        let ten: u32 = looks(pace, start, 10 * minute);
        assert!(ten <= 600, "{ten} looks in ten minutes");
    }

    #[test]
    fn a_deadline_is_looked_at_when_it_comes() {
        let start = Instant::now();
        let pace = public(start);
        let due = start + Duration::from_millis(7);
        let interest = Interest {
            due: Some(due),
            ..interest(start)
        };
        assert_eq!(pace.next(&interest, start), Some(due));
        assert_eq!(pace.next(&Interest::default(), start), None);
    }
}
