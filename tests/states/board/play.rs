//! Plays a scenario of results, and holds what comes of each step against what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailrobin::config::plan::Watch;
use mailrobin::probe::incident::Incident;
use mailrobin::probe::name::{AlertName, RouteName};
use mailrobin::probe::notice::Notice;
use mailrobin::probe::outcome::{Code, Verdict};
use mailrobin::probe::state::{Finding, State, TestKey};
use mailrobin::service::alert::{Board, Effect, Event, Standing};
use mailrobin::service::schedule::Mood;
use uuid::Uuid;

use super::{Expect, Known, Scenario, Step, Told};
use crate::value::{START, expanded, meant};

pub(super) struct Play {
    start: Timestamp,
    watches: BTreeMap<RouteName, Arc<Watch>>,
    dropped: BTreeSet<String>,
    board: Board,
    /// What the store would hold.
    kept: BTreeMap<TestKey, String>,
    incidents: BTreeMap<Uuid, Incident>,
    moods: BTreeMap<RouteName, Mood>,
    notices: BTreeSet<Uuid>,
    seq: u64,
    restarts: bool,
    found: Vec<String>,
}

impl Play {
    pub(super) fn new(scenario: &Scenario, restarts: bool) -> Self {
        let start: Timestamp = START.parse().unwrap();
        let routes = expanded(&scenario.routes, |route| route.count);
        let watches: BTreeMap<_, _> = routes
            .into_iter()
            .map(|(name, route)| (name, Arc::new(route.watch(start))))
            .collect();
        let mut board = Board::restore("test", BTreeMap::new());
        assert_eq!(board.reload(&watches, |_| true, start), []);
        Self {
            start,
            watches,
            dropped: BTreeSet::new(),
            board,
            kept: BTreeMap::new(),
            incidents: BTreeMap::new(),
            moods: BTreeMap::new(),
            notices: BTreeSet::new(),
            seq: 0,
            restarts,
            found: Vec::new(),
        }
    }

    pub(super) fn through(mut self, scenario: &Scenario) -> Vec<String> {
        for (place, step) in scenario.steps.iter().enumerate() {
            let times = step.times.unwrap_or(1);
            for time in 0..times {
                let later = step.every.map_or(SignedDuration::ZERO, |every| {
                    SignedDuration::try_from(every.0 * time).unwrap()
                });
                let nothing = Expect::default();
                let is_last = time + 1 == times;
                let expect = if is_last { &step.expect } else { &nothing };
                let before = self.found.len();
                self.step(step, later, expect);
                if self.restarts && self.found.is_empty() {
                    self.restart(step.at.from(self.start) + later);
                }
                for found in self.found.iter_mut().skip(before) {
                    let at = step.at.from(self.start) + later;
                    *found = format!("step {} at {}: {found}", place + 1, at.strftime("%T"));
                }
            }
        }
        self.found
    }

    fn step(&mut self, step: &Step, later: SignedDuration, expect: &Expect) {
        let now = step.at.from(self.start) + later;
        let before: BTreeMap<_, _> = self.states();
        let mut effects = Vec::new();
        for event in self.events(step, later) {
            effects.extend(self.board.step(event, now));
        }
        if step.restart {
            self.restart(now);
        }
        if !step.drop.is_empty() {
            self.dropped.extend(step.drop.iter().cloned());
            let dropped = &self.dropped;
            self.moods
                .retain(|route, _| !dropped.contains(route.as_str()));
            effects.extend(self.reload(now));
        }
        for key in self.board.changed() {
            match self.board.standing(&key) {
                Some(standing) => {
                    let text = serde_json::to_string(standing).unwrap();
                    self.kept.insert(key, text);
                }
                None => {
                    self.kept.remove(&key);
                }
            }
        }
        self.compare(&effects, expect, now);
        let mut states = self.states();
        states.retain(|key, state| before.get(key).copied().unwrap_or_default() != *state);
        let wanted = expect.states.iter().flat_map(|(key, state)| {
            let keys = self.keys(key);
            keys.into_iter().map(|key| (key, *state))
        });
        let wanted: BTreeMap<_, _> = wanted.collect();
        self.same("states", &states, &wanted);
        for (route, state) in &expect.routes {
            let stands = self.board.route_state(&route.as_str().into());
            self.same(&format!("how {route} stands"), &stands, state);
        }
        if let Some(tick) = expect.next_tick {
            let next = self.board.next_tick(now);
            self.same("the next tick", &next, &Some(tick.from(self.start)));
        }
    }

