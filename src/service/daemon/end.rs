//! Ending in good order, within a bounded time: what is in flight stays in the history, for the next process to take up.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Daemon, PATIENCE};
use crate::clock::Stamp;
use crate::engine::ledger::Ledger;
use crate::engine::traffic::FAREWELL;

/// How long notices that are on their way may still take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the history may take to be written and closed.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Probes that the next process takes up.
    pub in_flight: usize,
    /// Whether everything that happened is kept.
    pub is_kept: bool,
}

impl Daemon {
    /// Starts nothing more.
    pub(super) fn stop(&mut self) {
        tracing::info!("told to stop");
        let now = Instant::from_std(Stamp::now().mono);
        self.stopping.get_or_insert(now + PATIENCE);
        self.well.send_replace(false);
    }

    /// Whether nothing is being handed over any more, or that takes too long.
    pub(super) fn may_end(&self, now: Stamp) -> bool {
        let Some(limit) = self.stopping else {
            return false;
        };
        let ledgers = self.generations.iter().map(|it| &it.traffic.ledger);
        let submitting: usize = ledgers.map(Ledger::submitting).sum();
        (submitting == 0 && self.errands.is_empty() && self.store.waiting == 0)
            || Instant::from_std(now.mono) >= limit
    }

    /// Ends.
    pub(super) async fn end(self) -> Ended {
        let Self {
            generations,
            mut errands,
            mut leaving,
            orders,
            mut keeping,
            channels,
            mut couriers,
            mut beating,
            flights,
            reader,
            store,
            ..
        } = self;
        beating.shutdown().await;
        // Couriers that nobody sends anything any more end by themselves; what they still owe is in the outbox.
        drop(channels);
        let _ = timeout(LAST_WORDS, all(&mut couriers)).await;
        couriers.shutdown().await;
        errands.shutdown().await;
        for generation in generations {
            leaving.spawn(async {
                generation.traffic.leave(FAREWELL).await;
            });
        }
        all(&mut leaving).await;
        // While somebody reads, what was written cannot be put in its place.
        reader.close().await;
        drop(orders);
        let is_kept = timeout(LAST_WRITES, all(&mut keeping)).await.is_ok();
        Ended {
            in_flight: flights.len(),
            is_kept: is_kept && store.problem.is_none(),
        }
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}
