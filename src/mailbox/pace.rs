//! When to look next: often while a probe is young, then so that the resolution stays near 2% of the time waited, and
//! never more often than a stranger's server will bear. Where a look locks the mailbox, most of the time is left to
//! deliveries.

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

/// Between two sessions that lock the mailbox, at least this long is left to deliveries.
const LEAST_REST: Duration = Duration::from_millis(250);
/// After such a session, this many times as long is left to deliveries as it took: it holds the mailbox for a quarter of
/// the time at most.
const REST: u32 = 3;
/// A deadline is looked at this long after the last session at the latest, however long that took.
pub const LONGEST_REST: Duration = Duration::from_secs(10);

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
    locking: Option<Locking>,
}

/// The last session that locked the mailbox.
#[derive(Clone, Copy, Debug)]
struct Locking {
    ended: Instant,
    took: Duration,
}

impl Locking {
    /// When the mailbox has been left alone for long enough.
    fn rested(&self) -> Instant {
        self.ended + self.rest()
    }

    fn rest(&self) -> Duration {
        (self.took * REST).max(LEAST_REST)
    }
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
            locking: None,
        }
    }

    /// The pace of a mailbox that every look locks.
    pub fn of_sessions(slowest: Duration, now: Instant) -> Self {
        Self {
            locking: Some(Locking {
                ended: now,
                took: Duration::ZERO,
            }),
            ..Self::new(slowest, LEAST_REST, now)
        }
    }

    /// A session that locks the mailbox lasted from `begun` to `ended`.
    pub fn unlocked(&mut self, begun: Instant, ended: Instant) {
        self.locking = Some(Locking {
            ended,
            took: ended.saturating_duration_since(begun),
        });
    }

    /// How long after its last session a mailbox that cannot be read is left alone.
    pub fn rest(&self) -> Duration {
        let rest = self.locking.map(|locking| locking.rest());
        rest.unwrap_or_default().min(LONGEST_REST)
    }

    /// The earliest time at which the mailbox may be locked again; `None`: at any time.
    pub fn rested(&self) -> Option<Instant> {
        self.locking.map(|locking| locking.rested())
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
        if self.is_local && self.flowing && self.locking.is_none() {
            interval = interval.min(self.fastest / FLOWING);
        }
        if !self.is_local && self.credit < 0.0 {
            interval = interval.max(PUBLIC_RATE.mul_f64(-self.credit));
        }
        let next = last + interval;
        let next = self.rested().map_or(next, |rested| next.max(rested));
        if !self.is_local && self.credit < 0.0 {
            // Many deadlines share a look.
            return Some(next);
        }
        // A deadline is looked at when it comes, whatever the pace.
        let due = interest.due.filter(|due| *due > last).map(|due| {
            let ended = self.locking.map(|locking| locking.ended);
            ended.map_or(due, |ended| due.max(ended + self.rest()))
        });
        Some(due.map_or(next, |due| due.min(next)))
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

    /// The sessions of a mailbox that every look locks for `took`, as their beginnings.
    fn sessions(took: Duration, span: Duration, due: &[Duration]) -> Vec<Instant> {
        let start = Instant::now();
        let mut pace = Pace::of_sessions(SLOWEST, start);
        let mut begun = start;
        let mut sessions = Vec::new();
        while begun < start + span {
            sessions.push(begun);
            pace.looked(begun);
            pace.unlocked(begun, begun + took);
            pace.found(true);
            let due = due.iter().map(|due| start + *due);
            let interest = Interest {
                due: due.filter(|due| *due > begun).min(),
                ..interest(start)
            };
            begun = pace.next(&interest, begun).unwrap();
        }
        sessions
    }

    #[test]
    fn a_mailbox_is_locked_for_a_quarter_of_the_time_at_most() {
        let millis = Duration::from_millis;
        let dues: Vec<_> = (0..200).map(|due| millis(due * 37)).collect();
        for took in [1, 20, 100, 300].map(millis) {
            for due in [&[], &*dues] {
                let sessions = sessions(took, Duration::from_mins(2), due);
                for pair in sessions.windows(2) {
                    let apart = pair[1] - pair[0];
                    assert!(
                        apart >= took + millis(250) && apart >= 4 * took,
                        "{took:?}: {apart:?}"
                    );
                }
                let last = sessions.len() - 1;
                let grown = sessions[last] - sessions[last - 1];
                assert!(grown > sessions[1] - sessions[0], "{took:?}: {grown:?}");
            }
        }
    }

    #[test]
    fn a_deadline_does_not_wait_long_for_a_slow_session_to_be_made_up_for() {
        let took = Duration::from_secs(20);
        let due = [Duration::from_secs(21)];
        let sessions = sessions(took, Duration::from_mins(2), &due);
        assert_eq!(sessions[1] - sessions[0], Duration::from_secs(30));
        assert_eq!(sessions[2] - sessions[1], Duration::from_secs(80));
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
