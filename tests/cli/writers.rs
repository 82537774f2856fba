//! Every writer over every record: each pair of outcome and verdict appears in each output, whatever peers say cannot
//! break one, and what two writers say of one test is the same.

use insta::assert_snapshot;
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::{Document, Record};
use mailrobin::report::{document, github, human, json, junit, markdown, nagios, tap};
use proptest::prelude::*;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus};
use serde_json::{Value, json};

use super::formats;

/// A record, with these fields other than usual.
fn record(number: usize, other: &Value) -> Record {
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

fn id(number: usize) -> String {
    format!("0190a000-0000-7000-8000-{number:012x}")
}

fn of(records: Vec<Record>) -> Document {
    let at = |text: &str| text.parse().unwrap();
    let mut document = document::document(
        records,
        at("2026-01-01T00:00:00Z"),
        at("2026-01-01T00:00:02Z"),
    );
    // The snapshots are those of any version.
    document.mailrobin = "0.0.0".to_owned();
    document
}

fn xml(document: &Document) -> String {
    let mut xml = Vec::new();
    junit::write(document, &mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

/// All writers, each read by its strict reader.
struct Written {
    junit: quick_junit::Report,
    tap: Vec<formats::Point>,
    nagios: formats::Plugin,
    markdown: formats::Markdown,
    github: Vec<formats::Annotation>,
    human: String,
    json: Value,
}

#[track_caller]
fn written(document: &Document) -> Written {
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

const VERDICTS: [Verdict; 4] = [
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
        appears(record, &written);
    }
}

#[track_caller]
fn appears(record: &Record, written: &Written) {
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

    let point = written
        .tap
        .iter()
        .find(|point| point.name == format!("{route} {payload}"))
        .unwrap();
    assert_eq!(point.ok, is_ok || expected == "skipped", "{what}");
    assert_eq!(
        point.skip.as_deref(),
        (expected == "skipped").then_some(reason.as_str()),
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

/// What peers, and the files of users, could try.
fn hostile() -> Vec<String> {
    let mut hostile: Vec<_> = [
        "\u{0}\u{1}\u{8}\u{b}\u{1b}[31mred\u{1b}[0m\u{7f}\u{85}\u{9b}2J\u{202e}\u{2028}\u{fffe}\u{ffff}\u{feff}",
        "]]> <![CDATA[ &amp; &#0; </failure></testcase> <!-- -- --> <?xml?>",
        "| a || b \\| c \\\\| ; 'x'=1s;2;3 = '' ' = |",
        "::error::x\n::set-output name=a::b %0A::warning::y %25 %0D\r\n##[add-mask]z",
        "``` ```` ~~~\n```\n# heading\n<details><script>alert(1)</script>\n| --- |",
        "ok 2 - x # SKIP y # TODO \\# \\\\\n1..0\nBail out!\n  ...\n  ---\nnot ok 3",
        "https://evil.example www.evil.example [a](javascript:x) ![i](x) @everyone *b* _i_ $x$ \\",
        "emoji 🦆🇩🇪 and\u{301} א \u{10ffff}",
        "key: value\n- item\n\"quoted\" 'single' {flow: [1]} &anchor *alias !tag",
        "%",
        "",
        " ",
    ]
    .map(str::to_owned)
    .into();
    hostile.push("ä`|".repeat(35_000));
    hostile
}

fn with_words(number: usize, verdict: Verdict, words: &str) -> Record {
    let fields = json!({
        "route": format!("r{words}"), "variant": words, "verdict": verdict, "outcome": "rejected", "code": "rejected",
        "reason": format!("it said {words}"), "transcript": [words], "superseded_by": null,
        "attempts": [{ "address": null, "phase": "data", "code": 550, "text": words }],
        "smtp": { "host": words, "address": null, "tls": words, "code": 550, "enhanced": words, "text": words },
        "copies": [{ "folder": words, "seen_at": "2026-01-01T00:00:01Z", "delivered_at": null, "size": 1, "outcome": "junked" }],
        "evidence": { "carriers": [], "marks": { words: { "value": words, "positive": true } }, "vantage": null, "stopped_by": null },
    });
    record(number, &fields)
}

/// As many tests are read from each output as were written, each verdict where it belongs.
#[track_caller]
fn stays_whole(words: &str) -> Document {
    let payloads = [json!("plain"), json!("eicar"), json!("gtube"), json!(null)];
    let records =
        VERDICTS
            .into_iter()
            .zip(payloads)
            .enumerate()
            .map(|(number, (verdict, payload))| Record {
                payload: serde_json::from_value(payload).unwrap(),
                ..with_words(number, verdict, words)
            });
    let document = of(records.collect());
    let written = written(&document);
    assert_eq!(
        (
            written.junit.failures,
            written.junit.errors,
            written.junit.tests
        ),
        (1, 1, 4)
    );
    assert_eq!(written.tap.iter().filter(|point| point.ok).count(), 2);
    assert!(written.tap.iter().all(|point| point.skip.is_none()));
    assert_eq!(
        (written.nagios.long.len(), written.nagios.data.len()),
        (4, 8)
    );
    assert_eq!(written.markdown.fenced.len(), 3);
    assert_eq!(written.markdown.headings.len(), 1 + 1 + 3);
    let kinds: Vec<_> = written.github.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["error", "error", "warning", "notice"]);
    let read: Document = serde_json::from_value(written.json).unwrap();
    assert_eq!(read.probes, document.probes);
    document
}

#[test]
fn hostile_words_break_no_output() {
    for words in hostile() {
        formats::follows_the_schema(&xml(&stays_whole(&words)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_words_break_an_output(words in any::<String>()) {
        stays_whole(&words);
    }

    #[test]
    fn no_markup_breaks_an_output(words in "[`|#\\\\%:,'= \n\r<>&\\]~*_\\[(){}.-]{0,60}") {
        stays_whole(&words);
    }
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

/// A run as it often is: one passes, one is slow, one leaks, one cannot be said, and a ping.
fn usual() -> Document {
    of(vec![
        record(1, &json!({})),
        record(
            2,
            &json!({ "route": "outbound", "verdict": "warn", "code": "slow", "reason": "came back after 150 s, slower than 2m", "round_trip_ms": 150_000.0 }),
        ),
        record(
            3,
            &json!({
                "payload": "eicar", "control": id(1), "expect": ["rejected", "altered"], "verdict": "fail", "code": "leak",
                "reason": "the EICAR attachment came back intact", "round_trip_ms": 41.0,
            }),
        ),
        record(
            4,
            &json!({
                "payload": "gtube", "control": id(1), "expect": ["rejected"], "outcome": "rejected", "verdict": "pass", "code": "ok",
                "reason": "mx.example.com refused it at DATA: 554 5.7.1 spam", "round_trip_ms": null, "phases": [],
                "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 554, "text": "554-5.7.1 spam\n554 go away" }],
                "evidence": { "carriers": [], "marks": {}, "vantage": "public", "stopped_by": "signature" },
            }),
        ),
        record(
            5,
            &json!({
                "payload": null, "route": "edge", "expect": ["answered"], "outcome": "unsent", "verdict": "fail", "code": "connect-failed",
                "reason": "connecting to 192.0.2.1:25: refused", "round_trip_ms": null, "phases": [], "smtp": null,
                "attempts": [{ "address": null, "phase": "connect", "code": null, "text": "no route to host" }],
            }),
        ),
    ])
}

#[test]
fn a_nagios_report() {
    assert_snapshot!(nagios::render(&usual()), @r"
    MAILROBIN CRITICAL - 2 of 5 tests failed: edge ping unsent [connect-failed]: connecting to 192.0.2.1:25: refused | 'pass'=2;;;0 'warn'=1;;;0 'fail'=2;;;0 'unknown'=0;;;0 'edge ping'=U 'inbound plain'=0.8124s;120;900;0 'inbound eicar'=0.041s;120;900;0 'inbound gtube'=U 'outbound plain'=150s;120;900;0
    fail: edge ping: unsent [connect-failed]: connecting to 192.0.2.1:25: refused
    fail: inbound eicar: delivered [leak]: the EICAR attachment came back intact
    warn: outbound plain: delivered [slow]: came back after 150 s, slower than 2m
    pass: inbound plain: delivered [ok]: came back after 812 ms
    pass: inbound gtube: rejected [ok]: mx.example.com refused it at DATA: 554 5.7.1 spam
    ");
}

#[test]
fn a_tap_report() {
    assert_snapshot!(tap::render(&usual()), @r#"
    TAP version 14
    1..5
    not ok 1 - edge ping
      ---
      message: "connecting to 192.0.2.1:25: refused"
      severity: "fail"
      outcome: "unsent"
      code: "connect-failed"
      expect: ["answered"]
      id: "0190a000-0000-7000-8000-000000000005"
      round_trip_ms: null
      deadline_ms: 900000.0
      phases: []
      server: "no route to host"
      evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
      ...
    ok 2 - inbound plain
      ---
      message: "came back after 812 ms"
      severity: "pass"
      outcome: "delivered"
      code: "ok"
      expect: ["delivered"]
      id: "0190a000-0000-7000-8000-000000000001"
      round_trip_ms: 812.4
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
      ...
    not ok 3 - inbound eicar
      ---
      message: "the EICAR attachment came back intact"
      severity: "fail"
      outcome: "delivered"
      code: "leak"
      expect: ["rejected","altered"]
      id: "0190a000-0000-7000-8000-000000000003"
      round_trip_ms: 41.0
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
      ...
    ok 4 - inbound gtube
      ---
      message: "mx.example.com refused it at DATA: 554 5.7.1 spam"
      severity: "pass"
      outcome: "rejected"
      code: "ok"
      expect: ["rejected"]
      id: "0190a000-0000-7000-8000-000000000004"
      round_trip_ms: null
      deadline_ms: 900000.0
      phases: []
      server: "554-5.7.1 spam\n554 go away"
      evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":"signature"}
      ...
    ok 5 - outbound plain
      ---
      message: "came back after 150 s, slower than 2m"
      severity: "warn"
      outcome: "delivered"
      code: "slow"
      expect: ["delivered"]
      id: "0190a000-0000-7000-8000-000000000002"
      round_trip_ms: 150000.0
      deadline_ms: 900000.0
      phases: [{"name":"dns","ms":0.2},{"name":"transit","ms":812.2}]
      evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
      ...
    "#);
}

#[test]
fn a_github_report() {
    assert_snapshot!(github::render(&usual()), @r"
    ::error title=edge ping%3A unsent%2C fail [connect-failed]::connecting to 192.0.2.1:25: refused%0Ano route to host
    ::error title=inbound eicar%3A delivered%2C fail [leak]::the EICAR attachment came back intact
    ::warning title=outbound plain%3A delivered%2C warn [slow]::came back after 150 s, slower than 2m
    ::notice title=mailrobin::fail: 2 failed, 0 unknown, 1 with a warning, 2 passed
    ");
}

#[test]
fn a_markdown_report() {
    assert_snapshot!(markdown::render(&usual()), @r#"
    ## mailrobin: ❌ fail

    2 failed, 0 unknown, 1 with a warning, 2 passed

    | verdict | route | test | outcome | time | why |
    | --- | --- | --- | --- | ---: | --- |
    | ❌ fail | edge | ping | unsent |  | connecting to 192.0.2.1:25: refused \[connect-failed\] |
    | ✅ pass | inbound | plain | delivered | 812 ms | came back after 812 ms \[ok\] |
    | ❌ fail | inbound | eicar | delivered | 41 ms | the EICAR attachment came back intact \[leak\] |
    | ✅ pass | inbound | gtube | rejected |  | mx.example.com refused it at DATA: 554 5.7.1 spam \[ok\] |
    | ⚠️ warn | outbound | plain | delivered | 2m 30s | came back after 150 s, slower than 2m \[slow\] |

    ### Filters on inbound

    - antivirus: 0 of 1 variant stopped; came through: eicar
    - spam: 1 of 1 variant stopped or marked

    | payload | class | verdict | outcome | stopped by |
    | --- | --- | --- | --- | --- |
    | plain | harmless | ✅ pass | delivered |  |
    | eicar | virus | ❌ fail | delivered |  |
    | gtube | spam | ✅ pass | rejected | signature |

    ### ❌ fail edge ping

    ```text
    probe 0190a000-0000-7000-8000-000000000005: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    attempt: no peer, connect: no route to host
    evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
    ```

    ### ❌ fail inbound eicar

    ```text
    probe 0190a000-0000-7000-8000-000000000003: delivered, fail [leak]
    reason: the EICAR attachment came back intact
    expected: rejected, altered
    control: 0190a000-0000-7000-8000-000000000001
    phases: dns 0.2 ms, transit 812.2 ms
    attempt: 192.0.2.1:587, data 250
    smtp: {"host":"mx.example.com","address":"192.0.2.1:587","tls":"TLSv1.3","code":250,"enhanced":"2.0.0","text":"queued as 4711"}
    evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
    ```

    ### ⚠️ warn outbound plain

    ```text
    probe 0190a000-0000-7000-8000-000000000002: delivered, warn [slow]
    reason: came back after 150 s, slower than 2m
    expected: delivered
    phases: dns 0.2 ms, transit 812.2 ms
    attempt: 192.0.2.1:587, data 250
    smtp: {"host":"mx.example.com","address":"192.0.2.1:587","tls":"TLSv1.3","code":250,"enhanced":"2.0.0","text":"queued as 4711"}
    evidence: {"carriers":[],"marks":{},"vantage":"public","stopped_by":null}
    ```
    "#);
}

#[test]
fn a_junit_report() {
    let mut earlier = usual().probes.remove(4);
    let last = earlier.clone();
    earlier.id = id(6).parse().unwrap();
    earlier.superseded_by = Some(last.id);
    assert_snapshot!(xml(&of(vec![earlier, last])), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="mailrobin" tests="1" skipped="0" failures="1" errors="0" uuid="0190a000-0000-7000-8000-000000000006" timestamp="2026-01-01T00:00:00.000+00:00" time="2.000">
        <testsuite name="edge" tests="1" skipped="0" errors="0" failures="1" timestamp="2026-01-01T00:00:00.500+00:00" time="0.000">
            <properties>
                <property name="mailrobin" value="0.0.0"/>
                <property name="verdict" value="fail"/>
            </properties>
            <testcase name="ping" classname="edge" timestamp="2026-01-01T00:00:00.500+00:00">
                <properties>
                    <property name="id" value="0190a000-0000-7000-8000-000000000005"/>
                    <property name="outcome" value="unsent"/>
                    <property name="verdict" value="fail"/>
                    <property name="code" value="connect-failed"/>
                </properties>
                <failure message="connecting to 192.0.2.1:25: refused" type="connect-failed">connecting to 192.0.2.1:25: refused [connect-failed]
    expected: answered; it was: unsent
    no route to host</failure>
                <rerunFailure timestamp="2026-01-01T00:00:00.500+00:00" message="connecting to 192.0.2.1:25: refused" type="connect-failed">connecting to 192.0.2.1:25: refused [connect-failed]
    expected: answered; it was: unsent
    no route to host
                    <system-out>probe 0190a000-0000-7000-8000-000000000006: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    superseded by 0190a000-0000-7000-8000-000000000005
    attempt: no peer, connect: no route to host
    evidence: {&quot;carriers&quot;:[],&quot;marks&quot;:{},&quot;vantage&quot;:&quot;public&quot;,&quot;stopped_by&quot;:null}</system-out>
                </rerunFailure>
                <system-out>probe 0190a000-0000-7000-8000-000000000005: unsent, fail [connect-failed]
    reason: connecting to 192.0.2.1:25: refused
    expected: answered
    attempt: no peer, connect: no route to host
    evidence: {&quot;carriers&quot;:[],&quot;marks&quot;:{},&quot;vantage&quot;:&quot;public&quot;,&quot;stopped_by&quot;:null}</system-out>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}
