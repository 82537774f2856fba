//! How long one `ping` takes as a whole process, and how much memory: `cargo bench --bench ping`.
//!
//! Against a server in this process, in the clear and with STARTTLS, beside `check_smtp` of Debian's
//! monitoring-plugins-basic against the same server in turns, where that is installed.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/gateways/ping_peer.rs"]
mod ping_peer;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/gateways/tls.rs"]
mod tls;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ping_peer::{Act, Part, Server, Tongue};
use tls::Authority;

const MAILROBIN: &str = env!("CARGO_BIN_EXE_mailrobin");
const CHECK_SMTP: &str = "/usr/lib/nagios/plugins/check_smtp";
const RUNS: usize = 100;
/// Before it answers QUIT, the server leaves time to look at the client's memory.
const STAY: Duration = Duration::from_millis(50);

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let authority = Authority::new();
    fs::write(&ca, &authority.pem).unwrap();
    let plain = Part::of(Tongue::Smtp);
    let secured = plain
        .clone()
        .starttls(authority.server(&["127.0.0.1"], false));
    let ca = ca.to_str().unwrap();
    println!(
        "{:<44} {:>12} {:>12}",
        "whole process, median of 100", "ms", "MiB at most"
    );
    for (name, part, ours, theirs) in [
        ("in the clear", plain, &[][..], &[][..]),
        (
            // As check_smtp does it.
            "STARTTLS unverified",
            secured.clone(),
            &["--tls=starttls", "-k"],
            &["-S"],
        ),
        (
            "STARTTLS",
            secured,
            &["--tls=starttls", "--ca-file", ca],
            &["-S"],
        ),
    ] {
        let server = part.clone().play();
        let patient = part.at("quit", Act::Late(STAY)).play();
        let ping = |server: &Server| {
            let mut command = Command::new(MAILROBIN);
            command.arg("ping").arg(server.target()).args(ours);
            command
        };
        let check_smtp = |server: &Server| {
            let mut command = Command::new(CHECK_SMTP);
            let port = server.address.port().to_string();
            command.args(["-H", "127.0.0.1", "-p", &port]).args(theirs);
            command
        };
        let is_there = Path::new(CHECK_SMTP).exists();
        let (mut mine, mut other) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            mine.push(timed(&mut ping(&server)));
            if is_there {
                other.push(timed(&mut check_smtp(&server)));
            }
        }
        let mine = (median(mine), peak(&mut ping(&patient)));
        row(&format!("mailrobin ping, {name} (goal 10, 12)"), mine);
        if is_there {
            let other = (median(other), peak(&mut check_smtp(&patient)));
            row(&format!("check_smtp, {name}"), other);
            row(
                &format!("ratio, {name}"),
                (mine.0 / other.0, mine.1 / other.1),
            );
        } else {
            println!("no check_smtp here: install monitoring-plugins-basic to compare");
        }
    }
}

fn row(name: &str, (time, memory): (f64, f64)) {
    println!("{name:<44} {time:>12.2} {memory:>12.2}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Milliseconds from the start of the process to its end.
fn timed(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    assert!(output.status.success(), "{command:?}: {output:?}");
    took
}

/// The most memory that the process had, in MiB.
fn peak(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0_u32;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or_default());
        sleep(Duration::from_millis(1));
    }
    f64::from(peak_kib) / 1024.0
}
