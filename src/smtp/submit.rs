//! One attempt to submit one message: from the look-up, or from MAIL on a kept session, to the final reply. Drives the
//! phases in their order and times each; whatever goes wrong is written down as a fact.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{
    ClientId, MailBodyParameter, MailParameter, RcptParameter,
};
use secrecy::ExposeSecret;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2};

use super::conversation::{Capabilities, Conversation, NoReply};
use crate::clock::Stamp;
use crate::config::plan::{self, Gateway, Security, Trust};
use crate::net::dial;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::{Attempt, End, Failure, Reply, Step, Vantage, is_local};
use crate::probe::outcome::{Code, Phase};

/// How long a polite goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A message and its envelope.
#[derive(Clone, Debug)]
pub struct Submission {
    /// MAIL.
    pub from: Address,
    /// RCPT.
    pub to: Address,
    /// The message as it goes over the wire, before dot-stuffing.
    pub message: Arc<[u8]>,
    /// ENVID (RFC 3461 §4.4), where the server takes one.
    pub envelope_id: String,
    /// The address an earlier attempt went to: greylisting wants the same again.
    pub address: Option<SocketAddr>,
    /// Whether both sides' lines are kept.
    pub transcript: bool,
}

/// A session past its login, ready for MAIL.
#[derive(Debug)]
pub struct Session {
    conversation: Conversation<Stream>,
    can: Capabilities,
    address: SocketAddr,
    tls: Option<&'static str>,
    authenticated: bool,
}

impl Session {
    /// Says QUIT and does not wait long for the answer.
    pub async fn quit(mut self) {
        // Nothing depends on a goodbye.
        let _ = self.conversation.command(Quit, GOODBYE).await;
    }
}

/// Submits to one gateway.
pub struct Submitter {
    gateway: Arc<Gateway>,
    tls: Tls,
}

