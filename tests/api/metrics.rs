//! What Prometheus is told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailrobin::probe::record::Record;
use mailrobin::service::metrics::{Metrics, Told};
use mailrobin::service::status::Snapshot;
use serde_json::{Value, json};

use super::openmetrics::{Family, read};
use super::stage::{Stage, record, root, snapshot};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn of(number: u64, other: &Value) -> Record {
    record(number, at("2026-03-01T11:00:00Z"), other)
}

/// A ping of a server whose certificate ends then; `None`: it showed none.
pub(crate) fn ping(number: u64, route: &str, expires: Option<&str>) -> Record {
    let chain = |expires: &str| {
        let certificate = |not_after: &str| json!({ "subject": "", "issuer": "", "names": [], "not_before": null, "not_after": not_after });
        json!([certificate(expires), certificate("2099-01-01T00:00:00Z")])
    };
    let tls = expires.map(
        |expires| json!({ "protocol": "TLSv1.3", "cipher": "", "chain": chain(expires), "problem": null }),
    );
    let visit = json!({ "host": "mx.example.com", "tls": tls, "steps": [] });
    let evidence =
        json!({ "carriers": [], "marks": {}, "vantage": null, "stopped_by": null, "visit": visit });
    let other = json!({
        "route": route, "payload": null, "outcome": "answered", "evidence": evidence, "round_trip_ms": 12.0,
        "attempts": [{ "address": "192.0.2.1:587", "phase": "ehlo", "code": 250 }],
    });
    of(number, &other)
}

/// The value of the sample with these labels, such as `mailrobin_late_total{route=inbound}`.
fn value(families: &BTreeMap<String, Family>, sample: &str) -> Option<f64> {
    let (wanted, labels) = sample.split_once('{').unwrap_or((sample, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let labels: BTreeMap<String, String> = labels
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut samples = families.values().flat_map(|family| &family.samples);
    let found = samples.find(|(name, its, _)| name == wanted && *its == labels);
    found.map(|(_, _, value)| *value)
}

#[track_caller]
pub(crate) fn values(metrics: &Metrics, snapshot: &Snapshot, expected: &[(&str, Option<f64>)]) {
    let families = read(&metrics.encode(snapshot));
    for (sample, expected) in expected {
        let found = value(&families, sample);
        let is_it = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(is_it, "{sample}: {found:?} and not {expected:?}");
    }
}

/// Everything that there is happens once.
pub(crate) fn busy() -> Metrics {
    let metrics = Metrics::new();
    metrics.settled(&of(1, &json!({ "duplicates": 1 })));
    metrics.settled(&ping(2, "edge", Some("2026-06-01T00:00:00Z")));
    metrics.revised(
        None,
        &of(
            3,
            &json!({
                "late": true, "verdict": "fail", "code": "leak", "revised_at": "2026-03-01T11:20:00Z",
            }),
        ),
    );
    metrics.told(&"oncall".into(), Told::Delivered);
    metrics
}

#[test]
fn what_is_documented_is_what_is_told() {
    let families = read(&busy().encode(&snapshot(&json!({}))));
    let told: BTreeSet<String> = families
        .iter()
        .map(|(name, family)| {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let labels: Vec<_> = family.labels().into_iter().collect();
            format!("{name}{suffix} {} {}", family.kind, labels.join(","))
        })
        .collect();
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `mailrobin_"));
    let documented: BTreeSet<String> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let mut labels: Vec<_> = cells[3]
                .split(", ")
                .map(|it| it.trim_matches('`'))
                .collect();
            labels.sort_unstable();
            assert!(cells[4].len() > 10, "{row}");
            format!(
                "{} {} {}",
                cells[1].trim_matches('`'),
                cells[2],
                labels.join(",")
            )
        })
        .collect();
    assert_eq!(documented, told);
}

#[test]
fn probes_are_counted_and_timed_as_they_settle() {
    let metrics = Metrics::new();
    let seen = snapshot(&json!({}));
    values(
        &metrics,
        &seen,
        &[
            ("mailrobin_duplicates_total{route=inbound}", Some(0.0)),
            ("mailrobin_late_total{route=inbound}", Some(0.0)),
            (
                "mailrobin_alerts_total{alert=oncall,result=failed}",
                Some(0.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=plain,outcome=delivered,verdict=pass}",
                None,
            ),
        ],
    );
    let seen_at = json!({ "seen_at": "2026-03-01T11:00:01.5Z", "duplicates": 2 });
    metrics.settled(&of(1, &seen_at));
    metrics.settled(&of(
        2,
        &json!({ "verdict": "warn", "code": "slow", "round_trip_ms": 200_000.0, "phases": [] }),
    ));
    let lost = json!({ "outcome": "missing", "verdict": "fail", "code": "missing", "round_trip_ms": null, "phases": [] });
    metrics.settled(&of(3, &lost));
    metrics.settled(&of(
        4,
        &json!({ "payload": "large", "variant": "5 MiB", "late": true, "phases": [] }),
    ));
    values(
        &metrics,
        &seen,
        &[
            (
                "mailrobin_probes_total{route=inbound,payload=plain,outcome=delivered,verdict=pass}",
                Some(1.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=plain,outcome=delivered,verdict=warn}",
                Some(1.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=plain,outcome=missing,verdict=fail}",
                Some(1.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=large 5 MiB,outcome=delivered,verdict=pass}",
                Some(1.0),
            ),
            (
                "mailrobin_round_trip_seconds_count{route=inbound,payload=plain}",
                Some(2.0),
            ),
            (
                "mailrobin_round_trip_seconds_sum{route=inbound,payload=plain}",
                Some(200.812_4),
            ),
            (
                "mailrobin_round_trip_seconds_bucket{route=inbound,payload=plain,le=0.5}",
                Some(0.0),
            ),
            (
                "mailrobin_round_trip_seconds_bucket{route=inbound,payload=plain,le=1.0}",
                Some(1.0),
            ),
            (
                "mailrobin_round_trip_seconds_bucket{route=inbound,payload=plain,le=300.0}",
                Some(2.0),
            ),
            (
                "mailrobin_phase_seconds_sum{route=inbound,phase=dns}",
                Some(0.000_2),
            ),
            (
                "mailrobin_phase_seconds_count{route=inbound,phase=transit}",
                Some(1.0),
            ),
            (
                "mailrobin_last_pass_timestamp_seconds{route=inbound,payload=plain}",
                Some(1_772_362_801.5),
            ),
            ("mailrobin_duplicates_total{route=inbound}", Some(2.0)),
            ("mailrobin_late_total{route=inbound}", Some(1.0)),
        ],
    );
}

