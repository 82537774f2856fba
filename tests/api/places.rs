//! How `mailrobin status` finds the service, and whom it trusts with what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::command::{err, out, seeing};
use super::stage::{Stage, mailrobin};

/// A config with this `[service]`, for its owner alone.
fn config(folder: &Path, service: &str) {
    let text = format!(
        "[gateways.edge]\nhost = \"mx.example.com\"\n[service]\n{service}\n[routes.edge]\nkind = \"ping\"\ngateway = \"edge\"\n"
    );
    let path = folder.join("mailrobin.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
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