impl Submitter {
    /// For this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let tls = Tls::new(gateway.session_trust());
        Self { gateway, tls }
    }

    /// One attempt, over `kept` if there is one. `handed_over` is told when the final dot is written: from then on the
    /// copy may arrive before the reply does. Gives back a session that can be used again.
    pub async fn submit(
        &self,
        kept: Option<Session>,
        submission: &Submission,
        handed_over: impl FnOnce(Attempt),
    ) -> (Attempt, Option<Session>) {
        let mut kept = kept;
        if let Some(session) = &mut kept
            && session.conversation.is_stale().await
        {
            kept = None;
        }
        let mut trip = Trip::begin(kept.is_some());
        let opened = match kept {
            Some(session) => Ok(session),
            None => self.open(submission, &mut trip).await,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(end) => return (trip.end(end), None),
        };
        trip.enter(&session);
        let end = match self
            .transaction(&mut session, submission, &mut trip, handed_over)
            .await
        {
            Ok(reply) => End::Accepted(reply),
            Err(end) => end,
        };
        let usable = match &end {
            End::Accepted(_) => true,
            End::Refused(_, reply) if reply.code != 421 => {
                let reset = session
                    .conversation
                    .command(Rset, self.gateway.timeout)
                    .await;
                reset.is_ok_and(|reply| reply.is_positive())
            }
            End::Refused(..) | End::Broken(..) | End::ReplyLost(_) | End::Awaited => false,
        };
        trip.transcript
            .append(&mut session.conversation.take_transcript());
        (trip.end(end), usable.then_some(session))
    }

    async fn open(&self, submission: &Submission, trip: &mut Trip) -> Result<Session, End> {
        let Gateway {
            endpoint, timeout, ..
        } = &*self.gateway;
        let broken = |phase| move |failure| End::Broken(phase, failure);
        let addresses = dial::look_up(endpoint, *timeout).await;
        trip.mark(Phase::Dns);
        let addresses = addresses.map_err(broken(Phase::Dns))?;
        let address = submission
            .address
            .filter(|before| addresses.contains(before))
            .or(addresses.first().copied());
        let Some(address) = address else {
            return Err(End::Broken(
                Phase::Dns,
                self.failure(Phase::Dns, &NoReply::Closed),
            ));
        };
        trip.address = Some(address);
        let tcp = dial::connect(address, *timeout).await;
        trip.mark(Phase::Connect);
        let tcp = tcp.map_err(broken(Phase::Connect))?;
        let stream = if self.gateway.security == Security::Implicit {
            let secured = dial::secure(&self.tls, endpoint.bare_host(), tcp, *timeout).await;
            trip.mark(Phase::Tls);
            secured.map_err(broken(Phase::Tls))?
        } else {
            Stream::Plain(tcp)
        };
        let mut conversation = Conversation::new(stream, submission.transcript);
        let session = self.greet(&mut conversation, trip).await;
        let can = match session {
            Ok(can) => can,
            Err(end) => {
                trip.transcript.append(&mut conversation.take_transcript());
                return Err(end);
            }
        };
        let (mut conversation, can) = self.secure(conversation, can, trip).await?;
        let login = self.log_in(&mut conversation, can, trip).await;
        match login {
            Ok(authenticated) => Ok(Session {
                tls: conversation.stream().tls_version(),
                conversation,
                can,
                address,
                authenticated,
            }),
            Err(end) => {
                trip.transcript.append(&mut conversation.take_transcript());
                Err(end)
            }
        }
    }

    async fn greet(
        &self,
        conversation: &mut Conversation<Stream>,
        trip: &mut Trip,
    ) -> Result<Capabilities, End> {
        let greeting = conversation.reply(self.gateway.timeout).await;
        trip.mark(Phase::Banner);
        self.positive(Phase::Banner, greeting)?;
        let ehlo = self.ehlo(conversation).await;
        trip.mark(Phase::Ehlo);
        ehlo
    }

    /// EHLO, or HELO where the server knows no EHLO (RFC 5321 §4.1.4).
    async fn ehlo(&self, conversation: &mut Conversation<Stream>) -> Result<Capabilities, End> {
        let client = self
            .gateway
            .ehlo
            .clone()
            .map_or_else(ClientId::default, ClientId::Domain);
        let limit = self.gateway.timeout;
        let reply = conversation.command(Ehlo::new(client.clone()), limit).await;
        match reply {
            Ok(reply) if matches!(reply.code, 500 | 502) => {
                let helo = conversation
                    .command(format!("HELO {client}\r\n"), limit)
                    .await;
                self.positive(Phase::Ehlo, helo)
                    .map(|_| Capabilities::default())
            }
            reply => self
                .positive(Phase::Ehlo, reply)
                .map(|reply| Capabilities::of(&reply)),
        }
    }

    /// STARTTLS as the config asks for it.
    async fn secure(
        &self,
        mut conversation: Conversation<Stream>,
        can: Capabilities,
        trip: &mut Trip,
    ) -> Result<(Conversation<Stream>, Capabilities), End> {
        let Gateway {
            endpoint,
            timeout,
            security,
            ..
        } = &*self.gateway;
        let wanted = match security {
            Security::None | Security::Implicit => false,
            Security::Opportunistic => can.starttls(),
            Security::Starttls => true,
        };
        if !wanted {
            return Ok((conversation, can));
        }
        if !can.starttls() {
            trip.transcript.append(&mut conversation.take_transcript());
            let failure = Failure {
                code: Code::StarttlsMissing,
                what: format!("{endpoint} does not offer STARTTLS"),
                remedy: "turn it on there, or set `tls` to what the server does offer; somebody in between may also strip it",
            };
            return Err(End::Broken(Phase::Starttls, failure));
        }
        let reply = conversation.command(Starttls, *timeout).await;
        if let Err(end) = self.positive(Phase::Starttls, reply) {
            trip.mark(Phase::Starttls);
            trip.transcript.append(&mut conversation.take_transcript());
            return Err(end);
        }
        let broken = |failure| End::Broken(Phase::Starttls, failure);
        let secured = match conversation.into_stream() {
            Ok((Stream::Plain(tcp), transcript)) => {
                dial::secure(&self.tls, endpoint.bare_host(), tcp, *timeout)
                    .await
                    .map(|stream| (stream, transcript))
            }
            Ok((tls @ Stream::Tls(_), transcript)) => Ok((tls, transcript)),
            Err(unasked) => Err(self.failure(Phase::Starttls, &unasked)),
        };
        let secured = secured.map_err(broken);
        let (stream, transcript) = match secured {
            Ok(secured) => secured,
            Err(end) => {
                trip.mark(Phase::Starttls);
                return Err(end);
            }
        };
        let mut conversation = Conversation::resume(stream, transcript);
        let can = self.ehlo(&mut conversation).await;
        trip.mark(Phase::Starttls);
        Ok((conversation, can?))
    }

    /// Whether the session is authenticated now.
    async fn log_in(
        &self,
        conversation: &mut Conversation<Stream>,
        can: Capabilities,
        trip: &mut Trip,
    ) -> Result<bool, End> {
        let Some(login) = &self.gateway.login else {
            return Ok(false);
        };
        let result = self.authenticate(conversation, can, login).await;
        trip.mark(Phase::Auth);
        result.map(|()| true)
    }

    async fn authenticate(
        &self,
        conversation: &mut Conversation<Stream>,
        can: Capabilities,
        login: &plan::Login,
    ) -> Result<(), End> {
        let Gateway {
            endpoint, timeout, ..
        } = &*self.gateway;
        let unavailable = |what: String, remedy| {
            let failure = Failure {
                code: Code::AuthUnavailable,
                what,
                remedy,
            };
            End::Broken(Phase::Auth, failure)
        };
        let is_verified = conversation.stream().tls_version().is_some()
            && *self.gateway.session_trust() != Trust::Anybody;
        if !is_verified && !login.insecure {
            return Err(unavailable(
                format!(
                    "the session with {endpoint} is not secured by verified TLS, so the password was not sent"
                ),
                "set `tls` to starttls or implicit, or `insecure_auth = true` if this network is yours",
            ));
        }
        let offered = |mechanism| can.mechanism(mechanism);
        let mechanism = match login.auth {
            plan::Auth::Plain | plan::Auth::Auto if offered(AUTH_PLAIN) => Mechanism::Plain,
            plan::Auth::Login | plan::Auth::Auto if offered(AUTH_LOGIN) => Mechanism::Login,
            plan::Auth::Xoauth2 if offered(AUTH_XOAUTH2) => Mechanism::Xoauth2,
            auth => {
                return Err(unavailable(
                    format!(
                        "{endpoint} offers no login of the kind `auth = {:?}`",
                        auth.as_str()
                    ),
                    "many servers offer AUTH only after STARTTLS, or only on the submission port 587",
                ));
            }
        };
        let password = login.password.reveal().await.map_err(|error| {
            let failure = Failure {
                code: Code::Secret,
                what: format!("the password of gateway {}: {error}", self.gateway.name),
                remedy: "",
            };
            End::Broken(Phase::Auth, failure)
        })?;
        let credentials =
            Credentials::new(login.username.clone(), password.expose_secret().to_owned());
        let secrets = [login.username.as_str(), password.expose_secret()];
        let mut answers = secrets.iter().filter(|_| mechanism == Mechanism::Login);
        let command = Auth::new(mechanism, credentials, None)
            .map_err(|error| unavailable(error.to_string(), ""))?;
        let shown = format!("AUTH {mechanism} <hidden>");
        let mut reply = conversation.secret(command, &shown, *timeout).await;
        let mut told = None;
        // LOGIN has two challenges, the others none and one more to tell an error: who asks on is not answered.
        for _ in 0..3 {
            let Ok(challenge) = &reply else { break };
            if challenge.code != 334 {
                break;
            }
            // XOAUTH2 tells what is wrong in a challenge that wants an empty answer.
            let answer = answers
                .next()
                .map_or_else(String::new, |secret| BASE64.encode(secret.as_bytes()));
            if answer.is_empty() {
                told = BASE64.decode(challenge.text().as_bytes()).ok();
            }
            reply = conversation
                .secret(format!("{answer}\r\n"), "<hidden>", *timeout)
                .await;
        }
        if let (Ok(reply), Some(told)) = (&mut reply, told) {
            let told = String::from_utf8_lossy(&told);
            reply.raw = format!("{}\n{} {told}", reply.raw, reply.code).into();
        }
        self.positive(Phase::Auth, reply).map(|_| ())
    }

    async fn transaction(
        &self,
        session: &mut Session,
        submission: &Submission,
        trip: &mut Trip,
        handed_over: impl FnOnce(Attempt),
    ) -> Result<Reply, End> {
        let Submission { message, to, .. } = submission;
        let can = session.can;
        let conversation = &mut session.conversation;
        let limit = self.gateway.timeout;
        if let Some(most) = can.size_limit.filter(|most| message.len() > *most) {
            let failure = Failure {
                code: Code::TooLarge,
                what: format!(
                    "the message has {} bytes, and {} takes {most} at most (SIZE)",
                    message.len(),
                    self.gateway.endpoint
                ),
                remedy: "raise the server's limit, or send a smaller payload",
            };
            return Err(End::Broken(Phase::Mail, failure));
        }
        let mail = conversation.command(mail(submission, can), limit).await;
        trip.mark(Phase::Mail);
        self.positive(Phase::Mail, mail)?;
        let notify = can.dsn().then(|| RcptParameter::Other {
            keyword: "NOTIFY".into(),
            value: Some("FAILURE,DELAY".into()),
        });
        let rcpt = Rcpt::new(to.clone(), notify.into_iter().collect());
        let rcpt = conversation.command(rcpt, limit).await;
        trip.mark(Phase::Rcpt);
        self.positive(Phase::Rcpt, rcpt)?;
        trip.data_began = Some(trip.marked);
        let result = self.data(conversation, message, trip, handed_over).await;
        trip.mark(Phase::Data);
        result
    }

    async fn data(
        &self,
        conversation: &mut Conversation<Stream>,
        message: &[u8],
        trip: &mut Trip,
        handed_over: impl FnOnce(Attempt),
    ) -> Result<Reply, End> {
        let limit = self.gateway.timeout;
        let go = conversation.command(Data, limit).await;
        match go {
            Ok(reply) if reply.code == 354 => {}
            other => {
                let reply = self.positive(Phase::Data, other)?;
                let odd = NoReply::Malformed(reply.raw.into());
                return Err(End::Broken(Phase::Data, self.failure(Phase::Data, &odd)));
            }
        }
        let broken = |error: NoReply| End::Broken(Phase::Data, self.failure(Phase::Data, &error));
        conversation.content(message, limit).await.map_err(broken)?;
        let lost = |error: &NoReply| End::ReplyLost(self.failure(Phase::Data, error));
        let (dot, sent) = conversation.dot(limit).await;
        trip.dot = Some(dot);
        handed_over(trip.so_far(End::Awaited));
        sent.map_err(|error| lost(&error))?;
        match conversation.reply(self.gateway.final_timeout).await {
            Ok(reply) if reply.is_positive() => Ok(reply),
            Ok(reply) if reply.is_transient() || reply.is_permanent() => {
                Err(End::Refused(Phase::Data, reply))
            }
            Ok(reply) => Err(lost(&NoReply::Malformed(reply.raw.into()))),
            Err(error) => Err(lost(&error)),
        }
    }

    /// The reply, if it is 2xx.
    fn positive(&self, phase: Phase, reply: Result<Reply, NoReply>) -> Result<Reply, End> {
        match reply {
            Ok(reply) if reply.is_positive() => Ok(reply),
            Ok(reply) if reply.is_transient() || reply.is_permanent() => {
                Err(End::Refused(phase, reply))
            }
            Ok(reply) => {
                let odd = NoReply::Malformed(reply.raw.into());
                Err(End::Broken(phase, self.failure(phase, &odd)))
            }
            Err(error) => Err(End::Broken(phase, self.failure(phase, &error))),
        }
    }

    fn failure(&self, phase: Phase, error: &NoReply) -> Failure {
        let (code, tried) = match phase {
            Phase::Banner => (Code::GreetingFailed, "waiting for the greeting"),
            Phase::Ehlo => (Code::GreetingFailed, "EHLO"),
            Phase::Starttls | Phase::Tls => (Code::TlsFailed, "STARTTLS"),
            Phase::Auth => (Code::AuthFailed, "AUTH"),
            Phase::Mail => (Code::Deferred, "MAIL"),
            Phase::Rcpt => (Code::Deferred, "RCPT"),
            Phase::Data => (Code::Deferred, "DATA"),
            Phase::Dns => (Code::DnsFailed, "the look-up"),
            Phase::Deferral | Phase::Connect | Phase::Transit => {
                (Code::ConnectFailed, "connecting")
            }
        };
        let remedy = match (phase, error) {
            (Phase::Banner, NoReply::Slow(_)) => {
                "the server may expect TLS from the start on this port, or be overloaded"
            }
            (Phase::Banner, NoReply::Malformed(_)) => {
                "something else than SMTP answers there: check host, port and `tls`"
            }
            (_, NoReply::Unasked(_)) => {
                "something between here and the server may be tampering with the session"
            }
            (_, NoReply::Closed | NoReply::Broken(_)) => "the server's log says why it hung up",
            _ => "",
        };
        Failure {
            code,
            what: format!("{tried} at {}: {error}", self.gateway.endpoint),
            remedy,
        }
    }
}

