//! Which probes come back, in which order, page by page, and in which shape.

use jiff::{Span, Timestamp};
use mailrobin::probe::outcome::Verdict;
use mailrobin::probe::record::Record;
use mailrobin::store::{Reader, Retention, Wanted};
use serde_json::{Value, json};

use super::bed::{Bed, DAY, begun, id, noon, passed, record, settled};

fn minutes(minutes: i64) -> Timestamp {
    noon() + Span::new().minutes(minutes)
}

/// Twelve probes of three tests on two routes, a minute apart; every fourth failed, the last is in flight.
fn dozen() -> Vec<Record> {
    let of = |number: u64| {
        let (route, payload) = match number % 3 {
            0 => ("inbound", "plain"),
            1 => ("inbound", "eicar"),
            _ => ("outbound", "plain"),
        };
        let mut other = json!({ "route": route, "payload": payload });
        if number.is_multiple_of(4) {
            other["outcome"] = "missing".into();
            other["verdict"] = "fail".into();
            other["code"] = "missing".into();
        }
        record(number, minutes(i64::try_from(number).unwrap()), &other)
    };
    (0..12).map(of).collect()
}

async fn with_a_dozen() -> (Bed, Reader) {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let writes = (100..).zip(dozen()).map(|(seq, record)| match seq {
        111 => begun(seq, &record),
        seq => settled(seq, &record),
    });
    writer.commit(&writes.collect::<Vec<_>>()).await.unwrap();
    (bed, reader)
}

/// The numbers of those that come back.
async fn numbers(reader: &Reader, wanted: &Wanted) -> (Vec<usize>, Option<u64>) {
    let page = reader.probes(wanted).await.unwrap();
    let ids: Vec<_> = dozen().iter().map(|record| record.id.to_string()).collect();
    let number = |probe: &Value| ids.iter().position(|id| probe["id"] == *id).unwrap();
    (page.probes.iter().map(number).collect(), page.beyond)
}

