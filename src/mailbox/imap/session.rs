//! One IMAP session: commands whose every ending is looked at.
//!
//! The client library frames and parses; it also takes NO, BAD and a closed connection for empty success in several
//! commands, so the loop that waits for the tagged status is here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_imap::Client;
use async_imap::imap_proto::{
    Capability, MailboxDatum, Outcome, RequestId, Response, ResponseCode, Status, StatusAttribute,
};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::guard::Guard;
use super::utf7;
use crate::config::plan::Mailbox;
use crate::duration::seconds;
use crate::net::login::Exchange;
use crate::net::stream::Stream;
use crate::probe::facts::{Blindness, Failure};
use crate::probe::name::MailboxName;
use crate::probe::outcome::Code;

/// A whole command may take so many times what one response may.
const PATIENCE: u32 = 10;

/// What ended a command, or the session.
#[derive(Debug, Error)]
pub enum ImapError {
    /// The server said NO.
    #[error("{command} was answered: NO {words}")]
    No {
        /// The command.
        command: String,
        /// The server's words.
        words: String,
    },
    /// The server said BAD.
    #[error("{command} was answered: BAD {words}")]
    Bad {
        /// The command.
        command: String,
        /// The server's words.
        words: String,
    },
    /// The server said goodbye.
    #[error("the server ended the session: {0}")]
    Bye(String),
    /// The connection was closed.
    #[error("the server closed the connection at {0}")]
    Closed(String),
    /// The connection broke, or what came is no IMAP.
    #[error("the connection broke at {0}: {1}")]
    Broken(String, io::Error),
    /// What came is no IMAP.
    #[error("{0} was answered with something that is no IMAP: {1}")]
    Malformed(String, String),
    /// A message is there, but what is asked of it is not given.
    #[error("the server lists the message with UID {0}, but does not give its text")]
    Withheld(u32),
    /// Nothing came in time.
    #[error("no answer to {command} within {}", seconds(*.limit))]
    Slow {
        /// The command.
        command: String,
        /// The time it had.
        limit: Duration,
    },
}

impl From<ImapError> for Blindness {
    fn from(error: ImapError) -> Self {
        let remedy = match &error {
            ImapError::No { .. } | ImapError::Bad { .. } | ImapError::Withheld(_) => {
                "the server's log may say more"
            }
            ImapError::Slow { .. } => {
                "the server may be overloaded: raise the mailbox's `timeout` if it is only slow"
            }
            ImapError::Malformed(..) => "check the mailbox's host, port and `tls`",
            ImapError::Bye(_) | ImapError::Closed(_) | ImapError::Broken(..) => {
                "it is tried again until it answers"
            }
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

/// What SELECT or STATUS says of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderStatus {
    /// How many messages are in it.
    pub exists: u32,
    /// The UID the next message will get, if the server says.
    pub uid_next: Option<u32>,
    /// What its UIDs belong to.
    pub validity: u32,
}

/// What a server can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says yes or no to one extension"
)]
pub struct Abilities {
    /// RFC 2177.
    pub idle: bool,
    /// RFC 4315.
    pub uidplus: bool,
    /// RFC 6851.
    pub mv: bool,
    /// Gmail: deleting only takes a label away.
    pub gmail: bool,
    /// RFC 2971.
    pub id: bool,
    /// RFC 2342.
    pub namespace: bool,
    /// Attributes of folders on request (RFC 6154, RFC 5258).
    pub list_special_use: bool,
}

/// A session, which `open` authenticates.
#[derive(Debug)]
pub struct Session {
    pub(super) inner: Client<Guard<Stream>>,
    pub(super) limit: Duration,
    /// What the server can do.
    pub can: Abilities,
    /// Where Gmail wants moved what is to be deleted.
    pub(super) trash: Option<String>,
    /// Whether messages may have come since [`Session::take_news`] was last asked.
    pub(super) news: bool,
    /// Whether a warning came that may mean that the selected folder is not what it was.
    doubtful: bool,
    /// The number of messages in the selected folder, as far as the server has said.
    exists: Option<u32>,
    /// Commands sent so far, from which their tags are made.
    sent: u32,
    /// Whose it is, for the log.
    mailbox: MailboxName,
    /// Warnings that were logged already.
    warned: BTreeSet<String>,
}

