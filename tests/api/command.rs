//! `mailrobin status` against services as they may be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use insta::assert_snapshot;
use jiff::Timestamp;
use mailrobin::store::Write;
use serde_json::{Value, json};

use super::look::incident;
use super::stage::{
    Service, Stage, ago, down, mailrobin, record, route, settled, snapshot, test, valid,
};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A config with this `[service]`, for its owner alone.
fn config(folder: &Path, service: &str) {
    let text = format!(
        "[gateways.edge]\nhost = \"mx.example.com\"\n[service]\n{service}\n[routes.edge]\nkind = \"ping\"\ngateway = \"edge\"\n"
    );
    let path = folder.join("mailrobin.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
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
async fn seeing(other: Value) -> Service {
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
              24 h 100%, 815 ms / 815 ms   7 d 80%, 815 ms / 815 ms   30 d 80%, 815 ms / 815 ms

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

#[tokio::test]
async fn the_service_is_found_by_option_state_directory_and_config() {
    let service = seeing(json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let port = service.address.port().to_string();
    let address = format!("127.0.0.1:{port}");
    for url in [service.url("/"), service.url(""), address.clone()] {
        let output = mailrobin(folder.path(), &["status", "--url", &url]).await;
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    }
    let state = service.state.path().display().to_string();
    fs::write(service.state.path().join("address"), service.url("")).unwrap();
    let output = mailrobin(folder.path(), &["status", "--state-dir", &state]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    config(folder.path(), &format!("listen = \"{address}\""));
    let output = mailrobin(folder.path(), &["status"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    // A config that somebody is just changing is in nobody's way.
    fs::write(folder.path().join("mailrobin.toml"), "[service").unwrap();
    let output = mailrobin(folder.path(), &["status", "--state-dir", &state]).await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );
    config(folder.path(), "listen = \"none\"");
    let output = mailrobin(folder.path(), &["status"]).await;
    let said =
        "mailrobin: the service cannot be asked: `listen` in the section [service] says \"none\"\n";
    assert_eq!(
        (output.status.code(), err(&output).as_str()),
        (Some(3), said)
    );
    for wrong in ["ftp://127.0.0.1", "http://", "http:// /"] {
        let output = mailrobin(folder.path(), &["status", "--url", wrong]).await;
        assert_eq!(output.status.code(), Some(3), "{wrong}");
        assert!(
            err(&output).contains("write it like http://127.0.0.1:9725"),
            "{}",
            err(&output)
        );
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_with_what_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}/");
    let refused = "Connection refused (os error 111); is `mailrobin run` running? If it is elsewhere, --url says where";
    let output = mailrobin(folder.path(), &["status", "--url", &url]).await;
    let said =
        format!("mailrobin: the service does not answer at {url}, which --url names: {refused}\n");
    assert_eq!((output.status.code(), err(&output)), (Some(3), said));
    fs::write(folder.path().join("address"), &url).unwrap();
    let output = mailrobin(folder.path(), &["status"]).await;
    let file = folder.path().join("address");
    let said = format!(
        "mailrobin: the service does not answer at {url}, which stands in {}: {refused}\n",
        file.display()
    );
    assert_eq!((output.status.code(), err(&output)), (Some(3), said));
    fs::write(&file, "\0\0\0").unwrap();
    let output = mailrobin(folder.path(), &["status"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("address is no URL: write it like"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn what_is_no_mailrobin_is_told_from_one_that_is_in_trouble() {
    let folder = tempfile::tempdir().unwrap();
    for (answer, said) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
            "is no mailrobin: it answered 404 Not Found",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "is no mailrobin: it answered 200 OK",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"version\": \"9.0\"} ",
            "cannot be read by mailrobin",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "is no mailrobin: it answered 302 Found",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 17\r\n\r\n{\"error\":\"later\"}",
            "answered 503 Service Unavailable: later\n",
        ),
        ("SSH-2.0-OpenSSH_9.7\r\n", "what came back is no HTTP"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.read(&mut [0; 4096]).await;
            tcp.write_all(answer.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let arguments = ["status", "--url", &url];
        let output = tokio::select! {
            output = mailrobin(folder.path(), &arguments) => output,
            () = peer => unreachable!(),
        };
        assert_eq!(output.status.code(), Some(3), "{}", out(&output));
        assert!(err(&output).contains(said), "{}", err(&output));
    }
}

#[tokio::test]
async fn beyond_loopback_the_token_of_the_config_is_shown() {
    let stage = Stage {
        listen: "0.0.0.0:0",
        ..Stage::default()
    };
    let service = stage.start().await;
    let folder = tempfile::tempdir().unwrap();
    let everywhere = format!("http://0.0.0.0:{}", service.address.port());
    fs::write(folder.path().join("address"), &everywhere).unwrap();
    let secret = |token: &str| {
        let path = folder.path().join("api.token");
        fs::write(&path, token).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let listen = format!("listen = \"0.0.0.0:{}\"", service.address.port());
    config(
        folder.path(),
        &format!("{listen}\ntoken = {{ file = \"api.token\" }}"),
    );
    secret(super::stage::TOKEN);
    let output = mailrobin(folder.path(), &["status"]).await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );

    secret("another");
    let output = mailrobin(folder.path(), &["status"]).await;
    let said = "answered 401 Unauthorized: this is not the token of `token` in the section [service]: is this the config that the service was started with?\n";
    assert!(
        output.status.code() == Some(3) && err(&output).ends_with(said),
        "{}",
        err(&output)
    );
    assert!(!err(&output).contains("another"));

    let elsewhere = tempfile::tempdir().unwrap();
    let output = mailrobin(elsewhere.path(), &["status", "--url", &everywhere]).await;
    let said = "--token-file names one; the config has none, as there is no config";
    assert!(
        output.status.code() == Some(3) && err(&output).contains(said),
        "{}",
        err(&output)
    );
    secret(super::stage::TOKEN);
    let token = folder.path().join("api.token").display().to_string();
    let arguments = ["status", "--url", &everywhere, "--token-file", &token];
    let output = mailrobin(elsewhere.path(), &arguments).await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );
    let output = mailrobin(
        elsewhere.path(),
        &["status", "--url", &everywhere, "--token-file", "none"],
    )
    .await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("the token of --token-file: cannot read"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn on_loopback_nobody_is_shown_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    config(
        folder.path(),
        &format!("listen = \"{address}\"\ntoken = \"hunter2-and-more\""),
    );
    let asking = tokio::spawn({
        let folder = folder.path().to_owned();
        async move { mailrobin(&folder, &["status"]).await }
    });
    let (mut tcp, _) = super::stage::patience(listener.accept()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        use tokio::io::AsyncReadExt;
        let byte = super::stage::patience(tcp.read_u8()).await.unwrap();
        heard.push(byte);
    }
    drop((tcp, listener));
    asking.await.unwrap();
    let heard = String::from_utf8(heard).unwrap();
    assert!(!heard.contains("hunter2"), "{heard}");
}

#[cfg(feature = "lab")]
#[tokio::test]
async fn a_service_with_tls_is_known_by_the_certificate_of_the_config() {
    use secrecy::ExposeSecret;
    let (ca, certificate) = super::tls::authority("localhost");
    let stage = Stage {
        tls: Some(mailrobin::net::own::serving(&certificate).unwrap()),
        ..Stage::default()
    };
    let service = stage.start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = mailrobin(folder.path(), &["status", "--url", &service.url("")]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("--ca-file names its authority"),
        "{}",
        err(&output)
    );

    fs::write(folder.path().join("ca.pem"), ca).unwrap();
    let named = format!("https://localhost:{}", service.address.port());
    let output = mailrobin(
        folder.path(),
        &["status", "--url", &named, "--ca-file", "ca.pem"],
    )
    .await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );

    for (name, pem) in [
        ("cert.pem", certificate.chain.as_str()),
        ("key.pem", certificate.key.expose_secret()),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let listen = format!(
        "listen = \"127.0.0.1:{}\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"",
        service.address.port()
    );
    config(folder.path(), &listen);
    let output = mailrobin(folder.path(), &["status"]).await;
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );
}
