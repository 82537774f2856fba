//! What the service shows, and what it does when it is asked to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use super::super::alert::Event;
use super::super::status::{
    Activity, AlertView, Command, MailboxView, Refusal, RouteView, Snapshot, TestView,
};
use super::{AskedFor, Daemon};
use crate::clock::Stamp;
use crate::config::plan::Watch;
use crate::engine::ledger::Ledger;
use crate::probe::name::RouteName;
use crate::probe::state::{State, TestKey};
use crate::store::Write;

/// The fact that says whether a route is paused.
pub(super) const PAUSED: &str = "paused ";

impl Daemon {
    /// Does what somebody asks for.
    pub(super) fn obey(&mut self, command: Command, now: Stamp) {
        // Whoever asked may have gone.
        match command {
            Command::Look(reply) => drop(reply.send(Box::new(self.snapshot(now)))),
            Command::InFlight(route, reply) => drop(reply.send(self.under_way(route.as_ref()))),
            Command::Trigger(route, reply) => {
                let due = self.trigger(&route, now);
                answer(reply, due);
            }
            Command::Acknowledge {
                route,
                by,
                note,
                reply,
            } => answer(reply, self.acknowledge(route, by, note, now.wall)),
            Command::Pause(route, reply) => answer(reply, self.pause(&route, true, now)),
            Command::Resume(route, reply) => answer(reply, self.pause(&route, false, now)),
        }
    }

    /// Has a route tested now. Of cycles that are asked for there is one at a time.
    fn trigger(&mut self, route: &RouteName, now: Stamp) -> Result<Timestamp, Refusal> {
        self.testable(route)?;
        if let Some(cycle) = self.asked_for.get(route) {
            return Ok(cycle.due);
        }
        if !self.is_room_for(self.planned(route).len().max(1)) {
            return Err(Refusal::Full(route.clone()));
        }
        self.schedule.trigger(route, now);
        let cycle = AskedFor {
            due: now.wall,
            open: 0,
        };
        self.asked_for.insert(route.clone(), cycle);
        Ok(now.wall)
    }

    fn testable(&self, route: &RouteName) -> Result<(), Refusal> {
        let refused = |why| Err(Refusal::NotTested(route.clone(), why));
        match self.plan.watches.get(route) {
            None => Err(Refusal::NoRoute(route.clone())),
            Some(watch) if !watch.enabled => refused("the config has `enabled = false`"),
            Some(_) if self.schedule.is_paused(route) => refused("it is paused"),
            Some(_) => Ok(()),
        }
    }

    fn acknowledge(
        &mut self,
        route: RouteName,
        by: String,
        note: String,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !self.plan.watches.contains_key(&route) {
            return Err(Refusal::NoRoute(route));
        }
        let fails = self
            .board
            .tests(&route)
            .any(|(_, standing)| standing.incident.is_some());
        if !fails {
            return Err(Refusal::NothingFails(route));
        }
        let note = Some(note).filter(|note| !note.is_empty());
        let event = Event::Acknowledge { route, by, note };
        let effects = self.board.step(event, now);
        self.follow(effects, Vec::new(), Vec::new());
        Ok(())
    }

    fn pause(&mut self, route: &RouteName, pause: bool, now: Stamp) -> Result<(), Refusal> {
        if !self.plan.watches.contains_key(route) {
            return Err(Refusal::NoRoute(route.clone()));
        }
        if pause {
            self.schedule.pause(route);
        } else {
            self.schedule.resume(route, now);
        }
        let name = format!("{PAUSED}{route}");
        let value = pause.then(|| now.wall.to_string());
        self.keep(vec![Write::Fact { name, value }], Vec::new());
        Ok(())
    }

    /// The probes in flight, as the result document has them.
    fn under_way(&self, route: Option<&RouteName>) -> Vec<Value> {
        let mut probes = Vec::new();
        for generation in &self.generations {
            let ledger = &generation.traffic.ledger;
            for id in ledger.open_probes() {
                let record = ledger.record(id, &self.identity.instance);
                let wanted = record.filter(|it| route.is_none_or(|route| it.route == *route));
                let Some(Ok(mut object)) = wanted.map(serde_json::to_value) else {
                    continue;
                };
                for unknown in ["outcome", "verdict", "code", "reason"] {
                    if let Some(field) = object.get_mut(unknown) {
                        *field = Value::Null;
                    }
                }
                probes.push(object);
            }
        }
        probes
    }

