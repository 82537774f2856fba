//! Puts a scenario on: the lab, the scripted gateway, a config for them, and the program itself.

use std::time::{Duration, Instant};
use std::{fs, thread};

use assert_cmd::Command;
use mailrobin::probe::outcome::Code;
use mailrobin::probe::record::Document;
use toml::{Table, Value};

use crate::lab::Stand;
use crate::peer::{Heard, Peer};
use crate::scenario::Scenario;

/// No run may take longer.
const AT_MOST: Duration = Duration::from_secs(40);

/// What came of a scenario.
pub(crate) struct Played {
    pub(crate) exit: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) document: Result<Document, String>,
    pub(crate) took: Duration,
    pub(crate) inbox: usize,
    pub(crate) junk: usize,
    pub(crate) lab_says: String,
    /// The flags of what is left; only where they are asked for.
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) heard: Vec<Heard>,
}

/// Plays it. A run's `--timeout` begins with its process: where a slow machine had not come to its probes by then, it is played
/// again with twice the time.
pub(crate) fn play(scenario: &Scenario) -> Played {
    let mut args = scenario.check.args.clone();
    loop {
        let played = play_with(scenario, &args);
        let document = played.document.as_ref();
        let mut probes = document.iter().flat_map(|it| &it.probes);
        if probes.all(|probe| probe.code != Code::NotStarted) || !double_timeout(&mut args) {
            return played;
        }
    }
}

/// Whether there is a timeout, and it may be longer.
fn double_timeout(args: &mut [String]) -> bool {
    let mut values = args.iter_mut().skip_while(|arg| *arg != "--timeout");
    let Some(value) = values.nth(1) else {
        return false;
    };
    let seconds: u64 = value.strip_suffix('s').unwrap().parse().unwrap();
    *value = format!("{}s", 2 * seconds);
    2 * seconds < AT_MOST.as_secs()
}

fn play_with(scenario: &Scenario, args: &[String]) -> Played {
    let lab = Stand::start(&scenario.lab.faults);
    let script = scenario.gateway.clone();
    let peer = script.map(|script| Peer::start(script, lab.smtp));
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("mailrobin.toml"),
        config(scenario, &lab, peer.as_ref()),
    )
    .unwrap();
    for (name, text) in &scenario.config.files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let begun = Instant::now();
    for line in scenario.lab.commands.clone() {
        let control = lab.control.clone();
        thread::spawn(move || {
            thread::sleep(line.after.0);
            let answer = control.command(&line.command);
            answer.unwrap_or_else(|error| panic!("{}: {error}", line.command));
        });
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailrobin"));
    command
        .current_dir(dir.path())
        .env_clear()
        .env("STATE_DIRECTORY", dir.path().join("state"))
        .args(["check", "--format", "json"])
        .args(args)
        .timeout(AT_MOST);
    if !args.iter().any(|arg| arg == "--linger") {
        command.args(["--linger", "0s"]);
    }
    let output = command.output().unwrap();
    let took = begun.elapsed();
    let (inbox, junk) = (lab.messages("INBOX"), lab.messages("Junk"));
    Played {
        exit: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        document: serde_json::from_slice(&output.stdout).map_err(|error| {
            let text = String::from_utf8_lossy(&output.stdout);
            format!("{error} in {text:?}")
        }),
        took,
        inbox,
        junk,
        lab_says: lab.says(),
        flags: scenario.expect.run.flags.as_ref().map(|_| lab.flags()),
        heard: peer.map(|peer| peer.heard()).unwrap_or_default(),
    }
}

/// The base config with the scenario's keys over it.
fn config(scenario: &Scenario, lab: &Stand, peer: Option<&Peer>) -> String {
    let smtp = peer.map_or(lab.smtp, |peer| peer.address);
    let is_pop3 = scenario.config.mailbox.get("protocol") == Some(&Value::from("pop3"));
    let collector = if is_pop3 { lab.pop3 } else { lab.imap };
    let base = format!(
        r#"
[gateways.edge]
host = "127.0.0.1"
port = {}
tls = "none"
ca = '''
{ca}'''
ehlo = "client.example"
timeout = "10s"
final_timeout = "10s"

[mailboxes.returns]
protocol = "imap"
host = "127.0.0.1"
port = {}
tls = "none"
ca = '''
{ca}'''
username = "probe"
password = "probe"
insecure_auth = true
timeout = "10s"

[routes.inbound]
gateway = "edge"
mailbox = "returns"
bounce_mailbox = "returns"
from = "probe@lab.example"
to = "echo@echo.example"
deadline = "15s"
blind_grace = "1s"
"#,
        smtp.port(),
        collector.port(),
        ca = lab.ca,
    );
    let mut config: Table = base.parse().unwrap();
    let over = &scenario.config;
    for (kind, name, keys) in [
        ("gateways", "edge", &over.gateway),
        ("mailboxes", "returns", &over.mailbox),
        ("routes", "inbound", &over.route),
    ] {
        let table = config[kind][name].as_table_mut().unwrap();
        for (key, value) in keys {
            if value.as_str() == Some("unset") {
                table.remove(key);
            } else {
                table.insert(key.clone(), value.clone());
            }
        }
    }
    toml::to_string(&config).unwrap()
}
