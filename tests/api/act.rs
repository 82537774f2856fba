//! What the service can be told, and by whom.

use reqwest::Method;
use serde_json::json;

use super::stage::{Stage, TOKEN, TRIGGERED_AT, down, route, snapshot};

fn stage() -> Stage {
    let off = route("off", &json!({ "enabled": false }));
    let full = route("full", &json!({ "in_flight": 1000 }));
    let routes = json!([route("inbound", &json!({})), down("outbound"), off, full]);
    Stage {
        snapshot: snapshot(&json!({ "routes": routes })),
        ..Stage::default()
    }
}

#[tokio::test]
async fn what_is_told_arrives_and_what_is_refused_says_why() {
    let service = stage().start().await;
    let done = service.post("/api/v1/routes/inbound/trigger", "").await;
    let expected = json!({ "route": "inbound", "done": "triggered", "due_at": TRIGGERED_AT });
    assert_eq!((done.status.as_u16(), done.json()), (202, expected));
    for (verb, said) in [("pause", "paused"), ("resume", "resumed")] {
        let path = format!("/api/v1/routes/inbound/{verb}");
        let done = service.post(&path, "").await;
        assert_eq!(
            (done.status.as_u16(), done.json()),
            (200, json!({ "route": "inbound", "done": said }))
        );
    }
    let body = r#"{"by": "ada", "note": " the disk is full "}"#;
    let done = service
        .post("/api/v1/routes/outbound/acknowledge", body)
        .await;
    assert_eq!(
        (done.status.as_u16(), done.json()),
        (200, json!({ "route": "outbound", "done": "acknowledged" }))
    );
    let expected = [
        "trigger inbound",
        "pause inbound",
        "resume inbound",
        "acknowledge outbound by ada: the disk is full",
    ];
    assert_eq!(service.heard(), expected);

    let refused = service.post("/api/v1/routes/nowhere/trigger", "").await;
    assert_eq!(refused.error(404), "there is no route \"nowhere\"");
    let refused = service.post("/api/v1/routes/off/trigger", "").await;
    assert_eq!(
        refused.error(409),
        "route \"off\" is not tested: it is disabled"
    );
    let refused = service.post("/api/v1/routes/full/trigger", "").await;
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(
        refused.error(429),
        "route \"full\" cannot be tested now, as `max_in_flight` probes are under way"
    );
    let refused = service
        .post("/api/v1/routes/inbound/acknowledge", r#"{"by":"ada"}"#)
        .await;
    let error = "nothing fails on route \"inbound\", so there is nothing to acknowledge";
    assert_eq!(refused.error(409), error);
}

#[tokio::test]
async fn an_acknowledgement_says_who_in_one_line() {
    let service = stage().start().await;
    let long = "a".repeat(1001);
    for (body, word) in [
        (String::new(), "the body is not like {\"by\""),
        ("by=ada".into(), "the body is not like {\"by\""),
        (json!({}).to_string(), "missing field `by`"),
        (json!({ "by": "  " }).to_string(), "`by` is empty"),
        (
            json!({ "by": "ada", "notes": "x" }).to_string(),
            "unknown field `notes`",
        ),
        (
            json!({ "by": "ada\r\nFrom: eve" }).to_string(),
            "`by` has line breaks",
        ),
        (
            json!({ "by": "ada", "note": "\u{1b}[31m" }).to_string(),
            "`note` has line breaks",
        ),
        (
            json!({ "by": "ada", "note": long }).to_string(),
            "`note` is longer than 1000",
        ),
        (json!({ "by": long }).to_string(), "`by` is longer than 100"),
    ] {
        let answer = service
            .post("/api/v1/routes/outbound/acknowledge", &body)
            .await;
        let error = answer.error(400);
        assert!(error.contains(word), "{body}: {error}");
    }
    assert!(service.heard().is_empty());
}

#[tokio::test]
async fn nothing_is_told_without_the_token() {
    let path = "/api/v1/routes/inbound/pause";
    let service = stage().start().await;
    let answer = service.ask(Method::POST, path, &[], "").await;
    assert_eq!(
        answer.error(401),
        "this needs a token: Authorization: Bearer TOKEN"
    );
    assert_eq!(
        answer.headers["www-authenticate"],
        "Bearer realm=\"mailrobin\""
    );
    let longer = format!("Bearer {TOKEN}.");
    let shorter = format!("Bearer {}", &TOKEN[1..]);
    for shown in [
        "Bearer ",
        "Bearer",
        "Basic YWRhOmFkYQ==",
        TOKEN,
        "",
        &longer,
        &shorter,
        "bearer\u{e4}",
    ] {
        let answer = service
            .ask(Method::POST, path, &[("authorization", shown)], "")
            .await;
        answer.error(401);
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let shown = format!("Bearer {TOKEN}");
    let twice = [
        ("authorization", shown.as_str()),
        ("authorization", "Bearer other"),
    ];
    service.ask(Method::POST, path, &twice, "").await.error(401);
    assert!(service.heard().is_empty());
    let shown = format!("bEARER   {TOKEN} ");
    let answer = service
        .ask(Method::POST, path, &[("authorization", &shown)], "")
        .await;
    assert_eq!(answer.status, 200);

    let service = Stage {
        token: None,
        ..stage()
    };
    let service = service.start().await;
    let error = service.post(path, "").await.error(403);
    assert_eq!(
        error,
        "this needs a token, and none is configured: set `token` in the section [service]"
    );
    assert!(service.heard().is_empty());
    assert_eq!(
        service.get("/api/v1/status").await.status,
        200,
        "on loopback, looking needs none"
    );
}
