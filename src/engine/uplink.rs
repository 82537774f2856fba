//! Is it us? Whether this machine has a network at all, where a gateway's name cannot be resolved or nothing answers
//! there: references that the config names are asked, and the other gateways are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, redirect};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Stamp;
use crate::config::plan::{Endpoint, Gateway, PingServer, Plan, Reference, Trust};
use crate::judge::network::{self, Network};
use crate::net::dial;
use crate::net::dns::Dns;
use crate::net::tls;
use crate::net::web::cause;
use crate::probe::name::RouteName;
use crate::probe::record::Record;

/// How long a reference, or a gateway, may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Of a name so many addresses are tried.
const TRIED: usize = 3;
/// What was found holds for so long: many probes fail at once.
const FRESH: Duration = Duration::from_secs(10);

/// What is asked and tried.
pub struct Uplink {
    dns: Dns,
    references: Vec<Reference>,
    gateways: Vec<Gate>,
    found: Mutex<Option<(Instant, Network)>>,
}

/// A server that can be connected to.
#[derive(Clone)]
struct Gate {
    endpoint: Endpoint,
    is_domain: bool,
}

impl Uplink {
    /// The references of a plan, and its gateways that are tested.
    pub fn of(plan: &Plan) -> Self {
        let is_tested = |name| plan.watches.get(name).is_some_and(|watch| watch.enabled);
        let routes = plan.routes.iter().filter(|(name, _)| is_tested(*name));
        let mut gates: BTreeMap<_, _> = routes
            .map(|(_, route)| gate(&route.gateway))
            .map(|gate| (gate.endpoint.to_string(), gate))
            .collect();
        for (_, ping) in plan.pings.iter().filter(|(name, _)| is_tested(*name)) {
            let gate = match &ping.server {
                PingServer::Smtp(gateway) => gate(gateway),
                PingServer::Mailbox(door) => Gate {
                    endpoint: door.endpoint.clone(),
                    is_domain: false,
                },
            };
            gates.insert(gate.endpoint.to_string(), gate);
        }
        Self {
            gateways: gates.into_values().collect(),
            ..Self::asking(
                plan.service.uplink.clone(),
                Dns::new(Arc::clone(&plan.dns.servers)),
            )
        }
    }

    /// These references, and no gateway.
    pub fn asking(references: Vec<Reference>, dns: Dns) -> Self {
        Self {
            dns,
            references,
            gateways: Vec::new(),
            found: Mutex::new(None),
        }
    }

    /// Whether this machine has a network, now that a server was not reached. All who ask at once share one answer.
    pub async fn network(self: &Arc<Self>) -> Network {
        let mut found = self.found.lock().await;
        let now = Stamp::now().mono;
        if let Some((at, network)) = &*found
            && now.saturating_duration_since(*at) < FRESH
        {
            return network.clone();
        }
        let network = self.look().await;
        *found = Some((Stamp::now().mono, network.clone()));
        network
    }

    /// The same, of servers that were all tried before, so many of them, and none of which was reached.
    pub async fn without(self: &Arc<Self>, servers: usize) -> Network {
        match self.silent().await {
            Some(silent) if silent.is_empty() => Network::Unreached(servers),
            Some(silent) => Network::Gone(silent),
            None => Network::There,
        }
    }

    async fn look(self: &Arc<Self>) -> Network {
        let Some(silent) = self.silent().await else {
            return Network::There;
        };
        let mut trying = JoinSet::new();
        for gate in self.gateways.clone() {
            let uplink = Arc::clone(self);
            trying.spawn(async move { uplink.connects(&gate).await.is_ok() });
        }
        while let Some(reached) = trying.join_next().await {
            if reached.unwrap_or(true) {
                return Network::There;
            }
        }
        if silent.is_empty() {
            Network::Unreached(self.gateways.len())
        } else {
            Network::Gone(silent)
        }
    }

    /// Why each reference does not answer; `None`: one does.
    async fn silent(self: &Arc<Self>) -> Option<Vec<String>> {
        let mut asking = JoinSet::new();
        for reference in self.references.clone() {
            let uplink = Arc::clone(self);
            asking.spawn(async move {
                let answer = uplink.answers(&reference).await;
                answer.map_err(|why| format!("{reference}: {why}"))
            });
        }
        let mut silent = Vec::new();
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Err(why)) => silent.push(why),
                Ok(Ok(())) | Err(_) => return None,
            }
        }
        silent.sort_unstable();
        Some(silent)
    }

    /// Whether a reference answers. What it answers does not matter.
    async fn answers(&self, reference: &Reference) -> Result<(), String> {
        match reference {
            Reference::Connect(endpoint) => {
                let endpoint = endpoint.clone();
                let is_domain = false;
                self.connects(&Gate {
                    endpoint,
                    is_domain,
                })
                .await
            }
            Reference::Lookup(name) => {
                let endpoint = Endpoint {
                    host: name.clone(),
                    port: 0,
                };
                let found = self.dns.addresses(&endpoint, LIMIT).await;
                found.map(drop).map_err(|failure| failure.what)
            }
            Reference::Web(url) => {
                let client = Client::builder()
                    .tls_backend_preconfigured(tls::client_config(&Trust::System))
                    .redirect(redirect::Policy::none())
                    .timeout(LIMIT)
                    .build();
                let asked = client.map_err(|error| cause(&error))?.head(url.clone());
                let answer = asked.send().await;
                answer.map(drop).map_err(|error| cause(&error))
            }
        }
    }

    async fn connects(&self, gate: &Gate) -> Result<(), String> {
        let targets = self.dns.targets(&gate.endpoint, gate.is_domain, LIMIT);
        let targets = targets.await.map_err(|failure| failure.what)?;
        let mut failed = String::new();
        for target in targets.iter().take(TRIED) {
            match dial::connect(target.address, LIMIT).await {
                Ok(_) => return Ok(()),
                Err(failure) => failed = failure.what,
            }
        }
        Err(failed)
    }
}

/// The records of a run in which no server was reached, by what is known of this machine's network.
pub(super) async fn doubted(
    records: Vec<Record>,
    plan: &Plan,
    stop: &CancellationToken,
) -> Vec<Record> {
    if stop.is_cancelled() || !records.iter().all(network::is_doubtful) {
        return records;
    }
    let servers: BTreeSet<_> = records
        .iter()
        .filter_map(|record| server(plan, &record.route))
        .collect();
    let uplink = Arc::new(Uplink::of(plan));
    let network = tokio::select! {
        () = stop.cancelled() => Network::There,
        network = uplink.without(servers.len()) => network,
    };
    let judged = records.into_iter();
    judged
        .map(|record| network::judged(record, &network))
        .collect()
}

/// The server that a route tests.
fn server(plan: &Plan, route: &RouteName) -> Option<String> {
    let gateway = plan.routes.get(route).map(|route| &route.gateway.endpoint);
    let pinged = plan.pings.get(route).map(|ping| ping.server.endpoint());
    gateway.or(pinged).map(ToString::to_string)
}

fn gate(gateway: &Gateway) -> Gate {
    Gate {
        endpoint: gateway.endpoint.clone(),
        is_domain: gateway.is_domain,
    }
}
