//! What every test here stands on: a lab, wires to its servers, somebody to be told, a folder, and a config.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use mailrobin::lab::{Control, Lab, LabConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::history::History;
use crate::letterbox::Letterbox;
use crate::post::Post;
use crate::robin::{Environment, Robin, until};
use crate::wire::Wire;

/// A route by which a plain message comes back every second.
pub(crate) const ROUTE: &str = r#"
[routes.loop]
gateway = "lab"
mailbox = "imap"
bounce_mailbox = "imap"
from = "probe@lab.example"
to = "loop@echo.example"
every = "1s"
every_harmful = "1s"
deadline = "15s"
blind_grace = "20s"
alerts = ["post"]
fail_after = 1
tests = [{ payload = "plain" }]
"#;

/// The key of every config here; tests that mint tags of their own use it too.
pub(crate) const KEY: &str = "a key that is long enough to sign with";
/// The instance of every config here.
pub(crate) const INSTANCE: &str = "service-test";

/// A lab in a thread of its own. It ends when this is dropped.
pub(crate) struct Servers {
    pub(crate) smtp: SocketAddr,
    pub(crate) imap: SocketAddr,
    pub(crate) pop3: SocketAddr,
    pub(crate) control: Control,
    _end: oneshot::Sender<()>,
}

impl Servers {
    /// Starts it. What the lab says of each message goes to `log`, a line of JSON each.
    pub(crate) fn start(foreign: usize, log: &Path) -> Self {
        let (tell, told) = mpsc::channel();
        let log = fs::File::create(log).unwrap();
        thread::spawn(move || {
            let subscriber = tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_env_filter("lab=debug")
                .with_writer(Arc::new(log))
                .finish();
            let _logs = tracing::subscriber::set_default(subscriber);
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let config = LabConfig {
                    foreign,
                    ..LabConfig::default()
                };
                let lab = Lab::start(config).await.unwrap();
                let (end, ended) = oneshot::channel();
                let servers = Self {
                    smtp: lab.smtp_addr(),
                    imap: lab.imap_addr(),
                    pop3: lab.pop3_addr(),
                    control: lab.control(),
                    _end: end,
                };
                tell.send(servers).ok();
                ended.await.ok();
                lab.stop().await;
            });
        });
        told.recv().unwrap()
    }
}

pub(crate) struct Bed {
    pub(crate) lab: Servers,
    pub(crate) smtp: Wire,
    pub(crate) imap: Wire,
    pub(crate) pop3: Wire,
    pub(crate) post: Post,
    pub(crate) history: History,
    /// What the program is given beside `PATH`.
    pub(crate) environment: Environment,
    foreign: Vec<Vec<u8>>,
    dir: TempDir,
}

/// How many messages of others lie in the mailbox from the start.
const FOREIGN: usize = 3;

impl Bed {
    /// A bed whose config has these routes.
    pub(crate) fn with(routes: &str) -> Self {
        Self::on(tempfile::tempdir().unwrap(), routes)
    }

