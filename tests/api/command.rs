//! `mailrobin status` against services as they may be.

use std::fs;
use std::process::Output;

use insta::assert_snapshot;
use jiff::Timestamp;
use mailrobin::store::Write;
use serde_json::{Value, json};

use super::look::incident;
use super::stage::{
    Service, Stage, ago, down, mailrobin, record, route, settled, snapshot, test, valid,
};

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What the program says in the state directory of this service, which has written there where it listens.
async fn status(service: &Service, arguments: &[&str]) -> Output {
    let folder = service.state.path();
    fs::write(folder.join("address"), service.url("") + "\n").unwrap();
    let mut all = vec!["status"];
    all.extend(arguments);
    mailrobin(folder, &all).await
}

/// A service that sees this.
pub(crate) async fn seeing(other: Value) -> Service {
    let stage = Stage {
        snapshot: snapshot(&other),
        ..Stage::default()
    };
    stage.start().await
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_worst_route() {
    let up = || route("inbound", &json!({}));
    let of = |name: &str, state: &str| route(name, &json!({ "state": state }));
    let paused = route("b", &json!({ "paused": true, "state": "down" }));
    let off = route("b", &json!({ "enabled": false }));
    let fresh = route(
        "b",
        &json!({ "tests": [test("plain", &json!({ "last": null, "since": null }))] }),
    );
    for (routes, code) in [
        (json!([up()]), 0),
        (json!([up(), of("b", "degraded")]), 1),
        (json!([up(), of("b", "unknown"), of("c", "degraded")]), 3),
        (json!([up(), down("b"), of("c", "unknown")]), 2),
        (json!([up(), of("b", "lost")]), 2),
        (json!([up(), paused]), 0),
        (json!([up(), off]), 0),
        (json!([paused, off]), 3),
        (json!([up(), fresh]), 3),
        (json!([]), 3),
    ] {
        let service = seeing(json!({ "routes": routes })).await;
        let output = status(&service, &[]).await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}{}",
            out(&output),
            err(&output)
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_service_is_a_warning() {
    let store = json!({ "problem": "disk full", "waiting": 12, "unstored": 3, "lost": 0 });
    for (trouble, said) in [
        (
            json!({ "store": store }),
            "the history cannot be written: disk full (12 waiting, 3 probes sent unrecorded, 0 lost)",
        ),
        (
            json!({ "config_problem": "line 3: what?" }),
            "the newest config is not in use: line 3: what?",
        ),
        (
            json!({ "mailboxes": [{ "name": "returns", "connected": false, "problem": "login refused" }] }),
            "mailbox returns cannot be read: login refused",
        ),
        (
            json!({ "alerts": [{ "name": "oncall", "waiting": 4, "problem": "404 Not Found" }] }),
            "notices by oncall do not go out (4 waiting): 404 Not Found",
        ),
    ] {
        let service = seeing(trouble).await;
        let output = status(&service, &[]).await;
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}{}",
            out(&output),
            err(&output)
        );
        assert!(
            out(&output).contains(&format!("WARN  {said}\n")),
            "{}",
            out(&output)
        );
    }
}

