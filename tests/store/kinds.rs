//! What each kind of write leaves behind that is not of a probe.

use std::collections::BTreeMap;
use std::time::Duration;

use mailrobin::probe::incident::Incident;
use mailrobin::probe::state::TestKey;
use mailrobin::store::{Wanted, Write};
use serde_json::json;
use uuid::Uuid;

use super::bed::{Bed, begun, id, incident, noon, record};

fn key(route: &str, test: &str) -> TestKey {
    TestKey {
        route: route.into(),
        test: test.into(),
    }
}

#[tokio::test]
async fn how_tests_stand() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let standing = |test: &str, standing: Option<&str>| Write::Standing {
        test: key("inbound", test),
        standing: standing.map(Into::into),
    };
    writer
        .commit(&[
            standing("plain", Some("{\"up\":1}")),
            standing("large 5 MiB", Some("{}")),
            standing("eicar", Some("{}")),
        ])
        .await
        .unwrap();
    writer
        .commit(&[
            standing("plain", Some("{\"down\":2}")),
            standing("eicar", None),
        ])
        .await
        .unwrap();
    let mut standings = reader.standings().await.unwrap();
    standings.sort();
    let expected = [
        (key("inbound", "large 5 MiB"), "{}".to_owned()),
        (key("inbound", "plain"), "{\"down\":2}".to_owned()),
    ];
    assert_eq!(standings, expected);
}

/// A test that was named before its first probe is the test of that probe.
#[tokio::test]
async fn a_test_that_stood_before_its_first_probe_still_knows_its_payload() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let record = record(
        1,
        noon(),
        &json!({ "payload": "large", "variant": "5 MiB" }),
    );
    let standing = Write::Standing {
        test: TestKey::of(&record),
        standing: Some("{}".into()),
    };
    writer.commit(&[standing, begun(1, &record)]).await.unwrap();
    let all = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    let probe = reader.probes(&all).await.unwrap().probes.remove(0);
    assert_eq!(
        (&probe["payload"], &probe["variant"]),
        (&json!("large"), &json!("5 MiB"))
    );
}

fn lasted(number: u64, began: i64, ended: Option<i64>) -> Incident {
    let hour = |hour: i64| noon() + jiff::Span::new().hours(hour);
    incident(number, hour(began), ended.map(hour))
}

#[tokio::test]
async fn incidents_of_a_time_and_those_that_are_open() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let (old, open, new) = (
        lasted(1, -9, Some(-6)),
        lasted(2, -4, None),
        lasted(3, -2, Some(-1)),
    );
    let before = Write::Incident(Box::new(lasted(1, -9, None)));
    let all = [&old, &open, &new].map(|row| Write::Incident(Box::new(row.clone())));
    writer.commit(&[before]).await.unwrap();
    writer.commit(&all).await.unwrap();

    let hour = |hour: i64| Some(noon() + jiff::Span::new().hours(hour));
    for (from, to, limit, expected) in [
        (None, None, 9, vec![&new, &open, &old]),
        (None, None, 2, vec![&new, &open]),
        (hour(-5), None, 9, vec![&new, &open]),
        (hour(-6), None, 9, vec![&new, &open, &old]),
        (None, hour(-4), 9, vec![&old]),
        (hour(-7), hour(-2), 9, vec![&open, &old]),
        (hour(0), None, 9, vec![&open]),
    ] {
        let incidents = reader.incidents((from, to), limit).await.unwrap();
        assert_eq!(incidents.iter().collect::<Vec<_>>(), expected);
    }
    assert_eq!(reader.open_incidents().await.unwrap(), [open]);
}

#[tokio::test]
async fn notices_wait_until_they_are_told() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let notice = |number: u64, alert: &str, seconds: i64| Write::Notice {
        id: id(number, noon()),
        made: noon() + jiff::Span::new().seconds(seconds),
        alert: alert.into(),
        body: format!("notice {number}"),
    };
    writer
        .commit(&[
            notice(2, "oncall", 2),
            notice(1, "oncall", 1),
            notice(1, "team", 1),
        ])
        .await
        .unwrap();
    // What comes twice is the same notice.
    let tried = Write::Tried {
        id: id(1, noon()),
        alert: "team".into(),
        attempts: 3,
    };
    writer.commit(&[tried, notice(1, "team", 9)]).await.unwrap();
    let waiting = |(number, alert, attempts): (u64, &str, u32)| {
        (id(number, noon()), alert.to_owned(), attempts)
    };
    let outbox = async || -> Vec<(Uuid, String, u32)> {
        let outbox = reader.outbox().await.unwrap();
        let mut outbox: Vec<_> = outbox
            .into_iter()
            .map(|it| (it.id, it.alert.as_str().to_owned(), it.attempts))
            .collect();
        // Those that were made at the same time are in no order.
        outbox.sort();
        outbox
    };
    let expected = [(1, "oncall", 0), (1, "team", 3), (2, "oncall", 0)];
    assert_eq!(outbox().await, expected.map(waiting));
    assert_eq!(reader.outbox().await.unwrap()[2].body, "notice 2");
    let told = Write::Told {
        id: id(1, noon()),
        alert: "oncall".into(),
    };
    writer.commit(&[told]).await.unwrap();
    assert_eq!(
        outbox().await,
        [(1, "team", 3), (2, "oncall", 0)].map(waiting)
    );
}

#[tokio::test]
async fn lines_and_facts() {
    let bed = Bed::new();
    let (mut writer, reader) = bed.open().await;
    let line = |due, missed| Write::Line {
        line: "inbound/0".into(),
        due,
        missed,
    };
    let fact = |value: Option<&str>| Write::Fact {
        name: "paused".into(),
        value: value.map(str::to_owned),
    };
    let later = noon() + Duration::from_mins(15);
    writer
        .commit(&[line(noon(), 0), fact(Some("inbound"))])
        .await
        .unwrap();
    writer.commit(&[line(later, 2)]).await.unwrap();
    let lines = reader.lines().await.unwrap();
    assert_eq!(lines, BTreeMap::from([("inbound/0".into(), (later, 2))]));
    let facts = reader.facts().await.unwrap();
    assert_eq!(facts.get("paused").map(String::as_str), Some("inbound"));
    writer.commit(&[fact(None)]).await.unwrap();
    assert!(!reader.facts().await.unwrap().contains_key("paused"));
}
