//! What results come to: Up, Degraded, Unknown, Down, Lost, and what is told of it.

use std::mem;
use std::time::Duration;

use jiff::Timestamp;

use super::dependency::Link;
use super::standing::{FLAPS, Opening, Seen, Standing, Streak, Told};
use super::{Board, Effect, Turn};
use crate::config::plan::Policy;
use crate::probe::notice::Event;
use crate::probe::outcome::{Code, Verdict};
use crate::probe::state::{State, TestKey};

/// So many results in a row that say nothing are Unknown.
const UNKNOWNS: u32 = 3;
/// A failure is held back so long at most, while it is not clear whose it is.
const HOLD: Duration = Duration::from_mins(10);
/// And for so many results at most of each test that it may come from.
const HOLD_RESULTS: u32 = 2;

impl Board {
    /// A pass, or a warning, which counts as one where it ends something and is told where it goes on.
    ///
    /// A test that goes up and down keeps its incident until it is steady: one row of passes ends it, one row of failures
    /// makes it a plain failure.
    pub(super) fn passed(&mut self, key: &TestKey, policy: &Policy, seen: &Seen, turn: &mut Turn) {
        let now = turn.now;
        let standing = self.touch(key, turn);
        let is_over = match standing.state {
            State::Up | State::Degraded => true,
            State::Unknown | State::Down | State::Lost => {
                standing.passes.count >= policy.recover_after
            }
        };
        if !is_over {
            return;
        }
        let row = standing.passes.since().unwrap_or(seen.due_at);
        let began = match standing.state {
            // Warnings count as passes: this pass is what ends them.
            State::Up | State::Degraded => seen.due_at,
            State::Unknown | State::Down | State::Lost => row,
        };
        if standing.state >= State::Down {
            standing.down_until = Some(now);
            standing.opening = Opening::Done;
            standing.wants_recovery = false;
        }
        let state = match seen.verdict {
            Verdict::Warn => State::Degraded,
            Verdict::Pass | Verdict::Unknown | Verdict::Fail => State::Up,
        };
        standing.enter(state, Some(began));
        if standing.is_flapping && standing.passes.count < policy.fail_after.saturating_mul(2) {
            return;
        }
        let incident = standing.close(row);
        let over = standing.told.filter(|told| {
            incident.is_some() || state == State::Up || told.state == State::Unknown
        });
        if over.is_some() {
            standing.told = None;
        }
        let is_tellable = standing.told.is_none() && standing.warnings.count >= policy.fail_after;
        let degraded = standing.warnings.since().filter(|_| is_tellable);
        let ended = match &incident {
            Some(incident) if incident.notices > 0 => Some(Told {
                state: State::Down,
                since: incident.began,
            }),
            // Of this failure nothing was told, but perhaps of what was before it.
            Some(_) | None => over,
        };
        if let Some(ended) = ended {
            let until = if incident.is_some() { row } else { began };
            self.tell_recovered(key, (ended, until), seen, incident.as_ref(), turn);
        } else if let Some(since) = degraded {
            self.complain(key, State::Degraded, since, seen, turn);
        }
        if let Some(mut incident) = incident {
            incident.notices += u32::from(incident.notices > 0);
            turn.ended.push(incident);
        }
    }

    /// A result that says nothing.
    pub(super) fn unclear(&mut self, key: &TestKey, seen: &Seen, turn: &mut Turn) {
        let standing = self.touch(key, turn);
        match standing.state {
            State::Up | State::Degraded if standing.unknowns.count >= UNKNOWNS => {
                standing.enter(State::Unknown, standing.unknowns.since());
                standing.passes = Streak::default();
            }
            State::Up | State::Degraded | State::Down | State::Lost => return,
            State::Unknown => {}
        }
        let since = standing.since;
        let is_told = standing
            .told
            .is_some_and(|told| told.state == State::Unknown);
        // That this machine has no network is told once, and not of every test.
        let is_ours = seen.code == Code::ProberOffline;
        if !is_told && !is_ours && !standing.is_flapping {
            self.complain(key, State::Unknown, since, seen, turn);
        }
    }

