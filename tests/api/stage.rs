//! A service that answers what a test prepared, its history, and clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use mailrobin::probe::record::Record;
use mailrobin::probe::state::TestKey;
use mailrobin::service::api::{Api, document, serve};
use mailrobin::service::metrics::Metrics;
use mailrobin::service::status::{Command, Refusal, Snapshot};
use mailrobin::store::{Write, Writer};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than anything here lasts, on however slow a machine.
pub(crate) const LONG: Duration = Duration::from_mins(2);
/// When everything is due that is triggered here.
pub(crate) const TRIGGERED_AT: &str = "2026-12-01T12:00:00Z";
pub(crate) const TOKEN: &str = "a token that nobody guesses";

/// What must come, and does not: the test fails.
pub(crate) async fn patience<T>(awaited: impl Future<Output = T>) -> T {
    let came = timeout(LONG, awaited).await;
    came.unwrap_or_else(|_| panic!("it never came"))
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a test prepares.
pub(crate) struct Stage {
    pub(crate) snapshot: Snapshot,
    pub(crate) in_flight: Vec<Value>,
    pub(crate) history: Vec<Write>,
    pub(crate) token: Option<&'static str>,
    pub(crate) listen: &'static str,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The service's loop hangs.
    pub(crate) is_stuck: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            snapshot: snapshot(&json!({})),
            in_flight: Vec::new(),
            history: Vec::new(),
            token: Some(TOKEN),
            listen: "127.0.0.1:0",
            tls: None,
            is_stuck: false,
        }
    }
}

/// A service that can be asked.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    pub(crate) state: TempDir,
    scheme: &'static str,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    pub(crate) async fn start(self) -> Service {
        let Self {
            snapshot,
            in_flight,
            history,
            token,
            listen,
            tls,
            is_stuck,
        } = self;
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("history.db");
        let opened = Writer::open(&path, Timestamp::now()).await.unwrap();
        let mut writer = opened.writer;
        writer.commit(&history).await.unwrap();
        writer.close().await.unwrap();
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, told) = mpsc::channel(8);
        let heard = Arc::new(Mutex::new(Vec::new()));
        if is_stuck {
            // Its inbox is there, and nobody reads it.
            std::mem::forget(told);
        } else {
            tokio::spawn(daemon(told, snapshot, in_flight, Arc::clone(&heard)));
        }
        let metrics = Arc::new(Metrics::new());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let api = Api {
            commands,
            reader: opened.reader,
            metrics: Arc::clone(&metrics),
            token: token.map(Into::into),
            tls,
        };
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, api, stop.clone()));
        Service {
            address,
            metrics,
            stop,
            served,
            state,
            scheme,
            heard,
        }
    }
}

