//! `mailrobin check`: the tests once, and the worst verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{Common, Exit};
use crate::clock::Stamp;
use crate::config::diagnostic::suggest;
use crate::config::plan::{Plan, Route, Test};
use crate::config::value::duration;
use crate::engine::cycle::Cycle;
use crate::engine::ping::{self, Round};
use crate::engine::ready::{Waiting, ready};
use crate::engine::run::{Order, run};
use crate::probe::name::RouteName;
use crate::probe::outcome::{Outcome, Verdict};
use crate::probe::payload::{Payload, Suite};
use crate::probe::record::Document;
use crate::report::{document, human, json};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The routes to test [default: all]
    #[arg(value_name = "ROUTE")]
    routes: Vec<String>,
    /// Send this payload, or suite, instead of the routes' tests (repeatable)
    #[arg(long, value_name = "NAME")]
    payload: Vec<String>,
    /// Send so many probes for each test
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// So many probes in flight at once
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// The time a round trip may take, instead of the routes' own
    #[arg(long, value_name = "DUR", value_parser = duration)]
    deadline: Option<Duration>,
    /// The time the whole run may take
    #[arg(short, long, value_name = "DUR", value_parser = duration)]
    timeout: Option<Duration>,
    /// First wait until every gateway answers EHLO and every mailbox can be opened, so long at most
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
    /// How long duplicates are still waited for once every probe has its outcome
    #[arg(long, default_value = "1s", value_name = "DUR", value_parser = linger)]
    linger: Duration,
    /// Start no further probe after the first that fails
    #[arg(long)]
    fail_fast: bool,
    /// From which verdict on the exit code is not 0
    #[arg(long, value_enum, default_value_t = FailOn::Warn, value_name = "VERDICT")]
    fail_on: FailOn,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// The result document
    Json,
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
        let (plan, _) = common.plan()?;
        let order = self.order(&plan)?;
        let round = self.round(&plan);
        let identity = common.identity(&plan.signing).await?;
        if let Some(limit) = self.wait {
            wait(&plan, &order, limit, common.quiet).await?;
        }
        let stop = CancellationToken::new();
        let (tell, told) = mpsc::unbounded_channel();
        let probes = order.probes() + round.pings.len();
        let progress = Progress::new(probes, common.quiet, false);
        let started = Stamp::now();
        let running = async {
            let (records, pinged, ()) = tokio::join!(
                run(&plan, order, &identity, tell.clone(), stop.clone()),
                ping::round(&plan, round, &identity.instance, tell, stop.clone()),
                progress.follow(told)
            );
            records.map(|mut records| {
                records.extend(pinged);
                records
            })
        };
        let records = tokio::select! {
            records = running => records?,
            () = self.watch_over(&stop) => bail!("interrupted twice: nothing more is waited for"),
        };
        let document = document::document(records, started.wall, Stamp::now().wall);
        let interrupted = stop.is_cancelled()
            && document
                .probes
                .iter()
                .any(|probe| matches!(probe.outcome, Outcome::Unfinished | Outcome::Skipped));
        match self.print(common, &document) {
            // Who stopped reading has seen enough; the exit code still tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            printed => printed?,
        }
        Ok(self.exit(document.verdict, interrupted))
    }

    /// What is sent: every test of every chosen route, `count` times, routes by turns.
    fn order(&self, plan: &Plan) -> Result<Order> {
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
            concurrency: usize::try_from(self.concurrency).unwrap_or(usize::MAX),
            linger: self.linger,
            fail_fast: self.fail_fast,
            transcript: self.transcript,
        })
    }

    /// The chosen servers that are only spoken to, `count` times; none where payloads were asked for.
    fn round(&self, plan: &Plan) -> Round {
        let chosen = plan.pings.values().filter(|ping| {
            let is_named = self.routes.iter().any(|name| name == ping.name.as_str());
            self.payload.is_empty() && (self.routes.is_empty() || is_named)
        });
        let rounds = usize::try_from(self.count).unwrap_or(usize::MAX);
        let pings = chosen.flat_map(|ping| std::iter::repeat_n(Arc::clone(ping), rounds));
        Round {
            pings: pings.collect(),
            concurrency: usize::try_from(self.concurrency).unwrap_or(usize::MAX),
        }
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

    /// Stops the run at its timeout or at the first signal; ends at the second.
    async fn watch_over(&self, stop: &CancellationToken) {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        let timeout = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = timeout => {}
        }
        stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    fn print(&self, common: &Common, document: &Document) -> io::Result<()> {
        let mut out = common.output();
        match self.format {
            Format::Human => out.write_all(human::render(document, super::width()).as_bytes()),
            Format::Json => json::write(document, io::BufWriter::new(out)),
        }
    }

    fn exit(&self, verdict: Verdict, interrupted: bool) -> Exit {
        let verdict = if interrupted {
            verdict.max(Verdict::Unknown)
        } else {
            verdict
        };
        if verdict < self.fail_on.verdict() && !interrupted {
            return Exit::OK;
        }
        Exit(verdict.exit_code())
    }
}

/// Waits for the servers that the order needs, and says what it still waits for.
async fn wait(plan: &Plan, order: &Order, limit: Duration, quiet: bool) -> Result<()> {
    let routes = || order.cycles.iter().map(|cycle| &cycle.route);
    let gateways: BTreeMap<_, _> = routes()
        .map(|route| (route.gateway.name.clone(), Arc::clone(&route.gateway)))
        .collect();
    let wanted: BTreeSet<_> = routes()
        .flat_map(|route| [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()])
        .flatten()
        .collect();
    let mailboxes = wanted
        .into_iter()
        .filter_map(|name| plan.mailboxes.get(name).cloned());
    let mut said = BTreeMap::new();
    let tell = |waiting: &Waiting| {
        let what = waiting.failure.what.clone();
        if said.insert(waiting.server.clone(), what.clone()) != Some(what.clone()) && !quiet {
            // A closed standard error is no reason to stop.
            let _ = writeln!(anstream::stderr(), "waiting for {}: {what}", waiting.server);
        }
    };
    let waited = ready(
        gateways.into_values().collect(),
        mailboxes.collect(),
        limit,
        tell,
    )
    .await;
    let Err(waiting) = waited else { return Ok(()) };
    let never: Vec<_> = waiting
        .iter()
        .map(|Waiting { server, failure }| match failure.remedy {
            "" => format!("{server}: {}", failure.what),
            remedy => format!("{server}: {} — {remedy}", failure.what),
        })
        .collect();
    bail!(
        "not ready within --wait {limit:?}:\n  {}",
        never.join("\n  ")
    )
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
