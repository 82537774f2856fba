//! One POP3 session. What the server sends is bounded; every `-ERR` is kept in its own words.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::config::plan::{Mailbox, Security};
use crate::duration::seconds;
use crate::mailbox::login::{early_bytes, is_locked, prepare, refused};
use crate::mailbox::{final_refusal, reach, retry};
use crate::net::dial;
use crate::net::lines::{Lines, NoLine};
use crate::net::login::{Exchange, Offers};
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::{Blindness, Failure};
use crate::probe::outcome::Code;

/// A whole answer may take so many times what one line may.
const PATIENCE: u32 = 10;
/// The longest line taken.
const MAX_LINE: usize = 64 * 1024;
/// A message that is longer than what is kept of it is read to its end up to here.
const MAX_DRAINED: usize = 256 * 1024 * 1024;
/// A mailbox with more messages is not read.
const MAX_MESSAGES: usize = 200_000;
/// The longest list taken: a mailbox of some hundred thousand messages.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// What ended a command, or the session.
#[derive(Debug, Error)]
pub(super) enum Pop3Error {
    /// The server said -ERR.
    #[error("{command} was answered: {words}")]
    Refused { command: String, words: String },
    /// The connection was closed.
    #[error("the server closed the connection at {0}")]
    Closed(String),
    /// The connection broke.
    #[error("the connection broke at {0}: {1}")]
    Broken(String, io::Error),
    /// What came is no POP3.
    #[error("{0} was answered with something that is no POP3: {1:?}")]
    Malformed(String, String),
    /// An answer came before there was anything to answer.
    #[error("before {0} was sent, the server answered something: {1:?}")]
    Early(String, String),
    /// More came than was to be expected.
    #[error("{0} was answered with more than {1} bytes")]
    TooLong(String, usize),
    /// Nothing came in time.
    #[error("no answer to {command} within {}", seconds(*.limit))]
    Slow { command: String, limit: Duration },
}

impl Pop3Error {
    /// Whether another session holds the mailbox, or logins come too often (RFC 2449 §8.1): a matter of time.
    pub(super) fn is_busy(&self) -> bool {
        let Self::Refused { words, .. } = self else {
            return false;
        };
        let upper = words.to_ascii_uppercase();
        let has_code = ["[LOGIN-DELAY]", "[SYS/TEMP]"]
            .iter()
            .any(|code| upper.contains(code));
        has_code || is_locked(words)
    }
}

impl From<Pop3Error> for Blindness {
    fn from(error: Pop3Error) -> Self {
        let is_too_soon = error
            .to_string()
            .to_ascii_uppercase()
            .contains("[LOGIN-DELAY]");
        let remedy = if is_too_soon {
            "logins come too often for the server; it is tried again when it allows"
        } else if error.is_busy() {
            "another session holds the mailbox; it is tried again"
        } else if matches!(error, Pop3Error::Malformed(..)) {
            "check the mailbox's host, port and `tls`"
        } else {
            "it is tried again until it answers"
        };
        Self {
            failure: Failure {
                code: Code::MailboxUnreadable,
                what: error.to_string(),
                remedy,
            },
            is_final: false,
        }
    }
}

/// How much of an answer is kept, and how much is read at all.
#[derive(Clone, Copy, Debug)]
struct Kept {
    most: usize,
    drained: usize,
}

impl Kept {
    /// All of it, and no more than this.
    fn all(most: usize) -> Self {
        Self {
            most,
            drained: most,
        }
    }
}

/// What a server can do (RFC 2449); what it does not say is found out by trying.
#[derive(Clone, Debug, Default)]
pub(super) struct Abilities {
    /// How it lets clients log in.
    pub(super) offers: Offers,
    /// The time that must lie between two logins.
    pub(super) login_delay: Option<Duration>,
}

/// A message as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u32,
    pub(super) size: u32,
    /// Its unique id (UIDL), if the server gives one.
    pub(super) uid: Option<String>,
}

/// An authenticated session.
pub(super) struct Session {
    wire: Wire,
}

impl Session {
    /// Connects, secures, logs in.
    /// `login_delay` is told even where the login is refused.
    pub(super) async fn open(
        mailbox: &Mailbox,
        tls: &Tls,
        login_delay: &mut Option<Duration>,
    ) -> Result<Self, Blindness> {
        let Mailbox {
            timeout: limit,
            security,
            ..
        } = mailbox;
        let stream = reach(mailbox, tls).await?;
        let mut wire = Wire::new(stream, *limit);
        wire.status("the greeting").await?;
        if *security == Security::Starttls {
            wire = stls(wire, mailbox, tls).await?;
        }
        let can = wire.abilities().await?;
        *login_delay = can.login_delay;
        log_in(&mut wire, mailbox, &can.offers).await?;
        Ok(Self { wire })
    }

