//! What is told of the probes: their records.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Ledger, Watched};
use crate::engine::flight::{Flight, Stage};
use crate::judge::verdict::Judgement;
use crate::probe::name::MailboxName;
use crate::probe::record::Record;

impl Ledger {
    /// What is known of a probe.
    pub fn record(&self, id: Uuid, instance: &str) -> Option<Record> {
        let flight = self.flights.get(&id)?;
        let control = flight
            .control
            .and_then(|control| self.flights.get(&control));
        let twins = self.came_through(flight.control);
        let record = flight.record(instance, control.map(Flight::as_control), &twins);
        Some(with_remainder(record, flight, &self.mailboxes))
    }

    /// What a probe comes to, as far as is known.
    pub(super) fn judgement(&self, id: Uuid) -> Option<Judgement> {
        let flight = self.flights.get(&id)?;
        let settled = matches!(flight.stage, Stage::Settled(_));
        let control = flight
            .control
            .and_then(|control| self.flights.get(&control));
        settled.then(|| flight.judgement(control.map(Flight::as_control)))
    }

    /// The record of every probe, in the order of their ids, which is that of their start.
    pub fn into_records(self, instance: &str) -> impl Iterator<Item = Record> {
        let controls: BTreeSet<_> = self
            .flights
            .values()
            .filter_map(|flight| flight.control)
            .collect();
        // Records take the place of flights one by one, as there may be thousands: what they need of others is kept.
        let kept = |id: Uuid| {
            let control = self.flights.get(&id).map(Flight::as_control);
            let twins = self.came_through(Some(id));
            let twins = twins
                .into_iter()
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
            (id, (control, twins.collect::<Vec<_>>()))
        };
        let cycles: BTreeMap<_, _> = controls.into_iter().map(kept).collect();
        let mailboxes = self.mailboxes;
        self.flights.into_values().map(move |flight| {
            let cycle = flight.control.and_then(|id| cycles.get(&id));
            let (control, twins) =
                cycle.map_or((None, [].as_slice()), |(control, twins)| (*control, twins));
            let twins: Vec<_> = twins
                .iter()
                .map(|(name, kind)| (name.as_str(), kind.as_str()))
                .collect();
            let record = flight.record(instance, control, &twins);
            with_remainder(record, &flight, &mailboxes)
        })
    }

    /// Names and media types of harmless attachments that came through in this cycle.
    fn came_through(&self, control: Option<Uuid>) -> Vec<(&str, &str)> {
        let twins = control.and_then(|control| self.twins.get(&control));
        let flights = twins
            .into_iter()
            .flatten()
            .filter_map(|id| self.flights.get(id));
        flights.flat_map(Flight::came_through).collect()
    }
}

/// Adds why the copies are still in the mailbox, where there are any.
fn with_remainder(
    mut record: Record,
    flight: &Flight,
    mailboxes: &BTreeMap<MailboxName, Watched>,
) -> Record {
    let name = &flight.route.mailbox.name;
    let why = mailboxes.get(name).and_then(|it| it.uncleaned.as_deref());
    record.evidence.cleanup = why
        .filter(|_| !record.copies.is_empty())
        .map(|why| format!("mailbox {name}: {why}").into());
    record
}
