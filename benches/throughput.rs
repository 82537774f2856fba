//! How many round trips a second, and how much memory a probe takes: `cargo bench --bench throughput`.
//!
//! 1. Through the lab: `check --count 1000 --concurrency 50`, and what 20,000 probes add to the memory. 2. Through real
//!    Postfix and Dovecot, beside the rate at which `smtp-source` only submits to the same servers in the same run.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
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
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MAILROBIN: &str = env!("CARGO_BIN_EXE_mailrobin");
const RUNS: usize = 3;
const MANY: usize = 20_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("lab.toml");
    let mut lab = lab(&config);
    let thousand: Vec<_> = (0..RUNS).map(|_| run(&config, 1000)).collect();
    let few = run(&config, 100);
    let many = run(&config, MANY);
    lab.kill().unwrap();
    lab.wait().unwrap();

    let rate = median(thousand.iter().map(|run| run.rate).collect());
    let peak = thousand.iter().map(|run| run.peak_kib).max().unwrap();
    let each = (many.peak_kib - few.peak_kib) as f64 / (MANY - 100) as f64;
    println!("{:<58} {:>12} {:>12}", "through the lab", "", "goal");
    row(
        "round trips a second, --count 1000 --concurrency 50",
        rate,
        "1500",
    );
    row("memory at its peak, MiB", peak as f64 / 1024.0, "60");
    row("round trips a second, --count 20000", many.rate, "");
    row("memory for each further probe, KiB", each, "2");

    let Some(stack) = servers::own() else { return };
    let (mut ours, mut source) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(real(&stack));
        source.push(smtp_source(&stack));
    }
    println!("{:<58}", "through Postfix and Dovecot, direct");
    row(
        "round trips a second, --count 500 --concurrency 50",
        median(ours.clone()),
        "",
    );
    row(
        "smtp-source to the same port, messages a second",
        median(source.clone()),
        "",
    );
    let ratios = ours.iter().zip(&source).map(|(ours, source)| ours / source);
    row(
        "round trips for each message of smtp-source",
        median(ratios.collect()),
        "",
    );
}

fn row(name: &str, value: f64, goal: &str) {
    println!("{name:<58} {value:>12.2} {goal:>12}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A lab on free ports; its config is written.
fn lab(config: &Path) -> Child {
    let mut lab = Command::new(MAILROBIN)
        .args(["lab", "--smtp-port=0", "--imap-port=0", "--pop3-port=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines();
    while text.matches("blind_grace").count() < 2 {
        text.push_str(&lines.next().unwrap().unwrap());
        text.push('\n');
    }
    fs::write(config, text).unwrap();
    lab
}

struct Run {
    rate: f64,
    peak_kib: u64,
}

/// One `check` through the lab; the lab's own memory is not counted.
fn run(config: &Path, count: usize) -> Run {
    let begun = Instant::now();
    let mut check = Command::new(MAILROBIN)
        .arg("check")
        .arg("-c")
        .arg(config)
        .arg("--state-dir")
        .arg(config.parent().unwrap())
        .args(["imap", "--concurrency=50", "--linger=0", "--format=json"])
        .arg(format!("--count={count}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(high_water(check.id()));
        if let Some(status) = check.try_wait().unwrap() {
            break status;
        }
        sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "a probe was lost");
    Run {
        rate: count as f64 / begun.elapsed().as_secs_f64(),
        peak_kib,
    }
}

/// The most memory a process has had so far.
fn high_water(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}

fn real(stack: &servers::Stack) -> f64 {
    let check = stack.check().to(stack.get("PROBE_ADDRESS"));
    let begun = Instant::now();
    let report = check.with("--count 500 --concurrency 50 --linger 0").run();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(report.passes().len(), 500);
    500.0 / took
}

fn smtp_source(stack: &servers::Stack) -> f64 {
    let begun = Instant::now();
    let status = Command::new("/usr/sbin/smtp-source")
        .args([
            "-s",
            "4",
            "-m",
            "500",
            "-f",
            "probe@monitor.test",
            "-t",
            "drop@example.test",
        ])
        .arg(format!("127.0.0.1:{}", stack.port("SMTP_PLAIN")))
        .status()
        .unwrap();
    assert!(status.success());
    500.0 / begun.elapsed().as_secs_f64()
}