    /// Every message: its number, its size and, where the server knows UIDL, its unique id.
    pub(super) async fn list(&mut self) -> Result<Vec<Listed>, Pop3Error> {
        let sizes = match self.wire.multiline("LIST", Kept::all(MAX_LIST)).await {
            Ok(sizes) => sizes,
            // Some servers refuse to list what is empty.
            Err(error @ Pop3Error::Refused { .. }) => {
                return if self.is_empty().await? {
                    Ok(Vec::new())
                } else {
                    Err(error)
                };
            }
            Err(error) => return Err(error),
        };
        let uids = match self.wire.multiline("UIDL", Kept::all(MAX_LIST)).await {
            Ok(uids) => uids,
            Err(Pop3Error::Refused { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let count = sizes.split(|&byte| byte == b'\n').count();
        if count > MAX_MESSAGES {
            return Err(Pop3Error::TooLong("LIST".to_owned(), sizes.len()));
        }
        let uids = text(&uids);
        let mut uids = uids.lines().filter_map(pair).peekable();
        let listed = text(&sizes)
            .lines()
            .filter_map(pair)
            .map(|(number, size)| {
                // Both lists are in the order of the numbers (RFC 1939 §5).
                while uids.next_if(|(of, _)| *of < number).is_some() {}
                let uid = uids
                    .next_if(|(of, _)| *of == number)
                    .map(|(_, uid)| uid.to_owned());
                let size = size
                    .split(' ')
                    .next()
                    .and_then(|size| size.parse().ok())
                    .unwrap_or(u32::MAX);
                Listed { number, size, uid }
            })
            .collect();
        Ok(listed)
    }

    /// Whether STAT says that there are no messages.
    async fn is_empty(&mut self) -> Result<bool, Pop3Error> {
        let told = self.wire.command("STAT").await?;
        let count = told.split_ascii_whitespace().next();
        Ok(count.and_then(|count| count.parse::<u32>().ok()) == Some(0))
    }

    /// A message's header, or `None` where the server has no TOP.
    pub(super) async fn top(&mut self, number: u32) -> Result<Option<Vec<u8>>, Pop3Error> {
        match self
            .wire
            .multiline(&format!("TOP {number} 0"), Kept::all(MAX_LIST))
            .await
        {
            Ok(header) => Ok(Some(header)),
            Err(Pop3Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A message; of a longer one the first `most` bytes.
    pub(super) async fn retrieve(
        &mut self,
        number: u32,
        most: usize,
    ) -> Result<Vec<u8>, Pop3Error> {
        let command = format!("RETR {number}");
        let kept = Kept {
            most,
            drained: MAX_DRAINED,
        };
        self.wire.multiline(&command, kept).await
    }

    /// Marks a message for deletion, which [`Session::quit`] carries out.
    pub(super) async fn delete(&mut self, number: u32) -> Result<(), Pop3Error> {
        self.wire
            .command(&format!("DELE {number}"))
            .await
            .map(|_| ())
    }

    /// The server's address.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.wire.lines.stream().peer().ok()
    }

    /// Ends the session; only now is anything deleted (RFC 1939 §6).
    pub(super) async fn quit(mut self) -> Result<(), Pop3Error> {
        self.wire.command("QUIT").await.map(|_| ())
    }
}

/// A line of LIST or UIDL: the message's number and the rest.
fn pair(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.trim().split_once(' ')?;
    Some((number.parse().ok()?, rest.trim()))
}

async fn stls(mut wire: Wire, mailbox: &Mailbox, tls: &Tls) -> Result<Wire, Blindness> {
    let refused = |what: String| {
        final_refusal(
            Code::MailboxUnreadable,
            what,
            "set the mailbox's `tls` to what the server offers",
        )
    };
    match wire.command("STLS").await {
        Ok(_) => {}
        Err(error @ Pop3Error::Refused { .. }) => return Err(refused(error.to_string())),
        Err(error) => return Err(error.into()),
    }
    let limit = wire.limit;
    match wire.lines.into_parts() {
        (Stream::Plain(tcp), unread) if unread.is_empty() => {
            let stream = dial::secure(tls, &mailbox.endpoint, tcp, limit)
                .await
                .map_err(retry)?;
            Ok(Wire::new(stream, limit))
        }
        _ => Err(early_bytes(&mailbox.endpoint)),
    }
}

async fn log_in(wire: &mut Wire, mailbox: &Mailbox, offers: &Offers) -> Result<(), Blindness> {
    let mut exchange = prepare(mailbox, offers).await?;
    let result = if let Some(mechanism) = exchange.method.mechanism() {
        wire.authenticate(mechanism, &mut exchange).await
    } else {
        let user = format!("USER {}", exchange.username);
        match wire.secret(&user, "USER").await {
            Ok(()) => {
                let pass = format!("PASS {}", exchange.secret());
                wire.secret(&pass, "PASS").await
            }
            Err(error) => Err(error),
        }
    };
    result.map_err(|error| {
        if error.is_busy() || !matches!(error, Pop3Error::Refused { .. }) {
            return error.into();
        }
        refused(&mailbox.endpoint, &exchange, &error.to_string(), false)
    })
}

/// Lines over a stream, within bounds.
struct Wire {
    lines: Lines<Stream>,
    limit: Duration,
}

impl Wire {
    fn new(stream: Stream, limit: Duration) -> Self {
        Self {
            lines: Lines::new(stream),
            limit,
        }
    }

    async fn abilities(&mut self) -> Result<Abilities, Pop3Error> {
        let lines = match self.multiline("CAPA", Kept::all(MAX_LINE)).await {
            Ok(lines) => Some(String::from_utf8_lossy(&lines).into_owned()),
            Err(Pop3Error::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        let delay = lines
            .iter()
            .flat_map(|lines| lines.lines())
            .filter_map(|line| line.trim().strip_prefix("LOGIN-DELAY "))
            .find_map(|delay| delay.split(' ').next()?.parse().ok())
            .map(Duration::from_secs);
        Ok(Abilities {
            offers: Offers::pop3(lines.as_deref().map(str::lines)),
            login_delay: delay,
        })
    }

    /// Sends a command and gives the words after its `+OK`.
    async fn command(&mut self, command: &str) -> Result<String, Pop3Error> {
        let verb = command.split(' ').next().unwrap_or_default();
        self.send(command, verb).await?;
        self.status(verb).await
    }

    /// Sends what must not be shown; errors call it `name`.
    async fn secret(&mut self, command: &str, name: &str) -> Result<(), Pop3Error> {
        self.send(command, name).await?;
        self.status(name).await.map(|_| ())
    }

    /// SASL, each response sent after the server's challenge (RFC 5034 §4).
    async fn authenticate(
        &mut self,
        mechanism: &str,
        exchange: &mut Exchange,
    ) -> Result<(), Pop3Error> {
        let name = format!("AUTH {mechanism}");
        self.send(&name, &name).await?;
        loop {
            let line = self.timed_line(&name).await?;
            if !line.starts_with(b"+ ") && line != b"+" {
                return Self::read_status(&name, &line).map(|_| ());
            }
            let Some(answer) = exchange.respond() else {
                let what = "it asks again and again".to_owned();
                return Err(Pop3Error::Malformed(name, what));
            };
            self.send(&answer, &name).await?;
        }
    }

    async fn send(&mut self, command: &str, name: &str) -> Result<(), Pop3Error> {
        if !self.lines.unread().is_empty() {
            let early = String::from_utf8_lossy(self.lines.unread()).into_owned();
            let early = early.chars().take(80).collect();
            return Err(Pop3Error::Early(name.to_owned(), early));
        }
        let line = format!("{command}\r\n");
        timeout(self.limit, self.lines.write(line.as_bytes()))
            .await
            .map_err(|_| Pop3Error::Slow {
                command: name.to_owned(),
                limit: self.limit,
            })?
            .map_err(|error| Pop3Error::Broken(name.to_owned(), error))
    }

    async fn status(&mut self, name: &str) -> Result<String, Pop3Error> {
        let line = self.timed_line(name).await?;
        Self::read_status(name, &line)
    }

    fn read_status(name: &str, line: &[u8]) -> Result<String, Pop3Error> {
        let line = String::from_utf8_lossy(line).into_owned();
        if let Some(words) = line.strip_prefix("+OK") {
            Ok(words.trim().to_owned())
        } else if line.starts_with("-ERR") {
            Err(Pop3Error::Refused {
                command: name.to_owned(),
                words: line.chars().take(500).collect(),
            })
        } else {
            Err(Pop3Error::Malformed(
                name.to_owned(),
                line.chars().take(80).collect(),
            ))
        }
    }

    /// Sends a command and gives the lines of its answer, dots unstuffed (RFC 1939 §3).
    async fn multiline(&mut self, command: &str, kept: Kept) -> Result<Vec<u8>, Pop3Error> {
        let name = command.split(' ').next().unwrap_or_default().to_owned();
        // Each line has its limit; a server that drips them has one for all.
        let limit = self.limit * PATIENCE;
        let lines = timeout(limit, self.lines(command, &name, kept)).await;
        lines.unwrap_or(Err(Pop3Error::Slow {
            command: name,
            limit,
        }))
    }

    async fn lines(&mut self, command: &str, name: &str, kept: Kept) -> Result<Vec<u8>, Pop3Error> {
        self.command(command).await?;
        let mut lines = Vec::new();
        let mut length = 0;
        loop {
            let line = self.timed_line(name).await?;
            if line == b"." {
                return Ok(lines);
            }
            length += line.len() + 2;
            if length > kept.drained {
                return Err(Pop3Error::TooLong(name.to_owned(), kept.drained));
            }
            if length <= kept.most {
                lines.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                lines.extend_from_slice(b"\r\n");
            }
        }
    }

    async fn timed_line(&mut self, name: &str) -> Result<Vec<u8>, Pop3Error> {
        let limit = self.limit;
        let line = timeout(limit, self.lines.line(MAX_LINE)).await;
        let line = line.map_err(|_| Pop3Error::Slow {
            command: name.to_owned(),
            limit,
        })?;
        line.map_err(|error| match error {
            NoLine::Closed | NoLine::Partial(_) => Pop3Error::Closed(name.to_owned()),
            NoLine::Broken(error) => Pop3Error::Broken(name.to_owned(), error),
            NoLine::TooLong(most) => Pop3Error::TooLong(name.to_owned(), most),
        })
    }
}
