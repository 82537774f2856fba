//! From nothing to a session that is ready for MAIL: look-up, connect, TLS, greeting, EHLO, STARTTLS, login.

use std::net::SocketAddr;

use data_encoding::BASE64;
use lettre::transport::smtp::commands::{Ehlo, Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2};
use tokio::net::TcpStream;

use super::conversation::{Capabilities, Conversation, NoReply};
use super::submit::{GOODBYE, Session, Submission, Submitter};
use super::trip::Trip;
use crate::config::plan::{self, Endpoint, Gateway, Security, Trust};
use crate::net::dial;
use crate::net::dns::{Target, no_address};
use crate::net::login::{Exchange, Method, Offers};
use crate::net::stream::Stream;
use crate::net::tls;
use crate::probe::facts::{End, Failure, Reply};
use crate::probe::outcome::{Code, Phase};

/// What a server greets with that takes mail (RFC 5321 §4.3.2).
const GREETING: u16 = 220;

impl Submitter {
    /// Whether the gateway answers EHLO; if not, why.
    pub async fn answers(&self) -> Result<(), Failure> {
        let mut trip = Trip::begin(false);
        let failure = match self.meet(None, false, false, &mut trip).await {
            Ok((mut conversation, _, _)) => {
                // Nothing depends on a goodbye.
                let _ = conversation.command(Quit, GOODBYE).await;
                return Ok(());
            }
            Err(End::Broken(_, failure) | End::ReplyLost(failure)) => failure,
            Err(End::Refused(_, reply) | End::Accepted(reply)) => {
                let early = NoReply::Malformed(reply.raw.into());
                self.failure(Phase::Banner, &early)
            }
            Err(End::Awaited | End::Cut) => self.failure(Phase::Banner, &NoReply::Closed),
        };
        Err(failure)
    }

    pub(super) async fn open(
        &self,
        submission: &Submission,
        trip: &mut Trip,
    ) -> Result<Session, End> {
        let Submission {
            address: wanted,
            pinned,
            in_clear,
            transcript,
            ..
        } = *submission;
        let (conversation, can, met) = self.meet(wanted, pinned, transcript, trip).await?;
        let address = met.address;
        let endpoint = &Endpoint {
            host: met.host,
            port: self.gateway.endpoint.port,
        };
        let (mut conversation, can) = if in_clear {
            (conversation, can)
        } else {
            self.secure(endpoint, conversation, can, trip).await?
        };
        let login = self.log_in(&mut conversation, can, trip).await;
        match login {
            Ok(authenticated) => Ok(Session {
                tls: conversation.stream().tls_version(),
                conversation,
                can,
                address,
                authenticated,
                messages: 0,
            }),
            Err(end) => {
                trip.transcript.append(&mut conversation.take_transcript());
                Err(end)
            }
        }
    }

    /// The look-up and the TCP handshake. `wanted`: the address to go to, if it is one of the gateway's or `pinned`.
    pub(super) async fn reach(
        &self,
        wanted: Option<SocketAddr>,
        pinned: bool,
        trip: &mut Trip,
    ) -> Result<(TcpStream, Target), End> {
        let Gateway {
            endpoint, timeout, ..
        } = &*self.gateway;
        let broken = |phase| move |failure| End::Broken(phase, failure);
        let targets = self
            .dns
            .targets(endpoint, self.gateway.is_domain, *timeout)
            .await;
        trip.found(targets.as_deref().unwrap_or_default());
        trip.mark(Phase::Dns);
        let targets = targets.map_err(broken(Phase::Dns))?;
        let chosen = targets
            .iter()
            .find(|target| Some(target.address) == wanted)
            .or(targets.first());
        let chosen = chosen.map(|target| Target {
            address: wanted.filter(|_| pinned).unwrap_or(target.address),
            ..target.clone()
        });
        let Some(Target { host, address }) = chosen else {
            return Err(End::Broken(Phase::Dns, no_address(endpoint)));
        };
        trip.address = Some(address);
        let mut others = targets.iter().map(|target| target.address);
        trip.other = others.find(|other| *other != address);
        let tcp = dial::connect(address, *timeout).await;
        trip.mark(Phase::Connect);
        let tcp = tcp.map_err(broken(Phase::Connect))?;
        Ok((tcp, Target { host, address }))
    }

