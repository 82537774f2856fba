//! What is in flight, and the only place where that is known. Pure: every event comes with its time, and what is to be
//! done comes back as effects.

mod keep;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::flight::{Flight, Next, Reading, Stage};
use crate::clock::Stamp;
use crate::config::plan::Route;
use crate::judge::verdict::Close;
use crate::mailbox::Interest;
use crate::probe::facts::{Attempt, Blindness, Failure, Look, Place, Sighting};
use crate::probe::listing::Listing;
use crate::probe::manifest::Manifest;
use crate::probe::name::MailboxName;
use crate::probe::outcome::{Code, Outcome};
use crate::probe::payload::Sample;
use crate::probe::record::Clock;
use crate::probe::tag::Tag;
use crate::smtp::submit::Submission;

/// A probe that is to be sent.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The route under test.
    pub route: Arc<Route>,
    /// What it carries.
    pub sample: Arc<Sample>,
    /// What identifies it; holds its id.
    pub tag: Tag,
    /// The id of its cycle's control, if that has one.
    pub cycle: Option<Uuid>,
    /// The same, if it needs one: a probe started before it.
    pub control: Option<Uuid>,
    /// The outcomes that are right.
    pub expect: Arc<[Outcome]>,
    /// What the copy is compared with.
    pub manifest: Manifest,
    /// What is submitted.
    pub submission: Submission,
    /// When it should start.
    pub due: Stamp,
    /// What blocklists say of the address it is sent from.
    pub listings: Arc<[Listing]>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A probe is to be sent now.
    Start(Box<Probe>),
    /// The final dot of a probe has been written; its reply is awaited.
    HandedOver(Uuid, Attempt),
    /// An attempt ended.
    Attempted(Uuid, Attempt),
    /// A message of ours was seen.
    Sighted(Box<Sighting>),
    /// A mailbox was looked at.
    Looked(MailboxName, Look),
    /// A mailbox cannot be read.
    Blind(MailboxName, Blindness),
    /// Why copies stay in a mailbox after clean-up; `None`: they do not any more.
    Uncleaned(MailboxName, Option<Box<str>>),
    /// Time has passed.
    Tick,
    /// Nothing more is waited for.
    Interrupt,
}

/// Something to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Submit this.
    Submit(Uuid, Arc<Route>, Submission),
    /// This message of this probe is recorded and may be cleaned up.
    Dispose(Uuid, Place),
    /// The gateway has taken this probe.
    Accepted(Uuid),
    /// This probe is put off until then.
    Deferred(Uuid, Instant),
    /// This probe has its outcome.
    Settled(Uuid),
    /// A message came for a probe that had its outcome: its record is another now. Whether its outcome is, too.
    Revised(Uuid, bool),
    /// A message of a probe that is not here: of another run, or of one that was forgotten.
    Unknown(Box<Sighting>),
}

/// One mailbox, as far as probes depend on it.
#[derive(Clone, Debug, Default)]
struct Watched {
    blind: Option<Blindness>,
    /// When it was last said that it cannot be read.
    blind_at: Option<Instant>,
    /// Why copies stay in it after clean-up.
    uncleaned: Option<Box<str>>,
    /// Travelling probes by the time their copies are due.
    due: BTreeSet<(Instant, Uuid)>,
    /// Unsettled probes by the time they were started.
    open: BTreeSet<(Instant, Uuid)>,
    youngest: Option<Instant>,
    /// The size of the largest message sent.
    largest: usize,
}