impl Session {
    /// A session over a stream on which nothing was read yet.
    pub(super) fn over(stream: Stream, mailbox: &Mailbox) -> Self {
        Self {
            mailbox: mailbox.name.clone(),
            inner: Client::new(Guard::new(stream)),
            limit: mailbox.timeout,
            can: Abilities::default(),
            trash: None,
            news: true,
            doubtful: false,
            exists: None,
            sent: 0,
            warned: BTreeSet::new(),
        }
    }

    /// Reads the greeting. Whether the session is authenticated already (PREAUTH).
    pub(super) async fn greeting(&mut self) -> Result<bool, ImapError> {
        const GREETING: &str = "the greeting";
        let response = timeout(self.limit, self.inner.read_response()).await;
        match received(GREETING, self.limit, response)?.parsed() {
            Response::Data {
                status: Status::Ok, ..
            } => Ok(false),
            Response::Data {
                status: Status::PreAuth,
                ..
            } => Ok(true),
            Response::Data { outcome, .. } => {
                let words = outcome.information.as_deref().unwrap_or_default();
                Err(ImapError::Bye(words.to_owned()))
            }
            _ => Err(ImapError::Malformed(
                GREETING.into(),
                "this is no greeting".into(),
            )),
        }
    }

    /// Learns what the server can do for an authenticated user, and tells it who we are: some open no folder before.
    pub(super) async fn enter(&mut self) -> Result<(), ImapError> {
        let words = self.capabilities().await?;
        let has = |word: &str| words.iter().any(|said| said == word);
        self.can = Abilities {
            idle: has("IDLE"),
            uidplus: has("UIDPLUS"),
            mv: has("MOVE"),
            gmail: has("X-GM-EXT-1"),
            id: has("ID"),
            namespace: has("NAMESPACE"),
            list_special_use: has("SPECIAL-USE") && has("LIST-EXTENDED"),
        };
        if self.can.id {
            let version = env!("CARGO_PKG_VERSION");
            let id = format!("ID (\"name\" \"mailrobin\" \"version\" \"{version}\")");
            unless_refused(self.run(&id, |_| ()).await)?;
        }
        if self.can.gmail && self.can.mv {
            let folders = self.list().await?;
            let trash = folders.into_iter().find(|folder| folder.trash);
            self.trash = trash.map(|folder| folder.name);
        }
        Ok(())
    }

    /// The words of the server's CAPABILITY, in capitals; none where it refuses to say.
    pub(super) async fn capabilities(&mut self) -> Result<Vec<String>, ImapError> {
        let mut words = Vec::new();
        let ended = self
            .run("CAPABILITY", |response| {
                if let Response::Capabilities(capabilities) = response {
                    words.extend(capabilities.iter().map(|capability| match capability {
                        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
                        Capability::Auth(mechanism) => {
                            format!("AUTH={}", mechanism.to_ascii_uppercase())
                        }
                        Capability::Atom(atom) => atom.to_ascii_uppercase(),
                    }));
                }
            })
            .await;
        unless_refused(ended)?;
        Ok(words)
    }