#[test]
fn a_revision_counts_what_is_new_in_it_and_takes_nothing_back() {
    let metrics = Metrics::new();
    let lost = json!({
        "payload": "eicar", "expect": ["missing"], "outcome": "missing", "verdict": "pass", "round_trip_ms": null,
    });
    let before = of(1, &lost);
    metrics.settled(&before);
    let leak = json!({
        "payload": "eicar", "expect": ["missing"], "verdict": "fail", "code": "leak", "late": true, "round_trip_ms": 90_000.0,
    });
    let leaked = of(1, &leak);
    metrics.revised(Some(&before), &leaked);
    let mut twice = leaked.clone();
    twice.duplicates = 1;
    metrics.revised(Some(&leaked), &twice);
    revised_once(&metrics);
}

#[test]
fn a_revision_tells_by_itself_what_is_new_in_it() {
    let metrics = Metrics::new();
    let lost = json!({
        "payload": "eicar", "expect": ["missing"], "outcome": "missing", "verdict": "pass", "round_trip_ms": null,
    });
    metrics.settled(&of(1, &lost));
    let copy = |seen_at: &str| json!({ "folder": "INBOX", "seen_at": seen_at, "delivered_at": null, "size": 900, "outcome": "delivered" });
    let (first, second) = (copy("2026-03-01T11:20:00Z"), copy("2026-03-01T11:30:00Z"));
    let leak = |copies: Value, duplicates: usize| {
        let leak = json!({
            "payload": "eicar", "expect": ["missing"], "verdict": "fail", "code": "leak", "late": true,
            "round_trip_ms": 1_200_000.0, "revised_at": "2026-03-01T11:20:00.1Z", "copies": copies,
            "duplicates": duplicates,
        });
        of(1, &leak)
    };
    metrics.revised(None, &leak(json!([first]), 0));
    // One more changes nothing.
    metrics.revised(None, &leak(json!([first, second]), 1));
    revised_once(&metrics);
}

/// A harmful payload was missing, leaked after all, and leaked again.
#[track_caller]
fn revised_once(metrics: &Metrics) {
    values(
        metrics,
        &snapshot(&json!({})),
        &[
            (
                "mailrobin_probes_total{route=inbound,payload=eicar,outcome=missing,verdict=pass}",
                Some(1.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=eicar,outcome=delivered,verdict=fail}",
                None,
            ),
            (
                "mailrobin_revised_total{route=inbound,payload=eicar,outcome=delivered,verdict=fail}",
                Some(1.0),
            ),
            (
                "mailrobin_round_trip_seconds_count{route=inbound,payload=eicar}",
                Some(1.0),
            ),
            ("mailrobin_late_total{route=inbound}", Some(1.0)),
            ("mailrobin_duplicates_total{route=inbound}", Some(1.0)),
        ],
    );
}

#[test]
fn what_the_history_recalls_is_told_and_not_counted() {
    let metrics = Metrics::new();
    let pass = of(1, &json!({ "seen_at": "2026-03-01T11:00:01Z" }));
    metrics.recalled(&pass);
    // An earlier one that comes to its outcome later is not the last.
    metrics.recalled(&of(2, &json!({ "seen_at": "2026-02-01T11:00:01Z" })));
    metrics.recalled(&of(
        3,
        &json!({ "payload": "eicar", "verdict": "fail", "code": "leak" }),
    ));
    metrics.recalled(&ping(4, "edge", Some("2026-06-01T00:00:00Z")));
    values(
        &metrics,
        &snapshot(&json!({})),
        &[
            (
                "mailrobin_last_pass_timestamp_seconds{route=inbound,payload=plain}",
                Some(1_772_362_801.0),
            ),
            (
                "mailrobin_last_pass_timestamp_seconds{route=inbound,payload=eicar}",
                None,
            ),
            (
                "mailrobin_tls_certificate_expiry_timestamp_seconds{endpoint=mx.example.com:587}",
                Some(1_780_272_000.0),
            ),
            (
                "mailrobin_probes_total{route=inbound,payload=plain,outcome=delivered,verdict=pass}",
                None,
            ),
        ],
    );
}

#[tokio::test]
async fn a_scrape_is_open_metrics() {
    let service = Stage::default().start().await;
    service.metrics.settled(&of(1, &json!({})));
    let answer = service.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers["content-type"], media_type);
    let families = read(&answer.text);
    assert_eq!(
        value(&families, "mailrobin_route_up{route=inbound}"),
        Some(1.0)
    );
    assert_eq!(
        families["mailrobin_round_trip_seconds"].unit.as_deref(),
        Some("seconds")
    );
}
