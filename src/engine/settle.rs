//! A path that is still settling: a test that has not passed is tried again every few seconds, without waiting for the
//! older probe's deadline, until one passes or the time for it is over. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::cycle::Cycle;
use super::pending::{Pending, Slot};
use crate::config::plan::Test;
use crate::probe::listing::Listing;
use crate::probe::outcome::{Outcome, Verdict};
use crate::probe::record::Record;

/// A test that has not passed gets a new probe after so long.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// Everything that may still settle.
#[derive(Default)]
pub(super) struct Settling {
    /// No probe is started again after; `None`: nothing is tried again.
    until: Option<Instant>,
    groups: Vec<Group>,
    slots: BTreeMap<Uuid, Slot>,
}

/// The probes of one cycle, and those that were sent again for it.
struct Group {
    cycle: Cycle,
    address: Option<SocketAddr>,
    listings: Arc<[Listing]>,
    tests: Vec<Trial>,
    /// Probes that wait for their start.
    waiting: usize,
    /// When the last of them was started.
    started: Option<Instant>,
}

/// One test and its probes, in the order of their start.
struct Trial {
    test: Test,
    probes: Vec<Uuid>,
    settled: BTreeSet<Uuid>,
    passed: Option<Uuid>,
}

impl Settling {
    /// Tries again until then; `None`: not at all.
    pub(super) fn until(until: Option<Instant>) -> Self {
        Self {
            until,
            ..Self::default()
        }
    }

    /// The probes of a cycle that is sent to this address.
    pub(super) fn begin(
        &mut self,
        cycle: &Cycle,
        address: Option<SocketAddr>,
        listings: &Arc<[Listing]>,
    ) -> Vec<Pending> {
        let trial = |test: &Test| Trial {
            test: test.clone(),
            probes: Vec::new(),
            settled: BTreeSet::new(),
            passed: None,
        };
        self.groups.push(Group {
            cycle: cycle.clone(),
            address,
            listings: Arc::clone(listings),
            tests: cycle.tests.iter().map(trial).collect(),
            waiting: 0,
            started: None,
        });
        self.send(self.groups.len() - 1, cycle)
    }

    fn send(&mut self, at: usize, cycle: &Cycle) -> Vec<Pending> {
        let Some(group) = self.groups.get_mut(at) else {
            return Vec::new();
        };
        let mut pending: Vec<_> = Pending::of(cycle, group.address, &group.listings).collect();
        for one in &mut pending {
            let test = group.tests.iter().position(|trial| trial.test == one.test);
            one.slot = test.map(|test| Slot { group: at, test });
        }
        group.waiting += pending.len();
        pending
    }

    /// A probe was started.
    pub(super) fn started(&mut self, id: Uuid, slot: Option<Slot>, now: Instant) {
        let Some(slot) = slot else { return };
        let Some(group) = self.groups.get_mut(slot.group) else {
            return;
        };
        group.waiting = group.waiting.saturating_sub(1);
        group.started = Some(now);
        if let Some(trial) = group.tests.get_mut(slot.test) {
            trial.probes.push(id);
        }
        self.slots.insert(id, slot);
    }

    /// A probe has its outcome.
    pub(super) fn settled(&mut self, record: &Record) {
        let trial = self.slots.get(&record.id).and_then(|slot| {
            let group = self.groups.get_mut(slot.group)?;
            group.tests.get_mut(slot.test)
        });
        if let Some(trial) = trial {
            trial.settled.insert(record.id);
            if record.verdict == Verdict::Pass {
                trial.passed.get_or_insert(record.id);
            }
        }
    }

    /// What is to be sent again by now.
    pub(super) fn again(&mut self, now: Instant) -> Vec<Pending> {
        let mut pending = Vec::new();
        if self.until.is_none_or(|until| now >= until) {
            return pending;
        }
        for at in 0..self.groups.len() {
            let Some(group) = self.groups.get(at) else {
                continue;
            };
            if group.due().is_none_or(|due| due > now) {
                continue;
            }
            let open = group.tests.iter().filter(|trial| trial.passed.is_none());
            let open = open.map(|trial| trial.test.clone()).collect();
            let cycle = Cycle::new(Arc::clone(&group.cycle.route), open);
            pending.extend(self.send(at, &cycle));
        }
        pending
    }

    /// When [`Settling::again`] has something to send next.
    pub(super) fn next(&self) -> Option<Instant> {
        let until = self.until?;
        let due = self.groups.iter().filter_map(Group::due).min()?;
        (due < until).then_some(due)
    }

    /// Whether nothing more is waited for: each test has passed, or its last probe has its outcome.
    pub(super) fn is_over(&self) -> bool {
        let mut trials = self.groups.iter().flat_map(|group| &group.tests);
        self.next().is_none()
            && self.groups.iter().all(|group| group.waiting == 0)
            && trials.all(|trial| !trial.probes.is_empty() && !trial.is_open())
    }

    /// How many tests have a probe under way that counts: older ones of the same test take nobody's place.
    pub(super) fn open(&self) -> usize {
        let trials = self.groups.iter().flat_map(|group| &group.tests);
        trials.filter(|trial| trial.is_open()).count()
    }

    /// Whether anything is tried again at all.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Notes on each record which probe counts in its place: the one that passed, else the last.
    pub(super) fn supersede(&self, records: &mut [Record]) {
        for record in records {
            let trial = self.slots.get(&record.id).and_then(|slot| {
                let group = self.groups.get(slot.group)?;
                group.tests.get(slot.test)
            });
            let counts = trial.and_then(|trial| trial.passed.or(trial.probes.last().copied()));
            supersede(record, counts.filter(|_| self.is_on()));
        }
    }
}

/// Another probe counts in the place of this one.
pub(super) fn supersede(record: &mut Record, by: Option<Uuid>) {
    let Some(by) = by.filter(|by| *by != record.id) else {
        return;
    };
    record.superseded_by = Some(by);
    if record.outcome == Outcome::Unfinished {
        "another probe of this test had passed before this one came to its end"
            .clone_into(&mut record.reason);
    }
}

impl Trial {
    /// Whether its last probe is still under way, and none has passed.
    fn is_open(&self) -> bool {
        let last = self.probes.last();
        self.passed.is_none() && last.is_some_and(|last| !self.settled.contains(last))
    }
}

impl Group {
    /// When its tests that have not passed are due again.
    fn due(&self) -> Option<Instant> {
        let is_open = self.tests.iter().any(|trial| trial.passed.is_none());
        let started = self.started.filter(|_| is_open && self.waiting == 0)?;
        Some(started + EVERY)
    }
}
