//! Who gets an answer, by where they come from and what they ask for.

use reqwest::Method;

use super::stage::{Stage, TOKEN};

#[tokio::test]
async fn beyond_loopback_everything_but_the_health_check_needs_the_token() {
    let service = Stage {
        listen: "0.0.0.0:0",
        ..Stage::default()
    };
    let service = service.start().await;
    for path in [
        "/",
        "/metrics",
        "/readyz",
        "/api/v1/status",
        "/api/v1/probes",
        "/nothing",
        "/healthz/",
    ] {
        let answer = service.get(path).await;
        answer.error(401);
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer realm=\"mailrobin\""
        );
    }
    assert_eq!(service.get("/healthz").await.status, 200);
    let shown = format!("Bearer {TOKEN}");
    for host in ["monitor.example.com", "10.0.0.1:9725"] {
        let headers = [("authorization", shown.as_str()), ("host", host)];
        let answer = service
            .ask(Method::GET, "/api/v1/status", &headers, "")
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let service = Stage {
        listen: "0.0.0.0:0",
        token: None,
        ..Stage::default()
    };
    let service = service.start().await;
    service.get("/metrics").await.error(403);
}

#[tokio::test]
async fn on_loopback_only_names_of_loopback_are_answered() {
    let service = Stage::default().start().await;
    for host in [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:9725",
        "127.9.9.9",
    ] {
        let answer = service
            .ask(Method::GET, "/metrics", &[("host", host)], "")
            .await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text);
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example:9725",
        "[::2]",
    ] {
        let answer = service
            .ask(Method::GET, "/metrics", &[("host", host)], "")
            .await;
        let error = answer.error(421);
        assert!(error.contains("is not a name of this service"), "{error}");
        let shown = format!("Bearer {TOKEN}");
        let headers = [("host", host), ("authorization", shown.as_str())];
        service
            .ask(Method::POST, "/api/v1/routes/inbound/pause", &headers, "")
            .await
            .error(421);
    }
    for host in ["", "a b", "[::1"] {
        service
            .ask(Method::GET, "/metrics", &[("host", host)], "")
            .await
            .error(400);
    }
    service
        .ask(
            Method::GET,
            "/metrics",
            &[("host", "localhost"), ("host", "evil.example")],
            "",
        )
        .await
        .error(400);
    assert!(service.heard().is_empty());
}

#[tokio::test]
async fn what_is_not_there_says_so_as_json() {
    let service = Stage::default().start().await;
    let error = service.get("/api/v2/status").await.error(404);
    assert_eq!(
        error,
        "there is nothing at /api/v2/status: GET / lists what there is"
    );
    let answer = service.ask(Method::DELETE, "/metrics", &[], "").await;
    assert_eq!(
        answer.error(405),
        "/metrics does not take DELETE: GET / lists what there is"
    );
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    let answer = service.get("/api/v1/routes/inbound/pause").await;
    answer.error(405);
    assert_eq!(answer.headers["allow"], "POST");
    let answer = service
        .ask(
            Method::OPTIONS,
            "/api/v1/status",
            &[("origin", "https://evil.example")],
            "",
        )
        .await;
    answer.error(405);
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
    let answer = service.ask(Method::HEAD, "/healthz", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
}
