//! A scripted SMTP server: it says what its script tells it, however wrong, and remembers what it heard.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::letter;
use crate::scenario::{Deliver, Script};

/// Of an endless reply, so much is sent.
const ENDLESS: usize = 1 << 20;
/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The owner of the lab's mailbox.
const MAILBOX: &str = "probe@lab.example";

/// What a well-behaved server says at a step; `None`: there is no such step.
pub(crate) fn usual(step: &str) -> Option<&'static str> {
    Some(match step {
        "banner" => "220 mx.example ESMTP",
        "ehlo" => "250-mx.example\r\n250 8BITMIME",
        "helo" => "250 mx.example",
        "starttls" => "502 5.5.1 not here",
        // Instead of TLS, once the client has begun it.
        "handshake" => "",
        "auth" | "response" => "235 2.7.0 welcome",
        "mail" => "250 2.1.0 sender ok",
        "rcpt" => "250 2.1.5 recipient ok",
        "data" => "354 go on",
        "message" => "250 2.0.0 queued as 1",
        "rset" => "250 2.0.0 forgotten",
        "quit" => "221 2.0.0 bye",
        _ => return None,
    })
}

/// One session as the server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Every line but those of messages; a message's end is `.`.
    pub(crate) lines: Vec<String>,
    /// Every message, its dots unstuffed.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The same as they came over the wire, without the final dot.
    pub(crate) wire: Vec<Vec<u8>>,
}

impl Heard {
    /// The commands without their arguments: `EHLO MAIL RCPT DATA . QUIT`.
    pub(crate) fn verbs(&self) -> String {
        let verb = |line: &String| line.split([' ', ':']).next().unwrap_or_default().to_owned();
        let verbs: Vec<_> = self.lines.iter().take(200).map(verb).collect();
        verbs.join(" ")
    }
}

/// A running peer; it takes no more connections once dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    script: Script,
    /// Where accepted messages go on to.
    onward: SocketAddr,
    reached: Mutex<BTreeMap<String, usize>>,
    heard: Mutex<Vec<Heard>>,
    over: AtomicBool,
}

