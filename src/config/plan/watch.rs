//! How the service tests a route, and what it does when a test fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use croner::errors::CronError;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Test;
use crate::clock::Stamp;
use crate::config::secret::Secret;
use crate::config::value::{Rate, times_a_day};
use crate::probe::name::{AlertName, RouteName};
use crate::probe::notice::Severity;
use crate::probe::payload::Payload;

/// How the service tests a route, and what it does when a test fails.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Whether it is tested at all.
    pub enabled: bool,
    /// What is sent together, and when. Of a ping: one line without tests.
    pub lines: Vec<Line>,
    /// How often harmless tests are repeated from the first failure on, where that is sooner.
    pub every_when_down: Option<Duration>,
    /// How often anything is tested once the route is Lost.
    pub every_when_lost: Option<Duration>,
    /// When nothing is started, and no result changes a state.
    pub maintenance: Vec<Maintenance>,
    /// When a failure is worth a notice.
    pub policy: Policy,
    /// Who is told.
    pub alerts: Vec<AlertName>,
    /// What is run when it goes Down.
    pub recovery: Option<Arc<Recovery>>,
}

impl Watch {
    /// How many messages a day it sends by its own timing, controls included, through one address of the gateway; of a ping
    /// without `tests`, how often it visits.
    pub fn a_day(&self, tests: &[Test]) -> u64 {
        let lines = self.lines.iter().map(|line| {
            let sent = || line.tests.iter().filter_map(|at| tests.get(*at));
            let is_plain = |test: &Test| test.sample.payload == Payload::Plain;
            let control = sent().any(Test::needs_control) && !sent().any(is_plain);
            let count = sent().count() + usize::from(control);
            let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
            line.timing.a_day().saturating_mul(count)
        });
        lines.fold(0, u64::saturating_add)
    }
}

/// Tests of one route that are sent together, at the same times.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub timing: Timing,
    /// Which of the route's tests, by their place there.
    pub tests: Vec<usize>,
    /// Whether all of them are harmless, so that they may be repeated often.
    pub is_harmless: bool,
}

/// When tests are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// So often, at even distances.
    Every(Duration),
    /// By the calendar.
    Cron(Cron),
}

impl Timing {
    /// How often a day, on average.
    pub fn a_day(&self) -> u64 {
        match self {
            Self::Every(interval) => times_a_day(*interval),
            Self::Cron(cron) => cron.a_day(),
        }
    }
}

/// So many moments of a pattern, at most, are looked at to say how often it comes.
const LOOKED_AT: usize = 1500;

/// The fields of a cron pattern. With a sixth, for seconds, `* * * * * *` would test every second.
const CRON_FIELDS: usize = 5;

/// A pattern of the calendar, in a time zone.
#[derive(Clone)]
pub struct Cron {
    text: Arc<str>,
    pattern: Arc<croner::Cron>,
    zone: TimeZone,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Cron {}

impl Cron {
    /// Reads `*/10 8-18 * * MON-FRI`: minute, hour, day of month, month, day of week.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let fields = text.split_whitespace().count();
        if fields > CRON_FIELDS {
            return Err(format!(
                "{text:?} has {fields} fields, a cron pattern {CRON_FIELDS}: minute, hour, day of month, month, day of week. Seconds and years are not taken"
            ));
        }
        let pattern = text.parse().map_err(|error: CronError| {
            let why = match error {
                CronError::InvalidPattern(why)
                | CronError::IllegalCharacters(why)
                | CronError::ComponentError(why) => why,
                CronError::EmptyPattern
                | CronError::InvalidDate
                | CronError::InvalidTime
                | CronError::TimeSearchLimitExceeded => error.to_string(),
            };
            let why = why.trim_end_matches('.');
            format!("{text:?} is no cron pattern ({why}): write one like \"*/10 8-18 * * MON-FRI\"")
        })?;
        Ok(Self {
            text: text.trim().into(),
            pattern: Arc::new(pattern),
            zone,
        })
    }