    /// A failure, and how its route stood before it.
    pub(super) fn failed(
        &mut self,
        key: &TestKey,
        policy: &Policy,
        (seen, route): (&Seen, State),
        turn: &mut Turn,
    ) {
        let link = self.link(&key.route, seen.due_at, turn.now);
        let standing = self.touch(key, turn);
        let is_enough = standing.failures.count >= policy.fail_after || seen.is_leak();
        if standing.state < State::Down {
            if !is_enough {
                return;
            }
            standing.enter(State::Down, standing.failures.since());
            standing.down_until = None;
            standing.opening = Opening::Waiting;
            standing.wants_recovery = route < State::Down;
            standing.open(key);
        }
        if let (Link::Down(cause) | Link::Explained(cause), Some(incident)) =
            (&link, &mut standing.incident)
        {
            incident.depends_on = Some(cause.clone());
        }
        if seen.is_leak() && standing.leaks(seen.probe) {
            self.tell_failure(key, Event::Leak, turn);
        }
        let standing = self.touch(key, turn);
        if standing.opening == Opening::Done {
            return self.fails_on(key, policy, &link, turn);
        }
        match link {
            Link::Clear => self.own(key, turn),
            Link::Down(_) | Link::Explained(_) => standing.opening = Opening::Waiting,
            Link::Undecided(_) if standing.opening == Opening::Waiting => {
                standing.opening = Opening::Held {
                    since: turn.now,
                    seen: Vec::new(),
                };
            }
            Link::Undecided(_) => {}
        }
    }

    /// A failure is its test's own. Whoever is to be told is told, unless the test goes up and down: then they are told
    /// that, once.
    fn own(&mut self, key: &TestKey, turn: &mut Turn) {
        let standing = self.touch(key, turn);
        standing.opening = Opening::Done;
        standing.flaps |= 1;
        let is_new = !standing.is_flapping && standing.flaps.count_ones() >= FLAPS;
        standing.is_flapping |= is_new;
        let was_flapping = standing.is_flapping && !is_new;
        if let Some(incident) = &mut standing.incident {
            incident.is_flapping = standing.is_flapping;
            let is_untold = incident.notices == 0;
            if incident.acknowledged.is_none() {
                if is_new {
                    self.tell_failure(key, Event::Flapping, turn);
                } else if is_untold && !was_flapping {
                    self.tell_failure(key, Event::Failed, turn);
                }
            }
        }
        self.recover(key, turn);
    }

    /// A test that is Down fails on.
    fn fails_on(&mut self, key: &TestKey, policy: &Policy, link: &Link, turn: &mut Turn) {
        let is_tellable = match link {
            Link::Clear | Link::Undecided(_) => true,
            Link::Explained(_) | Link::Down(_) => false,
        };
        let now = turn.now;
        let standing = self.touch(key, turn);
        if standing.is_flapping {
            if standing.failures.count >= policy.fail_after.saturating_mul(2) {
                standing.is_flapping = false;
                standing.flaps = 0;
                if let Some(incident) = &mut standing.incident {
                    incident.is_flapping = false;
                }
                // A leak that was told just now says it all, and of what is Lost nothing more is told.
                let is_news = standing.untold > 0 && standing.state == State::Down;
                if is_tellable && is_news && !standing.is_acknowledged() {
                    self.tell_failure(key, Event::Failed, turn);
                }
            }
        } else if is_tellable && standing.reminder(policy, now).is_some_and(|at| at <= now) {
            self.tell_failure(key, Event::StillFailing, turn);
        }
    }

