//! How each test stands, and who is told. Pure: results come in with their time, and what is to be done comes back.
//!
//! What is remembered is in the [`Standing`]s: kept and given back, they make the same notices after a restart as
//! without it. `standing` counts results, `course` decides what they come to, `dependency` whose failure it is, `tell`
//! what is said.
//!
//! Times are those of the wall clock, which can be set back; so nothing is ever held back until a time that lies further
//! in the future than its own waiting time, and results count in the order in which their probes were started.

mod course;
mod dependency;
mod standing;
mod tell;
#[cfg(test)]
mod tests;
mod title;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::schedule::Mood;
use crate::config::plan::Watch;
use crate::probe::incident::{Acknowledgement, Incident, RecoveryAttempt};
use crate::probe::name::{AlertName, RouteName};
use crate::probe::notice::Notice;
use crate::probe::outcome::Verdict;
use crate::probe::state::{Finding, State, TestKey};

pub use standing::{Opening, Seen, Standing, Streak, Told};

/// A server that turned us away so often is tested as seldom as it gets.
const MOST_UNWELCOME: u32 = 16;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A probe has its verdict, or another one than it had.
    Result(Finding),
    /// Somebody knows of a route's open incidents.
    Acknowledge {
        /// The route.
        route: RouteName,
        /// Who.
        by: String,
        /// What they say.
        note: Option<String>,
    },
    /// A route's recovery action was run.
    RecoveryRan {
        /// For which incident.
        incident: Uuid,
        /// What came of it.
        attempt: RecoveryAttempt,
    },
    /// Time has passed.
    Tick,
    /// mailrobin itself is in trouble.
    Trouble {
        /// What is wrong, in words that stay the same while it lasts: `the history cannot be written`.
        what: String,
        /// Why.
        reason: String,
    },
    /// That is over.
    TroubleOver {
        /// What was wrong, in the same words.
        what: String,
    },
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Keep this incident, in place of what is known of it.
    Incident(Incident),
    /// Tell them.
    Tell {
        /// Whom.
        alerts: Vec<AlertName>,
        /// What.
        notice: Box<Notice>,
    },
    /// Run the route's recovery action.
    Recover {
        /// The route.
        route: RouteName,
        /// For which incident.
        incident: Uuid,
    },
    /// Test a route as often as this asks for.
    Mood {
        /// The route.
        route: RouteName,
        /// How it is.
        mood: Mood,
    },
}

/// How every test stands.
#[derive(Clone, Debug)]
pub struct Board {
    instance: String,
    watches: BTreeMap<RouteName, Arc<Watch>>,
    standings: BTreeMap<TestKey, Standing>,
    moods: BTreeMap<RouteName, Mood>,
    /// Trouble of mailrobin's own, since when. It is this process's, and does not outlive it.
    troubles: BTreeMap<String, Timestamp>,
    changed: BTreeSet<TestKey>,
}

/// What one event comes to.
struct Turn {
    now: Timestamp,
    /// What was changed, with the incident as it was before.
    touched: BTreeMap<TestKey, Option<Incident>>,
    ended: Vec<Incident>,
    told: Vec<Effect>,
    recoveries: Vec<Effect>,
}

impl Board {
    /// How every test stood when that was kept. Nothing counts until [`Board::reload`] says what is watched.
    pub fn restore(instance: &str, standings: BTreeMap<TestKey, Standing>) -> Self {
        Self {
            instance: instance.to_owned(),
            watches: BTreeMap::new(),
            standings,
            moods: BTreeMap::new(),
            troubles: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Goes by these watches. Tests of routes that are gone or not enabled, and those that are not tested any more, are
    /// forgotten, and their incidents end: nothing would ever tell that they pass again.
    pub fn reload(
        &mut self,
        watches: &BTreeMap<RouteName, Arc<Watch>>,
        is_tested: impl Fn(&TestKey) -> bool,
        now: Timestamp,
    ) -> Vec<Effect> {
        let enabled = watches.iter().filter(|(_, watch)| watch.enabled);
        self.watches = enabled
            .map(|(name, watch)| (name.clone(), Arc::clone(watch)))
            .collect();
        let mut turn = Turn::new(now);
        let stays = |key: &TestKey| self.watches.contains_key(&key.route) && is_tested(key);
        let gone = self.standings.extract_if(.., |key, _| !stays(key));
        for (key, mut standing) in gone {
            turn.ended.extend(standing.close(now));
            self.changed.insert(key);
        }
        self.moods
            .retain(|route, _| self.watches.contains_key(route));
        self.release(&mut turn);
        let routes: Vec<_> = self.watches.keys().cloned().collect();
        self.finish(turn, routes)
    }

    /// Takes an event in; what is to be done comes out.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut turn = Turn::new(now);
        match event {
            Event::Result(finding) => self.result(&finding, &mut turn),
            Event::Acknowledge { route, by, note } => {
                self.acknowledge(&route, &Acknowledgement { by, note, at: now }, &mut turn);
            }
            Event::RecoveryRan { incident, attempt } => {
                self.recovery_ran(incident, attempt, &mut turn);
            }
            Event::Tick => self.remind(&mut turn),
            Event::Trouble { what, reason } => self.trouble(what, &reason, &mut turn),
            Event::TroubleOver { what } => self.trouble_over(&what, &mut turn),
        }
        self.release(&mut turn);
        self.finish(turn, Vec::new())
    }

    /// What a recovery action said is kept with its incident, if that is still open.
    fn recovery_ran(&mut self, incident: Uuid, attempt: RecoveryAttempt, turn: &mut Turn) {
        let is_of = |standing: &Standing| {
            let open = standing.incident.as_ref();
            open.is_some_and(|open| open.id == incident)
        };
        let found = self.standings.iter().find(|(_, standing)| is_of(standing));
        let Some(key) = found.map(|(key, _)| key.clone()) else {
            return;
        };
        if let Some(open) = &mut self.touch(&key, turn).incident {
            open.recoveries.push(attempt);
        }
    }

    /// When [`Event::Tick`] is due next.
    pub fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let standings = self.standings.iter();
        let ticks = standings.filter_map(|(key, standing)| self.tick_of(key, standing));
        ticks.filter(|at| *at > now).min()
    }

