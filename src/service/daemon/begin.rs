//! Taking up where an earlier process left off: the history is opened, what was in flight is in flight again, what was
//! owed is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::alert::{Board, Standing};
use super::super::keeper::Keeper;
use super::super::metrics::Metrics;
use super::super::notify::beat;
use super::super::schedule::{LineKey, Past, Schedule};
use super::super::status::{Command, LastResult, StoreView};
use super::reload::Watched;
use super::view::PAUSED;
use super::{Daemon, Generation, ServiceError, Settings, Underway};
use crate::clock::Stamp;
use crate::config::plan::{Mailbox, Plan};
use crate::engine::blocklists::Blocklists;
use crate::engine::kept::Kept;
use crate::engine::ledger::Ledger;
use crate::engine::mint::Mint;
use crate::engine::order::Identity;
use crate::engine::traffic::Traffic;
use crate::engine::uplink::Uplink;
use crate::mailbox::Sweep;
use crate::probe::name::RouteName;
use crate::probe::record::Record;
use crate::probe::state::TestKey;
use crate::store::{
    INSTANCE, InFlight, Opened, Reader, Retention, SetAside, StoreError, Waiting, Write, Writer,
};

/// What a damaged history is called.
const DAMAGED: &str = "the history was damaged, and is begun anew";

/// What the history says of earlier times.
struct Earlier {
    last_seq: u64,
    in_flight: Vec<InFlight>,
    standings: BTreeMap<TestKey, Standing>,
    past: Past,
    outbox: Vec<Waiting>,
    newest: Vec<Record>,
}

/// What was in flight, in flight again.
struct TakenUp {
    ledger: Ledger,
    flights: BTreeMap<Uuid, Underway>,
    writes: Vec<Write>,
    /// Those of them that only their results had not been kept of.
    concluded: Vec<Uuid>,
}

impl Daemon {
    /// Opens the history and takes up what an earlier process left. `commands`: what people ask for comes in there.
    pub async fn begin_with(
        settings: Settings,
        metrics: Arc<Metrics>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<(Self, Reader), ServiceError> {
        let now = Stamp::now();
        let Settings {
            plan,
            config,
            identity,
            history,
        } = settings;
        let Opened {
            mut writer,
            reader,
            set_aside,
        } = Writer::open(&history, now.wall).await?;
        let earlier = Earlier::read(&reader).await?;
        let last = earlier.last();
        let taken = take_up(&earlier, &plan, &identity, &mut writer, now).await;
        let plan = Arc::new(plan);
        // A route that was disabled meanwhile is still waited for.
        let awaited = taken.flights.values().map(|it| it.route.clone()).collect();
        let traffic = traffic(&plan, &identity, taken.ledger, &awaited);
        let (orders, order_queue) = mpsc::unbounded_channel();
        let (kept_to, kept) = mpsc::unbounded_channel();
        let keeper = Keeper::new(writer, retention(&plan), order_queue, kept_to);
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.run());
        let (report_to, reports) = mpsc::unbounded_channel();
        let (well, is_well) = watch::channel(true);
        let mut daemon = Self {
            schedule: Schedule::new(&plan.watches, &earlier.past, now),
            board: Board::restore(&identity.instance, earlier.standings),
            mint: Mint::new(identity.signer.clone()),
            lists: Arc::new(Blocklists::new(&plan.dns)),
            uplink: Arc::new(Uplink::of(&plan)),
            generations: vec![Generation { number: 0, traffic }],
            leaving: JoinSet::new(),
            flights: taken.flights,
            asked: BTreeMap::new(),
            groups: BTreeMap::new(),
            next_seq: earlier.last_seq + 1,
            asked_for: BTreeMap::new(),
            pinging: BTreeMap::new(),
            crowded_out: BTreeMap::new(),
            errands: JoinSet::new(),
            orders,
            kept,
            keeping,
            channels: BTreeMap::new(),
            couriers: JoinSet::new(),
            beating: JoinSet::new(),
            report_to,
            reports,
            told_early: BTreeSet::new(),
            reader: reader.clone(),
            mailboxes: BTreeMap::new(),
            store: StoreView::default(),
            config_problem: None,
            is_offline: false,
            last,
            metrics,
            well,
            commands,
            stopping: None,
            started: now,
            config: Watched::new(config).await,
            identity,
            plan,
        };
        daemon.first_steps(taken.writes, earlier.outbox, set_aside, &earlier.newest);
        for id in taken.concluded {
            daemon.settle(0, id, (false, true), Vec::new());
        }
        daemon.set_heartbeat(is_well);
        Ok((daemon, reader))
    }

