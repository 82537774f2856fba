//! From a due time to an outcome: probes are made, kept, handed over, and told of what happens to them.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::super::keeper::{Kept, said};
use super::super::schedule::Start;
use super::results::Pinged;
use super::{Daemon, Errand, Then, Underway};
use crate::clock::Stamp;
use crate::config::plan::Ping;
use crate::engine::cycle::Cycle;
use crate::engine::ledger::{Effect, Event};
use crate::engine::pending::{Pending, Prospect};
use crate::engine::ping::{each_address, ping};
use crate::engine::traffic::Happened;
use crate::mailbox;
use crate::probe::name::RouteName;
use crate::probe::state::TestKey;
use crate::store::Write;

/// A cycle, and what was looked up before it is begun.
pub(super) struct Foreseen {
    cycle: Cycle,
    due: Stamp,
    is_asked: bool,
    prospect: Prospect,
}

impl Daemon {
    /// Starts what is due.
    pub(super) fn start_due(&mut self, now: Stamp) {
        for start in self.schedule.due(now) {
            if !start.is_asked {
                let missed = self.schedule.missed(&start.key.route);
                let line = serde_json::to_string(&start.key).unwrap_or_default();
                let due = start.due.wall;
                self.keep(vec![Write::Line { line, due, missed }], Vec::new());
            }
            self.start(start);
        }
        // What was asked for and came to nothing is over.
        self.asked_for.retain(|_, cycle| cycle.open > 0);
    }

    fn start(&mut self, start: Start) {
        let Start {
            key, due, is_asked, ..
        } = start;
        let name = key.route;
        // Whoever asked was told that there is room.
        let may = |daemon: &mut Self, count| {
            is_asked || daemon.is_room_for(count) || daemon.crowd_out(&name)
        };
        if let Some(ping) = self.plan.pings.get(&name) {
            let ping = Arc::clone(ping);
            if may(self, 1) {
                self.speak(ping, due.wall, is_asked);
            }
            return;
        }
        let Some(route) = self.plan.routes.get(&name).map(Arc::clone) else {
            return;
        };
        let tests = start.tests.iter().filter_map(|at| route.tests.get(*at));
        let cycle = Cycle::new(Arc::clone(&route), tests.cloned().collect());
        if !may(self, cycle.tests.len()) {
            return;
        }
        if !route.gateway.each_address && self.lists.is_empty() {
            let prospect = Prospect::whichever();
            return self.begin(&Foreseen {
                cycle,
                due,
                is_asked,
                prospect,
            });
        }
        self.asked_for_begins(&route.name, is_asked);
        let (gateway, lists) = (Arc::clone(&route.gateway), Arc::clone(&self.lists));
        self.errands.spawn(async move {
            let prospect = Prospect::of(&gateway, &lists).await;
            Errand::Foreseen(Box::new(Foreseen {
                cycle,
                due,
                is_asked,
                prospect,
            }))
        });
    }

    /// What was looked up before a cycle is there: it begins.
    pub(super) fn foreseen(&mut self, foreseen: &Foreseen) {
        self.begin(foreseen);
        self.asked_for_ends(&foreseen.cycle.route.name, foreseen.is_asked);
    }

    /// Part of a cycle that somebody asked for begins.
    fn asked_for_begins(&mut self, route: &RouteName, is_asked: bool) {
        if let Some(cycle) = self.asked_for.get_mut(route).filter(|_| is_asked) {
            cycle.open += 1;
        }
    }

    /// Part of a cycle that somebody asked for is done.
    pub(super) fn asked_for_ends(&mut self, route: &RouteName, is_asked: bool) {
        if let Some(cycle) = self.asked_for.get_mut(route).filter(|_| is_asked) {
            cycle.open = cycle.open.saturating_sub(1);
            if cycle.open == 0 {
                self.asked_for.remove(route);
            }
        }
    }

    /// Whether so many more may be in flight. A cycle that is larger than all that may be is sent by itself.
    pub(super) fn is_room_for(&self, more: usize) -> bool {
        let (now, most) = (self.in_flight(), self.plan.service.max_in_flight);
        now == 0 || now + more <= most
    }

    /// A route is not tested this time; never `true`.
    fn crowd_out(&mut self, route: &RouteName) -> bool {
        tracing::warn!(%route, "not tested, as `max_in_flight` probes are under way");
        *self.crowded_out.entry(route.clone()).or_default() += 1;
        false
    }

