//! The lab behind the gateways, loopback addresses, a config and a run of the program.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use mailrobin::probe::record::{Document, Record};
use tempfile::TempDir;

use crate::dns::NameServer;
use crate::lab::Stand;
use crate::peer::{Peer, Script};

/// No run may take longer.
const AT_MOST: Duration = Duration::from_secs(40);

/// A mailbox, and a network in which nobody else is.
pub(crate) struct Stage {
    pub(crate) lab: Stand,
    pub(crate) dir: TempDir,
    net: (u8, u8),
    port: u16,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) probes: Vec<Record>,
    pub(crate) took: Duration,
}

impl Ran {
    /// The only probe.
    #[track_caller]
    pub(crate) fn only(&self) -> &Record {
        assert_eq!(self.probes.len(), 1, "{self:#?}");
        &self.probes[0]
    }
}

impl Stage {
    pub(crate) fn set() -> Self {
        Self::with(&[])
    }

    /// With these faults of the lab.
    pub(crate) fn with(faults: &[&str]) -> Self {
        static NETS: AtomicU8 = AtomicU8::new(1);
        // Other processes may play the same tests.
        let process = u8::try_from(std::process::id() % 200).unwrap() + 20;
        let faults: Vec<_> = faults.iter().map(|&fault| fault.to_owned()).collect();
        let mut stage = Self {
            lab: Stand::start(&faults),
            dir: tempfile::tempdir().unwrap(),
            net: (process, NETS.fetch_add(1, Ordering::Relaxed)),
            port: 0,
        };
        // A port that is free at every address of this network.
        let free = TcpListener::bind((stage.ip(250), 0)).unwrap();
        stage.port = free.local_addr().unwrap().port();
        stage
    }

    /// The last part is the caller's; nothing listens there before it is told to.
    pub(crate) fn ip(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, self.net.0, self.net.1, last).into()
    }

    /// The same with the port that all gateways listen on.
    pub(crate) fn at(&self, last: u8) -> SocketAddr {
        (self.ip(last), self.port).into()
    }

    /// A gateway at that address.
    pub(crate) fn peer(&self, last: u8, script: Script) -> Peer {
        self.peer_at(self.ip(last), script)
    }

    pub(crate) fn peer_at(&self, ip: IpAddr, script: Script) -> Peer {
        Peer::start(ip, self.port, script, self.lab.smtp)
    }

    /// Runs `check` with these keys; the gateway's host or domain is among them.
    pub(crate) fn check(&self, gateway: &str, names: Option<&NameServer>) -> Ran {
        self.check_with(gateway, "", names, &[])
    }

    pub(crate) fn check_with(
        &self,
        gateway: &str,
        route: &str,
        names: Option<&NameServer>,
        args: &[&str],
    ) -> Ran {
        fs::write(
            self.dir.path().join("mailrobin.toml"),
            self.config(gateway, route, names),
        )
        .unwrap();
        let begun = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
            .current_dir(self.dir.path())
            .env_clear()
            .env("STATE_DIRECTORY", self.dir.path().join("state"))
            .args(["check", "--format", "json", "--linger", "0s"])
            .args(args)
            .timeout(AT_MOST)
            .output()
            .unwrap();
        let took = begun.elapsed();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(&output.stdout);
            panic!("{error} in {text:?}; {stderr}")
        });
        Ran {
            exit: output.status.code(),
            stderr,
            probes: document.probes,
            took,
        }
    }

    pub(crate) fn config(&self, gateway: &str, route: &str, names: Option<&NameServer>) -> String {
        let own = |keys: &str, key: &str, default: &str| {
            let is_said = keys
                .lines()
                .any(|line| line.starts_with(&format!("{key} =")));
            if is_said {
                String::new()
            } else {
                format!("{key} = {default:?}\n")
            }
        };
        let dns = names.map_or_else(String::new, |names| {
            format!("[dns]\nservers = [\"{}\"]\n", names.address)
        });
        format!(
            r#"{dns}
[gateways.edge]
port = {port}
ehlo = "client.example"
{tls}{timeout}{gateway}

[mailboxes.returns]
host = "127.0.0.1"
port = {imap}
tls = "none"
username = "probe"
password = "probe"
insecure_auth = true

[routes.inbound]
gateway = "edge"
mailbox = "returns"
bounce_mailbox = "returns"
from = "probe@lab.example"
to = "echo@echo.example"
{deadline}blind_grace = "1s"
{route}
"#,
            port = self.port,
            tls = own(gateway, "tls", "none"),
            timeout = own(gateway, "timeout", "5s"),
            deadline = own(route, "deadline", "15s"),
            imap = self.lab.imap.port(),
        )
    }
}