    /// Logs in by SASL.
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &str,
        exchange: &mut Exchange,
    ) -> Result<(), ImapError> {
        const NAME: &str = "AUTHENTICATE";
        let id = self.send(NAME, &format!("{NAME} {mechanism}")).await?;
        loop {
            let response = timeout(self.limit, self.inner.read_response()).await;
            match received(NAME, self.limit, response)?.parsed() {
                Response::Continue(_) => {
                    let Some(answer) = exchange.respond() else {
                        let what = "it asks for more without end".to_owned();
                        return Err(ImapError::Malformed(NAME.to_owned(), what));
                    };
                    self.send_more(NAME, &answer).await?;
                }
                Response::Done {
                    tag,
                    status,
                    outcome,
                } if *tag == id => return ended(NAME, status, outcome),
                other => self.note(other)?,
            }
        }
    }

    /// Runs a command to its tagged OK; `each` sees every untagged response.
    pub async fn run(
        &mut self,
        command: &str,
        each: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        let name = verb(command);
        // Each response has its limit; a server that drips them has one for all.
        let limit = self.limit * PATIENCE;
        let ended = timeout(limit, self.exchange(&name, command, each)).await;
        ended.unwrap_or(Err(ImapError::Slow {
            command: name,
            limit,
        }))
    }

    async fn exchange(
        &mut self,
        name: &str,
        command: &str,
        mut each: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        let id = self.send(name, command).await?;
        // An untagged NO is a warning (RFC 9051 §7.1.2), and some servers send it at every command. But where FETCH or
        // STATUS brings a warning and nothing else, the tagged OK behind it proves nothing.
        let brings = match name {
            "STATUS" => true,
            "FETCH" | "UID FETCH" => !self.is_empty(),
            _ => false,
        };
        let mut warning = Ok(());
        let mut brought = false;
        loop {
            let response = timeout(self.limit, self.inner.read_response()).await;
            let response = received(name, self.limit, response)?;
            match response.parsed() {
                Response::Data {
                    status: status @ (Status::No | Status::Bad),
                    outcome,
                } => {
                    // The answer to NAMESPACE comes in the guise of a warning.
                    if name != "NAMESPACE" {
                        self.warn(outcome);
                        let is_alert = outcome.code == Some(ResponseCode::Alert);
                        self.doubtful |= !is_alert;
                        if brings && !is_alert {
                            warning = ended(name, status, outcome);
                        }
                    }
                    each(response.parsed());
                }
                Response::Done {
                    tag,
                    status,
                    outcome,
                } if *tag == id => {
                    let warning = if brought { Ok(()) } else { warning };
                    return ended(name, status, outcome).and(warning);
                }
                other => {
                    brought |= matches!(
                        other,
                        Response::Fetch(..) | Response::MailboxData(MailboxDatum::Status { .. })
                    );
                    self.note(other)?;
                    each(other);
                }
            }
        }
    }

    /// Logs an untagged NO or BAD, once a session.
    fn warn(&mut self, outcome: &Outcome<'_>) {
        const MOST: usize = 20;
        let words = outcome.information.as_deref().unwrap_or_default();
        if self.warned.len() < MOST && self.warned.insert(words.to_owned()) {
            tracing::warn!(mailbox = %self.mailbox, "its server warns: {words:?}");
        }
    }

    /// Sends a command, under its name in errors, and gives its tag.
    pub(super) async fn send(&mut self, name: &str, command: &str) -> Result<RequestId, ImapError> {
        self.sent += 1;
        let tag = format!("A{:04}", self.sent);
        self.send_more(name, &format!("{tag} {command}")).await?;
        Ok(RequestId(tag))
    }

    /// Sends a line that belongs to a command under way.
    pub(super) async fn send_more(&mut self, name: &str, line: &str) -> Result<(), ImapError> {
        // The client library sends nothing before it has logged in by itself.
        let stream = self.inner.get_mut();
        let sent = async {
            stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            stream.flush().await
        };
        let sent = timeout(self.limit, sent)
            .await
            .map_err(|_| self.slow(name))?;
        sent.map_err(|error| ImapError::Broken(name.to_owned(), error))
    }

    fn slow(&self, name: &str) -> ImapError {
        ImapError::Slow {
            command: name.to_owned(),
            limit: self.limit,
        }
    }

    /// What every response may bring, whatever was asked.
    pub(super) fn note(&mut self, response: &Response<'_>) -> Result<(), ImapError> {
        match response {
            Response::MailboxData(MailboxDatum::Exists(count)) => {
                self.news = true;
                self.exists = Some(*count);
            }
            Response::Expunge(_) => {
                self.exists = self.exists.map(|count| count.saturating_sub(1));
            }
            Response::Data {
                status: Status::Bye,
                outcome,
            } => {
                let words = outcome.information.as_deref().unwrap_or("without a word");
                return Err(ImapError::Bye(words.to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether messages may have come to the selected folder since this was last asked.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Whether a warning other than an alert came since this was last asked.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubtful)
    }

    /// Whether the selected folder has no messages.
    pub(super) fn is_empty(&self) -> bool {
        self.exists == Some(0)
    }

    /// Selects a folder.
    pub async fn select(&mut self, folder: &str) -> Result<FolderStatus, ImapError> {
        let mut status = FolderStatus::default();
        self.exists = None;
        let command = format!("SELECT {}", quoted(folder));
        self.run(&command, |response| match response {
            Response::MailboxData(MailboxDatum::Exists(count)) => status.exists = *count,
            Response::Data { outcome, .. } => match outcome.code {
                Some(ResponseCode::UidNext(next)) => status.uid_next = Some(next),
                Some(ResponseCode::UidValidity(validity)) => status.validity = validity,
                _ => {}
            },
            _ => {}
        })
        .await?;
        self.news = true;
        Ok(status)
    }

    /// What the server says of its namespaces (RFC 2342), if it does.
    pub(super) async fn namespace_text(&mut self) -> Result<Option<String>, ImapError> {
        let mut told = None;
        // The guard lets the response through as the text of an untagged NO.
        let ended = self
            .run("NAMESPACE", |response| {
                if let Response::Data { outcome, .. } = response {
                    let text = outcome.information.as_deref().unwrap_or_default();
                    let namespaces = text.strip_prefix("ESPACE ");
                    told = told.take().or(namespaces.map(str::to_owned));
                }
            })
            .await;
        unless_refused(ended)?;
        Ok(told)
    }

    /// Asks after a folder that is not selected.
    pub async fn status(&mut self, folder: &str) -> Result<FolderStatus, ImapError> {
        let mut found = FolderStatus::default();
        let command = format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quoted(folder));
        self.run(&command, |response| {
            if let Response::MailboxData(MailboxDatum::Status { status, .. }) = response {
                for attribute in status {
                    match attribute {
                        StatusAttribute::Messages(count) => found.exists = *count,
                        StatusAttribute::UidNext(next) => found.uid_next = Some(*next),
                        StatusAttribute::UidValidity(validity) => found.validity = *validity,
                        _ => {}
                    }
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// The server's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.inner.get_ref().get_ref().peer().ok()
    }

    /// Says LOGOUT and does not wait long for the answer.
    pub async fn log_out(mut self) {
        self.limit = Duration::from_secs(2);
        // Nothing depends on a goodbye; BYE is its proper answer.
        let _ = self.run("LOGOUT", |_| ()).await;
    }
}

/// A command on which nothing depends: NO or BAD to it is as good as OK.
pub(super) fn unless_refused(ended: Result<(), ImapError>) -> Result<(), ImapError> {
    match ended {
        Err(ImapError::No { .. } | ImapError::Bad { .. }) => Ok(()),
        ended => ended,
    }
}

/// What a status response makes of a command.
pub(super) fn ended(name: &str, status: &Status, outcome: &Outcome<'_>) -> Result<(), ImapError> {
    let command = name.to_owned();
    let words = outcome
        .information
        .as_deref()
        .unwrap_or_default()
        .to_owned();
    match status {
        Status::Ok => Ok(()),
        Status::No => Err(ImapError::No { command, words }),
        _ => Err(ImapError::Bad { command, words }),
    }
}

/// A response, if one came whole and in time.
pub(super) fn received<T>(
    name: &str,
    limit: Duration,
    response: Result<io::Result<Option<T>>, Elapsed>,
) -> Result<T, ImapError> {
    let command = name.to_owned();
    match response {
        Ok(Ok(Some(response))) => Ok(response),
        Ok(Ok(None)) => Err(ImapError::Closed(command)),
        Ok(Err(error)) => Err(broken(command, error)),
        Err(_) => Err(ImapError::Slow { command, limit }),
    }
}

/// A connection that broke, or that carries something else than IMAP: the library's error quotes what it could not read.
pub(super) fn broken(command: String, error: io::Error) -> ImapError {
    let text = error.to_string();
    match text.rsplit_once(" during parsing of ") {
        Some((_, quoted)) => ImapError::Malformed(command, quoted.chars().take(80).collect()),
        None => ImapError::Broken(command, error),
    }
}

/// The name of a command without its arguments: `UID FETCH`, `SELECT`.
fn verb(command: &str) -> String {
    let mut words = command.split(' ');
    match (words.next(), words.next()) {
        (Some("UID"), Some(second)) => format!("UID {second}"),
        (first, _) => first.unwrap_or_default().to_owned(),
    }
}

/// A folder's name as a quoted string.
pub fn quoted(folder: &str) -> String {
    let mut quoted = String::from("\"");
    for c in utf7::encode(folder).chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// UIDs as a sequence set, runs joined: `3:7,9`.
pub fn uid_set(uids: &[u32]) -> String {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut set = String::new();
    for run in sorted.chunk_by(|a, b| a + 1 == *b) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let comma = if set.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = if first == last {
                write!(set, "{comma}{first}")
            } else {
                write!(set, "{comma}{first}:{last}")
            };
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_become_runs() {
        assert_eq!(uid_set(&[9, 3, 4, 5, 3, 7]), "3:5,7,9");
        assert_eq!(uid_set(&[]), "");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("INBOX.\"Sp\u{e4}m\\"), "\"INBOX.\\\"Sp&AOQ-m\\\\\"");
    }
}
