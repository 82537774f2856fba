//! How fast, and at what price, a copy is recognised in a real Dovecot: `cargo bench --bench recognition`.
//!
//! 1. The lag from the copy's file appearing in the Maildir to `seen_at`, beside that of a client that only waits with
//!    IDLE. 2. The same with 1 and with 5,000 messages of others in the mailbox. 3. The logins of a thousand probes.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/stack/check.rs"]
mod check;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/stack/imap.rs"]
mod imap;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/stack/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/stack/servers.rs"]
mod servers;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use proxy::Proxy;
use servers::Stack;

const PROBES: usize = 50;

fn main() {
    let Some(stack) = servers::own() else { return };
    stack.run("foreign", &["1"]);
    stack.imap().contents("INBOX");
    let few = lags(&stack);
    let idle = idle_lags(&stack);
    stack.run("foreign", &["4999"]);
    stack.imap().contents("INBOX");
    let many = lags(&stack);
    let logins = logins(&stack);

    println!("{:<58} {:>9} {:>9} {:>9}", "", "median", "p95", "goal");
    row("file to sighting, 1 foreign message", &few, "25 ms");
    row("file to sighting, 5,000 foreign messages", &many, "25 ms");
    row("file to IDLE's announcement, for comparison", &idle, "");
    let ratio = median(&many) / median(&few);
    println!(
        "{:<58} {ratio:>8.2}× {:>9} {:>9}",
        "5,000 against 1", "", "2×"
    );
    println!(
        "{:<58} {logins:>9} {:>9} {:>9}",
        "IMAP logins of --count 1000", "", "1"
    );
}

fn row(name: &str, lags: &[f64], goal: &str) {
    let p95 = lags[lags.len() * 95 / 100];
    println!(
        "{name:<58} {:>6.1} ms {p95:>6.1} ms {goal:>9}",
        median(lags)
    );
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Milliseconds from each copy's file to its sighting, sorted. The message is dropped on its way and put into the
/// Maildir by ourselves, at a random point of the watcher's pace: so its moment is known exactly.
fn lags(stack: &Stack) -> Vec<f64> {
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().to("drop@example.test").smtp_through(&smtp);
    let running = check
        .with(&format!("--count {PROBES} --concurrency 1"))
        .start();
    let mut appeared = Vec::new();
    for number in 0..PROBES {
        let message = wait_for(|| smtp.accepted_messages().into_iter().nth(number));
        // Not in step with the looks, which follow each other every 20 ms and more.
        sleep(Duration::from_micros(
            20_000 + number as u64 * 7_919 % 60_000,
        ));
        appeared.push(deliver(stack, &message, number));
    }
    let report = running.finish();
    let probes = report.passes();
    assert_eq!(probes.len(), PROBES);
    let seen = probes.iter().map(|probe| {
        let seen: Timestamp = probe["seen_at"].as_str().unwrap().parse().unwrap();
        SystemTime::from(seen)
    });
    sorted(
        seen.zip(appeared)
            .map(|(seen, appeared)| seen.duration_since(appeared).unwrap_or_default()),
    )
}

/// The same for a client that does nothing but wait with IDLE.
fn idle_lags(stack: &Stack) -> Vec<f64> {
    let tcp = TcpStream::connect(("127.0.0.1", stack.port("IMAP"))).unwrap();
    let mut lines = BufReader::new(tcp.try_clone().unwrap()).lines();
    let mut until = |words: &str| while !lines.next().unwrap().unwrap().contains(words) {};
    let say = |line: &str| (&tcp).write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let (user, password) = (stack.get("PROBE_USER"), stack.get("PROBE_PASSWORD"));
    say(&format!("a LOGIN {user} {password}"));
    until("a OK");
    say("b SELECT INBOX");
    until("b OK");
    sorted((0..10).map(|number| {
        say("c IDLE");
        until("+ idling");
        sleep(Duration::from_millis(50));
        let message = b"Subject: not a probe\r\n\r\nHello.\r\n";
        let appeared = deliver(stack, message, PROBES + number);
        until("EXISTS");
        let lag = appeared.elapsed().unwrap();
        say("DONE");
        until("c OK");
        lag
    }))
}

/// How often a thousand probes log in.
fn logins(stack: &Stack) -> usize {
    let imap = Proxy::recording(stack.port("IMAP"));
    let check = stack.check().imap_through(&imap).route("deadline", "1m");
    let report = check.with("--count 1000 --concurrency 50").run();
    assert_eq!(report.passes().len(), 1000);
    let commands = imap.commands();
    let logins = commands.iter().filter(|line| line.contains(" LOGIN "));
    logins.count()
}

/// Puts a message into the Maildir as a delivery agent does, and says when it appeared there.
fn deliver(stack: &Stack, message: &[u8], number: usize) -> SystemTime {
    let maildir = PathBuf::from(stack.get("PROBE_MAILDIR"));
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let name = format!(
        "{}.M{}N{number}.bench",
        since.as_secs(),
        since.subsec_micros()
    );
    let file = maildir.join("tmp").join(&name);
    fs::write(&file, message).unwrap();
    let owner = fs::metadata(&maildir).unwrap();
    chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    let at = SystemTime::now();
    fs::rename(file, maildir.join("new").join(name)).unwrap();
    at
}

fn sorted(lags: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut lags: Vec<_> = lags.map(|lag| lag.as_secs_f64() * 1000.0).collect();
    lags.sort_by(f64::total_cmp);
    lags
}

fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < until, "what was waited for never came");
        sleep(Duration::from_millis(1));
    }
}