    /// What is written, told and set up before the loop begins.
    fn first_steps(
        &mut self,
        mut writes: Vec<Write>,
        outbox: Vec<Waiting>,
        set_aside: Option<SetAside>,
        newest: &[Record],
    ) {
        writes.push(Write::Fact {
            name: INSTANCE.into(),
            value: Some(self.identity.instance.clone()),
        });
        self.set_couriers(|_| true);
        self.owed(outbox);
        self.watch_routes(writes, self.started);
        for record in newest {
            self.metrics.recalled(record);
        }
        if let Some(SetAside { path, why }) = set_aside {
            let reason = format!("it is kept as {}: {why}", path.display());
            tracing::error!("{DAMAGED}: {reason}");
            self.trouble(DAMAGED, Some(reason));
        }
    }

    /// Everybody goes by the plan's routes from now on. `writes` are kept with what that comes to.
    pub(super) fn watch_routes(&mut self, writes: Vec<Write>, now: Stamp) {
        let names: Vec<_> = self.plan.watches.keys().cloned().collect();
        let alerts: Vec<_> = self.plan.alerts.keys().cloned().collect();
        self.metrics.retain(&names, &alerts);
        let effects = self.reload_board(now.wall);
        self.follow(effects, writes, Vec::new());
        for name in &names {
            let mood = self.board.mood(name);
            self.schedule.set_mood(name, mood, now);
        }
    }

    /// The board goes by the plan's watches and tests.
    fn reload_board(&mut self, now: Timestamp) -> Vec<super::super::alert::Effect> {
        let names: Vec<_> = self.plan.watches.keys().cloned().collect();
        let planned: BTreeSet<_> = names.iter().flat_map(|name| self.tested(name)).collect();
        let plan = Arc::clone(&self.plan);
        let is_tested = |key: &TestKey| planned.contains(key);
        self.board.reload(&plan.watches, is_tested, now)
    }

    /// What results may come of, on a route: a control that the config does not list has results too.
    fn tested(&self, name: &RouteName) -> Vec<TestKey> {
        let mut keys = self.planned(name);
        if self.plan.routes.contains_key(name) {
            keys.push(TestKey::new(name.clone(), "plain", ""));
        }
        keys
    }

    /// The heartbeat, if there is one to be given.
    pub(super) fn set_heartbeat(&mut self, is_well: watch::Receiver<bool>) {
        self.beating.abort_all();
        if let Some(heartbeat) = self.plan.service.heartbeat.clone() {
            let stop = tokio_util::sync::CancellationToken::new();
            self.beating.spawn(beat(heartbeat, is_well, stop));
        }
    }
}

impl Earlier {
    async fn read(reader: &Reader) -> Result<Self, StoreError> {
        let mut standings = BTreeMap::new();
        for (key, standing) in reader.standings().await? {
            match serde_json::from_str(&standing) {
                Ok(standing) => drop(standings.insert(key, standing)),
                Err(error) => {
                    tracing::warn!(test = %key, "how it stood cannot be read back: {error}");
                }
            }
        }
        let mut past = Past::default();
        for (line, (due, _)) in reader.lines().await? {
            if let Ok(key) = serde_json::from_str::<LineKey>(&line) {
                past.last.insert(key, due);
            }
        }
        let facts = reader.facts().await?;
        let paused = facts.keys().filter_map(|name| name.strip_prefix(PAUSED));
        past.paused = paused.map(RouteName::from).collect();
        Ok(Self {
            last_seq: reader.last_seq().await?,
            in_flight: reader.in_flight().await?,
            standings,
            past,
            outbox: reader.outbox().await?,
            newest: reader.newest().await?,
        })
    }