    /// Speaks to a server, to each of its addresses where that is wanted.
    fn speak(&mut self, it: Arc<Ping>, due: Timestamp, is_asked: bool) {
        let seq = self.seq();
        self.asked_for_begins(&it.name, is_asked);
        let (lists, instance) = (Arc::clone(&self.lists), self.identity.instance.clone());
        *self.pinging.entry(it.name.clone()).or_default() += 1;
        self.errands.spawn(async move {
            let mut records = Vec::new();
            for address in each_address(&it).await {
                records.push(ping(&it, address, &lists, (&instance, due)).await);
            }
            Errand::Pinged(Pinged {
                route: it.name.clone(),
                is_asked,
                seq,
                records,
            })
        });
    }

    /// Makes the probes of a cycle. Each is handed over as soon as it is kept.
    pub(super) fn begin(&mut self, foreseen: &Foreseen) {
        let Foreseen {
            cycle,
            due,
            is_asked,
            prospect,
        } = foreseen;
        let mut groups = Vec::new();
        if prospect.addresses.len() > 1 {
            for _ in &cycle.tests {
                groups.push(self.seq());
            }
        }
        for address in &prospect.addresses {
            let mut control = None;
            let pending = Pending::of(cycle, *address, &prospect.listings);
            for (at, pending) in pending.enumerate() {
                let made = self.mint.probe(&pending, control, false, *due);
                let probe = match made {
                    Ok(probe) => probe,
                    Err(error) => {
                        let route = &pending.route.name;
                        tracing::error!(%route, "a probe cannot be made: {}", said(&error));
                        continue;
                    }
                };
                let id = probe.tag.id();
                if pending.is_control {
                    control = Some(id);
                }
                let seq = self.seq();
                let group = groups.get(at).copied();
                if let Some(number) = group {
                    self.groups.entry(number).or_default().awaited += 1;
                }
                let underway = Underway {
                    seq,
                    route: pending.route.name.clone(),
                    is_asked: *is_asked,
                    submission: None,
                    group,
                };
                self.asked_for_begins(&underway.route, *is_asked);
                self.flights.insert(id, underway);
                let key = TestKey::sent(pending.route.name.clone(), &pending.test.sample);
                self.launch(id, (seq, key, due.wall), Event::Start(Box::new(probe)));
            }
        }
    }

    /// Registers a probe with the ledger and the store; the store's answer lets it go.
    fn launch(&mut self, id: Uuid, (seq, test, due): (u64, TestKey, Timestamp), event: Event) {
        let Some(generation) = self.current() else {
            return;
        };
        let effects = generation.traffic.step(event);
        let kept = generation.traffic.ledger.kept(id, Stamp::now());
        for effect in effects {
            if let Effect::Submit(id, route, submission) = effect
                && let Some(underway) = self.flights.get_mut(&id)
            {
                underway.submission = Some((route, submission));
            }
        }
        let kept = kept.and_then(|kept| serde_json::to_vec(&kept).ok());
        let begun = Write::Begun {
            seq,
            id,
            test,
            due,
            kept: kept.unwrap_or_default(),
        };
        self.keep(vec![begun], vec![Then::Submit(id)]);
    }

    /// Takes in what a gateway or a mailbox told, or that time has passed.
    pub(super) fn happened(&mut self, number: u32, happened: Happened) {
        let reads = match &happened {
            Happened::Seen(name, event) => match event {
                mailbox::Event::Sighted(_) | mailbox::Event::Looked(_) => Some((name, None)),
                mailbox::Event::Blind(blindness) => {
                    Some((name, Some(blindness.failure.what.clone())))
                }
                // Whether copies stay says nothing about whether they can be read.
                mailbox::Event::Uncleaned(_) => None,
            },
            Happened::Sent(_) | Happened::Time => None,
        };
        if let Some((name, problem)) = reads {
            if problem.is_some() && self.mailboxes.get(name) != Some(&problem) {
                let problem = problem.as_deref().unwrap_or_default();
                tracing::warn!(mailbox = %name, "cannot be read: {problem}");
            }
            self.mailboxes.insert(name.clone(), problem);
        }
        let event = happened.into_event();
        let about = match &event {
            Event::HandedOver(id, _) | Event::Attempted(id, _) => Some(*id),
            Event::Start(_)
            | Event::Sighted(_)
            | Event::Looked(..)
            | Event::Blind(..)
            | Event::Uncleaned(..)
            | Event::Tick
            | Event::Interrupt => None,
        };
        let Some(generation) = self.generation(number) else {
            return;
        };
        let effects = generation.traffic.step(event);
        self.carry_out(number, effects, about);
    }