    /// The first moment of the pattern after another; `None` where there is none any more.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let zoned = moment.to_zoned(self.zone.clone());
        let next = self.pattern.find_next_occurrence(&zoned, false).ok()?;
        Some(next.timestamp())
    }

    /// How often a day it comes, on average over a week to come.
    fn a_day(&self) -> u64 {
        let begin = Stamp::now().wall;
        let week = SignedDuration::from_hours(7 * 24);
        let times = std::iter::successors(self.after(begin), |time| self.after(*time));
        let (mut count, mut passed) = (0_u64, week);
        for (at, time) in times.take(LOOKED_AT).enumerate() {
            let after = time.duration_since(begin);
            if after > week {
                break;
            }
            count += 1;
            if at + 1 == LOOKED_AT {
                passed = after;
            }
        }
        let day = SignedDuration::from_hours(24).as_secs();
        let passed = passed.as_secs().max(1);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        // Rounded up: what comes once a week is not nothing.
        let a_day = (count.saturating_mul(day) + passed - 1) / passed;
        u64::try_from(a_day).unwrap_or_default()
    }

    /// The zone whose clocks it goes by.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

/// A time in which a route is worked on.
#[derive(Clone, Debug)]
pub enum Maintenance {
    /// From one moment to another.
    Once {
        /// It begins.
        from: Timestamp,
        /// It is over.
        to: Timestamp,
    },
    /// Again and again.
    Recurring {
        /// When it begins.
        begins: Cron,
        /// How long it lasts.
        lasts: Duration,
    },
}

impl Maintenance {
    /// Whether it is on at this moment.
    pub fn covers(&self, now: Timestamp) -> bool {
        match self {
            Self::Once { from, to } => *from <= now && now < *to,
            Self::Recurring { begins, lasts } => now
                .checked_sub(*lasts)
                .ok()
                .and_then(|earlier| begins.after(earlier))
                .is_some_and(|begun| begun <= now),
        }
    }
}

/// When a failure is worth a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So many failures of one test one after the other: Down.
    pub fail_after: u32,
    /// So many passes one after the other: Up again.
    pub recover_after: u32,
    /// After so many notices of one failure: Lost.
    pub max_alerts: u32,
    /// How often a failure is told again; `None`: with each further `fail_after` failures.
    pub remind_every: Option<Duration>,
    /// While that route is Down, this one tells nobody.
    pub depends_on: Option<RouteName>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            fail_after: 3,
            recover_after: 1,
            max_alerts: 5,
            remind_every: None,
            depends_on: None,
        }
    }
}

/// A program to run, never by a shell.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment variables for it, beside ours.
    pub env: Vec<(String, Secret)>,
    /// Variables of ours that it does not get: the config keeps secrets in them.
    pub withheld: Arc<[String]>,
    /// How long it may take before it is ended.
    pub timeout: Duration,
}

/// What is run when a route goes Down.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The program.
    pub program: Program,
    /// How often at most.
    pub at_most: Rate,
}

/// Somebody to tell, and the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name in the config.
    pub name: AlertName,
    /// The way.
    pub channel: Channel,
    /// What is less bad is not told.
    pub min_severity: Severity,
    /// When all but critical notices are held back.
    pub quiet: Option<Quiet>,
    /// How long one try may take.
    pub timeout: Duration,
}

/// The way a notice takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Channel {
    /// An HTTP POST.
    Webhook {
        /// Where to; often a secret.
        url: Secret,
        /// Header fields, such as Authorization.
        headers: Vec<(String, Secret)>,
        /// The body, a minijinja template over the notice; `None`: the notice as JSON.
        body: Option<Template>,
        /// PEM of authorities to trust besides the system's.
        ca: Option<Arc<str>>,
    },
    /// A program: the notice as JSON on its standard input, and in its environment.
    Command(Program),
}

/// A template that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its text.
    pub text: String,
    /// The media type of what it makes.
    pub content_type: String,
}

/// Hours of every day in which only critical notices go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// They begin.
    pub from: Time,
    /// They end; before `from`: on the next day.
    pub to: Time,
    /// By the clocks of this zone.
    pub zone: TimeZone,
}

impl Quiet {
    /// Whether they are on, and if so, when they end.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let local = now.to_zoned(self.zone.clone());
        let time = local.time();
        let over_midnight = self.to <= self.from;
        let is_on = if over_midnight {
            time >= self.from || time < self.to
        } else {
            time >= self.from && time < self.to
        };
        let day = if time < self.to {
            local.date()
        } else {
            local.date().tomorrow().ok()?
        };
        let end = day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        is_on.then(|| end.timestamp())
    }
}
