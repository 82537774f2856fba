//! What the service sees, as it is answered.

use jiff::Timestamp;
use mailrobin::probe::incident::Incident;
use mailrobin::store::Write;
use serde_json::{Value, json};

use super::stage::{Stage, ago, down, id, record, route, settled, snapshot, test, valid};

/// An incident of this number.
pub(crate) fn incident(number: u64, began: Timestamp, ended: Option<Timestamp>) -> Write {
    let incident: Incident = serde_json::from_value(json!({
        "id": id(number), "route": "inbound", "test": "eicar", "began": began, "ended": ended, "code": "leak",
        "reason": "the EICAR attachment came back intact", "worst": "down", "failures": 4, "notices": 2, "is_leak": true,
        "is_flapping": false, "depends_on": null, "acknowledged": null,
    }))
    .unwrap();
    Write::Incident(Box::new(incident))
}

/// Three passes in a day, and a failure beside them; a warning ten days ago.
fn history() -> Vec<Write> {
    let mut history = Vec::new();
    for (number, minutes) in [(1, 30), (2, 20), (3, 10)] {
        history.extend(settled(record(number, ago(minutes), &json!({}))));
    }
    let lost = json!({ "outcome": "missing", "verdict": "fail", "code": "missing", "round_trip_ms": null });
    history.extend(settled(record(4, ago(5), &lost)));
    let warned = json!({ "verdict": "warn", "code": "slow", "round_trip_ms": 150_000.0 });
    history.extend(settled(record(5, ago(10 * 24 * 60), &warned)));
    history
}

#[tokio::test]
async fn a_status_is_what_the_service_sees_and_what_the_history_says() {
    let seen = snapshot(&json!({
        "at": Timestamp::now(), "routes": [route("inbound", &json!({ "in_flight": 2 })), down("outbound")],
    }));
    let mut history = history();
    history.push(incident(7, ago(60), None));
    history.push(incident(8, ago(600), Some(ago(500))));
    let service = Stage {
        snapshot: seen,
        history,
        ..Stage::default()
    };
    let service = service.start().await;
    let answer = service.get("/api/v1/status").await;
    assert_eq!(answer.status, 200);
    let status = answer.json();
    valid("status", &status);
    let inbound = &status["routes"][0];
    assert_eq!(inbound["in_flight"], 2);
    assert_eq!(
        (&inbound["test"], &inbound["last"]["outcome"]),
        (&json!("plain"), &json!("delivered"))
    );
    let day = &inbound["history"]["last_24h"];
    assert_eq!(
        (&day["pass"], &day["fail"], &day["availability"]),
        (&json!(3), &json!(1), &json!(0.75))
    );
    let p50 = day["p50_ms"].as_f64().unwrap();
    assert!((p50 - 812.4).abs() < 9.0, "{p50}");
    let month = &inbound["history"]["last_30d"];
    assert_eq!(
        (&month["warn"], &month["availability"]),
        (&json!(1), &json!(0.8))
    );
    assert!(month["p95_ms"].as_f64().unwrap() > 140_000.0);
    let outbound = &status["routes"][1];
    assert_eq!(
        (&outbound["test"], &outbound["last"]["code"]),
        (&json!("eicar"), &json!("leak"))
    );
    assert_eq!(outbound["since"], "2026-03-01T11:40:00Z");
    assert!(outbound["history"]["last_24h"]["availability"].is_null());
    let open: Vec<_> = status["incidents"].as_array().unwrap().iter().collect();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["id"], json!(id(7)));
    assert!(status["history_problem"].is_null());
}

#[tokio::test]
async fn routes_are_listed_and_one_by_one() {
    let routes = json!([
        route("inbound", &json!({})),
        route("späte/Post", &json!({ "tests": [] }))
    ]);
    let service = Stage {
        snapshot: snapshot(&json!({ "routes": routes })),
        ..Stage::default()
    };
    let service = service.start().await;
    let all = service.get("/api/v1/routes").await.json();
    valid("routes", &all);
    assert_eq!(all["routes"].as_array().unwrap().len(), 2);
    assert_eq!(
        service.get("/api/v1/routes/inbound").await.json(),
        all["routes"][0]
    );
    let late = service.get("/api/v1/routes/sp%C3%A4te%2FPost").await.json();
    assert_eq!(late, all["routes"][1]);
    assert!(late["last"].is_null() && late["test"].is_null());
    let error = service.get("/api/v1/routes/outbound").await.error(404);
    assert_eq!(error, "there is no route \"outbound\"");
    service.get("/api/v1/routes/%FF").await.error(400);
}

