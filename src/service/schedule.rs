//! What is due when. Pure: the time is handed in, and what is to be started comes back.
//!
//! The next start never depends on when anything came to its end, so a gateway that hangs is tested as often as one that
//! answers. Evenly spaced tests live on the monotonic clock, those of a calendar on the wall clock; `line` says how.
//!
//! What did not start is missed and counted, and is not made up for: of the starts that passed meanwhile only the newest
//! is made, late. After a stop not even that one: its time is over, and the next one comes.

mod grid;
mod line;
mod start;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::Stamp;
use crate::config::plan::Watch;
use crate::probe::name::RouteName;
use grid::jump;
use line::{Lane, Point};
use start::keys;
pub use start::{LineKey, Mood, Past, Start};

/// So many starts at most are looked at one by one, of all lines together, to count those that were missed.
const LOOKED_AT: usize = 100_000;
/// Clocks that drift less apart are left alone, so that nominal times keep their even distances.
const DRIFT: Duration = Duration::from_secs(1);
/// Where a calendar rules, the wall clock is looked at so often: nobody says when it is set.
const LOOK: Duration = Duration::from_secs(30);

/// What is due when.
#[derive(Clone, Debug)]
pub struct Schedule {
    routes: BTreeMap<RouteName, Route>,
    paused: BTreeSet<RouteName>,
    queue: BTreeSet<(Instant, RouteName, usize)>,
    asked: BTreeMap<RouteName, Stamp>,
    /// What both clocks said when they were last held against each other.
    origin: Stamp,
    /// When somebody looked last.
    looked: Instant,
    has_calendar: bool,
}

#[derive(Clone, Debug)]
struct Route {
    watch: Arc<Watch>,
    lanes: Vec<Lane>,
    mood: Mood,
    missed: u64,
}

impl Schedule {
    /// What is due after a start of the service.
    ///
    /// A line that never ran does so within a minute, or sooner where it runs more often; those of a calendar wait for their time. One
    /// that ran before waits for its next time, and what it missed meanwhile is counted.
    pub fn new(watches: &BTreeMap<RouteName, Arc<Watch>>, past: &Past, now: Stamp) -> Self {
        let mut schedule = Self {
            routes: BTreeMap::new(),
            paused: past.paused.clone(),
            queue: BTreeSet::new(),
            asked: BTreeMap::new(),
            origin: now,
            looked: now.mono,
            has_calendar: false,
        };
        schedule.fill(watches, &past.last, now);
        schedule
    }

