//! Asking a blocklist about an address (RFC 5782): its octets reversed in front of the list's zone, answers in 127.0.0.0/8.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::dns::{Answers, Dns};
use crate::probe::listing::{Listing, Standing};

/// Evidence never waits longer than this for a list.
const LIMIT: Duration = Duration::from_secs(5);
/// So much of a list's words is kept.
const MOST_WORDS: usize = 300;

/// What this list says of this address.
pub async fn ask(dns: &Dns, zone: &str, address: IpAddr) -> Listing {
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
