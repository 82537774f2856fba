//! What probes came to: kept, counted and told of.

use std::sync::Arc;

use uuid::Uuid;

use super::super::alert::Event;
use super::super::status::LastResult;
use super::{Daemon, Errand, Group, Then};
use crate::clock::Stamp;
use crate::judge::network::{self, Network};
use crate::probe::name::RouteName;
use crate::probe::outcome::{Code, Outcome};
use crate::probe::record::Record;
use crate::probe::state::{Finding, TestKey};
use crate::store::Write;

/// What speaking to the addresses of one server came to.
pub(super) struct Pinged {
    pub(super) route: RouteName,
    pub(super) is_asked: bool,
    pub(super) seq: u64,
    pub(super) records: Vec<Record>,
}

/// A result that may come from this machine's own network, and what is known of that.
pub(super) struct Doubted {
    record: Record,
    order: (u64, Option<u64>),
    kept: Option<Vec<u8>>,
    then: Vec<Then>,
    network: Network,
}

/// What it is called that this machine has no network.
const OFFLINE: &str = "this machine has no network";

impl Daemon {
    /// A probe has its outcome, or a record that is another than before; if that comes to nothing else, it is no result.
    pub(super) fn settle(
        &mut self,
        number: u32,
        id: Uuid,
        (is_revision, counts): (bool, bool),
        then: Vec<Then>,
    ) {
        let instance = self.identity.instance.clone();
        let kept = self.put_away(number, id);
        let Some(generation) = self.generation(number) else {
            return;
        };
        let record = generation.traffic.ledger.record(id, &instance);
        let gone = generation.traffic.ledger.forget(id);
        let underway = self.flights.get(&id);
        let known = underway.map(|underway| (underway.seq, underway.group));
        let asked = underway.map(|underway| (underway.route.clone(), underway.is_asked));
        if let Some((route, is_asked)) = asked.filter(|_| !is_revision) {
            self.asked_for_ends(&route, is_asked);
        }
        if let (Some(record), Some((seq, group))) = (record, known) {
            let group = group.filter(|_| !is_revision);
            if network::is_doubtful(&record) && !is_revision {
                self.doubt(record, (seq, group), kept, then);
            } else {
                self.result(record, (seq, group), kept, then, (is_revision, counts));
            }
        }
        for id in gone {
            self.flights.remove(&id);
        }
    }

    /// Asks whether it is us before a server that was not reached is blamed.
    fn doubt(
        &mut self,
        record: Record,
        order: (u64, Option<u64>),
        kept: Option<Vec<u8>>,
        then: Vec<Then>,
    ) {
        let uplink = Arc::clone(&self.uplink);
        self.errands.spawn(async move {
            Errand::Doubted(Box::new(Doubted {
                network: uplink.network().await,
                record,
                order,
                kept,
                then,
            }))
        });
    }

    /// It is known whether it is us.
    pub(super) fn doubted(&mut self, doubted: Doubted) {
        let Doubted {
            record,
            order,
            kept,
            then,
            network,
        } = doubted;
        if let Network::Gone(silent) = &network {
            self.offline(Some(network::gone(silent)));
        }
        let record = network::judged(record, &network);
        self.result(record, order, kept, then, (false, true));
    }

    /// This machine has no network, or has one again: one notice for all routes.
    fn offline(&mut self, problem: Option<String>) {
        if self.is_offline != problem.is_some() {
            self.is_offline = problem.is_some();
            self.trouble(OFFLINE, problem);
        }
    }

    /// A result: kept, counted, and told of where that is due, all in one transaction.
    fn result(
        &mut self,
        record: Record,
        (seq, group): (u64, Option<u64>),
        kept: Option<Vec<u8>>,
        then: Vec<Then>,
        (is_revision, counts): (bool, bool),
    ) {
        let Record {
            id,
            route,
            outcome,
            verdict,
            code,
            ..
        } = &record;
        let payload = record.payload_name();
        tracing::info!(%id, %route, payload, %outcome, %verdict, %code, is_revision, "settled");
        if record.code != Code::ProberOffline && record.outcome != Outcome::Unsent {
            self.offline(None);
        }
        let key = TestKey::of(&record);
        let newest = self.last.get(&key).is_none_or(|(last, _)| *last <= seq);
        if newest {
            self.last.insert(key.clone(), (seq, last_result(&record)));
        }
        let finding = Finding {
            key,
            seq,
            probe: record.id,
            due_at: record.due_at,
            verdict: record.verdict,
            code: record.code,
            reason: record.reason.clone(),
            is_unwelcome: record.is_unwelcome(),
        };
        let finding = if counts {
            self.of_group(group, finding)
        } else {
            None
        };
        let record = Box::new(record);
        if is_revision {
            self.metrics.revised(None, &record);
        } else {
            self.metrics.settled(&record);
        }
        let writes = vec![Write::Settled { seq, record, kept }];
        let now = Stamp::now();
        let effects = finding
            .map(|finding| self.board.step(Event::Result(finding), now.wall))
            .unwrap_or_default();
        self.follow(effects, writes, then);
    }

    /// The result of a group, once all of it are there: the worst of theirs.
    fn of_group(&mut self, group: Option<u64>, finding: Finding) -> Option<Finding> {
        let Some(number) = group else {
            return Some(finding);
        };
        let group = self.groups.get_mut(&number)?;
        group.awaited = group.awaited.saturating_sub(1);
        let is_worse = |worst: &Finding| finding.verdict > worst.verdict;
        if group.worst.as_ref().is_none_or(is_worse) {
            group.worst = Some(finding);
        }
        if group.awaited > 0 {
            return None;
        }
        self.groups.remove(&number)?.worst
    }

    /// What speaking to a server came to.
    pub(super) fn pinged(&mut self, pinged: Pinged) {
        let Pinged {
            route,
            is_asked,
            seq,
            records,
        } = pinged;
        self.asked_for_ends(&route, is_asked);
        if let Some(count) = self.pinging.get_mut(&route) {
            *count = count.saturating_sub(1);
        }
        let group = (records.len() > 1).then_some(seq);
        if let Some(number) = group {
            let (awaited, worst) = (records.len(), None);
            self.groups.insert(number, Group { awaited, worst });
        }
        for record in records {
            let order = (self.seq(), group);
            if network::is_doubtful(&record) {
                self.doubt(record, order, None, Vec::new());
            } else {
                self.result(record, order, None, Vec::new(), (false, true));
            }
        }
    }
}

/// What is shown of a result.
pub(super) fn last_result(record: &Record) -> LastResult {
    LastResult {
        id: record.id,
        due_at: record.due_at,
        outcome: record.outcome,
        verdict: record.verdict,
        code: record.code,
        reason: record.reason.clone(),
        round_trip_ms: record.round_trip_ms,
    }
}
