//! `mailrobin check`: the tests once, and the worst verdict.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::reports::{Format, Reports, Wanted, wanted};
use super::signals::Signals;
use super::wait::{Unready, wait};
use super::{Common, Exit};
use crate::clock::Stamp;
use crate::config::diagnostic::suggest;
use crate::config::plan::{Ping, Plan, Route, Test};
use crate::config::value::duration;
use crate::engine::cycle::Cycle;
use crate::engine::order::Order;
use crate::engine::run::run;
use crate::engine::unstarted::unstarted;
use crate::probe::name::RouteName;
use crate::probe::outcome::{Outcome, Verdict};
use crate::probe::payload::{Payload, Suite};
use crate::probe::record::Document;
use crate::report::document;

/// Of a run's `--timeout` so much at most is kept for cleaning up.
const CLEANING_UP: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The routes to test [default: all]
    #[arg(value_name = "ROUTE")]
    routes: Vec<String>,
    /// Send this payload, or suite, instead of the routes' tests (repeatable)
    #[arg(long, value_name = "NAME")]
    payload: Vec<String>,
    /// Send so many probes for each test
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// So many probes in flight at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// The time a round trip may take, instead of the routes' own
    #[arg(long, value_name = "DUR", value_parser = duration)]
    deadline: Option<Duration>,
    /// The time the whole run may take, secrets and clean-up included
    #[arg(short, long, value_name = "DUR", value_parser = duration)]
    timeout: Option<Duration>,
    /// First wait until every gateway answers EHLO and every mailbox can be opened, so long at most
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
    /// How long duplicates are still waited for once every probe has its outcome
    #[arg(long, default_value = "1s", value_name = "DUR", value_parser = linger)]
    linger: Duration,
    /// Try a test that has not passed again every 5 seconds, so long at most: for filters that are still loading
    #[arg(long, value_name = "DUR", value_parser = duration, conflicts_with = "fail_fast")]
    settle: Option<Duration>,
    /// Start no further probe after the first that fails
    #[arg(long)]
    fail_fast: bool,
    /// From which verdict on the exit code is not 0
    #[arg(long, value_enum, default_value_t = FailOn::Warn, value_name = "VERDICT")]
    fail_on: FailOn,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also write the result to a file, in any of these formats (repeatable)
    #[arg(long, value_name = "FORMAT=FILE", value_parser = wanted)]
    report: Vec<Wanted>,
    /// Show both sides of the SMTP sessions
    #[arg(long)]
    transcript: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Fail,
    Unknown,
    Warn,
}

impl FailOn {
    fn verdict(self) -> Verdict {
        match self {
            Self::Fail => Verdict::Fail,
            Self::Unknown => Verdict::Unknown,
            Self::Warn => Verdict::Warn,
        }
    }
}

/// Unlike other durations, this one may be zero.
fn linger(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        _ => duration(text),
    }
}

