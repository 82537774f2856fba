//! What one channel still has to deliver, and what goes next. Pure: it is told what time it is.
//!
//! Notices of one incident go out in their order, each only once the one before has arrived. Incidents wait for each
//! other only while the channel as a whole does: after a failure it rests, and then another incident has its turn, so
//! that one notice that the peer will not have holds up no other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::error::Again;
use crate::clock::Stamp;
use crate::config::plan::Quiet;
use crate::net::back_off::BackOff;
use crate::probe::notice::{Event, Notice, Severity};

/// So many notices are kept in memory for a channel; the outbox keeps the others.
pub const CAPACITY: usize = 10_000;
/// The first and the longest pause of a channel that fails.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// The same for a notice that was refused: a person has to see to it.
const REFUSED_PAUSES: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(30));
/// An older notice that fails is given up: nobody wants to read it any more.
const TOO_OLD: Duration = Duration::from_hours(72);
/// How often the end of quiet hours is looked at again at most and at least: the wall clock may be set meanwhile.
const RECHECK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A notice that is owed to a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// What is to be told; the outbox knows it by its id.
    pub notice: Notice,
    /// How often that was tried already.
    pub attempts: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try the first notice of this incident.
    Now(Uuid),
    /// Nothing before then.
    At(Instant),
    /// Nothing.
    Idle,
}

/// What came of a try that failed.
pub(super) struct Failed {
    /// The notice's id.
    pub(super) id: Uuid,
    /// How often it was tried by now.
    pub(super) attempts: u32,
    /// When it is tried again at the earliest; `None`: it is given up.
    pub(super) next: Option<Timestamp>,
}

/// What one channel still has to deliver.
pub(super) struct Queue {
    lanes: BTreeMap<Uuid, Lane>,
    held: BTreeSet<Uuid>,
    arrivals: u64,
    rest_until: Option<Instant>,
    back_off: BackOff,
}

/// The notices of one incident.
struct Lane {
    /// Each with the time since when it is owed.
    letters: VecDeque<(Letter, Stamp)>,
    /// Its place in the order in which incidents came.
    arrival: u64,
    /// How often its first was tried in vain since it came here.
    failures: u32,
    rest_until: Option<Instant>,
    back_off: BackOff,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
            held: BTreeSet::new(),
            arrivals: 0,
            rest_until: None,
            back_off: BackOff::new(PAUSES.0, PAUSES.1),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= CAPACITY
    }

    /// Takes a notice in; one that it has already is the same.
    pub(super) fn push(&mut self, letter: Letter, now: Stamp) {
        if !self.held.insert(letter.notice.id) {
            return;
        }
        self.arrivals += 1;
        let lane = letter.notice.incident.unwrap_or(letter.notice.id);
        let lane = self.lanes.entry(lane).or_insert_with(|| Lane {
            letters: VecDeque::new(),
            arrival: self.arrivals,
            failures: 0,
            rest_until: None,
            back_off: BackOff::new(REFUSED_PAUSES.0, REFUSED_PAUSES.1),
        });
        let since = now.recalled(letter.notice.at);
        lane.letters.push_back((letter, since));
    }

    /// What goes next: of the incidents whose turn it may be, one that was tried the least often, then the most severe,
    /// then the one that came first.
    pub(super) fn next(&self, now: Stamp, quiet: Option<&Quiet>) -> Next {
        let quiet_until = quiet.and_then(|quiet| quiet.until(now.wall));
        let rests_until = |lane: &Lane| {
            let held_back = quiet_until.filter(|_| lane.is_held_back()).map(|end| {
                let left = Duration::try_from(end.duration_since(now.wall)).unwrap_or_default();
                now.mono + left.clamp(RECHECK.0, RECHECK.1)
            });
            let until = self.rest_until.max(lane.rest_until).max(held_back);
            until.filter(|until| *until > now.mono)
        };
        let lanes = self.lanes.iter();
        let awake = lanes.filter(|(_, lane)| rests_until(lane).is_none());
        if let Some((id, _)) = awake.min_by_key(|(_, lane)| lane.rank()) {
            return Next::Now(*id);
        }
        let soonest = self.lanes.values().filter_map(rests_until).min();
        soonest.map_or(Next::Idle, Next::At)
    }

    /// The first notice of an incident.
    pub(super) fn first(&self, lane: Uuid) -> Option<&Notice> {
        let (first, _) = self.lanes.get(&lane)?.letters.front()?;
        Some(&first.notice)
    }

    /// It has arrived: the notice's id, and how often it was tried.
    pub(super) fn delivered(&mut self, lane: Uuid) -> Option<(Uuid, u32)> {
        self.back_off.reset();
        self.rest_until = None;
        let letter = self.take_first(lane)?;
        Some((letter.notice.id, letter.attempts.saturating_add(1)))
    }

    /// It has not.
    pub(super) fn failed(&mut self, id: Uuid, now: Stamp, again: Again) -> Option<Failed> {
        let lane = self.lanes.get_mut(&id)?;
        let pause = match again {
            Again::Soon => self.back_off.pause(),
            Again::After(pause) => self.back_off.pause().max(pause),
            Again::Seldom => {
                lane.rest_until = Some(now.mono + lane.back_off.pause());
                // The peer answers: others need not wait for longer.
                PAUSES.0
            }
        };
        self.rest_until = Some(now.mono + pause);
        lane.failures = lane.failures.saturating_add(1);
        let (first, since) = lane.letters.front_mut()?;
        first.attempts = first.attempts.saturating_add(1);
        let mut failed = Failed {
            id: first.notice.id,
            attempts: first.attempts,
            next: None,
        };
        if now.since(*since) > TOO_OLD {
            self.take_first(id);
        } else {
            let next = self.rest_until.max(lane.rest_until);
            failed.next = next.map(|next| now.wall_at(next));
        }
        Some(failed)
    }

    fn take_first(&mut self, id: Uuid) -> Option<Letter> {
        let lane = self.lanes.get_mut(&id)?;
        let (letter, _) = lane.letters.pop_front()?;
        self.held.remove(&letter.notice.id);
        lane.failures = 0;
        lane.rest_until = None;
        lane.back_off.reset();
        if lane.letters.is_empty() {
            self.lanes.remove(&id);
        }
        Some(letter)
    }
}

impl Lane {
    /// The lower, the sooner it has its turn.
    fn rank(&self) -> (u32, Reverse<Option<Severity>>, u64) {
        let severity = self.letters.front().map(|(first, _)| first.notice.severity);
        (self.failures, Reverse(severity), self.arrival)
    }

    /// Whether it waits for the end of quiet hours: all that is not critical does, and what follows it of the same
    /// incident. Bad news that are critical take along what was held back before them; good news can wait with it.
    fn is_held_back(&self) -> bool {
        let is_good = |event| matches!(event, Event::Recovered | Event::TroubleOver);
        let mut letters = self.letters.iter().map(|(letter, _)| &letter.notice);
        let releases = |notice: &Notice| notice.severity == Severity::Critical;
        let first_does = letters.next().is_some_and(releases);
        !first_does && !letters.any(|notice| releases(notice) && !is_good(notice.event))
    }
}

#[cfg(test)]
mod tests;
