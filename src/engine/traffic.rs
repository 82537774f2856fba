//! What is under way: the ledger, the senders it submits through and the watchers it is told by, kept together for as long
//! as somebody drives them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::collect::Collector;
use super::ledger::{Effect, Event, Ledger};
use super::send::{self, Job};
use crate::clock::Stamp;
use crate::config::plan::{Mailbox, Route};
use crate::duration::seconds;
use crate::mailbox::pace::LONGEST_REST;
use crate::mailbox::{self, Sweep};
use crate::probe::facts::Place;
use crate::probe::name::{GatewayName, MailboxName};
use crate::probe::tag::Signer;
use crate::smtp::submit::Submission;

/// How long watchers may take to clean up and leave, unless their run has less time: before its last session a POP3 mailbox rests.
pub const FAREWELL: Duration = LONGEST_REST.saturating_add(Duration::from_secs(10));

/// What is under way.
pub struct Traffic {
    /// What is in flight.
    pub ledger: Ledger,
    senders: BTreeMap<GatewayName, mpsc::UnboundedSender<Job>>,
    sending: JoinSet<()>,
    collector: Collector,
    sent_to: mpsc::UnboundedSender<Event>,
    sent: mpsc::UnboundedReceiver<Event>,
    seen: mpsc::Receiver<(MailboxName, mailbox::Event)>,
    cancel: CancellationToken,
}

impl Traffic {
    /// Starts a watcher for each mailbox; what the ledger holds is awaited from the first look on.
    pub fn start(
        mailboxes: impl IntoIterator<Item = Arc<Mailbox>>,
        (signer, sweep): (&Signer, Sweep),
        ledger: Ledger,
    ) -> Self {
        let cancel = CancellationToken::new();
        let (collector, seen) = Collector::start(mailboxes, (signer, sweep), &ledger, &cancel);
        let (sent_to, sent) = mpsc::unbounded_channel();
        Self {
            ledger,
            senders: BTreeMap::new(),
            sending: JoinSet::new(),
            collector,
            sent_to,
            sent,
            seen,
            cancel,
        }
    }

    /// The mailboxes watched.
    pub fn mailboxes(&self) -> impl Iterator<Item = &MailboxName> {
        self.collector.names()
    }

    /// Takes an event in, tells the watchers what is awaited now, and gives what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        self.ledger.step(event, Stamp::now())
    }

    /// Tells the watchers what is awaited now.
    pub fn update(&self) {
        self.collector.update(&self.ledger);
    }

    /// Hands a message to its gateway's sender.
    pub fn submit(&mut self, id: Uuid, route: &Route, submission: Submission) {
        tracing::debug!(%id, route = %route.name, gateway = %route.gateway.endpoint, "submitting");
        let sender = self
            .senders
            .entry(route.gateway.name.clone())
            .or_insert_with(|| {
                let (jobs, queue) = mpsc::unbounded_channel();
                let gateway = Arc::clone(&route.gateway);
                self.sending
                    .spawn(send::dispatch(gateway, queue, self.sent_to.clone()));
                jobs
            });
        // A dispatcher lives as long as we do.
        let _ = sender.send((id, submission));
    }

    /// A message that is recorded may be cleaned up.
    pub fn dispose(&self, place: Place) {
        self.collector.dispose(place);
    }

    /// Waits for the next thing that happens, `until` at most. Nothing is lost where the wait is given up.
    pub async fn next(&mut self, until: Option<Instant>) -> Happened {
        let wake = self.ledger.next_wake().map(Instant::from_std);
        let next = wake.into_iter().chain(until).min();
        tokio::select! {
            biased;
            Some(event) = self.sent.recv() => Happened::Sent(Box::new(event)),
            Some((name, event)) = self.seen.recv() => Happened::Seen(name, event),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => Happened::Time,
        }
    }

    /// Lets senders and watchers end in good order, within this time; what is known stays. Of what watchers still tell only
    /// the end of their clean-up is taken in.
    pub async fn leave(self, within: Duration) -> Ledger {
        let Self {
            mut ledger,
            senders,
            mut sending,
            collector,
            mut seen,
            cancel,
            ..
        } = self;
        drop(senders);
        let mut staying = collector.cleaned_up();
        let farewell = async {
            let heard = async {
                while let Some((name, event)) = seen.recv().await {
                    if let mailbox::Event::Uncleaned(why) = event {
                        ledger.step(Event::Uncleaned(name, why), Stamp::now());
                    }
                }
            };
            tokio::join!(collector.finish(&mut staying), heard);
            while sending.join_next().await.is_some() {}
        };
        if timeout(within, farewell).await.is_err() {
            cancel.cancel();
            sending.shutdown().await;
            staying.retain(|mailbox| ledger.uncleaned(mailbox).is_none());
            for mailbox in staying {
                let why = format!(
                    "copies may stay, because clean-up was not over within {}",
                    seconds(within)
                );
                tracing::warn!(%mailbox, "{why}");
                ledger.step(Event::Uncleaned(mailbox, Some(why.into())), Stamp::now());
            }
        }
        ledger
    }
}

/// What was waited for.
#[derive(Debug)]
pub enum Happened {
    /// Of the sending half.
    Sent(Box<Event>),
    /// Of the watcher of this mailbox.
    Seen(MailboxName, mailbox::Event),
    /// It is time.
    Time,
}

impl Happened {
    /// The event that the ledger takes in.
    pub fn into_event(self) -> Event {
        match self {
            Self::Sent(event) => *event,
            Self::Seen(_, mailbox::Event::Sighted(sighting)) => Event::Sighted(sighting),
            Self::Seen(name, mailbox::Event::Looked(look)) => Event::Looked(name, look),
            Self::Seen(name, mailbox::Event::Blind(blindness)) => Event::Blind(name, blindness),
            Self::Seen(name, mailbox::Event::Uncleaned(why)) => Event::Uncleaned(name, why),
            Self::Time => Event::Tick,
        }
    }
}
