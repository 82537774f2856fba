//! JUnit XML for CI servers: a suite a route, a case a test. The dialect is that of `schema/junit.xsd`.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::account::{account, expected, words};
use super::document::{Standing, TestRecords, tests};
use crate::probe::outcome::Verdict;
use crate::probe::record::{Document, Record};
use crate::text::{line, lines};

/// Writes the document as JUnit XML.
pub fn write(document: &Document, out: impl Write) -> io::Result<()> {
    report(document).serialize(out).map_err(io::Error::other)
}

fn report(document: &Document) -> Report {
    let mut report = Report::new("mailrobin");
    // A run has no id of its own; that of its first probe is as unique.
    if let Some(first) = document.probes.first() {
        report.set_uuid(first.id);
    }
    report.timestamp = document.started_at.to_string().parse().ok();
    report.time = document
        .finished_at
        .duration_since(document.started_at)
        .try_into()
        .ok();
    let tests = tests(&document.probes);
    for of_route in tests.chunk_by(|one, other| one.route == other.route) {
        report.add_test_suite(suite(document, of_route));
    }
    report
}

fn suite(document: &Document, tests: &[TestRecords<'_>]) -> TestSuite {
    let route = tests.first().map_or("", |test| test.route.as_str());
    let mut suite = TestSuite::new(line(route));
    let probes = || tests.iter().flat_map(|test| &test.probes);
    let started = probes().filter_map(|probe| probe.started_at).min();
    suite.timestamp = started.and_then(|started| started.to_string().parse().ok());
    let verdict = tests.iter().map(TestRecords::verdict).max();
    suite.add_property(Property::new("mailrobin", &document.mailrobin));
    suite.add_property(Property::new(
        "verdict",
        verdict.unwrap_or_default().as_str(),
    ));
    for test in tests {
        if let Some(probe) = test.deciding() {
            suite.add_test_case(case(document, test, probe));
        }
    }
    suite.time = Some(suite.test_cases.iter().filter_map(|case| case.time).sum());
    suite
}

fn case(document: &Document, test: &TestRecords<'_>, decides: &Record) -> TestCase {
    let standing = test.standing(document.verdict);
    let mut status = match standing {
        Standing::Passed => TestCaseStatus::success(),
        Standing::Skipped => TestCaseStatus::skipped(),
        Standing::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
        Standing::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    status.set_type(decides.code.as_str());
    status.set_message(line(&decides.reason));
    status.set_description(description(decides));
    let mut told: Vec<_> = test.counted().map(account).collect();
    for earlier in test
        .probes
        .iter()
        .filter(|probe| probe.superseded_by.is_some())
    {
        let kind = match earlier.verdict {
            Verdict::Fail => Some(NonSuccessKind::Failure),
            Verdict::Unknown => Some(NonSuccessKind::Error),
            Verdict::Pass | Verdict::Warn => None,
        };
        match kind {
            // What was skipped has no place for reruns, and no rerun has passed.
            Some(kind) if standing != Standing::Skipped => {
                status.add_rerun(rerun(earlier, kind));
            }
            Some(_) | None => told.push(account(earlier)),
        }
    }
    let mut case = TestCase::new(line(&test.name()), status);
    case.set_classname(line(test.route.as_str()));
    case.timestamp = decides
        .started_at
        .and_then(|started| started.to_string().parse().ok());
    case.time = round_trip(decides);
    for (name, value) in [
        ("id", decides.id.to_string()),
        ("outcome", decides.outcome.to_string()),
        ("verdict", decides.verdict.to_string()),
        ("code", decides.code.to_string()),
    ] {
        case.add_property(Property::new(name, value));
    }
    case.set_system_out(told.join("\n\n"));
    case
}

/// A probe that was sent while the path was still settling: the one that came after it counts.
fn rerun(probe: &Record, kind: NonSuccessKind) -> TestRerun {
    let mut rerun = TestRerun::new(kind);
    rerun.timestamp = probe
        .started_at
        .and_then(|started| started.to_string().parse().ok());
    rerun.time = round_trip(probe);
    rerun
        .set_type(probe.code.as_str())
        .set_message(line(&probe.reason))
        .set_description(description(probe))
        .set_system_out(account(probe));
    rerun
}

fn round_trip(probe: &Record) -> Option<Duration> {
    let ms = probe.round_trip_ms?;
    Duration::try_from_secs_f64(ms / 1000.0).ok()
}

/// Many viewers show this and not the output.
fn description(probe: &Record) -> String {
    let Record {
        outcome,
        code,
        reason,
        ..
    } = probe;
    let mut text = format!(
        "{reason} [{code}]\nexpected: {}; it was: {outcome}",
        expected(probe)
    );
    if let Some(words) = words(probe) {
        text.push('\n');
        text.push_str(&words);
    }
    lines(&text)
}
