//! The mailbox over POP3 (RFC 1939, with CAPA, STLS, AUTH and response codes).
//!
//! A session sees INBOX as it was at the login, holds the mailbox for itself, and deletes at QUIT.

use std::fmt::Write as _;
use std::{sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    fault::kind::Kind,
    fields,
    mailbox::{INBOX, Stored},
    sasl,
    site::Site,
    wire::{Stream, Wire, WireError},
};

/// RFC 1939 asks for ten minutes at least.
const IDLE: Duration = Duration::from_mins(10);
/// Commands are short, but an OAuth token may be the argument of one.
const LINE_LIMIT: usize = 8192;
const ERROR_LIMIT: u32 = 20;

struct Session<S> {
    wire: Wire<S>,
    site: Arc<Site>,
    user: Option<String>,
    maildrop: Option<Maildrop>,
    errors: u32,
}

/// What follows a command that succeeded.
enum Reply {
    /// `+OK` and this text, which may have more lines.
    Line(String),
    /// All of it is in the output already.
    Given,
}

/// The mailbox as an open session sees it.
struct Maildrop {
    validity: u32,
    messages: Vec<Stored>,
    deleted: Vec<bool>,
    _lock: OwnedSemaphorePermit,
}

/// Serves one client until it leaves.
pub(crate) async fn serve<S: Stream>(stream: S, site: Arc<Site>) -> Result<(), WireError> {
    let mut session = Session {
        wire: Wire::new(stream, Arc::clone(&site), IDLE),
        site,
        user: None,
        maildrop: None,
        errors: 0,
    };
    session.wire.push(b"+OK mail lab\r\n");
    let served = session.run().await;
    // The lock goes before the goodbye, so that the next session finds it free.
    session.maildrop = None;
    session.wire.close().await;
    served
}

impl<S: Stream> Session<S> {
    async fn run(&mut self) -> Result<(), WireError> {
        loop {
            let line = match self.wire.line(LINE_LIMIT).await {
                Ok(line) => String::from_utf8_lossy(&line).into_owned(),
                Err(WireError::LineTooLong) => String::new(),
                Err(error) => return Err(error),
            };
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let command = command.to_ascii_uppercase();
            let answer = match (command.as_str(), argument.trim_end()) {
                ("QUIT", _) => {
                    self.update();
                    self.ok("bye");
                    return Ok(());
                }
                ("STLS", _) if self.maildrop.is_none() => {
                    if !self.start_tls().await? {
                        return Ok(());
                    }
                    continue;
                }
                ("AUTH", argument) if self.maildrop.is_none() => self.auth(argument).await?,
                // A password may end in spaces.
                ("PASS", _) => self.pass(argument),
                (command, argument) => self.command(command, argument),
            };
            match answer {
                Ok(Reply::Line(text)) => self.ok(&text),
                Ok(Reply::Given) => {}
                Err(text) => {
                    self.errors += 1;
                    self.wire.push(format!("-ERR {text}\r\n").as_bytes());
                }
            }
            if self.errors >= ERROR_LIMIT {
                self.wire.push(b"-ERR [SYS/PERM] too many errors\r\n");
                return Ok(());
            }
        }
    }

    fn ok(&mut self, text: &str) {
        self.wire.push(format!("+OK {text}\r\n").as_bytes());
    }

    fn command(&mut self, command: &str, argument: &str) -> Result<Reply, String> {
        match (command, argument) {
            ("CAPA", _) => Ok(Reply::Line(self.capabilities())),
            ("NOOP", _) => Ok(Reply::Line("still here".to_owned())),
            ("USER", user) if self.maildrop.is_none() && !user.is_empty() => {
                self.user = Some(user.to_owned());
                Ok(Reply::Line("now PASS".to_owned()))
            }
            _ => match &mut self.maildrop {
                Some(maildrop) => {
                    let faults = &self.site.faults;
                    let missing = (command == "TOP" && faults.stands(Kind::NoTop))
                        || (command == "UIDL" && faults.stands(Kind::NoUidl));
                    if missing {
                        return Err(format!("{command} is not offered"));
                    }
                    maildrop.command(command, argument, self.wire.output())
                }
                None => Err("not before the login".to_owned()),
            },
        }
    }

