//! Every writer over every record: each pair of outcome and verdict appears in each output, and all say the same of it.

use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::{Document, Record};
use mailrobin::report::{document, github, human, json, junit, markdown, nagios, tap};
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus};
use serde_json::{Value, json};

use super::formats;

/// A record, with these fields other than usual.
pub(crate) fn record(number: usize, other: &Value) -> Record {
    let mut record = json!({
        "id": id(number), "instance": "berlin-1", "route": "inbound", "payload": "plain", "control": null,
        "expect": ["delivered"], "outcome": "delivered", "verdict": "pass", "code": "ok",
        "reason": "came back after 812 ms", "due_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00.5Z",
        "accepted_at": null, "seen_at": null, "seen_by": null, "resolution_ms": null, "clock": "monotonic",
        "round_trip_ms": 812.4, "deferral_ms": 0.0, "deadline_ms": 900_000.0, "warn_after_ms": 120_000.0, "late": false,
        "duplicates": 0, "phases": [{ "name": "dns", "ms": 0.2 }, { "name": "transit", "ms": 812.2 }],
        "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 250 }],
        "smtp": { "host": "mx.example.com", "address": "192.0.2.1:587", "tls": "TLSv1.3", "code": 250,
            "enhanced": "2.0.0", "text": "queued as 4711" },
        "copies": [], "evidence": { "carriers": [], "marks": {}, "vantage": "public", "stopped_by": null },
    });
    for (key, value) in other.as_object().unwrap() {
        if value.is_null() && key == "payload" {
            record.as_object_mut().unwrap().remove(key);
        } else {
            record[key] = value.clone();
        }
    }
    serde_json::from_value(record).unwrap()
}

pub(crate) fn id(number: usize) -> String {
    format!("0190a000-0000-7000-8000-{number:012x}")
}

pub(crate) fn of(records: Vec<Record>) -> Document {
    let at = |text: &str| text.parse().unwrap();
    let mut document = document::document(
        records,
        at("2026-01-01T00:00:00Z"),
        at("2026-01-01T00:00:02Z"),
    );
    // The snapshots are those of any version.
    "0.0.0".clone_into(&mut document.mailrobin);
    document
}

