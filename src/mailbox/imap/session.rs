//! One IMAP session: commands whose every ending is looked at.
//!
//! The client library frames and parses; it also takes NO, BAD and a closed connection for empty success in several
//! commands, so the loop that waits for the tagged status is here.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_imap::imap_proto::{
    Capability, MailboxDatum, NameAttribute, Outcome, RequestId, Response, ResponseCode, Status,
    StatusAttribute,
};
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::guard::Guard;
use super::utf7;
use crate::net::dial::seconds;
use crate::net::stream::Stream;
use crate::probe::facts::{Blindness, Failure};
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
}

/// An authenticated session.
#[derive(Debug)]
pub struct Session {
    pub(super) inner: async_imap::Session<Guard<Stream>>,
    pub(super) limit: Duration,
    /// What the server can do.
    pub can: Abilities,
    /// Where Gmail wants moved what is to be deleted.
    pub(super) trash: Option<String>,
    /// Whether messages may have come since [`Session::take_news`] was last asked.
    pub(super) news: bool,
    /// The number of messages in the selected folder, as far as the server has said.
    exists: Option<u32>,
}

impl Session {
    /// A session over an authenticated client.
    pub(super) async fn enter(
        inner: async_imap::Session<Guard<Stream>>,
        limit: Duration,
    ) -> Result<Self, ImapError> {
        let mut session = Self {
            inner,
            limit,
            can: Abilities::default(),
            trash: None,
            news: true,
            exists: None,
        };
        session.can = session.abilities().await?;
        if session.can.gmail && session.can.mv {
            session.trash = session.find_trash().await?;
        }
        Ok(session)
    }

    async fn abilities(&mut self) -> Result<Abilities, ImapError> {
        let mut can = Abilities::default();
        self.run("CAPABILITY", |response| {
            if let Response::Capabilities(capabilities) = response {
                for capability in capabilities {
                    if let Capability::Atom(atom) = capability {
                        match atom.to_ascii_uppercase().as_str() {
                            "IDLE" => can.idle = true,
                            "UIDPLUS" => can.uidplus = true,
                            "MOVE" => can.mv = true,
                            "X-GM-EXT-1" => can.gmail = true,
                            _ => {}
                        }
                    }
                }
            }
        })
        .await?;
        Ok(can)
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
        // An untagged NO warns that what was asked may not have been done (RFC 9051 §7.1.2): where a look depends on it,
        // the tagged OK behind it proves nothing.
        let is_look = matches!(name, "NOOP" | "STATUS" | "FETCH" | "UID FETCH");
        let mut warning = Ok(());
        loop {
            let response = timeout(self.limit, self.inner.read_response()).await;
            let response = received(name, self.limit, response)?;
            match response.parsed() {
                Response::Data {
                    status: status @ (Status::No | Status::Bad),
                    outcome,
                } if is_look => warning = ended(name, status, outcome),
                Response::Done {
                    tag,
                    status,
                    outcome,
                } if *tag == id => return ended(name, status, outcome).and(warning),
                other => {
                    self.note(other)?;
                    each(other);
                }
            }
        }
    }

    /// Sends a command, under its name in errors, and gives its tag.
    pub(super) async fn send(&mut self, name: &str, command: &str) -> Result<RequestId, ImapError> {
        let sent = self.inner.run_command(command);
        let sent = timeout(self.limit, sent)
            .await
            .map_err(|_| self.slow(name))?;
        sent.map_err(|error| not_sent(name, error))
    }

    /// Sends a line that belongs to a command under way.
    pub(super) async fn send_more(&mut self, name: &str, line: &str) -> Result<(), ImapError> {
        let sent = self.inner.run_command_untagged(line);
        let sent = timeout(self.limit, sent)
            .await
            .map_err(|_| self.slow(name))?;
        sent.map_err(|error| not_sent(name, error))
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

    /// The junk folder: by SPECIAL-USE (RFC 6154), then by its usual names, under whatever prefix.
    pub async fn find_junk(&mut self) -> Result<Option<String>, ImapError> {
        let mut special = None;
        let mut named = None;
        self.run("LIST \"\" \"*\"", |response| {
            if let Response::MailboxData(MailboxDatum::List(list)) = response {
                let name = utf7::decode(&list.name);
                if list.name_attributes.contains(&NameAttribute::Junk) {
                    special.get_or_insert(name);
                } else {
                    let delimiter = list.delimiter.as_deref().unwrap_or("/");
                    let last = name
                        .rsplit(delimiter)
                        .next()
                        .unwrap_or(&name)
                        .to_ascii_lowercase();
                    if matches!(last.as_str(), "junk" | "spam") {
                        named.get_or_insert(name);
                    }
                }
            }
        })
        .await?;
        Ok(special.or(named))
    }

    /// The folder marked as `\\Trash` (RFC 6154).
    async fn find_trash(&mut self) -> Result<Option<String>, ImapError> {
        let mut trash = None;
        self.run("LIST \"\" \"*\"", |response| {
            if let Response::MailboxData(MailboxDatum::List(list)) = response
                && list.name_attributes.contains(&NameAttribute::Trash)
            {
                trash.get_or_insert(utf7::decode(&list.name));
            }
        })
        .await?;
        Ok(trash)
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

fn not_sent(name: &str, error: async_imap::error::Error) -> ImapError {
    let error = match error {
        async_imap::error::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    };
    ImapError::Broken(name.to_owned(), error)
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
