//! `check --wait`: first until every server that is needed answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{PingServer, Plan};
use crate::engine::order::Order;
use crate::engine::ready::{Waiting, ready};

/// Why nothing was sent after all.
pub(super) struct Unready {
    /// For standard error, a line a server.
    pub(super) said: String,
    /// The reason of every test.
    pub(super) reason: String,
}

impl Unready {
    /// A signal came first.
    pub(super) fn interrupted() -> Self {
        let reason = "not started: interrupted while waiting for the servers".to_owned();
        Self {
            said: reason.clone(),
            reason,
        }
    }

    fn never(waiting: &[Waiting], limit: Duration) -> Self {
        let servers: Vec<_> = waiting
            .iter()
            .map(|Waiting { server, failure }| match failure.remedy {
                "" => format!("{server}: {}", failure.what),
                remedy => format!("{server}: {} — {remedy}", failure.what),
            })
            .collect();
        let never: Vec<_> = waiting
            .iter()
            .map(|Waiting { server, failure }| format!("{server} never answered: {}", failure.what))
            .collect();
        Self {
            said: format!(
                "not ready within --wait {limit:?}:\n  {}",
                servers.join("\n  ")
            ),
            reason: format!("not started: {} (--wait {limit:?})", never.join("; ")),
        }
    }
}

/// Waits for the servers that the order needs, and says what it still waits for.
pub(super) async fn wait(
    plan: &Plan,
    order: &Order,
    limit: Duration,
    quiet: bool,
) -> Result<(), Unready> {
    let routes = || order.cycles.iter().map(|cycle| &cycle.route);
    let pinged = order.pings.iter().filter_map(|ping| match &ping.server {
        PingServer::Smtp(gateway) => Some(gateway),
        PingServer::Mailbox(_) => None,
    });
    let gateways: BTreeMap<_, _> = routes()
        .map(|route| &route.gateway)
        .chain(pinged)
        .map(|gateway| (gateway.name.clone(), Arc::clone(gateway)))
        .collect();
    let wanted: BTreeSet<_> = routes()
        .flat_map(|route| [Some(&route.mailbox.name), route.bounce_mailbox.as_ref()])
        .flatten()
        .collect();
    let mailboxes = wanted
        .into_iter()
        .filter_map(|name| plan.mailboxes.get(name).cloned());
    let mut said = BTreeMap::new();
    let tell = |waiting: &Waiting| {
        let what = waiting.failure.what.clone();
        if said.insert(waiting.server.clone(), what.clone()) != Some(what.clone()) && !quiet {
            // A closed standard error is no reason to stop.
            let _ = writeln!(anstream::stderr(), "waiting for {}: {what}", waiting.server);
        }
    };
    ready(
        gateways.into_values().collect(),
        mailboxes.collect(),
        limit,
        tell,
    )
    .await
    .map_err(|waiting| Unready::never(&waiting, limit))
}