/// The service's loop, as far as the API knows it.
async fn daemon(
    mut told: mpsc::Receiver<Command>,
    snapshot: Snapshot,
    in_flight: Vec<Value>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let hear = |what: String| heard.lock().unwrap().push(what);
    let known = |name: &str| snapshot.routes.iter().find(|it| it.name.as_str() == name);
    while let Some(command) = told.recv().await {
        // Whoever asked may have gone.
        match command {
            Command::Look(reply) => drop(reply.send(Box::new(snapshot.clone()))),
            Command::InFlight(route, reply) => {
                let is_of = |probe: &&Value| match &route {
                    Some(route) => probe["route"] == route.as_str(),
                    None => true,
                };
                let probes = in_flight.iter().filter(is_of).cloned().collect();
                drop(reply.send(probes));
            }
            Command::Trigger(route, reply) => {
                hear(format!("trigger {route}"));
                let done = match known(route.as_str()) {
                    None => Err(Refusal::NoRoute(route)),
                    Some(view) if !view.enabled => Err(Refusal::NotTested(route, "it is disabled")),
                    Some(view) if view.in_flight >= 1000 => Err(Refusal::Full(route)),
                    Some(_) => Ok(TRIGGERED_AT.parse().unwrap()),
                };
                drop(reply.send(done));
            }
            Command::Acknowledge {
                route,
                by,
                note,
                reply,
            } => {
                hear(format!("acknowledge {route} by {by}: {note}"));
                let is_well = |view: &&_| {
                    let view: &mailrobin::service::status::RouteView = view;
                    view.state == mailrobin::probe::state::State::Up
                };
                let done = match known(route.as_str()) {
                    None => Err(Refusal::NoRoute(route)),
                    Some(view) if is_well(&view) => Err(Refusal::NothingFails(route)),
                    Some(_) => Ok(()),
                };
                drop(reply.send(done));
            }
            Command::Pause(route, reply) => {
                hear(format!("pause {route}"));
                drop(reply.send(Ok(())));
            }
            Command::Resume(route, reply) => {
                hear(format!("resume {route}"));
                drop(reply.send(Ok(())));
            }
        }
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.text).unwrap()
    }

    /// The sentence of an error, which has this status.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Service {
    pub(crate) fn url(&self, path: &str) -> String {
        let address = SocketAddr::new([127, 0, 0, 1].into(), self.address.port());
        format!("{}://{address}{path}", self.scheme)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// With the token.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let shown = format!("Bearer {TOKEN}");
        self.ask(Method::POST, path, &[("authorization", &shown)], body)
            .await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = client().request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = patience(request.body(body.to_owned()).send())
            .await
            .unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = patience(answer.text()).await.unwrap();
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(headers[name], value, "{text}");
        }
        Answer {
            status,
            headers,
            text,
        }
    }

    /// What the loop was told, beyond questions.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn client() -> Client {
    let trust = mailrobin::config::plan::Trust::System;
    Client::builder()
        .tls_backend_preconfigured(mailrobin::net::tls::client_config(&trust))
        .no_proxy()
        .build()
        .unwrap()
}

