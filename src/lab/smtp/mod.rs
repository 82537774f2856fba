//! The SMTP gateway's side of a conversation (RFC 5321): commands in order, replies, AUTH, TLS.
//!
//! The grammar is smtp-proto's. What happens to an accepted message is decided by `gateway`.

mod transaction;

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2, Error, Request};

use super::{
    fault::kind::Kind,
    gateway::Envelope,
    sasl,
    site::{GATEWAY_NAME, Site},
    wire::{Stream, Wire, WireError},
};

const IDLE: Duration = Duration::from_mins(5);
/// RFC 5321 asks for 512 octets, extensions add to it.
const LINE_LIMIT: usize = 2048;
/// Errors after which a client is no mail client.
const ERROR_LIMIT: u32 = 20;

/// Whether the conversation goes on after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Close,
}

struct Session<S> {
    wire: Wire<S>,
    site: Arc<Site>,
    peer: IpAddr,
    /// What the client called itself.
    helo: Option<String>,
    extended: bool,
    authenticated: bool,
    envelope: Option<Envelope>,
    errors: u32,
}

/// Serves one client until it leaves.
pub(crate) async fn serve<S: Stream>(
    stream: S,
    peer: IpAddr,
    site: Arc<Site>,
) -> Result<(), WireError> {
    let mut session = Session {
        wire: Wire::new(stream, Arc::clone(&site), IDLE).paced(),
        site,
        peer,
        helo: None,
        extended: false,
        authenticated: false,
        envelope: None,
        errors: 0,
    };
    let served = session.run().await;
    if matches!(served, Err(WireError::Idle)) {
        session.reply(421, "4.4.2 idle for too long, closing");
    }
    session.wire.close().await;
    served
}

impl<S: Stream> Session<S> {
    async fn run(&mut self) -> Result<(), WireError> {
        self.reply(220, &format!("{GATEWAY_NAME} ESMTP mail lab"));
        loop {
            let next = match self.wire.line(LINE_LIMIT).await {
                Ok(mut line) => {
                    line.extend_from_slice(b"\r\n");
                    match Request::parse(&mut line.iter()) {
                        Ok(request) => self.request(request).await?,
                        Err(error) => {
                            self.complain(&error);
                            Next::Continue
                        }
                    }
                }
                Err(WireError::LineTooLong) => {
                    self.error(500, "5.5.6 line too long");
                    Next::Continue
                }
                Err(error) => return Err(error),
            };
            if self.errors >= ERROR_LIMIT {
                self.reply(421, "4.7.0 too many errors, closing");
                return Ok(());
            }
            if next == Next::Close {
                return Ok(());
            }
        }
    }

    /// A reply of one line. With bare replies there is only its code.
    fn reply(&mut self, code: u16, text: &str) {
        self.lines(code, &[text]);
    }

    fn lines(&mut self, code: u16, lines: &[&str]) {
        let bare = self.site.faults.stands(Kind::BareReplies);
        for (index, line) in lines.iter().enumerate() {
            let last = index + 1 == lines.len();
            let line = match (bare, last) {
                // EHLO without its keywords would be another fault.
                (true, true) if lines.len() == 1 => format!("{code}\n"),
                (true, true) => format!("{code} {line}\n"),
                (true, false) => format!("{code}-{line}\n"),
                (false, true) => format!("{code} {line}\r\n"),
                (false, false) => format!("{code}-{line}\r\n"),
            };
            self.wire.push(line.as_bytes());
        }
    }

    fn error(&mut self, code: u16, text: &str) {
        self.errors += 1;
        self.reply(code, text);
    }

    fn complain(&mut self, error: &Error) {
        match error {
            Error::InvalidSenderAddress => self.error(501, "5.1.7 bad sender address syntax"),
            Error::InvalidRecipientAddress => self.error(501, "5.1.3 bad recipient address syntax"),
            Error::SyntaxError { syntax } => self.error(501, &format!("5.5.4 syntax: {syntax}")),
            Error::InvalidParameter { param } => {
                self.error(501, &format!("5.5.4 invalid parameter {param}"));
            }
            Error::UnsupportedParameter { .. } => self.error(555, "5.5.4 unsupported parameter"),
            Error::UnknownCommand
            | Error::NeedsMoreData { .. }
            | Error::ResponseTooLong
            | Error::InvalidResponse { .. } => self.error(500, "5.5.2 command not recognised"),
        }
    }

    async fn request(&mut self, request: Request<Cow<'_, str>>) -> Result<Next, WireError> {
        match request {
            Request::Ehlo { host } => self.hello(&host, true),
            Request::Helo { host } => self.hello(&host, false),
            Request::Mail { from } => return Ok(self.mail(&from)),
            Request::Rcpt { to } => return Ok(self.rcpt(&to)),
            Request::Data => return self.data().await,
            Request::StartTls => return self.start_tls().await,
            Request::Auth {
                mechanism,
                initial_response,
            } => self.auth(mechanism, &initial_response).await?,
            Request::Rset => {
                self.envelope = None;
                self.reply(250, "2.0.0 Ok");
            }
            Request::Noop { .. } => self.reply(250, "2.0.0 Ok"),
            Request::Vrfy { .. } => self.reply(252, "2.0.0 send it and see"),
            Request::Help { .. } => {
                self.reply(
                    214,
                    "2.0.0 EHLO MAIL RCPT DATA STARTTLS AUTH RSET NOOP QUIT",
                );
            }
            Request::Quit => {
                self.reply(221, "2.0.0 Bye");
                return Ok(Next::Close);
            }
            Request::Bdat { .. } => {
                // The chunk would be read as commands.
                self.reply(502, "5.5.1 CHUNKING is not offered, closing");
                return Ok(Next::Close);
            }
            Request::Lhlo { .. }
            | Request::Expn { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. } => self.error(502, "5.5.1 command not implemented"),
        }
        Ok(Next::Continue)
    }

