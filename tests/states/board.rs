//! Scenarios of results: what they come to, and who is told.
//!
//! ```toml
//! title = "three failures in a row are Down"
//!
//! [routes.inbound]                  # a route's policy; `count = 40` stands for 40 routes, inbound-1 and on
//! fail_after = 3
//! alerts = ["oncall"]
//! recovery = "3/h"
//! maintenance = [{ from = "01:00", to = "02:00" }]
//!
//! [[steps]]                         # what happens, in this order, whatever the clock says
//! at = "00:05"                      # after midnight of 2026-01-01, UTC
//! test = "inbound/plain"            # a result; "inbound-*/plain": of all these routes
//! verdict = "fail"
//! code = "missing"                  # and reason; left out: one that fits the verdict
//! due = "00:04"                     # left out: `at`
//! seq = 7                           # left out: one more than the last
//! probe = 7                         # left out: `seq`
//! every = "1m"                      # so often again, `times` in all; nothing comes of it but the last time
//! times = 3
//!
//! [steps.expect]                    # all that comes of it, or it has failed
//! states = { "inbound/plain" = "down" }
//! notices = [{ event = "failed", test = "inbound/plain", number = 1 }]
//! incidents = [{ test = "inbound/plain", began = "00:03" }]      # begun, ended, or changed but in how often
//! recover = ["inbound"]
//! moods = { inbound = "failing" }
//! ```
//!
//! Instead of a result: `acknowledge = "inbound"` (`by`, `note`), `tick = true`, `restart = true`, `trouble = "…"`
//! (`reason`), `trouble_over = "…"`, `drop = ["inbound", "inbound/eicar"]`: not in the config any more.
//! A step may also expect `routes` (how they stand) and `next_tick`; a notice's facts are compared where they are given.
//!
//! Every scenario is played twice, the second time with a restart after each step: nothing may come of that. Where
//! something does, it says `restarts = false`.

mod play;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailrobin::config::plan::{Policy, Program, Recovery, Watch};
use mailrobin::config::value::Rate;
use mailrobin::probe::name::RouteName;
use mailrobin::probe::notice::{self, Severity};
use mailrobin::probe::outcome::{Code, Verdict};
use mailrobin::probe::state::State;
use mailrobin::service::schedule::Mood;
use serde::Deserialize;

use crate::value::{Span, Time, Window};
use play::Play;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(rename = "title")]
    _title: String,
    /// Whether it is also played with restarts.
    restarts: Option<bool>,
    #[serde(default)]
    routes: BTreeMap<String, Route>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Route {
    count: Option<u32>,
    enabled: Option<bool>,
    fail_after: Option<u32>,
    recover_after: Option<u32>,
    max_alerts: Option<u32>,
    remind_every: Option<Span>,
    depends_on: Option<String>,
    alerts: Option<Vec<String>>,
    recovery: Option<String>,
    maintenance: Vec<Window>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: Time,
    every: Option<Span>,
    times: Option<u32>,
    test: Option<String>,
    verdict: Option<Verdict>,
    code: Option<Code>,
    reason: Option<String>,
    due: Option<Time>,
    seq: Option<u64>,
    probe: Option<u64>,
    acknowledge: Option<String>,
    by: Option<String>,
    note: Option<String>,
    #[serde(default)]
    tick: bool,
    #[serde(default)]
    restart: bool,
    trouble: Option<String>,
    trouble_over: Option<String>,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    states: BTreeMap<String, State>,
    notices: Vec<Told>,
    incidents: Vec<Known>,
    recover: Vec<String>,
    moods: BTreeMap<String, Mood>,
    routes: BTreeMap<String, State>,
    next_tick: Option<Time>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    event: notice::Event,
    test: Option<String>,
    severity: Option<Severity>,
    title: Option<String>,
    number: Option<u32>,
    state: Option<State>,
    code: Option<Code>,
    since: Option<Time>,
    failures: Option<u32>,
    dependents: Option<usize>,
    alerts: Option<Vec<String>>,
    probe: Option<u64>,
    incident: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    test: String,
    id: Option<u64>,
    began: Option<Time>,
    ended: Option<Time>,
    code: Option<Code>,
    worst: Option<State>,
    failures: Option<u32>,
    notices: Option<u32>,
    leak: Option<bool>,
    flapping: Option<bool>,
    depends_on: Option<String>,
    acknowledged: Option<String>,
}

pub(crate) fn read(text: &str) -> Result<Scenario, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// What went otherwise than written, a line each.
pub(crate) fn differences(text: &str) -> Vec<String> {
    let scenario = match read(text) {
        Ok(scenario) => scenario,
        Err(error) => return vec![error],
    };
    let mut differences = Play::new(&scenario, false).through(&scenario);
    if differences.is_empty() && scenario.restarts.unwrap_or(true) {
        let again = Play::new(&scenario, true).through(&scenario);
        differences.extend(again.iter().map(|it| format!("with restarts: {it}")));
    }
    differences
}

impl Route {
    fn watch(&self, start: Timestamp) -> Watch {
        let usual = Policy::default();
        let recovery = |rate: &String| {
            Arc::new(Recovery {
                program: Program {
                    command: vec!["true".into()],
                    env: Vec::new(),
                    withheld: Arc::default(),
                    timeout: Duration::from_mins(1),
                },
                at_most: Rate::parse(rate).unwrap(),
            })
        };
        let alerts = self.alerts.clone().unwrap_or_else(|| vec!["oncall".into()]);
        Watch {
            enabled: self.enabled.unwrap_or(true),
            lines: Vec::new(),
            every_when_down: None,
            every_when_lost: None,
            maintenance: Window::all(&self.maintenance, start),
            policy: Policy {
                fail_after: self.fail_after.unwrap_or(usual.fail_after),
                recover_after: self.recover_after.unwrap_or(usual.recover_after),
                max_alerts: self.max_alerts.unwrap_or(usual.max_alerts),
                remind_every: self.remind_every.map(|every| every.0),
                depends_on: self.depends_on.as_deref().map(RouteName::from),
            },
            alerts: alerts.iter().map(|name| name.as_str().into()).collect(),
            recovery: self.recovery.as_ref().map(recovery),
        }
    }
}
