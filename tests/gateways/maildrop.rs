//! A gateway and the POP3 maildrop behind it, which plays the servers that give ids away twice, and keeps a record of what
//! is deleted.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the maildrop's unique ids are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Each message's own.
    #[default]
    Own,
    /// The message's number.
    Number,
    /// The message's number, written so that it does not look like one.
    Disguised,
    /// All messages have the same.
    Shared,
    /// UIDL is not known.
    None,
}

/// What becomes of a message that was read, before the next session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AfterRead {
    #[default]
    Stays,
    /// Somebody else deletes it.
    Vanishes,
    /// Another message, of the same size, takes its place and its id.
    IsReplaced,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) ids: Ids,
    pub(crate) top: bool,
    pub(crate) after_read: AfterRead,
    /// What the messages that are there already come to, from the first copy's text.
    pub(crate) before: Vec<fn(&str) -> String>,
    /// How often each message is delivered.
    pub(crate) times: usize,
    /// Delivered so long after it was accepted.
    pub(crate) delay: Duration,
    /// What each login takes.
    pub(crate) login: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            ids: Ids::Own,
            top: true,
            after_read: AfterRead::Stays,
            before: Vec::new(),
            times: 1,
            delay: Duration::ZERO,
            login: Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug)]
struct Stored {
    serial: usize,
    text: String,
    was_read: bool,
}

/// A session that held the maildrop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

#[derive(Default)]
struct State {
    script: Script,
    tags: Vec<String>,
    stored: Vec<Stored>,
    serial: usize,
    sessions: Vec<Held>,
    deleted: usize,
    /// What was deleted without having shown a tag of ours in the session.
    violations: Vec<String>,
}

/// Running servers; they end with the test.
pub(crate) struct Maildrop {
    pub(crate) smtp: u16,
    pub(crate) pop3: u16,
    state: Arc<Mutex<State>>,
    /// Held by whoever has the maildrop.
    lock: Arc<Mutex<()>>,
}

impl Maildrop {
    pub(crate) fn start(script: Script) -> Self {
        let state = Arc::new(Mutex::new(State {
            script,
            ..State::default()
        }));
        let lock = Arc::new(Mutex::new(()));
        let smtp = serve({
            let (state, lock) = (Arc::clone(&state), Arc::clone(&lock));
            move |stream| smtp(&state, &lock, stream)
        });
        let pop3 = serve({
            let (state, lock) = (Arc::clone(&state), Arc::clone(&lock));
            move |stream| pop3(&state, &lock, stream)
        });
        Self {
            smtp,
            pop3,
            state,
            lock,
        }
    }

    /// What is in it now, once no session holds it.
    pub(crate) fn texts(&self) -> Vec<String> {
        let _held = self.lock.lock().unwrap();
        let state = self.state.lock().unwrap();
        state.stored.iter().map(|it| it.text.clone()).collect()
    }

    pub(crate) fn deleted(&self) -> usize {
        self.state.lock().unwrap().deleted
    }

    pub(crate) fn sessions(&self) -> Vec<Held> {
        self.state.lock().unwrap().sessions.clone()
    }

    #[track_caller]
    pub(crate) fn nothing_foreign_was_deleted(&self) {
        let violations = self.state.lock().unwrap().violations.clone();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

/// A message of somebody else that is as long as this one.
pub(crate) fn stranger(like: &str) -> String {
    let head = "From: someone@example.com\r\nSubject: a letter\r\n\r\n";
    let line = format!("{}\r\n", "x".repeat(70));
    let mut text = head.to_owned();
    while text.len() + line.len() < like.len() {
        text += &line;
    }
    let left = like.len().saturating_sub(text.len() + 2);
    text + &"y".repeat(left) + "\r\n"
}

fn serve(session: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let session = Arc::new(session);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = Arc::clone(&session);
            // How a session ends is the client's business.
            thread::spawn(move || session(stream?));
        }
    });
    port
}

