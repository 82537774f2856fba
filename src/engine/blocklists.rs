//! The blocklists that the config names: all of them asked at once, and each no oftener than it likes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::clock::Stamp;
use crate::config::plan::DnsPlan;
use crate::net::blocklist::ask;
use crate::net::dial::local_towards;
use crate::net::dns::Dns;
use crate::probe::facts::is_local;
use crate::probe::listing::{Listing, Standing};

/// A listing is believed for so long: the big lists ask for no more than that, and turn frequent askers away.
const FRESH: Duration = Duration::from_mins(15);

/// Asks lists, and remembers what they said.
pub struct Blocklists {
    dns: Dns,
    zones: Vec<String>,
    sending_address: Option<IpAddr>,
    known: Mutex<BTreeMap<(IpAddr, String), (Instant, Listing)>>,
}

impl Blocklists {
    /// Asks the lists of a plan.
    pub fn new(plan: &DnsPlan) -> Self {
        Self {
            dns: Dns::new(Arc::clone(&plan.servers)),
            zones: plan.blocklists.clone(),
            sending_address: plan.sending_address,
            known: Mutex::default(),
        }
    }

    /// Whether the config names none.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// What each list says of the address that this peer sees us come from.
    pub async fn towards(&self, peer: SocketAddr) -> Vec<Listing> {
        if self.zones.is_empty() {
            return Vec::new();
        }
        let ours = self.sending_address.or_else(|| local_towards(peer));
        match ours {
            Some(address) if !is_local(address) => self.ask(address).await,
            _ => self.unasked(ours),
        }
    }

    /// No list knows private addresses.
    fn unasked(&self, address: Option<IpAddr>) -> Vec<Listing> {
        let ours = address.map_or_else(String::new, |address| format!(", {address},"));
        let text = format!(
            "not asked: the address we send from{ours} is not a public one; write the one that the world sees in [dns] sending_address, or --sending-address"
        );
        let listing = |zone: &String| Listing {
            list: zone.clone(),
            address,
            standing: Standing::Unknown,
            answers: Vec::new(),
            text: Some(text.clone()),
        };
        self.zones.iter().map(listing).collect()
    }

    /// What each list says of this address, in the order of the config. One asker at a time, so that the others find the
    /// answers there.
    async fn ask(&self, address: IpAddr) -> Vec<Listing> {
        let mut known = self.known.lock().await;
        let now = Stamp::now().mono;
        known.retain(|_, (when, _)| now.duration_since(*when) < FRESH);
        let mut asking = JoinSet::new();
        for zone in &self.zones {
            if !known.contains_key(&(address, zone.clone())) {
                let (dns, zone) = (self.dns.clone(), zone.clone());
                asking.spawn(async move { ask(&dns, &zone, address).await });
            }
        }
        while let Some(answered) = asking.join_next().await {
            let Ok(listing) = answered else { continue };
            known.insert(
                (address, listing.list.clone()),
                (Stamp::now().mono, listing),
            );
        }
        let said = |zone: &String| known.get(&(address, zone.clone()));
        let said = self.zones.iter().filter_map(said);
        said.map(|(_, listing)| listing.clone()).collect()
    }
}
