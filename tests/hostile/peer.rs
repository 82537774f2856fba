//! One server in three roles: a gateway, and an IMAP and a POP3 mailbox that give out what the gateway took. It is honest
//! except where its script says otherwise.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_mins(2);
/// One byte a second.
const DRIP: Duration = Duration::from_secs(1);
/// What stands for TLS where it is none.
const GARBAGE: &[u8] =
    b"\x16\x03\x03\xff\xff\x00\x01\xde\xad\xbe\xef\x00\x00\x00 and more of that kind\r\n";

/// What is done at a step.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The honest answer.
    Honest,
    /// These bytes instead.
    Say(Vec<u8>),
    /// The honest answer, and these bytes behind it.
    Also(Vec<u8>),
    /// These bytes, and the honest answer behind them.
    First(Vec<u8>),
    /// `head`, so many times `again`, `tail`.
    Pour {
        head: Vec<u8>,
        again: Vec<u8>,
        times: usize,
        tail: Vec<u8>,
    },
    /// These bytes, and again to whatever the client says, for ever.
    Again(Vec<u8>),
    /// These bytes, and then nothing more.
    Hold(Vec<u8>),
    /// The honest answer, one byte a second.
    Drip,
    /// These bytes, one a second.
    Trickle(Vec<u8>),
    /// The honest answer, and nonsense once the client has begun its TLS handshake.
    Garbage,
    /// The connection is closed.
    Close,
    /// These bytes instead, but only the first two times; then the honest answer.
    Twice(Vec<u8>),
}

/// A line of so many bytes, made on the fly.
pub(crate) fn line(head: &str, bytes: usize) -> Act {
    pour(head, &"a".repeat(64 * 1024), bytes / (64 * 1024), "\r\n")
}

/// `head`, so many times `again`, `tail`.
pub(crate) fn pour(head: &str, again: &str, times: usize, tail: &str) -> Act {
    Act::Pour {
        head: head.into(),
        again: again.into(),
        times,
        tail: tail.into(),
    }
}

/// A script: what is done at a step, by the step's name; `{tag}` stands for the IMAP command's tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(pub(crate) Vec<(&'static str, Act)>);

impl Script {
    fn act(&self, step: &str) -> Act {
        let found = self.0.iter().find(|(of, _)| *of == step);
        found.map_or(Act::Honest, |(_, act)| act.clone())
    }
}

/// What the gateway makes of a message before the mailbox gives it out.
pub(crate) type Wrap = fn(&str) -> String;

/// What is in the mailbox once the gateway has taken a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contents {
    /// The copy as it lies there; `None`: it never comes.
    pub(crate) copy: Option<Wrap>,
    /// Another message beside it.
    pub(crate) beside: Option<fn() -> String>,
    /// So many strangers' messages, half of them before the copy.
    pub(crate) strangers: usize,
    /// The IMAP folder that all this is in, as it goes over the wire.
    pub(crate) folder: &'static str,
}

/// The gateway and the mailboxes of one case.
pub(crate) struct Peer {
    pub(crate) smtp: u16,
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    world: Arc<World>,
}

struct World {
    gateway: Script,
    mailbox: Script,
    contents: Contents,
    taken: Mutex<Vec<String>>,
    /// How often [`Act::Twice`] was done.
    twice: AtomicUsize,
    over: AtomicBool,
}