fn read(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn smtp(state: &Arc<Mutex<State>>, lock: &Arc<Mutex<()>>, stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    stream.write_all(b"220 mx.example ESMTP\r\n")?;
    loop {
        let command = read(&mut reader)?.to_ascii_uppercase();
        if command == "DATA" {
            stream.write_all(b"354 go on\r\n")?;
            let mut text = String::new();
            loop {
                let line = read(&mut reader)?;
                if line == "." {
                    break;
                }
                text += line.strip_prefix('.').unwrap_or(&line);
                text += "\r\n";
            }
            let (state, lock) = (Arc::clone(state), Arc::clone(lock));
            thread::spawn(move || deliver(&state, &lock, &text));
            stream.write_all(b"250 2.0.0 queued\r\n")?;
        } else if command == "QUIT" {
            return stream.write_all(b"221 2.0.0 bye\r\n");
        } else {
            stream.write_all(b"250 2.0.0 ok\r\n")?;
        }
    }
}

fn deliver(state: &Mutex<State>, lock: &Mutex<()>, text: &str) {
    let delay = state.lock().unwrap().script.delay;
    thread::sleep(delay);
    let _held = lock.lock().unwrap();
    let mut state = state.lock().unwrap();
    let tag = text
        .lines()
        .find_map(|line| line.strip_prefix("X-Mailrobin-Tag: "));
    state.tags.extend(tag.map(str::to_owned));
    let before = std::mem::take(&mut state.script.before);
    let before = before.iter().map(|message| message(text));
    let times = state.script.times;
    for text in before.chain(std::iter::repeat_n(text.to_owned(), times)) {
        state.serial += 1;
        let serial = state.serial;
        state.stored.push(Stored {
            serial,
            text,
            was_read: false,
        });
    }
}

fn pop3(state: &Mutex<State>, lock: &Mutex<()>, mut stream: TcpStream) -> io::Result<()> {
    let from = Instant::now();
    let mut reader = BufReader::new(stream.try_clone()?);
    let script = state.lock().unwrap().script.clone();
    stream.write_all(b"+OK ready\r\n")?;
    let held = lock.lock().unwrap();
    thread::sleep(script.login);
    let mut messages = open(state);
    let mut shown = vec![String::new(); messages.len()];
    let mut marked = Vec::new();
    loop {
        let command = read(&mut reader)?;
        let words: Vec<_> = command.split(' ').collect();
        let number = words.get(1).and_then(|number| number.parse::<usize>().ok());
        let index = number.and_then(|number| number.checked_sub(1));
        let index = index.filter(|index| *index < messages.len() && !marked.contains(index));
        let mut answer = "+OK\r\n".to_owned();
        match (words[0].to_ascii_uppercase().as_str(), index) {
            ("CAPA", _) => answer += "USER\r\nUIDL\r\n.\r\n",
            ("LIST", _) => {
                for (index, message) in messages.iter().enumerate() {
                    write!(answer, "{} {}\r\n", index + 1, message.text.len()).unwrap();
                }
                answer += ".\r\n";
            }
            ("UIDL", _) if script.ids == Ids::None => answer = String::from("-ERR what\r\n"),
            ("UIDL", _) => {
                for (index, message) in messages.iter().enumerate() {
                    let number = index + 1;
                    let id = match script.ids {
                        Ids::Own | Ids::None => format!("id-{:04}", message.serial * 7),
                        Ids::Number => number.to_string(),
                        Ids::Disguised => format!("msg_{number:08x}_of_box"),
                        Ids::Shared => "the-same".to_owned(),
                    };
                    write!(answer, "{number} {id}\r\n").unwrap();
                }
                answer += ".\r\n";
            }
            ("TOP", _) if !script.top => answer = String::from("-ERR what\r\n"),
            ("TOP", Some(index)) => {
                let header = messages[index].text.split("\r\n\r\n").next().unwrap();
                shown[index] += header;
                write!(answer, "{header}\r\n\r\n.\r\n").unwrap();
            }
            ("RETR", Some(index)) => {
                messages[index].was_read = true;
                shown[index] += &messages[index].text;
                answer += &messages[index].text.replace("\r\n.", "\r\n..");
                answer += ".\r\n";
            }
            ("DELE", Some(index)) => {
                let mut state = state.lock().unwrap();
                if !state.tags.iter().any(|tag| shown[index].contains(tag)) {
                    let text = format!("{command}: {}", messages[index].text);
                    state.violations.push(text);
                }
                marked.push(index);
            }
            ("TOP" | "RETR" | "DELE", None) => answer = String::from("-ERR no such message\r\n"),
            ("QUIT", _) => {
                let mut state = state.lock().unwrap();
                let kept = messages.into_iter().enumerate();
                let kept = kept.filter(|(index, _)| !marked.contains(index));
                state.stored = kept.map(|(_, message)| message).collect();
                state.deleted += marked.len();
                let to = Instant::now();
                state.sessions.push(Held { from, to });
                drop(state);
                drop(held);
                return stream.write_all(answer.as_bytes());
            }
            _ => {}
        }
        stream.write_all(answer.as_bytes())?;
    }
}

/// The messages of a new session, after what has become of those that were read.
fn open(state: &Mutex<State>) -> Vec<Stored> {
    let mut state = state.lock().unwrap();
    match state.script.after_read {
        AfterRead::Stays => {}
        AfterRead::Vanishes => state.stored.retain(|message| !message.was_read),
        AfterRead::IsReplaced => {
            for message in state.stored.iter_mut().filter(|message| message.was_read) {
                message.text = stranger(&message.text);
            }
        }
    }
    state.stored.clone()
}
