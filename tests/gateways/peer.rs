//! A gateway at an address of its own. It says what it is told to, and remembers what came in one piece.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a gateway secures its sessions.
#[derive(Clone, Default)]
pub(crate) enum Tls {
    #[default]
    None,
    Implicit(Arc<ServerConfig>),
    Starttls(Arc<ServerConfig>),
    /// Instead of a handshake, these bytes come, and the connection ends.
    Garbage,
    /// The same behind STARTTLS.
    StarttlsGarbage,
}

/// What a gateway does.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) tls: Tls,
    pub(crate) extensions: Vec<&'static str>,
    /// For each time a command is reached; the last holds for all further ones, none: what is usual.
    pub(crate) says: BTreeMap<&'static str, Vec<&'static str>>,
    /// A session ends behind its first message.
    pub(crate) is_one_shot: bool,
    /// What becomes of an accepted message on its way to the lab.
    pub(crate) rewrite: fn(&str) -> String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tls: Tls::None,
            extensions: Vec::new(),
            says: BTreeMap::new(),
            is_one_shot: false,
            rewrite: str::to_owned,
        }
    }
}

impl Script {
    pub(crate) fn saying(mut self, step: &'static str, replies: &[&'static str]) -> Self {
        self.says.insert(step, replies.to_vec());
        self
    }

    pub(crate) fn with(mut self, extension: &'static str) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(crate) fn one_shot(mut self) -> Self {
        self.is_one_shot = true;
        self
    }

    pub(crate) fn secured(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }
}

/// One session as the gateway saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// What came at once, piece by piece; messages are left out.
    pub(crate) pieces: Vec<String>,
    /// Every message with its envelope: sender, recipient, text.
    pub(crate) messages: Vec<(String, String, String)>,
}

impl Heard {
    /// All that came but messages.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.pieces.concat().lines().map(str::to_owned).collect()
    }
}

/// A running gateway; it takes no more connections once dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    script: Script,
    /// Where accepted messages go on to.
    onward: SocketAddr,
    reached: Mutex<BTreeMap<&'static str, usize>>,
    heard: Mutex<Vec<Heard>>,
    over: AtomicBool,
}

