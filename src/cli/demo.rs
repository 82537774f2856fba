//! `mailrobin demo`: every fate of a message, through an embedded mail stack, with nothing set up.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::lab::{route, servers};
use super::progress::Progress;
use super::{Common, Exit};
use crate::clock::Stamp;
use crate::config;
use crate::engine::cycle::Cycle;
use crate::engine::order::{Identity, Order};
use crate::engine::run::run;
use crate::judge::reason::human;
use crate::lab::{Fault, Lab, LabConfig};
use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::payload::{Class, Payload};
use crate::probe::record::Record;
use crate::probe::tag::{Instance, Signer};
use crate::report::human as report;

/// Shows what mailrobin does, in a few seconds and with nothing set up.
#[derive(Debug, Args)]
pub(super) struct Demo {}

/// One message, what the lab does to it, and how it must be judged.
struct Fate {
    name: &'static str,
    story: &'static str,
    fault: Option<&'static str>,
    /// Which of the lab's servers the copy is collected from.
    collected_by: &'static str,
    /// Further keys of its route.
    keys: &'static str,
    outcome: Outcome,
    verdict: Verdict,
}

/// For what does not come in time: the demo waits no longer. Whatever does come is waited for, however slow the machine is.
const SHORT: &str = "deadline = \"2500ms\"\n";

const fn fate(
    name: &'static str,
    story: &'static str,
    fault: Option<&'static str>,
    outcome: Outcome,
    verdict: Verdict,
) -> Fate {
    Fate {
        name,
        story,
        fault,
        collected_by: "lab-imap",
        keys: "",
        outcome,
        verdict,
    }
}

const FATES: [Fate; 13] = [
    fate(
        "imap",
        "a good round trip, collected over IMAP",
        None,
        Outcome::Delivered,
        Verdict::Pass,
    ),
    Fate {
        collected_by: "lab-pop3",
        ..fate(
            "pop3",
            "a good round trip, collected over POP3",
            None,
            Outcome::Delivered,
            Verdict::Pass,
        )
    },
    fate(
        "greylisted",
        "the gateway puts it off once, then takes it",
        Some("defer=1"),
        Outcome::Delivered,
        Verdict::Pass,
    ),
    Fate {
        // Clocks that say whole seconds tell nothing of a shorter wait than its three.
        keys: "warn_after = \"1s\"\n",
        ..fate(
            "slow",
            "held in the filter for three seconds",
            Some("delay=3s"),
            Outcome::Delivered,
            Verdict::Warn,
        )
    },
    fate(
        "duplicate",
        "forwarded twice",
        Some("duplicate"),
        Outcome::Delivered,
        Verdict::Warn,
    ),
    fate(
        "marked",
        "a filter marks it as spam",
        Some("mark-spam"),
        Outcome::Tagged,
        Verdict::Fail,
    ),
    fate(
        "junked",
        "filed in the junk folder",
        Some("junk"),
        Outcome::Junked,
        Verdict::Fail,
    ),
    fate(
        "altered",
        "its text replaced on the way",
        Some("alter"),
        Outcome::Altered,
        Verdict::Fail,
    ),
    fate(
        "rejected",
        "refused at RCPT",
        Some("reject=rcpt:550"),
        Outcome::Rejected,
        Verdict::Fail,
    ),
    fate(
        "bounced",
        "accepted, then bounced",
        Some("bounce"),
        Outcome::Bounced,
        Verdict::Fail,
    ),
    Fate {
        keys: SHORT,
        ..fate(
            "missing",
            "accepted, then silently dropped",
            Some("drop"),
            Outcome::Missing,
            Verdict::Fail,
        )
    },
    Fate {
        keys: SHORT,
        ..fate(
            "late",
            "held beyond the deadline",
            Some("delay=2800ms"),
            Outcome::Missing,
            Verdict::Fail,
        )
    },
    Fate {
        collected_by: "locked-imap",
        keys: SHORT,
        ..fate(
            "unreadable",
            "delivered, but the mailbox refuses the login",
            None,
            Outcome::Unseen,
            Verdict::Unknown,
        )
    },
];