#[tokio::test]
async fn a_history_that_cannot_be_read_hides_nothing_else() {
    let service = Stage::default().start().await;
    let file = service.state.path().join("history.db");
    let damage = vec![0x55; 64 * 1024];
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", file.display());
        if std::fs::exists(&path).unwrap() {
            std::fs::write(path, &damage).unwrap();
        }
    }
    let answer = service.get("/api/v1/status").await;
    assert_eq!(answer.status, 200);
    let status = answer.json();
    valid("status", &status);
    let problem = status["history_problem"].as_str().unwrap();
    assert!(problem.contains("history.db"), "{problem}");
    assert!(status["routes"][0]["history"].is_null());
    assert_eq!(status["routes"][0]["state"], "up");
    let error = service.get("/api/v1/probes").await.error(503);
    assert!(error.contains("history.db"), "{error}");
}

#[tokio::test]
async fn health_is_that_the_loop_answers_and_readiness_that_it_works() {
    let service = Stage::default().start().await;
    assert_eq!(
        service.get("/healthz").await.json(),
        json!({ "healthy": true })
    );
    let ready = service.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), ready.json()),
        (200, json!({ "ready": true, "reasons": [] }))
    );

    let store = json!({ "problem": "disk full", "waiting": 3, "unstored": 1, "lost": 0 });
    let seen =
        snapshot(&json!({ "activity": "starting", "store": store, "config_problem": "line 3" }));
    let service = Stage {
        snapshot: seen,
        ..Stage::default()
    };
    let service = service.start().await;
    assert_eq!(service.get("/healthz").await.status, 200);
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let reasons = json!([
        "it is still starting",
        "the history cannot be written: disk full"
    ]);
    assert_eq!(ready.json(), json!({ "ready": false, "reasons": reasons }));
}

#[tokio::test]
async fn a_loop_that_hangs_is_not_healthy() {
    let service = Stage {
        is_stuck: true,
        ..Stage::default()
    };
    let service = service.start().await;
    let (health, status) = tokio::join!(service.get("/healthz"), service.get("/api/v1/status"));
    assert_eq!(health.error(503), "the service has not answered within 5 s");
    assert_eq!(health.headers["retry-after"], "5");
    status.error(503);
}

#[tokio::test]
async fn the_root_names_every_endpoint() {
    let service = Stage::default().start().await;
    let answer = service.get("/").await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    for line in answer.text.lines().filter(|line| line.contains("  ")) {
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let path = path.replace("NAME", "inbound");
        let answer = if method == "POST" {
            service.post(&path, r#"{"by": "ada"}"#).await
        } else {
            service.get(&path).await
        };
        // Nothing fails, so there is nothing to acknowledge.
        let is_there = answer.status.is_success() || answer.status == 409;
        assert!(is_there, "{line}: {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn the_schemas_in_the_repository_are_the_programs_own() {
    for (name, schema) in mailrobin::service::api::document::schemas() {
        let path = super::stage::root().join(format!("schema/{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "{}: UPDATE_EXPECT=1 keeps the new one",
            path.display()
        );
    }
}

#[tokio::test]
async fn a_test_that_never_ran_decides_nothing() {
    let fresh = |name: &str, since: Value| test(name, &json!({ "last": null, "since": since }));
    let tests = json!([
        fresh("plain", Value::Null),
        fresh("html", json!("1970-01-01T00:00:00Z"))
    ]);
    let seen = snapshot(&json!({ "routes": [route("inbound", &json!({ "tests": tests }))] }));
    let service = Stage {
        snapshot: seen,
        ..Stage::default()
    };
    let route = service
        .start()
        .await
        .get("/api/v1/routes/inbound")
        .await
        .json();
    assert_eq!(
        (&route["test"], &route["since"], &route["last"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}
