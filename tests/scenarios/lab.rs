//! The crate's own lab, in a thread and a runtime of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use mailrobin::lab::{Control, Lab, LabConfig};
use tokio::sync::oneshot;

/// A running lab; it ends when dropped.
pub(crate) struct Stand {
    pub(crate) smtp: SocketAddr,
    pub(crate) imap: SocketAddr,
    pub(crate) pop3: SocketAddr,
    pub(crate) ca: String,
    pub(crate) control: Control,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stand {
    pub(crate) fn start(faults: &[String]) -> Self {
        let faults = faults
            .iter()
            .map(|fault| {
                fault
                    .parse()
                    .unwrap_or_else(|error| panic!("{fault}: {error}"))
            })
            .collect();
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let config = LabConfig {
                    faults,
                    ..LabConfig::default()
                };
                let lab = Lab::start(config).await.unwrap();
                let addresses = (lab.smtp_addr(), lab.imap_addr(), lab.pop3_addr());
                tell.send((addresses, lab.ca_pem().to_owned(), lab.control()))
                    .unwrap();
                // Dropped or told: either way it is over.
                let _ = stopped.await;
                lab.stop().await;
            });
        });
        let ((smtp, imap, pop3), ca, control) = told.recv().unwrap();
        Self {
            smtp,
            imap,
            pop3,
            ca,
            control,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What it says to `list` and `status`.
    pub(crate) fn says(&self) -> String {
        let say = |line| self.control.command(line).unwrap();
        format!("{}\n{}", say("list"), say("status"))
    }

    /// How many messages lie in a folder.
    pub(crate) fn messages(&self, folder: &str) -> usize {
        let status = self.control.command("status").unwrap();
        let prefix = format!("{folder}: ");
        let line = status.lines().find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|line| line.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no folder {folder} in {status}"))
    }

    /// The flags of every message in INBOX, as IMAP shows them.
    pub(crate) fn flags(&self) -> Vec<String> {
        self.control.command("clear").unwrap();
        let mut stream = TcpStream::connect(self.imap).unwrap();
        stream
            .write_all(
                b"a LOGIN probe probe\r\nb EXAMINE INBOX\r\nc FETCH 1:* (FLAGS)\r\nd LOGOUT\r\n",
            )
            .unwrap();
        let lines = BufReader::new(stream).lines().map(Result::unwrap);
        lines
            .filter_map(|line| {
                let (_, flags) = line.split_once("FETCH (FLAGS (")?;
                Some(flags.split(')').next()?.to_owned())
            })
            .collect()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