/// A pipeline of filters, and which harmful payloads it must let through.
struct Pipeline {
    name: &'static str,
    story: &'static str,
    fault: Option<&'static str>,
    leaks: &'static [Payload],
}

const PIPELINES: [Pipeline; 2] = [
    Pipeline {
        name: "filters",
        story: "a virus scanner and a spam filter that work",
        fault: None,
        leaks: &[],
    },
    Pipeline {
        name: "sloppy",
        story: "the same, but the scanner does not open archives",
        fault: Some("no-unpacking"),
        leaks: &[Payload::EicarZip, Payload::EicarZipZip, Payload::EicarTarGz],
    },
];

impl Pipeline {
    fn verdict(&self) -> Verdict {
        if self.leaks.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Fail
        }
    }

    /// Whether exactly what should come through did.
    fn is_right(&self, records: &[Record]) -> bool {
        let judged = |record: &&Record| record.class() != Class::Policy;
        let verdict = records.iter().map(|record| record.verdict).max();
        let leaks = records.iter().filter(|record| record.code == Code::Leak);
        let leaks: BTreeSet<_> = leaks.filter_map(|record| record.payload).collect();
        verdict == Some(self.verdict())
            && leaks == self.leaks.iter().copied().collect()
            && records
                .iter()
                .filter(judged)
                .all(|record| matches!(record.verdict, Verdict::Pass | Verdict::Fail))
    }
}

/// What is sent through them.
const PIPELINE_TESTS: &str =
    "tests = [{ suite = \"antivirus\" }, { payload = \"gtube\" }, { suite = \"policy\" }]\n";

impl Demo {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let pipelines = PIPELINES.iter().map(|it| (it.name, it.fault));
        let faults = FATES.iter().map(|it| (it.name, it.fault)).chain(pipelines);
        let faults = faults.filter_map(|(name, fault)| {
            let fault = format!("{},to={name}", fault?);
            fault.parse::<Fault>().ok()
        });
        let lab = Lab::start(LabConfig {
            faults: faults.collect(),
            ..LabConfig::default()
        })
        .await?;
        let locked = Lab::start(LabConfig {
            faults: "login-refused".parse().into_iter().collect(),
            ..LabConfig::default()
        })
        .await?;
        let text = config_text(&lab, &locked);
        let (plan, _) = config::parse(&text, "the demo's config", Path::new(""))
            .map_err(|errors| anyhow::anyhow!("{errors}"))
            .context("this is a bug in mailrobin")?;
        let cycles: Vec<_> = plan
            .routes
            .values()
            .map(|route| Cycle::new(route.clone(), route.tests.clone()))
            .collect();
        let order = Order {
            pings: Vec::new(),
            settle: Duration::ZERO,
            concurrency: usize::MAX,
            cycles,
            linger: Duration::from_secs(1),
            fail_fast: false,
            end_by: None,
            transcript: false,
        };
        let (tell, told) = mpsc::unbounded_channel();
        let progress = Progress::new(order.probes(), common.quiet, true);
        let started = Stamp::now();
        let identity = identity()?;
        let (records, ()) = tokio::join!(
            run(&plan, order, &identity, tell, CancellationToken::new()),
            progress.follow(told)
        );
        let took = Stamp::now().since(started);
        lab.stop().await;
        locked.stop().await;
        let (shown, is_right) = show(&records?, took, super::width())?;
        common.output().write_all(shown.as_bytes())?;
        Ok(if is_right {
            Exit::OK
        } else {
            Exit(Verdict::Fail.exit_code())
        })
    }
}

/// The config of the demo, as `check -c` takes it.
fn config_text(lab: &Lab, locked: &Lab) -> String {
    let mut text =
        String::from("[defaults]\ndeadline = \"20s\"\ndefer_for = \"10s\"\nblind_grace = \"1s\"\n");
    text.push_str(&servers(lab, "lab"));
    text.push_str(&servers(locked, "locked"));
    for fate in &FATES {
        text.push_str(&route(fate.name, "lab", fate.collected_by, fate.keys));
    }
    for pipeline in &PIPELINES {
        text.push_str(&route(pipeline.name, "lab", "lab-imap", PIPELINE_TESTS));
    }
    text
}

