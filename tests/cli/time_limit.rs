//! `check --timeout` bounds all of it, whatever hangs.

use std::io::Read;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::bed::{Bed, Peer, code, config, err, out, refused};

/// What is given a second must be over by then; ten times that is more than a busy machine needs, and less than anything
/// waits by itself.
const BOUND: Duration = Duration::from_secs(9);

/// A server that takes connections and says nothing.
fn silent() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                // Until the client goes.
                let _ = stream.unwrap().read_to_end(&mut Vec::new());
            });
        }
    });
    port
}

#[track_caller]
fn bounded(text: &str, arguments: &[&str]) -> String {
    let bed = Bed::with(text);
    let mut all = vec!["check", "--timeout", "1s", "--report", "json=report.json"];
    all.extend(arguments);
    let began = Instant::now();
    let output = bed.command(&all).env("MAIL_PW", "probe").output().unwrap();
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(code(&output), 3, "{}{}", out(&output), err(&output));
    out(&output) + &err(&output)
}

#[test]
fn a_mailbox_that_says_nothing() {
    let slow = "timeout = \"50s\"\npassword = { env = \"MAIL_PW\" }";
    let text = config((Peer::gateway().port, silent()), "", slow);
    let said = bounded(&text, &[]);
    assert!(
        said.contains("unfinished") || said.contains("skipped"),
        "{said}"
    );
    let said = bounded(&text, &["--wait", "50s"]);
    assert!(said.contains("not ready within --wait"), "{said}");
}

#[test]
fn a_gateway_that_says_nothing() {
    let slow = "timeout = \"50s\"";
    let text = config(
        (silent(), silent()),
        slow,
        "password = { env = \"MAIL_PW\" }",
    );
    bounded(&text.replace("deadline = \"1s\"", "deadline = \"1m\""), &[]);
}

#[test]
fn a_secret_that_does_not_come() {
    let hangs = "{ command = [\"sleep\", \"50\"] }";
    let password = format!("password = {hangs}");
    let text = config(
        (refused(), refused()),
        "",
        "password = { env = \"MAIL_PW\" }",
    );
    let key = format!("{text}\n[signing]\nkey = {hangs}\n");
    let said = bounded(&key, &[]);
    assert!(said.contains("--timeout was over"), "{said}");
    let login = format!("username = \"probe\"\ninsecure_auth = true\n{password}");
    let text = config(
        (Peer::gateway().port, Peer::mailbox().port),
        &login,
        &password,
    );
    bounded(&text, &[]);
}