    /// From the look-up to the reply to EHLO.
    pub(super) async fn meet(
        &self,
        wanted: Option<SocketAddr>,
        pinned: bool,
        transcript: bool,
        trip: &mut Trip,
    ) -> Result<(Conversation<Stream>, Capabilities, Target), End> {
        let (tcp, met) = self.reach(wanted, pinned, trip).await?;
        let endpoint = &Endpoint {
            host: met.host.clone(),
            port: self.gateway.endpoint.port,
        };
        let stream = if self.gateway.security == Security::Implicit {
            let secured = dial::secure(&self.tls, endpoint, tcp, self.gateway.timeout).await;
            if let Ok(stream) = &secured {
                trip.secured(stream);
            }
            trip.mark(Phase::Tls);
            secured.map_err(|failure| End::Broken(Phase::Tls, failure))?
        } else {
            Stream::Plain(tcp)
        };
        let mut conversation = Conversation::new(stream, transcript);
        match self.greet(&mut conversation, trip).await {
            Ok(can) => Ok((conversation, can, met)),
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
        trip.hear(&greeting);
        trip.mark(Phase::Banner);
        let greeting = self.positive(Phase::Banner, greeting)?;
        if greeting.code != GREETING {
            let odd = NoReply::Malformed(greeting.raw.into());
            return Err(End::Broken(
                Phase::Banner,
                self.failure(Phase::Banner, &odd),
            ));
        }
        let ehlo = self.ehlo(conversation, trip).await;
        trip.mark(Phase::Ehlo);
        ehlo
    }

    /// EHLO, or HELO where the server knows no EHLO (RFC 5321 §4.1.4).
    async fn ehlo(
        &self,
        conversation: &mut Conversation<Stream>,
        trip: &mut Trip,
    ) -> Result<Capabilities, End> {
        let client = self
            .gateway
            .ehlo
            .clone()
            .map_or_else(ClientId::default, ClientId::Domain);
        let limit = self.gateway.timeout;
        let reply = conversation.command(Ehlo::new(client.clone()), limit).await;
        trip.hear(&reply);
        match reply {
            Ok(reply) if matches!(reply.code, 500 | 502) => {
                let helo = conversation
                    .command(format!("HELO {client}\r\n"), limit)
                    .await;
                trip.hear(&helo);
                self.positive(Phase::Ehlo, helo)
                    .map(|_| Capabilities::default())
            }
            reply => self
                .positive(Phase::Ehlo, reply)
                .map(|reply| Capabilities::of(&reply)),
        }
    }

    /// STARTTLS as the config asks for it.
    pub(super) async fn secure(
        &self,
        endpoint: &Endpoint,
        mut conversation: Conversation<Stream>,
        can: Capabilities,
        trip: &mut Trip,
    ) -> Result<(Conversation<Stream>, Capabilities), End> {
        let Gateway {
            timeout, security, ..
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
        trip.make_ready(&self.tls);
        let reply = conversation.command(Starttls, *timeout).await;
        trip.hear(&reply);
        let is_optional = *security == Security::Opportunistic;
        trip.transcript.append(&mut conversation.take_transcript());
        if let Err(end) = self.positive(Phase::Starttls, reply) {
            trip.may_go_clear = is_optional;
            trip.mark(Phase::Starttls);
            return Err(end);
        }
        let secured = match conversation.into_stream() {
            Ok((Stream::Plain(tcp), transcript)) => {
                let secured = dial::secure(&self.tls, endpoint, tcp, *timeout).await;
                trip.may_go_clear = is_optional && secured.is_err();
                secured.map(|stream| (stream, transcript))
            }
            Ok((tls @ Stream::Tls(_), transcript)) => Ok((tls, transcript)),
            Err(unasked) => Err(self.failure(Phase::Starttls, &unasked)),
        };
        let (stream, transcript) = match secured {
            Ok(secured) => secured,
            Err(failure) => {
                trip.mark(Phase::Starttls);
                return Err(End::Broken(Phase::Starttls, failure));
            }
        };
        trip.secured(&stream);
        let mut conversation = Conversation::resume(stream, transcript);
        let can = self.ehlo(&mut conversation, trip).await;
        trip.mark(Phase::Starttls);
        match can {
            Ok(can) => Ok((conversation, can)),
            Err(end) => {
                // TLS 1.3: what the server holds against the handshake comes only now.
                trip.may_go_clear = is_optional && matches!(end, End::Broken(..));
                trip.transcript.append(&mut conversation.take_transcript());
                Err(end)
            }
        }
    }

    /// Whether the session is authenticated now.
    pub(super) async fn log_in(
        &self,
        conversation: &mut Conversation<Stream>,
        can: Capabilities,
        trip: &mut Trip,
    ) -> Result<bool, End> {
        let Some(login) = &self.gateway.login else {
            return Ok(false);
        };
        let result = self.authenticate(conversation, can, login, trip).await;
        trip.mark(Phase::Auth);
        result.map(|()| true)
    }

    async fn authenticate(
        &self,
        conversation: &mut Conversation<Stream>,
        can: Capabilities,
        login: &plan::Login,
        trip: &mut Trip,
    ) -> Result<(), End> {
        let Gateway {
            endpoint, timeout, ..
        } = &*self.gateway;
        let is_verified = conversation.stream().tls_version().is_some()
            && *self.gateway.session_trust() != Trust::Anybody;
        let mechanisms = [
            (AUTH_PLAIN, "PLAIN"),
            (AUTH_LOGIN, "LOGIN"),
            (AUTH_XOAUTH2, "XOAUTH2"),
        ];
        let offered = mechanisms
            .into_iter()
            .filter_map(|(bit, name)| can.mechanism(bit).then_some(name));
        let offers = Offers::new(offered, false);
        let broken = |failure| End::Broken(Phase::Auth, failure);
        let owner = format!("gateway {}", self.gateway.name);
        let mut exchange = Exchange::prepare(login, &owner, endpoint, is_verified, &offers)
            .await
            .map_err(broken)?;
        conversation.hide(exchange.hidden.clone());
        let mechanism = exchange.method.mechanism().unwrap_or_default();
        // All but LOGIN begin with their response.
        let initial = match exchange.method {
            Method::Login | Method::Command => None,
            Method::Plain | Method::Xoauth2 => exchange.respond(),
        };
        let command = match initial {
            Some(response) => format!("AUTH {mechanism} {response}\r\n"),
            None => format!("AUTH {mechanism}\r\n"),
        };
        let shown = format!("AUTH {mechanism} <hidden>");
        let mut reply = conversation.secret(command, &shown, *timeout).await;
        let mut told = None;
        while let Ok(challenge) = &reply
            && challenge.code == 334
            && let Some(answer) = exchange.respond()
        {
            // XOAUTH2 tells what is wrong in a challenge that wants an empty answer.
            if answer.is_empty() {
                told = BASE64.decode(challenge.text().as_bytes()).ok();
            }
            reply = conversation
                .secret(format!("{answer}\r\n"), "<hidden>", *timeout)
                .await;
        }
        if let (Ok(reply), Some(told)) = (&mut reply, told) {
            let told = exchange.hidden.strip(&String::from_utf8_lossy(&told));
            reply.raw = format!("{}\n{} {told}", reply.raw, reply.code).into();
        }
        trip.hear(&reply);
        self.positive(Phase::Auth, reply).map(|_| ())
    }

    /// The reply, if it is 2xx.
    pub(super) fn positive(
        &self,
        phase: Phase,
        reply: Result<Reply, NoReply>,
    ) -> Result<Reply, End> {
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

    pub(super) fn failure(&self, phase: Phase, error: &NoReply) -> Failure {
        if let NoReply::Broken(error) = error
            && tls::wants_certificate(error)
        {
            return Failure {
                code: Code::TlsFailed,
                what: format!("TLS with {}: {error}", self.gateway.endpoint),
                remedy: "the server asks for a certificate of ours: name one it trusts in `client_cert` and `client_key`",
            };
        }
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
            (_, NoReply::Unasked(_) | NoReply::Early(_)) => {
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
