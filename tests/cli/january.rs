//! A month of history to report on, in the state directory of a bed.

use std::sync::OnceLock;

use jiff::{Span, Timestamp};
use mailrobin::probe::incident::Incident;
use mailrobin::probe::outcome::Code;
use mailrobin::probe::state::{State, TestKey};
use mailrobin::store::{Opened, Write, Writer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bed::{Bed, code, config, err, out, refused};
use super::writers::record;

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

pub(crate) fn hour(hour: i64) -> Timestamp {
    let first: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    first + Span::new().hours(hour)
}

fn id(number: u64, at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap();
    let random = u128::from(number) | (0b10 << 62);
    Uuid::from_u128((u128::from(millis) << 80) | (7 << 76) | random)
}

/// January 2025: four tests on two routes, each hour. `inbound` lost three plain messages on the third and let EICAR
/// through once on the fifth; `outbound` was tested from the tenth on.
fn january() -> Vec<Write> {
    let mut writes = Vec::new();
    for at in 0..31 * 24 {
        let mut tests = vec![
            ("inbound", json!({ "payload": "plain" })),
            (
                "inbound",
                json!({ "payload": "eicar", "outcome": "rejected", "round_trip_ms": null }),
            ),
            (
                "inbound",
                json!({ "payload": "executable-name", "code": "not-judged", "expect": [] }),
            ),
        ];
        if at >= 9 * 24 {
            tests.push((
                "outbound",
                json!({ "payload": "plain", "round_trip_ms": 90_500.0 }),
            ));
        }
        match at {
            58..61 => {
                tests[0].1["outcome"] = "missing".into();
                tests[0].1["verdict"] = "fail".into();
                tests[0].1["code"] = "missing".into();
                tests[0].1["round_trip_ms"] = Value::Null;
                tests[1].1["verdict"] = "unknown".into();
                tests[1].1["code"] = "control-failed".into();
            }
            102 => {
                tests[1].1["outcome"] = "delivered".into();
                tests[1].1["verdict"] = "fail".into();
                tests[1].1["code"] = "leak".into();
                tests[1].1["reason"] = "=the EICAR attachment came back | intact".into();
            }
            _ => {}
        }
        for (route, mut other) in tests {
            let seq = u64::try_from(writes.len()).unwrap() + 1;
            other["route"] = route.into();
            other["id"] = json!(id(seq, hour(at)));
            other["due_at"] = json!(hour(at));
            writes.push(Write::Settled {
                seq,
                record: Box::new(record(0, &other)),
                kept: None,
            });
        }
    }
    let incident = |number, test: &str, (began, ended): (i64, i64), (code, reason, worst)| {
        Write::Incident(Box::new(Incident {
            id: id(number, hour(0)),
            key: TestKey::new("inbound".into(), test, ""),
            began: hour(began),
            ended: Some(hour(ended)),
            code,
            reason: String::from(reason),
            worst,
            failures: 3,
            notices: 1,
            is_leak: code == Code::Leak,
            is_flapping: false,
            depends_on: None,
            acknowledged: None,
            recoveries: Vec::new(),
        }))
    };
    let missing = (Code::Missing, "accepted, and not back", State::Down);
    let leak = "the EICAR attachment came back | intact";
    let blind = "the control came to nothing";
    writes.extend([
        incident(1, "plain", (58, 61), missing),
        incident(
            2,
            "eicar",
            (60, 62),
            (Code::ControlFailed, blind, State::Unknown),
        ),
        incident(3, "eicar", (102, 103), (Code::Leak, leak, State::Lost)),
        // Long before, and long after.
        incident(4, "plain", (-900, -899), missing),
        incident(5, "plain", (900, 901), missing),
    ]);
    writes.push(Write::Fact {
        name: mailrobin::store::INSTANCE.into(),
        value: Some("berlin-1".into()),
    });
    writes
}

/// A bed with a config, whose state directory has a history of January.
pub(crate) fn bed() -> Bed {
    let secret = "password = \"hunter2\"";
    let bed = Bed::with(&config((refused(), refused()), "", secret));
    put(&bed);
    bed
}

/// Puts a history of January into the state directory.
pub(crate) fn put(bed: &Bed) {
    static JANUARY: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = JANUARY.get_or_init(|| {
        let bed = Bed::new();
        std::fs::create_dir_all(bed.path().join("state")).unwrap();
        block_on(async {
            let Opened {
                mut writer, reader, ..
            } = open(&bed).await;
            writer.commit(&january()).await.unwrap();
            while writer.reckon(hour(40 * 24)).await.unwrap() {}
            reader.close().await;
            writer.close().await.unwrap();
        });
        std::fs::read(bed.path().join("state/history.db")).unwrap()
    });
    std::fs::create_dir_all(bed.path().join("state")).unwrap();
    std::fs::write(bed.path().join("state/history.db"), bytes).unwrap();
}

pub(crate) async fn open(bed: &Bed) -> Opened {
    let path = bed.path().join("state/history.db");
    Writer::open(&path, hour(40 * 24)).await.unwrap()
}

const JANUARY: [&str; 4] = ["--period", "2025-01", "--timezone", "UTC"];

/// A report on that month.
pub(crate) fn report(bed: &Bed, more: &[&str]) -> String {
    let mut arguments = vec!["report"];
    arguments.extend(JANUARY);
    arguments.extend(more);
    let output = bed.run(&arguments);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    out(&output)
}
