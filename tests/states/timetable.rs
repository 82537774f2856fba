//! Scenarios of starts: when what is tested.
//!
//! ```toml
//! title = "every minute"
//! start = "2026-01-01T00:00:00Z"    # what the wall clock says at first
//!
//! [routes.inbound]                  # `count`: so many of them
//! lines = [{ every = "1m" }, { cron = "0 8 * * *", zone = "Europe/Berlin", harmful = true }]
//! last = "-00:10"                   # when its lines ran last; left out: never
//! every_when_down = "1m"            # and every_when_lost, enabled, maintenance
//!
//! [[steps]]
//! run = "15m"                       # time passes, and whoever asks for it is asked
//! expect.starts = { inbound = ["00:00:20", "00:01:20"], "inbound 1" = { count = 15, first = "…", last = "…", apart = "1m" } }
//! expect.missed = { inbound = 3 }   # in all since the service was started, where it changed
//! expect.late = 1                   # starts made later than they were due
//! ```
//!
//! Instead of `run`: `stall` (time passes, and nobody asks until its end), `suspend` (so does the wall clock alone),
//! `set = "-01:00"` (so far the wall clock is moved), `stop` (the service does not run for so long), `moods`, `pause`, `resume`,
//! `trigger`, `enable` and `disable` (each a list of routes), `expect.upcoming`.
//!
//! Times are those at which a start was due, by the clock of that moment.

mod play;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailrobin::config::plan::{Cron, Line, Policy, Timing, Watch};
use mailrobin::service::schedule::Mood;
use serde::Deserialize;

use crate::value::{Span, Time, Window};
use play::Play;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[serde(rename = "title")]
    _title: String,
    start: Option<Timestamp>,
    #[serde(default)]
    routes: BTreeMap<String, Route>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    count: Option<u32>,
    lines: Vec<OfLine>,
    last: Option<Time>,
    enabled: Option<bool>,
    every_when_down: Option<Span>,
    every_when_lost: Option<Span>,
    #[serde(default)]
    maintenance: Vec<Window>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfLine {
    every: Option<Span>,
    cron: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    harmful: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    run: Option<Span>,
    stall: Option<Span>,
    suspend: Option<Span>,
    stop: Option<Span>,
    set: Option<Time>,
    #[serde(default)]
    moods: BTreeMap<String, Mood>,
    #[serde(default)]
    pause: Vec<String>,
    #[serde(default)]
    resume: Vec<String>,
    #[serde(default)]
    trigger: Vec<String>,
    #[serde(default)]
    enable: Vec<String>,
    #[serde(default)]
    disable: Vec<String>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    starts: BTreeMap<String, Starts>,
    missed: BTreeMap<String, u64>,
    upcoming: BTreeMap<String, Time>,
    late: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Starts {
    Each(Vec<Time>),
    Even(Even),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Even {
    count: usize,
    first: Option<Time>,
    last: Option<Time>,
    apart: Option<Span>,
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
    let mut play = Play::new(&scenario);
    for (place, step) in scenario.steps.iter().enumerate() {
        let before = play.found.len();
        play.step(step);
        for found in play.found.iter_mut().skip(before) {
            *found = format!("step {}: {found}", place + 1);
        }
    }
    play.found
}

impl Starts {
    fn differs(&self, due: &[Timestamp], start: Timestamp) -> Option<String> {
        match self {
            Self::Each(wanted) => {
                let wanted: Vec<_> = wanted.iter().map(|time| time.from(start)).collect();
                (wanted != due).then(|| format!("at {due:?} instead of {wanted:?}"))
            }
            Self::Even(even) => {
                let apart = even
                    .apart
                    .map(|apart| SignedDuration::try_from(apart.0).unwrap());
                let is_even = due.windows(2).all(|pair| match pair {
                    [one, next] => apart.is_none_or(|apart| next.duration_since(*one) == apart),
                    _ => true,
                });
                let is_same = |time: Option<Time>, due: Option<&Timestamp>| {
                    time.is_none_or(|time| Some(&time.from(start)) == due)
                };
                let is_right = due.len() == even.count
                    && is_even
                    && is_same(even.first, due.first())
                    && is_same(even.last, due.last());
                let ends = (due.first(), due.last());
                (!is_right).then(|| format!("{} times, {ends:?}, instead of {even:?}", due.len()))
            }
        }
    }
}

impl Route {
    fn watch(&self, start: Timestamp) -> Watch {
        Watch {
            enabled: self.enabled.unwrap_or(true),
            lines: self.lines.iter().map(OfLine::line).collect(),
            every_when_down: self.every_when_down.map(|every| every.0),
            every_when_lost: self.every_when_lost.map(|every| every.0),
            maintenance: Window::all(&self.maintenance, start),
            policy: Policy::default(),
            alerts: Vec::new(),
            recovery: None,
        }
    }
}

impl OfLine {
    fn line(&self) -> Line {
        let timing = match (&self.every, &self.cron) {
            (Some(every), None) => Timing::Every(every.0),
            (None, Some(pattern)) => {
                let zone = self.zone.as_deref().unwrap_or("UTC");
                Timing::Cron(Cron::parse(pattern, TimeZone::get(zone).unwrap()).unwrap())
            }
            (None, None) | (Some(_), Some(_)) => panic!("a line has `every` or `cron`"),
        };
        Line {
            timing,
            tests: vec![0],
            is_harmless: !self.harmful,
        }
    }
}
