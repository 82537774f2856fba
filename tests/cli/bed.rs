//! What every test here stands on: the program in an environment of its own, a folder to run it in, files of expected
//! text, and peers that say what a script tells them.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use assert_cmd::Command;
use tempfile::TempDir;

/// The crate's own folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder to run the program in; it is gone at the end of the test.
pub(crate) struct Bed {
    dir: TempDir,
}

impl Bed {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// One with this `mailrobin.toml` in it.
    pub(crate) fn with(config: &str) -> Self {
        let bed = Self::new();
        bed.write("mailrobin.toml", config);
        bed
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        // What holds secrets is for its owner alone.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program in this folder, with nothing of the tester's environment; its state is kept in `state`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mailrobin(self.path());
        command.env("STATE_DIRECTORY", self.path().join("state"));
        command.args(arguments);
        command
    }
}

/// The variables that configs here keep secrets in.
const SECRETS: [&str; 6] = [
    "ALERT_URL",
    "API_TOKEN",
    "HEARTBEAT_URL",
    "IMAP_PASSWORD",
    "P",
    "T",
];

/// The program in `folder`, with an environment of its own and no state directory.
pub(crate) fn mailrobin(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailrobin"));
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("COLUMNS", "100")
        .envs(SECRETS.map(|name| (name, "hunter2")))
        .timeout(std::time::Duration::from_mins(1));
    command
}

/// The exit code; a signal is none.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Standard output.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error.
pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Compares with the text kept in `path`; with `UPDATE_EXPECT=1` keeps the new one instead. What is wrong, if anything.
pub(crate) fn expect_file(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, actual).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let mut said = String::new();
    writeln!(
        said,
        "{} holds\n{expected}\nbut it is\n{actual}\nUPDATE_EXPECT=1 keeps that",
        path.display()
    )
    .unwrap();
    Err(said)
}

/// A config of one route through a gateway and a mailbox on this machine; `gateway` and `mailbox` are more keys of theirs.
pub(crate) fn config(ports: (u16, u16), gateway: &str, mailbox: &str) -> String {
    let (smtp, imap) = ports;
    format!(
        r#"
[gateways.edge]
host = "127.0.0.1"
port = {smtp}
tls = "none"
{gateway}

[mailboxes.returns]
host = "127.0.0.1"
port = {imap}
tls = "none"
insecure_auth = true
username = "probe@monitor.example"
{mailbox}

[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
deadline = "1s"
blind_grace = "1s"
"#
    )
}

/// A port on which nobody listens.
pub(crate) fn refused() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// What a scripted peer does with one line: says something, and perhaps hangs up.
pub(crate) enum Say {
    Reply(String),
    Last(String),
}

/// A peer on this machine that greets, answers every line as its script says, and remembers what it was told.
pub(crate) struct Peer {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(crate) fn start(greeting: &'static str, script: fn(&str) -> Say) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let told = Arc::clone(&told);
                // A session that breaks off is the client's business.
                thread::spawn(move || {
                    let _ = converse(&stream.unwrap(), greeting, script, &told);
                });
            }
        });
        Self { port, heard }
    }

    /// A gateway that takes any login and then no recipient, and hangs up: each probe needs a session of its own.
    pub(crate) fn gateway() -> Self {
        Self::start("220 gateway.example ESMTP\r\n", |line| {
            let verb = line.split(' ').next().unwrap_or_default();
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => Say::Reply("250-gateway.example\r\n250 AUTH PLAIN LOGIN\r\n".into()),
                "AUTH" => Say::Reply("235 2.7.0 welcome\r\n".into()),
                "RCPT" => Say::Last("550 5.1.1 nobody of that name\r\n".into()),
                "QUIT" => Say::Last("221 2.0.0 bye\r\n".into()),
                _ => Say::Reply("250 2.0.0 fine\r\n".into()),
            }
        })
    }

    /// A mailbox that lets nobody in.
    pub(crate) fn mailbox() -> Self {
        Self::start("* OK [CAPABILITY IMAP4rev1] ready\r\n", |line| {
            let mut words = line.split(' ');
            let tag = words.next().unwrap_or_default();
            match words
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase()
                .as_str()
            {
                "CAPABILITY" => Say::Reply(format!(
                    "* CAPABILITY IMAP4rev1\r\n{tag} OK that is all\r\n"
                )),
                "LOGIN" => Say::Last(format!("{tag} NO [AUTHENTICATIONFAILED] who is that\r\n")),
                _ => Say::Reply(format!("{tag} BAD what\r\n")),
            }
        })
    }

    /// Every line it was told, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn converse(
    mut stream: &TcpStream,
    greeting: &str,
    script: fn(&str) -> Say,
    told: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.write_all(greeting.as_bytes())?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let say = script(&line);
        told.lock().unwrap().push(line);
        match say {
            Say::Reply(text) => stream.write_all(text.as_bytes())?,
            Say::Last(text) => return stream.write_all(text.as_bytes()),
        }
    }
    Ok(())
}
