//! One run of the built binary: its config, its arguments, and what came out of it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::proxy::Proxy;
use crate::servers::Stack;

/// The deadline of every probe, unless a test sets another. What is known at once is known well before it, on however slow
/// a machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// No run may take longer.
const HANGS: Duration = Duration::from_mins(1);

/// A run to be: a config to change and arguments to add.
pub(crate) struct Check<'s> {
    stack: &'s Stack,
    signing: Table,
    gateway: Table,
    mailbox: Table,
    routes: Vec<(String, Table)>,
    format: &'static str,
    arguments: Vec<String>,
}

impl<'s> Check<'s> {
    pub(crate) fn new(stack: &'s Stack) -> Self {
        let check = Self {
            stack,
            signing: Table::new(),
            gateway: Table::new(),
            mailbox: Table::new(),
            routes: vec![("main".into(), Table::new())],
            format: "json",
            arguments: Vec::new(),
        };
        check
            .gateway("host", "127.0.0.1")
            .gateway("port", stack.port("SMTP_PLAIN"))
            .gateway("tls", "none")
            .mailbox("host", "127.0.0.1")
            .mailbox("port", stack.port("IMAP"))
            .mailbox("tls", "none")
            .mailbox("insecure_auth", true)
            .mailbox("username", stack.get("PROBE_ADDRESS"))
            .mailbox("password", stack.get("PROBE_PASSWORD"))
            .to(stack.get("ECHO_ADDRESS"))
            .route("deadline", &*format!("{}s", DEADLINE.as_secs()))
    }

    /// Sets a key of the signing.
    pub(crate) fn signing(mut self, key: &str, value: impl Into<Setting>) -> Self {
        self.signing.insert(key.into(), value.into().0);
        self
    }

    /// Sets a key of the gateway.
    pub(crate) fn gateway(mut self, key: &str, value: impl Into<Setting>) -> Self {
        self.gateway.insert(key.into(), value.into().0);
        self
    }

    /// Sets a key of the mailbox.
    pub(crate) fn mailbox(mut self, key: &str, value: impl Into<Setting>) -> Self {
        self.mailbox.insert(key.into(), value.into().0);
        self
    }

    /// Sets a key of the route last begun.
    pub(crate) fn route(mut self, key: &str, value: impl Into<Setting>) -> Self {
        let (_, route) = self.routes.last_mut().unwrap();
        route.insert(key.into(), value.into().0);
        self
    }

    /// The recipient of the route last begun.
    pub(crate) fn to(self, recipient: &str) -> Self {
        self.route("to", recipient)
    }

    /// What the plain payload of the route last begun is expected to come to.
    pub(crate) fn expect(self, outcome: &str) -> Self {
        let test = Table::from_iter([
            ("payload".to_owned(), Value::from("plain")),
            ("expect".to_owned(), Value::from(vec![outcome])),
        ]);
        self.route("tests", Setting(Value::from(vec![Value::from(test)])))
    }

    /// What the route last begun sends: the tests of a config, separated by commas.
    pub(crate) fn sends(self, tests: &str) -> Self {
        let mut table: Table = format!("tests = [{tests}]").parse().unwrap();
        self.route("tests", Setting(table.remove("tests").unwrap()))
    }

    /// Begins a second route like the last.
    pub(crate) fn and_route(mut self, name: &str) -> Self {
        let (_, last) = self.routes.last().unwrap();
        self.routes.push((name.into(), last.clone()));
        self
    }

    /// Logs in to the gateway as the sender.
    pub(crate) fn logged_in(self) -> Self {
        let stack = self.stack;
        self.gateway("username", stack.get("SENDER_USER"))
            .gateway("password", stack.get("SENDER_PASSWORD"))
    }

    /// Trusts the servers' authority on both sides.
    pub(crate) fn trusting(self) -> Self {
        let ca = self.stack.get("CA_FILE");
        self.gateway("ca_file", ca).mailbox("ca_file", ca)
    }

    /// Reaches the gateway through this proxy.
    pub(crate) fn smtp_through(self, proxy: &Proxy) -> Self {
        self.gateway("port", proxy.port())
    }

    /// Reaches the mailbox through this proxy.
    pub(crate) fn imap_through(self, proxy: &Proxy) -> Self {
        self.mailbox("port", proxy.port())
    }

    /// Adds arguments, separated by spaces.
    pub(crate) fn with(mut self, arguments: &str) -> Self {
        let words = arguments.split_whitespace().map(str::to_owned);
        self.arguments.extend(words);
        self
    }