    fn hello(&mut self, host: &str, extended: bool) {
        self.envelope = None;
        self.extended = extended;
        self.helo = Some(printable(host));
        if !extended {
            self.reply(250, GATEWAY_NAME);
            return;
        }
        let faults = &self.site.faults;
        let mut keywords = vec!["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8"];
        if !faults.stands(Kind::NoDsn) {
            keywords.push("DSN");
        }
        keywords.push("ENHANCEDSTATUSCODES");
        if self.offers_tls() {
            keywords.push("STARTTLS");
        }
        keywords.push("AUTH PLAIN LOGIN XOAUTH2");
        let keywords = keywords.join("\n");
        let keywords = if faults.stands(Kind::LowerEhlo) {
            keywords.to_lowercase()
        } else {
            keywords
        };
        let lines: Vec<&str> = [GATEWAY_NAME].into_iter().chain(keywords.lines()).collect();
        self.lines(250, &lines);
    }

    fn offers_tls(&self) -> bool {
        !self.wire.is_tls() && !self.site.faults.stands(Kind::NoStarttls)
    }

    async fn start_tls(&mut self) -> Result<Next, WireError> {
        if !self.offers_tls() {
            self.error(503, "5.5.1 STARTTLS is not offered");
            return Ok(Next::Continue);
        }
        // What came with STARTTLS was not protected: whoever sent it, it must never be obeyed.
        if !self.wire.buffered().is_empty() {
            self.reply(554, "5.5.1 nothing may follow STARTTLS, closing");
            return Ok(Next::Close);
        }
        self.reply(220, "2.0.0 Ready to start TLS");
        self.wire.start_tls().await?;
        self.helo = None;
        self.envelope = None;
        self.authenticated = false;
        Ok(Next::Continue)
    }

    async fn auth(&mut self, mechanism: u64, initial: &str) -> Result<(), WireError> {
        if !self.extended || self.helo.is_none() || self.envelope.is_some() || self.authenticated {
            self.error(503, "5.5.1 AUTH is out of place");
            return Ok(());
        }
        let account = Arc::clone(&self.site);
        let account = &account.account;
        let accepted = match mechanism {
            AUTH_PLAIN => {
                let response = self.sasl_response(initial, "").await?;
                response.map(|response| account.accepts_plain(&response))
            }
            AUTH_XOAUTH2 => {
                let response = self.sasl_response(initial, "").await?;
                response.map(|response| account.accepts_xoauth2(&response))
            }
            AUTH_LOGIN => {
                let user = self.sasl_response(initial, "VXNlcm5hbWU6").await?;
                match user {
                    Some(user) => {
                        let password = self.sasl_response("", "UGFzc3dvcmQ6").await?;
                        password.map(|password| account.accepts(&user, &password))
                    }
                    None => None,
                }
            }
            _ => {
                self.error(504, "5.5.4 mechanism not supported");
                return Ok(());
            }
        };
        match accepted {
            Some(true) => {
                self.authenticated = true;
                self.reply(235, "2.7.0 Authentication successful");
            }
            Some(false) => self.error(535, "5.7.8 authentication failed"),
            None => self.error(501, "5.5.2 not a response to this mechanism"),
        }
        Ok(())
    }

    /// The initial response, or the answer to a challenge; `None` when it is malformed.
    async fn sasl_response(
        &mut self,
        initial: &str,
        challenge: &str,
    ) -> Result<Option<Vec<u8>>, WireError> {
        if !initial.is_empty() {
            return Ok(sasl::decode(initial.as_bytes()));
        }
        // Never bare: a challenge is part of the exchange, not an explanation.
        self.wire.push(format!("334 {challenge}\r\n").as_bytes());
        match self.wire.line(LINE_LIMIT * 4).await {
            Ok(line) => Ok(sasl::decode(&line)),
            Err(WireError::LineTooLong) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses as a real server would put it; 421 also closes.
    fn refuse(&mut self, code: u16, about: &str) -> Next {
        let text = match code {
            421 => "4.3.2 Service shutting down".to_owned(),
            450 => format!("4.2.0 {about}: temporarily unavailable"),
            451 => format!("4.3.0 {about}: local error in processing"),
            452 => "4.3.1 Insufficient system storage".to_owned(),
            400..500 => format!("4.0.0 {about}"),
            550 => format!("5.1.1 {about}: User unknown"),
            552 => "5.2.2 Mailbox full".to_owned(),
            554 => format!("5.7.1 {about}: rejected by policy"),
            _ => format!("5.0.0 {about}"),
        };
        self.reply(code, &text);
        if code == 421 {
            Next::Close
        } else {
            Next::Continue
        }
    }
}

/// What a client said, fit to stand in a reply or a header field.
fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}