fn busy() -> Stage {
    let acknowledged = json!({ "by": "ada", "note": "the scanner is being restarted", "at": "2026-03-01T11:50:00Z" });
    let mut leaking = down("filtered");
    leaking["acknowledged"] = acknowledged;
    leaking["in_flight"] = json!(2);
    let slow = json!({
        "id": "0190a000-0000-7000-8000-000000000009", "due_at": "2026-03-01T11:51:00Z", "outcome": "delivered",
        "verdict": "warn", "code": "slow", "reason": "came back after 2m 30s, slower than 2m; 2m 28s of it at transit",
        "round_trip_ms": 150_000.0,
    });
    let slow = test(
        "plain",
        &json!({ "state": "degraded", "since": "2026-03-01T09:00:00Z", "last": slow }),
    );
    let routes = json!([
        leaking,
        route("inbound", &json!({})),
        route(
            "outbound",
            &json!({ "state": "degraded", "tests": [slow], "maintenance": true, "missed": 1 })
        ),
        route("backup", &json!({ "paused": true })),
        route(
            "new",
            &json!({ "tests": [test("plain", &json!({ "last": null, "since": null }))] })
        ),
    ]);
    let mailboxes = json!([{ "name": "returns", "connected": false, "problem": "imap.example.net:993: the login was refused" }]);
    let mut history: Vec<Write> = Vec::new();
    for number in 1..=4 {
        history.extend(settled(record(number, ago(10), &json!({}))));
    }
    let lost = json!({ "outcome": "missing", "verdict": "fail", "code": "missing", "round_trip_ms": null });
    history.extend(settled(record(5, ago(3 * 24 * 60), &lost)));
    let began: Timestamp = "2026-03-01T11:40:00Z".parse().unwrap();
    history.push(incident(7, began, None));
    Stage {
        snapshot: snapshot(&json!({ "routes": routes, "mailboxes": mailboxes })),
        history,
        ..Stage::default()
    }
}

#[tokio::test]
async fn a_person_reads_each_route_and_what_is_open() {
    let service = busy().start().await;
    let output = status(&service, &[]).await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(2), String::new())
    );
    assert_snapshot!(out(&output), @r"
    FAIL  5 routes: 1 down, 1 degraded, 1 up, 1 untested, 1 paused; mailrobin 1.2.3 on berlin-1, testing, started 4d 3h ago

    DOWN      filtered  for 20m · 2 in flight · eicar delivered in 41 ms, 2m ago: the EICAR attachment came back intact [leak]
                        acknowledged by ada 10m ago: the scanner is being restarted

    UP        inbound   for 3d · plain delivered in 812 ms, 2m ago
              24 h 100%, 813 ms / 813 ms   7 d 80%, 813 ms / 813 ms   30 d 80%, 813 ms / 813 ms

    DEGRADED  outbound  for 3h · in maintenance · 1 not started in time · plain delivered in 2m 30s, 9m ago: came back after 2m 30s, slower than 2m; 2m 28s of it at transit [slow]

    PAUSED    backup    plain delivered in 812 ms, 2m ago

    UNTESTED  new       no result yet

    24 h, 7 d, 30 d: availability, and what half and 95% of the round trips did not exceed

    open incidents
      inbound/eicar since 2026-03-01 11:40:00Z (20m): the EICAR attachment came back intact [leak]; 4 failures, 2 notices

    WARN  mailbox returns cannot be read: imap.example.net:993: the login was refused
    ");
    let output = status(&service, &["--color=always", "outbound"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("\u{1b}["), "{}", out(&output));
    assert!(!out(&output).contains("filtered") && !out(&output).contains("incident"));
}

#[tokio::test]
async fn a_program_reads_the_answer_as_it_is() {
    let service = busy().start().await;
    let output = status(&service, &["--format", "json"]).await;
    assert_eq!(output.status.code(), Some(2));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    valid("status", &all);
    assert_eq!(all, service.get("/api/v1/status").await.json());
    let output = status(&service, &["--format", "json", "inbound"]).await;
    let some: Value = serde_json::from_slice(&output.stdout).unwrap();
    valid("status", &some);
    assert_eq!(some["routes"].as_array().unwrap().len(), 1);
    assert_eq!(
        some["incidents"].as_array().unwrap().len(),
        1,
        "that of inbound"
    );
    let output = status(&service, &["imbound"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        err(&output),
        "mailrobin: the service knows no route \"imbound\": did you mean `inbound`?\n"
    );
}

#[tokio::test]
async fn what_the_service_says_cannot_talk_to_the_terminal() {
    let service =
        seeing(json!({ "config_problem": "\u{1b}]0;owned\u{7}\nnext", "instance": "a\u{1b}[2Jb" }))
            .await;
    let output = status(&service, &[]).await;
    assert!(
        !out(&output).contains(['\u{1b}', '\u{7}']),
        "{:?}",
        out(&output)
    );
}