impl Check {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        // Before all else: whatever goes wrong from here on, no older report may pass for this run's.
        let reports = Reports::open(&self.report)?;
        let began = Stamp::now();
        let end_by = self.timeout.map(|limit| began.mono + limit);
        let prepared = async {
            let (plan, _) = common.plan().await?;
            let order = self.order(&plan, end_by)?;
            let identity = common.identity(&plan.signing).await?;
            anyhow::Ok((plan, order, identity))
        };
        let (plan, order, identity) = tokio::select! {
            prepared = prepared => prepared?,
            () = until(end_by) => bail!("--timeout was over before the config and its signing key were read: nothing was sent"),
        };
        let mut signals = Signals::new()?;
        if let Some(limit) = self.wait {
            let left = end_by.map(|end| end.saturating_duration_since(Stamp::now().mono));
            let limit = left.map_or(limit, |left| limit.min(left));
            let waited = tokio::select! {
                waited = wait(&plan, &order, limit, common.quiet) => waited,
                () = signals.next() => Err(Unready::interrupted()),
            };
            if let Err(unready) = waited {
                common.complain(&unready.said);
                let records = unstarted(&order, &identity, &unready.reason);
                let document = document::document(records, began.wall, Stamp::now().wall);
                return Ok(self.finish(common, reports, &document, true));
            }
        }
        let stop = CancellationToken::new();
        let (tell, told) = mpsc::unbounded_channel();
        let progress = Progress::new(order.probes(), common.quiet, false);
        let started = Stamp::now();
        let running = async {
            let (records, ()) = tokio::join!(
                run(&plan, order, &identity, tell, stop.clone()),
                progress.follow(told)
            );
            records
        };
        let records = tokio::select! {
            records = running => records?,
            () = self.watch_over(&mut signals, &stop, end_by) => bail!("interrupted twice: nothing more is waited for"),
        };
        let document = document::document(records, started.wall, Stamp::now().wall);
        let interrupted = stop.is_cancelled()
            && document
                .probes
                .iter()
                .any(|probe| matches!(probe.outcome, Outcome::Unfinished | Outcome::Skipped));
        Ok(self.finish(common, reports, &document, interrupted))
    }

    /// Writes the reports, prints the result, and says what of that went wrong.
    fn finish(
        &self,
        common: &Common,
        reports: Reports,
        document: &Document,
        interrupted: bool,
    ) -> Exit {
        let mut wrong: Vec<_> = reports
            .write(document)
            .iter()
            .map(|error| format!("{error:#}"))
            .collect();
        let width = super::width();
        match self.format.write(document, width, common.output()) {
            Ok(()) => {}
            // Who stopped reading has seen enough; the exit code still tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => wrong.push(format!("the result cannot be printed: {error}")),
        }
        for what in &wrong {
            common.complain(what);
        }
        self.exit(document.verdict, interrupted || !wrong.is_empty())
    }

    /// What is sent: every test of every chosen route, `count` times, routes by turns.
    fn order(&self, plan: &Plan, end_by: Option<Instant>) -> Result<Order> {
        let known = plan.routes.keys().chain(plan.pings.keys());
        let known = known.map(RouteName::as_str);
        for name in &self.routes {
            if !known.clone().any(|known| known == name) {
                bail!("there is no route {name:?}: {}", suggest(name, known));
            }
        }
        let payloads = self.payloads()?;
        let mut cycles = Vec::new();
        for route in plan.routes.values() {
            if !self.routes.is_empty()
                && !self.routes.iter().any(|name| name == route.name.as_str())
            {
                continue;
            }
            let route = self.adjusted(route);
            let chosen = if payloads.is_empty() {
                route.tests.clone()
            } else {
                let chosen = payloads.iter().map(|payload| test(&route, *payload));
                chosen.collect::<Result<_>>()?
            };
            cycles.push(Cycle::new(route, chosen));
        }
        let rounds =
            usize::try_from(self.count).context("--count is too large for this machine")?;
        Ok(Order {
            cycles: std::iter::repeat_n(cycles, rounds).flatten().collect(),
            pings: self.pings(plan, rounds),
            concurrency: usize::try_from(self.concurrency).unwrap_or(usize::MAX),
            linger: self.linger,
            settle: self.settle.unwrap_or_default(),
            fail_fast: self.fail_fast,
            end_by,
            transcript: self.transcript,
        })
    }

    /// The chosen servers that are only spoken to; none where payloads were asked for.
    fn pings(&self, plan: &Plan, rounds: usize) -> Vec<Arc<Ping>> {
        let is_chosen = |ping: &&Arc<Ping>| {
            let is_named = self.routes.iter().any(|name| name == ping.name.as_str());
            self.payload.is_empty() && (self.routes.is_empty() || is_named)
        };
        let chosen = plan.pings.values().filter(is_chosen);
        chosen
            .flat_map(|ping| std::iter::repeat_n(Arc::clone(ping), rounds))
            .collect()
    }

    fn payloads(&self) -> Result<Vec<Payload>> {
        let mut payloads = Vec::new();
        for name in &self.payload {
            if let Some(suite) = Suite::named(name) {
                payloads.extend(suite.payloads());
            } else {
                payloads.push(Payload::named(name).with_context(|| {
                    let suites = Suite::ALL.iter().map(|suite| suite.as_str());
                    let known = Payload::ALL.iter().map(|payload| payload.as_str());
                    format!(
                        "there is no payload {name:?}: {}",
                        suggest(name, known.chain(suites))
                    )
                })?);
            }
        }
        Ok(payloads)
    }

    fn adjusted(&self, route: &Arc<Route>) -> Arc<Route> {
        let Some(deadline) = self.deadline else {
            return Arc::clone(route);
        };
        let mut route = Route::clone(route);
        if route.defer_for == route.deadline {
            route.defer_for = deadline;
        }
        route.deadline = deadline;
        Arc::new(route)
    }

    /// Stops the run at the first signal, or so long before its end that it can still clean up; ends at the second.
    async fn watch_over(
        &self,
        signals: &mut Signals,
        stop: &CancellationToken,
        end_by: Option<Instant>,
    ) {
        let reserve = self.timeout.map(|limit| (limit / 10).min(CLEANING_UP));
        let stops_at = end_by
            .zip(reserve)
            .and_then(|(end, reserve)| end.checked_sub(reserve));
        tokio::select! {
            () = signals.next() => {}
            () = until(stops_at) => {}
        }
        stop.cancel();
        signals.next().await;
    }

    /// What was cut short, or is not where it was asked for, is never a success.
    fn exit(&self, verdict: Verdict, cut_short: bool) -> Exit {
        let verdict = if cut_short {
            verdict.max(Verdict::Unknown)
        } else {
            verdict
        };
        if verdict < self.fail_on.verdict() && !cut_short {
            return Exit::OK;
        }
        Exit(verdict.exit_code())
    }
}

/// Waits for this time; without one, for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The route's own test of this payload, or one with the payload's own expectation.
fn test(route: &Route, payload: Payload) -> Result<Test> {
    let own = route
        .tests
        .iter()
        .find(|test| test.sample.payload == payload);
    match own {
        Some(test) => Ok(test.clone()),
        None if payload == Payload::Attachment => bail!(
            "the payload attachment needs a file: write {{ payload = \"attachment\", file = \"PATH\" }} among the tests of [routes.{}]",
            route.name
        ),
        None => Ok(Test::of(payload)),
    }
}