    /// The newest result of every test.
    fn last(&self) -> BTreeMap<TestKey, (u64, LastResult)> {
        let last = self.newest.iter().map(|record| {
            let last = super::results::last_result(record);
            (TestKey::of(record), (0, last))
        });
        last.collect()
    }
}

/// Takes up what was in flight. What was handed over is not handed over again; what cannot be taken up is said so.
async fn take_up(
    earlier: &Earlier,
    plan: &Plan,
    identity: &Identity,
    writer: &mut Writer,
    now: Stamp,
) -> TakenUp {
    let mut taken = TakenUp {
        ledger: Ledger::new(),
        flights: BTreeMap::new(),
        writes: Vec::new(),
        concluded: Vec::new(),
    };
    let who = (plan, &identity.signer);
    let mut controls = BTreeSet::new();
    for InFlight { seq, id, kept } in &earlier.in_flight {
        let abandoned = |reason: String| Write::Abandoned { seq: *seq, reason };
        let kept: Kept = match serde_json::from_slice(kept) {
            Ok(kept) => kept,
            Err(error) => {
                let reason = format!("what was kept of it cannot be read back: {error}");
                taken.writes.push(abandoned(reason));
                continue;
            }
        };
        controls.extend(kept.control());
        let route = kept.route().clone();
        match taken.ledger.restore(*id, kept, who, now) {
            Ok(()) => {
                let underway = Underway {
                    seq: *seq,
                    route,
                    is_asked: false,
                    submission: None,
                    group: None,
                };
                taken.flights.insert(*id, underway);
            }
            Err(lost) => taken.writes.push(abandoned(lost.to_string())),
        }
    }
    for control in controls {
        if taken.ledger.knows(control) {
            continue;
        }
        let recalled = writer.recall(control).await.ok().flatten();
        let kept = recalled.and_then(|recalled| recalled.kept);
        let kept = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        if let Some(kept) = kept
            && taken.ledger.restore(control, kept, who, now).is_ok()
        {
            // It has its outcome, and is only needed by others.
            taken.ledger.forget(control);
        }
    }
    let flights = taken.flights.keys().copied();
    taken.concluded = flights.filter(|id| taken.ledger.is_judged(*id)).collect();
    let count = taken.flights.len();
    if count > 0 {
        tracing::info!(count, "probes in flight are taken up");
    }
    taken
}

/// Watchers of the mailboxes that routes look at; our own copies of earlier times are told of, and left to the history.
pub(super) fn traffic(
    plan: &Plan,
    identity: &Identity,
    ledger: Ledger,
    awaited: &BTreeSet<RouteName>,
) -> Traffic {
    let sweep = Sweep {
        own: None,
        recall: true,
        ..Sweep::of(plan)
    };
    Traffic::start(watched(plan, awaited), (&identity.signer, sweep), ledger)
}

/// The mailboxes that routes look at: those that are tested, and these.
pub(super) fn watched(plan: &Plan, awaited: &BTreeSet<RouteName>) -> Vec<Arc<Mailbox>> {
    let is_tested = |name: &RouteName| plan.watches.get(name).is_some_and(|it| it.enabled);
    let tested = plan
        .routes
        .iter()
        .filter(|(name, _)| is_tested(name) || awaited.contains(*name));
    let names: BTreeSet<_> = tested
        .flat_map(|(_, route)| [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()])
        .flatten()
        .collect();
    let mailboxes = names
        .into_iter()
        .filter_map(|name| plan.mailboxes.get(name));
    mailboxes.cloned().collect()
}

/// How long what is kept.
pub(super) fn retention(plan: &Plan) -> Retention {
    Retention {
        passes: plan.store.retention,
        others: plan.store.retention_failed,
        remember: plan.service.remember,
    }
}