fn mail(submission: &Submission, can: Capabilities) -> Mail {
    let other = |keyword: &str, value: &str| MailParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value.to_owned()),
    };
    let mut parameters = Vec::new();
    if can.size() {
        parameters.push(MailParameter::Size(submission.message.len()));
    }
    if can.eight_bit() && !submission.message.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if can.dsn() {
        parameters.push(other("RET", "HDRS"));
        parameters.push(other("ENVID", &submission.envelope_id));
    }
    Mail::new(Some(submission.from.clone()), parameters)
}

/// An attempt under way. Each phase ends where the next begins, so that together they are the whole.
struct Trip {
    started: Stamp,
    marked: Stamp,
    kept: bool,
    address: Option<SocketAddr>,
    tls: Option<&'static str>,
    authenticated: bool,
    steps: Vec<Step>,
    data_began: Option<Stamp>,
    dot: Option<Stamp>,
    transcript: Vec<String>,
}

impl Trip {
    fn begin(kept: bool) -> Self {
        let started = Stamp::now();
        Self {
            started,
            marked: started,
            kept,
            address: None,
            tls: None,
            authenticated: false,
            steps: Vec::new(),
            data_began: None,
            dot: None,
            transcript: Vec::new(),
        }
    }

    fn enter(&mut self, session: &Session) {
        self.address = Some(session.address);
        self.tls = session.tls;
        self.authenticated = session.authenticated;
    }

    /// `phase` ends now.
    fn mark(&mut self, phase: Phase) {
        let now = Stamp::now();
        self.steps.push(Step {
            phase,
            took: now.since(self.marked),
        });
        self.marked = now;
    }

    fn so_far(&self, end: End) -> Attempt {
        let is_local = self.address.is_none_or(|address| is_local(address.ip()));
        Attempt {
            started: self.started,
            ended: self.dot.unwrap_or(self.marked),
            kept: self.kept,
            address: self.address,
            tls: self.tls,
            vantage: match (self.authenticated, is_local) {
                (true, _) => Vantage::Authenticated,
                (false, true) => Vantage::Local,
                (false, false) => Vantage::Public,
            },
            steps: self.steps.clone(),
            data_began: self.data_began,
            dot: self.dot,
            end,
            transcript: Vec::new(),
        }
    }

    fn end(self, end: End) -> Attempt {
        let mut attempt = self.so_far(end);
        attempt.ended = self.marked;
        attempt.transcript = self.transcript;
        attempt
    }
}