    /// Whether whoever waits for the heartbeat may go on sleeping.
    pub(super) fn is_well(&self) -> bool {
        let states = self
            .plan
            .watches
            .keys()
            .map(|it| self.board.route_state(it));
        let is_fine = |state| match state {
            State::Up | State::Degraded => true,
            State::Unknown | State::Down | State::Lost => false,
        };
        states.into_iter().all(is_fine)
            && self.store.problem.is_none()
            && self.config_problem.is_none()
            && self.stopping.is_none()
    }

    /// What is seen now.
    fn snapshot(&self, now: Stamp) -> Snapshot {
        let mut in_flight: BTreeMap<&RouteName, usize> = BTreeMap::new();
        let ledgers = self.generations.iter().map(|it| &it.traffic.ledger);
        for id in ledgers.flat_map(Ledger::open_probes) {
            if let Some(underway) = self.flights.get(&id) {
                *in_flight.entry(&underway.route).or_default() += 1;
            }
        }
        let watches = self.plan.watches.iter().map(|it| {
            let in_flight = in_flight.get(it.0).copied().unwrap_or_default();
            self.route(it, in_flight, now)
        });
        Snapshot {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.identity.instance.clone(),
            at: now.wall,
            started_at: self.started.wall,
            activity: if self.stopping.is_some() {
                Activity::Stopping
            } else {
                Activity::Testing
            },
            routes: watches.collect(),
            mailboxes: self
                .mailboxes
                .iter()
                .map(|(name, problem)| MailboxView {
                    name: name.clone(),
                    connected: problem.is_none(),
                    problem: problem.clone(),
                })
                .collect(),
            alerts: self
                .channels
                .iter()
                .map(|(name, channel)| AlertView {
                    name: name.clone(),
                    waiting: channel.waiting.len(),
                    problem: channel.problem.clone(),
                })
                .collect(),
            store: self.store.clone(),
            config_problem: self.config_problem.clone(),
        }
    }

    fn route(
        &self,
        (name, watch): (&RouteName, &Arc<Watch>),
        in_flight: usize,
        now: Stamp,
    ) -> RouteView {
        let mut maintenance = watch.maintenance.iter();
        let pinging = self.pinging.get(name).copied().unwrap_or_default();
        let crowded_out = self.crowded_out.get(name).copied().unwrap_or_default();
        let mut acknowledged = self
            .board
            .tests(name)
            .filter_map(|(_, standing)| standing.incident.as_ref()?.acknowledged.clone());
        RouteView {
            name: name.clone(),
            state: self.board.route_state(name),
            enabled: watch.enabled,
            paused: self.schedule.is_paused(name),
            maintenance: maintenance.any(|time| time.covers(now.wall)),
            acknowledged: acknowledged.next(),
            in_flight: in_flight + pinging,
            next_due: self.schedule.upcoming(name),
            missed: self.schedule.missed(name) + crowded_out,
            tests: self.tests(name),
        }
    }

    /// The tests that the config has, and those that stand in its stead.
    fn tests(&self, name: &RouteName) -> Vec<TestView> {
        let mut keys: Vec<_> = self.planned(name);
        for (key, _) in self.board.tests(name) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let view = |key: TestKey| {
            let standing = self.board.standing(&key);
            TestView {
                test: key.test.to_string(),
                state: standing.map(|it| it.state).unwrap_or_default(),
                // One that has never changed has no time.
                since: standing
                    .map(|it| it.since)
                    .filter(|since| *since != Timestamp::UNIX_EPOCH),
                failures: standing.map(|it| it.failures.count).unwrap_or_default(),
                last: self.last.get(&key).map(|(_, last)| last.clone()),
            }
        };
        keys.into_iter().map(view).collect()
    }

    /// What the config has tested on a route.
    pub(super) fn planned(&self, name: &RouteName) -> Vec<TestKey> {
        if self.plan.pings.contains_key(name) {
            return vec![TestKey::new(name.clone(), "ping", "")];
        }
        let tests = self.plan.routes.get(name).map(|route| &route.tests);
        let key = |test: &crate::config::plan::Test| TestKey::sent(name.clone(), &test.sample);
        tests.into_iter().flatten().map(key).collect()
    }
}

fn answer<T>(reply: oneshot::Sender<Result<T, Refusal>>, done: Result<T, Refusal>) {
    // Whoever asked may have gone.
    let _ = reply.send(done);
}
