//! Calls a URL every so often while all is well, and never while it is not: whoever is called raises the alarm when the
//! calls stop, even where this whole machine has gone.

use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::error::DeliveryError;
use super::http::Request;
use super::worth_saying;
use crate::clock::Stamp;
use crate::config::plan::Heartbeat;
use crate::net::back_off::BackOff;

/// How long one call may take, where the calls are not more often than that.
const LIMIT: Duration = Duration::from_secs(10);
/// The first pause behind a call that failed; they grow up to the usual distance.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Calls until it is told to stop, or nobody is there any more to tell how things are.
///
/// Two calls are never closer than the usual distance, unless one failed: however often things change, there is no burst.
pub async fn beat(heartbeat: Heartbeat, well: watch::Receiver<bool>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_calling(&heartbeat, well) => {}
    }
}

async fn keep_calling(heartbeat: &Heartbeat, mut well: watch::Receiver<bool>) {
    let every = heartbeat.every;
    let mut back_off = BackOff::new(FIRST_PAUSE.min(every), every);
    let mut failures = 0_u32;
    let mut next: Option<Instant> = None;
    while well.wait_for(|is_well| *is_well).await.is_ok() {
        if let Some(next) = next {
            tokio::select! {
                // Of what became of it meanwhile the loop's head makes sure.
                changed = well.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                () = sleep_until(next.into()) => {}
            }
        }
        let began = Stamp::now();
        next = Some(began.mono + every);
        let called = tokio::select! {
            biased;
            // A call that nobody should hear is broken off.
            _ = well.wait_for(|is_well| !is_well) => continue,
            called = call(heartbeat) => called,
        };
        match called {
            Ok(_) => {
                if failures > 0 {
                    tracing::info!(failures, "the heartbeat gets through again");
                }
                failures = 0;
                back_off.reset();
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                next = Some(Stamp::now().mono + back_off.pause().min(every));
                if worth_saying(failures) {
                    tracing::warn!(failures, "the heartbeat does not get through: {error}");
                }
            }
        }
    }
}

async fn call(heartbeat: &Heartbeat) -> Result<String, DeliveryError> {
    let request = Request {
        method: Method::GET,
        url: &heartbeat.url,
        headers: &[],
        body: None,
        ca: None,
        limit: LIMIT.min(heartbeat.every),
    };
    request.make().await
}
