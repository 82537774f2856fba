//! Messages of probes that the ledger does not hold any more: the history may know them.

use std::sync::Arc;

use uuid::Uuid;

use super::super::keeper::{Found, Order};
use super::{Asked, Daemon, Generation, Then, Underway};
use crate::clock::Stamp;
use crate::engine::kept::Kept;
use crate::engine::ledger::Event;
use crate::probe::facts::Sighting;
use crate::probe::tag::Tag;
use crate::store::Recalled;

impl Daemon {
    /// A message of a probe that the ledger does not hold: the store may know it. What it says of one message is taken in
    /// before it is asked about the next of the same probe, or the second would undo what the first has changed.
    pub(super) fn ask(&mut self, number: u32, sighting: Box<Sighting>) {
        let Some(tag) = sighting.recognised.tag else {
            return;
        };
        let is_ours = tag.instance() == self.identity.signer.instance();
        let id = tag.id();
        let is_elsewhere = |it: &Generation| it.traffic.ledger.knows(id);
        if !is_ours || self.generations.iter().any(is_elsewhere) {
            return;
        }
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.more.push((number, sighting));
            return;
        }
        let more = Vec::new();
        self.asked.insert(id, Asked { number, more });
        // The keeper lives as long as we do.
        let _ = self.orders.send(Order::Recall(id, sighting));
    }

    /// What the store knows of a message's probe.
    pub(super) fn recalled(&mut self, sighting: Box<Sighting>, found: Option<Found>) {
        let Some(tag) = sighting.recognised.tag else {
            return;
        };
        let id = tag.id();
        let Some(Asked { number, more }) = self.asked.remove(&id) else {
            return;
        };
        match found {
            Some(found) => self.known(number, id, sighting, found),
            None => self.leftover(number, tag, &sighting),
        }
        for (number, sighting) in more {
            let knows = |it: &mut Generation| it.traffic.ledger.knows(id);
            if self.generation(number).is_some_and(knows) {
                self.sighted(number, sighting);
            } else {
                self.ask(number, sighting);
            }
        }
    }

    /// Takes in a message of a probe that the ledger holds.
    fn sighted(&mut self, number: u32, sighting: Box<Sighting>) {
        if let Some(generation) = self.generation(number) {
            let effects = generation.traffic.step(Event::Sighted(sighting));
            self.carry_out(number, effects, None);
        }
    }

    /// A message of a probe of the history: its record may be another now.
    fn known(&mut self, number: u32, id: Uuid, sighting: Box<Sighting>, found: Found) {
        let Recalled {
            seq,
            is_settled,
            kept,
        } = found.probe;
        let Some(kept) = kept else {
            // Its record is final, and kept: what still comes of it is of no more interest.
            if is_settled {
                self.keep(Vec::new(), vec![Then::Dispose(number, sighting.place)]);
            }
            return;
        };
        let plan = Arc::clone(&self.plan);
        let signer = self.identity.signer.clone();
        let now = Stamp::now();
        let Some(generation) = self.generation(number) else {
            return;
        };
        let ledger = &mut generation.traffic.ledger;
        let Ok(kept) = serde_json::from_slice::<Kept>(&kept) else {
            return;
        };
        let route = kept.route().clone();
        if ledger.restore(id, kept, (&plan, &signer), now).is_err() {
            return;
        }
        if let Some((control, recalled)) = found.control
            && let Some(kept) = recalled.kept
            && let Ok(kept) = serde_json::from_slice(&kept)
            && !ledger.knows(control)
            && ledger.restore(control, kept, (&plan, &signer), now).is_ok()
        {
            // It has its outcome, and is only needed by this one.
            ledger.forget(control);
        }
        self.flights.entry(id).or_insert(Underway {
            seq,
            route,
            is_asked: false,
            submission: None,
            group: None,
        });
        self.sighted(number, sighting);
        let Some(generation) = self.generation(number) else {
            return;
        };
        for id in generation.traffic.ledger.forget(id) {
            self.flights.remove(&id);
        }
    }

    /// A message of our own that the store does not know: of a history that is gone. It is swept once it is too old to be
    /// awaited by anybody.
    fn leftover(&mut self, number: u32, tag: Tag, sighting: &Sighting) {
        let age = tag.age(self.started, Stamp::now());
        if age.is_some_and(|age| age > self.plan.longest_flight()) {
            let place = sighting.place.clone();
            tracing::info!(mailbox = %place.mailbox, "a leftover that the history does not know is swept");
            self.keep(Vec::new(), vec![Then::Dispose(number, place)]);
        }
    }
}
