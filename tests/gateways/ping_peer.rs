//! A server to ping: it speaks SMTP, IMAP or POP3 as it should, but for what a test has it do at one step or another.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    Smtp,
    Imap,
    Pop3,
}

impl Tongue {
    pub(crate) const ALL: [Self; 3] = [Self::Smtp, Self::Imap, Self::Pop3];

    /// How a ping is told of it.
    pub(crate) fn scheme(self, is_implicit: bool) -> &'static str {
        match (self, is_implicit) {
            (Self::Smtp, false) => "smtp",
            (Self::Smtp, true) => "smtps",
            (Self::Imap, false) => "imap",
            (Self::Imap, true) => "imaps",
            (Self::Pop3, false) => "pop3",
            (Self::Pop3, true) => "pop3s",
        }
    }
}

/// What it does at a step instead of what is usual.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Says these bytes; `{tag}` is the command's, where commands have one, and `{line}` what came last.
    Say(String),
    /// What is usual, later.
    Late(Duration),
    /// These bytes, so much time before each.
    Drip(&'static str, Duration),
    /// These bytes over and over again, so much time between.
    Flood(Vec<u8>, Duration),
    /// Nothing, however long.
    Silence,
    /// Hangs up.
    Close,
}

/// Says this line.
pub(crate) fn say(line: &str) -> Act {
    Act::Say(format!("{line}\r\n"))
}

/// How a server secures its sessions.
#[derive(Clone)]
enum Tls {
    None,
    Implicit(Arc<ServerConfig>),
    Starttls(Arc<ServerConfig>),
}

/// What a server is to be.
#[derive(Clone)]
pub(crate) struct Part {
    tongue: Tongue,
    tls: Tls,
    acts: BTreeMap<&'static str, Act>,
}

impl Part {
    pub(crate) fn of(tongue: Tongue) -> Self {
        let (tls, acts) = (Tls::None, BTreeMap::new());
        Self { tongue, tls, acts }
    }

    /// `step`: `handshake`, `banner`, or a command in small letters; behind TLS also with a `2` at its end.
    pub(crate) fn at(mut self, step: &'static str, act: Act) -> Self {
        self.acts.insert(step, act);
        self
    }

    pub(crate) fn implicit(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Tls::Implicit(config);
        self
    }

    pub(crate) fn starttls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Tls::Starttls(config);
        self
    }

    /// Plays it on a port of its own.
    pub(crate) fn play(self) -> Server {
        self.play_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    pub(crate) fn play_at(self, address: SocketAddr) -> Server {
        Server::start(self, address)
    }
}

/// A running server; it takes no more connections once dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    part: Part,
    /// The lines of each session.
    heard: Mutex<Vec<Vec<String>>>,
    over: AtomicBool,
}

