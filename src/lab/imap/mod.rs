//! The mailbox over IMAP (RFC 3501 with IDLE, UIDPLUS, MOVE, SPECIAL-USE, NAMESPACE, ID, LITERAL+).
//!
//! The grammar of commands is imap-codec's; answers are written as bytes, because messages are
//! copied once, from the mailbox into the reply. Here is the conversation: framing, states, login,
//! IDLE. What concerns folders is in `folders`, what concerns messages in `messages` and `fetch`.

mod fetch;
mod folders;
mod frame;
mod messages;
mod search;
mod structure;
mod view;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use imap_codec::{
    CommandCodec,
    decode::Decoder,
    imap_types::{
        auth::AuthMechanism,
        command::{Command, CommandBody},
    },
};
use tokio::{sync::watch, time::sleep_until};

use self::{frame::Frame, view::View};
use super::{
    fault::kind::Kind,
    sasl,
    site::Site,
    stamp,
    wire::{Stream, Wire, WireError},
};

/// RFC 3501 asks for 30 minutes at least.
const IDLE: Duration = Duration::from_mins(31);
const ERROR_LIMIT: u32 = 20;

/// How a command ends: the status and the text of the tagged reply.
enum Answer {
    Ok(String),
    No(String),
    Bad(String),
    /// The conversation is over, this reply with this status is its last.
    Bye(&'static str, String),
    /// The tagged reply has been sent already.
    Given,
}

impl Answer {
    fn ok(text: &str) -> Self {
        Answer::Ok(text.to_owned())
    }

    fn no(text: &str) -> Self {
        Answer::No(text.to_owned())
    }

    /// After the BYE that `sync` wrote.
    fn renumbered() -> Self {
        Answer::Bye("NO", "the mailbox was renumbered".to_owned())
    }

    fn bad(text: &str) -> Self {
        Answer::Bad(text.to_owned())
    }
}

struct Session<S> {
    wire: Wire<S>,
    site: Arc<Site>,
    /// Tells our own changes from those of others.
    number: u64,
    authenticated: bool,
    view: Option<View>,
    changed: watch::Receiver<()>,
    errors: u32,
}

/// Serves one client until it leaves.
pub(crate) async fn serve<S: Stream>(stream: S, site: Arc<Site>) -> Result<(), WireError> {
    let mut session = Session {
        wire: Wire::new(stream, Arc::clone(&site), IDLE),
        number: site.numbers.fetch_add(1, Ordering::Relaxed),
        changed: site.mailbox.watch(),
        site,
        authenticated: false,
        view: None,
        errors: 0,
    };
    let served = session.run().await;
    if matches!(served, Err(WireError::Idle)) {
        session.wire.push(b"* BYE idle for too long\r\n");
    }
    session.wire.close().await;
    served
}

impl<S: Stream> Session<S> {
    async fn run(&mut self) -> Result<(), WireError> {
        let greeting = format!("* OK [CAPABILITY {}] mail lab\r\n", self.capabilities());
        self.wire.push(greeting.as_bytes());
        loop {
            let command = match frame::read(&mut self.wire, self.authenticated).await? {
                Frame::Command(bytes) => bytes,
                Frame::TooLarge => {
                    self.wire.push(b"* BYE line or literal too large\r\n");
                    return Ok(());
                }
            };
            let (tag, answer) = match CommandCodec::default().decode(&command) {
                Ok((_, command)) => {
                    let tag = command.tag.inner().to_owned();
                    (tag, self.command(command).await?)
                }
                Err(_) => (frame::tag(&command), Answer::bad("command not understood")),
            };
            if matches!(answer, Answer::Bad(_)) {
                self.errors += 1;
            }
            let (status, text, over) = match answer {
                Answer::Ok(text) => ("OK", text, false),
                Answer::No(text) => ("NO", text, false),
                Answer::Bad(text) => ("BAD", text, false),
                Answer::Bye(status, text) => (status, text, true),
                Answer::Given => continue,
            };
            self.untagged(&format!("{tag} {status} {text}"));
            if self.errors >= ERROR_LIMIT {
                self.untagged("* BYE too many errors");
                return Ok(());
            }
            if over {
                return Ok(());
            }
        }
    }

