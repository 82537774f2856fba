//! What the service costs: 1,000 routes over 10 mailboxes, tested every minute and resting. Prints the share of a core that
//! `mailrobin run` takes, its memory, and how late its probes start. `cargo bench --bench service`; takes six minutes.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mailrobin::lab::{Lab, LabConfig};
use mailrobin::store::{Reader, Wanted};

const LABS: usize = 10;
const ROUTES: usize = 1000;
/// Until every route has had its first test.
const FIRST: Duration = Duration::from_secs(75);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    println!("1,000 routes over 10 mailboxes, each in a lab of its own");
    runtime.block_on(measure("every minute", "1m", Duration::from_mins(2)));
    runtime.block_on(measure("resting", "12h", Duration::from_mins(1)));
}

async fn measure(what: &str, every: &str, time: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let mut labs = Vec::new();
    for _ in 0..LABS {
        labs.push(Lab::start(LabConfig::default()).await.unwrap());
    }
    let config = dir.path().join("mailrobin.toml");
    fs::write(&config, config_of(&labs, every)).unwrap();
    let mut service = start(&config, dir.path());
    tokio::time::sleep(FIRST).await;
    let before = cpu(&service);
    tokio::time::sleep(time).await;
    let used = cpu(&service).saturating_sub(before);
    let share = used.as_secs_f64() / time.as_secs_f64() * 100.0;
    let (now, most) = memory(&service);
    stop(&mut service);
    let (probes, passed, latest) = probes(dir.path()).await;
    println!(
        "{what}: {share:.1}% of a core; {now:.0} MB, {most:.0} MB at most; {probes} probes, {passed} passed, \
         the latest started {latest:.0} ms after it was due"
    );
    for lab in labs {
        lab.stop().await;
    }
}

fn config_of(labs: &[Lab], every: &str) -> String {
    let mut config = format!(
        "[defaults]\nevery = \"{every}\"\n[service]\nunsafe_intervals = true\nlisten = \"none\"\n"
    );
    for (at, lab) in labs.iter().enumerate() {
        let (smtp, imap) = (lab.smtp_addr(), lab.imap_addr());
        let ca = lab.ca_pem();
        write!(
            config,
            "[gateways.g{at}]\nhost = \"{}\"\nport = {}\ntls = \"starttls\"\nca = '''\n{ca}'''\n\
             [mailboxes.m{at}]\nhost = \"{}\"\nport = {}\ntls = \"starttls\"\nusername = \"probe\"\n\
             password = \"probe\"\nca = '''\n{ca}'''\n",
            smtp.ip(),
            smtp.port(),
            imap.ip(),
            imap.port(),
        )
        .unwrap();
    }
    for route in 0..ROUTES {
        let at = route % LABS;
        write!(
            config,
            "[routes.r{route}]\ngateway = \"g{at}\"\nmailbox = \"m{at}\"\nbounce_mailbox = \"m{at}\"\n\
             from = \"probe@lab.example\"\nto = \"r{route}@echo.example\"\n"
        )
        .unwrap();
    }
    config
}

fn start(config: &Path, dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .args(["run", "-q", "-c"])
        .arg(config)
        .arg("--state-dir")
        .arg(dir.join("state"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Processor time so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second.
fn cpu(service: &Child) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in MB, now and at most.
fn memory(service: &Child) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes / 1024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn stop(service: &mut Child) {
    let id = service.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(service.wait().unwrap().success());
}

/// How many there were, how many passed, and how late the latest started, in milliseconds.
async fn probes(dir: &Path) -> (usize, usize, f64) {
    let reader = Reader::open(&dir.join("state/history.db")).await.unwrap();
    let wanted = Wanted {
        limit: 100_000,
        ..Wanted::default()
    };
    let page = reader.probes(&wanted).await.unwrap();
    let passed = page.probes.iter().filter(|it| it["verdict"] == "pass");
    let passed = passed.count();
    let late = page.probes.iter().filter_map(|it| {
        let at = |name: &str| it[name].as_str()?.parse::<jiff::Timestamp>().ok();
        Some((at("started_at")?.duration_since(at("due_at")?)).as_secs_f64() * 1000.0)
    });
    (page.probes.len(), passed, late.fold(0.0, f64::max))
}