    fn events(&mut self, step: &Step, later: SignedDuration) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(test) = &step.test {
            for key in self.keys(test) {
                self.seq = step.seq.unwrap_or(self.seq + 1);
                let verdict = step.verdict.expect("a result has a verdict");
                let code = step.code.unwrap_or(match verdict {
                    Verdict::Pass => Code::Ok,
                    Verdict::Warn => Code::Slow,
                    Verdict::Unknown => Code::MailboxUnreadable,
                    Verdict::Fail => Code::Missing,
                });
                let reason = step.reason.clone().unwrap_or_else(|| match code {
                    Code::Missing => "not back by the deadline".into(),
                    Code::Leak => "the EICAR attachment came back intact".into(),
                    code => format!("it is {code}"),
                });
                events.push(Event::Result(Finding {
                    key,
                    seq: self.seq,
                    probe: probe(step.probe.unwrap_or(self.seq)),
                    due_at: step.due.unwrap_or(step.at).from(self.start) + later,
                    verdict,
                    code,
                    reason,
                    is_unwelcome: code.is_unwelcome(),
                }));
            }
        }
        if let Some(route) = &step.acknowledge {
            events.push(Event::Acknowledge {
                route: route.as_str().into(),
                by: step.by.clone().unwrap_or_default(),
                note: step.note.clone(),
            });
        }
        if let Some(what) = &step.trouble {
            events.push(Event::Trouble {
                what: what.clone(),
                reason: step.reason.clone().unwrap_or_default(),
            });
        }
        if let Some(what) = &step.trouble_over {
            events.push(Event::TroubleOver { what: what.clone() });
        }
        if step.tick {
            events.push(Event::Tick);
        }
        events
    }

    /// What is kept is all that is left.
    fn restart(&mut self, now: Timestamp) {
        let kept = self.kept.iter();
        let standings: BTreeMap<TestKey, Standing> = kept
            .map(|(key, text)| (key.clone(), serde_json::from_str(text).unwrap()))
            .collect();
        let is_same = standings == *self.board.standings();
        self.same("what was kept", &is_same, &true);
        self.board = Board::restore("test", standings);
        let wanted = self.moods.iter().filter(|(_, mood)| **mood != Mood::Well);
        let wanted: Vec<_> = wanted
            .map(|(route, mood)| Effect::Mood {
                route: route.clone(),
                mood: *mood,
            })
            .collect();
        let effects = self.reload(now);
        self.same("what comes of a restart", &effects, &wanted);
    }

    fn reload(&mut self, now: Timestamp) -> Vec<Effect> {
        let watches = self.watches.iter();
        let left = watches.filter(|(name, _)| !self.dropped.contains(name.as_str()));
        let left = left.map(|(name, watch)| (name.clone(), Arc::clone(watch)));
        let is_tested = |key: &TestKey| !self.dropped.contains(&key.to_string());
        self.board.reload(&left.collect(), is_tested, now)
    }

    fn compare(&mut self, effects: &[Effect], expect: &Expect, now: Timestamp) {
        let (mut notices, mut recover, mut moods) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut incidents = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { alerts, notice } => notices.push((alerts, &**notice)),
                Effect::Recover { route, .. } => recover.push(route.to_string()),
                Effect::Mood { route, mood } => {
                    moods.insert(route.to_string(), *mood);
                    self.moods.insert(route.clone(), *mood);
                }
                Effect::Incident(incident) => {
                    let known = self.incidents.insert(incident.id, incident.clone());
                    if known.is_none_or(|known| !is_same_but_counted(&known, incident)) {
                        incidents.push(incident);
                    }
                }
            }
        }
        self.same("recoveries", &recover, &expect.recover);
        let wanted = expect.moods.iter().flat_map(|(route, mood)| {
            let routes = meant(route, self.watches.keys());
            routes.into_iter().map(|route| (route.to_string(), *mood))
        });
        let wanted: BTreeMap<_, _> = wanted.collect();
        self.same("moods", &moods, &wanted);
        let told = |(_, notice): &(&Vec<AlertName>, &Notice)| {
            let test = notice.route.as_ref().zip(notice.test.as_ref());
            let test = test.map(|(route, test)| format!("{route}/{test}"));
            (notice.event, test)
        };
        let told: Vec<_> = notices.iter().map(told).collect();
        let wanted = expect.notices.iter();
        let wanted: Vec<_> = wanted.map(|told| (told.event, told.test.clone())).collect();
        self.same("notices", &told, &wanted);
        for ((alerts, notice), wanted) in notices.iter().zip(&expect.notices) {
            self.told(alerts, notice, wanted, now);
        }
        let wanted = expect.incidents.iter().flat_map(|known| {
            let keys = self.keys(&known.test);
            keys.into_iter().map(move |key| (key, known))
        });
        let wanted: Vec<_> = wanted.collect();
        let keys: Vec<_> = wanted.iter().map(|(key, _)| key).collect();
        let changed: Vec<_> = incidents.iter().map(|incident| &incident.key).collect();
        self.same("incidents", &changed, &keys);
        for (incident, (_, wanted)) in incidents.iter().zip(&wanted) {
            self.known(incident, wanted);
        }
    }

    fn told(&mut self, alerts: &[AlertName], notice: &Notice, wanted: &Told, now: Timestamp) {
        let start = self.start;
        let title = &notice.title;
        if title.is_empty() || title.contains(char::is_control) {
            self.found.push(format!("no title: {title:?}"));
        }
        self.same("the time of a notice", &notice.at, &now);
        self.same("the instance", &notice.instance.as_str(), &"test");
        self.same("a version", &notice.id.get_version_num(), &7);
        if !self.notices.insert(notice.id) {
            self.found.push(format!("told twice: {title}"));
        }
        self.given("title", title, wanted.title.as_ref());
        self.given("severity", &notice.severity, wanted.severity.as_ref());
        self.given("number", &notice.number, wanted.number.as_ref());
        self.given("state", &notice.state, wanted.state.map(Some).as_ref());
        self.given("code", &notice.code, wanted.code.map(Some).as_ref());
        let since = wanted.since.map(|since| since.from(start));
        self.given("since", &notice.since, since.as_ref());
        self.given("failures", &notice.failures, wanted.failures.as_ref());
        let dependents = notice.dependents.len();
        self.given("dependents", &dependents, wanted.dependents.as_ref());
        let alerts: Vec<_> = alerts.iter().map(ToString::to_string).collect();
        self.given("alerts", &alerts, wanted.alerts.as_ref());
        let id = wanted.probe.map(|number| Some(probe(number)));
        self.given("probe", &notice.probe, id.as_ref());
        let id = wanted.incident.map(|number| Some(probe(number)));
        self.given("incident", &notice.incident, id.as_ref());
    }

    fn known(&mut self, incident: &Incident, wanted: &Known) {
        let start = self.start;
        let ended = wanted.ended.map(|ended| ended.from(start));
        self.same("end", &incident.ended, &ended);
        let id = wanted.id.map(probe);
        self.given("id", &incident.id, id.as_ref());
        let began = wanted.began.map(|began| began.from(start));
        self.given("begin", &incident.began, began.as_ref());
        self.given("code", &incident.code, wanted.code.as_ref());
        self.given("worst", &incident.worst, wanted.worst.as_ref());
        self.given("failures", &incident.failures, wanted.failures.as_ref());
        self.given("notices", &incident.notices, wanted.notices.as_ref());
        self.given("leak", &incident.is_leak, wanted.leak.as_ref());
        self.given("flapping", &incident.is_flapping, wanted.flapping.as_ref());
        let dependency = incident.depends_on.as_ref().map(ToString::to_string);
        self.same("dependency", &dependency, &wanted.depends_on);
        let by = incident.acknowledged.as_ref().map(|it| it.by.clone());
        self.same("acknowledged by", &by, &wanted.acknowledged);
    }

    fn states(&self) -> BTreeMap<TestKey, State> {
        let standings = self.board.standings().iter();
        standings
            .map(|(key, standing)| (key.clone(), standing.state))
            .collect()
    }

    fn keys(&self, test: &str) -> Vec<TestKey> {
        let (route, test) = test.split_once('/').expect("a test is ROUTE/TEST");
        let routes = meant(route, self.watches.keys());
        let keys = routes
            .into_iter()
            .map(|route| TestKey::new(route, test, ""));
        keys.collect()
    }

    fn same<T: PartialEq + Debug>(&mut self, what: &str, is: &T, wanted: &T) {
        if is != wanted {
            self.found
                .push(format!("{what}: {is:?}\n    instead of {wanted:?}"));
        }
    }

    fn given<T: PartialEq + Debug>(&mut self, what: &str, is: &T, wanted: Option<&T>) {
        if let Some(wanted) = wanted {
            self.same(what, is, wanted);
        }
    }
}

/// Whether two are the same but in how often something happened.
fn is_same_but_counted(one: &Incident, other: &Incident) -> bool {
    let one = Incident {
        failures: other.failures,
        notices: other.notices,
        ..one.clone()
    };
    one == *other
}

/// The id of a probe by its number.
fn probe(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0000 | number)
}
