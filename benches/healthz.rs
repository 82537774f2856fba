//! How soon `mailrobin run` answers `/healthz` while it is left alone, and while it is troubled: prints the median and the
//! slowest answer of each case, and the slowest as a multiple of that of the first. `cargo bench --bench healthz`.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mailrobin::lab::{Lab, LabConfig};

const ASKED: usize = 500;
const IDLE: usize = 2000;
const TOKEN: &str = "a-token-that-is-long-enough";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let lab = runtime.block_on(Lab::start(LabConfig::default())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mailrobin.toml");
    fs::write(&config, config_of(&lab)).unwrap();
    let mut service = start(&config, dir.path());
    let place = dir.path().join("state/address");
    while !place.exists() {
        sleep(Duration::from_millis(20));
    }
    let url = fs::read_to_string(&place).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().to_owned();
    let quiet = measure("left alone", &address, None, || ());
    fs::remove_file(&config).unwrap();
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    sleep(Duration::from_secs(6));
    measure(
        "a FIFO in the place of the config",
        &address,
        Some(quiet),
        || (),
    );
    let triggering = || {
        ask(&address, "POST", "/api/v1/routes/loop/trigger");
    };
    measure("a trigger before each", &address, Some(quiet), triggering);
    let idle: Vec<_> = (0..IDLE)
        .map_while(|_| TcpStream::connect(&address).ok())
        .collect();
    let what = format!("{} idle connections", idle.len());
    measure(&what, &address, Some(quiet), || ());
    service.kill().unwrap();
    service.wait().unwrap();
    runtime.block_on(lab.stop());
}

/// The slowest answer.
fn measure(what: &str, address: &str, quiet: Option<Duration>, before: impl Fn()) -> Duration {
    let mut took: Vec<_> = (0..ASKED)
        .map(|_| {
            before();
            let began = Instant::now();
            assert_eq!(ask(address, "GET", "/healthz"), 200);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let slowest = took.last().copied().unwrap();
    let times = quiet.map_or(1.0, |quiet| slowest.as_secs_f64() / quiet.as_secs_f64());
    let median = took.get(ASKED / 2).copied().unwrap();
    println!("{what}: median {median:.1?}, slowest {slowest:.1?} ({times:.1} times)");
    slowest
}

/// The status of one request on a connection of its own.
fn ask(address: &str, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn config_of(lab: &Lab) -> String {
    let (smtp, imap) = (lab.smtp_addr(), lab.imap_addr());
    format!(
        "[service]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n[signing]\nkey = \"a key that is long enough\"\n\
         [gateways.lab]\nhost = \"{}\"\nport = {}\ntls = \"none\"\n\
         [mailboxes.lab]\nhost = \"{}\"\nport = {}\ntls = \"none\"\ninsecure_auth = true\nusername = \"probe\"\npassword = \"probe\"\n\
         [routes.loop]\ngateway = \"lab\"\nmailbox = \"lab\"\nbounce_mailbox = \"lab\"\nfrom = \"probe@lab.example\"\nto = \"loop@echo.example\"\nevery = \"1s\"\n",
        smtp.ip(),
        smtp.port(),
        imap.ip(),
        imap.port()
    )
}

fn start(config: &Path, dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .arg("-q")
        .arg("-c")
        .arg(config)
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("run")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}
