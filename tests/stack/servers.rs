//! The servers as the script starts them: what it wrote to `env`, and their end with the process that wanted them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{PipeWriter, Write, pipe, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::check::Check;
use crate::imap::Imap;

/// A script that starts servers.
#[derive(Debug)]
pub(crate) struct Script {
    path: &'static str,
    /// Its name, which `MAILROBIN_STACK` may require.
    name: &'static str,
}

/// Postfix and Dovecot.
pub(crate) static STACK: Script = Script {
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stack/stack"),
    name: "stack",
};

/// Exim and Cyrus.
pub(crate) static FAMILY: Script = Script {
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stack/family"),
    name: "family",
};

/// A script's exit status where the machine cannot run the servers.
const CANNOT: i32 = 77;

/// Running servers. They are stopped, and their directory removed, when this is dropped or the process ends, however
/// it ends.
pub(crate) struct Stack {
    script: &'static Script,
    dir: PathBuf,
    env: BTreeMap<String, String>,
    /// A watchdog reads the other end.
    _alive: PipeWriter,
}

/// The servers that tests share, or why there are none.
pub(crate) type Shared = OnceLock<Result<Stack, String>>;

/// The Postfix and Dovecot that all tests share, or `None`, said loudly, where there can be none.
pub(crate) fn shared() -> Option<&'static Stack> {
    static SHARED: Shared = OnceLock::new();
    STACK.shared(&SHARED)
}

/// The same with filters in the way of some of its ports, for the tests of filters to share.
pub(crate) fn filtered() -> Option<&'static Stack> {
    static SHARED: Shared = OnceLock::new();
    STACK.shared_as(&SHARED, with_filters)
}

/// Servers with filters of the caller's own, where there can be any.
pub(crate) fn own_filtered() -> Option<Stack> {
    filtered()?;
    Some(with_filters().unwrap())
}

fn with_filters() -> Result<Stack, String> {
    let stack = STACK.up(&[])?;
    stack.try_run("filters-up", &[])?;
    Ok(stack)
}

/// Servers of the caller's own, where there can be any.
pub(crate) fn own() -> Option<Stack> {
    shared()?;
    Some(STACK.up(&[]).unwrap())
}

impl Script {
    /// The servers that all its tests share, started when first asked for.
    pub(crate) fn shared(&'static self, place: &'static Shared) -> Option<&'static Stack> {
        self.shared_as(place, || self.up(&[]))
    }

    /// Servers that some of its tests share, started like this when first asked for.
    fn shared_as(
        &self,
        place: &'static Shared,
        start: impl FnOnce() -> Result<Stack, String>,
    ) -> Option<&'static Stack> {
        let why = match place.get_or_init(start) {
            Ok(stack) => return Some(stack),
            Err(why) => why,
        };
        let required = std::env::var("MAILROBIN_STACK").is_ok_and(|wanted| {
            wanted == "required" || wanted.split(',').any(|name| name == self.name)
        });
        assert!(!required, "real servers are required: {why}");
        // Not by `eprintln!`, whose words are hidden in a test that passes; in one piece, as tests run side by side.
        let _ = stderr().write_all(format!("SKIPPED: real servers: {why}\n").as_bytes());
        None
    }

    /// Starts servers, with further arguments of the script's `up`, unless this machine cannot run them.
    pub(crate) fn up(&'static self, arguments: &[&str]) -> Result<Stack, String> {
        let dir = tempfile::Builder::new()
            .prefix("mailrobin-stack-")
            .tempdir()
            .unwrap()
            .keep();
        let alive = self.watchdog(&dir);
        let mut all = vec!["up", dir.to_str().unwrap()];
        all.extend(arguments);
        let output = self.run(&all);
        if output.status.code() == Some(CANNOT) {
            return Err(complaint(&output));
        }
        assert!(
            output.status.success(),
            "the servers do not start ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let env = fs::read_to_string(dir.join("env")).unwrap();
        let env = env.lines().filter_map(|line| line.split_once('='));
        Ok(Stack {
            script: self,
            env: env
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            dir,
            _alive: alive,
        })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A process that waits for the end of ours, or of the pipe given back, and then stops the servers below `dir`.
    fn watchdog(&self, dir: &Path) -> PipeWriter {
        let (reader, writer) = pipe().unwrap();
        // In the background, standard input is /dev/null unless said otherwise. Nobody's Ctrl-C must reach it.
        let body = r#"trap '' INT TERM HUP
            exec 3<&0
            { cat >/dev/null; "$0" down "$1"; rm -rf "$1"; } <&3 &"#;
        let started = Command::new("sh")
            .args(["-c", body, self.path])
            .arg(dir)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(started.success());
        writer
    }
}

fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("the script failed without a word")
        .to_owned()
}

impl Stack {
    /// A value of the script's `env`.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.env
            .get(key)
            .unwrap_or_else(|| panic!("`{}` tells no {key}", self.script.name))
    }

    /// A port of the script's `env`, without the `_PORT` at its end.
    pub(crate) fn port(&self, service: &str) -> u16 {
        self.get(&format!("{service}_PORT")).parse().unwrap()
    }

    /// Where everything of these servers lies; tests may add to it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs another command of the script on these servers.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) {
        self.try_run(command, arguments).unwrap();
    }

    /// The same, unless this machine cannot run what it starts.
    fn try_run(&self, command: &str, arguments: &[&str]) -> Result<(), String> {
        let mut all = vec![command, self.dir.to_str().unwrap()];
        all.extend(arguments);
        let output = self.script.run(&all);
        if output.status.code() == Some(CANNOT) {
            return Err(complaint(&output));
        }
        assert!(output.status.success(), "{command}: {}", complaint(&output));
        Ok(())
    }

    /// A check of a round trip by way of echo@, over plain connections unless told otherwise.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(self)
    }

    /// A look of the test's own into the probe's mailbox.
    pub(crate) fn imap(&self) -> Imap {
        Imap::log_in(self)
    }
}