    /// Prints for people instead.
    pub(crate) fn for_people(mut self) -> Self {
        self.format = "human";
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Report {
        self.start().finish()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = self.stack.dir().join(format!("check-{number}"));
        fs::create_dir(&dir).unwrap();
        let config = dir.join("mailrobin.toml");
        fs::write(&config, self.config()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailrobin"));
        command.arg("-c").arg(config).arg("--state-dir");
        // One key for all runs, so that each could recognise the others' probes.
        command.arg(self.stack.dir().join("state"));
        command.args(["check", "--format", self.format]);
        if !self.arguments.iter().any(|word| word == "--linger") {
            command.args(["--linger", "100ms"]);
        }
        command.args(&self.arguments);
        for name in ["MAILROBIN_CONFIG", "RUST_LOG", "NO_COLOR"] {
            command.env_remove(name);
        }
        let file = |name: &str| File::create(dir.join(name)).unwrap();
        command.stdin(Stdio::null());
        command.stdout(file("stdout")).stderr(file("stderr"));
        Running {
            child: command.spawn().unwrap(),
            started: Instant::now(),
            dir,
        }
    }

    fn config(&self) -> String {
        let named = |name: &str, table: &Table| {
            Value::from(Table::from_iter([(name.to_owned(), table.clone().into())]))
        };
        let routes = self.routes.iter().map(|(name, keys)| {
            let mut route = keys.clone();
            route.insert("gateway".into(), "servers".into());
            route.insert("mailbox".into(), "probe".into());
            route.insert("from".into(), self.stack.get("PROBE_ADDRESS").into());
            (name.clone(), Value::from(route))
        });
        let config = Table::from_iter([
            ("signing".to_owned(), self.signing.clone().into()),
            ("gateways".to_owned(), named("servers", &self.gateway)),
            ("mailboxes".to_owned(), named("probe", &self.mailbox)),
            ("routes".to_owned(), routes.collect::<Table>().into()),
        ]);
        config.to_string()
    }
}

/// A value of the config.
pub(crate) struct Setting(Value);

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<bool> for Setting {
    fn from(is: bool) -> Self {
        Self(is.into())
    }
}

impl From<u16> for Setting {
    fn from(number: u16) -> Self {
        Self(i64::from(number).into())
    }
}

impl<const N: usize> From<[&str; N]> for Setting {
    fn from(texts: [&str; N]) -> Self {
        Self(texts.to_vec().into())
    }
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    dir: PathBuf,
}

impl Running {
    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has said this on standard error.
    pub(crate) fn wait_for(&self, words: &str) {
        while !self.read("stderr").contains(words) {
            assert!(self.started.elapsed() < HANGS, "it never said {words:?}");
            sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Report {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > HANGS {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("it hangs; it had said: {}", self.read("stderr"));
            }
            sleep(Duration::from_millis(2));
        };
        let stdout = self.read("stdout");
        let stderr = self.read("stderr");
        Report {
            exit: status
                .code()
                .unwrap_or_else(|| panic!("it was killed ({status}): {stderr}")),
            document: serde_json::from_str(&stdout).unwrap_or_default(),
            took: self.started.elapsed(),
            stdout,
            stderr,
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: i32,
    pub(crate) document: Json,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Report {
    /// Every probe.
    pub(crate) fn probes(&self) -> &[Json] {
        self.document["probes"]
            .as_array()
            .unwrap_or_else(|| panic!("no document: {} {}", self.stdout, self.stderr))
    }

    /// The only probe.
    pub(crate) fn probe(&self) -> &Json {
        assert_eq!(self.probes().len(), 1, "{}", self.stdout);
        &self.probes()[0]
    }

    /// The only probe of a route.
    pub(crate) fn probe_on(&self, route: &str) -> &Json {
        let mut found = self.probes().iter().filter(|it| it["route"] == route);
        let probe = found.next().unwrap();
        assert!(found.next().is_none());
        probe
    }

    /// The only probe with this payload.
    #[track_caller]
    pub(crate) fn probe_with(&self, payload: &str) -> &Json {
        let mut found = self.probes().iter().filter(|it| it["payload"] == payload);
        let probe = found.next().unwrap();
        assert!(found.next().is_none());
        probe
    }

    /// Asserts the exit code, and outcome and reason code of the only probe, whose verdict must be that of the exit
    /// code. Gives the probe back.
    #[track_caller]
    pub(crate) fn is(&self, exit: i32, outcome: &str, code: &str) -> &Json {
        let verdict = ["pass", "warn", "fail", "unknown"];
        let probe = self.probe();
        let found = (
            self.exit,
            probe["outcome"].as_str().unwrap(),
            probe["code"].as_str().unwrap(),
            probe["verdict"].as_str().unwrap(),
        );
        let index = usize::try_from(exit).unwrap();
        assert_eq!(
            found,
            (exit, outcome, code, verdict[index]),
            "{probe:#}\n{}",
            self.stderr
        );
        assert_eq!(self.document["verdict"], verdict[index]);
        probe
    }

    /// Asserts that every probe came back as it should.
    #[track_caller]
    pub(crate) fn passes(&self) -> &[Json] {
        for probe in self.probes() {
            assert_eq!(probe["outcome"], "delivered", "{probe:#}\n{}", self.stderr);
            assert_eq!(probe["verdict"], "pass", "{probe:#}\n{}", self.stderr);
        }
        assert_eq!(self.exit, 0, "{self:?}");
        self.probes()
    }
}

/// The strings of a JSON list.
#[track_caller]
pub(crate) fn words(list: &Json) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter().map(|word| word.as_str().unwrap()).collect()
}

/// The names of a probe's phases.
#[track_caller]
pub(crate) fn phases(probe: &Json) -> Vec<&str> {
    let phases = probe["phases"].as_array().unwrap();
    phases
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect()
}

/// Asserts that a probe's reason holds these words.
#[track_caller]
pub(crate) fn reason_says(probe: &Json, words: &str) {
    let reason = probe["reason"].as_str().unwrap();
    assert!(reason.contains(words), "{words:?} is not in {reason:?}");
}
