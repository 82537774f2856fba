//! Probes that are put away and taken up: what outlives this process, and what need not be held in memory any longer.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Ledger;
use crate::clock::Stamp;
use crate::config::plan::Plan;
use crate::engine::flight::{Flight, Stage};
use crate::engine::kept::{Kept, Lost};
use crate::probe::tag::Signer;

impl Ledger {
    /// What the store needs to know of a probe, so that another process can take it up.
    pub fn kept(&self, id: Uuid, now: Stamp) -> Option<Kept> {
        Some(self.flights.get(&id)?.keep(now))
    }

    /// Notes that a probe is sent though the history cannot be written.
    pub fn unstored(&mut self, id: Uuid) {
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.unstored = true;
        }
    }

    /// Whether a probe has its outcome, and what that is worth is known, too.
    pub fn is_judged(&self, id: Uuid) -> bool {
        self.flights.get(&id).is_some_and(|flight| {
            matches!(flight.stage, Stage::Settled(_)) && !self.awaits_control(flight)
        })
    }

    /// Whether a probe is here, settled or not.
    pub fn knows(&self, id: Uuid) -> bool {
        self.flights.contains_key(&id)
    }

    /// Takes up a probe that was put away; one that has its outcome waits here for its control, or for what a late message
    /// changes.
    pub fn restore(
        &mut self,
        id: Uuid,
        kept: Kept,
        who: (&Plan, &Signer),
        now: Stamp,
    ) -> Result<(), Lost> {
        if self.knows(id) {
            return Ok(());
        }
        let mut flight = Flight::restore(id, kept, who, now)?;
        self.join(id, flight.cycle);
        if let Stage::Settled(_) = flight.stage {
            let control = flight.control.filter(|control| self.is_open(*control));
            if let Some(control) = control {
                self.waiting.entry(control).or_default().push(id);
            }
            self.flights.insert(id, flight);
            return Ok(());
        }
        let route = &flight.route;
        for mailbox in [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()]
            .into_iter()
            .flatten()
        {
            let watched = self.mailboxes.entry(mailbox.clone()).or_default();
            watched.open.insert((flight.began.mono, id));
            watched.youngest = watched.youngest.max(Some(flight.began.mono));
            watched.largest = watched.largest.max(flight.size);
        }
        let timer = match flight.stage {
            Stage::Travelling(due) => {
                let mailbox = route.mailbox.name.clone();
                let watched = self.mailboxes.entry(mailbox).or_default();
                watched.due.insert((due, id));
                // However long ago the deadline was: a first look must have its time.
                due.max(now.mono) + route.blind_grace
            }
            Stage::Deferred(at) => at,
            Stage::Submitting | Stage::Settled(_) => now.mono,
        };
        flight.timer = Some(timer);
        self.timers.insert((timer, id));
        self.flights.insert(id, flight);
        self.open += 1;
        Ok(())
    }

    /// Notes that a probe is of a cycle: none of that is let go of before all are.
    pub(super) fn join(&mut self, id: Uuid, cycle: Option<Uuid>) {
        if let Some(control) = cycle {
            self.cycles
                .entry(control)
                .or_default()
                .extend([control, id]);
        }
    }

    /// Lets go of a probe that has its outcome, as soon as no other one of its cycle needs it to be judged. Those that are
    /// gone now.
    pub fn forget(&mut self, id: Uuid) -> Vec<Uuid> {
        if self.is_open(id) {
            return Vec::new();
        }
        let cycle = self.flights.get(&id).and_then(|flight| flight.cycle);
        let control = cycle.unwrap_or(id);
        let mut going = BTreeSet::from([id]);
        if let Some(members) = self.cycles.get(&control) {
            self.retired.insert(id);
            let stays = |id: &Uuid| self.flights.contains_key(id) && !self.retired.contains(id);
            if members.iter().any(stays) {
                return Vec::new();
            }
            going.extend(self.cycles.remove(&control).unwrap_or_default());
        }
        self.twins.remove(&control);
        for id in &going {
            self.retired.remove(id);
            if let Some(flight) = self.flights.remove(id) {
                self.calm_down(&flight);
            }
        }
        going.into_iter().collect()
    }

    /// Where nothing is awaited any more, nothing needs to be looked at often.
    fn calm_down(&mut self, flight: &Flight) {
        for mailbox in [
            Some(&flight.route.mailbox.name),
            flight.route.bounce_mailbox.as_ref(),
        ] {
            let watched = mailbox.and_then(|name| self.mailboxes.get_mut(name));
            if let Some(watched) = watched.filter(|watched| watched.open.is_empty()) {
                watched.youngest = None;
            }
        }
    }

    /// How many probes are being handed over at this moment.
    pub fn submitting(&self) -> usize {
        let stages = self.flights.values().map(|flight| &flight.stage);
        stages.filter(|stage| **stage == Stage::Submitting).count()
    }

    /// The probes without an outcome, by their start.
    pub fn open_probes(&self) -> impl Iterator<Item = Uuid> {
        let open = self
            .flights
            .iter()
            .filter(|(_, flight)| !matches!(flight.stage, Stage::Settled(_)));
        open.map(|(id, _)| *id)
    }
}
