//! Asking blocklists about an address (RFC 5782): its octets reversed in front of the list's zone, answers in 127.0.0.0/8.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::dns::{Answers, Dns};
use crate::config::plan::DnsPlan;
use crate::probe::facts::is_local;
use crate::probe::listing::{Listing, Standing};

/// A listing is believed for so long: the big lists ask for no more than that, and turn frequent askers away.
const FRESH: Duration = Duration::from_mins(15);
/// Evidence never waits longer than this for a list.
const LIMIT: Duration = Duration::from_secs(5);
/// So much of a list's words is kept.
const MOST_WORDS: usize = 300;

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
            "not asked: the address we send from{ours} is not a public one; write the one that the world sees in [dns] sending_address"
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

    /// What each list says of this address, in the order of the config.
    async fn ask(&self, address: IpAddr) -> Vec<Listing> {
        let mut said = BTreeMap::new();
        let mut asking = JoinSet::new();
        for (at, zone) in self.zones.iter().enumerate() {
            if let Some(listing) = self.remembered(address, zone) {
                said.insert(at, listing);
                continue;
            }
            let (dns, zone) = (self.dns.clone(), zone.clone());
            asking.spawn(async move { (at, ask(&dns, &zone, address).await) });
        }
        while let Some(answered) = asking.join_next().await {
            let Ok((at, listing)) = answered else {
                continue;
            };
            self.remember(address, &listing);
            said.insert(at, listing);
        }
        said.into_values().collect()
    }

    fn remembered(&self, address: IpAddr, zone: &str) -> Option<Listing> {
        let known = self.known.lock().ok()?;
        let (when, listing) = known.get(&(address, zone.to_owned()))?;
        (when.elapsed() < FRESH).then(|| listing.clone())
    }

    fn remember(&self, address: IpAddr, listing: &Listing) {
        if let Ok(mut known) = self.known.lock() {
            let said = (Instant::now(), listing.clone());
            known.insert((address, listing.list.clone()), said);
        }
    }
}

/// The address of ours that packets to this peer come from. Nothing is sent.
fn local_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

async fn ask(dns: &Dns, zone: &str, address: IpAddr) -> Listing {
    let name = format!("{}.{zone}", reversed(address));
    let mut listing = Listing {
        list: zone.to_owned(),
        address: Some(address),
        standing: Standing::Unknown,
        answers: Vec::new(),
        text: None,
    };
    match dns.a(&name, LIMIT).await {
        Answers::None => listing.standing = Standing::Clean,
        Answers::Failed(why) => listing.text = Some(why),
        Answers::Found(answers) => {
            let (standing, text) = meaning(&answers);
            listing.standing = standing;
            listing.text = text.map(str::to_owned);
            listing.answers = answers;
            if standing == Standing::Listed {
                let words = dns.txt(&name, LIMIT).await;
                listing.text = words.map(|words| words.chars().take(MOST_WORDS).collect());
            }
        }
    }
    listing
}

/// An address as lists are asked about it (RFC 5782 §2.1, §2.4).
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => {
            let octets: Vec<_> = ip.octets().iter().rev().map(ToString::to_string).collect();
            octets.join(".")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets();
            let nibbles = nibbles.iter().rev().flat_map(|it| [it & 15, it >> 4]);
            let nibbles: Vec<_> = nibbles.map(|it| format!("{it:x}")).collect();
            nibbles.join(".")
        }
    }
}

/// What answers mean: the codes of 127.255.255.0/24 are how Spamhaus and others turn askers away, 127.0.0.1 is how the
/// URI lists do, and what is not in 127.0.0.0/8 is no answer of a list at all.
fn meaning(answers: &[Ipv4Addr]) -> (Standing, Option<&'static str>) {
    let told = answers.iter().find_map(|answer| match answer.octets() {
        [127, 255, 255, 252] => Some("the list says that its name is written wrong"),
        [127, 255, 255, 254] => Some("the list does not answer public resolvers: ask through a name server of your own ([dns] servers)"),
        [127, 255, 255, 255] => Some("the list was asked too often from here"),
        [127, 255, 255, _] | [127, 0, 0, 1] => Some("the list refuses to answer us"),
        _ => None,
    });
    if told.is_some() {
        return (Standing::Refused, told);
    }
    if answers.iter().all(Ipv4Addr::is_loopback) {
        return (Standing::Listed, None);
    }
    let hijacked = "the answer is no blocklist's (not in 127.0.0.0/8): the list may be gone, or the resolver makes answers up";
    (Standing::Unknown, Some(hijacked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_about_backwards() {
        assert_eq!(reversed(IpAddr::from([192, 0, 2, 99])), "99.2.0.192");
        let ip = "2001:db8:1:2:3:4:567:89ab".parse().unwrap();
        let wanted = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(reversed(ip), wanted);
    }
}
