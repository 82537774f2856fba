//! An IMAP server with folders, and the gateway that fills them. It holds messages of its own accord, is odd in the ways its
//! [`Quirks`] say, and notes every command that changes a message whose tag it has not shown in the same session.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// No peer is waited for longer than this.
const PATIENCE: Duration = Duration::from_mins(2);

/// A message in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    /// INTERNALDATE; `None`: NIL.
    pub(crate) date: Option<Timestamp>,
    /// Its text; `None`: FETCH gives NIL.
    pub(crate) raw: Option<String>,
    pub(crate) flags: BTreeSet<String>,
}

impl Message {
    pub(crate) fn new(raw: &str) -> Self {
        Self {
            uid: 0,
            date: Some(Timestamp::now()),
            raw: Some(raw.to_owned()),
            flags: BTreeSet::new(),
        }
    }

    pub(crate) fn foreign(number: u32) -> Self {
        Self::new(&format!(
            "From: a{number}@friends.example\r\nSubject: hello {number}\r\n\r\nhello\r\n"
        ))
    }

    pub(crate) fn dated(self, date: Option<Timestamp>) -> Self {
        Self { date, ..self }
    }

    /// Received by a last hop of this id, as each delivery is.
    pub(crate) fn received(mut self, id: &str) -> Self {
        let line = format!("Received: from mx.example by store.example with LMTP id {id}\r\n");
        self.raw = self.raw.map(|raw| line + &raw);
        self
    }

    /// The tag in it, a word of 40 letters and digits.
    fn tag(&self) -> Option<&str> {
        let mut words = self
            .raw
            .as_deref()?
            .split(|c: char| !c.is_ascii_alphanumeric());
        words.find(|word| word.len() == 40)
    }
}

/// A folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) name: &'static str,
    pub(crate) validity: u32,
    pub(crate) next: u32,
    pub(crate) messages: Vec<Message>,
}

impl Folder {
    fn new(name: &'static str, validity: u32) -> Self {
        Self {
            name,
            validity,
            next: 1,
            messages: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, message: Message) {
        let uid = self.next;
        self.next += 1;
        self.messages.push(Message { uid, ..message });
    }

    /// A new UIDVALIDITY: the same messages under new UIDs.
    pub(crate) fn renumber(&mut self, first: u32) {
        self.validity += 1;
        self.next = first;
        for message in std::mem::take(&mut self.messages) {
            self.put(message);
        }
    }
}

/// What is in the store, and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) folders: Vec<Folder>,
    /// Messages that the gateway has taken.
    pub(crate) taken: Vec<String>,
    /// When it took the first.
    pub(crate) taken_at: Option<Instant>,
    /// Every command, by session.
    pub(crate) commands: Vec<(usize, String)>,
    /// What named a message that is not ours, or whose tag was not shown in that session.
    pub(crate) wrongs: Vec<String>,
    /// Moments that a test keeps in mind.
    pub(crate) passed: usize,
}

impl State {
    pub(crate) fn folder(&mut self, name: &str) -> &mut Folder {
        self.folders.iter_mut().find(|it| it.name == name).unwrap()
    }

    pub(crate) fn inbox(&mut self) -> &mut Folder {
        self.folder("INBOX")
    }

    /// Makes a folder, unless it is there.
    pub(crate) fn make(&mut self, name: &'static str) -> bool {
        let is_new = self.folders.iter().all(|folder| folder.name != name);
        if is_new {
            self.folders.push(Folder::new(name, 11));
        }
        is_new
    }
}

/// What STATUS says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatusSays {
    #[default]
    Truth,
    /// Always what was true of the empty folder.
    Nothing,
    /// UIDNEXT 0.
    Zero,
    /// No UIDNEXT at all.
    NoUidnext,
}

