//! What a run is to do, for whom, and what it tells meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::cycle::Cycle;
use crate::config::plan::{Ping, Route};
use crate::probe::facts::Blindness;
use crate::probe::name::MailboxName;
use crate::probe::payload::Payload;
use crate::probe::record::Record;
use crate::probe::tag::Signer;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Order {
    /// The cycles, in the order they are sent; one probe for each of their tests.
    pub cycles: Vec<Cycle>,
    /// Servers to speak to, each as often as it stands here.
    pub pings: Vec<Arc<Ping>>,
    /// Probes in flight at once.
    pub concurrency: usize,
    /// How long duplicates are still waited for once every probe has its outcome.
    pub linger: Duration,
    /// How long a test that has not passed is tried again; zero: not at all.
    pub settle: Duration,
    /// No probe is started after the first that fails.
    pub fail_fast: bool,
    /// When all is over, clean-up included; `None`: when it is done.
    pub end_by: Option<Instant>,
    /// Whether both sides of the SMTP sessions are kept.
    pub transcript: bool,
}

impl Order {
    /// How many probes and pings it is.
    pub fn probes(&self) -> usize {
        let messages = self.cycles.iter().map(|cycle| cycle.tests.len());
        messages.sum::<usize>() + self.pings.len()
    }
}

/// Who sends.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Signs and verifies tags.
    pub signer: Signer,
    /// The instance as reports show it.
    pub instance: String,
}

/// What happens while a run is under way.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A probe is being submitted.
    Started {
        /// Which.
        id: Uuid,
        /// On what.
        route: Arc<Route>,
        /// What it carries.
        payload: Payload,
    },
    /// The gateway has taken it; a copy is awaited.
    Accepted(Uuid),
    /// The gateway puts it off; it is tried again at the time given.
    Deferred(Uuid, Instant),
    /// It has its outcome. Duplicates may still change the record.
    Settled(Box<Record>),
    /// A mailbox cannot be read.
    Blind(MailboxName, Blindness),
}
