//! How one test stands, and how its results are counted: all that is remembered of it over a restart.

use std::mem;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::plan::Policy;
use crate::probe::incident::Incident;
use crate::probe::outcome::{Code, Verdict};
use crate::probe::state::{Finding, State, TestKey};

/// So many results are looked back on for flapping.
pub(super) const FLAP_RESULTS: u32 = 24;
/// So many times Down within them is flapping.
pub(super) const FLAPS: u32 = 3;
/// Of so many leaks it is known that they were told.
const LEAKS: usize = 64;

/// How one test stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// How it stands.
    pub state: State,
    /// When the first of the results was due that made it so.
    pub since: Timestamp,
    /// The place in the order of starts of the newest result that counts.
    pub seq: Option<u64>,
    /// That result.
    pub last: Option<Seen>,
    /// Passes one after the other, warnings included.
    pub passes: Streak,
    /// Warnings one after the other.
    pub warnings: Streak,
    /// Results one after the other that say nothing.
    pub unknowns: Streak,
    /// Failures one after the other, with results between them that say nothing.
    pub failures: Streak,
    /// So many times one after the other the server turned us away.
    pub unwelcome: u32,
    /// The newest failure.
    pub failure: Option<Seen>,
    /// The failure that is going on.
    pub incident: Option<Incident>,
    /// Whether the incident is this test's own, or that of a route it depends on.
    pub opening: Opening,
    /// What else was told of it, and is not over.
    pub told: Option<Told>,
    /// When something was told of it last.
    pub told_at: Option<Timestamp>,
    /// Failures since then.
    pub untold: u32,
    /// It goes up and down, and nothing is told until it is steady.
    pub is_flapping: bool,
    /// A bit for each of the newest results, the newest lowest: whether it went Down then.
    pub flaps: u32,
    /// When it was Down last; `None`: never, or it still is.
    pub down_until: Option<Timestamp>,
    /// The recovery action is to be run once it is clear that the failure is its own.
    pub wants_recovery: bool,
    /// When the recovery action was run for it, as far back as its rate looks.
    pub recoveries: Vec<Timestamp>,
    /// The newest leaks that were told, by their probe.
    pub leaks: Vec<Uuid>,
}

/// A result, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The probe.
    pub probe: Uuid,
    /// What it is worth.
    pub verdict: Verdict,
    /// Why, as a stable word.
    pub code: Code,
    /// Why, as a sentence.
    pub reason: String,
    /// When it was due.
    pub due_at: Timestamp,
    /// When its result came.
    pub at: Timestamp,
    /// Whether the server turned us away.
    #[serde(default)]
    pub is_unwelcome: bool,
}

/// Results of a kind, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// How many.
    pub count: u32,
    /// The first.
    pub first: Option<Seen>,
}

/// Whether a failure is a test's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    /// It is, and whoever is to be told was told; or nothing fails.
    #[default]
    Done,
    /// A route it depends on is Down, or was when the probe was due. If it fails on, it is its own.
    Waiting,
    /// A route it depends on fails too, and may go Down.
    Held {
        /// Since when that is waited for.
        since: Timestamp,
        /// Results of that route's tests since then.
        seen: Vec<(TestKey, u32)>,
    },
}

/// Something told that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Degraded or Unknown.
    pub state: State,
    /// Since when it was so.
    pub since: Timestamp,
}

impl Seen {
    pub(super) fn new(finding: &Finding, at: Timestamp) -> Self {
        Self {
            probe: finding.probe,
            verdict: finding.verdict,
            code: finding.code,
            reason: finding.reason.clone(),
            due_at: finding.due_at,
            at,
            is_unwelcome: finding.is_unwelcome,
        }
    }

    pub(super) fn is_leak(&self) -> bool {
        self.verdict == Verdict::Fail && self.code == Code::Leak
    }
}

impl Streak {
    fn add(&mut self, seen: &Seen) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert_with(|| seen.clone());
    }

    /// When its first result was due.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.first.as_ref().map(|first| first.due_at)
    }
}

