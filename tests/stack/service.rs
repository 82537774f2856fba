//! `mailrobin run` against real servers: killed again and again, told to stop, and taken up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use data_encoding::BASE32_NOPAD;
use mailrobin::store::{Reader, Wanted};
use serde_json::Value;
use tokio::runtime::Builder;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::servers::{Stack, own};

const KILLS: u64 = 15;
/// Longer than anything here lasts.
const LONG: Duration = Duration::from_mins(2);

/// A service, its folder, and the wire to its gateway.
struct Service<'s> {
    stack: &'s Stack,
    smtp: Proxy,
    dir: PathBuf,
}

impl<'s> Service<'s> {
    fn new(stack: &'s Stack) -> Self {
        let dir = stack.dir().join("service");
        fs::create_dir(&dir).unwrap();
        let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
        Self { stack, smtp, dir }
    }

    /// Starts it, with this timing.
    fn start(&self, timing: &str) -> Child {
        let stack = self.stack;
        let mailbox = |protocol: &str, port: &str| {
            format!(
                "[mailboxes.{protocol}]\nprotocol = \"{protocol}\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
                 insecure_auth = true\nusername = \"{}\"\npassword = \"{}\"\npoll = \"1s\"\n",
                stack.port(port),
                stack.get("PROBE_ADDRESS"),
                stack.get("PROBE_PASSWORD"),
            )
        };
        let config = format!(
            "[service]\nlisten = \"none\"\n[defaults]\ngateway = \"servers\"\nfrom = \"{}\"\nto = \"{}\"\n{timing}\n\
             deadline = \"20s\"\nblind_grace = \"30s\"\n\
             [gateways.servers]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n{}\
             [routes.imap]\nmailbox = \"imap\"\n",
            stack.get("PROBE_ADDRESS"),
            stack.get("ECHO_ADDRESS"),
            self.smtp.port(),
            mailbox("imap", "IMAP"),
        );
        let path = self.dir.join("mailrobin.toml");
        fs::write(&path, config).unwrap();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"));
        Command::new(env!("CARGO_BIN_EXE_mailrobin"))
            .arg("-c")
            .arg(path)
            .arg("--state-dir")
            .arg(self.dir.join("state"))
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap()
    }

    /// Starts it with nothing due, and ends it when nothing is open.
    fn settle(&self) {
        let before = self.beginnings();
        let mut child = self.start("cron = \"0 0 29 2 *\"");
        // The history may be settled by the process before: a signal that comes before this one listens would kill it.
        self.until("it has begun", |_| self.beginnings() > before);
        self.until("nothing is in flight", |probes| {
            !probes.is_empty() && probes.iter().all(|it| it["outcome"].is_string())
        });
        let begun = Instant::now();
        while !self.stack.imap().contents("INBOX").is_empty() {
            assert!(begun.elapsed() < LONG, "copies stay");
            sleep(Duration::from_millis(50));
        }
        terminate(&mut child);
    }

    /// How often a process has said that it tests.
    fn beginnings(&self) -> usize {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.matches("mailrobin tests ").count()
    }

    fn probes(&self) -> Vec<Value> {
        read(&self.dir.join("state/history.db"))
    }

    fn until(&self, what: &str, so: impl Fn(&[Value]) -> bool) {
        let begun = Instant::now();
        while !so(&self.probes()) {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < LONG, "{what}: {log}");
            sleep(Duration::from_millis(50));
        }
    }

    /// How often each probe's message was sent to its end.
    fn sent(&self) -> BTreeMap<Uuid, usize> {
        let mut sent = BTreeMap::new();
        for message in self.smtp.accepted_messages() {
            let text = String::from_utf8_lossy(&message).into_owned();
            let rest = text.split_once("Message-ID: <mr").unwrap().1;
            let word = rest.split_once('@').unwrap().0.to_ascii_uppercase();
            // Of 24 bytes the last character, and two zero bits, are left out.
            let raw = BASE32_NOPAD.decode(format!("{word}A").as_bytes()).unwrap();
            *sent
                .entry(Uuid::from_slice(&raw[..16]).unwrap())
                .or_insert(0) += 1;
        }
        sent
    }

    /// No probe is lost, none was sent twice, none is misjudged.
    fn nothing_amiss(&self) {
        let (probes, sent) = (self.probes(), self.sent());
        assert!(!sent.is_empty());
        for record in &probes {
            let id = record["id"].as_str().unwrap().parse().unwrap();
            let expected = match sent.get(&id) {
                Some(1) => "delivered",
                None => "unfinished",
                Some(times) => panic!("sent {times} times: {record}"),
            };
            assert_eq!(record["outcome"], expected, "{record}");
            assert_eq!(record["duplicates"], 0, "{record}");
        }
        let known = |id: &Uuid| probes.iter().any(|it| it["id"] == id.to_string());
        assert!(sent.keys().all(known), "a probe is lost");
    }
}

fn read(history: &Path) -> Vec<Value> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let wanted = Wanted {
        oldest_first: true,
        limit: 100_000,
        ..Wanted::default()
    };
    let page = runtime.block_on(async {
        let reader = Reader::open(history).await.ok()?;
        reader.probes(&wanted).await.ok()
    });
    page.unwrap_or_default().probes
}

fn terminate(child: &mut Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(sent.success());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < LONG, "it does not end");
        sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn kills_lose_double_and_misjudge_nothing() {
    let Some(stack) = own() else { return };
    let service = Service::new(&stack);
    for kill in 0..KILLS {
        let before = service.probes().len();
        let mut child = service.start("every = \"1s\"");
        service.until("it tests", |probes| probes.len() > before);
        sleep(Duration::from_millis(kill * 17 % 120));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    service.settle();
    service.nothing_amiss();
}

#[test]
fn it_ends_in_good_order_and_takes_up_what_was_in_flight() {
    let Some(stack) = own() else { return };
    let service = Service::new(&stack);
    for _ in 0..3 {
        let before = service.probes().len();
        let mut child = service.start("every = \"1s\"");
        service.until("it tests", |probes| probes.len() >= before + 2);
        terminate(&mut child);
    }
    service.settle();
    service.nothing_amiss();
    let outcomes = service.probes();
    assert!(
        outcomes.iter().all(|it| it["outcome"] == "delivered"),
        "{outcomes:?}"
    );
}
