//! The delivery loop of one channel.

use std::pin::pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::DeliveryError;
use super::queue::{Letter, Next, Queue};
use super::{deliver, worth_saying};
use crate::clock::Stamp;
use crate::config::plan::Alert;
use crate::probe::name::AlertName;

/// What came of a try to deliver a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has arrived.
    Delivered {
        /// The channel.
        alert: AlertName,
        /// The notice's id.
        id: Uuid,
        /// How often it was tried, this time included.
        attempts: u32,
    },
    /// It has not.
    Failed {
        /// The channel.
        alert: AlertName,
        /// The notice's id.
        id: Uuid,
        /// How often it was tried, this time included.
        attempts: u32,
        /// Why.
        error: DeliveryError,
        /// When it is tried again at the earliest; `None`: it is given up.
        next: Option<Timestamp>,
    },
}

/// Delivers to one channel what comes in, in the order of its queue, until it is told to stop, or until nobody can send
/// any more and all is delivered. A try that is under way when it is told to stop is broken off: what was not reported
/// is still owed.
///
/// When it holds [`CAPACITY`](super::CAPACITY) notices it takes no more, and the channel behind `letters` fills up: use
/// `try_send`, and offer again later what stays in the outbox. A notice that it holds already may be offered again.
pub async fn courier(
    alert: Arc<Alert>,
    letters: mpsc::Receiver<Letter>,
    reports: mpsc::UnboundedSender<Report>,
    stop: CancellationToken,
) {
    let mut courier = Courier {
        alert,
        queue: Queue::new(),
        letters: Some(letters),
        reports,
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = courier.deliver_all() => {}
    }
}

struct Courier {
    alert: Arc<Alert>,
    queue: Queue,
    /// Until nobody can send any more.
    letters: Option<mpsc::Receiver<Letter>>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Courier {
    async fn deliver_all(&mut self) {
        loop {
            self.take_what_waits();
            let wake = match self.queue.next(Stamp::now(), self.alert.quiet.as_ref()) {
                Next::Now(incident) => {
                    self.attempt(incident).await;
                    continue;
                }
                Next::At(at) => Some(at),
                Next::Idle if self.letters.is_none() => return,
                Next::Idle => None,
            };
            tokio::select! {
                () = take(&mut self.letters, &mut self.queue) => {}
                () = async {
                    match wake {
                        Some(at) => sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// One try, while further notices are taken in.
    async fn attempt(&mut self, incident: Uuid) {
        let Some(notice) = self.queue.first(incident).cloned() else {
            return;
        };
        let alert = Arc::clone(&self.alert);
        let mut delivery = pin!(deliver(&alert, &notice));
        let delivered = loop {
            tokio::select! {
                delivered = &mut delivery => break delivered,
                () = take(&mut self.letters, &mut self.queue) => {}
            }
        };
        let name = alert.name.clone();
        let report = match delivered {
            Ok(said) => self.queue.delivered(incident).map(|(id, attempts)| {
                tracing::info!(alert = %name, %id, attempts, "told: {said}");
                Report::Delivered {
                    alert: name,
                    id,
                    attempts,
                }
            }),
            Err(error) => {
                let failed = self.queue.failed(incident, Stamp::now(), error.again);
                failed.map(|failed| {
                    let (id, attempts, next) = (failed.id, failed.attempts, failed.next);
                    match next {
                        None => tracing::error!(alert = %name, %id, attempts, "given up: {error}"),
                        Some(next) if worth_saying(attempts) => {
                            tracing::warn!(alert = %name, %id, attempts, %next, "not told: {error}");
                        }
                        Some(next) => {
                            tracing::debug!(alert = %name, %id, attempts, %next, "not told: {error}");
                        }
                    }
                    Report::Failed {
                        alert: name,
                        id,
                        attempts,
                        error,
                        next,
                    }
                })
            }
        };
        if let Some(report) = report {
            // Nobody listens any more only when the service is over; then the notice is still owed.
            let _ = self.reports.send(report);
        }
    }

    fn take_what_waits(&mut self) {
        while let Some(letters) = self.letters.as_mut().filter(|_| !self.queue.is_full()) {
            match letters.try_recv() {
                Ok(letter) => self.queue.push(letter, Stamp::now()),
                Err(_) => return,
            }
        }
    }
}

/// Takes a notice in, when one comes and there is room for it.
async fn take(letters: &mut Option<mpsc::Receiver<Letter>>, queue: &mut Queue) {
    match letters {
        Some(waiting) if !queue.is_full() => match waiting.recv().await {
            Some(letter) => queue.push(letter, Stamp::now()),
            None => *letters = None,
        },
        Some(_) | None => std::future::pending().await,
    }
}