impl Peer {
    pub(crate) fn start(gateway: Script, mailbox: Script, contents: Contents) -> Self {
        let world = Arc::new(World {
            gateway,
            mailbox,
            contents,
            taken: Mutex::default(),
            twice: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        Self {
            smtp: listen(&world, World::smtp),
            imap: listen(&world, World::imap),
            pop3: listen(&world, World::pop3),
            world,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.world.over.store(true, Ordering::Relaxed);
        for port in [self.smtp, self.imap, self.pop3] {
            // Wakes the listener.
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

fn listen(world: &Arc<World>, role: fn(&World, &mut Line) -> io::Result<()>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = Arc::clone(world);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if world.over.load(Ordering::Relaxed) {
                return;
            }
            let world = Arc::clone(&world);
            // How a session ends is the client's business.
            thread::spawn(move || role(&world, &mut Line::new(stream)?));
        }
    });
    port
}

/// One connection.
struct Line {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

fn over<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

impl Line {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { reader, stream })
    }

    fn read(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return over();
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn drip(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.stream.write_all(&[*byte])?;
            thread::sleep(DRIP);
        }
        Ok(())
    }

    /// Does what the script says at this step. An error ends the session.
    fn act(&mut self, act: Act, honest: &[u8]) -> io::Result<()> {
        match act {
            Act::Honest => self.stream.write_all(honest),
            Act::Say(bytes) | Act::Twice(bytes) => self.stream.write_all(&bytes),
            Act::Also(bytes) => self.stream.write_all(&[honest, &bytes].concat()),
            Act::First(bytes) => self.stream.write_all(&[&bytes, honest].concat()),
            Act::Pour {
                head,
                again,
                times,
                tail,
            } => {
                let mut writer = BufWriter::with_capacity(64 * 1024, &self.stream);
                writer.write_all(&head)?;
                for _ in 0..times {
                    writer.write_all(&again)?;
                }
                writer.write_all(&tail)?;
                writer.flush()
            }
            Act::Again(bytes) => loop {
                self.stream.write_all(&bytes)?;
                self.read()?;
            },
            Act::Hold(bytes) => {
                self.stream.write_all(&bytes)?;
                io::copy(&mut self.reader, &mut io::sink())?;
                over()
            }
            Act::Drip => self.drip(honest),
            Act::Trickle(bytes) => self.drip(&bytes),
            Act::Garbage => {
                self.stream.write_all(honest)?;
                let _ = self.reader.read(&mut [0])?;
                self.stream.write_all(GARBAGE)?;
                io::copy(&mut self.reader, &mut io::sink())?;
                over()
            }
            Act::Close => {
                self.stream.shutdown(Shutdown::Both)?;
                over()
            }
        }
    }
}

/// What an IMAP client asks for, without its sets and names.
fn imap_step(command: &str) -> &'static str {
    let upper = command.to_ascii_uppercase();
    let steps = [
        ("UID FETCH", "FETCH"),
        ("FETCH", "ARRIVALS"),
        ("UID STORE", "STORE"),
        ("UID EXPUNGE", "EXPUNGE"),
        ("CAPABILITY", "CAPABILITY"),
        ("STARTTLS", "STARTTLS"),
        ("AUTHENTICATE", "AUTHENTICATE"),
        ("NAMESPACE", "NAMESPACE"),
        ("ID ", "ID"),
        ("STATUS", "STATUS"),
        ("LOGIN", "LOGIN"),
        ("LIST", "LIST"),
        ("SELECT", "SELECT"),
        ("NOOP", "NOOP"),
        ("IDLE", "IDLE"),
        ("LOGOUT", "LOGOUT"),
    ];
    let found = steps.iter().find(|(verb, _)| upper.starts_with(verb));
    match found {
        Some((_, "FETCH")) if upper.contains("BODY.PEEK[HEADER]") => "HEADERS",
        Some((_, "FETCH")) if upper.contains("BODY.PEEK[]") => "BODIES",
        Some((_, "FETCH")) => "LISTED",
        Some((_, "SELECT")) if !upper.ends_with("\"INBOX\"") => "SELECT OTHER",
        Some((_, "LIST")) if upper.contains(" RETURN ") => "LIST RETURN",
        Some((_, step)) => step,
        None => "?",
    }
}

impl World {
    /// What the mailbox does at this step. Where the script does not name the step, it is that of the first word.
    fn at(&self, step: &str) -> Act {
        let named = self.mailbox.0.iter().any(|(of, _)| *of == step);
        let first = step.split(' ').next().unwrap_or(step);
        match self.mailbox.act(if named { step } else { first }) {
            Act::Twice(_) if self.twice.fetch_add(1, Ordering::Relaxed) >= 2 => Act::Honest,
            act => act,
        }
    }