impl Standing {
    /// Counts the newest result.
    ///
    /// A result that says nothing neither counts as a failure nor ends a row of failures, and likewise with passes.
    pub(super) fn count(&mut self, seen: Seen) {
        self.flaps = self.flaps << 1 & ((1 << FLAP_RESULTS) - 1);
        self.unwelcome = if seen.is_unwelcome {
            self.unwelcome.saturating_add(1)
        } else {
            0
        };
        match seen.verdict {
            Verdict::Pass | Verdict::Warn => {
                self.passes.add(&seen);
                if seen.verdict == Verdict::Warn {
                    self.warnings.add(&seen);
                } else {
                    self.warnings = Streak::default();
                }
                self.unknowns = Streak::default();
                self.failures = Streak::default();
            }
            Verdict::Fail => {
                self.passes = Streak::default();
                self.warnings = Streak::default();
                self.unknowns = Streak::default();
                self.failures.add(&seen);
                self.untold = self.untold.saturating_add(1);
                if let Some(incident) = &mut self.incident {
                    incident.failures = incident.failures.saturating_add(1);
                }
                self.failure = Some(seen.clone());
            }
            Verdict::Unknown => self.unknowns.add(&seen),
        }
        self.last = Some(seen);
    }

    /// Takes the newest result back for what has come of the same probe since: a leak.
    pub(super) fn revise(&mut self, seen: Seen) {
        let was = self.last.as_ref().map(|last| last.verdict);
        if was == Some(Verdict::Fail) {
            self.failure = Some(seen.clone());
            self.last = Some(seen);
        } else {
            let flaps = self.flaps;
            self.count(seen);
            self.flaps = flaps;
        }
    }

    /// Is in another state, since a result was due.
    pub(super) fn enter(&mut self, state: State, since: Option<Timestamp>) {
        if self.state != state {
            self.state = state;
            self.since = since.unwrap_or(self.since);
        }
    }

    /// Opens an incident with the first failure of the row, unless one is open.
    pub(super) fn open(&mut self, key: &TestKey) {
        let Some(first) = &self.failures.first else {
            return;
        };
        self.incident.get_or_insert_with(|| Incident {
            id: first.probe,
            key: key.clone(),
            began: first.due_at,
            ended: None,
            code: first.code,
            reason: first.reason.clone(),
            worst: State::Down,
            failures: self.failures.count,
            notices: 0,
            is_leak: false,
            is_flapping: false,
            depends_on: None,
            acknowledged: None,
            recoveries: Vec::new(),
        });
    }

    /// Ends the incident, if one is open.
    pub(super) fn close(&mut self, at: Timestamp) -> Option<Incident> {
        let mut incident = self.incident.take()?;
        incident.ended = Some(at.max(incident.began));
        if mem::take(&mut self.is_flapping) {
            self.flaps = 0;
        }
        Some(incident)
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        let incident = self.incident.as_ref();
        incident.is_some_and(|incident| incident.acknowledged.is_some())
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures.count > 0 || self.state >= State::Down
    }

    /// Whether a leak of this probe was told.
    pub(super) fn knows(&self, leak: Uuid) -> bool {
        self.leaks.contains(&leak)
    }

    /// A leak of this probe is seen; whether it is told depends on what was told of the incident.
    ///
    /// Every leak is told, once, as far as anything is: not when somebody knows of the leak, and not when it was said
    /// that nothing more will be told. The first leak of an incident that was none is news to both.
    pub(super) fn leaks(&mut self, probe: Uuid) -> bool {
        if self.leaks.len() >= LEAKS {
            self.leaks.remove(0);
        }
        self.leaks.push(probe);
        let is_silent = self.state == State::Lost || self.is_acknowledged();
        let incident = self.incident.as_mut();
        let is_first = incident.is_none_or(|it| !mem::replace(&mut it.is_leak, true));
        is_first || !is_silent
    }

    /// From when on it is told again that it fails, if the newest result says that it does.
    pub(super) fn reminder(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let is_told = self.incident.as_ref().is_some_and(|it| it.notices > 0);
        let fails = self
            .last
            .as_ref()
            .is_some_and(|last| last.verdict == Verdict::Fail);
        let is_waiting = self.state == State::Down
            && is_told
            && fails
            && self.untold > 0
            && self.opening == Opening::Done
            && !self.is_flapping
            && !self.is_acknowledged();
        if !is_waiting {
            return None;
        }
        match policy.remind_every {
            // A time in the future was noted by a clock that was set back since.
            Some(every) => self.told_at?.min(now).checked_add(every).ok(),
            None => (self.untold >= policy.fail_after).then_some(Timestamp::MIN),
        }
    }
}
