//! The collecting half: one watcher a mailbox, each told what is awaited there and what may be cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use crate::config::plan::{Cleanup, Mailbox};
use crate::mailbox::{self, Event, Interest, Sweep, Wires};
use crate::probe::facts::Place;
use crate::probe::name::MailboxName;
use crate::probe::tag::Signer;

/// Events that may wait to be taken in.
const BACKLOG: usize = 256;

struct Line {
    interest: watch::Sender<Interest>,
    dispose: mpsc::UnboundedSender<Place>,
    cleans_up: bool,
}

/// The watchers of a run.
pub(super) struct Collector {
    lines: BTreeMap<MailboxName, Line>,
    tasks: JoinSet<MailboxName>,
}

impl Collector {
    /// Starts a watcher for each mailbox; their events come out of the channel.
    pub(super) fn start(
        mailboxes: impl IntoIterator<Item = Arc<Mailbox>>,
        (signer, sweep): (&Signer, Sweep),
        ledger: &Ledger,
        cancel: &CancellationToken,
    ) -> (Self, mpsc::Receiver<(MailboxName, Event)>) {
        let (events, receiver) = mpsc::channel(BACKLOG);
        let mut tasks = JoinSet::new();
        let mut lines = BTreeMap::new();
        for mailbox in mailboxes {
            let (interest, interest_rx) = watch::channel(ledger.interest(&mailbox.name));
            let (dispose, dispose_rx) = mpsc::unbounded_channel();
            let line = Line {
                interest,
                dispose,
                cleans_up: mailbox.cleanup != Cleanup::Keep,
            };
            let name = mailbox.name.clone();
            lines.insert(name.clone(), line);
            let wires = Wires {
                interest: interest_rx,
                dispose: dispose_rx,
                events: events.clone(),
                cancel: cancel.clone(),
            };
            let watching = mailbox::watch(mailbox, signer.clone(), sweep, wires);
            tasks.spawn(async move {
                watching.await;
                name
            });
        }
        (Self { lines, tasks }, receiver)
    }

    /// The mailboxes watched.
    pub(super) fn names(&self) -> impl Iterator<Item = &MailboxName> {
        self.lines.keys()
    }

    /// Tells every watcher what is awaited now.
    pub(super) fn update(&self, ledger: &Ledger) {
        for (name, line) in &self.lines {
            let interest = ledger.interest(name);
            line.interest.send_if_modified(|current| {
                let modified = *current != interest;
                *current = interest;
                modified
            });
        }
    }

    /// A message that is recorded may be cleaned up.
    pub(super) fn dispose(&self, place: Place) {
        if let Some(line) = self.lines.get(&place.mailbox) {
            // A watcher that has gone cannot clean up; the message stays.
            let _ = line.dispose.send(place);
        }
    }

    /// The mailboxes that are cleaned up.
    pub(super) fn cleaned_up(&self) -> BTreeSet<MailboxName> {
        let lines = self.lines.iter().filter(|(_, line)| line.cleans_up);
        lines.map(|(name, _)| name.clone()).collect()
    }

    /// Lets every watcher finish its cleaning up and leave; those that have left are taken out of `staying`.
    pub(super) async fn finish(mut self, staying: &mut BTreeSet<MailboxName>) {
        self.lines.clear();
        while let Some(left) = self.tasks.join_next().await {
            if let Ok(name) = left {
                staying.remove(&name);
            }
        }
    }
}