    /// Every message in the mailbox, in their order; the first has the number 1.
    fn count(&self) -> usize {
        if self.taken.lock().unwrap().is_empty() {
            return 0;
        }
        let Contents {
            copy,
            beside,
            strangers,
            folder: _,
        } = self.contents;
        strangers + usize::from(copy.is_some()) + usize::from(beside.is_some())
    }

    fn count_in(&self, folder: &str) -> usize {
        if folder == self.contents.folder {
            self.count()
        } else {
            0
        }
    }

    fn message(&self, number: usize) -> String {
        if self.is_stranger(number) {
            return stranger(number);
        }
        let Contents { copy, beside, .. } = self.contents;
        let first = self.contents.strangers / 2 + 1;
        match (copy, beside) {
            (_, Some(beside)) if number == first => beside(),
            (Some(wrap), _) => wrap(&self.taken.lock().unwrap()[0]),
            (None, _) => stranger(number),
        }
    }

    fn is_stranger(&self, number: usize) -> bool {
        let half = self.contents.strangers / 2;
        let specials = self.count() - self.contents.strangers;
        number <= half || number > half + specials
    }

    fn smtp(&self, line: &mut Line) -> io::Result<()> {
        line.act(self.gateway.act("connect"), b"")?;
        line.act(self.gateway.act("banner"), b"220 mx.example ESMTP\r\n")?;
        loop {
            let command = line.read()?;
            let verb = command.split([' ', ':']).next().unwrap_or_default();
            let step = verb.to_ascii_lowercase();
            let honest: &[u8] = match step.as_str() {
                "ehlo" => {
                    b"250-mx.example\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
                }
                "starttls" => b"220 2.0.0 go ahead\r\n",
                "auth" => b"235 2.7.0 welcome\r\n",
                "mail" => b"250 2.1.0 sender ok\r\n",
                "rcpt" => b"250 2.1.5 recipient ok\r\n",
                "data" => b"354 go on\r\n",
                "rset" => b"250 2.0.0 forgotten\r\n",
                "quit" => b"221 2.0.0 bye\r\n",
                _ => b"500 5.5.2 what\r\n",
            };
            line.act(self.gateway.act(&step), honest)?;
            match step.as_str() {
                "quit" => return Ok(()),
                "data" => {
                    let mut message = String::new();
                    loop {
                        let text = line.read()?;
                        if text == "." {
                            break;
                        }
                        message += text.strip_prefix('.').unwrap_or(&text);
                        message += "\r\n";
                    }
                    self.taken.lock().unwrap().push(message);
                    line.act(self.gateway.act("message"), b"250 2.0.0 queued as 1\r\n")?;
                }
                _ => {}
            }
        }
    }