pub(crate) fn xml(document: &Document) -> String {
    let mut xml = Vec::new();
    junit::write(document, &mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

/// All writers, each read by its strict reader.
pub(crate) struct Written {
    pub(crate) junit: quick_junit::Report,
    pub(crate) tap: Vec<formats::Point>,
    pub(crate) nagios: formats::Plugin,
    pub(crate) markdown: formats::Markdown,
    pub(crate) github: Vec<formats::Annotation>,
    pub(crate) human: String,
    pub(crate) json: Value,
}

#[track_caller]
pub(crate) fn written(document: &Document) -> Written {
    let mut json_text = Vec::new();
    json::write(document, &mut json_text).unwrap();
    Written {
        junit: formats::junit(&xml(document)),
        tap: formats::tap(&tap::render(document)),
        nagios: formats::nagios(&nagios::render(document)),
        markdown: formats::markdown(&markdown::render(document)),
        github: formats::github(&github::render(document)),
        human: anstream::adapter::strip_str(&human::render(document, None)).to_string(),
        json: formats::json(std::str::from_utf8(&json_text).unwrap()),
    }
}

pub(crate) const VERDICTS: [Verdict; 4] = [
    Verdict::Pass,
    Verdict::Warn,
    Verdict::Unknown,
    Verdict::Fail,
];

/// A record for each pair of outcome and verdict: the route is named after the outcome, each verdict has its payload, and
/// the codes take turns.
fn pairs() -> Vec<Record> {
    let mut records = Vec::new();
    for outcome in Outcome::ALL {
        for (verdict, payload) in
            VERDICTS
                .into_iter()
                .zip([json!("plain"), json!("eicar"), json!("gtube"), json!(null)])
        {
            let number = records.len();
            let other = json!({
                "route": format!("to-{outcome}"), "payload": payload, "outcome": outcome, "verdict": verdict,
                "code": Code::ALL[number % Code::ALL.len()], "reason": format!("sentence number {number}."),
            });
            records.push(record(number, &other));
        }
    }
    records
}

#[test]
fn every_pair_of_outcome_and_verdict_appears_in_every_output() {
    let records = pairs();
    assert_eq!(records.len(), 52);
    let document = of(records);
    let written = written(&document);
    formats::follows_the_schema(&xml(&document));
    assert_eq!(written.tap.len(), 52);
    assert_eq!(written.junit.tests, 52);
    assert_eq!(written.nagios.long.len(), 52);
    assert_eq!(written.nagios.data.len(), 4 + 52);
    assert_eq!(written.github.len(), 39 + 1);
    assert_eq!(written.markdown.fenced.len(), 39);
    let read: Document = serde_json::from_value(written.json.clone()).unwrap();
    assert_eq!(read.probes, document.probes);
    for record in &document.probes {
        appears_in_junit(record, &written);
        appears_in_tap(record, &written);
        appears_for_people(record, &written);
    }
}

#[track_caller]
fn appears_in_junit(record: &Record, written: &Written) {
    let (route, payload) = (record.route.as_str(), record.payload_name());
    let Record {
        outcome,
        verdict,
        code,
        reason,
        ..
    } = record;
    let what = format!("{route} {payload} {verdict}");
    let is_ok = matches!(verdict, Verdict::Pass | Verdict::Warn);

    let suite = written
        .junit
        .test_suites
        .iter()
        .find(|suite| suite.name.as_str() == route)
        .unwrap();
    let case = suite
        .test_cases
        .iter()
        .find(|case| case.name.as_str() == payload)
        .unwrap();
    for (name, value) in [
        ("outcome", outcome.as_str()),
        ("verdict", verdict.as_str()),
        ("code", code.as_str()),
    ] {
        assert!(
            case.properties.contains(&Property::new(name, value)),
            "{what}: {name}"
        );
    }
    let (kind, message, ty) = status(case);
    assert!(
        case.system_out.as_ref().unwrap().contains(reason.as_str()),
        "{what}"
    );
    let expected = match verdict {
        Verdict::Pass | Verdict::Warn => "success",
        Verdict::Unknown if *outcome == Outcome::Skipped => "skipped",
        Verdict::Unknown => "error",
        Verdict::Fail => "failure",
    };
    assert_eq!(kind, expected, "{what}");
    if !is_ok {
        assert_eq!((message, ty), (reason.as_str(), code.as_str()), "{what}");
    }
}

#[track_caller]
fn appears_in_tap(record: &Record, written: &Written) {
    let (route, payload) = (record.route.as_str(), record.payload_name());
    let Record {
        outcome,
        verdict,
        code,
        reason,
        ..
    } = record;
    let what = format!("{route} {payload} {verdict}");
    let is_ok = matches!(verdict, Verdict::Pass | Verdict::Warn);
    let is_skipped = *verdict == Verdict::Unknown && *outcome == Outcome::Skipped;
    let point = written
        .tap
        .iter()
        .find(|point| point.name == format!("{route} {payload}"))
        .unwrap();
    assert_eq!(point.ok, is_ok || is_skipped, "{what}");
    assert_eq!(
        point.skip.as_deref(),
        (is_skipped).then_some(reason.as_str()),
        "{what}"
    );
    for (key, value) in [
        ("message", reason.as_str()),
        ("severity", verdict.as_str()),
        ("outcome", outcome.as_str()),
        ("code", code.as_str()),
    ] {
        assert_eq!(point.diagnostics[key], value, "{what}");
    }
}

#[track_caller]
fn appears_for_people(record: &Record, written: &Written) {
    let (route, payload) = (record.route.as_str(), record.payload_name());
    let Record {
        outcome,
        verdict,
        code,
        reason,
        ..
    } = record;
    let what = format!("{route} {payload} {verdict}");
    let is_ok = matches!(verdict, Verdict::Pass | Verdict::Warn);
    let line = format!("{verdict}: {route} {payload}: {outcome} [{code}]: {reason}");
    assert!(written.nagios.long.contains(&line), "{line}");
    let label = format!("{route} {payload}");
    assert!(
        written
            .nagios
            .data
            .iter()
            .any(|(known, value)| *known == label && value == "0.8124s;120;900;0")
    );

    let row = written
        .markdown
        .rows
        .iter()
        .find(|row| row[1] == route && row[2] == payload)
        .unwrap();
    assert!(
        row[0].ends_with(verdict.as_str()) && row[3] == outcome.as_str(),
        "{row:?}"
    );
    assert_eq!(row[5], format!("{reason} [{code}]"));

    let title = format!("{route} {payload}: {outcome}, {verdict} [{code}]");
    let annotation = written
        .github
        .iter()
        .find(|annotation| annotation.title == title);
    let expected = match verdict {
        Verdict::Pass => None,
        Verdict::Warn => Some(("warning", reason.as_str())),
        Verdict::Unknown | Verdict::Fail => Some(("error", reason.as_str())),
    };
    assert_eq!(
        annotation.map(|it| (it.kind.as_str(), it.message.as_str())),
        expected,
        "{what}"
    );

    let row = written.human.lines().any(|line| {
        line.contains(payload)
            && line.contains(outcome.as_str())
            && (is_ok || line.contains(&format!("{reason} [{code}]")))
    });
    assert!(row, "{what} is not in {}", written.human);
}

fn status(case: &TestCase) -> (&'static str, &str, &str) {
    let (kind, message, ty) = match &case.status {
        TestCaseStatus::Success { .. } => return ("success", "", ""),
        TestCaseStatus::Skipped { message, ty, .. } => ("skipped", message, ty),
        TestCaseStatus::NonSuccess {
            kind, message, ty, ..
        } => match kind {
            NonSuccessKind::Failure => ("failure", message, ty),
            NonSuccessKind::Error => ("error", message, ty),
        },
    };
    (kind, message.as_deref().unwrap(), ty.as_deref().unwrap())
}

/// A report of nothing but skipped tests is green to most who read it.
#[test]
fn what_was_not_started_is_only_skipped_where_the_run_has_failed_anyway() {
    let skipped = || {
        record(
            1,
            &json!({ "outcome": "skipped", "verdict": "unknown", "code": "not-started", "started_at": null, "round_trip_ms": null }),
        )
    };
    let failed = record(
        2,
        &json!({ "route": "outbound", "outcome": "missing", "verdict": "fail", "code": "missing" }),
    );
    let alone = written(&of(vec![skipped()]));
    assert!(!alone.tap[0].ok && alone.tap[0].skip.is_none());
    assert_eq!((alone.junit.errors, alone.junit.skipped), (1, 0));
    let beside = written(&of(vec![skipped(), failed]));
    assert!(beside.tap[0].ok && beside.tap[0].skip.is_some());
    assert_eq!(
        (
            beside.junit.failures,
            beside.junit.errors,
            beside.junit.skipped
        ),
        (1, 0, 1)
    );
}

#[test]
fn probes_that_a_later_one_stands_for_are_reruns() {
    let earlier = |number| {
        record(
            number,
            &json!({ "superseded_by": id(9), "outcome": "delivered", "verdict": "fail", "code": "leak", "payload": "eicar" }),
        )
    };
    for (verdict, code, tag) in [
        ("pass", "ok", "flakyFailure"),
        ("fail", "leak", "rerunFailure"),
    ] {
        let last = record(
            9,
            &json!({ "outcome": "rejected", "verdict": verdict, "code": code, "payload": "eicar" }),
        );
        let document = of(vec![earlier(1), earlier(2), last]);
        let xml = xml(&document);
        formats::follows_the_schema(&xml);
        assert_eq!(xml.matches(&format!("<{tag} ")).count(), 2, "{xml}");
        let written = written(&document);
        assert_eq!(written.junit.tests, 1);
        assert_eq!(written.tap[0].ok, verdict == "pass");
        assert_eq!(
            written.tap[0].diagnostics["other_probes"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert_eq!(document.summary.pass, usize::from(verdict == "pass"));
    }
}

#[test]
fn of_several_probes_the_worst_decides_and_the_others_are_listed() {
    let document = of(vec![
        record(1, &json!({})),
        record(
            2,
            &json!({ "outcome": "missing", "verdict": "fail", "code": "missing", "reason": "gone", "round_trip_ms": null }),
        ),
        record(
            3,
            &json!({ "round_trip_ms": 1812.4, "deferral_ms": 1000.0 }),
        ),
    ]);
    let written = written(&document);
    let case = &written.junit.test_suites[0].test_cases[0];
    assert_eq!(status(case), ("failure", "gone", "missing"));
    let told = case.system_out.as_ref().unwrap();
    assert!((1..=3).all(|number| told.contains(&id(number))), "{told:?}");
    assert_eq!(
        written.tap[0].diagnostics["other_probes"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        written.nagios.data[4],
        ("inbound plain".into(), "0.8124s;120;900;0".into())
    );
}

#[test]
fn performance_data_that_does_not_fit_the_first_line_comes_last() {
    let records: Vec<_> = (0..60)
        .map(|number| {
            record(
                number,
                &json!({ "route": format!("a-route-with-a-long-name-{number:02}") }),
            )
        })
        .collect();
    let written = written(&of(records));
    assert_eq!(written.nagios.first, "MAILROBIN OK - 60 of 60 tests passed");
    let labels: Vec<_> = written
        .nagios
        .data
        .iter()
        .skip(4)
        .map(|(label, _)| label.clone())
        .collect();
    let expected: Vec<_> = (0..60)
        .map(|number| format!("a-route-with-a-long-name-{number:02} plain"))
        .collect();
    assert_eq!(labels, expected);
}
