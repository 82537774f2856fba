//! Speaking to servers without sending a message: one visit, what evidence needs from DNS, and the record.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::blocklists::Blocklists;
use super::order::Progress;
use super::settle::{self, supersede};
use crate::clock::Stamp;
use crate::config::plan::{Ping, PingServer};
use crate::judge::ping::PingCase;
use crate::judge::record::{Identity, Keeping};
use crate::mailbox;
use crate::net::dns::{Dns, Target};
use crate::probe::facts::Failure;
use crate::probe::outcome::Verdict;
use crate::probe::record::Record;
use crate::probe::visit::{Visit, VisitEnd};
use crate::smtp::ping::{self as smtp, Reach};

/// Evidence never waits longer than this for a name.
const NAMES: Duration = Duration::from_secs(5);

/// One visit, judged. `address`: that one; else whichever the name has first.
pub async fn ping(
    ping: &Ping,
    address: Option<SocketAddr>,
    lists: &Blocklists,
    (instance, due_at): (&str, Timestamp),
) -> Record {
    let visit = match &ping.server {
        PingServer::Smtp(gateway) => {
            let reach = Reach {
                address,
                envelope: ping.envelope.clone(),
                plain: ping.plain,
            };
            smtp::visit(gateway, &reach).await
        }
        PingServer::Mailbox(door) => mailbox::visit::visit(door, address, ping.plain).await,
    };
    let servers = ping.server.name_servers();
    let dns = Dns::new(servers.clone());
    // What a machine is called to itself is no evidence.
    let asked = visit
        .address
        .filter(|address| !address.ip().is_loopback() || !servers.is_empty());
    let pointer = async {
        match asked {
            Some(address) => Some(dns.pointer(address.ip(), NAMES).await),
            None => None,
        }
    };
    let exchangers = async {
        match &ping.server {
            PingServer::Smtp(gateway) if gateway.is_domain => {
                let found = dns.exchangers(&gateway.endpoint.host, NAMES).await;
                found.unwrap_or_default()
            }
            PingServer::Smtp(_) | PingServer::Mailbox(_) => Vec::new(),
        }
    };
    let listings = async {
        match visit.address {
            Some(address) => lists.towards(address).await,
            None => Vec::new(),
        }
    };
    let (pointer, exchangers, listings) = tokio::join!(pointer, exchangers, listings);
    let case = PingCase {
        ping,
        visit: &visit,
        pointer: pointer.as_ref(),
        exchangers: &exchangers,
        listings: &listings,
    };
    case.record(Identity {
        id: Uuid::now_v7(),
        instance,
        due_at,
        began_at: Some(visit.started.wall),
        keeping: Keeping::default(),
    })
}

/// What a round of pings is to do.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// Whom to speak to; each so many times as it stands here.
    pub(super) pings: Vec<Arc<Ping>>,
    /// So many at once.
    pub(super) concurrency: usize,
    /// How long one that does not pass is tried again.
    pub(super) settle: Duration,
}

/// Pings all of them, each on every address where its gateway wants that. What `stop` cuts off is in the records too.
pub(super) async fn round(
    lists: &Arc<Blocklists>,
    round: Round,
    instance: &str,
    progress: &mpsc::UnboundedSender<Progress>,
    stop: &CancellationToken,
) -> Vec<Record> {
    let slots = Arc::new(Semaphore::new(
        round.concurrency.min(Semaphore::MAX_PERMITS),
    ));
    let due_at = Stamp::now().wall;
    let until = Instant::now() + round.settle;
    let mut visiting = JoinSet::new();
    for (at, it) in round.pings.into_iter().enumerate() {
        let (lists, slots) = (Arc::clone(lists), Arc::clone(&slots));
        let (stop, progress) = (stop.clone(), progress.clone());
        let instance = instance.to_owned();
        visiting.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let mut records = Vec::new();
            let addresses = tokio::select! {
                biased;
                () = stop.cancelled() => vec![None],
                addresses = each_address(&it) => addresses,
            };
            for address in addresses {
                let who = (instance.as_str(), due_at);
                let mut trials: Vec<Record> = Vec::new();
                loop {
                    let began = Instant::now();
                    let record = tokio::select! {
                        biased;
                        () = stop.cancelled() => without(&it, VisitEnd::Interrupted, who),
                        record = ping(&it, address, &lists, who) => record,
                    };
                    // Whether anybody watches is no concern of the run.
                    let _ = progress.send(Progress::Settled(Box::new(record.clone())));
                    let passed = record.verdict == Verdict::Pass;
                    for earlier in &mut trials {
                        supersede(earlier, Some(record.id));
                    }
                    trials.push(record);
                    let again = began + settle::EVERY;
                    if passed || again >= until || stop.is_cancelled() {
                        break;
                    }
                    tokio::select! {
                        () = sleep_until(again) => {}
                        () = stop.cancelled() => break,
                    }
                }
                records.append(&mut trials);
            }
            (at, records)
        });
    }
    let mut records: BTreeMap<_, _> = BTreeMap::new();
    while let Some(visited) = visiting.join_next().await {
        records.extend(visited.ok());
    }
    records.into_values().flatten().collect()
}

/// The record of a ping without a visit: one that was cut off, or never begun.
pub(super) fn without(ping: &Ping, end: VisitEnd, (instance, due_at): (&str, Timestamp)) -> Record {
    let now = Stamp::now();
    let visit = Visit {
        insecure: None,
        started: now,
        ended: now,
        host: ping.server.endpoint().host.clone(),
        address: None,
        steps: Vec::new(),
        tls: None,
        end,
    };
    let case = PingCase {
        ping,
        visit: &visit,
        pointer: None,
        exchangers: &[],
        listings: &[],
    };
    case.record(Identity {
        id: Uuid::now_v7(),
        instance,
        due_at,
        began_at: None,
        keeping: Keeping::default(),
    })
}

/// The addresses that want a visit of their own; `None`: whichever there is.
pub async fn each_address(ping: &Ping) -> Vec<Option<SocketAddr>> {
    match &ping.server {
        PingServer::Smtp(gateway) if gateway.each_address => match addresses(ping).await {
            Ok(addresses) => addresses.into_iter().map(Some).collect(),
            // The visit itself will fail on it, and say so.
            Err(_) => vec![None],
        },
        PingServer::Smtp(_) | PingServer::Mailbox(_) => vec![None],
    }
}

/// Every address that the server has, of every exchanger where a domain was named.
pub async fn addresses(ping: &Ping) -> Result<Vec<SocketAddr>, Failure> {
    let dns = Dns::new(ping.server.name_servers().clone());
    let (is_domain, limit) = match &ping.server {
        PingServer::Smtp(gateway) => (gateway.is_domain, gateway.timeout),
        PingServer::Mailbox(door) => (false, door.timeout),
    };
    let targets = dns
        .targets(ping.server.endpoint(), is_domain, limit)
        .await?;
    let addresses = targets.into_iter().map(|Target { address, .. }| address);
    Ok(addresses.collect())
}
