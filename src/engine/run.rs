//! One run from its first probe to its last record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::blocklists::Blocklists;
use super::ledger::{Effect, Event, Ledger};
use super::mint::{Mint, MintError};
use super::order::{Identity, Order, Progress};
use super::pending::{Pending, Prospect};
use super::ping::{self, Round};
use super::settle::Settling;
use super::traffic::{FAREWELL, Happened, Traffic};
use super::unstarted::record_of;
use super::uplink;
use crate::clock::Stamp;
use crate::config::plan::{Plan, Route, Test};
use crate::judge::record;
use crate::mailbox::{self, Sweep};
use crate::probe::name::MailboxName;
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;

/// How long a mailbox that neither opens nor fails is waited for before anything is sent; the copies that come
/// meanwhile are found by their time of arrival.
const OPENING: Duration = Duration::from_mins(1);

/// Runs an order. `stop` ends it early: what is known by then is in the records.
pub async fn run(
    plan: &Plan,
    mut order: Order,
    identity: &Identity,
    progress: mpsc::UnboundedSender<Progress>,
    stop: CancellationToken,
) -> Result<Vec<Record>, MintError> {
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
    Ok(uplink::doubted(records, plan, &stop).await)
}

/// The round trips of an order.
async fn send_and_collect(
    plan: &Plan,
    lists: &Blocklists,
    mut order: Order,
    identity: &Identity,
    progress: mpsc::UnboundedSender<Progress>,
    stop: CancellationToken,
) -> Result<Vec<Record>, MintError> {
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
    let who = (&identity.signer, Sweep::of(plan));
    let traffic = Traffic::start(mailboxes, who, Ledger::new());
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
        opening: traffic.mailboxes().cloned().collect(),
        opens_by: Instant::now() + OPENING,
        pending,
        settling,
        control: None,
        order,
        identity,
        progress,
        traffic,
        mint: Mint::new(identity.signer.clone()),
        failed: false,
    };
    let result = run.drive(&stop).await;
    let records = run.leave().await;
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
    traffic: Traffic,
    /// Mailboxes that have neither been looked at nor failed yet: nothing is sent before they have, or before that time.
    opening: BTreeSet<MailboxName>,
    opens_by: Instant,
    mint: Mint,
    failed: bool,
}

impl Run<'_> {
    async fn drive(&mut self, stop: &CancellationToken) -> Result<(), MintError> {
        let mut until: Option<Instant> = None;
        loop {
            let again = self.settling.again(Instant::now().into_std());
            self.pending.extend(again);
            self.start_more()?;
            self.traffic.update();
            let over = if self.settling.is_on() {
                self.settling.is_over()
            } else {
                self.traffic.ledger.open() == 0 && (self.pending.is_empty() || self.holds_back())
            };
            until = if over {
                let linger = if self.traffic.ledger.may_have_copies() {
                    self.order.linger
                } else {
                    Duration::ZERO
                };
                Some(until.unwrap_or_else(|| Instant::now() + linger))
            } else {
                None
            };
            let opening = (!self.opening.is_empty()).then_some(self.opens_by);
            let again = self.settling.next().map(Instant::from_std);
            let next = until.into_iter().chain(opening).chain(again).min();
            let happened = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.take(Event::Interrupt);
                    return Ok(());
                }
                happened = self.traffic.next(next) => happened,
            };
            match &happened {
                Happened::Sent(_) => {}
                Happened::Seen(name, event) => {
                    self.opening.remove(name);
                    if let mailbox::Event::Blind(blindness) = event {
                        self.tell(Progress::Blind(name.clone(), blindness.clone()));
                    }
                }
                Happened::Time => {
                    if self.opens_by <= Instant::now() {
                        self.opening.clear();
                    }
                    if until.is_some_and(|until| until <= Instant::now()) {
                        // Probes that another counts for may still be under way.
                        self.take(Event::Interrupt);
                        return Ok(());
                    }
                }
            }
            self.take(happened.into_event());
        }
    }

    /// How many probes are under way that others may have to wait for.
    fn open(&self) -> usize {
        if self.settling.is_on() {
            self.settling.open()
        } else {
            self.traffic.ledger.open()
        }
    }

    fn holds_back(&self) -> bool {
        self.failed && self.order.fail_fast
    }

    fn start_more(&mut self) -> Result<(), MintError> {
        while self.opening.is_empty() && !self.holds_back() && self.open() < self.order.concurrency
        {
            let Some(pending) = self.pending.pop_front() else {
                break;
            };
            let transcript = self.order.transcript;
            let probe = self
                .mint
                .probe(&pending, self.control, transcript, Stamp::now())?;
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

    fn take(&mut self, event: Event) {
        for effect in self.traffic.step(event) {
            match effect {
                Effect::Submit(id, route, submission) => {
                    self.traffic.submit(id, &route, submission);
                }
                Effect::Dispose(_, place) => self.traffic.dispose(place),
                // The records are made when the run is over, and what others sent is not ours to touch.
                Effect::Revised(..) | Effect::Unknown(_) => {}
                Effect::Accepted(id) => {
                    tracing::debug!(%id, "accepted by the gateway");
                    self.tell(Progress::Accepted(id));
                }
                Effect::Deferred(id, until) => {
                    tracing::info!(%id, "put off by the gateway, to be tried again");
                    self.tell(Progress::Deferred(id, until));
                }
                Effect::Settled(id) => {
                    if let Some(record) = self.traffic.ledger.record(id, &self.identity.instance) {
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

    /// Ends in good order, and gives every record.
    async fn leave(mut self) -> Result<Vec<Record>, MintError> {
        let left = self.order.end_by.map(Instant::from_std);
        let left = left.map(|end| end.saturating_duration_since(Instant::now()));
        let within = left.unwrap_or(FAREWELL).min(FAREWELL);
        let pending = std::mem::take(&mut self.pending);
        let skipped: Vec<_> = pending
            .iter()
            .map(|pending| self.skipped(&pending.route, &pending.test))
            .collect::<Result<_, _>>()?;
        let ledger = self.traffic.leave(within).await;
        let records = ledger.into_records(&self.identity.instance).chain(skipped);
        let mut records: Vec<_> = records.collect();
        self.settling.supersede(&mut records);
        Ok(records)
    }

    /// The record of a probe that was never begun.
    fn skipped(&self, route: &Route, test: &Test) -> Result<Record, MintError> {
        let now = Stamp::now();
        let who = record::Identity {
            id: self.mint.tag(now)?.id(),
            instance: &self.identity.instance,
            due_at: now.wall,
            began_at: None,
            keeping: record::Keeping::default(),
        };
        Ok(record_of(route, test, who))
    }
}