/// What is asked for, and which numbers that are.
type Case = (&'static str, fn(&mut Wanted), fn(&usize) -> bool);

const CASES: [Case; 12] = [
    ("all", |_| {}, |_| true),
    (
        "a route",
        |wanted| wanted.route = Some("inbound".into()),
        |number| number % 3 != 2,
    ),
    (
        "a test",
        |wanted| wanted.test = Some("plain".into()),
        |number| number % 3 != 1,
    ),
    (
        "what failed",
        |wanted| wanted.verdict = Some(Verdict::Fail),
        |number| number.is_multiple_of(4),
    ),
    (
        "what passed",
        |wanted| wanted.verdict = Some(Verdict::Pass),
        |number| !number.is_multiple_of(4) && *number != 11,
    ),
    (
        "warnings",
        |wanted| wanted.verdict = Some(Verdict::Warn),
        |_| false,
    ),
    (
        "what is settled",
        |wanted| wanted.settled = true,
        |number| *number != 11,
    ),
    (
        "from a time on",
        |wanted| wanted.from = Some(minutes(5)),
        |number| *number >= 5,
    ),
    (
        "up to a time",
        |wanted| wanted.to = Some(minutes(5)),
        |number| *number < 5,
    ),
    (
        "a route of which nothing is known",
        |wanted| wanted.route = Some("nowhere".into()),
        |_| false,
    ),
    (
        "failures of a time",
        |wanted| {
            wanted.verdict = Some(Verdict::Fail);
            wanted.from = Some(minutes(4));
            wanted.to = Some(minutes(8));
        },
        |number| *number == 4,
    ),
    (
        "all at once",
        |wanted| {
            wanted.route = Some("inbound".into());
            wanted.test = Some("plain".into());
            wanted.verdict = Some(Verdict::Pass);
            wanted.settled = true;
            wanted.from = Some(minutes(1));
            wanted.to = Some(minutes(9));
        },
        |number| [3, 6].contains(number),
    ),
];

#[tokio::test]
async fn each_filter_by_itself_and_together() {
    let (_bed, reader) = with_a_dozen().await;
    for (name, ask, keeps) in CASES {
        let mut expected: Vec<_> = (0..12).filter(keeps).collect();
        let mut wanted = Wanted {
            limit: 100,
            oldest_first: true,
            ..Wanted::default()
        };
        ask(&mut wanted);
        assert_eq!(
            numbers(&reader, &wanted).await,
            (expected.clone(), None),
            "{name}"
        );
        for limit in [1, 2, 5] {
            let mut page = Wanted {
                limit,
                ..wanted.clone()
            };
            let mut paged = Vec::new();
            loop {
                let (numbers, beyond) = numbers(&reader, &page).await;
                paged.extend(numbers);
                page.beyond = beyond;
                if beyond.is_none() {
                    break;
                }
            }
            assert_eq!(paged, expected, "{name} by {limit}");
        }
        expected.reverse();
        wanted.oldest_first = false;
        assert_eq!(numbers(&reader, &wanted).await, (expected, None), "{name}");
    }
}

#[tokio::test]
async fn the_newest_of_each_test_comes_with_its_document() {
    let (_bed, reader) = with_a_dozen().await;
    let dozen = dozen();
    let newest = reader.newest().await.unwrap();
    // The eleventh is in flight.
    assert_eq!(newest, [10, 9, 8].map(|number| dozen[number].clone()));
}

#[track_caller]
fn follows_the_schema(probe: &Value) {
    let mut schema = mailrobin::report::json::schema();
    let definitions = schema["$defs"].take();
    let schema = json!({ "$ref": "#/$defs/Record", "$defs": definitions });
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(probe)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{probe:#}", wrong.join("\n"));
}

/// A pass with everything that a row can keep.
fn full(number: u64, due: Timestamp) -> Record {
    let after = |ms: i64| due + Span::new().milliseconds(ms);
    let other = json!({
        "payload": "eicar", "outcome": "rejected", "variant": "odd", "control": id(77, due),
        "expect": ["rejected", "altered", "bounced", "missing"],
        "started_at": after(3), "accepted_at": after(90), "seen_at": after(812), "seen_by": "idle",
        "resolution_ms": 20.5, "clock": "wall", "revised_at": after(99_000), "unstored": true,
        "round_trip_ms": 1812.4, "deferral_ms": 1000.0, "late": true, "duplicates": 2,
        "phases": [
            { "name": "deferral", "ms": 1000.0 }, { "name": "dns", "ms": 0.25 }, { "name": "connect", "ms": 0.3 },
            { "name": "tls", "ms": 1.0 }, { "name": "banner", "ms": 1.1 }, { "name": "ehlo", "ms": 0.4 },
            { "name": "starttls", "ms": 6.0 }, { "name": "auth", "ms": 2.0 }, { "name": "mail", "ms": 0.9 },
            { "name": "rcpt", "ms": 1.2 }, { "name": "data", "ms": 14.0 }, { "name": "transit", "ms": 786.3 }
        ],
    });
    record(number, due, &other)
}

#[tokio::test]
async fn a_pass_is_compact_after_seven_days_and_a_failure_keeps_its_document() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let old = noon() - DAY * 7 - DAY / 24;
    let young = noon() - DAY * 7 + DAY / 24;
    let ping = record(
        5,
        old,
        &json!({ "route": "edge", "payload": null, "expect": ["answered"], "outcome": "answered", "copies": [] }),
    );
    let written = [
        full(1, old),
        passed(2, old),
        super::bed::missing(3, old),
        full(4, young),
        ping,
    ];
    let writes = (1..).zip(&written).map(|(seq, it)| settled(seq, it));
    writer.commit(&writes.collect::<Vec<_>>()).await.unwrap();
    let retention = Retention {
        passes: DAY * 90,
        others: DAY * 366,
        remember: DAY * 7,
    };
    while !writer.prune(retention, noon()).await.unwrap().is_nothing() {}

    let wanted = Wanted {
        oldest_first: true,
        limit: 100,
        ..Wanted::default()
    };
    let fact = mailrobin::store::Write::Fact {
        name: mailrobin::store::INSTANCE.into(),
        value: Some("berlin-1".into()),
    };
    writer.commit(&[fact]).await.unwrap();
    let probes = reader.probes(&wanted).await.unwrap().probes;
    assert_eq!(probes.len(), written.len());
    for (probe, written) in probes.iter().zip(&written) {
        follows_the_schema(probe);
        let probe: Record = serde_json::from_value(probe.clone()).unwrap();
        let is_compact = written.due_at == old && written.verdict == Verdict::Pass;
        if !is_compact {
            assert_eq!(probe, *written);
            continue;
        }
        // What only a document holds is gone, and nothing else.
        let mut compact = written.clone();
        compact.reason.clone_from(&probe.reason);
        compact.attempts.clear();
        compact.smtp = None;
        compact.copies.clear();
        compact.evidence = mailrobin::probe::evidence::Evidence::default();
        assert_eq!(probe, compact);
        let outcome = written.outcome.as_str();
        assert!(
            probe.reason.starts_with(&format!("{outcome} after ")),
            "{}",
            probe.reason
        );
    }
    let newest = reader.newest().await.unwrap();
    assert_eq!(newest.len(), 3);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_leaves_what_the_row_says() {
    let (bed, reader) = with_a_dozen().await;
    let mut raw = bed.raw().await;
    sqlx::query("UPDATE details SET document = x'00ff00ff' WHERE seq = 104")
        .execute(&mut raw)
        .await
        .unwrap();
    let wanted = Wanted {
        verdict: Some(Verdict::Fail),
        limit: 100,
        ..Wanted::default()
    };
    let probes = reader.probes(&wanted).await.unwrap().probes;
    assert_eq!(probes.len(), 3);
    let damaged = &probes[1];
    assert_eq!(damaged["id"], dozen()[4].id.to_string());
    assert_eq!(
        (&damaged["outcome"], &damaged["copies"]),
        (&json!("missing"), &json!([]))
    );
    follows_the_schema(damaged);
}