/// What is in flight.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    flights: BTreeMap<Uuid, Flight>,
    timers: BTreeSet<(Instant, Uuid)>,
    mailboxes: BTreeMap<MailboxName, Watched>,
    open: usize,
    /// Settled probes whose control is not, by their control.
    waiting: BTreeMap<Uuid, Vec<Uuid>>,
    /// Harmless probes with attachments, by their cycle's control.
    twins: BTreeMap<Uuid, Vec<Uuid>>,
    /// The probes that are judged together, by their control, which is one of them.
    cycles: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// Probes that nobody asks for any more, but that others of their cycle may still need.
    retired: BTreeSet<Uuid>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many probes have no outcome yet.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Whether copies of any probe may still come: its content was sent, or may have been.
    pub fn may_have_copies(&self) -> bool {
        let mut attempts = self.flights.values().flat_map(|it| &it.attempts);
        attempts.any(Attempt::may_have_sent_content)
    }

    /// When [`Event::Tick`] is due next.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Why copies stay in a mailbox after clean-up, as far as is known.
    pub(super) fn uncleaned(&self, mailbox: &MailboxName) -> Option<&str> {
        self.mailboxes.get(mailbox)?.uncleaned.as_deref()
    }

    /// What is awaited in a mailbox.
    pub fn interest(&self, mailbox: &MailboxName) -> Interest {
        self.mailboxes
            .get(mailbox)
            .map_or_else(Interest::default, |watched| Interest {
                youngest: watched.youngest,
                oldest: watched.open.first().map(|(started, _)| *started),
                due: watched.due.first().map(|(due, _)| *due),
                largest: watched.largest,
            })
    }

    /// Takes an event in; what is to be done comes out.
    pub fn step(&mut self, event: Event, now: Stamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Start(probe) => self.start(*probe, now, &mut effects),
            Event::HandedOver(id, attempt) => {
                if let Some(flight) = self
                    .flights
                    .get_mut(&id)
                    .filter(|flight| flight.stage == Stage::Submitting)
                {
                    flight.attempts.push(attempt);
                    flight.awaits_reply = true;
                    self.settle_if_seen(id, &mut effects);
                }
            }
            Event::Attempted(id, attempt) => self.attempted(id, attempt, now, &mut effects),
            Event::Sighted(sighting) => self.sighted(sighting, now, &mut effects),
            Event::Looked(mailbox, look) => self.looked(&mailbox, look, &mut effects),
            Event::Blind(mailbox, blindness) => {
                self.blind(&mailbox, &blindness, now, &mut effects);
            }
            Event::Uncleaned(mailbox, why) => {
                self.mailboxes.entry(mailbox).or_default().uncleaned = why;
            }
            Event::Tick => self.tick(now, &mut effects),
            Event::Interrupt => {
                let open: Vec<_> = self
                    .flights
                    .iter()
                    .filter(|(_, flight)| !matches!(flight.stage, Stage::Settled(_)))
                    .map(|(id, _)| *id)
                    .collect();
                for id in open {
                    self.settle(id, Close::Interrupted, &mut effects);
                }
            }
        }
        effects
    }

    fn start(&mut self, probe: Probe, now: Stamp, effects: &mut Vec<Effect>) {
        let Probe {
            route,
            submission,
            cycle,
            ..
        } = probe;
        let id = probe.tag.id();
        for mailbox in [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()]
            .into_iter()
            .flatten()
        {
            let watched = self.mailboxes.entry(mailbox.clone()).or_default();
            watched.open.insert((now.mono, id));
            watched.youngest = Some(now.mono);
            watched.largest = watched.largest.max(submission.message.len());
        }
        effects.push(Effect::Submit(id, Arc::clone(&route), submission.clone()));
        let flight = Flight {
            route,
            sample: probe.sample,
            tag: probe.tag,
            control: probe.control,
            cycle,
            expect: probe.expect,
            manifest: probe.manifest,
            size: submission.message.len(),
            pinned: submission.pinned,
            submission: Some(Box::new(submission)),
            due: probe.due,
            began: now,
            stage: Stage::Submitting,
            timer: None,
            // Most probes need no more than one of each, and there may be thousands of probes.
            attempts: Vec::with_capacity(1),
            awaits_reply: false,
            retries: 0,
            turned: false,
            copies: Vec::with_capacity(1),
            bounce: None,
            listings: probe.listings,
            clock: Clock::Monotonic,
            unstored: false,
            revised: None,
        };
        self.join(id, flight.cycle);
        if let Some(cycle) = cycle.filter(|_| !flight.manifest.parts.is_empty()) {
            self.twins.entry(cycle).or_default().push(id);
        }
        self.flights.insert(id, flight);
        self.open += 1;
    }

    fn attempted(&mut self, id: Uuid, attempt: Attempt, now: Stamp, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if flight.awaits_reply {
            flight.attempts.pop();
            flight.awaits_reply = false;
        }
        flight.attempts.push(attempt);
        if flight.stage != Stage::Submitting {
            return;
        }
        match flight.after_attempt(now) {
            Next::Travel(due) => {
                flight.stage = Stage::Travelling(due);
                flight.submission = None;
                effects.push(Effect::Accepted(id));
                let grace = due + flight.route.blind_grace;
                let mailbox = flight.route.mailbox.name.clone();
                let watched = self.mailboxes.entry(mailbox).or_default();
                watched.due.insert((due, id));
                flight.timer = Some(grace);
                self.timers.insert((grace, id));
                let final_blindness = watched.blind.clone().filter(|blindness| blindness.is_final);
                self.settle_if_seen(id, effects);
                if let Some(blindness) = final_blindness {
                    self.settle(id, Close::Blind(blindness), effects);
                }
            }
            Next::Turn(at) => {
                flight.turned = true;
                let other = flight.attempts.last().and_then(|attempt| attempt.other);
                if let Some(submission) = &mut flight.submission {
                    submission.address = other;
                }
                flight.stage = Stage::Deferred(at);
                flight.timer = Some(at);
                self.timers.insert((at, id));
            }
            Next::InClear(at) => {
                if let Some(submission) = &mut flight.submission {
                    submission.address = flight.attempts.last().and_then(|attempt| attempt.address);
                    submission.in_clear = true;
                }
                flight.stage = Stage::Deferred(at);
                flight.timer = Some(at);
                self.timers.insert((at, id));
            }
            Next::Retry(at) => {
                if let Some(submission) = &mut flight.submission {
                    submission.address = flight.attempts.last().and_then(|attempt| attempt.address);
                }
                flight.stage = Stage::Deferred(at);
                flight.retries += 1;
                flight.timer = Some(at);
                self.timers.insert((at, id));
                effects.push(Effect::Deferred(id, at));
            }
            Next::Settle => self.settle(id, Close::Settled, effects),
        }
    }

    fn sighted(&mut self, sighting: Box<Sighting>, now: Stamp, effects: &mut Vec<Effect>) {
        let Some(id) = sighting.recognised.tag.map(Tag::id) else {
            return;
        };
        let before = self.judgement(id);
        // A verified tag that is not here is a leftover of another run: no arrival, and not ours to touch.
        let Some(flight) = self.flights.get_mut(&id) else {
            effects.push(Effect::Unknown(sighting));
            return;
        };
        let blind_at = self
            .mailboxes
            .get(&sighting.place.mailbox)
            .and_then(|watched| watched.blind_at);
        let is_new = match flight.read(&sighting) {
            Reading::Nothing => return,
            Reading::Bounce(bounce) => flight.add_bounce(bounce),
            Reading::Copy(mut copy) => {
                copy.was_unreadable = blind_at
                    .is_some_and(|at| copy.looked_before.is_none_or(|looked| looked.mono < at));
                flight.add_copy(*copy)
            }
        };
        effects.push(Effect::Dispose(id, sighting.place));
        if self.is_judged(id) {
            let is_another = before != self.judgement(id);
            if let Some(flight) = self.flights.get_mut(&id).filter(|_| is_another) {
                flight.revised = Some(now.wall);
            }
            if is_new {
                effects.push(Effect::Revised(id, is_another));
            }
        } else {
            self.settle_if_seen(id, effects);
        }
    }

    fn looked(&mut self, mailbox: &MailboxName, look: Look, effects: &mut Vec<Effect>) {
        let watched = self.mailboxes.entry(mailbox.clone()).or_default();
        watched.blind = None;
        let proved: Vec<_> = watched
            .due
            .iter()
            .take_while(|(due, _)| *due <= look.begun.mono)
            .map(|(_, id)| *id)
            .collect();
        let close = if look.covers_junk {
            Close::Proved
        } else {
            Close::JunkNotWatched
        };
        for id in proved {
            let began = self.flights.get(&id).map(|flight| flight.began.mono);
            let is_unread = look
                .unread_before
                .is_some_and(|until| began.is_some_and(|began| began < until.mono));
            let close = if is_unread {
                Close::Blind(not_all_read())
            } else {
                close.clone()
            };
            self.settle(id, close, effects);
        }
    }

    fn blind(
        &mut self,
        mailbox: &MailboxName,
        blindness: &Blindness,
        now: Stamp,
        effects: &mut Vec<Effect>,
    ) {
        let watched = self.mailboxes.entry(mailbox.clone()).or_default();
        watched.blind = Some(blindness.clone());
        watched.blind_at = Some(now.mono);
        if blindness.is_final {
            let travelling: Vec<_> = watched.due.iter().map(|(_, id)| *id).collect();
            for id in travelling {
                self.settle(id, Close::Blind(blindness.clone()), effects);
            }
        }
    }

    fn tick(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        while let Some((at, id)) = self
            .timers
            .first()
            .copied()
            .filter(|(at, _)| *at <= now.mono)
        {
            self.timers.remove(&(at, id));
            let Some(flight) = self.flights.get_mut(&id) else {
                continue;
            };
            flight.timer = None;
            match flight.stage {
                Stage::Deferred(_) => {
                    flight.stage = Stage::Submitting;
                    if let Some(submission) = &flight.submission {
                        effects.push(Effect::Submit(
                            id,
                            Arc::clone(&flight.route),
                            Submission::clone(submission),
                        ));
                    }
                }
                Stage::Travelling(_) => {
                    let blind = self
                        .mailboxes
                        .get(&flight.route.mailbox.name)
                        .and_then(|it| it.blind.clone());
                    self.settle(id, Close::Blind(blind.unwrap_or_else(no_look)), effects);
                }
                Stage::Submitting | Stage::Settled(_) => {}
            }
        }
    }

    /// A copy or a failed delivery decides, once the message is known to have been handed over.
    fn settle_if_seen(&mut self, id: Uuid, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get(&id) else {
            return;
        };
        let bounced = flight
            .bounce
            .as_ref()
            .is_some_and(|bounce| bounce.action == "failed");
        // While it is put off, only the copy tells that it was handed over all the same.
        let handed_over = flight.awaits_reply
            || matches!(flight.stage, Stage::Travelling(_) | Stage::Deferred(_));
        if handed_over && (bounced || !flight.copies.is_empty()) {
            self.settle(id, Close::Settled, effects);
        }
    }

    fn settle(&mut self, id: Uuid, close: Close, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if let Some(at) = flight.timer.take() {
            self.timers.remove(&(at, id));
        }
        match flight.stage {
            Stage::Settled(_) => return,
            Stage::Travelling(due) => {
                if let Some(watched) = self.mailboxes.get_mut(&flight.route.mailbox.name) {
                    watched.due.remove(&(due, id));
                }
            }
            Stage::Submitting | Stage::Deferred(_) => {}
        }
        flight.stage = Stage::Settled(close);
        flight.submission = None;
        let mailboxes = [
            Some(&flight.route.mailbox.name),
            flight.route.bounce_mailbox.as_ref(),
        ];
        for mailbox in mailboxes.into_iter().flatten() {
            if let Some(watched) = self.mailboxes.get_mut(mailbox) {
                watched.open.remove(&(flight.began.mono, id));
            }
        }
        self.open -= 1;
        // What a harmful probe's outcome is worth is known when its control's is.
        let control = flight.control;
        match control.filter(|control| self.is_open(*control)) {
            Some(control) => self.waiting.entry(control).or_default().push(id),
            None => effects.push(Effect::Settled(id)),
        }
        let waited = self.waiting.remove(&id).unwrap_or_default();
        effects.extend(waited.into_iter().map(Effect::Settled));
    }

    /// What a harmful probe's outcome is worth is known when its control's is.
    fn awaits_control(&self, flight: &Flight) -> bool {
        flight.control.is_some_and(|control| self.is_open(control))
    }

    fn is_open(&self, id: Uuid) -> bool {
        self.flights
            .get(&id)
            .is_some_and(|flight| !matches!(flight.stage, Stage::Settled(_)))
    }
}

/// The blindness of a mailbox that never failed, but never finished a look either.
fn no_look() -> Blindness {
    Blindness {
        failure: Failure {
            code: Code::MailboxUnreadable,
            what: "no look at it came to an end in time".into(),
            remedy: "the server may be overloaded, or the mailbox's `timeout` longer than `blind_grace`",
        },
        is_final: false,
    }
}

/// The blindness of a mailbox of which only the newest messages were read.
fn not_all_read() -> Blindness {
    Blindness {
        failure: Failure {
            code: Code::MailboxUnreadable,
            what: "it was first opened, or its UIDs changed, after the message was sent, and a copy may lie below the newest messages, which alone are read".into(),
            remedy: "keep fewer messages in it, or use a mailbox for the probes alone",
        },
        is_final: false,
    }
}

#[cfg(test)]
mod tests;
