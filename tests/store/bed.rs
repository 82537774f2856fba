//! What every test here stands on: a history in a folder of its own, and probes to put into it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use mailrobin::probe::incident::Incident;
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::Record;
use mailrobin::probe::state::{State, TestKey};
use mailrobin::store::{Opened, Reader, Write, Writer};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// A day.
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A moment.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When most of it happens: noon, UTC.
pub(crate) fn noon() -> Timestamp {
    at("2026-11-21T12:00:00Z")
}

/// A folder for a history; it is gone at the end of the test.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("history.db")
    }

    /// The names of the files in the folder, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// The history, opened to be written; it is a sound one.
    pub(crate) async fn open(&self) -> (Writer, Reader) {
        let Opened {
            writer,
            reader,
            set_aside,
        } = Writer::open(&self.path(), noon()).await.unwrap();
        assert_eq!(set_aside, None);
        (writer, reader)
    }

    /// Another connection, past everything that is ours.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.path())
            .foreign_keys(false);
        options.connect().await.unwrap()
    }

    /// A history with one settled probe, closed in good order.
    pub(crate) async fn with_one() -> Self {
        let bed = Self::new();
        let (mut writer, reader) = bed.open().await;
        let record = passed(1, noon());
        writer.commit(&[settled(1, &record)]).await.unwrap();
        close(writer, reader).await;
        bed
    }
}

/// The id that a probe of this number has that was made at this time.
pub(crate) fn id(number: u64, at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap();
    let random = u128::from(number) | (0b10 << 62);
    Uuid::from_u128((u128::from(millis) << 80) | (7 << 76) | random)
}

/// A record, with these fields other than usual.
pub(crate) fn record(number: u64, due: Timestamp, other: &Value) -> Record {
    let mut record = json!({
        "id": id(number, due), "instance": "berlin-1", "route": "inbound", "payload": "plain", "control": null,
        "expect": ["delivered"], "outcome": "delivered", "verdict": "pass", "code": "ok",
        "reason": "came back after 812 ms", "due_at": due, "started_at": due, "accepted_at": null, "seen_at": null,
        "seen_by": null, "resolution_ms": null, "clock": "monotonic", "round_trip_ms": 812.4, "deferral_ms": 0.0,
        "deadline_ms": 900_000.0, "late": false, "duplicates": 0,
        "phases": [{ "name": "dns", "ms": 0.2 }, { "name": "data", "ms": 12.0 }, { "name": "transit", "ms": 800.2 }],
        "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 250 }],
        "smtp": { "host": "mx.example.com", "address": "192.0.2.1:587", "tls": "TLSv1.3", "code": 250,
            "enhanced": "2.0.0", "text": "queued as 4711" },
        "copies": [{ "folder": "INBOX", "uid": 17, "seen_at": due, "delivered_at": null, "size": 2210,
            "outcome": "delivered" }],
        "evidence": { "carriers": ["message-id"], "marks": { "X-Spam-Score": { "value": "0.1", "positive": false } },
            "vantage": "public", "stopped_by": null },
    });
    for (key, value) in other.as_object().unwrap() {
        record[key] = value.clone();
    }
    if record["payload"].is_null() {
        record.as_object_mut().unwrap().remove("payload");
    }
    serde_json::from_value(record).unwrap()
}

/// One that passed.
pub(crate) fn passed(number: u64, due: Timestamp) -> Record {
    record(number, due, &json!({}))
}

/// One that did not come back.
pub(crate) fn missing(number: u64, due: Timestamp) -> Record {
    let other = json!({
        "outcome": Outcome::Missing, "verdict": Verdict::Fail, "code": Code::Missing, "round_trip_ms": null,
        "reason": "accepted by mx.example.com, and not back after 15 minutes",
        "phases": [{ "name": "dns", "ms": 0.2 }], "copies": [],
    });
    record(number, due, &other)
}

/// It is about to be sent.
pub(crate) fn begun(seq: u64, record: &Record) -> Write {
    Write::Begun {
        seq,
        id: record.id,
        test: TestKey::of(record),
        due: record.due_at,
        kept: format!("kept of {seq}").into_bytes(),
    }
}

/// It has its outcome, which nothing can change.
pub(crate) fn settled(seq: u64, record: &Record) -> Write {
    Write::Settled {
        seq,
        record: Box::new(record.clone()),
        kept: None,
    }
}

/// Ends in good order.
pub(crate) async fn close(writer: Writer, reader: Reader) {
    reader.close().await;
    writer.close().await.unwrap();
}

/// An incident of `inbound/plain`.
pub(crate) fn incident(number: u64, began: Timestamp, ended: Option<Timestamp>) -> Incident {
    Incident {
        id: id(number, noon()),
        key: TestKey::new("inbound".into(), "plain", ""),
        began,
        ended,
        code: Code::Missing,
        reason: "accepted, and not back".into(),
        worst: State::Down,
        failures: 3,
        notices: 1,
        is_leak: false,
        is_flapping: false,
        depends_on: None,
        acknowledged: None,
        recoveries: Vec::new(),
    }
}