    /// Adds one line to the reply.
    fn untagged(&mut self, line: &str) {
        self.wire.push(line.as_bytes());
        self.wire.push(b"\r\n");
    }

    fn capabilities(&self) -> String {
        let faults = &self.site.faults;
        let mut capabilities =
            "IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE UNSELECT AUTH=PLAIN AUTH=XOAUTH2".to_owned();
        let offered = [
            (self.offers_tls(), " STARTTLS"),
            (!faults.stands(Kind::NoIdle), " IDLE"),
            (!faults.stands(Kind::NoUidplus), " UIDPLUS"),
            (!faults.stands(Kind::NoMove), " MOVE"),
            (!faults.stands(Kind::NoSpecialUse), " SPECIAL-USE"),
        ];
        for (is_offered, name) in offered {
            if is_offered {
                capabilities.push_str(name);
            }
        }
        capabilities
    }

    fn offers_tls(&self) -> bool {
        !self.wire.is_tls() && !self.site.faults.stands(Kind::NoStarttls)
    }

    async fn command(&mut self, command: Command<'_>) -> Result<Answer, WireError> {
        let body = command.body;
        let faults = &self.site.faults;
        if faults.stands(Kind::ImapNo) && faults.refuses_command(&spelled(&body)) {
            return Ok(Answer::no("[UNAVAILABLE] not now"));
        }
        match body {
            CommandBody::Capability => {
                let capabilities = format!("* CAPABILITY {}", self.capabilities());
                self.untagged(&capabilities);
                Ok(Answer::ok("CAPABILITY done"))
            }
            CommandBody::Logout => {
                self.untagged("* BYE logging out");
                Ok(Answer::Bye("OK", "LOGOUT done".to_owned()))
            }
            CommandBody::Id { .. } => {
                self.untagged("* ID (\"name\" \"mail lab\")");
                Ok(Answer::ok("ID done"))
            }
            CommandBody::StartTLS => self.start_tls(command.tag.inner()).await,
            CommandBody::Login { .. } | CommandBody::Authenticate { .. } if self.authenticated => {
                Ok(Answer::bad("already logged in"))
            }
            CommandBody::Login { username, password } => {
                let password = password.declassify().as_ref();
                let accepted = self.site.account.accepts(username.as_ref(), password);
                Ok(self.logged_in(accepted))
            }
            CommandBody::Authenticate {
                mechanism,
                initial_response,
            } => {
                let initial = initial_response
                    .as_ref()
                    .map(|initial| &**initial.declassify());
                self.authenticate(&mechanism, initial).await
            }
            CommandBody::Noop if !self.authenticated => Ok(Answer::ok("NOOP done")),
            _ if !self.authenticated => Ok(Answer::bad("log in first")),
            CommandBody::Idle => self.idle().await,
            body => self.authenticated_command(body).await,
        }
    }

    /// Commands about folders and messages, with the news before and after them.
    async fn authenticated_command(&mut self, body: CommandBody<'_>) -> Result<Answer, WireError> {
        let by_uid = is_by_uid(&body);
        // Sequence numbers in a command mean what the client knows, so nothing may move them
        // before it, nor during FETCH, STORE and SEARCH (RFC 3501 section 7.4.1).
        let by_number = !by_uid
            && matches!(
                body,
                CommandBody::Fetch { .. } | CommandBody::Store { .. } | CommandBody::Search { .. }
            );
        if by_uid && !self.sync() {
            return Ok(Answer::renumbered());
        }
        let answer = if self.view.is_some() {
            self.selected(body).await?
        } else {
            self.unselected(body)
        };
        if !by_number && !self.sync() {
            return Ok(Answer::renumbered());
        }
        Ok(answer)
    }

    /// Tells the client what changed in its folder; false when that is not possible any more.
    fn sync(&mut self) -> bool {
        self.changed.borrow_and_update();
        let Some(view) = &mut self.view else {
            return true;
        };
        let out = self.wire.output();
        let mut folders = self.site.mailbox.folders();
        let synced = folders
            .get_mut(&view.folder)
            .map(|folder| view.sync(folder, out));
        if synced != Some(true) {
            out.extend_from_slice(b"* BYE UIDVALIDITY changed, select the mailbox again\r\n");
        }
        synced == Some(true)
    }