    /// The tests whose standing changed since this was asked last: to be kept in one transaction with the notices.
    pub fn changed(&mut self) -> BTreeSet<TestKey> {
        mem::take(&mut self.changed)
    }

    /// How a test stands; `None`: nothing is known of it, and nothing of it is to be kept.
    pub fn standing(&self, key: &TestKey) -> Option<&Standing> {
        self.standings.get(key)
    }

    /// How every test stands.
    pub fn standings(&self) -> &BTreeMap<TestKey, Standing> {
        &self.standings
    }

    /// How a route stands: as its worst test does.
    pub fn route_state(&self, route: &RouteName) -> State {
        let tests = self.tests(route);
        tests
            .map(|(_, standing)| standing.state)
            .max()
            .unwrap_or_default()
    }

    /// How a route is, as far as the times of its tests depend on it.
    pub fn mood(&self, route: &RouteName) -> Mood {
        let unwelcome = self.tests(route).map(|(_, standing)| standing.unwelcome);
        if let Some(times) = unwelcome.max().filter(|times| *times > 0) {
            return Mood::Unwelcome(times.min(MOST_UNWELCOME));
        }
        match self.route_state(route) {
            State::Lost => Mood::Lost,
            State::Down => Mood::Failing,
            State::Up | State::Degraded | State::Unknown => {
                if self.tests(route).any(|(_, standing)| standing.is_failing()) {
                    Mood::Failing
                } else {
                    Mood::Well
                }
            }
        }
    }

    /// The tests of a route.
    pub fn tests(&self, route: &RouteName) -> impl Iterator<Item = (&TestKey, &Standing)> {
        let first = TestKey::new(route.clone(), "", "");
        self.standings
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(move |(key, _)| key.route == *route)
    }

    /// Results count in the order of their starts, once each. What comes later of an older probe, or of one that counted
    /// already, changes nothing, but that a leak is told: and where it is the newest probe, its test is Down.
    ///
    /// What was due in maintenance says nothing.
    fn result(&mut self, finding: &Finding, turn: &mut Turn) {
        let key = &finding.key;
        let Some(watch) = self.watches.get(&key.route).map(Arc::clone) else {
            return;
        };
        let mut maintenance = watch.maintenance.iter();
        if maintenance.any(|time| time.covers(finding.due_at)) {
            return;
        }
        let route = self.route_state(&key.route);
        let seen = Seen::new(finding, turn.now);
        let known = self.standings.get(key);
        let order = known
            .and_then(|standing| standing.seq)
            .map_or(Ordering::Greater, |seq| finding.seq.cmp(&seq));
        let is_news = seen.is_leak() && known.is_none_or(|standing| !standing.knows(seen.probe));
        if order != Ordering::Greater && !is_news {
            return;
        }
        let standing = self.touch(key, turn);
        match order {
            Ordering::Less => return self.late_leak(key, &seen, turn),
            Ordering::Equal => standing.revise(seen.clone()),
            Ordering::Greater => standing.count(seen.clone()),
        }
        standing.seq = Some(finding.seq);
        self.seen_by_dependents(key);
        match finding.verdict {
            Verdict::Pass | Verdict::Warn => self.passed(key, &watch.policy, &seen, turn),
            Verdict::Fail => self.failed(key, &watch.policy, (&seen, route), turn),
            Verdict::Unknown => self.unclear(key, &seen, turn),
        }
    }

    fn acknowledge(&mut self, route: &RouteName, by: &Acknowledgement, turn: &mut Turn) {
        let tests = self.tests(route);
        let open = tests.filter(|(_, standing)| standing.incident.is_some());
        let open: Vec<_> = open.map(|(key, _)| key.clone()).collect();
        for key in open {
            if let Some(incident) = &mut self.touch(&key, turn).incident {
                incident.acknowledged = Some(by.clone());
            }
        }
    }

    /// How a test stands, to be changed.
    fn touch(&mut self, key: &TestKey, turn: &mut Turn) -> &mut Standing {
        let standing = self.standings.entry(key.clone()).or_default();
        turn.touched
            .entry(key.clone())
            .or_insert_with(|| standing.incident.clone());
        // A time in the future was noted by a clock that was set back since.
        standing.told_at = standing.told_at.map(|at| at.min(turn.now));
        standing
    }

    fn finish(&mut self, turn: Turn, mut routes: Vec<RouteName>) -> Vec<Effect> {
        let mut effects: Vec<_> = turn.ended.into_iter().map(Effect::Incident).collect();
        for (key, before) in turn.touched {
            let incident = self.standings.get(&key).and_then(|it| it.incident.as_ref());
            let new = incident.filter(|incident| before.as_ref() != Some(*incident));
            effects.extend(new.cloned().map(Effect::Incident));
            routes.push(key.route.clone());
            self.changed.insert(key);
        }
        effects.extend(turn.told);
        effects.extend(turn.recoveries);
        routes.sort();
        routes.dedup();
        for route in routes {
            let mood = self.mood(&route);
            if self.moods.insert(route.clone(), mood).unwrap_or_default() != mood {
                effects.push(Effect::Mood { route, mood });
            }
        }
        effects
    }
}

impl Turn {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            touched: BTreeMap::new(),
            ended: Vec::new(),
            told: Vec::new(),
            recoveries: Vec::new(),
        }
    }
}
