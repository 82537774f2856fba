//! One attempt to submit one message: from the look-up, or from MAIL on a kept session, to the final reply. Drives the
//! phases in their order and times each; whatever goes wrong is written down as a fact.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::conversation::{Capabilities, Conversation, NoReply};
use super::trip::Trip;
use crate::config::plan::Gateway;
use crate::net::dns::Dns;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::{Attempt, End, Failure, Reply};
use crate::probe::outcome::{Code, Phase};

/// So many messages go over one session. Exim, by default, lets those beyond the tenth lie until its next queue run.
const MOST_MESSAGES: u32 = 10;
/// How long a polite goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// A message and its envelope.
#[derive(Clone, Debug)]
pub struct Submission {
    /// MAIL.
    pub from: Address,
    /// RCPT.
    pub to: Address,
    /// The message as it goes over the wire, before dot-stuffing.
    pub message: Bytes,
    /// ENVID (RFC 3461 §4.4), where the server takes one.
    pub envelope_id: String,
    /// The address to go to, if it is still one of the gateway's: greylisting wants the one of the attempt before.
    pub address: Option<SocketAddr>,
    /// Whether only that address will do, though the look-up may not name it any more.
    pub pinned: bool,
    /// Whether STARTTLS is left out, because it failed before where TLS is opportunistic.
    pub in_clear: bool,
    /// Whether both sides' lines are kept.
    pub transcript: bool,
}

/// A session past its login, ready for MAIL.
#[derive(Debug)]
pub struct Session {
    pub(super) conversation: Conversation<Stream>,
    pub(super) can: Capabilities,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<&'static str>,
    pub(super) authenticated: bool,
    /// How many messages it was tried for.
    pub(super) messages: u32,
}

impl Session {
    /// The peer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says QUIT and does not wait long for the answer.
    pub async fn quit(mut self) {
        self.goodbye().await;
    }

    async fn goodbye(&mut self) {
        // Nothing depends on a goodbye.
        let _ = self.conversation.command(Quit, GOODBYE).await;
    }
}

/// Submits to one gateway.
pub struct Submitter {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tls: Tls,
    pub(super) dns: Dns,
}