    fn capabilities(&self) -> String {
        let faults = &self.site.faults;
        let mut capabilities =
            "capabilities\r\nUSER\r\nSASL PLAIN XOAUTH2\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n\
             PIPELINING\r\n"
                .to_owned();
        for (offered, name) in [
            (!faults.stands(Kind::NoTop), "TOP\r\n"),
            (!faults.stands(Kind::NoUidl), "UIDL\r\n"),
            (self.offers_tls(), "STLS\r\n"),
        ] {
            if offered {
                capabilities.push_str(name);
            }
        }
        capabilities.push('.');
        capabilities
    }

    fn offers_tls(&self) -> bool {
        !self.wire.is_tls() && !self.site.faults.stands(Kind::NoStarttls)
    }

    /// False when the connection must be closed.
    async fn start_tls(&mut self) -> Result<bool, WireError> {
        if !self.offers_tls() {
            self.wire.push(b"-ERR STLS is not offered\r\n");
            return Ok(true);
        }
        // What came with STLS was not protected: whoever sent it, it must never be obeyed.
        if !self.wire.buffered().is_empty() {
            self.wire.push(b"-ERR nothing may follow STLS\r\n");
            return Ok(false);
        }
        self.ok("begin TLS");
        self.wire.start_tls().await?;
        self.user = None;
        Ok(true)
    }

    fn pass(&mut self, password: &str) -> Result<Reply, String> {
        if self.maildrop.is_some() {
            return Err("already logged in".to_owned());
        }
        let user = self.user.take().ok_or("USER comes first")?;
        let account = &self.site.account;
        self.login(account.accepts(user.as_bytes(), password.as_bytes()))
    }

    async fn auth(&mut self, argument: &str) -> Result<Result<Reply, String>, WireError> {
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if !matches!(mechanism.as_str(), "PLAIN" | "XOAUTH2") {
            return Ok(Err("mechanism not supported".to_owned()));
        }
        let response = if initial.is_empty() {
            self.wire.push(b"+ \r\n");
            self.wire.line(LINE_LIMIT).await?
        } else {
            initial.as_bytes().to_vec()
        };
        let Some(response) = sasl::decode(&response) else {
            return Ok(Err("not base64, or cancelled".to_owned()));
        };
        let account = &self.site.account;
        let accepted = if mechanism == "PLAIN" {
            account.accepts_plain(&response)
        } else {
            account.accepts_xoauth2(&response)
        };
        Ok(self.login(accepted))
    }

    fn login(&mut self, accepted: bool) -> Result<Reply, String> {
        let faults = &self.site.faults;
        if faults.strikes(Kind::LoginRefused) || !accepted {
            return Err("[AUTH] authentication failed".to_owned());
        }
        let in_use = faults.state(Kind::InUse);
        let locked = Arc::clone(&self.site.pop3_lock).try_acquire_owned();
        let (Ok(lock), false) = (locked, in_use.is_some_and(|fault| fault.within_count())) else {
            return Err("[IN-USE] the mailbox is open in another session".to_owned());
        };
        let opened = self.site.mailbox.with(INBOX, |inbox| {
            let messages: Vec<Stored> = inbox.messages.iter().cloned().collect();
            (inbox.validity, messages)
        });
        let (validity, messages) = opened.ok_or("[SYS/TEMP] no mailbox")?;
        let greeting = format!("{} messages", messages.len());
        self.maildrop = Some(Maildrop {
            validity,
            deleted: vec![false; messages.len()],
            messages,
            _lock: lock,
        });
        Ok(Reply::Line(greeting))
    }

    /// Carries out the deletions of a session that ends with QUIT.
    fn update(&mut self) {
        let Some(maildrop) = self.maildrop.take() else {
            return;
        };
        let marked = maildrop.messages.iter().zip(&maildrop.deleted);
        let uids: Vec<u32> = marked
            .filter(|(_, deleted)| **deleted)
            .map(|(message, _)| message.uid)
            .collect();
        let mailbox = &self.site.mailbox;
        mailbox.with(INBOX, |inbox| {
            // Renumbered meanwhile: these UIDs are other messages now.
            if inbox.validity == maildrop.validity {
                inbox.expunge(&uids);
            }
        });
        mailbox.announce();
    }
}

