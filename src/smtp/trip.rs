//! An attempt as it goes: what was timed and seen so far.

use std::net::SocketAddr;

use super::submit::Session;
use crate::clock::Stamp;
use crate::probe::facts::{Attempt, End, Step, Vantage, is_local};
use crate::probe::outcome::Phase;

/// An attempt under way. Each phase ends where the next begins, so that together they are the whole.
pub(super) struct Trip {
    pub(super) started: Stamp,
    pub(super) marked: Stamp,
    pub(super) kept: bool,
    pub(super) address: Option<SocketAddr>,
    pub(super) other: Option<SocketAddr>,
    pub(super) tls: Option<&'static str>,
    pub(super) authenticated: bool,
    pub(super) steps: Vec<Step>,
    pub(super) data_began: Option<Stamp>,
    pub(super) dot: Option<Stamp>,
    pub(super) transcript: Vec<String>,
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
            tls: None,
            authenticated: false,
            steps: Vec::new(),
            data_began: None,
            dot: None,
            transcript: Vec::new(),
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
    }

    pub(super) fn so_far(&self, end: End) -> Attempt {
        let is_local = self.address.is_none_or(|address| is_local(address.ip()));
        Attempt {
            started: self.started,
            ended: self.dot.unwrap_or(self.marked),
            kept: self.kept,
            address: self.address,
            other: self.other,
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

    pub(super) fn end(self, end: End) -> Attempt {
        let mut attempt = self.so_far(end);
        attempt.ended = self.marked;
        attempt.transcript = self.transcript;
        attempt
    }
}
