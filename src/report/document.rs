//! The document that every output is written from, and the tests its probes belong to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::probe::name::RouteName;
use crate::probe::outcome::{Outcome, Verdict};
use crate::probe::payload::Payload;
use crate::probe::record::{Document, Record, SCHEMA, Summary};

/// The probes of one test.
#[derive(Clone, Debug)]
pub struct TestRecords<'a> {
    /// The route under test.
    pub route: &'a RouteName,
    /// What was sent; a ping sends nothing.
    pub payload: Option<Payload>,
    /// What tells it from the payload as the catalogue has it.
    pub variant: &'a str,
    /// Its probes, in the order of their start.
    pub probes: Vec<&'a Record>,
}

impl TestRecords<'_> {
    /// What it is called: the payload and what tells it from the catalogue's.
    pub fn name(&self) -> String {
        match self.variant {
            "" => self.payload_name().to_owned(),
            variant => format!("{} ({variant})", self.payload_name()),
        }
    }

    /// The payload's name, or `ping`.
    pub fn payload_name(&self) -> &'static str {
        self.payload.map_or("ping", Payload::as_str)
    }

    /// The probes that count: those that no later one stands for.
    pub fn counted(&self) -> impl Iterator<Item = &Record> {
        let counted = |probe: &&Record| probe.superseded_by.is_none();
        self.probes.iter().copied().filter(counted)
    }

    /// The probe that decides it: the worst of those that count, and of equals one that was started.
    pub fn deciding(&self) -> Option<&Record> {
        self.counted()
            .max_by_key(|probe| (probe.verdict, probe.outcome != Outcome::Skipped))
    }

    /// How it stands where there is only passed, failed and skipped, in a run that came to this verdict.
    pub fn standing(&self, run: Verdict) -> Standing {
        let is_skipped = self
            .deciding()
            .is_some_and(|probe| probe.outcome == Outcome::Skipped);
        match self.verdict() {
            Verdict::Pass | Verdict::Warn => Standing::Passed,
            Verdict::Unknown if is_skipped && run == Verdict::Fail => Standing::Skipped,
            Verdict::Unknown => Standing::Unknown,
            Verdict::Fail => Standing::Failed,
        }
    }

    /// The worst verdict of the probes that count.
    pub fn verdict(&self) -> Verdict {
        self.counted()
            .map(|probe| probe.verdict)
            .max()
            .unwrap_or_default()
    }
}

/// Why copies are still in mailboxes, each reason once.
pub fn remainders(document: &Document) -> BTreeSet<&str> {
    let probes = document.probes.iter();
    probes
        .filter_map(|probe| probe.evidence.cleanup.as_deref())
        .collect()
}

/// What becomes of a verdict in a format that has fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As expected, perhaps with a warning.
    Passed,
    /// Never started, in a run that has failed anyway. Elsewhere it is unknown: skipped tests read as success, and a run
    /// that was interrupted, or never began, is none.
    Skipped,
    /// Nothing can be said, which is no success either.
    Unknown,
    /// Not as expected.
    Failed,
}

/// The tests that records belong to, by route and payload.
pub fn tests(records: &[Record]) -> Vec<TestRecords<'_>> {
    type Key<'a> = (&'a RouteName, Option<Payload>, &'a str, &'a [Outcome]);
    let mut tests: BTreeMap<Key<'_>, Vec<&Record>> = BTreeMap::new();
    for record in records {
        tests
            .entry((
                &record.route,
                record.payload,
                &record.variant,
                &record.expect,
            ))
            .or_default()
            .push(record);
    }
    tests
        .into_iter()
        .map(|((route, payload, variant, _), probes)| TestRecords {
            route,
            payload,
            variant,
            probes,
        })
        .collect()
}

/// The document of a run.
pub fn document(records: Vec<Record>, started_at: Timestamp, finished_at: Timestamp) -> Document {
    let mut summary = Summary::default();
    let mut verdict = Verdict::Pass;
    for test in tests(&records) {
        let of_test = test.verdict();
        verdict = verdict.max(of_test);
        let count = match of_test {
            Verdict::Pass => &mut summary.pass,
            Verdict::Warn => &mut summary.warn,
            Verdict::Fail => &mut summary.fail,
            Verdict::Unknown => &mut summary.unknown,
        };
        *count += 1;
    }
    Document {
        schema: SCHEMA,
        mailrobin: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        finished_at,
        verdict,
        summary,
        probes: records,
    }
}