impl Submitter {
    /// For this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let tls = Tls::new(gateway.session_trust(), gateway.client.as_deref());
        let dns = Dns::new(Arc::clone(&gateway.name_servers));
        Self { gateway, tls, dns }
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
        session.messages += 1;
        let end = match self
            .transaction(&mut session, submission, &mut trip, handed_over)
            .await
        {
            Ok(reply) => End::Accepted(reply),
            Err(end) => end,
        };
        let usable = match &end {
            // The next message tries TLS again.
            _ if submission.in_clear || session.messages >= MOST_MESSAGES => {
                session.goodbye().await;
                false
            }
            End::Accepted(_) => true,
            End::Refused(_, reply) if reply.code != 421 => {
                let reset = session
                    .conversation
                    .command(Rset, self.gateway.timeout)
                    .await;
                reset.is_ok_and(|reply| reply.is_positive())
            }
            End::Refused(..) | End::Broken(..) | End::ReplyLost(_) | End::Awaited | End::Cut => {
                false
            }
        };
        trip.transcript
            .append(&mut session.conversation.take_transcript());
        (trip.end(end), usable.then_some(session))
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
        let needs = Needs::of(message);
        if let Some(missing) = needs.missing(can) {
            let failure = Failure {
                code: Code::NotOffered,
                what: format!(
                    "the payload needs {}, which {} does not offer",
                    missing, self.gateway.endpoint
                ),
                remedy: "a message like it can only be sent on to servers that take it: leave the payload out, or turn the extension on",
            };
            return Err(End::Broken(Phase::Mail, failure));
        }
        let notify = can.dsn().then(|| RcptParameter::Other {
            keyword: "NOTIFY".into(),
            value: Some("FAILURE,DELAY".into()),
        });
        let mail = mail(submission, needs, can);
        let rcpt = Rcpt::new(to.clone(), notify.into_iter().collect());
        if self.gateway.pipelining && can.pipelining() {
            let commands = [mail.to_string(), rcpt.to_string(), Data.to_string()];
            let ready = self.pipelined(conversation, &commands).await;
            trip.mark(Phase::Mail);
            ready?;
            trip.data_began = Some(trip.marked);
        } else {
            let mail = conversation.command(mail, limit).await;
            trip.mark(Phase::Mail);
            self.positive(Phase::Mail, mail)?;
            let rcpt = conversation.command(rcpt, limit).await;
            trip.mark(Phase::Rcpt);
            self.positive(Phase::Rcpt, rcpt)?;
            trip.data_began = Some(trip.marked);
            let go = conversation.command(Data, limit).await;
            self.go_ahead(go)?;
        }
        let result = self.data(conversation, message, trip, handed_over).await;
        trip.mark(Phase::Data);
        result
    }

    /// MAIL, RCPT and DATA in one go (RFC 2920 §3.1): each has its reply, and they cannot be timed apart.
    async fn pipelined(
        &self,
        conversation: &mut Conversation<Stream>,
        commands: &[String],
    ) -> Result<(), End> {
        let limit = self.gateway.timeout;
        let sent = conversation.send(commands, limit).await;
        sent.map_err(|error| End::Broken(Phase::Mail, self.failure(Phase::Mail, &error)))?;
        let mail = conversation.reply(limit).await;
        let mail = self.positive(Phase::Mail, mail);
        if matches!(mail, Err(End::Broken(..))) {
            return mail.map(|_| ());
        }
        let rcpt = conversation.reply(limit).await;
        let rcpt = self.positive(Phase::Rcpt, rcpt);
        let go = conversation.reply(limit).await;
        if (mail.is_err() || rcpt.is_err()) && go.as_ref().is_ok_and(|go| go.code == 354) {
            // It waits for a message that has nowhere to go: an empty one is refused.
            let _ = conversation.dot(limit).await;
            let _ = conversation.reply(limit).await;
        }
        mail?;
        rcpt?;
        self.go_ahead(go)
    }

    /// The server must say 354 before the message is sent.
    fn go_ahead(&self, reply: Result<Reply, NoReply>) -> Result<(), End> {
        match reply {
            Ok(reply) if reply.code == 354 => Ok(()),
            other => {
                let reply = self.positive(Phase::Data, other)?;
                let odd = NoReply::Malformed(reply.raw.into());
                Err(End::Broken(Phase::Data, self.failure(Phase::Data, &odd)))
            }
        }
    }

    async fn data(
        &self,
        conversation: &mut Conversation<Stream>,
        message: &[u8],
        trip: &mut Trip,
        handed_over: impl FnOnce(Attempt),
    ) -> Result<Reply, End> {
        let limit = self.gateway.timeout;
        let broken = |error: NoReply| End::Broken(Phase::Data, self.failure(Phase::Data, &error));
        conversation.content(message, limit).await.map_err(broken)?;
        let lost = |error: &NoReply| End::ReplyLost(self.failure(Phase::Data, error));
        let (dot, sent) = conversation.dot(limit).await;
        if let Err(early @ NoReply::Early(_)) = sent {
            // The dot was held back: the message is not handed over.
            return Err(broken(early));
        }
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
}

/// What a message needs that not every server takes.
#[derive(Clone, Copy)]
struct Needs {
    /// RFC 6152.
    eight_bit: bool,
    /// RFC 6531.
    utf8: bool,
}

impl Needs {
    fn of(message: &[u8]) -> Self {
        let header = message
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .and_then(|end| message.get(..end))
            .unwrap_or(message);
        Self {
            eight_bit: !message.is_ascii(),
            utf8: !header.is_ascii(),
        }
    }

    /// The extension that the server does not offer, if one is missing.
    fn missing(self, can: Capabilities) -> Option<&'static str> {
        if self.utf8 && !can.utf8() {
            Some("SMTPUTF8")
        } else if self.eight_bit && !can.eight_bit() {
            Some("8BITMIME")
        } else {
            None
        }
    }
}

fn mail(submission: &Submission, needs: Needs, can: Capabilities) -> Mail {
    let other = |keyword: &str, value: &str| MailParameter::Other {
        keyword: keyword.to_owned(),
        value: Some(value.to_owned()),
    };
    let mut parameters = Vec::new();
    if can.size() {
        parameters.push(MailParameter::Size(submission.message.len()));
    }
    if can.eight_bit() && needs.eight_bit {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    let is_utf8 = needs.utf8 || !(is_ascii(&submission.from) && is_ascii(&submission.to));
    if can.utf8() && is_utf8 {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if can.dsn() {
        parameters.push(other("RET", "HDRS"));
        parameters.push(other("ENVID", &submission.envelope_id));
    }
    Mail::new(Some(submission.from.clone()), parameters)
}
