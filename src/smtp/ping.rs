//! A visit to an SMTP server: every step up to RCPT, and back out of it. DATA is never sent.

use std::net::SocketAddr;
use std::sync::Arc;

use lettre::Address;
use lettre::transport::smtp::commands::{Mail, Quit, Rcpt, Rset};

use super::conversation::Conversation;
use super::submit::{GOODBYE, Session, Submitter};
use super::trip::Trip;
use crate::config::plan::{Endpoint, Gateway, Security};
use crate::net::dns::Dns;
use crate::net::steps::Steps;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::{End, Reply};
use crate::probe::outcome::Phase;
use crate::probe::visit::{Visit, VisitEnd, VisitStep};

/// How far a visit goes.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The address to visit; `None`: the first that the name has.
    pub address: Option<SocketAddr>,
    /// Sender and recipient to ask for; `None`: neither MAIL nor RCPT is sent.
    pub envelope: Option<(Address, Address)>,
    /// No further than the TCP handshake.
    pub plain: bool,
}

/// Visits a gateway, step by step.
pub async fn visit(gateway: &Arc<Gateway>, reach: &Reach) -> Visit {
    let is_lenient = gateway.security == Security::Opportunistic;
    let (tls, witness) = Tls::witnessing(&gateway.trust, is_lenient, gateway.client.as_deref());
    let submitter = Submitter {
        gateway: Arc::clone(gateway),
        tls,
        dns: Dns::new(Arc::clone(&gateway.name_servers)),
    };
    if gateway.security == Security::Implicit && !reach.plain {
        // Once connected, the server's time runs.
        submitter.tls.make_ready();
    }
    let mut trip = Trip::hearing();
    let mut host = gateway.endpoint.host.clone();
    let mut ended = submitter.call(reach, false, &mut trip, &mut host).await;
    let mut insecure = None;
    if trip.may_go_clear
        && let Err(end) = ended
    {
        let heard = trip.heard.take();
        let address = trip.address;
        insecure = Some(Box::new(trip.end(end)));
        trip = Trip {
            heard,
            ..Trip::begin(false)
        };
        let reach = Reach {
            address: reach.address.or(address),
            ..reach.clone()
        };
        ended = submitter.call(&reach, true, &mut trip, &mut host).await;
    }
    let heard = trip.heard.unwrap_or_else(Steps::begin);
    let end = match ended {
        Ok(()) => VisitEnd::Answered,
        Err(end) => broken_off(end),
    };
    Visit {
        started: heard.started,
        ended: heard.marked,
        host,
        address: trip.address,
        steps: heard.taken,
        tls: witness.facts(trip.session),
        insecure,
        end,
    }
}

/// What an attempt that came no further is for a visit.
fn broken_off(end: End) -> VisitEnd {
    // A visit ends before DATA: nothing else can be.
    let step = |phase| VisitStep::of(phase).unwrap_or(VisitStep::Rcpt);
    match end {
        End::Refused(phase, reply) => VisitEnd::Refused(step(phase), reply),
        End::Broken(phase, failure) => VisitEnd::Broken(step(phase), failure),
        End::ReplyLost(failure) => VisitEnd::Broken(VisitStep::Rcpt, failure),
        End::Accepted(_) | End::Awaited | End::Cut => VisitEnd::Answered,
    }
}

async fn leave(conversation: &mut Conversation<Stream>, trip: &mut Trip) {
    let quit = conversation.command(Quit, GOODBYE).await;
    trip.hear(&quit);
    trip.end_step(VisitStep::Quit);
}

impl Submitter {
    async fn call(
        &self,
        reach: &Reach,
        in_clear: bool,
        trip: &mut Trip,
        host: &mut String,
    ) -> Result<(), End> {
        let Reach {
            address,
            envelope,
            plain,
        } = reach;
        let pinned = address.is_some();
        if *plain {
            let (_, met) = self.reach(*address, pinned, trip).await?;
            *host = met.host;
            return Ok(());
        }
        let (conversation, can, met) = self.meet(*address, pinned, false, trip).await?;
        host.clone_from(&met.host);
        let endpoint = &Endpoint {
            host: met.host,
            port: self.gateway.endpoint.port,
        };
        let (mut conversation, can) = if in_clear {
            (conversation, can)
        } else {
            self.secure(endpoint, conversation, can, trip).await?
        };
        let authenticated = match self.log_in(&mut conversation, can, trip).await {
            Ok(authenticated) => authenticated,
            Err(end) => {
                leave(&mut conversation, trip).await;
                return Err(end);
            }
        };
        let mut session = Session {
            tls: conversation.stream().tls_version(),
            conversation,
            can,
            address: met.address,
            authenticated,
            messages: 0,
        };
        let asked = match envelope {
            Some((from, to)) => self.ask(&mut session, from, to, trip).await,
            None => Ok(()),
        };
        leave(&mut session.conversation, trip).await;
        asked
    }

    /// Whether a message from here to there would be taken; RSET takes the question back.
    async fn ask(
        &self,
        session: &mut Session,
        from: &Address,
        to: &Address,
        trip: &mut Trip,
    ) -> Result<(), End> {
        let limit = self.gateway.timeout;
        let conversation = &mut session.conversation;
        let mail = Mail::new(Some(from.clone()), Vec::new());
        let mail = conversation.command(mail, limit).await;
        trip.hear(&mail);
        trip.mark(Phase::Mail);
        let mut asked = self.positive(Phase::Mail, mail);
        if asked.is_ok() {
            let rcpt = Rcpt::new(to.clone(), Vec::new());
            let rcpt = conversation.command(rcpt, limit).await;
            trip.hear(&rcpt);
            trip.mark(Phase::Rcpt);
            asked = self.positive(Phase::Rcpt, rcpt);
        }
        if asked.as_ref().is_ok_and(Reply::is_positive) || matches!(asked, Err(End::Refused(..))) {
            let reset = conversation.command(Rset, limit).await;
            trip.hear(&reset);
            trip.end_step(VisitStep::Rset);
        }
        asked.map(|_| ())
    }
}