    fn imap(&self, line: &mut Line) -> io::Result<()> {
        line.act(self.mailbox.act("connect"), b"")?;
        line.act(self.mailbox.act("greeting"), b"* OK ready\r\n")?;
        let mut told = 0;
        let mut folder = String::new();
        let mut is_identified = false;
        loop {
            let command = line.read()?;
            let Some((tag, command)) = command.split_once(' ') else {
                continue;
            };
            let step = imap_step(command);
            is_identified |= step == "ID";
            let mut act = with_tag(self.at(step), tag);
            if step.starts_with("SELECT") && !is_identified {
                let strict = self.mailbox.act("SELECT UNIDENTIFIED");
                if !matches!(strict, Act::Honest) {
                    act = with_tag(strict, tag);
                }
            }
            let named = || command.split('"').nth(1).unwrap_or_default().to_owned();
            if step.starts_with("SELECT") {
                folder = named();
            }
            let count = self.count_in(&folder);
            if let (Act::First(bytes), "HEADERS") = (&act, step) {
                line.act(Act::Say(bytes.clone()), b"")?;
                act = Act::Honest;
            }
            if let (Act::Honest, "HEADERS") = (&act, step) {
                self.give_headers(line, tag, set(command, count))?;
                continue;
            }
            let mut honest = String::new();
            match step {
                "CAPABILITY" => honest += "* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\n",
                "LIST" | "LIST RETURN" => honest += "* LIST () \"/\" INBOX\r\n",
                "SELECT" | "SELECT OTHER" => {
                    told = count;
                    let next = count + 1;
                    write!(
                        honest,
                        "* {count} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT {next}] x\r\n"
                    )
                    .unwrap();
                }
                "NOOP" if told != count => {
                    told = count;
                    write!(honest, "* {count} EXISTS\r\n").unwrap();
                }
                "BODIES" => {
                    for number in set(command, count) {
                        let message = self.message(number);
                        let kept = &message[..message.len().min(256 * 1024)];
                        let length = kept.len();
                        write!(
                            honest,
                            "* {number} FETCH (UID {number} BODY[]<0> {{{length}}}\r\n{kept})\r\n"
                        )
                        .unwrap();
                    }
                }
                "STATUS" => {
                    let name = named();
                    let (count, next) = (self.count_in(&name), self.count_in(&name) + 1);
                    write!(
                        honest,
                        "* STATUS \"{name}\" (MESSAGES {count} UIDNEXT {next} UIDVALIDITY 7)\r\n"
                    )
                    .unwrap();
                }
                "AUTHENTICATE" => {
                    line.act(act, b"+ \r\n")?;
                    line.read()?;
                    if command.ends_with(" LOGIN") {
                        line.act(Act::Honest, b"+ UGFzc3dvcmQ6\r\n")?;
                        line.read()?;
                    }
                    line.act(Act::Honest, format!("{tag} OK welcome\r\n").as_bytes())?;
                    continue;
                }
                "IDLE" => {
                    self.idle(line, act, tag)?;
                    continue;
                }
                "LOGOUT" => honest += "* BYE bye\r\n",
                _ => {}
            }
            write!(honest, "{tag} OK {step} done\r\n").unwrap();
            line.act(act, honest.as_bytes())?;
            if step == "LOGOUT" {
                return Ok(());
            }
        }
    }

    fn idle(&self, line: &mut Line, act: Act, tag: &str) -> io::Result<()> {
        line.act(act, b"+ idling\r\n")?;
        // Nothing is announced; the client ends the command in its own time.
        while !line.read()?.eq_ignore_ascii_case("DONE") {}
        let done = with_tag(self.mailbox.act("DONE"), tag);
        line.act(done, format!("{tag} OK done\r\n").as_bytes())
    }

    /// However many headers, written as they are made.
    fn give_headers(&self, line: &mut Line, tag: &str, numbers: Vec<usize>) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(64 * 1024, &line.stream);
        for number in numbers {
            let message = self.message(number);
            let size = message.len();
            let header = message.find("\r\n\r\n").map_or(size, |end| end + 4);
            let kept = &message[..header.min(64 * 1024)];
            let length = kept.len();
            write!(
                writer,
                "* {number} FETCH (UID {number} INTERNALDATE \"02-Jan-2099 03:04:05 +0000\" \
                 RFC822.SIZE {size} BODY[HEADER]<0> {{{length}}}\r\n{kept})\r\n"
            )?;
        }
        write!(writer, "{tag} OK HEADERS done\r\n")?;
        writer.flush()
    }