impl Maildrop {
    fn command(
        &mut self,
        command: &str,
        argument: &str,
        out: &mut Vec<u8>,
    ) -> Result<Reply, String> {
        match (command, argument) {
            ("STAT", _) => {
                let sizes: Vec<usize> = self.present().map(|(_, m)| m.bytes.len()).collect();
                Ok(Reply::Line(format!(
                    "{} {}",
                    sizes.len(),
                    sizes.iter().sum::<usize>()
                )))
            }
            ("LIST", "") => Ok(Reply::Line(
                self.listing(|message| message.bytes.len().to_string()),
            )),
            ("LIST", number) => {
                let (number, message) = self.message(number)?;
                Ok(Reply::Line(format!("{number} {}", message.bytes.len())))
            }
            ("UIDL", "") => Ok(Reply::Line(self.listing(|message| self.unique_id(message)))),
            ("UIDL", number) => {
                let (number, message) = self.message(number)?;
                Ok(Reply::Line(format!("{number} {}", self.unique_id(message))))
            }
            ("RETR", number) => {
                let (_, message) = self.message(number)?;
                let heading = format!("+OK {} octets\r\n", message.bytes.len());
                out.extend_from_slice(heading.as_bytes());
                stuffed(&message.bytes, usize::MAX, out);
                Ok(Reply::Given)
            }
            ("TOP", arguments) => {
                let (number, lines) = arguments.split_once(' ').unwrap_or((arguments, ""));
                let lines = lines
                    .trim()
                    .parse()
                    .map_err(|_| "TOP takes a message and lines")?;
                let (_, message) = self.message(number)?;
                out.extend_from_slice(b"+OK the top follows\r\n");
                stuffed(&message.bytes, lines, out);
                Ok(Reply::Given)
            }
            ("DELE", number) => {
                let (number, _) = self.message(number)?;
                if let Some(deleted) = self.deleted.get_mut(number - 1) {
                    *deleted = true;
                }
                Ok(Reply::Line("deleted at QUIT".to_owned()))
            }
            ("RSET", _) => {
                self.deleted.fill(false);
                Ok(Reply::Line("nothing is deleted".to_owned()))
            }
            _ => Err("command not understood".to_owned()),
        }
    }

    /// The messages not marked as deleted, with their numbers.
    fn present(&self) -> impl Iterator<Item = (usize, &Stored)> {
        let numbered = (1..).zip(&self.messages).zip(&self.deleted);
        numbered.filter_map(|(message, deleted)| (!deleted).then_some(message))
    }

    fn message(&self, number: &str) -> Result<(usize, &Stored), String> {
        let none = || "no such message".to_owned();
        let number: usize = number.parse().map_err(|_| none())?;
        let index = number.checked_sub(1).ok_or_else(none)?;
        match (self.messages.get(index), self.deleted.get(index)) {
            (Some(message), Some(false)) => Ok((number, message)),
            _ => Err(none()),
        }
    }

    fn unique_id(&self, message: &Stored) -> String {
        format!("{:08x}{:08x}", self.validity, message.uid)
    }

    fn listing(&self, about: impl Fn(&Stored) -> String) -> String {
        let mut listing = "listing follows\r\n".to_owned();
        for (number, message) in self.present() {
            let _ = write!(listing, "{number} {}\r\n", about(message));
        }
        listing.push('.');
        listing
    }
}

/// Writes a message with its dots stuffed and the dot that ends it: the header and so many lines.
fn stuffed(message: &[u8], lines: usize, out: &mut Vec<u8>) {
    let body_start = fields::body_start(message);
    let (header, body) = message.split_at_checked(body_start).unwrap_or_default();
    let header = header.split_inclusive(|&byte| byte == b'\n');
    let body = body.split_inclusive(|&byte| byte == b'\n').take(lines);
    for line in header.chain(body) {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line_content(line));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

fn line_content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
