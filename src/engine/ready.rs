//! Waiting for a mail path that is still starting: until every gateway answers EHLO and every mailbox lets itself be opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::plan::{Gateway, Mailbox};
use crate::mailbox;
use crate::probe::facts::Failure;
use crate::smtp::submit::Submitter;

/// Attempts follow each other after so long.
const PAUSE: Duration = Duration::from_millis(500);

/// A server that has not answered yet, and what came of the last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Such as `gateway edge`.
    pub server: String,
    /// What was tried and what came back.
    pub failure: Failure,
}

/// Waits until all are ready, `limit` at most, and tells what each attempt came to. On giving up: those that never
/// answered.
pub async fn ready(
    gateways: Vec<Arc<Gateway>>,
    mailboxes: Vec<Arc<Mailbox>>,
    limit: Duration,
    mut tell: impl FnMut(&Waiting),
) -> Result<(), Vec<Waiting>> {
    let until = Instant::now() + limit;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for gateway in gateways {
        let failed = failed.clone();
        tasks.spawn(async move {
            let server = format!("gateway {}", gateway.name);
            let submitter = Submitter::new(gateway);
            while let Err(failure) = submitter.answers().await {
                let server = server.clone();
                // Nobody listens any more only when the time is over.
                let _ = failed.send(Waiting { server, failure });
                sleep(PAUSE).await;
            }
            server
        });
    }
    for mailbox in mailboxes {
        let failed = failed.clone();
        tasks.spawn(async move {
            let server = format!("mailbox {}", mailbox.name);
            while let Err(blindness) = mailbox::opens(&mailbox).await {
                let server = server.clone();
                let failure = blindness.failure;
                let _ = failed.send(Waiting { server, failure });
                sleep(PAUSE).await;
            }
            server
        });
    }
    drop(failed);
    let mut waiting = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some(failure) = failures.recv() => {
                tell(&failure);
                waiting.insert(failure.server.clone(), failure);
            }
            ended = tasks.join_next() => match ended {
                Some(Ok(server)) => drop(waiting.remove(&server)),
                Some(Err(_)) => {}
                None => return Ok(()),
            },
            () = sleep_until(until) => return Err(waiting.into_values().collect()),
        }
    }
}