    fn pop3(&self, line: &mut Line) -> io::Result<()> {
        line.act(self.mailbox.act("connect"), b"")?;
        line.act(self.mailbox.act("greeting"), b"+OK ready\r\n")?;
        let count = self.count();
        loop {
            let command = line.read()?;
            let mut words = command.split(' ');
            let step = words.next().unwrap_or_default().to_ascii_uppercase();
            let number = words.next().and_then(|number| number.parse().ok());
            if step == "AUTH" {
                line.act(self.at("AUTH"), b"+ \r\n")?;
                line.read()?;
                if command.ends_with(" LOGIN") {
                    line.act(Act::Honest, b"+ UGFzc3dvcmQ6\r\n")?;
                    line.read()?;
                }
                line.act(Act::Honest, b"+OK\r\n")?;
                continue;
            }
            let mut honest = String::from("+OK\r\n");
            match (step.as_str(), number) {
                ("STAT", _) => honest = format!("+OK {count} 0\r\n"),
                ("CAPA", _) => honest += "TOP\r\nUIDL\r\n.\r\n",
                ("LIST", _) => {
                    let stranger = stranger(1).len();
                    for number in 1..=count {
                        let size = if self.is_stranger(number) {
                            stranger
                        } else {
                            self.message(number).len()
                        };
                        write!(honest, "{number} {size}\r\n").unwrap();
                    }
                    honest += ".\r\n";
                }
                ("UIDL", _) => {
                    for number in 1..=count {
                        write!(honest, "{number} message-{number}\r\n").unwrap();
                    }
                    honest += ".\r\n";
                }
                ("TOP", Some(number)) => {
                    let message = self.message(number);
                    let header = message.split("\r\n\r\n").next().unwrap_or_default();
                    write!(honest, "{header}\r\n\r\n.\r\n").unwrap();
                }
                ("RETR", Some(number)) => {
                    honest += &self.message(number).replace("\r\n.", "\r\n..");
                    honest += "\r\n.\r\n";
                }
                _ => {}
            }
            line.act(self.at(&step), honest.as_bytes())?;
            if step == "QUIT" {
                return Ok(());
            }
        }
    }
}

fn with_tag(act: Act, tag: &str) -> Act {
    let put = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => {
            // The client counts its commands: the next one's tag is no secret.
            let next = tag
                .strip_prefix('A')
                .and_then(|number| number.parse::<u32>().ok());
            let next = format!("A{:04}", next.unwrap_or_default() + 1);
            text.replace("{tag}", tag)
                .replace("{next}", &next)
                .into_bytes()
        }
        Err(error) => error.into_bytes(),
    };
    match act {
        Act::Say(bytes) => Act::Say(put(bytes)),
        Act::Twice(bytes) => Act::Twice(put(bytes)),
        Act::Also(bytes) => Act::Also(put(bytes)),
        Act::First(bytes) => Act::First(put(bytes)),
        Act::Hold(bytes) => Act::Hold(put(bytes)),
        Act::Pour {
            head,
            again,
            times,
            tail,
        } => Act::Pour {
            head: put(head),
            again,
            times,
            tail: put(tail),
        },
        other => other,
    }
}

/// The numbers that the set of `UID FETCH 3:7,9:*` names. `n:*` names the last one in any case.
fn set(command: &str, count: usize) -> Vec<usize> {
    let words = command.split(' ').nth(2).unwrap_or_default();
    let number = |word: &str| word.parse().unwrap_or(count);
    let mut numbers: Vec<usize> = words
        .split(',')
        .flat_map(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let (first, last) = (number(first), number(last));
            first.min(last)..=first.max(last)
        })
        .filter(|number| (1..=count).contains(number))
        .collect();
    numbers.dedup();
    numbers
}

/// A message of somebody else.
fn stranger(number: usize) -> String {
    format!(
        "Received: from mx.example by imap.example; Fri, 02 Jan 2026 03:04:05 +0000\r\n\
         From: someone@example.com\r\nTo: probe@monitor.example\r\n\
         Subject: a letter\r\nMessage-ID: <{number:0>6}@example.com>\r\n\r\n\
         Nothing of interest.\r\n"
    )
}
