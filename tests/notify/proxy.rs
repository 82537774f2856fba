//! Proxies are taken from the environment, so this test plays itself once more in a process with another.

use std::process::Stdio;

use mailrobin::service::notify::deliver;
use tokio::process::Command;

use crate::peer::{Does, Peer};
use crate::stage::{notice, patience, webhook};

/// Set where the second process is told where to post.
const TARGETS: &str = "TEST_NOTIFY_TARGETS";

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_but_not_towards_this_machine() {
    if let Ok(targets) = std::env::var(TARGETS) {
        for url in targets.split(' ') {
            let said = patience(deliver(&webhook(url), &notice(1, "mail is down"))).await;
            println!("said: {said:?}");
        }
        return;
    }
    let (proxy, here) = tokio::join!(
        Peer::start([Does::answers("200 OK", "by proxy")]),
        Peer::start([Does::answers("200 OK", "directly")])
    );
    let outside = "http://hooks.example.invalid/hook";
    let name = "proxy::the_proxy_of_the_environment_is_used_but_not_towards_this_machine";
    let played = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(TARGETS, format!("{outside} {}", here.url("/hook")))
        .env("http_proxy", proxy.url(""))
        .env_remove("REQUEST_METHOD")
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .env_remove("HTTP_PROXY")
        .stdin(Stdio::null())
        .output();
    let played = patience(played).await.unwrap();
    let said = String::from_utf8(played.stdout).unwrap();
    assert!(said.contains("200 OK: by proxy"), "{said}");
    assert!(said.contains("200 OK: directly"), "{said}");
    assert_eq!(proxy.heard()[0].line, format!("POST {outside} HTTP/1.1"));
    assert_eq!(here.heard()[0].line, "POST /hook HTTP/1.1");
}