    /// The same, in this folder.
    pub(crate) fn on(dir: TempDir, routes: &str) -> Self {
        let lab = Servers::start(FOREIGN, &dir.path().join("lab.log"));
        let foreign = Letterbox::open(lab.imap).messages("INBOX");
        assert_eq!(foreign.len(), FOREIGN);
        let bed = Self {
            smtp: Wire::to(lab.smtp),
            imap: Wire::to(lab.imap),
            pop3: Wire::to(lab.pop3),
            lab,
            post: Post::open(),
            history: History::at(dir.path().join("state/history.db")),
            environment: Environment::new(),
            foreign,
            dir,
        };
        bed.config(routes);
        bed
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the config: the servers behind the wires, and these routes.
    pub(crate) fn config(&self, routes: &str) {
        let mut text = format!(
            "[signing]\nkey = \"{KEY}\"\ninstance = \"{INSTANCE}\"\n\
             [service]\nunsafe_intervals = true\nlisten = \"none\"\n\
             [alerts.post]\nkind = \"webhook\"\nurl = \"{}\"\nmin_severity = \"warning\"\n\
             [gateways.lab]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nconnections = 20\n",
            self.post.url(),
            self.smtp.port()
        );
        for (name, wire) in [("imap", &self.imap), ("pop3", &self.pop3)] {
            writeln!(
                text,
                "[mailboxes.{name}]\njunk = \"none\"\nprotocol = \"{name}\"\nhost = \"127.0.0.1\"\nport = {}\n\
                 tls = \"none\"\ninsecure_auth = true\nusername = \"probe\"\npassword = \"probe\"\npoll = \"500ms\"",
                wire.port()
            )
            .unwrap();
        }
        text.push_str(routes);
        self.write(&text);
    }

    /// Writes a config as it is.
    pub(crate) fn write(&self, text: &str) {
        // As an editor does it: there is never half of one.
        fs::write(self.path("new"), text).unwrap();
        fs::set_permissions(self.path("new"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(self.path("new"), self.path("mailrobin.toml")).unwrap();
    }

    /// Changes the config.
    pub(crate) fn change(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("mailrobin.toml")).unwrap();
        assert!(text.contains(old), "the config has no {old:?}");
        self.write(&text.replace(old, new));
    }

    /// Waits for a first result of [`ROUTE`].
    pub(crate) fn until_tested(&self) {
        until("it is tested", || {
            !self.history.settled("loop", "plain").is_empty()
        });
    }

    pub(crate) fn start(&self) -> Robin {
        let config = self.path("mailrobin.toml");
        Robin::start(self.dir.path(), &config, &self.environment)
    }

    /// The same, without waiting until it is under way.
    pub(crate) fn launch(&self) -> Robin {
        let config = self.path("mailrobin.toml");
        Robin::launch(self.dir.path(), &config, &self.environment)
    }

    pub(crate) fn fault(&self, command: &str) {
        self.lab.control.command(command).unwrap();
    }

    /// Whether the lab has delivered all that it has taken.
    pub(crate) fn is_all_delivered(&self) -> bool {
        let status = self.lab.control.command("status").unwrap();
        let number = |name: &str| {
            let rest = status.split_once(name).unwrap().1;
            rest.split(',').next().unwrap().trim().to_owned()
        };
        number("accepted") == number("delivered")
    }

    pub(crate) fn letterbox(&self) -> Letterbox {
        Letterbox::open(self.lab.imap)
    }

    /// Messages in the mailbox that are none of the foreign ones.
    pub(crate) fn copies(&self) -> usize {
        let mut letterbox = self.letterbox();
        letterbox.count("INBOX") + letterbox.count("Junk") - self.foreign.len()
    }

    /// Starts it once more with every route paused, waits until nothing is open, and ends it.
    pub(crate) fn settle(&self) {
        let text = fs::read_to_string(self.path("mailrobin.toml")).unwrap();
        let routes = text.lines().filter_map(|line| {
            let name = line.strip_prefix("[routes.")?.strip_suffix(']')?;
            Some(name.to_owned())
        });
        self.history.pause(routes);
        let robin = self.start();
        self.at_rest();
        robin.stop();
    }

    /// Waits until everything is settled, told and cleaned up.
    pub(crate) fn at_rest(&self) {
        until("nothing in flight, nobody to be told", || {
            self.history.open() == Some((0, 0))
        });
        until("no copies in the mailbox", || self.copies() == 0);
    }

    /// Whatever happened: no probe is lost, none sent twice, none misjudged, the mailbox is as it was, and so is the mail
    /// of others. Gives the probes.
    pub(crate) fn nothing_amiss(&self) -> BTreeMap<Uuid, Value> {
        let records = self.history.probes();
        let mut probes = BTreeMap::new();
        for record in records {
            let id = record["id"].as_str().unwrap().parse().unwrap();
            assert!(!record["outcome"].is_null(), "no outcome: {record}");
            assert!(probes.insert(id, record).is_none(), "{id} is there twice");
        }
        for (id, times) in self.smtp.submitted() {
            assert!(probes.contains_key(&id), "{id} was sent and is not known");
            assert_eq!(times, 1, "{id} was sent more than once");
        }
        assert_eq!(self.history.problems(), Vec::<String>::new());
        assert_eq!(self.history.open(), Some((0, 0)));
        assert_eq!(self.letterbox().messages("Junk"), Vec::<Vec<u8>>::new());
        assert!(
            self.letterbox().messages("INBOX") == self.foreign,
            "the mail of others is not what it was"
        );
        probes
    }

    /// And each plain probe was delivered if its message was sent to the end; of the others nobody knows.
    pub(crate) fn as_sent(&self) -> BTreeMap<Uuid, Value> {
        let (probes, whole) = (self.nothing_amiss(), self.smtp.whole());
        for (id, record) in &probes {
            let expected = if whole.contains_key(id) {
                ("delivered", "pass", "ok")
            } else {
                ("unfinished", "unknown", "interrupted")
            };
            let found = ["outcome", "verdict", "code"].map(|key| record[key].as_str().unwrap());
            assert_eq!(found, <[&str; 3]>::from(expected), "{record}");
        }
        probes
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            if let Some(keep) = std::env::var_os("KEEP_LOG") {
                fs::write(keep, &log).unwrap();
            }
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(25);
            let text = lines[last..].join("\n");
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("what it said last:\n{text}\n").as_bytes(),
            );
        }
    }
}