impl Server {
    fn start(part: Part, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            part,
            heard: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let server = Self {
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
                thread::spawn(move || inner.session(&stream?));
            }
        });
        server
    }

    /// `ADDRESS:PORT`, as a ping is aimed at it.
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    /// The same behind a scheme.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The lines of every session so far.
    pub(crate) fn heard(&self) -> Vec<Vec<String>> {
        self.inner.heard.lock().unwrap().clone()
    }

    /// The first word of every line of every session, or the second where lines have tags.
    pub(crate) fn verbs(&self) -> Vec<String> {
        let at = usize::from(self.inner.part.tongue == Tongue::Imap);
        let lines = self.heard().concat();
        let verbs = lines.iter().filter_map(|line| line.split(' ').nth(at));
        verbs.map(str::to_ascii_uppercase).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Inner {
    fn session(&self, tcp: &TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let session = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(Vec::new());
            heard.len() - 1
        };
        let mut is_secured = matches!(self.part.tls, Tls::Implicit(_));
        let mut stream: Box<dyn Wire> = match &self.part.tls {
            Tls::Implicit(config) => self.handshake(config, tcp.try_clone()?)?,
            Tls::None | Tls::Starttls(_) => Box::new(tcp.try_clone()?),
        };
        let mut last = String::new();
        self.perform(&mut stream, "banner", is_secured, &last)?;
        let mut received = Vec::new();
        let mut piece = vec![0; 65536];
        let mut wants_response = false;
        loop {
            let Some(end) = received.iter().position(|&byte| byte == b'\n') else {
                let length = stream.read(&mut piece)?;
                if length == 0 {
                    return Ok(());
                }
                received.extend(&piece[..length]);
                continue;
            };
            let line: Vec<u8> = received.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            line.trim_end().clone_into(&mut last);
            self.heard.lock().unwrap()[session].push(last.clone());
            let step = if wants_response {
                "response"
            } else {
                self.step(&last)
            };
            let said = self.perform(&mut stream, step, is_secured, &last)?;
            wants_response = said.starts_with('+') && !said.starts_with("+OK");
            let goes_on =
                ["220", "+OK"].iter().any(|word| said.starts_with(word)) || said.contains(" OK");
            if let ("starttls", true, Tls::Starttls(config)) = (step, goes_on, &self.part.tls) {
                stream = self.handshake(config, tcp.try_clone()?)?;
                is_secured = true;
            }
            if matches!(step, "quit" | "logout") {
                return Ok(());
            }
        }
    }

    fn handshake(&self, config: &Arc<ServerConfig>, tcp: TcpStream) -> io::Result<Box<dyn Wire>> {
        match self.part.acts.get("handshake") {
            Some(Act::Late(time)) => sleep(*time),
            Some(Act::Silence) => sleep(PATIENCE),
            Some(Act::Close) => {
                tcp.shutdown(std::net::Shutdown::Both)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Act::Say(bytes)) => {
                // Before the client has begun, it would be an injection.
                tcp.peek(&mut [0])?;
                (&tcp).write_all(bytes.as_bytes())?;
            }
            Some(Act::Drip(..) | Act::Flood(..)) | None => {}
        }
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        // The client may go away over the certificate, which is not known here before the next read.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Box::new(stream))
    }

    fn step(&self, line: &str) -> &'static str {
        let at = usize::from(self.part.tongue == Tongue::Imap);
        let verb = line.split(' ').nth(at).unwrap_or_default();
        match verb.to_ascii_lowercase().as_str() {
            "ehlo" => "ehlo",
            "helo" => "helo",
            "starttls" | "stls" => "starttls",
            "auth" | "authenticate" => "auth",
            "mail" => "mail",
            "rcpt" => "rcpt",
            "rset" => "rset",
            "capability" | "capa" => "capability",
            "login" => "login",
            "user" => "user",
            "pass" => "pass",
            "logout" => "logout",
            "quit" => "quit",
            "data" => "data",
            _ => "other",
        }
    }

    /// Does what the step asks for; what was said.
    fn perform(
        &self,
        stream: &mut Box<dyn Wire>,
        step: &'static str,
        is_secured: bool,
        line: &str,
    ) -> io::Result<String> {
        let acts = &self.part.acts;
        let second = [step, "2"].concat();
        let act = acts
            .get(second.as_str())
            .filter(|_| is_secured)
            .or(acts.get(step));
        let tag = line.split(' ').next().unwrap_or_default();
        let written = |text: &str| text.replace("{tag}", tag).replace("{line}", line);
        let usual = || written(&self.usual(step, is_secured));
        let said = match act {
            None => usual(),
            Some(Act::Say(text)) => written(text),
            Some(Act::Late(time)) => {
                sleep(*time);
                usual()
            }
            Some(Act::Drip(text, time)) => {
                for byte in text.bytes() {
                    sleep(*time);
                    stream.write_all(&[byte])?;
                    stream.flush()?;
                }
                String::new()
            }
            Some(Act::Flood(bytes, time)) => loop {
                stream.write_all(bytes)?;
                stream.flush()?;
                sleep(*time);
            },
            Some(Act::Silence) => String::new(),
            Some(Act::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        stream.write_all(said.as_bytes())?;
        stream.flush()?;
        Ok(said)
    }

    /// What a well-behaved server says.
    fn usual(&self, step: &str, is_secured: bool) -> String {
        let offers = !is_secured && matches!(self.part.tls, Tls::Starttls(_));
        let said = match (self.part.tongue, step) {
            (Tongue::Smtp, "banner") => "220 mx.example ESMTP ready\r\n",
            (Tongue::Smtp, "ehlo") if offers => {
                "250-mx.example\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
            }
            (Tongue::Smtp, "ehlo") => "250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
            (Tongue::Smtp, "helo") => "250 mx.example\r\n",
            (Tongue::Smtp, "starttls") if offers => "220 2.0.0 go on\r\n",
            (Tongue::Smtp, "auth") => "235 2.7.0 welcome\r\n",
            (Tongue::Smtp, "mail") => "250 2.1.0 sender ok\r\n",
            (Tongue::Smtp, "rcpt") => "250 2.1.5 recipient ok\r\n",
            (Tongue::Smtp, "rset") => "250 2.0.0 forgotten\r\n",
            (Tongue::Smtp, "data") => "354 go on\r\n",
            (Tongue::Smtp, "quit") => "221 2.0.0 bye\r\n",
            (Tongue::Smtp, _) => "500 5.5.2 what\r\n",
            (Tongue::Imap, "banner") => "* OK IMAP4rev1 ready\r\n",
            (Tongue::Imap, "capability") if offers => {
                "* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK that is all\r\n"
            }
            (Tongue::Imap, "capability") => "* CAPABILITY IMAP4rev1\r\n{tag} OK that is all\r\n",
            (Tongue::Imap, "starttls") if offers => "{tag} OK go on\r\n",
            (Tongue::Imap, "login") => "{tag} OK welcome\r\n",
            (Tongue::Imap | Tongue::Pop3, "auth") => "+ \r\n",
            (Tongue::Imap, "response") => "r1 OK welcome\r\n",
            (Tongue::Imap, "logout") => "* BYE bye\r\n{tag} OK done\r\n",
            (Tongue::Imap, _) => "{tag} BAD what\r\n",
            (Tongue::Pop3, "banner") => "+OK POP3 ready\r\n",
            (Tongue::Pop3, "capability") if offers => "+OK\r\nSTLS\r\nUSER\r\n.\r\n",
            (Tongue::Pop3, "capability") => "+OK\r\nUSER\r\nUIDL\r\n.\r\n",
            (Tongue::Pop3, "starttls") if offers => "+OK go on\r\n",
            (Tongue::Pop3, "user" | "pass" | "response") => "+OK welcome\r\n",
            (Tongue::Pop3, "quit") => "+OK bye\r\n",
            (Tongue::Pop3, _) => "-ERR what\r\n",
        };
        said.to_owned()
    }
}
