//! The service itself: one loop that owns everything that is under way. What is due, what happened, what was kept and what
//! somebody asks for come in one after the other; what follows is decided by the ledger, the schedule and the board, and
//! done by others. The order is always: kept, then sent; kept, then cleaned up; kept, then told.

mod begin;
mod end;
mod flow;
mod recall;
mod reload;
mod results;
mod tell;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alert::{Board, Event};
use super::keeper::{Kept, Order};
use super::metrics::Metrics;
use super::notify::{Letter, Report};
use super::schedule::Schedule;
use super::status::{Command, LastResult, StoreView};
use crate::clock::Stamp;
use crate::config::plan::{Plan, Route};
use crate::engine::blocklists::Blocklists;
use crate::engine::mint::Mint;
use crate::engine::order::Identity;
use crate::engine::traffic::{FAREWELL, Happened, Traffic};
use crate::engine::uplink::Uplink;
use crate::probe::facts::{Place, Sighting};
use crate::probe::name::{AlertName, MailboxName, RouteName};
use crate::probe::notice::Notice;
use crate::probe::state::{Finding, TestKey};
use crate::smtp::submit::Submission;
use crate::store::{StoreError, Waiting};

pub use end::Ended;

/// How often reminders, held-back notices and the config file are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a message that is being handed over may still take when the service ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the service is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to test, and whom to tell.
    pub plan: Plan,
    /// What the plan was read from; it is looked at for changes.
    pub config: PathBuf,
    /// Who sends.
    pub identity: Identity,
    /// Where the history is kept.
    pub history: PathBuf,
}

/// What a running service is told by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End in good order.
    Stop,
    /// Read the config anew.
    Reload,
}

/// Why the service could not be.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The history cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is done once something is kept.
#[derive(Clone, Debug)]
enum Then {
    /// Hand the message of this probe over.
    Submit(Uuid),
    /// Clean this message up, by the watchers of this generation.
    Dispose(u32, Place),
    /// Tell them.
    Tell(AlertName, Box<Notice>),
}

/// A probe of ours that may still have something happen to it.
#[derive(Debug)]
struct Underway {
    seq: u64,
    route: RouteName,
    /// Somebody asked for it.
    is_asked: bool,
    /// What is to be handed over once it is kept.
    submission: Option<(Arc<Route>, Submission)>,
    /// The probes of the same test and cycle, where each address of the gateway gets one.
    group: Option<u64>,
}

/// A cycle that somebody asked for.
#[derive(Clone, Copy, Debug)]
struct AskedFor {
    /// When: its probes are due then.
    due: Timestamp,
    /// Probes, and what is looked up before there are any, that are not done.
    open: usize,
}

/// A question about a message that is under way.
struct Asked {
    /// The generation that saw it.
    number: u32,
    /// Further messages of the same probe, and who saw them.
    more: Vec<(u32, Box<Sighting>)>,
}

/// Probes of one test that were started together: they count as one result, the worst of theirs.
#[derive(Debug, Default)]
struct Group {
    awaited: usize,
    worst: Option<Finding>,
}

/// Senders and watchers, and the config that they go by. One that a newer config has replaced stays until its probes are done.
struct Generation {
    number: u32,
    traffic: Traffic,
}

/// Something that takes its time, and that the loop does not wait for.
enum Errand {
    /// Servers were spoken to.
    Pinged(results::Pinged),
    /// What there is to know of a gateway before a cycle is begun.
    Foreseen(Box<flow::Foreseen>),
    /// Notices that are still owed.
    Outbox(Vec<Waiting>),
    /// Whether it is us, where a server was not reached.
    Doubted(Box<results::Doubted>),
    /// The config was read.
    Reread(reload::Reread),
    /// A recovery action was run.
    Recovered(tell::Recovered),
}

/// A channel that notices go out by.
struct Channel {
    letters: mpsc::Sender<Letter>,
    stop: CancellationToken,
    /// Notices that are still to go out; those of them that the courier could not take yet are here.
    waiting: BTreeMap<Uuid, Option<Letter>>,
    problem: Option<String>,
}

/// The service.
pub struct Daemon {
    plan: Arc<Plan>,
    config: reload::Watched,
    identity: Identity,
    started: Stamp,
    schedule: Schedule,
    board: Board,
    mint: Mint,
    lists: Arc<Blocklists>,
    uplink: Arc<Uplink>,
    generations: Vec<Generation>,
    leaving: JoinSet<()>,
    flights: BTreeMap<Uuid, Underway>,
    /// Probes that the history is asked for.
    asked: BTreeMap<Uuid, Asked>,
    groups: BTreeMap<u64, Group>,
    next_seq: u64,
    /// Cycles that somebody asked for, by route, until they are done.
    asked_for: BTreeMap<RouteName, AskedFor>,
    /// Pings under way, by route.
    pinging: BTreeMap<RouteName, usize>,
    /// Starts that could not be, because too much was in flight.
    crowded_out: BTreeMap<RouteName, u64>,
    errands: JoinSet<Errand>,
    orders: mpsc::UnboundedSender<Order<Then>>,
    kept: mpsc::UnboundedReceiver<Kept<Then>>,
    keeping: JoinSet<()>,
    channels: BTreeMap<AlertName, Channel>,
    couriers: JoinSet<()>,
    beating: JoinSet<()>,
    report_to: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
    /// Notices that went out though they could not be kept.
    told_early: BTreeSet<(Uuid, AlertName)>,
    reader: crate::store::Reader,
    mailboxes: BTreeMap<MailboxName, Option<String>>,
    store: StoreView,
    config_problem: Option<String>,
    is_offline: bool,
    last: BTreeMap<TestKey, (u64, LastResult)>,
    metrics: Arc<Metrics>,
    well: watch::Sender<bool>,
    commands: mpsc::Receiver<Command>,
    stopping: Option<Instant>,
}