/// How it is odd.
#[derive(Clone, Copy)]
pub(crate) struct Quirks {
    pub(crate) capabilities: &'static str,
    pub(crate) status: StatusSays,
    /// UID FETCH in an empty folder is answered with BAD.
    pub(crate) empty_is_bad: bool,
    /// New messages are not announced.
    pub(crate) silent: bool,
    /// What comes of a message that the gateway has taken.
    pub(crate) take: fn(&mut State, &str),
    /// Sees each command of a session before it is carried out; where it says no, the session is closed.
    pub(crate) before: fn(&mut State, &str) -> bool,
    /// Whether a command is answered with NO.
    pub(crate) refuses: fn(&mut State, &str) -> bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            capabilities: "UIDPLUS MOVE",
            status: StatusSays::Truth,
            empty_is_bad: false,
            silent: false,
            take: |state, message| state.inbox().put(Message::new(message)),
            before: |_, _| true,
            refuses: |_, _| false,
        }
    }
}

/// The server, which runs until the test is over.
pub(crate) struct Store {
    pub(crate) smtp: u16,
    pub(crate) imap: u16,
    state: Arc<Mutex<State>>,
}

impl Store {
    /// With an empty INBOX and Junk; `fill` puts in what is there from the start.
    pub(crate) fn open(quirks: Quirks, fill: impl FnOnce(&mut State)) -> Self {
        let mut state = State {
            folders: vec![Folder::new("INBOX", 7), Folder::new("Junk", 9)],
            ..State::default()
        };
        fill(&mut state);
        let state = Arc::new(Mutex::new(state));
        let mut sessions = 0;
        let imap = {
            let state = Arc::clone(&state);
            listen(move |line| {
                sessions += 1;
                let (number, state) = (sessions, Arc::clone(&state));
                thread::spawn(move || {
                    let session = Session {
                        quirks,
                        state: &state,
                        number,
                        selected: None,
                        count: 0,
                        shown: BTreeSet::new(),
                    };
                    session.serve(line)
                });
            })
        };
        let taker = Arc::clone(&state);
        let smtp = listen(move |line| {
            let state = Arc::clone(&taker);
            thread::spawn(move || gateway(line, quirks, &state));
        });
        Self { smtp, imap, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

struct Line {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Line {
    fn read(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line)? {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }
}

fn listen(mut serve: impl FnMut(Line) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            serve(Line { reader, stream });
        }
    });
    port
}

fn gateway(mut line: Line, quirks: Quirks, state: &Mutex<State>) -> io::Result<()> {
    line.say("220 mx.example ESMTP\r\n")?;
    loop {
        let command = line.read()?.to_ascii_uppercase();
        match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => line.say("250-mx.example\r\n250 8BITMIME\r\n")?,
            "QUIT" => return line.say("221 bye\r\n"),
            "DATA" => {
                line.say("354 go on\r\n")?;
                let mut message = String::new();
                loop {
                    let text = line.read()?;
                    if text == "." {
                        break;
                    }
                    message += text.strip_prefix('.').unwrap_or(&text);
                    message += "\r\n";
                }
                let mut state = state.lock().unwrap();
                (quirks.take)(&mut state, &message);
                state.taken.push(message);
                state.taken_at.get_or_insert_with(Instant::now);
                drop(state);
                line.say("250 taken\r\n")?;
            }
            _ => line.say("250 ok\r\n")?,
        }
    }
}

struct Session<'a> {
    quirks: Quirks,
    state: &'a Mutex<State>,
    number: usize,
    selected: Option<String>,
    /// How many messages the client knows of.
    count: usize,
    /// The UIDs whose tag was shown, with the folder and its UIDVALIDITY.
    shown: BTreeSet<(String, u32, u32)>,
}