    /// Tells again of what is Down for long.
    pub(super) fn remind(&mut self, turn: &mut Turn) {
        let now = turn.now;
        let is_due = |(key, standing): &(&TestKey, &Standing)| {
            let watch = self.watches.get(&key.route);
            watch.is_some_and(|watch| {
                watch.policy.remind_every.is_some()
                    && standing
                        .reminder(&watch.policy, now)
                        .is_some_and(|at| at <= now)
                    && !watch.maintenance.iter().any(|time| time.covers(now))
            })
        };
        let is_own = |(key, standing): &(&TestKey, &Standing)| {
            let due = standing.failure.as_ref().map_or(now, |seen| seen.due_at);
            match self.link(&key.route, due, now) {
                Link::Clear | Link::Undecided(_) => true,
                Link::Explained(_) | Link::Down(_) => false,
            }
        };
        let due = self.standings.iter().filter(is_due).filter(is_own);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.tell_failure(&key, Event::StillFailing, turn);
        }
    }

    /// A result came of a test that others may depend on.
    pub(super) fn seen_by_dependents(&mut self, of: &TestKey) {
        let held = self.held();
        for key in held {
            if !self.ancestors(&key.route).contains(&&of.route) {
                continue;
            }
            let standing = self.standings.get_mut(&key);
            if let Some(Opening::Held { seen, .. }) = standing.map(|it| &mut it.opening) {
                match seen.iter_mut().find(|(test, _)| test == of) {
                    Some((_, count)) => *count += 1,
                    None => seen.push((of.clone(), 1)),
                }
                self.changed.insert(key);
            }
        }
    }

    /// Tells what was held back, or drops it, where it is clear now whose failure it is, or takes too long.
    pub(super) fn release(&mut self, turn: &mut Turn) {
        let now = turn.now;
        for key in self.held() {
            let Some(standing) = self.standings.get(&key) else {
                continue;
            };
            let Opening::Held { since, seen } = &standing.opening else {
                continue;
            };
            let due = standing.failure.as_ref().map_or(now, |seen| seen.due_at);
            let results = |test: &TestKey| {
                let found = seen.iter().find(|(other, _)| other == test);
                found.map_or(0, |(_, count)| *count)
            };
            // A clock that was set back must not make it wait longer.
            let (noted, since) = (*since, now.min(*since));
            let is_late = now.duration_since(since).unsigned_abs() >= HOLD;
            match self.link(&key.route, due, now) {
                Link::Clear => self.own(&key, turn),
                Link::Undecided(tests) => {
                    if is_late || tests.iter().all(|test| results(test) >= HOLD_RESULTS) {
                        self.own(&key, turn);
                    } else if noted != since
                        && let Opening::Held { since: noted, .. } =
                            &mut self.touch(&key, turn).opening
                    {
                        *noted = since;
                    }
                }
                Link::Down(cause) | Link::Explained(cause) => {
                    let standing = self.touch(&key, turn);
                    standing.opening = Opening::Waiting;
                    if let Some(incident) = &mut standing.incident {
                        incident.depends_on = Some(cause);
                    }
                }
            }
        }
    }

    fn held(&self) -> Vec<TestKey> {
        let is_held = |(_, standing): &(&TestKey, &Standing)| {
            matches!(standing.opening, Opening::Held { .. })
        };
        let held = self.standings.iter().filter(is_held);
        held.map(|(key, _)| key.clone()).collect()
    }

    /// When a tick can change something.
    pub(super) fn tick_of(&self, key: &TestKey, standing: &Standing) -> Option<Timestamp> {
        if let Opening::Held { since, .. } = &standing.opening {
            return since.checked_add(HOLD).ok();
        }
        let policy = &self.watches.get(&key.route)?.policy;
        policy.remind_every?;
        standing.reminder(policy, Timestamp::MAX)
    }

    /// Runs the recovery action, if the route has just gone Down by this test, and as often as its rate allows.
    fn recover(&mut self, key: &TestKey, turn: &mut Turn) {
        let now = turn.now;
        if !mem::take(&mut self.touch(key, turn).wants_recovery) {
            return;
        }
        let watch = self.watches.get(&key.route);
        let Some(recovery) = watch.and_then(|watch| watch.recovery.clone()) else {
            return;
        };
        let is_recent = |run: &Timestamp| {
            now.duration_since(*run) < recovery.at_most.per.try_into().unwrap_or_default()
        };
        let runs = self.tests(&key.route).flat_map(|(_, it)| &it.recoveries);
        let recent = runs.filter(|run| is_recent(run)).count();
        if u32::try_from(recent).unwrap_or(u32::MAX) >= recovery.at_most.count {
            return;
        }
        let standing = self.touch(key, turn);
        standing.recoveries.retain(is_recent);
        standing.recoveries.push(now);
        if let Some(incident) = &standing.incident {
            turn.recoveries.push(Effect::Recover {
                route: key.route.clone(),
                incident: incident.id,
            });
        }
    }
}
