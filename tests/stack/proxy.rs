//! A TCP proxy in front of a server: it writes down what both sides say, and answers chosen commands itself.
//!
//! For connections without TLS only, as it passes the client's words on line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What is said instead of the server's answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `NO`
    No,
    /// `NO`, in these words
    Refused(&'static str),
    /// `OK`, after this line
    Says(&'static str),
    /// `BAD`
    Bad,
    /// `OK`, without what was asked for
    Empty,
    /// `* NO`, and then `OK`, without what was asked for: what Dovecot says of a folder that is broken
    Warning,
    /// The connection is closed.
    Close,
    /// Nothing at all.
    Silence,
}

/// Whether a command, without its tag, is answered by the proxy.
type Rule = dyn Fn(&str) -> Option<Answer> + Send + Sync;

/// Both sides of one connection.
#[derive(Default)]
struct Heard {
    client: Vec<u8>,
    server: Vec<u8>,
    /// Whether the proxy has answered a command itself.
    answered: bool,
}

#[derive(Default)]
struct Log {
    heard: Mutex<Vec<Heard>>,
    more: Condvar,
}

impl Log {
    fn begin(&self) -> usize {
        let mut heard = self.heard.lock().unwrap();
        heard.push(Heard::default());
        heard.len() - 1
    }

    fn add(&self, connection: usize, side: fn(&mut Heard) -> &mut Vec<u8>, bytes: &[u8]) {
        side(&mut self.heard.lock().unwrap()[connection]).extend_from_slice(bytes);
        self.more.notify_all();
    }

    fn answered(&self, connection: usize) {
        self.heard.lock().unwrap()[connection].answered = true;
        self.more.notify_all();
    }

    /// Waits until this is so on any connection.
    fn wait_until(&self, what: &str, is_so: impl Fn(&Heard) -> bool) {
        let heard = self.heard.lock().unwrap();
        let (_heard, waited) = self
            .more
            .wait_timeout_while(heard, Duration::from_secs(30), |heard| {
                !heard.iter().any(&is_so)
            })
            .unwrap();
        assert!(!waited.timed_out(), "never: {what}");
    }
}

/// A proxy that lives as long as the process.
pub(crate) struct Proxy {
    port: u16,
    log: Arc<Log>,
}

impl Proxy {
    /// Only writes down.
    pub(crate) fn recording(server: u16) -> Self {
        Self::with(server, |_| None)
    }

    /// Answers what `rule` says itself.
    pub(crate) fn with(
        server: u16,
        rule: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Log::default());
        let rule: Arc<Rule> = Arc::new(rule);
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is down closes the connection without a word.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    pass_on(client, server, &log, &rule);
                }
            }
        });
        Self { port, log: kept }
    }

    /// Before a gateway: a recipient is passed on only after `other` has answered a command itself, so that no message comes
    /// before.
    pub(crate) fn after_an_answer_of(other: &Self, gateway: u16) -> Self {
        let log = Arc::clone(&other.log);
        Self::with(gateway, move |command| {
            // Of RCPT TO:<...>
            if command.starts_with("TO:<") {
                log.wait_until("the other proxy answers", |heard| heard.answered);
            }
            None
        })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every line that clients sent.
    pub(crate) fn commands(&self) -> Vec<String> {
        let heard = self.log.heard.lock().unwrap();
        heard
            .iter()
            .flat_map(|heard| lines(&heard.client))
            .collect()
    }

    /// How many bytes the server sent.
    pub(crate) fn server_bytes(&self) -> usize {
        let heard = self.log.heard.lock().unwrap();
        heard.iter().map(|heard| heard.server.len()).sum()
    }

    /// Waits until the server has said something.
    pub(crate) fn wait_for(&self, words: &str) {
        let said = |heard: &Heard| lines(&heard.server).any(|line| line.contains(words));
        self.log
            .wait_until(&format!("the server says {words:?}"), said);
    }

    /// Waits until a message has been accepted; gives it.
    pub(crate) fn accepted_message(&self) -> Vec<u8> {
        self.wait_for("queued as");
        self.accepted_messages().remove(0)
    }

    /// The messages that SMTP clients sent so far, in the order of their sending where there is one client.
    pub(crate) fn accepted_messages(&self) -> Vec<Vec<u8>> {
        let heard = self.log.heard.lock().unwrap();
        let texts = heard
            .iter()
            .map(|heard| String::from_utf8_lossy(&heard.client));
        texts
            .flat_map(|text| {
                let messages = text.split("\r\nDATA\r\n").skip(1);
                messages
                    .filter_map(|rest| rest.split_once("\r\n.\r\n"))
                    .map(|(message, _)| format!("{message}\r\n").replace("\r\n..", "\r\n."))
                    .map(String::into_bytes)
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
        .filter(|line| !line.is_empty())
}

fn pass_on(client: TcpStream, server: TcpStream, log: &Arc<Log>, rule: &Arc<Rule>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let connection = log.begin();
    let (mut to_client, mut from_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let kept = Arc::clone(log);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            kept.add(connection, |heard| &mut heard.server, &buffer[..read]);
            if to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // Either side may have gone already.
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (log, rule) = (Arc::clone(log), Arc::clone(rule));
    thread::spawn(move || {
        client_side(client, &server, connection, &log, &*rule);
        let _ = server.shutdown(Shutdown::Both);
    });
}

fn client_side(client: TcpStream, mut server: &TcpStream, number: usize, log: &Log, rule: &Rule) {
    let mut answers = client.try_clone().unwrap();
    let mut client = BufReader::new(client);
    let mut line = Vec::new();
    while let Ok(1..) = client.read_until(b'\n', &mut line) {
        log.add(number, |heard| &mut heard.client, &line);
        let text = String::from_utf8_lossy(&line).into_owned();
        let (tag, command) = text.trim_end().split_once(' ').unwrap_or((text.trim(), ""));
        let answer = rule(command);
        if answer.is_some() {
            log.answered(number);
        }
        let passed = match answer {
            None => server.write_all(&line),
            Some(Answer::No) => write!(answers, "{tag} NO not today\r\n"),
            Some(Answer::Refused(words)) => write!(answers, "{tag} NO {words}\r\n"),
            Some(Answer::Says(line)) => write!(answers, "{line}\r\n{tag} OK done\r\n"),
            Some(Answer::Bad) => write!(answers, "{tag} BAD not understood\r\n"),
            Some(Answer::Empty) => write!(answers, "{tag} OK done\r\n"),
            Some(Answer::Warning) => {
                write!(answers, "* NO Internal error occurred\r\n{tag} OK done\r\n")
            }
            Some(Answer::Silence) => Ok(()),
            Some(Answer::Close) => {
                let _ = answers.shutdown(Shutdown::Both);
                return;
            }
        };
        if passed.is_err() {
            return;
        }
        line.clear();
    }
}
