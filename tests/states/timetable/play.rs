//! Plays a scenario of starts, and holds what was started against what is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mailrobin::clock::Stamp;
use mailrobin::config::plan::Watch;
use mailrobin::probe::name::RouteName;
use mailrobin::service::schedule::{LineKey, Past, Schedule, Start};

use super::{Expect, Scenario, Step};
use crate::value::{START, Span, expanded, meant};

pub(super) struct Play {
    start: Timestamp,
    now: Stamp,
    watches: BTreeMap<RouteName, Arc<Watch>>,
    schedule: Schedule,
    past: Past,
    missed: BTreeMap<RouteName, u64>,
    late: usize,
    pub(super) found: Vec<String>,
}

impl Play {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let start = scenario.start.unwrap_or_else(|| START.parse().unwrap());
        let now = Stamp {
            wall: start,
            mono: Instant::now() + Duration::from_hours(1000),
        };
        let mut past = Past::default();
        let mut watches = BTreeMap::new();
        for (name, route) in expanded(&scenario.routes, |route| route.count) {
            let watch = route.watch(start);
            if let Some(last) = route.last {
                let lines = BTreeMap::from([(name.clone(), Arc::new(watch.clone()))]);
                for key in lines_of(&lines, now) {
                    past.last.insert(key, last.from(start));
                }
            }
            watches.insert(name, Arc::new(watch));
        }
        Self {
            start,
            now,
            schedule: Schedule::new(&watches, &past, now),
            watches,
            past,
            missed: BTreeMap::new(),
            late: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        let mut starts = Vec::new();
        if let Some(Span(time)) = step.run {
            starts.extend(self.run(time));
        }
        if let Some(Span(time)) = step.stall {
            self.now = self.now + time;
            starts.extend(self.due());
        }
        if let Some(Span(time)) = step.suspend {
            self.now.wall += time;
            starts.extend(self.due());
        }
        if let Some(time) = step.set {
            let by = time.from(Timestamp::UNIX_EPOCH).as_duration();
            self.now.wall += by;
        }
        if let Some(Span(time)) = step.stop {
            self.now = self.now + time;
            self.schedule = Schedule::new(&self.watches, &self.past, self.now);
            self.missed.clear();
        }
        for (route, mood) in &step.moods {
            self.schedule
                .set_mood(&route.as_str().into(), *mood, self.now);
        }
        for route in &step.pause {
            self.schedule.pause(&route.as_str().into());
            self.past.paused.insert(route.as_str().into());
        }
        for route in &step.resume {
            self.schedule.resume(&route.as_str().into(), self.now);
            self.past.paused.remove(&RouteName::from(route.as_str()));
        }
        for route in &step.trigger {
            self.schedule.trigger(&route.as_str().into(), self.now);
        }
        for (routes, enabled) in [(&step.enable, true), (&step.disable, false)] {
            for route in routes {
                let watch = self.watches.get_mut(&RouteName::from(route.as_str()));
                Arc::make_mut(watch.unwrap()).enabled = enabled;
            }
            if !routes.is_empty() {
                self.schedule.reload(&self.watches, self.now);
            }
        }
        self.keep(&starts);
        self.compare(&starts, &step.expect);
    }

    /// Lets time pass, and asks whenever it is asked for.
    fn run(&mut self, time: Duration) -> Vec<Start> {
        let end = self.now + time;
        let mut starts = Vec::new();
        while let Some(at) = self.schedule.next().filter(|at| *at <= end.mono) {
            self.now = self.now + at.saturating_duration_since(self.now.mono);
            starts.extend(self.due());
        }
        self.now = self.now + end.since(self.now);
        starts
    }

    fn due(&mut self) -> Vec<Start> {
        let starts = self.schedule.due(self.now);
        let is_late = |start: &&Start| start.due.mono != self.now.mono && !start.is_asked;
        self.late += starts.iter().filter(is_late).count();
        starts
    }

    fn keep(&mut self, starts: &[Start]) {
        for start in starts.iter().filter(|start| !start.is_asked) {
            self.past.last.insert(start.key.clone(), start.due.wall);
        }
    }

    fn compare(&mut self, starts: &[Start], expect: &Expect) {
        let mut by_line: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for start in starts {
            let name = match (start.line, start.is_asked) {
                (0, false) => start.key.route.to_string(),
                (0, true) => format!("{} asked", start.key.route),
                (line, false) => format!("{} {line}", start.key.route),
                (line, true) => format!("{} {line} asked", start.key.route),
            };
            by_line.entry(name).or_default().push(start.due.wall);
        }
        for (line, due) in &by_line {
            match expect.starts.get(line) {
                None => self.found.push(format!("{line} was started at {due:?}")),
                Some(wanted) => {
                    if let Some(found) = wanted.differs(due, self.start) {
                        self.found.push(format!("{line} was started {found}"));
                    }
                }
            }
        }
        for line in expect.starts.keys() {
            if !by_line.contains_key(line) {
                self.found.push(format!("{line} was not started"));
            }
        }
        let mut missed = BTreeMap::new();
        for route in self.watches.keys() {
            let count = self.schedule.missed(route);
            if self.missed.insert(route.clone(), count).unwrap_or(0) != count {
                missed.insert(route.to_string(), count);
            }
        }
        let wanted = expect.missed.iter().flat_map(|(route, count)| {
            let routes = meant(route, self.watches.keys());
            routes.into_iter().map(|route| (route.to_string(), *count))
        });
        let wanted: BTreeMap<_, _> = wanted.collect();
        if missed != wanted {
            self.found
                .push(format!("missed: {missed:?} instead of {wanted:?}"));
        }
        let late = std::mem::take(&mut self.late);
        if late != expect.late {
            let wanted = expect.late;
            self.found
                .push(format!("{late} were late instead of {wanted}"));
        }
        for (route, time) in &expect.upcoming {
            let upcoming = self.schedule.upcoming(&route.as_str().into());
            let wanted = Some(time.from(self.start));
            if upcoming != wanted {
                self.found
                    .push(format!("upcoming: {upcoming:?} instead of {wanted:?}"));
            }
        }
    }
}

/// The keys of a route's lines, which only its starts tell.
fn lines_of(watches: &BTreeMap<RouteName, Arc<Watch>>, now: Stamp) -> Vec<LineKey> {
    let mut schedule = Schedule::new(watches, &Past::default(), now);
    for name in watches.keys() {
        schedule.trigger(name, now);
    }
    let starts = schedule.due(now);
    starts.into_iter().map(|start| start.key).collect()
}