    async fn start_tls(&mut self, tag: &str) -> Result<Answer, WireError> {
        if !self.offers_tls() || self.authenticated {
            return Ok(Answer::bad("STARTTLS is not offered"));
        }
        // What came with STARTTLS was not protected: whoever sent it, it must never be obeyed.
        if !self.wire.buffered().is_empty() {
            return Ok(Answer::Bye("BAD", "nothing may follow STARTTLS".to_owned()));
        }
        self.untagged(&format!("{tag} OK begin TLS"));
        self.wire.start_tls().await?;
        self.view = None;
        Ok(Answer::Given)
    }

    fn logged_in(&mut self, accepted: bool) -> Answer {
        if self.site.faults.strikes(Kind::LoginRefused) || !accepted {
            self.errors += 1;
            return Answer::no("[AUTHENTICATIONFAILED] authentication failed");
        }
        self.authenticated = true;
        self.errors = 0;
        Answer::Ok(format!("[CAPABILITY {}] logged in", self.capabilities()))
    }

    async fn authenticate(
        &mut self,
        mechanism: &AuthMechanism<'_>,
        initial: Option<&[u8]>,
    ) -> Result<Answer, WireError> {
        if !matches!(mechanism, AuthMechanism::Plain | AuthMechanism::XOAuth2) {
            return Ok(Answer::no("[CANNOT] mechanism not supported"));
        }
        let response = if let Some(initial) = initial {
            initial.to_vec()
        } else {
            self.wire.push(b"+ \r\n");
            let line = self.wire.line(8192).await?;
            match sasl::decode(&line) {
                Some(response) => response,
                None => return Ok(Answer::bad("not base64, or cancelled")),
            }
        };
        let account = &self.site.account;
        let accepted = match mechanism {
            AuthMechanism::XOAuth2 => account.accepts_xoauth2(&response),
            _ => account.accepts_plain(&response),
        };
        Ok(self.logged_in(accepted))
    }

    async fn idle(&mut self) -> Result<Answer, WireError> {
        if self.site.faults.stands(Kind::NoIdle) {
            return Ok(Answer::bad("IDLE is not offered"));
        }
        self.wire.push(b"+ idling\r\n");
        let mut late = None;
        loop {
            // Nothing may be half written when the select below drops the reader.
            self.wire.flush().await?;
            let mut changed = self.changed.clone();
            tokio::select! {
                line = self.wire.line(64) => {
                    return Ok(if line?.eq_ignore_ascii_case(b"DONE") {
                        if !self.site.faults.stands(Kind::SilentIdle) && !self.sync() {
                            return Ok(Answer::renumbered());
                        }
                        Answer::ok("IDLE done")
                    } else {
                        Answer::bad("DONE was expected")
                    });
                }
                Ok(()) = changed.changed(), if late.is_none() => {
                    self.changed.borrow_and_update();
                    let faults = &self.site.faults;
                    if faults.stands(Kind::SilentIdle) {
                        continue;
                    }
                    let span = faults.state(Kind::LateIdle).map(|fault| fault.fault.span());
                    late = Some(stamp::instant(span.unwrap_or_default()));
                }
                () = sleep_until(late.unwrap_or_else(|| stamp::instant(IDLE)).into()),
                    if late.is_some() =>
                {
                    late = None;
                    if !self.sync() {
                        return Ok(Answer::renumbered());
                    }
                }
            }
        }
    }
}

/// The command as a client spells it.
fn spelled(body: &CommandBody<'_>) -> String {
    if is_by_uid(body) {
        format!("UID {}", body.name())
    } else {
        body.name().to_owned()
    }
}

fn is_by_uid(body: &CommandBody<'_>) -> bool {
    matches!(
        body,
        CommandBody::Fetch { uid: true, .. }
            | CommandBody::Store { uid: true, .. }
            | CommandBody::Search { uid: true, .. }
            | CommandBody::Copy { uid: true, .. }
            | CommandBody::Move { uid: true, .. }
            | CommandBody::ExpungeUid { .. }
    )
}