    /// Does what follows from one step of a ledger. `about`: the probe that has come further.
    pub(super) fn carry_out(&mut self, number: u32, effects: Vec<Effect>, about: Option<Uuid>) {
        let mut further: Vec<Uuid> = about.into_iter().collect();
        let (mut places, mut submits, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Submit(id, route, submission) => {
                    if let Some(underway) = self.flights.get_mut(&id) {
                        underway.submission = Some((route, submission));
                    }
                    further.push(id);
                    submits.push(Then::Submit(id));
                }
                Effect::Dispose(id, place) => {
                    further.push(id);
                    places.push((id, Then::Dispose(number, place)));
                }
                Effect::Accepted(id) | Effect::Deferred(id, _) => further.push(id),
                Effect::Settled(id) => settled.push((id, (false, true))),
                Effect::Revised(id, is_another) => settled.push((id, (true, is_another))),
                Effect::Unknown(sighting) => self.ask(number, sighting),
            }
        }
        further.sort_unstable();
        further.dedup();
        further.retain(|id| !settled.iter().any(|(done, _)| done == id));
        // What has its result is kept with that.
        let ledger = self.generation(number).map(|it| &it.traffic.ledger);
        further.retain(|id| ledger.is_some_and(|ledger| !ledger.is_judged(*id)));
        let mut writes = Vec::new();
        for id in further {
            let seq = self.flights.get(&id).map(|underway| underway.seq);
            let kept = self.put_away(number, id);
            if let (Some(seq), Some(kept)) = (seq, kept) {
                writes.push(Write::Further { seq, kept });
            }
        }
        let (of_settled, of_others): (Vec<_>, Vec<_>) = places
            .into_iter()
            .partition(|(id, _)| settled.iter().any(|(done, _)| done == id));
        submits.extend(of_others.into_iter().map(|(_, then)| then));
        self.keep(writes, submits);
        for (id, how) in settled {
            let own = of_settled.iter().filter(|(of, _)| *of == id);
            let then = own.map(|(_, then)| then.clone()).collect();
            self.settle(number, id, how, then);
        }
    }

    /// What the store is to know of a probe.
    pub(super) fn put_away(&mut self, number: u32, id: Uuid) -> Option<Vec<u8>> {
        let generation = self.generation(number)?;
        let kept = generation.traffic.ledger.kept(id, Stamp::now())?;
        serde_json::to_vec(&kept).ok()
    }

    /// Something was kept, or cannot be.
    pub(super) fn was_kept(&mut self, kept: Kept<Then>) {
        match kept {
            Kept::Stored(then) => self.go_on(then, true),
            Kept::Held(then) => self.go_on(then, false),
            Kept::Lost(then) => {
                if let Then::Dispose(_, place) = then {
                    tracing::warn!(mailbox = %place.mailbox, "a copy stays, as its sighting could not be kept");
                }
            }
            Kept::Recalled(sighting, found) => self.recalled(sighting, found.map(|found| *found)),
            Kept::Trouble(problem) => self.store_trouble(problem),
            Kept::Waiting(waiting, lost) => {
                self.store.waiting = waiting;
                self.store.lost = lost;
            }
        }
    }

    /// What was waited for is kept, or it cannot be kept now: a probe goes out and a notice is told all the same, but
    /// nothing is cleaned up.
    fn go_on(&mut self, then: Then, is_stored: bool) {
        match then {
            Then::Submit(id) => self.submit(id, is_stored),
            Then::Dispose(number, place) => {
                if let Some(generation) = self.generation(number).filter(|_| is_stored) {
                    generation.traffic.dispose(place);
                }
            }
            Then::Tell(alert, notice) => {
                let early = (notice.id, alert.clone());
                if is_stored && self.told_early.remove(&early) {
                    return;
                }
                if !is_stored {
                    self.told_early.insert(early);
                }
                self.offer(&alert, *notice);
            }
        }
    }

    fn submit(&mut self, id: Uuid, is_stored: bool) {
        let submission = self
            .flights
            .get_mut(&id)
            .and_then(|underway| underway.submission.take());
        let Some((route, submission)) = submission else {
            return;
        };
        let holder = |it: &&mut super::Generation| it.traffic.ledger.knows(id);
        let Some(generation) = self.generations.iter_mut().find(holder) else {
            return;
        };
        if !is_stored {
            generation.traffic.ledger.unstored(id);
            self.store.unstored += 1;
        }
        generation.traffic.submit(id, &route, submission);
    }
}