impl Session<'_> {
    fn serve(mut self, mut line: Line) -> io::Result<()> {
        line.say("* OK ready\r\n")?;
        loop {
            let text = line.read()?;
            let (tag, command) = text.split_once(' ').unwrap_or((&text, ""));
            let answer = {
                let mut state = self.state.lock().unwrap();
                state.commands.push((self.number, command.to_owned()));
                if !(self.quirks.before)(&mut state, command) {
                    return Ok(());
                }
                if (self.quirks.refuses)(&mut state, command) {
                    "{tag} NO not now\r\n".to_owned()
                } else {
                    self.answer(&mut state, command)
                }
            };
            line.say(&answer.replace("{tag}", tag))?;
            if command == "LOGOUT" {
                return Ok(());
            }
        }
    }

    /// The answer to a command; `{tag}` stands for its tag.
    fn answer(&mut self, state: &mut State, command: &str) -> String {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let name = rest.split('"').nth(1).unwrap_or_default().to_owned();
        let mut out = String::new();
        let verdict = match (verb, rest.split(' ').next().unwrap_or_default()) {
            ("CAPABILITY", _) => {
                let _ = write!(
                    out,
                    "* CAPABILITY IMAP4rev1 {}\r\n",
                    self.quirks.capabilities
                );
                "OK done"
            }
            ("LIST", _) => {
                out += "* LIST () \"/\" INBOX\r\n* LIST (\\Junk) \"/\" Junk\r\n";
                "OK done"
            }
            ("SELECT", _) => self.select(state, &name, &mut out),
            ("STATUS", _) => self.status(state, &name, &mut out),
            ("CREATE", _) if state.make(name.leak()) => "OK created",
            ("CREATE", _) => "NO [ALREADYEXISTS] it is there",
            ("NOOP", _) => {
                self.news(state, &mut out);
                "OK done"
            }
            ("UID", "FETCH") => self.fetch(state, &rest[6..], true, &mut out),
            ("FETCH", _) => self.fetch(state, rest, false, &mut out),
            ("UID", _) => self.change(state, rest, &mut out),
            ("EXPUNGE", _) => {
                state.wrongs.push(command.to_owned());
                "OK done"
            }
            ("LOGOUT", _) => {
                out += "* BYE bye\r\n";
                "OK bye"
            }
            _ => "OK done",
        };
        out + "{tag} " + verdict + "\r\n"
    }

    fn select(&mut self, state: &State, name: &str, out: &mut String) -> &'static str {
        let Some(folder) = state.folders.iter().find(|folder| folder.name == name) else {
            return "NO no such folder";
        };
        self.selected = Some(name.to_owned());
        self.count = folder.messages.len();
        let zero = self.quirks.status == StatusSays::Zero;
        let _ = write!(
            out,
            "* {} EXISTS\r\n* OK [UIDVALIDITY {}] it\r\n",
            self.count, folder.validity
        );
        if self.quirks.status != StatusSays::NoUidnext {
            let next = if zero { 0 } else { folder.next };
            let _ = write!(out, "* OK [UIDNEXT {next}] it\r\n");
        }
        "OK [READ-WRITE] selected"
    }

    fn status(&self, state: &State, name: &str, out: &mut String) -> &'static str {
        let Some(folder) = state.folders.iter().find(|folder| folder.name == name) else {
            return "NO no such folder";
        };
        let (count, next) = match self.quirks.status {
            StatusSays::Truth => (folder.messages.len(), format!(" UIDNEXT {}", folder.next)),
            StatusSays::Nothing => (0, " UIDNEXT 1".into()),
            StatusSays::Zero => (folder.messages.len(), " UIDNEXT 0".into()),
            StatusSays::NoUidnext => (folder.messages.len(), String::new()),
        };
        let _ = write!(
            out,
            "* STATUS \"{name}\" (MESSAGES {count} UIDVALIDITY {}{next})\r\n",
            folder.validity
        );
        "OK done"
    }

    fn folder<'s>(&self, state: &'s mut State) -> Option<&'s mut Folder> {
        let name = self.selected.as_deref()?;
        state.folders.iter_mut().find(|folder| folder.name == name)
    }

    /// Tells of messages that have come.
    fn news(&mut self, state: &mut State, out: &mut String) {
        let count = self.folder(state).map_or(0, |folder| folder.messages.len());
        if count != self.count && !self.quirks.silent {
            self.count = count;
            let _ = write!(out, "* {count} EXISTS\r\n");
        }
    }

    fn fetch(
        &mut self,
        state: &mut State,
        rest: &str,
        by_uid: bool,
        out: &mut String,
    ) -> &'static str {
        let (set, what) = rest.split_once(' ').unwrap_or_default();
        let empty_is_bad = self.quirks.empty_is_bad;
        let Some(folder) = self.folder(state) else {
            return "BAD nothing is selected";
        };
        if folder.messages.is_empty() && empty_is_bad {
            return "BAD invalid messageset";
        }
        if set.split([':', ',']).any(|number| number == "0") {
            return "BAD 0 is no message";
        }
        let last = folder.messages.last().map_or(0, |message| message.uid);
        let largest = if by_uid {
            last
        } else {
            u32::try_from(folder.messages.len()).unwrap()
        };
        for (sequence, message) in (1..).zip(&folder.messages) {
            let number = if by_uid { message.uid } else { sequence };
            if !is_in(set, number, largest) {
                continue;
            }
            let _ = write!(out, "* {sequence} FETCH (UID {}", message.uid);
            if what.contains("INTERNALDATE") {
                let date = message.date.map_or("NIL".into(), |date| {
                    date.strftime("\"%d-%b-%Y %H:%M:%S +0000\"").to_string()
                });
                let _ = write!(out, " INTERNALDATE {date}");
            }
            let raw = message.raw.as_deref();
            if what.contains("RFC822.SIZE") {
                let _ = write!(out, " RFC822.SIZE {}", raw.unwrap_or_default().len());
            }
            let header = what.contains("BODY.PEEK[HEADER]");
            if header || what.contains("BODY.PEEK[]") {
                let section = if header { "HEADER" } else { "" };
                let text = raw.map(|raw| match raw.find("\r\n\r\n") {
                    Some(end) if header => &raw[..end + 4],
                    _ => raw,
                });
                match text {
                    Some(text) => {
                        let _ = write!(out, " BODY[{section}]<0> {{{}}}\r\n{text}", text.len());
                    }
                    None => {
                        let _ = write!(out, " BODY[{section}]<0> NIL");
                    }
                }
                if let Some(tag) = message.tag()
                    && text.is_some_and(|text| text.contains(tag))
                {
                    let key = (folder.name.to_owned(), folder.validity, message.uid);
                    self.shown.insert(key);
                }
            }
            *out += ")\r\n";
        }
        "OK done"
    }

    /// UID STORE, UID EXPUNGE, UID COPY and UID MOVE.
    fn change(&mut self, state: &mut State, rest: &str, out: &mut String) -> &'static str {
        let mut words = rest.splitn(3, ' ');
        let (verb, set) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let what = words.next().unwrap_or_default();
        let shown = self.shown.clone();
        let Some(folder) = self.folder(state) else {
            return "BAD nothing is selected";
        };
        let last = folder.messages.last().map_or(0, |message| message.uid);
        let mut wrongs = Vec::new();
        let mut named = BTreeSet::new();
        for message in &folder.messages {
            if !is_in(set, message.uid, last) {
                continue;
            }
            named.insert(message.uid);
            if !shown.contains(&(folder.name.to_owned(), folder.validity, message.uid)) {
                wrongs.push(format!("UID {rest} of {:?}", message.raw));
            }
        }
        match verb {
            "STORE" => {
                let flag = what.split(['(', ')']).nth(1).unwrap_or_default();
                for message in &mut folder.messages {
                    if named.contains(&message.uid) {
                        message.flags.insert(flag.to_owned());
                    }
                }
            }
            "EXPUNGE" => folder.messages.retain(|message| {
                !(named.contains(&message.uid) && message.flags.contains("\\Deleted"))
            }),
            _ => {
                let is_named = |message: &Message| named.contains(&message.uid);
                let taken: Vec<_> = folder
                    .messages
                    .iter()
                    .filter(|it| is_named(it))
                    .cloned()
                    .collect();
                let target = what.trim_matches('"');
                let Some(to) = state.folders.iter_mut().find(|it| it.name == target) else {
                    state.wrongs.extend(wrongs);
                    return "NO [TRYCREATE] no such folder";
                };
                for message in taken {
                    to.put(message);
                }
                if verb == "MOVE"
                    && let Some(folder) = self.folder(state)
                {
                    folder
                        .messages
                        .retain(|message| !named.contains(&message.uid));
                }
            }
        }
        state.wrongs.extend(wrongs);
        self.news(state, out);
        "OK done"
    }
}

/// Whether a sequence set holds a number; `*` is the largest, and its range may be written either way round.
fn is_in(set: &str, number: u32, largest: u32) -> bool {
    let value = |text: &str| text.parse().unwrap_or(largest);
    set.split(',').any(|range| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to) = (value(from), value(to));
        (from.min(to)..=from.max(to)).contains(&number)
    })
}