/// What the loop waited for.
enum Next {
    Happened(u32, Happened),
    Kept(Kept<Then>),
    Errand(Option<Errand>),
    Report(Report),
    Command(Command),
    Signal(Signal),
    Time,
}

impl Daemon {
    /// Runs until it is told to stop. `alive` is called every second, for whoever waits for a sign of life.
    pub async fn run(
        mut self,
        mut signals: mpsc::Receiver<Signal>,
        mut alive: impl FnMut(),
    ) -> Ended {
        let mut tick = Instant::from_std(self.started.mono);
        loop {
            let now = Stamp::now();
            if self.stopping.is_none() {
                self.start_due(now);
            }
            if Instant::from_std(now.mono) >= tick {
                tick = Instant::from_std(now.mono) + TICK;
                self.tick(now);
                alive();
            }
            for generation in &self.generations {
                generation.traffic.update();
            }
            self.retire();
            if self.may_end(now) {
                return self.end().await;
            }
            let due = self.schedule.next().filter(|_| self.stopping.is_none());
            let wake = due.map_or(tick, |due| tick.min(Instant::from_std(due)));
            match self.next(&mut signals, wake).await {
                Next::Happened(number, happened) => self.happened(number, happened),
                Next::Kept(kept) => self.was_kept(kept),
                Next::Errand(errand) => self.ran(errand),
                Next::Report(report) => self.reported(report),
                Next::Command(command) => self.obey(command, Stamp::now()),
                Next::Signal(Signal::Stop) => self.stop(),
                Next::Signal(Signal::Reload) => self.reload(true),
                Next::Time => {}
            }
        }
    }

    async fn next(&mut self, signals: &mut mpsc::Receiver<Signal>, wake: Instant) -> Next {
        let Self {
            generations,
            kept,
            errands,
            reports,
            commands,
            ..
        } = self;
        tokio::select! {
            biased;
            Some(signal) = signals.recv() => Next::Signal(signal),
            Some(kept) = kept.recv() => Next::Kept(kept),
            (number, happened) = of_any(generations) => Next::Happened(number, happened),
            Some(errand) = errands.join_next(), if !errands.is_empty() => Next::Errand(errand.ok()),
            Some(report) = reports.recv() => Next::Report(report),
            Some(command) = commands.recv() => Next::Command(command),
            () = sleep_until(wake) => Next::Time,
        }
    }

    /// The generation that new probes go out by.
    fn current(&mut self) -> Option<&mut Generation> {
        self.generations.last_mut()
    }

    fn generation(&mut self, number: u32) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|it| it.number == number)
    }

    /// Probes without an outcome.
    fn in_flight(&self) -> usize {
        let messages = self.generations.iter().map(|it| it.traffic.ledger.open());
        messages.sum::<usize>() + self.pinging.values().sum::<usize>()
    }

    /// Reminders, the config file, and whether all is well.
    fn tick(&mut self, now: Stamp) {
        let effects = self.board.step(Event::Tick, now.wall);
        self.follow(effects, Vec::new(), Vec::new());
        self.offer_again();
        self.reload(false);
        let is_well = self.is_well();
        self.well.send_if_modified(|well| {
            let was = std::mem::replace(well, is_well);
            was != is_well
        });
    }

    /// A generation whose probes are done leaves in its own time.
    fn retire(&mut self) {
        let current = self.generations.last().map(|it| it.number);
        let is_done =
            |it: &mut Generation| Some(it.number) != current && it.traffic.ledger.open() == 0;
        for generation in self.generations.extract_if(.., is_done) {
            self.leaving.spawn(async {
                generation.traffic.leave(FAREWELL).await;
            });
        }
        while self.leaving.try_join_next().is_some() {}
    }

    /// Keeps these together; then the others are done.
    fn keep(&self, writes: Vec<crate::store::Write>, then: Vec<Then>) {
        if writes.is_empty() && then.is_empty() {
            return;
        }
        // The keeper lives as long as we do.
        let _ = self.orders.send(Order::Keep(writes, then));
    }

    fn seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }
}

/// The next thing that happens to any of them.
async fn of_any(generations: &mut [Generation]) -> (u32, Happened) {
    let mut nexts: Vec<_> = generations
        .iter_mut()
        .map(|it| (it.number, Box::pin(it.traffic.next(None))))
        .collect();
    let first = poll_fn(|context| {
        for (number, next) in &mut nexts {
            if let Poll::Ready(happened) = next.as_mut().poll(context) {
                return Poll::Ready((*number, happened));
            }
        }
        Poll::Pending
    });
    pin!(first).await
}
