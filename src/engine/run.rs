//! One run from its first probe to its last record.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::blocklists::Blocklists;
use super::collect::Collector;
use super::cycle::{Cycle, needs_control};
use super::ledger::{Effect, Event, Ledger, Probe};
use super::order::{Identity, Order, Progress};
use super::pending::{Pending, Prospect, tagged};
use super::ping::{self, Round};
use super::send::{self, Job};
use super::settle::Settling;
use super::unstarted::record_of;
use crate::clock::Stamp;
use crate::config::plan::{Plan, Route, Test};
use crate::judge::record;
use crate::mailbox::{self, Sweep};
use crate::probe::message::{ComposeError, compose};
use crate::probe::name::{GatewayName, MailboxName};
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;
use crate::probe::tag::Tag;
use crate::smtp::submit::Submission;

/// How long a mailbox that neither opens nor fails is waited for before anything is sent; the copies that come
/// meanwhile are found by their time of arrival.
const OPENING: Duration = Duration::from_mins(1);
/// How long watchers may take to clean up and leave.
const FAREWELL: Duration = Duration::from_secs(10);

/// Leftovers are older than any probe that may still be in flight; those of a drawn instance are nobody's own.
fn sweep(plan: &Plan) -> Sweep {
    let longest = plan
        .routes
        .values()
        .map(|route| route.deadline + route.defer_for + route.blind_grace)
        .max()
        .unwrap_or_default();
    Sweep {
        own: plan.signing.instance.as_ref().map(|_| longest),
        foreign: plan.signing.sweep_foreign.map(|after| after.max(longest)),
    }
}

/// Why a run could not be.
#[derive(Debug, Error)]
pub enum RunError {
    /// A message could not be built.
    #[error("route {route}")]
    Compose {
        /// The route.
        route: String,
        /// Why.
        source: ComposeError,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes, without which a tag could be forged")]
    Random,
}

/// Runs an order. `stop` ends it early: what is known by then is in the records.
pub async fn run(
    plan: &Plan,
    mut order: Order,
    identity: &Identity,
    progress: mpsc::UnboundedSender<Progress>,
    stop: CancellationToken,
) -> Result<Vec<Record>, RunError> {
    let lists = Arc::new(Blocklists::new(&plan.dns));
    let round = Round {
        pings: std::mem::take(&mut order.pings),
        concurrency: order.concurrency,
        settle: order.settle,
    };
    let pinged = ping::round(&lists, round, &identity.instance, &progress, &stop);
    let sent = async {
        if order.cycles.is_empty() {
            return Ok(Vec::new());
        }
        send_and_collect(
            plan,
            &lists,
            order,
            identity,
            progress.clone(),
            stop.clone(),
        )
        .await
    };
    let (sent, pinged) = tokio::join!(sent, pinged);
    let mut records = sent?;
    records.extend(pinged);
    Ok(records)
}

/// The round trips of an order.
async fn send_and_collect(
    plan: &Plan,
    lists: &Blocklists,
    mut order: Order,
    identity: &Identity,
    progress: mpsc::UnboundedSender<Progress>,
    stop: CancellationToken,
) -> Result<Vec<Record>, RunError> {
    let cancel = CancellationToken::new();
    let wanted: BTreeSet<_> = order
        .cycles
        .iter()
        .map(|cycle| &cycle.route)
        .flat_map(|route| [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()])
        .flatten()
        .collect();
    let mailboxes = wanted
        .iter()
        .filter_map(|name| plan.mailboxes.get(*name))
        .cloned();
    let (collector, mut seen) =
        Collector::start(mailboxes, (&identity.signer, sweep(plan)), &cancel);
    let (sent_tx, mut sent) = mpsc::unbounded_channel();
    let mut sending = JoinSet::new();
    let mut senders = BTreeMap::new();
    for Cycle { route, .. } in &order.cycles {
        senders
            .entry(route.gateway.name.clone())
            .or_insert_with(|| {
                let (jobs, queue) = mpsc::unbounded_channel();
                sending.spawn(send::dispatch(
                    Arc::clone(&route.gateway),
                    queue,
                    sent_tx.clone(),
                ));
                jobs
            });
    }
    let until = (!order.settle.is_zero()).then(|| Instant::now() + order.settle);
    let mut settling = Settling::until(until.map(Instant::into_std));
    let mut pending = VecDeque::new();
    let mut known = BTreeMap::new();
    for cycle in std::mem::take(&mut order.cycles) {
        let gateway = &cycle.route.gateway;
        if !known.contains_key(&gateway.name) {
            let found = tokio::select! {
                () = stop.cancelled() => Prospect::whichever(),
                found = Prospect::of(gateway, lists) => found,
            };
            known.insert(gateway.name.clone(), found);
        }
        let Some(prospect) = known.get(&gateway.name) else {
            continue;
        };
        for address in &prospect.addresses {
            pending.extend(settling.begin(&cycle, *address, &prospect.listings));
        }
    }
    let mut run = Run {
        opening: collector.names().cloned().collect(),
        opens_by: Instant::now() + OPENING,
        pending,
        settling,
        control: None,
        order,
        identity,
        progress,
        ledger: Ledger::new(),
        senders,
        collector,
        random: SystemRandom::new(),
        minted: Cell::new(0),
        failed: false,
    };
    let result = run.drive(&mut sent, &mut seen, &stop).await;
    // A watcher must not wait for somebody to take in what it still tells.
    drop(seen);
    let records = run.leave(&mut sending, &cancel).await;
    result?;
    records
}

struct Run<'a> {
    order: Order,
    identity: &'a Identity,
    progress: mpsc::UnboundedSender<Progress>,
    pending: VecDeque<Pending>,
    settling: Settling,
    /// The control of the cycle that is being started.
    control: Option<Uuid>,
    ledger: Ledger,
    senders: BTreeMap<GatewayName, mpsc::UnboundedSender<Job>>,
    collector: Collector,
    /// Mailboxes that have neither been looked at nor failed yet: nothing is sent before they have, or before that time.
    opening: BTreeSet<MailboxName>,
    opens_by: Instant,
    random: SystemRandom,
    /// How many tags were made.
    minted: Cell<u16>,
    failed: bool,
}

