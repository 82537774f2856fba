//! Watching a mailbox: [`Sighting`]s out, [`Interest`] and places to clean up in. It says when it was blind, and decides
//! nothing about any probe.

pub mod imap;
mod login;
pub mod pace;
pub mod pop3;
pub mod visit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::Stamp;
use crate::config::plan::{Mailbox, Plan, Protocol, Security};
use crate::net::dial;
use crate::net::dns::{Dns, no_address};
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::probe::facts::{Blindness, Failure, Look, Place, Sighting};
use crate::probe::name::MailboxName;
use crate::probe::outcome::Code;
use crate::probe::tag::{Signer, Tag};

/// What is awaited in a mailbox: how fast it is looked at follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// When the youngest probe that may still come was sent; `None`: nothing is awaited.
    pub youngest: Option<Instant>,
    /// When the oldest of them was sent: what arrived before is of no interest.
    pub oldest: Option<Instant>,
    /// The next moment at which a look must be begun: a probe's deadline.
    pub due: Option<Instant>,
    /// The size of the largest message sent: a copy is not much larger.
    pub largest: usize,
}

impl Interest {
    /// A copy is read up to this size in bytes: twice the largest message sent, and what servers may add.
    fn largest_copy(&self) -> usize {
        const ADDED: usize = 4 * 1024 * 1024;
        self.largest.saturating_mul(2).saturating_add(ADDED)
    }
}

/// What becomes of copies of earlier runs: taken away when a watcher leaves, or told of like any other.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Those of this instance, when older.
    pub own: Option<Duration>,
    /// Those of other instances of the same family, when older.
    pub foreign: Option<Duration>,
    /// Those of this instance are told of, whenever a session begins and every hour, and left to whoever is told.
    pub recall: bool,
    /// When this process began to look.
    pub since: Stamp,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            own: None,
            foreign: None,
            recall: false,
            since: Stamp::now(),
        }
    }
}

impl Sweep {
    /// Leftovers are older than any probe that may still be in flight; those of a drawn instance are nobody's own.
    pub fn of(plan: &Plan) -> Self {
        let longest = plan.longest_flight();
        Self {
            own: plan.signing.instance.as_ref().map(|_| longest),
            foreign: plan.signing.sweep_foreign.map(|after| after.max(longest)),
            ..Self::default()
        }
    }

    fn is_on(&self) -> bool {
        self.own.is_some() || self.foreign.is_some()
    }

    /// Whether this tag, which is verified, is of a leftover.
    fn takes(&self, tag: Tag, signer: &Signer, now: Stamp) -> bool {
        let after = if tag.instance() == signer.instance() {
            self.own.or(self.foreign)
        } else {
            self.foreign
        };
        let age = tag.age(self.since, now);
        after.zip(age).is_some_and(|(after, age)| age > after)
    }
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
    /// Why copies stay in the mailbox after clean-up; `None`: they do not any more.
    Uncleaned(Option<Box<str>>),
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
pub async fn watch(mailbox: Arc<Mailbox>, signer: Signer, sweep: Sweep, wires: Wires) {
    let cancel = wires.cancel.clone();
    let watching = async {
        match mailbox.protocol {
            Protocol::Imap => imap::watch::run(mailbox, signer, sweep, wires).await,
            Protocol::Pop3 => pop3::watch::run(mailbox, signer, sweep, wires).await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = watching => {}
    }
}

/// Whether a mailbox can be logged in to and its folders opened; if not, why.
pub async fn opens(mailbox: &Mailbox) -> Result<(), Blindness> {
    match mailbox.protocol {
        Protocol::Imap => imap::watch::opens(mailbox).await,
        Protocol::Pop3 => pop3::watch::opens(mailbox).await,
    }
}

impl Wires {
    async fn tell(&self, mailbox: &MailboxName, event: Event) {
        match &event {
            Event::Sighted(sighting) => {
                tracing::debug!(%mailbox, folder = %sighting.place.folder, tag = ?sighting.recognised.tag, "sighted");
            }
            Event::Looked(_) => tracing::trace!(%mailbox, "looked at"),
            Event::Blind(blindness) => {
                tracing::debug!(%mailbox, is_final = blindness.is_final, "cannot be read: {}", blindness.failure.what);
            }
            Event::Uncleaned(Some(why)) => tracing::warn!(%mailbox, "{why}"),
            Event::Uncleaned(None) => tracing::info!(%mailbox, "copies are cleaned up again"),
        }
        // Nobody listens any more only when the run is over.
        let _ = self.events.send((mailbox.clone(), event)).await;
    }

    async fn sighted(&self, mailbox: &MailboxName, found: Vec<Sighting>) {
        for sighting in found {
            self.tell(mailbox, Event::Sighted(Box::new(sighting))).await;
        }
    }

    /// Keeps still for a while, `None`: for good; what may be cleaned up meanwhile goes to `remember`. Whether it is
    /// time to leave.
    async fn rest(&mut self, pause: Option<Duration>, mut remember: impl FnMut(Place)) -> bool {
        let over = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return false,
                place = self.dispose.recv() => match place {
                    Some(place) => remember(place),
                    None => return true,
                },
            }
        }
    }
}

/// A stream to the mailbox's server, with TLS where it begins with that.
async fn reach(mailbox: &Mailbox, tls: &Tls) -> Result<Stream, Blindness> {
    let Mailbox {
        endpoint,
        timeout: limit,
        security,
        ..
    } = mailbox;
    let dns = Dns::new(Arc::clone(&mailbox.name_servers));
    let addresses = dns.addresses(endpoint, *limit).await.map_err(retry)?;
    // The mailbox is not what is under test: whichever address answers will do.
    let mut connected = Err(no_address(endpoint));
    for address in addresses {
        connected = dial::connect(address, *limit).await;
        if connected.is_ok() {
            break;
        }
    }
    let tcp = connected.map_err(retry)?;
    match security {
        Security::Implicit => dial::secure(tls, endpoint, tcp, *limit)
            .await
            .map_err(retry),
        Security::None | Security::Opportunistic | Security::Starttls => Ok(Stream::Plain(tcp)),
    }
}

/// A failure to get to the mailbox. A certificate does not mend by itself; everything else is tried again.
fn retry(failure: Failure) -> Blindness {
    let is_final = failure.code == Code::TlsFailed && failure.what.contains("certificate");
    let failure = Failure {
        code: Code::MailboxUnreadable,
        ..failure
    };
    Blindness { failure, is_final }
}

/// A refusal that only a person can mend.
fn final_refusal(code: Code, what: String, remedy: &'static str) -> Blindness {
    Blindness {
        failure: Failure { code, what, remedy },
        is_final: true,
    }
}
