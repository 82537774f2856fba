//! The sending half: one dispatcher a gateway, which keeps sessions open and no more of them than allowed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::ledger::Event;
use crate::config::plan::Gateway;
use crate::smtp::submit::{Session, Submission, Submitter};

/// A message to submit.
pub(super) type Job = (Uuid, Submission);

/// Submits what comes in until the channel is closed, then takes leave of the gateway.
pub(super) async fn dispatch(
    gateway: Arc<Gateway>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    events: mpsc::UnboundedSender<Event>,
) {
    let limit = usize::from(gateway.connections);
    let spacing = gateway.rate.map(crate::config::value::Rate::spacing);
    let submitter = Arc::new(Submitter::new(gateway));
    let mut idle: Vec<Session> = Vec::new();
    let mut queue: VecDeque<Job> = VecDeque::new();
    let mut busy: JoinSet<Option<Session>> = JoinSet::new();
    let mut not_before = Instant::now();
    loop {
        let may_start = !queue.is_empty() && busy.len() < limit;
        tokio::select! {
            biased;
            Some(ended) = busy.join_next(), if !busy.is_empty() => idle.extend(ended.ok().flatten()),
            () = sleep_until(not_before), if may_start => {
                if let Some((id, submission)) = queue.pop_front() {
                    let kept = take(&mut idle, submission.address);
                    busy.spawn(submit(Arc::clone(&submitter), kept, id, submission, events.clone()));
                    not_before = spacing.map_or(not_before, |spacing| Instant::now() + spacing);
                }
            }
            job = jobs.recv() => match job {
                Some(job) => queue.push_back(job),
                None => break,
            },
        }
    }
    // Attempts that nobody waits for any more are cut off; the idle sessions end as they should.
    busy.shutdown().await;
    for session in idle {
        busy.spawn(async {
            session.quit().await;
            None
        });
    }
    while busy.join_next().await.is_some() {}
}

/// A session that was left open; where an address is wanted, one with that.
fn take(idle: &mut Vec<Session>, wanted: Option<SocketAddr>) -> Option<Session> {
    let fits = |session: &Session| wanted.is_none_or(|wanted| session.address() == wanted);
    let at = idle.iter().rposition(fits)?;
    Some(idle.remove(at))
}

async fn submit(
    submitter: Arc<Submitter>,
    kept: Option<Session>,
    id: Uuid,
    submission: Submission,
    events: mpsc::UnboundedSender<Event>,
) -> Option<Session> {
    // Nobody listens any more only when the run is over.
    let tell = |event| {
        let _ = events.send(event);
    };
    let (attempt, session) = submitter
        .submit(kept, &submission, |attempt| {
            tell(Event::HandedOver(id, attempt));
        })
        .await;
    tell(Event::Attempted(id, attempt));
    session
}
