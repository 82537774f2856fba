//! A year of history: how large it is, and how long it takes to start with it, to say how things stand, and to report on
//! all of it: `cargo bench --bench history`.
//!
//! A hundred routes are tested every fifteen minutes, three and a half million times: begun, settled, reckoned and pruned day
//! by day as the service does it. It takes some minutes and a gigabyte beside the temporary files.
//! `MAILROBIN_BENCH_DAYS` makes it another time than 365 days; `MAILROBIN_BENCH_HISTORY` names a file that is kept, and
//! measured again without being built.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailrobin::probe::incident::Incident;
use mailrobin::probe::record::Record;
use mailrobin::probe::state::{State, TestKey};
use mailrobin::report::history::calendar::Unit;
use mailrobin::report::history::{Asked, report};
use mailrobin::store::{Opened, Reader, Retention, Span, Wanted, Write, Writer};
use serde_json::json;
use uuid::Uuid;

const ROUTES: u64 = 100;
const QUARTER: SignedDuration = SignedDuration::from_mins(15);
/// So many fail one behind the other, now and then.
const OUTAGE: u64 = 8;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let days = std::env::var("MAILROBIN_BENCH_DAYS").map_or(365, |days| days.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("MAILROBIN_BENCH_HISTORY").map(PathBuf::from);
    let path = kept.unwrap_or_else(|| dir.path().join("history.db"));
    let now: Timestamp = "2026-11-21T10:40:00Z".parse().unwrap();
    if !path.exists() {
        let begun = Instant::now();
        let probes = build(&path, days, now).await;
        println!(
            "{probes} probes of {ROUTES} routes in {days} days, built in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
    }
    row("size, MB", 800.0, megabytes(&path));
    for warmth in ["first", "again"] {
        row(
            &format!("start, ms ({warmth})"),
            300.0,
            start(&path, now).await,
        );
    }
    let reader = Reader::open(&path).await.unwrap();
    for warmth in ["first", "again"] {
        row(
            &format!("status, ms ({warmth})"),
            150.0,
            status(&reader, now).await,
        );
    }
    for (name, by, zone) in [
        ("the year", None, "UTC"),
        ("the year by months", Some(Unit::Month), "UTC"),
        (
            "the year by months, Berlin",
            Some(Unit::Month),
            "Europe/Berlin",
        ),
        ("the year by days, Berlin", Some(Unit::Day), "Europe/Berlin"),
    ] {
        let asked = Asked {
            span: Span {
                from: now - SignedDuration::from_hours(days * 24),
                to: now,
            },
            by,
            routes: Vec::new(),
            zone: TimeZone::get(zone).unwrap(),
            now,
        };
        let begun = Instant::now();
        let report = report(&reader, &asked).await.unwrap();
        row(&format!("report, {name}, ms"), 2000.0, since(begun));
        assert_eq!(report.routes.len(), 100);
    }
    pages(&reader, now).await;
}

fn row(name: &str, goal: f64, value: f64) {
    println!("{:<44} {value:>12.1}", format!("{name} (goal {goal})"));
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(path: &Path) -> f64 {
    fs::metadata(path).unwrap().len() as f64 / 1e6
}

/// Milliseconds.
fn since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

/// All that the service reads before it begins.
async fn start(path: &Path, now: Timestamp) -> f64 {
    let begun = Instant::now();
    let Opened { writer, reader, .. } = Writer::open(path, now).await.unwrap();
    assert!(reader.last_seq().await.unwrap() > 0);
    assert_eq!(reader.in_flight().await.unwrap().len(), 100);
    assert_eq!(reader.standings().await.unwrap().len(), 100);
    assert_eq!(reader.lines().await.unwrap().len(), 100);
    assert!(!reader.facts().await.unwrap().is_empty());
    assert_eq!(reader.outbox().await.unwrap().len(), 10);
    assert_eq!(reader.open_incidents().await.unwrap().len(), 5);
    let took = since(begun);
    reader.close().await;
    writer.close().await.unwrap();
    took
}

/// All that `status` shows.
async fn status(reader: &Reader, now: Timestamp) -> f64 {
    let begun = Instant::now();
    let spans = [1, 7, 30].map(|days| Span {
        from: now - SignedDuration::from_hours(days * 24),
        to: now,
    });
    let stats = reader.stats(&spans).await.unwrap();
    assert!(stats.iter().all(|stats| stats.len() == 100));
    assert_eq!(reader.newest().await.unwrap().len(), 100);
    assert_eq!(reader.open_incidents().await.unwrap().len(), 5);
    since(begun)
}

/// Pages of the API.
async fn pages(reader: &Reader, now: Timestamp) {
    let wanted = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    let of_a_route = Wanted {
        route: Some("route-50".into()),
        ..wanted.clone()
    };
    let failed = Wanted {
        verdict: Some(mailrobin::probe::outcome::Verdict::Fail),
        ..wanted.clone()
    };
    let long_ago = Wanted {
        from: Some(now - SignedDuration::from_hours(200 * 24)),
        to: Some(now - SignedDuration::from_hours(199 * 24)),
        ..wanted.clone()
    };
    for (name, wanted) in [
        ("newest", wanted),
        ("of a route", of_a_route),
        ("failures", failed),
        ("of a day long ago", long_ago),
    ] {
        let begun = Instant::now();
        let page = reader.probes(&wanted).await.unwrap();
        row(&format!("100 probes, {name}, ms"), 50.0, since(begun));
        assert!(!page.probes.is_empty());
    }
}

/// Builds the history as the service does; how many probes it holds.
async fn build(path: &Path, days: i64, now: Timestamp) -> u64 {
    let Opened {
        mut writer, reader, ..
    } = Writer::open(path, now).await.unwrap();
    let retention = Retention {
        passes: Duration::from_hours(366 * 24),
        others: Duration::from_hours(366 * 24),
        remember: Duration::from_hours(7 * 24),
    };
    let mut dice = Dice(1);
    let mut seq = 0;
    let quarters = days * 96;
    let first = now - QUARTER * i32::try_from(quarters).unwrap();
    for quarter in 0..quarters {
        let due = first + QUARTER * i32::try_from(quarter).unwrap();
        let records: Vec<_> = (0..ROUTES)
            .map(|route| dice.record(route, u64::try_from(quarter).unwrap(), due))
            .collect();
        let numbered = || (seq + 1..).zip(&records);
        let begun: Vec<_> = numbered().map(|(seq, it)| begins(seq, it)).collect();
        let settled: Vec<_> = numbered().map(|(seq, it)| settles(seq, it)).collect();
        writer.commit(&begun).await.unwrap();
        writer.commit(&settled).await.unwrap();
        seq += ROUTES;
        if quarter % 96 == 95 {
            while writer.reckon(due).await.unwrap() {}
            while !writer.prune(retention, due).await.unwrap().is_nothing() {}
        }
    }
    writer.commit(&dice.rest(seq, days, now)).await.unwrap();
    while writer.reckon(now).await.unwrap() {}
    reader.close().await;
    writer.close().await.unwrap();
    seq
}

fn begins(seq: u64, record: &Record) -> Write {
    // About what the engine keeps of a probe in flight.
    let kept = json!({ "due": record.due_at, "control": record.control, "attempts": record.attempts, "id": record.id,
        "manifest": { "text": record.id.to_string().repeat(8), "headers": ["From", "To", "Subject", "Message-ID"] } });
    Write::Begun {
        seq,
        id: record.id,
        test: TestKey::of(record),
        due: record.due_at,
        kept: kept.to_string().into_bytes(),
    }
}

fn settles(seq: u64, record: &Record) -> Write {
    Write::Settled {
        seq,
        record: Box::new(record.clone()),
        kept: None,
    }
}

/// Numbers that look like chance, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn id(&mut self, at: Timestamp) -> Uuid {
        let millis = u128::try_from(at.as_millisecond()).unwrap();
        let random = u128::from(self.roll(1 << 31)) << 31 | u128::from(self.roll(1 << 31));
        Uuid::from_u128((millis << 80) | (7 << 76) | (0b10 << 62) | random)
    }

    /// A probe of a route: one in a hundred begins an outage of two hours.
    fn record(&mut self, route: u64, quarter: u64, due: Timestamp) -> Record {
        let dice = (quarter / OUTAGE).wrapping_mul(31) + route * 17;
        let is_down = dice.is_multiple_of(100);
        let started = due + SignedDuration::from_micros(i64::try_from(self.roll(900_000)).unwrap());
        let id = self.id(started);
        let mut ms = |most: u32| {
            let most = u64::from(most) * 1000;
            f64::from(u32::try_from(self.roll(most)).unwrap()) / 1000.0
        };
        let mut phases = vec![];
        let mut sum = 0.0;
        for (name, most) in [
            ("dns", 5),
            ("connect", 40),
            ("banner", 80),
            ("ehlo", 30),
            ("starttls", 90),
            ("auth", 60),
            ("mail", 30),
            ("rcpt", 40),
            ("data", 400),
            ("transit", 9000),
        ] {
            let ms = ms(most);
            sum += ms;
            phases.push(json!({ "name": name, "ms": ms }));
        }
        let after = |ms: f64| started + SignedDuration::try_from_secs_f64(ms / 1000.0).unwrap();
        let hop = |by: &str, ms: f64| {
            json!({ "from": "mx.example.com", "by": by, "protocol": "ESMTPS",
            "at": after(ms), "delay_ms": 1000.0 })
        };
        let mut record = json!({
            "id": id, "instance": "berlin-1", "route": format!("route-{route:02}"), "payload": "plain",
            "control": null, "expect": ["delivered"], "outcome": "delivered", "verdict": "pass", "code": "ok",
            "reason": format!("came back after {sum:.1} ms"), "due_at": due, "started_at": started,
            "accepted_at": after(700.0), "seen_at": after(sum), "seen_by": "idle", "resolution_ms": 20.125,
            "clock": "monotonic", "round_trip_ms": sum, "deferral_ms": 0.0, "deadline_ms": 900_000.0,
            "warn_after_ms": 120_000.0, "late": false, "duplicates": 0, "phases": phases,
            "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 250 }],
            "smtp": { "host": "mx.example.com", "address": "192.0.2.1:587", "tls": "TLSv1.3", "code": 250,
                "enhanced": "2.0.0", "text": format!("Ok: queued as {}", id.simple()) },
            "copies": [{ "folder": "INBOX", "uid": quarter + 1, "seen_at": after(sum), "delivered_at": after(sum),
                "size": 2210 + route, "outcome": "delivered" }],
            "evidence": {
                "carriers": ["message-id", "header", "subject", "body"],
                "marks": { "X-Spam-Score": { "value": format!("{:.1}", sum / 1000.0), "positive": false },
                    "X-Virus-Scanned": { "value": "clamav at mx.example.com", "positive": false } },
                "hops": [hop("relay.example.com", 300.0), hop("filter.example.com", 600.0), hop("store.example.net", 900.0)],
                "integrity": { "text": "intact", "headers_added": ["X-Spam-Score", "Return-Path", "Delivered-To"],
                    "headers_removed": [], "headers_changed": [] },
                "vantage": "authenticated", "stopped_by": null,
            },
        });
        if is_down {
            for (key, value) in [
                ("outcome", json!("missing")),
                ("verdict", json!("fail")),
                ("code", json!("missing")),
                ("round_trip_ms", json!(null)),
                ("seen_at", json!(null)),
                ("copies", json!([])),
                (
                    "reason",
                    json!("accepted by mx.example.com, and not back after 15 minutes"),
                ),
            ] {
                record[key] = value;
            }
        }
        serde_json::from_value(record).unwrap()
    }

    /// What there is beside probes that have ended.
    fn rest(&mut self, seq: u64, days: i64, now: Timestamp) -> Vec<Write> {
        let mut writes = Vec::new();
        for route in 0..ROUTES {
            let record = self.record(route, 1, now);
            let test = TestKey::of(&record);
            writes.push(begins(seq + 1 + route, &record));
            writes.push(Write::Standing {
                test: test.clone(),
                standing: Some(
                    json!({ "state": "up", "since": now, "failures": 0, "last": record.id })
                        .to_string(),
                ),
            });
            writes.push(Write::Line {
                line: format!("route-{route:02}/0"),
                due: now,
                missed: 0,
            });
            // About one in four days.
            for number in 0..days / 4 {
                let began = now - SignedDuration::from_hours(number * 96 + 2);
                let is_open = number == 0 && route < 5;
                let ended = (!is_open).then(|| began + SignedDuration::from_hours(1));
                writes.push(Write::Incident(Box::new(Incident {
                    id: self.id(began),
                    key: test.clone(),
                    began,
                    ended,
                    code: record.code,
                    reason: record.reason.clone(),
                    worst: State::Down,
                    failures: 8,
                    notices: 3,
                    is_leak: false,
                    is_flapping: false,
                    depends_on: None,
                    acknowledged: None,
                    recoveries: Vec::new(),
                })));
            }
        }
        for number in 0..10 {
            writes.push(Write::Notice {
                id: self.id(now),
                made: now,
                alert: "oncall".into(),
                body: format!("{{\"number\":{number}}}"),
            });
        }
        writes.push(Write::Fact {
            name: mailrobin::store::INSTANCE.into(),
            value: Some("berlin-1".into()),
        });
        writes
    }
}