impl Run<'_> {
    async fn drive(
        &mut self,
        sent: &mut mpsc::UnboundedReceiver<Event>,
        seen: &mut mpsc::Receiver<(MailboxName, mailbox::Event)>,
        stop: &CancellationToken,
    ) -> Result<(), RunError> {
        let mut until: Option<Instant> = None;
        loop {
            let again = self.settling.again(Instant::now().into_std());
            self.pending.extend(again);
            self.start_more()?;
            self.collector.update(&self.ledger);
            let over = if self.settling.is_on() {
                self.settling.is_over()
            } else {
                self.ledger.open() == 0 && (self.pending.is_empty() || self.holds_back())
            };
            until = if over {
                Some(until.unwrap_or_else(|| Instant::now() + self.order.linger))
            } else {
                None
            };
            let wake = self.ledger.next_wake().map(Instant::from_std);
            let opening = (!self.opening.is_empty()).then_some(self.opens_by);
            let again = self.settling.next().map(Instant::from_std);
            let next = until.into_iter().chain(wake).chain(opening).chain(again);
            let next = next.min();
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.take(Event::Interrupt);
                    return Ok(());
                }
                Some(event) = sent.recv() => event,
                Some((name, event)) = seen.recv() => {
                    self.opening.remove(&name);
                    match event {
                        mailbox::Event::Sighted(sighting) => Event::Sighted(sighting),
                        mailbox::Event::Looked(look) => Event::Looked(name, look),
                        mailbox::Event::Blind(blindness) => {
                            self.tell(Progress::Blind(name.clone(), blindness.clone()));
                            Event::Blind(name, blindness)
                        }
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if self.opens_by <= Instant::now() {
                        self.opening.clear();
                    }
                    if until.is_some_and(|until| until <= Instant::now()) {
                        // Probes that another counts for may still be under way.
                        self.take(Event::Interrupt);
                        return Ok(());
                    }
                    Event::Tick
                }
            };
            self.take(event);
        }
    }

    /// How many probes are under way that others may have to wait for.
    fn open(&self) -> usize {
        if self.settling.is_on() {
            self.settling.open()
        } else {
            self.ledger.open()
        }
    }

    fn holds_back(&self) -> bool {
        self.failed && self.order.fail_fast
    }

    fn start_more(&mut self) -> Result<(), RunError> {
        while self.opening.is_empty() && !self.holds_back() && self.open() < self.order.concurrency
        {
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            let probe = self.probe(&pending)?;
            let id = probe.tag.id();
            if pending.is_control {
                self.control = Some(id);
            }
            self.settling
                .started(id, pending.slot, Instant::now().into_std());
            self.tell(Progress::Started {
                id,
                payload: pending.test.sample.payload,
                route: pending.route,
            });
            self.take(Event::Start(Box::new(probe)));
        }
        Ok(())
    }

    fn probe(&self, pending: &Pending) -> Result<Probe, RunError> {
        let Pending { route, test, .. } = pending;
        let now = Stamp::now();
        let tag = self.mint(now)?;
        let draft = route.draft(&test.sample, tag, now.wall);
        let composed = compose(&draft).map_err(|source| RunError::Compose {
            route: route.name.to_string(),
            source,
        })?;
        let cycle = self.control.filter(|_| pending.in_controlled);
        Ok(Probe {
            route: Arc::clone(route),
            sample: Arc::clone(&test.sample),
            tag,
            cycle,
            control: cycle.filter(|_| needs_control(test)),
            expect: Arc::clone(&test.expect),
            manifest: composed.manifest,
            submission: Submission {
                from: tagged(&route.from, tag, route.verp),
                to: tagged(&route.to, tag, route.plus_address),
                message: composed.bytes,
                envelope_id: tag.to_string(),
                address: pending.address,
                pinned: pending.address.is_some(),
                transcript: self.order.transcript,
            },
            due: now,
            listings: Arc::clone(&pending.listings),
        })
    }

    fn take(&mut self, event: Event) {
        for effect in self.ledger.step(event, Stamp::now()) {
            match effect {
                Effect::Submit(id, route, submission) => {
                    tracing::debug!(%id, route = %route.name, gateway = %route.gateway.endpoint, "submitting");
                    if let Some(sender) = self.senders.get(&route.gateway.name) {
                        // A dispatcher lives as long as the run.
                        let _ = sender.send((id, submission));
                    }
                }
                Effect::Dispose(place) => self.collector.dispose(place),
                Effect::Accepted(id) => {
                    tracing::debug!(%id, "accepted by the gateway");
                    self.tell(Progress::Accepted(id));
                }
                Effect::Deferred(id, until) => {
                    tracing::info!(%id, "put off by the gateway, to be tried again");
                    self.tell(Progress::Deferred(id, until));
                }
                Effect::Settled(id) => {
                    if let Some(record) = self.ledger.record(id, &self.identity.instance) {
                        let payload = record.payload_name();
                        let Record {
                            route,
                            outcome,
                            verdict,
                            code,
                            ..
                        } = &record;
                        tracing::info!(%id, %route, payload, %outcome, %verdict, %code, "settled");
                        self.failed |= record.verdict == Verdict::Fail;
                        self.settling.settled(&record);
                        self.tell(Progress::Settled(Box::new(record)));
                    }
                }
            }
        }
    }

    fn tell(&self, progress: Progress) {
        // Whether anybody watches is no concern of the run.
        let _ = self.progress.send(progress);
    }

    /// Lets senders and watchers end in good order, within bounds, and gives every record.
    async fn leave(
        mut self,
        sending: &mut JoinSet<()>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Record>, RunError> {
        let pending = std::mem::take(&mut self.pending);
        let skipped: Vec<_> = pending
            .iter()
            .map(|pending| self.skipped(&pending.route, &pending.test))
            .collect::<Result<_, _>>()?;
        let Self {
            identity,
            settling,
            ledger,
            senders,
            collector,
            ..
        } = self;
        drop(senders);
        let farewell = async {
            collector.finish().await;
            while sending.join_next().await.is_some() {}
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            cancel.cancel();
            sending.shutdown().await;
        }
        let records = ledger.into_records(&identity.instance).chain(skipped);
        let mut records: Vec<_> = records.collect();
        settling.supersede(&mut records);
        Ok(records)
    }

    /// The record of a probe that was never begun.
    fn skipped(&self, route: &Route, test: &Test) -> Result<Record, RunError> {
        let now = Stamp::now();
        let who = record::Identity {
            id: self.mint(now)?.id(),
            instance: &self.identity.instance,
            due_at: now.wall,
            began_at: None,
        };
        Ok(record_of(route, test, who))
    }

    fn mint(&self, now: Stamp) -> Result<Tag, RunError> {
        let mut random = [0; 7];
        self.random
            .fill(&mut random)
            .map_err(|_| RunError::Random)?;
        // Of tags made in one millisecond, the later sorts behind the earlier (RFC 9562 §6.2).
        let count = self.minted.get();
        self.minted.set(count.wrapping_add(1));
        let [high, low] = count.to_be_bytes();
        let [_, _, _, a, b, c, d] = random;
        let random = [0, high, low, a, b, c, d];
        Ok(self.identity.signer.mint(now.wall, random))
    }
}