/// Who sends in a demo: nobody who is kept.
fn identity() -> Result<Identity> {
    let mut random = [0; 35];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    let (key, drawn) = random.split_at(32);
    let instance = Instance::drawn(drawn.try_into().unwrap_or_default());
    Ok(Identity {
        instance: instance.to_string(),
        signer: Signer::new(key, instance),
    })
}

/// The report, and whether every fate was judged as it should be.
fn show(
    records: &[Record],
    took: Duration,
    width: Option<usize>,
) -> Result<(String, bool), fmt::Error> {
    let found = |fate: &Fate| {
        records
            .iter()
            .find(|record| record.route.as_str() == fate.name)
    };
    let is_right = |fate: &Fate| {
        found(fate)
            .is_some_and(|record| record.outcome == fate.outcome && record.verdict == fate.verdict)
    };
    let right = FATES.iter().filter(|fate| is_right(fate)).count();
    let mut out = String::new();
    writeln!(
        out,
        "{} {right} of {} fates of a message were judged as they should be, in {}",
        report::badge(if right == FATES.len() {
            Verdict::Pass
        } else {
            Verdict::Fail
        }),
        FATES.len(),
        human(took)
    )?;
    for fate in &FATES {
        writeln!(out)?;
        let Some(record) = found(fate) else {
            writeln!(
                out,
                "{} {} was never sent",
                report::badge(Verdict::Fail),
                fate.name
            )?;
            continue;
        };
        let judged = if is_right(fate) {
            format!("as expected ({})", fate.verdict)
        } else {
            format!("NOT as expected ({}, {})", fate.outcome, fate.verdict)
        };
        writeln!(
            out,
            "{} {:10}  {:9}  {judged}",
            report::badge(record.verdict),
            fate.name,
            record.outcome
        )?;
        writeln!(out, "      {}", fate.story)?;
        report::detail(&mut out, record, width)?;
    }
    let filters_right = show_filters(&mut out, records, width)?;
    out.push_str(NEXT);
    Ok((out, right == FATES.len() && filters_right))
}

/// What the filters did, and whether every pipeline was judged as it should be.
fn show_filters(
    out: &mut String,
    records: &[Record],
    width: Option<usize>,
) -> Result<bool, fmt::Error> {
    let mut all_right = true;
    for pipeline in &PIPELINES {
        let of_route = records
            .iter()
            .filter(|record| record.route.as_str() == pipeline.name);
        let of_route: Vec<_> = of_route.cloned().collect();
        let is_right = pipeline.is_right(&of_route);
        all_right &= is_right;
        report::filters(out, &of_route, width)?;
        let judged = if is_right {
            format!("as expected ({})", pipeline.verdict())
        } else {
            "NOT as expected".into()
        };
        writeln!(out, "      {}: {judged}", pipeline.story)?;
    }
    Ok(all_right)
}

const NEXT: &str = "
All of this went over TCP through a mail stack inside this program. Now yours:

  mailrobin lab > lab.toml      the same stack to play with; type `add drop`
  mailrobin check -c lab.toml   in another terminal
  mailrobin config check        what is wrong with a config of your own
  mailrobin check               its tests, once; the exit code is the verdict
";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_config_is_one_that_check_takes() {
        let lab = Lab::start(LabConfig::default()).await.unwrap();
        let (plan, warnings) =
            config::parse(&config_text(&lab, &lab), "demo", Path::new("")).unwrap();
        assert_eq!(plan.routes.len(), FATES.len() + PIPELINES.len());
        assert!(warnings.in_order().is_empty(), "{warnings}");
    }

    #[test]
    fn every_fault_is_one_the_lab_knows() {
        for fate in &FATES {
            let fault = fate.fault.map(|fault| format!("{fault},to={}", fate.name));
            assert!(
                fault.is_none_or(|fault| fault.parse::<Fault>().is_ok()),
                "{}",
                fate.name
            );
        }
    }
}
