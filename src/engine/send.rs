//! The sending half: one dispatcher a gateway, which keeps sessions open and no more of them than allowed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::ledger::Event;
use crate::config::plan::Gateway;
use crate::smtp::submit::{Session, Submission, Submitter};

/// A session that nobody needed for so long is ended: servers do not like idle clients, and a service tests rarely.
const IDLE: Duration = Duration::from_secs(10);

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
    let mut idle: Vec<Idle> = Vec::new();
    let mut queue: VecDeque<Job> = VecDeque::new();
    let mut busy: JoinSet<Option<Session>> = JoinSet::new();
    let mut not_before = Instant::now();
    loop {
        let may_start = !queue.is_empty() && busy.len() < limit;
        tokio::select! {
            biased;
            Some(ended) = busy.join_next(), if !busy.is_empty() => {
                let session = ended.ok().flatten();
                let until = Instant::now() + IDLE;
                idle.extend(session.map(|session| Idle { session, until }));
            }
            () = sleep_until(not_before), if may_start => {
                if let Some((id, submission)) = queue.pop_front() {
                    let kept = take(&mut idle, submission.address);
                    busy.spawn(submit(Arc::clone(&submitter), kept, id, submission, events.clone()));
                    not_before = spacing.map_or(not_before, |spacing| Instant::now() + spacing);
                }
            }
            () = sleep_until(idle.first().map_or(not_before, |it| it.until)), if !idle.is_empty() => {
                let Idle { session, .. } = idle.remove(0);
                busy.spawn(leave(session));
            }
            job = jobs.recv() => match job {
                Some(job) => queue.push_back(job),
                None => break,
            },
        }
    }
    // Attempts that nobody waits for any more are cut off; the idle sessions end as they should.
    busy.shutdown().await;
    for Idle { session, .. } in idle {
        busy.spawn(leave(session));
    }
    while busy.join_next().await.is_some() {}
}

/// A session that is open and not in use; those that were used last stand last.
struct Idle {
    session: Session,
    until: Instant,
}

async fn leave(session: Session) -> Option<Session> {
    session.quit().await;
    None
}

/// A session that was left open; where an address is wanted, one with that.
fn take(idle: &mut Vec<Idle>, wanted: Option<SocketAddr>) -> Option<Session> {
    let fits = |it: &Idle| wanted.is_none_or(|wanted| it.session.address() == wanted);
    let at = idle.iter().rposition(fits)?;
    Some(idle.remove(at).session)
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