/// Held against the schema that the repository has under this name.
#[track_caller]
pub(crate) fn valid(name: &str, value: &Value) {
    let schemas = document::schemas();
    let (_, schema) = schemas.iter().find(|(it, _)| *it == name).unwrap();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{}\n{value:#}", wrong.join("\n"));
}

/// What a service sees that has one route, which is up; with these fields other.
pub(crate) fn snapshot(other: &Value) -> Snapshot {
    let mut snapshot = json!({
        "version": "1.2.3", "instance": "berlin-1", "at": "2026-03-01T12:00:00Z", "started_at": "2026-02-25T09:00:00Z",
        "activity": "testing", "routes": [route("inbound", &json!({}))],
        "mailboxes": [{ "name": "returns", "connected": true, "problem": null }],
        "alerts": [{ "name": "oncall", "waiting": 0, "problem": null }],
        "store": { "problem": null, "waiting": 0, "unstored": 0, "lost": 0 }, "config_problem": null,
    });
    overlay(&mut snapshot, other);
    serde_json::from_value(snapshot).unwrap()
}

/// A route that is up; with these fields other.
pub(crate) fn route(name: &str, other: &Value) -> Value {
    let mut route = json!({
        "name": name, "state": "up", "enabled": true, "paused": false, "maintenance": false, "acknowledged": null,
        "in_flight": 0, "next_due": "2026-03-01T12:10:00Z", "missed": 0, "tests": [test("plain", &json!({}))],
    });
    overlay(&mut route, other);
    route
}

/// A test that passes; with these fields other.
pub(crate) fn test(name: &str, other: &Value) -> Value {
    let mut test = json!({
        "test": name, "state": "up", "since": "2026-02-26T12:00:00Z", "failures": 0,
        "last": {
            "id": id(1), "due_at": "2026-03-01T11:58:00Z", "outcome": "delivered", "verdict": "pass", "code": "ok",
            "reason": "came back after 812 ms", "round_trip_ms": 812.4,
        },
    });
    overlay(&mut test, other);
    test
}

/// A route on which one test fails.
pub(crate) fn down(name: &str) -> Value {
    let last = json!({
        "id": id(2), "due_at": "2026-03-01T11:57:30Z", "outcome": "delivered", "verdict": "fail", "code": "leak",
        "reason": "the EICAR attachment came back intact", "round_trip_ms": 41.0,
    });
    let eicar =
        json!({ "state": "down", "since": "2026-03-01T11:40:00Z", "failures": 4, "last": last });
    let tests = json!([test("plain", &json!({})), test("eicar", &eicar)]);
    route(name, &json!({ "state": "down", "tests": tests }))
}

fn overlay(value: &mut Value, other: &Value) {
    for (key, other) in other.as_object().unwrap() {
        value[key] = other.clone();
    }
}

pub(crate) fn id(number: u64) -> Uuid {
    format!("0190a000-0000-7000-8000-{number:012x}")
        .parse()
        .unwrap()
}

/// The id of a probe that was made then.
pub(crate) fn id_at(number: u64, at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap();
    let (high, low) = (millis >> 16, millis & 0xffff);
    format!("{high:08x}-{low:04x}-7000-8000-{number:012x}")
        .parse()
        .unwrap()
}

/// A probe that came back, due at this time; with these fields other.
pub(crate) fn record(number: u64, due: Timestamp, other: &Value) -> Record {
    let mut record = json!({
        "id": id_at(number, due), "instance": "berlin-1", "route": "inbound", "payload": "plain", "control": null,
        "expect": ["delivered"], "outcome": "delivered", "verdict": "pass", "code": "ok",
        "reason": "came back after 812 ms", "due_at": due, "started_at": due, "accepted_at": null, "seen_at": null,
        "seen_by": null, "resolution_ms": null, "clock": "monotonic", "round_trip_ms": 812.4, "deferral_ms": 0.0,
        "deadline_ms": 900_000.0, "late": false, "duplicates": 0,
        "phases": [{ "name": "dns", "ms": 0.2 }, { "name": "transit", "ms": 812.2 }],
        "attempts": [{ "address": "192.0.2.1:587", "phase": "data", "code": 250 }],
        "smtp": { "host": "mx.example.com", "address": "192.0.2.1:587", "tls": "TLSv1.3", "code": 250,
            "enhanced": "2.0.0", "text": "queued as 4711" },
        "copies": [], "evidence": { "carriers": [], "marks": {}, "vantage": "public", "stopped_by": null },
    });
    overlay(&mut record, other);
    if record["payload"].is_null() {
        record.as_object_mut().unwrap().remove("payload");
    }
    serde_json::from_value(record).unwrap()
}

/// It is sent, and has this outcome.
pub(crate) fn settled(record: Record) -> [Write; 2] {
    let seq = u64::try_from(record.id.as_u128() & 0xffff_ffff).unwrap();
    let begun = begun(seq, &record);
    let settled = Write::Settled {
        seq,
        record: Box::new(record),
        kept: None,
    };
    [begun, settled]
}

/// It is sent, and has no outcome yet.
pub(crate) fn begun(seq: u64, record: &Record) -> Write {
    Write::Begun {
        seq,
        id: record.id,
        test: TestKey::of(record),
        due: record.due_at,
        kept: Vec::new(),
    }
}

/// So many minutes ago, by a clock that stands still while the tests run.
pub(crate) fn ago(minutes: i64) -> Timestamp {
    static NOW: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);
    *NOW - jiff::SignedDuration::from_mins(minutes)
}

/// The program in this folder, with nothing of the tester's environment.
pub(crate) async fn mailrobin(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mailrobin"));
    command
        .current_dir(folder)
        .env_clear()
        .env("STATE_DIRECTORY", folder)
        .env("COLUMNS", "100")
        .args(arguments);
    patience(command.output()).await.unwrap()
}
