//! Clients that send too much, too slowly, too often, or something else than HTTP.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Service, Stage, TOKEN, patience};

async fn connected(service: &Service) -> TcpStream {
    patience(TcpStream::connect(service.address)).await.unwrap()
}

/// All that comes until the service hangs up; a reset is an end as well.
async fn rest(tcp: &mut TcpStream) -> String {
    let mut came = Vec::new();
    let mut some = [0; 4096];
    loop {
        match patience(tcp.read(&mut some)).await {
            Ok(0) | Err(_) => return String::from_utf8(came).unwrap(),
            Ok(length) => came.extend_from_slice(&some[..length]),
        }
    }
}

/// What a connection gets to which these bytes are sent.
async fn sent(service: &Service, bytes: &[u8]) -> String {
    let mut tcp = connected(service).await;
    // The service may hang up before it has all.
    let _ = tcp.write_all(bytes).await;
    rest(&mut tcp).await
}

fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

async fn is_well(service: &Service) {
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let service = Stage::default().start().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"EHLO monitor.example\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let answer = sent(&service, garbage).await;
        let is_refused = answer.is_empty() || status(&answer).starts_with("HTTP/1.1 4");
        assert!(is_refused, "{garbage:?}: {answer}");
    }
    is_well(&service).await;
}

#[tokio::test]
async fn a_host_is_named_once_but_by_the_oldest_clients() {
    let service = Stage::default().start().await;
    let answer = sent(
        &service,
        b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(status(&answer), "HTTP/1.1 400 Bad Request");
    let answer = sent(&service, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&answer), "HTTP/1.0 200 OK");
    let whole =
        b"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = sent(&service, whole).await;
    assert_eq!(status(&answer), "HTTP/1.1 421 Misdirected Request");
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let service = Stage::default().start().await;
    let large = "x".repeat(20 * 1024);
    let header = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: {large}\r\n\r\n");
    let answer = sent(&service, header.as_bytes()).await;
    assert_eq!(
        status(&answer),
        "HTTP/1.1 431 Request Header Fields Too Large"
    );
    let many = "X-Field: x\r\n".repeat(100);
    let answer = sent(
        &service,
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes(),
    )
    .await;
    assert_eq!(
        status(&answer),
        "HTTP/1.1 431 Request Header Fields Too Large"
    );

    let path = format!("/api/v1/probes?test={}", "x".repeat(5000));
    service.get(&path).await.error(414);

    let body = json!({ "by": "ada", "note": large }).to_string();
    let path = "/api/v1/routes/inbound/acknowledge";
    assert_eq!(
        service.post(path, &body).await.error(413),
        "the body is longer than 16384 bytes"
    );
    // Nobody says beforehand how long this one is.
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let answer = sent(&service, chunked.as_bytes()).await;
    assert_eq!(status(&answer), "HTTP/1.1 413 Payload Too Large");
    assert!(answer.contains("{\"error\":"), "{answer}");
    assert!(service.heard().is_empty());
    is_well(&service).await;
}

#[tokio::test]
async fn who_says_nothing_or_never_ends_is_hung_up_on() {
    let service = Stage::default().start().await;
    let mut silent = connected(&service).await;
    let mut slow = connected(&service).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: localh")
        .await
        .unwrap();
    let mut kept = connected(&service).await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut owing = connected(&service).await;
    let owed = format!(
        "POST /api/v1/routes/inbound/acknowledge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    owing.write_all(owed.as_bytes()).await.unwrap();
    let (silent, slow, kept, owing) = tokio::join!(
        rest(&mut silent),
        rest(&mut slow),
        rest(&mut kept),
        rest(&mut owing)
    );
    assert_eq!((silent.as_str(), slow.as_str()), ("", ""));
    assert_eq!(status(&kept), "HTTP/1.1 200 OK");
    assert_eq!(status(&owing), "HTTP/1.1 503 Service Unavailable");
    assert!(owing.contains("there was no answer within 10 s"), "{owing}");
    is_well(&service).await;
}

/// Two thousand, or what this process may have; the service keeps 256 of them.
fn most_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|files| files.split_whitespace().next()?.parse::<usize>().ok());
    files.unwrap_or(1024).saturating_sub(600).clamp(300, 2000)
}

/// Connections that are silent, slow, kept after an answer, or that read no answer.
#[tokio::test]
async fn connections_that_only_wait_keep_nobody_out() {
    let service = Stage::default().start().await;
    let begins = [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\nHost: localh",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n",
    ];
    let mut all = Vec::new();
    for number in 0..most_connections() {
        let mut tcp = connected(&service).await;
        // One of the first may be ended already.
        let _ = tcp.write_all(begins[number % begins.len()]).await;
        all.push(tcp);
        if number % 50 == 0 {
            is_well(&service).await;
        }
    }
    is_well(&service).await;
    let mut first = all.remove(0);
    assert_eq!(rest(&mut first).await, "", "the oldest is ended");
    drop(all);
    is_well(&service).await;
}

/// Requests whose bodies never come hold their places; `/healthz` needs none.
#[tokio::test]
async fn one_request_too_many_is_told_so_and_room_comes_back() {
    let service = Stage::default().start().await;
    let owed = format!(
        "POST /api/v1/routes/inbound/acknowledge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let ask = b"GET / HTTP/1.0\r\n\r\n";
    let mut all = Vec::new();
    let refused = loop {
        for _ in 0..64 {
            let mut tcp = connected(&service).await;
            tcp.write_all(owed.as_bytes()).await.unwrap();
            all.push(tcp);
        }
        let answer = sent(&service, ask).await;
        if status(&answer) != "HTTP/1.0 200 OK" {
            break answer;
        }
    };
    assert_eq!(status(&refused), "HTTP/1.0 503 Service Unavailable");
    let (_, body) = refused.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"error":"64 other requests are being answered"}"#);
    is_well(&service).await;
    for mut tcp in all {
        let answer = rest(&mut tcp).await;
        assert_eq!(status(&answer), "HTTP/1.1 503 Service Unavailable");
    }
    assert_eq!(status(&sent(&service, ask).await), "HTTP/1.0 200 OK");
}

#[tokio::test]
async fn a_pipeline_of_requests_is_answered_one_by_one() {
    let service = Stage::default().start().await;
    let mut requests = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
    requests.push_str("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answers = sent(&service, requests.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 51);
}

#[tokio::test]
async fn at_its_end_the_listener_is_closed_and_nobody_is_kept() {
    let service = Stage::default().start().await;
    let mut idle = connected(&service).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 4096];
    assert!(patience(idle.read(&mut some)).await.unwrap() > 0);
    let mut half = connected(&service).await;
    half.write_all(b"GET /hea").await.unwrap();
    service.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    rest(&mut half).await;
    patience(service.served).await.unwrap();
    let refused = TcpStream::connect(service.address).await;
    assert!(refused.is_err());
}
