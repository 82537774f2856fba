//! An attempt as it goes: what was timed and seen so far.

use std::net::SocketAddr;

use super::conversation::NoReply;
use super::submit::Session;
use crate::clock::Stamp;
use crate::net::dns::Target;
use crate::net::steps::Steps;
use crate::net::stream::{Stream, TlsSession};
use crate::net::tls::Tls;
use crate::probe::facts::{Attempt, End, Reply, Step, Vantage, is_local};
use crate::probe::outcome::Phase;
use crate::probe::visit::VisitStep;

/// An attempt under way. Each phase ends where the next begins, so that together they are the whole.
pub(super) struct Trip {
    pub(super) started: Stamp,
    pub(super) marked: Stamp,
    pub(super) kept: bool,
    pub(super) address: Option<SocketAddr>,
    pub(super) other: Option<SocketAddr>,
    pub(super) may_go_clear: bool,
    pub(super) tls: Option<&'static str>,
    pub(super) authenticated: bool,
    pub(super) steps: Vec<Step>,
    pub(super) data_began: Option<Stamp>,
    pub(super) dot: Option<Stamp>,
    pub(super) transcript: Vec<String>,
    /// Each step and the words that ended it, where that is asked for.
    pub(super) heard: Option<Steps>,
    /// What TLS was agreed on.
    pub(super) session: Option<TlsSession>,
}

impl Trip {
    pub(super) fn begin(kept: bool) -> Self {
        let started = Stamp::now();
        Self {
            started,
            marked: started,
            kept,
            address: None,
            other: None,
            may_go_clear: false,
            tls: None,
            authenticated: false,
            steps: Vec::new(),
            data_began: None,
            dot: None,
            transcript: Vec::new(),
            heard: None,
            session: None,
        }
    }

    /// One that remembers what the server said to each step.
    pub(super) fn hearing() -> Self {
        Self {
            heard: Some(Steps::begin()),
            ..Self::begin(false)
        }
    }

    pub(super) fn hear(&mut self, reply: &Result<Reply, NoReply>) {
        if let Some(heard) = &mut self.heard {
            match reply {
                Ok(reply) => heard.hear(&reply.raw),
                Err(error) => heard.hear(&error.to_string()),
            }
        }
    }

    /// What the look-up found.
    pub(super) fn found(&mut self, targets: &[Target]) {
        if let Some(heard) = &mut self.heard {
            let addresses = targets.iter().map(|target| target.address.ip().to_string());
            heard.hear(&addresses.collect::<Vec<_>>().join(", "));
        }
    }

    /// Makes TLS ready where that takes time of ours, which is not the server's.
    pub(super) fn make_ready(&mut self, tls: &Tls) {
        if let Some(heard) = &mut self.heard {
            tls.make_ready();
            heard.skip();
        }
    }

    /// What TLS was agreed on.
    pub(super) fn secured(&mut self, stream: &Stream) {
        self.session = stream.tls_session();
        if let (Some(heard), Some(session)) = (&mut self.heard, self.session) {
            heard.hear(&session.to_string());
        }
    }

    /// A step that is no phase of a submission ends now.
    pub(super) fn end_step(&mut self, step: VisitStep) {
        if let Some(heard) = &mut self.heard {
            heard.end(step);
        }
    }

    pub(super) fn enter(&mut self, session: &Session) {
        self.address = Some(session.address);
        self.tls = session.tls;
        self.authenticated = session.authenticated;
    }

    /// `phase` ends now.
    pub(super) fn mark(&mut self, phase: Phase) {
        let now = Stamp::now();
        self.steps.push(Step {
            phase,
            took: now.since(self.marked),
        });
        self.marked = now;
        if let (Some(heard), Some(step)) = (&mut self.heard, VisitStep::of(phase)) {
            heard.end(step);
        }
    }

    pub(super) fn so_far(&self, end: End) -> Attempt {
        let is_local = self.address.is_none_or(|address| is_local(address.ip()));
        Attempt {
            started: self.started,
            ended: self.dot.unwrap_or(self.marked),
            kept: self.kept,
            address: self.address,
            other: self.other,
            may_go_clear: self.may_go_clear,
            tls: self.tls.map(Into::into),
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

    pub(super) fn end(self, end: End) -> Attempt {
        let mut attempt = self.so_far(end);
        attempt.ended = self.marked;
        attempt.transcript = self.transcript;
        attempt
    }
}
