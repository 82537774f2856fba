//! How often the routes passed: reckoned over the history by one task, once for all who ask within some seconds, so that
//! asking often costs little and a reckoning that takes long is not begun twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::answer::described;
use super::document::{History, Period};
use crate::clock::Stamp;
use crate::probe::name::RouteName;
use crate::store::{DayStats, Reader, Span, Stats, StoreError};

/// What was reckoned is new for so long.
const NEW: Duration = Duration::from_secs(5);

/// Each route's history, or why it cannot be read.
pub(super) type Reckoned = Result<BTreeMap<RouteName, History>, String>;
/// Where it is wanted.
pub(super) type Reply = oneshot::Sender<Arc<Reckoned>>;

/// Reckons for whoever asks, until nobody can any more.
pub(super) async fn reckon(reader: Reader, mut asks: mpsc::Receiver<Reply>) {
    let mut last: Option<(Stamp, Arc<Reckoned>)> = None;
    while let Some(reply) = asks.recv().await {
        let is_new = |at: &Stamp| Stamp::now().since(*at) < NEW;
        let reckoned = match &last {
            Some((at, reckoned)) if is_new(at) => Arc::clone(reckoned),
            Some(_) | None => {
                let reckoned = histories(&reader, Stamp::now()).await;
                let reckoned = Arc::new(reckoned.map_err(|error| described(&error)));
                last = Some((Stamp::now(), Arc::clone(&reckoned)));
                reckoned
            }
        };
        // Whoever asked may have gone.
        let _ = reply.send(reckoned);
    }
}

async fn histories(
    reader: &Reader,
    now: Stamp,
) -> Result<BTreeMap<RouteName, History>, StoreError> {
    let span = |days: u64| Span {
        from: now
            .wall
            .saturating_sub(Duration::from_hours(24 * days))
            .unwrap_or(now.wall),
        to: now.wall,
    };
    let stats = reader.stats(&[span(1), span(7), span(30)]).await?;
    let mut histories: BTreeMap<RouteName, History> = BTreeMap::new();
    let places: [fn(&mut History) -> &mut Period; 3] = [
        |history| &mut history.last_24h,
        |history| &mut history.last_7d,
        |history| &mut history.last_30d,
    ];
    for (stats, place) in stats.iter().zip(places) {
        for (route, stats) in of_routes(stats) {
            *place(histories.entry(route).or_default()) = period(&stats);
        }
    }
    Ok(histories)
}

/// The statistics of each route: those of its tests together.
fn of_routes(of_tests: &DayStats) -> BTreeMap<RouteName, Stats> {
    let mut of_routes: BTreeMap<RouteName, Stats> = BTreeMap::new();
    for (key, stats) in of_tests {
        of_routes.entry(key.route.clone()).or_default().add(stats);
    }
    of_routes
}

fn period(stats: &Stats) -> Period {
    Period {
        pass: stats.pass,
        warn: stats.warn,
        fail: stats.fail,
        unknown: stats.unknown,
        availability: stats.availability(),
        p50_ms: stats.percentile(0.5),
        p95_ms: stats.percentile(0.95),
    }
}
