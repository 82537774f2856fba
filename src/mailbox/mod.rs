//! Watching a mailbox: [`Sighting`]s out, [`Interest`] and places to clean up in. It says when it was blind, and decides
//! nothing about any probe.

pub mod imap;
pub mod pace;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::plan::Mailbox;
use crate::probe::facts::{Blindness, Look, Place, Sighting};
use crate::probe::name::MailboxName;
use crate::probe::tag::Signer;

/// What is awaited in a mailbox: how fast it is looked at follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// When the youngest probe that may still come was sent; `None`: nothing is awaited.
    pub youngest: Option<Instant>,
    /// When the oldest of them was sent: what arrived before is of no interest.
    pub oldest: Option<Instant>,
    /// The next moment at which a look must be begun: a probe's deadline.
    pub due: Option<Instant>,
}

/// What a watcher tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message that carries a verified tag, or a delivery report.
    Sighted(Box<Sighting>),
    /// Every watched folder was looked at.
    Looked(Look),
    /// The mailbox cannot be read.
    Blind(Blindness),
}

/// A watcher's ends of the channels.
#[derive(Debug)]
pub struct Wires {
    /// What is awaited, kept up to date.
    pub interest: watch::Receiver<Interest>,
    /// What may be cleaned up; when it is closed, the watcher finishes and leaves.
    pub dispose: mpsc::UnboundedReceiver<Place>,
    /// Where events go, with the mailbox's name.
    pub events: mpsc::Sender<(MailboxName, Event)>,
    /// Leave at once.
    pub cancel: CancellationToken,
}

/// Watches `mailbox` until its `dispose` channel is closed or it is cancelled.
pub async fn watch(mailbox: Arc<Mailbox>, signer: Signer, wires: Wires) {
    let cancel = wires.cancel.clone();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = imap::watch::run(mailbox, signer, wires) => {}
    }
}
