//! Probes and incidents, page by page.

use jiff::Timestamp;
use mailrobin::store::Write;
use serde_json::{Value, json};

use super::look::incident;
use super::stage::{Service, Stage, ago, begun, id, id_at, record, settled, valid};

/// Twelve probes, one a minute, the newest a minute ago: each third is of eicar and leaks; the last two are in flight.
fn history() -> Vec<Write> {
    let mut history = Vec::new();
    for number in 1..=12_u64 {
        let minutes = 13 - i64::try_from(number).unwrap();
        let leak = json!({
            "payload": "eicar", "verdict": "fail", "code": "leak", "reason": "the EICAR attachment came back intact",
        });
        let other = if number % 3 == 0 { leak } else { json!({}) };
        let record = record(number, ago(minutes), &other);
        if number > 10 {
            history.push(begun(number, &record));
        } else {
            history.extend(settled(record));
        }
    }
    history
}

/// The same probe as in the history, as the service knows it; due at another time, if that is said.
fn in_flight(number: u64, due: Option<Timestamp>, other: &Value) -> Value {
    let due = due.unwrap_or_else(|| ago(13 - i64::try_from(number).unwrap()));
    let mut probe = json!({
        "id": id_at(number, due), "instance": "berlin-1", "route": "inbound", "payload": "plain", "outcome": null,
        "due_at": due, "started_at": due, "phase": "data",
    });
    for (key, value) in other.as_object().unwrap() {
        probe[key] = value.clone();
    }
    probe
}

/// The numbers of the probes on this page, and the page.
async fn page(service: &Service, query: &str) -> (Vec<u64>, Value) {
    let answer = service.get(&format!("/api/v1/probes{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let page = answer.json();
    valid("probes", &page);
    let number = |probe: &Value| {
        let id = probe["id"].as_str().unwrap();
        u64::from_str_radix(id.rsplit('-').next().unwrap(), 16).unwrap()
    };
    let probes = page["probes"].as_array().unwrap();
    (probes.iter().map(number).collect(), page)
}

#[tokio::test]
async fn probes_come_newest_first_page_by_page_with_those_in_flight() {
    // The history could not take the thirteenth; it has the outcome of the tenth by now.
    let known = [11, 13, 10].map(|number| in_flight(number, None, &json!({})));
    let service = Stage {
        history: history(),
        in_flight: known.into(),
        ..Stage::default()
    };
    let service = service.start().await;
    let (numbers, all) = page(&service, "").await;
    assert_eq!(numbers, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert!(all["next"].is_null());
    let probes = &all["probes"];
    assert_eq!(probes[0]["outcome"], Value::Null);
    assert_eq!(
        probes[2]["phase"], "data",
        "the service knows more of it than the history"
    );
    assert_eq!(
        probes[3]["outcome"], "delivered",
        "it came to its outcome meanwhile"
    );

    let (mut seen, mut query) = (Vec::new(), String::from("?limit=4"));
    loop {
        let (numbers, page) = page(&service, &query).await;
        seen.push(numbers);
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        query = format!("?limit=4&beyond={next}");
    }
    let expected: [&[u64]; 4] = [&[13, 12, 11, 10, 9], &[8, 7, 6, 5], &[4, 3, 2, 1], &[]];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn probes_in_flight_stand_on_the_page_they_belong_to() {
    let in_flight = (1..=4).map(|number| in_flight(number, Some(ago(1)), &json!({})));
    let history = (1..=4).map(|number| begun(number, &record(number, ago(1), &json!({}))));
    let service = Stage {
        history: history.collect(),
        in_flight: in_flight.collect(),
        ..Stage::default()
    };
    let service = service.start().await;
    assert_eq!(page(&service, "?limit=2").await.0, [4, 3]);
    assert_eq!(page(&service, "?limit=2&beyond=3").await.0, [2, 1]);
}

#[tokio::test]
async fn probes_are_chosen_by_route_test_verdict_and_time() {
    let other = json!({ "route": "outbound", "payload": "eicar" });
    let other = in_flight(13, Some(ago(30)), &other);
    let service = Stage {
        history: history(),
        in_flight: vec![other],
        ..Stage::default()
    };
    let service = service.start().await;
    let of = async |query: &str| page(&service, query).await.0;
    assert_eq!(of("?test=eicar&route=inbound").await, [12, 9, 6, 3]);
    assert_eq!(of("?verdict=fail").await, [9, 6, 3]);
    assert_eq!(of("?verdict=pass&limit=2").await, [10, 8]);
    assert_eq!(of("?route=outbound").await, [13]);
    assert_eq!(of("?route=nowhere").await, [] as [u64; 0]);
    let middle = ago(6) - jiff::SignedDuration::from_secs(20);
    assert_eq!(of("?since=20m&until=8m30s").await, [4, 3, 2, 1]);
    assert_eq!(of(&format!("?since={middle}&until=3m30s")).await, [9, 8, 7]);
    assert_eq!(of("?since=1h&test=eicar").await, [13, 12, 9, 6, 3]);
    for (query, word) in [
        ("?limit=0", "limit must be from 1 to 1000"),
        ("?limit=1001", "limit must be from 1 to 1000"),
        ("?limit=many", "limit"),
        ("?since=yesterday", "since=yesterday is neither a time"),
        ("?until=-5m", "until=-5m is neither a time"),
        ("?verdict=good", "unknown variant `good`"),
        ("?colour=red", "unknown field `colour`"),
        ("?beyond=-1", "beyond"),
    ] {
        let answer = service.get(&format!("/api/v1/probes{query}")).await;
        let error = answer.error(400);
        assert!(error.contains(word), "{query}: {error}");
    }
}

#[tokio::test]
async fn incidents_come_newest_first_and_by_the_time_they_lasted() {
    let history = vec![
        incident(1, ago(600), Some(ago(500))),
        incident(2, ago(300), Some(ago(200))),
        incident(3, ago(60), None),
    ];
    let service = Stage {
        history,
        ..Stage::default()
    };
    let service = service.start().await;
    let of = async |query: &str| {
        let answer = service.get(&format!("/api/v1/incidents{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        valid("incidents", &page);
        let ids = page["incidents"].as_array().unwrap().iter();
        ids.map(|incident| incident["id"].clone())
            .collect::<Vec<_>>()
    };
    let ids = |numbers: &[u64]| -> Vec<Value> { numbers.iter().map(|it| json!(id(*it))).collect() };
    assert_eq!(of("").await, ids(&[3, 2, 1]));
    assert_eq!(of("?limit=1").await, ids(&[3]));
    assert_eq!(of("?since=4h").await, ids(&[3, 2]));
    assert_eq!(of("?since=10h&until=2h").await, ids(&[2, 1]));
    service
        .get("/api/v1/incidents?route=inbound")
        .await
        .error(400);
}