impl Peer {
    /// At this address; port 0: any.
    pub(crate) fn start(ip: IpAddr, port: u16, script: Script, onward: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
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
                thread::spawn(move || inner.session(stream?));
            }
        });
        peer
    }

    /// Every session so far, in the order of their beginning.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.inner.heard.lock().unwrap().clone()
    }

    /// How many messages came, over all sessions.
    pub(crate) fn messages(&self) -> usize {
        self.heard().iter().map(|heard| heard.messages.len()).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Inner {
    fn session(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let session = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(Heard::default());
            heard.len() - 1
        };
        let stream: Box<dyn Wire> = match &self.script.tls {
            Tls::Garbage => return garbage(&tcp),
            Tls::Implicit(config) => Box::new(secured(config, tcp)),
            _ => {
                if !self.plain_part(&tcp, session)? {
                    return Ok(());
                }
                match &self.script.tls {
                    Tls::Starttls(config) => Box::new(secured(config, tcp)),
                    Tls::StarttlsGarbage => return garbage(&tcp),
                    _ => Box::new(tcp),
                }
            }
        };
        let greets = matches!(self.script.tls, Tls::Implicit(_));
        self.converse(stream, session, greets)
    }

    /// Up to the reply to STARTTLS, or, where there is none of it, the greeting; whether it goes on.
    fn plain_part(&self, mut tcp: &TcpStream, session: usize) -> io::Result<bool> {
        let banner = self.reply("banner");
        tcp.write_all(banner.as_bytes())?;
        if !banner.starts_with("220") {
            // What is said to it does not matter any more.
            io::copy(&mut tcp, &mut io::sink())?;
            return Ok(false);
        }
        if !matches!(self.script.tls, Tls::Starttls(_) | Tls::StarttlsGarbage) {
            return Ok(true);
        }
        let mut piece = [0; 512];
        for reply in ["250-mx.example\r\n250 STARTTLS\r\n", "220 go on\r\n"] {
            let length = tcp.read(&mut piece)?;
            self.note(session, &piece[..length]);
            tcp.write_all(reply.as_bytes())?;
        }
        Ok(true)
    }

    fn converse(&self, mut stream: Box<dyn Wire>, session: usize, greets: bool) -> io::Result<()> {
        if greets {
            stream.write_all(self.reply("banner").as_bytes())?;
            stream.flush()?;
        }
        let mut received = Vec::new();
        let mut piece = vec![0; 65536];
        let (mut from, mut to) = (String::new(), String::new());
        let mut is_data = false;
        loop {
            let length = stream.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            if !is_data {
                self.note(session, &piece[..length]);
            }
            received.extend(&piece[..length]);
            loop {
                if is_data {
                    let Some(message) = taken_message(&mut received) else {
                        break;
                    };
                    is_data = false;
                    let reply = self.reply("message");
                    if message.is_empty() {
                        self.note(session, b".\r\n");
                    } else {
                        let letter = (from.clone(), to.clone(), message.clone());
                        self.heard.lock().unwrap()[session].messages.push(letter);
                    }
                    if reply.starts_with("250") && !message.is_empty() {
                        hand_on(self.onward, &from, &to, &(self.script.rewrite)(&message));
                    }
                    stream.write_all(reply.as_bytes())?;
                    stream.flush()?;
                    if self.script.is_one_shot {
                        return Ok(());
                    }
                    continue;
                }
                let Some(end) = received.iter().position(|&byte| byte == b'\n') else {
                    break;
                };
                let line: Vec<u8> = received.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                let verb = line.split([' ', ':', '\r']).next().unwrap_or_default();
                let step = match verb.to_ascii_lowercase().as_str() {
                    "ehlo" => "ehlo",
                    "mail" => "mail",
                    "rcpt" => "rcpt",
                    "data" => "data",
                    "rset" => "rset",
                    "quit" => "quit",
                    _ => "other",
                };
                match step {
                    "mail" => from = path(&line),
                    "rcpt" => to = path(&line),
                    _ => {}
                }
                let reply = self.reply(step);
                stream.write_all(reply.as_bytes())?;
                stream.flush()?;
                is_data = reply.starts_with("354");
                if step == "quit" {
                    return Ok(());
                }
            }
        }
    }

    fn note(&self, session: usize, piece: &[u8]) {
        let piece = String::from_utf8_lossy(piece).into_owned();
        self.heard.lock().unwrap()[session].pieces.push(piece);
    }

    /// The reply for this time that the step is reached.
    fn reply(&self, step: &'static str) -> String {
        let mut reached = self.reached.lock().unwrap();
        let times = reached.entry(step).or_default();
        let written = self.script.says.get(step);
        let reply = written.and_then(|replies| replies.get(*times).or(replies.last()));
        *times += 1;
        let reply = match reply {
            Some(reply) => (*reply).to_owned(),
            None if step == "ehlo" => {
                let extensions = self.script.extensions.iter();
                let lines = extensions.map(|extension| format!("250-{extension}\r\n"));
                format!(
                    "250-mx.example\r\n{}250 8BITMIME",
                    lines.collect::<String>()
                )
            }
            None => usual(step).to_owned(),
        };
        format!("{reply}\r\n")
    }
}

/// What a well-behaved server says.
fn usual(step: &str) -> &'static str {
    match step {
        "banner" => "220 mx.example ESMTP",
        "mail" => "250 2.1.0 sender ok",
        "rcpt" => "250 2.1.5 recipient ok",
        "data" => "354 go on",
        "message" => "250 2.0.0 queued as 1",
        "rset" => "250 2.0.0 forgotten",
        "quit" => "221 2.0.0 bye",
        _ => "500 5.5.2 what",
    }
}

fn secured(config: &Arc<ServerConfig>, tcp: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), tcp)
}

/// Something that is no handshake, and the end.
fn garbage(mut tcp: &TcpStream) -> io::Result<()> {
    let mut hello = [0; 64];
    let _ = tcp.read(&mut hello)?;
    tcp.write_all(b"500 what is this\r\n")
}

/// A whole message from what was received, its dots unstuffed.
fn taken_message(received: &mut Vec<u8>) -> Option<String> {
    let end = if received.starts_with(b".\r\n") {
        0
    } else {
        2 + received.windows(5).position(|five| five == b"\r\n.\r\n")?
    };
    let message: Vec<u8> = received.drain(..end + 3).take(end).collect();
    let text = String::from_utf8_lossy(&message);
    let lines = text.split_inclusive('\n');
    Some(
        lines
            .map(|line| line.strip_prefix('.').unwrap_or(line))
            .collect(),
    )
}

/// What stands in angle brackets.
fn path(line: &str) -> String {
    let inside = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(path, _)| path.to_owned())
}

/// Gives a message to the lab.
fn hand_on(onward: SocketAddr, from: &str, to: &str, message: &str) {
    let mut stream = TcpStream::connect(onward).unwrap();
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
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        expect(code);
    }
    let stuffed = message.replace("\r\n.", "\r\n..");
    stream.write_all(stuffed.as_bytes()).unwrap();
    stream.write_all(b".\r\n").unwrap();
    expect("250");
}