impl Peer {
    pub(crate) fn start(script: Script, onward: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            script,
            onward,
            reached: Mutex::default(),
            heard: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let peer = Self {
            address,
            inner: Arc::clone(&inner),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if inner.over.load(Ordering::Relaxed) {
                    return;
                }
                let inner = Arc::clone(&inner);
                // How a session ends is the client's business.
                thread::spawn(move || inner.converse(&stream?));
            }
        });
        peer
    }

    /// Every session so far, in the order of their beginning.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.inner.heard.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let session = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(Heard::default());
            heard.len() - 1
        };
        let note = |line: &str| {
            self.heard.lock().unwrap()[session]
                .lines
                .push(line.to_owned());
        };
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut from, mut to) = (String::new(), String::new());
        let mut challenged = false;
        self.say(stream, &self.reply("banner"), "banner")?;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            note(line);
            let verb = line.split([' ', ':']).next().unwrap_or_default();
            let step = match verb.to_ascii_lowercase().as_str() {
                _ if challenged => "response",
                "ehlo" => "ehlo",
                "helo" => "helo",
                "starttls" => "starttls",
                "auth" => "auth",
                "mail" => "mail",
                "rcpt" => "rcpt",
                "data" => "data",
                "rset" => "rset",
                "quit" => "quit",
                _ => {
                    self.say(stream, "500 5.5.2 what", "")?;
                    continue;
                }
            };
            match step {
                "mail" => from = path(line),
                "rcpt" => to = path(line),
                _ => {}
            }
            let reply = self.reply(step);
            self.say(stream, &reply, step)?;
            challenged = reply.starts_with("334");
            if step == "starttls" && self.script.steps.contains_key("handshake") {
                reader.fill_buf()?;
                return self.say(stream, &self.reply("handshake"), "handshake");
            }
            if step == "quit" {
                return Ok(());
            }
            if reply.starts_with("354") {
                let wire = content(&mut reader)?;
                note(".");
                {
                    let heard = &mut self.heard.lock().unwrap()[session];
                    heard.messages.push(unstuffed(&wire));
                    heard.wire.push(wire.clone());
                }
                let reply = self.reply("message");
                let code = reply.trim_start_matches("close-after:");
                let taken = !code.starts_with(['4', '5']) || self.script.deliver == Deliver::Always;
                let message = unstuffed(&wire);
                for letter in self.script.letters.iter().filter(|_| taken) {
                    let letter = letter::written(letter, &message);
                    self.hand_on("someone@elsewhere.example", MAILBOX, letter.as_bytes());
                }
                if self.script.deliver == Deliver::BeforeReply {
                    self.hand_on(&from, &to, &wire);
                }
                let said = self.say(stream, &reply, "message");
                if taken && matches!(self.script.deliver, Deliver::Accepted | Deliver::Always) {
                    self.hand_on(&from, &to, &wire);
                }
                said?;
            }
        }
    }

    /// The reply for this time that the step is reached.
    fn reply(&self, step: &str) -> String {
        let mut reached = self.reached.lock().unwrap();
        let times = reached.entry(step.to_owned()).or_default();
        let written = self
            .script
            .steps
            .get(step)
            .map(crate::scenario::Several::all);
        let reply = written.and_then(|replies| replies.get(*times).or(replies.last()));
        *times += 1;
        reply.map_or_else(|| usual(step).unwrap_or_default().to_owned(), Clone::clone)
    }

    /// Says it as the script wants; an error ends the session.
    fn say(&self, mut stream: &TcpStream, reply: &str, step: &str) -> io::Result<()> {
        let over = || Err(io::ErrorKind::ConnectionAborted.into());
        if let Some(delay) = self.script.delay.get(step) {
            thread::sleep(delay.0);
        }
        match reply.split_once(':') {
            None if reply == "close" => return over(),
            None if reply == "silent" => {
                io::copy(&mut stream, &mut io::sink())?;
                return over();
            }
            Some(("close-after", text)) => {
                stream.write_all(ended(text).as_bytes())?;
                return over();
            }
            Some(("raw", text)) => {
                stream.write_all(text.as_bytes())?;
                io::copy(&mut stream, &mut io::sink())?;
                return over();
            }
            Some(("endless", text)) => {
                for _ in 0..ENDLESS / text.len() {
                    stream.write_all(text.as_bytes())?;
                }
                return over();
            }
            _ => {}
        }
        let text = ended(reply);
        let Some(pause) = self.script.drip.get(step) else {
            return stream.write_all(text.as_bytes());
        };
        for byte in text.as_bytes() {
            stream.write_all(&[*byte])?;
            thread::sleep(pause.0);
        }
        Ok(())
    }

    /// Gives a message, still stuffed, to the lab.
    fn hand_on(&self, from: &str, to: &str, wire: &[u8]) {
        let mut stream = TcpStream::connect(self.onward).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut expect = |code: &str| {
            let last = replies
                .find(|line| line.as_ref().is_ok_and(|line| line.get(3..4) != Some("-")))
                .unwrap()
                .unwrap();
            assert!(last.starts_with(code), "the lab said {last}");
        };
        expect("220");
        for (command, code) in [
            ("EHLO mx.example".to_owned(), "250"),
            (format!("MAIL FROM:<{from}>"), "250"),
            (format!("RCPT TO:<{to}>"), "250"),
            ("DATA".to_owned(), "354"),
        ] {
            stream.write_all(ended(&command).as_bytes()).unwrap();
            expect(code);
        }
        stream.write_all(wire).unwrap();
        stream.write_all(b".\r\n").unwrap();
        expect("250");
    }
}

/// The text with its line ended.
fn ended(text: &str) -> String {
    let end = if text.ends_with('\n') { "" } else { "\r\n" };
    format!("{text}{end}")
}

/// What stands in angle brackets.
fn path(line: &str) -> String {
    let inside = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(path, _)| path.to_owned())
}

/// A message up to its final dot, as it came.
fn content(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut wire = Vec::new();
    loop {
        let begin = wire.len();
        if reader.read_until(b'\n', &mut wire)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if &wire[begin..] == b".\r\n" {
            wire.truncate(begin);
            return Ok(wire);
        }
    }
}

fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let lines = wire.split_inclusive(|&byte| byte == b'\n');
    lines
        .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
        .copied()
        .collect()
}
