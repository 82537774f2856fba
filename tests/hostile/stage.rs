//! Puts the program in front of a peer, and measures it.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::peer::{Act, Contents, Peer, Script};

/// So many at once: most of their time is spent waiting.
const AT_ONCE: usize = 16;
/// No run may take longer; its own limits end it long before.
const AT_MOST: Duration = Duration::from_mins(1);
/// Nor may any take more memory, beside the program's own pages.
const MEMORY: u64 = 90 * 1024 * 1024;
/// Between two looks at the memory it has taken.
const PEEK: Duration = Duration::from_millis(10);

/// How the mailbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collect {
    Imap,
    Pop3,
}

/// One peer, and what `check` must make of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) collect: Collect,
    pub(crate) gateway: Script,
    pub(crate) mailbox: Script,
    pub(crate) contents: Contents,
    /// Keys over those of the config: `gateway.tls`.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
    /// The outcomes that are right, and the codes.
    pub(crate) outcomes: Vec<&'static str>,
    pub(crate) codes: Vec<&'static str>,
    /// Words of the reason or the log, and whether they must stand there once only.
    pub(crate) says: Vec<(&'static str, bool)>,
}

/// The message as it was sent.
pub(crate) fn unchanged(message: &str) -> String {
    message.to_owned()
}

/// The copy among a hundred thousand other messages that all come at once.
pub(crate) fn many(collect: Collect) -> Case {
    let mut case = Case::new(format!("{collect:?} 100,000 messages"), collect);
    case.contents.strangers = 100_000;
    if cfg!(debug_assertions) {
        // Without optimisation this is slow, and may be too slow.
        case.key("route.deadline", "5s")
            .ends(&["delivered", "unseen"], &["ok", "mailbox-unreadable"])
    } else {
        case
    }
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, collect: Collect) -> Self {
        Self {
            name: name.into(),
            collect,
            gateway: Script::default(),
            mailbox: Script::default(),
            contents: Contents {
                copy: Some(unchanged),
                beside: None,
                strangers: 0,
                folder: "INBOX",
            },
            says: Vec::new(),
            keys: Vec::new(),
            outcomes: vec!["delivered"],
            codes: vec!["ok"],
        }
    }

    pub(crate) fn gateway(mut self, step: &'static str, act: Act) -> Self {
        self.gateway.0.push((step, act));
        self
    }

    pub(crate) fn mailbox(mut self, step: &'static str, act: Act) -> Self {
        self.mailbox.0.push((step, act));
        self
    }

    pub(crate) fn key(mut self, key: &'static str, value: &'static str) -> Self {
        self.keys.push((key, value));
        self
    }

    pub(crate) fn ends(mut self, outcomes: &[&'static str], codes: &[&'static str]) -> Self {
        (self.outcomes, self.codes) = (outcomes.into(), codes.into());
        self
    }

    /// The reason, or the log, has these words.
    pub(crate) fn says(mut self, words: &'static str) -> Self {
        self.says.push((words, false));
        self
    }

    /// The same, and only once.
    pub(crate) fn says_once(mut self, words: &'static str) -> Self {
        self.says.push((words, true));
        self
    }

    /// The mailbox cannot be read.
    pub(crate) fn unseen(self) -> Self {
        self.ends(&["unseen"], &["mailbox-unreadable"])
    }

    fn config(&self, peer: &Peer) -> String {
        let (protocol, port) = match self.collect {
            Collect::Imap => ("imap", peer.imap),
            Collect::Pop3 => ("pop3", peer.pop3),
        };
        // What is to be seen is waited for; what is not, is not waited for long.
        let comes = |outcome: &&str| matches!(*outcome, "delivered" | "altered" | "junked");
        let (deadline, step) = if self.outcomes.iter().any(comes) {
            ("40s", "20s")
        } else {
            ("1500ms", "2s")
        };
        // That there is no copy is said only after a whole look, of which much mail and a slow machine make a long one.
        let blind_grace = if self.outcomes.contains(&"missing") {
            "40s"
        } else {
            "1s"
        };
        let mut config: toml::Table = format!(
            r#"
[gateways.edge]
host = "127.0.0.1"
port = {}
tls = "none"
insecure_auth = true
ehlo = "client.example"
timeout = "{step}"
final_timeout = "{step}"

[mailboxes.returns]
protocol = "{protocol}"
host = "127.0.0.1"
port = {port}
tls = "none"
insecure_auth = true
username = "probe"
password = "probe"
timeout = "{step}"

[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
deadline = "{deadline}"
defer_for = "1500ms"
blind_grace = "{blind_grace}"
"#,
            peer.smtp
        )
        .parse()
        .unwrap();
        for (key, value) in &self.keys {
            let (table, key) = key.split_once('.').unwrap();
            let (kind, name) = match table {
                "gateway" => ("gateways", "edge"),
                "mailbox" => ("mailboxes", "returns"),
                _ => ("routes", "inbound"),
            };
            let table = config[kind][name].as_table_mut().unwrap();
            table.insert(key.to_owned(), (*value).into());
        }
        toml::to_string(&config).unwrap()
    }

    /// Everything that is not as it should be.
    fn play(&self) -> Vec<String> {
        let peer = Peer::start(self.gateway.clone(), self.mailbox.clone(), self.contents);
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("mailrobin.toml"), self.config(&peer)).unwrap();
        let program = std::env::var_os("MAILROBIN_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_mailrobin").into());
        let mut child = Command::new(program)
            .current_dir(dir.path())
            .env_clear()
            .env("STATE_DIRECTORY", file("state"))
            .args(["check", "--format", "json", "--linger", "0s"])
            .stdin(Stdio::null())
            .stdout(File::create(file("out")).unwrap())
            .stderr(File::create(file("err")).unwrap())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let mut peak = 0;
        let status = loop {
            thread::sleep(PEEK);
            peak = peak.max(peak_memory(child.id()));
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if begun.elapsed() > AT_MOST {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
        };
        drop(peer);
        let mut wrong = Vec::new();
        let Some(status) = status else {
            return vec![format!("it was still running after {AT_MOST:?}")];
        };
        let said = fs::read_to_string(file("err")).unwrap();
        if said.contains("panicked") || said.contains("overflow") || status.code().is_none() {
            wrong.push(format!("it crashed ({status}): {said}"));
        }
        if said.contains("LOGIN-DELAY") {
            wrong.push(format!(
                "it speaks of a delay that no peer asked for: {said}"
            ));
        }
        if peak > MEMORY {
            wrong.push(format!("it took {} MiB of memory", peak / 1024 / 1024));
        }
        let out = fs::read_to_string(file("out")).unwrap();
        let probe = serde_json::from_str::<Value>(&out)
            .map(|document| document["probes"][0].clone())
            .unwrap_or_default();
        let word = |key: &str| probe[key].as_str().unwrap_or_default().to_owned();
        let (outcome, code) = (word("outcome"), word("code"));
        if !self.outcomes.contains(&outcome.as_str()) || !self.codes.contains(&code.as_str()) {
            wrong.push(format!(
                "{outcome:?} ({code}), not {:?} ({:?}): {} {said}",
                self.outcomes,
                self.codes,
                word("reason")
            ));
        }
        let told = format!("{} {said}", word("reason"));
        for (words, once) in &self.says {
            let times = told.matches(words).count();
            if times == 0 || (*once && times > 1) {
                wrong.push(format!("{words:?} is said {times} times: {told}"));
            }
        }
        let exit = match outcome.as_str() {
            "delivered" => 0,
            "unseen" | "unfinished" | "skipped" => 3,
            _ => 2,
        };
        if status.code() != Some(exit) {
            wrong.push(format!("{status} with the outcome {outcome:?}: {said}"));
        }
        if std::env::var_os("MAILROBIN_HOSTILE").is_some() {
            eprintln!(
                "{:>6} ms {:>4} MiB {outcome} ({code}) {}: {}",
                begun.elapsed().as_millis(),
                peak / 1024 / 1024,
                self.name,
                word("reason")
            );
        }
        wrong
    }
}

/// Plays them, several at once. `MAILROBIN_HOSTILE=word` plays only those with the word in their name, and tells of each;
/// `MAILROBIN_PROGRAM=path` takes another build of the program.
pub(crate) fn play(cases: &[Case]) {
    let wanted = std::env::var("MAILROBIN_HOSTILE").unwrap_or_default();
    let cases: Vec<_> = cases
        .iter()
        .filter(|case| case.name.contains(&wanted))
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = case.play();
                    if !wrong.is_empty() {
                        let told = format!("{}:\n  {}", case.name, wrong.join("\n  "));
                        failures.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} ended otherwise:\n\n{}\n",
        failures.len(),
        cases.len(),
        failures.join("\n\n")
    );
}

/// The most memory the program has had so far, without what of its file is in memory; 0 where the system does not say, and before the process has become the
/// program.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    if !status.starts_with("Name:\tmailrobin\n") {
        return 0;
    }
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or_default() * 1024
    };
    field("VmHWM:").saturating_sub(field("RssFile:"))
}