    /// When [`Schedule::due`] is to be asked next.
    pub fn next(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|asked| asked.mono).min();
        let look = self.has_calendar.then(|| self.looked + LOOK);
        let first = self.queue.first().map(|(at, _, _)| *at);
        [asked, look, first].into_iter().flatten().min()
    }

    /// What is due. Asked late, it tells the time when it was due, and counts what it skips.
    pub fn due(&mut self, now: Stamp) -> Vec<Start> {
        self.adjust(now);
        self.looked = now.mono;
        let mut starts = Vec::new();
        let limit = self.limit();
        while self.queue.first().is_some_and(|(at, _, _)| *at <= now.mono) {
            let Some((_, name, place)) = self.queue.pop_first() else {
                break;
            };
            starts.extend(self.start(&name, place, limit, now));
        }
        for (name, asked) in std::mem::take(&mut self.asked) {
            let lanes = self.routes.get(&name).map(|route| &route.lanes);
            for (place, lane) in lanes.into_iter().flatten().enumerate() {
                if starts.iter().all(|start: &Start| start.key != lane.key) {
                    starts.push(Start {
                        key: lane.key.clone(),
                        line: place,
                        tests: lane.tests.clone(),
                        due: asked,
                        missed: 0,
                        is_asked: true,
                    });
                }
            }
        }
        starts
    }

    /// Goes by other watches. Lines whose timing is the same keep their times; others are new.
    pub fn reload(&mut self, watches: &BTreeMap<RouteName, Arc<Watch>>, now: Stamp) {
        self.adjust(now);
        self.fill(watches, &BTreeMap::new(), now);
    }

    /// How a route is from now on: one that fails is tested more often, one that is lost less.
    pub fn set_mood(&mut self, name: &RouteName, mood: Mood, now: Stamp) {
        self.adjust(now);
        let origin = self.origin;
        if let Some(route) = self.routes.get_mut(name) {
            route.mood = mood;
        }
        self.replan(name, |lane, watch| {
            let is_changed = lane.follow(mood, watch, mapped(origin, now));
            match lane.point {
                // What is due already was due by what held until now.
                Some(point) if is_changed && point.due.mono > now.mono => {
                    lane.next(mapped(origin, now), origin)
                }
                Some(_) | None => lane.point,
            }
        });
    }

    /// Starts nothing of a route any more, but what is asked for.
    pub fn pause(&mut self, name: &RouteName) {
        self.paused.insert(name.clone());
        self.replan(name, |_, _| None);
    }

    /// Goes on with a route at the next of its times. What passed meanwhile was not missed.
    pub fn resume(&mut self, name: &RouteName, now: Stamp) {
        self.adjust(now);
        let origin = self.origin;
        if self.paused.remove(name) {
            self.replan(name, |lane, _| lane.next(mapped(origin, now), origin));
        }
    }

    /// Makes everything of a route due now. Its times stay what they are.
    ///
    /// Somebody who asks for a test wants one: it is made also while the route is paused or in maintenance.
    pub fn trigger(&mut self, name: &RouteName, now: Stamp) {
        if self.routes.contains_key(name) {
            self.asked.insert(name.clone(), now);
        }
    }

    /// Whether somebody paused a route.
    pub fn is_paused(&self, name: &RouteName) -> bool {
        self.paused.contains(name)
    }

    /// How many starts of a route were missed since the service runs, and between the last run and that.
    pub fn missed(&self, name: &RouteName) -> u64 {
        self.routes.get(name).map_or(0, |route| route.missed)
    }

    /// When a route is tested next, by its schedule.
    pub fn upcoming(&self, name: &RouteName) -> Option<Timestamp> {
        let lanes = self.routes.get(name).map(|route| &route.lanes);
        let points = lanes.into_iter().flatten().filter_map(|lane| lane.point);
        points.map(|point| point.due.wall).min()
    }

    fn start(&mut self, name: &RouteName, place: usize, limit: usize, now: Stamp) -> Option<Start> {
        let origin = self.origin;
        let route = self.routes.get_mut(name)?;
        let lane = route.lanes.get_mut(place)?;
        let point = lane.point.take()?;
        let is_off = |moment| is_off(&route.watch, moment);
        let (newest, missed) = lane.newest(point, (now, origin), limit, &is_off);
        route.missed = route.missed.saturating_add(missed.into());
        lane.missed = lane.missed.saturating_add(missed);
        let after = newest.map_or(mapped(origin, now), |newest| newest.due);
        lane.point = lane.next(after, origin);
        if let Some(point) = lane.point {
            self.queue.insert((point.due.mono, name.clone(), place));
        }
        let due = newest?.due;
        (!is_off(due.wall) && !is_off(now.wall)).then(|| Start {
            key: lane.key.clone(),
            line: place,
            tests: lane.tests.clone(),
            due,
            missed: std::mem::take(&mut lane.missed),
            is_asked: false,
        })
    }

    /// Gives each line of a route the start that it waits for.
    fn replan(&mut self, name: &RouteName, plan: impl Fn(&mut Lane, &Watch) -> Option<Point>) {
        let Some(route) = self.routes.get_mut(name) else {
            return;
        };
        for (place, lane) in route.lanes.iter_mut().enumerate() {
            if let Some(old) = lane.point {
                self.queue.remove(&(old.due.mono, name.clone(), place));
            }
            lane.point = plan(lane, &route.watch);
            if let Some(new) = lane.point {
                self.queue.insert((new.due.mono, name.clone(), place));
            }
        }
    }

    fn fill(
        &mut self,
        watches: &BTreeMap<RouteName, Arc<Watch>>,
        last: &BTreeMap<LineKey, Timestamp>,
        now: Stamp,
    ) {
        let limit = limit(watches.values().map(|watch| watch.lines.len()).sum());
        let now = mapped(self.origin, now);
        let mut old = std::mem::take(&mut self.routes);
        for (name, watch) in watches.iter().filter(|(_, watch)| watch.enabled) {
            let mut route = Route {
                watch: Arc::clone(watch),
                lanes: Vec::with_capacity(watch.lines.len()),
                mood: Mood::Well,
                missed: 0,
            };
            let mut lanes = Vec::new();
            if let Some(old) = old.remove(name) {
                route.mood = old.mood;
                route.missed = old.missed;
                lanes = old.lanes;
            }
            let is_paused = self.paused.contains(name);
            for (key, line) in keys(name, watch).into_iter().zip(&watch.lines) {
                let known = lanes.iter().position(|lane| lane.key == key);
                let mut lane = if let Some(known) = known {
                    lanes.swap_remove(known).renewed(line)
                } else {
                    let last = last.get(&key).copied();
                    let mut lane = Lane::new(key, line, last, now);
                    if let Some(last) = last.filter(|_| !is_paused) {
                        let is_off = |moment| is_off(watch, moment);
                        lane.missed = lane.missed_since(last, now.wall, limit, &is_off);
                        route.missed = route.missed.saturating_add(lane.missed.into());
                    }
                    lane
                };
                let is_changed = lane.follow(route.mood, watch, now);
                if !is_paused && (is_changed || lane.point.is_none()) {
                    lane.point = lane.next(now, self.origin);
                }
                route.lanes.push(lane);
            }
            self.routes.insert(name.clone(), route);
        }
        self.asked.retain(|name, _| self.routes.contains_key(name));
        self.queue_up();
    }

    /// Holds the clocks against each other. Where they went apart, the wall clock was set, or the machine slept.
    fn adjust(&mut self, now: Stamp) {
        let jump = jump(self.origin, now);
        if jump.unsigned_abs() < DRIFT {
            return;
        }
        let old = std::mem::replace(&mut self.origin, now);
        let limit = self.limit();
        for route in self.routes.values_mut() {
            let watch = &route.watch;
            for lane in &mut route.lanes {
                let missed = lane.adjust(jump, (old, now), limit, &|moment| is_off(watch, moment));
                lane.missed = lane.missed.saturating_add(missed);
                route.missed = route.missed.saturating_add(missed.into());
            }
        }
        self.queue_up();
    }

    /// Puts every line into the queue that waits for a start.
    fn queue_up(&mut self) {
        self.queue.clear();
        self.has_calendar = false;
        for (name, route) in &self.routes {
            for (place, lane) in route.lanes.iter().enumerate() {
                if let Some(point) = lane.point {
                    self.queue.insert((point.due.mono, name.clone(), place));
                    self.has_calendar |= lane.is_by_calendar();
                }
            }
        }
    }

    fn limit(&self) -> usize {
        limit(self.routes.values().map(|route| route.lanes.len()).sum())
    }
}

/// How many starts of each line are looked at.
fn limit(lines: usize) -> usize {
    LOOKED_AT / lines.max(1)
}

/// `now`, its wall clock read as the schedule's.
fn mapped(origin: Stamp, now: Stamp) -> Stamp {
    Stamp {
        wall: origin.wall_at(now.mono),
        mono: now.mono,
    }
}

fn is_off(watch: &Watch, moment: Timestamp) -> bool {
    watch.maintenance.iter().any(|time| time.covers(moment))
}
