//! Until when the certificates are valid that pings were shown.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::probe::name::RouteName;
use crate::probe::record::Record;
use crate::probe::visit::TlsFacts;

/// The servers that pings went to, and when the first certificate of what each of them showed last ends.
#[derive(Debug, Default)]
pub(super) struct Endpoints(BTreeMap<(RouteName, Endpoint), Timestamp>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoints {
    /// Notes what a ping was shown. Where it was shown nothing, what an earlier one was shown is no longer so.
    pub(super) fn note(&mut self, record: &Record) {
        let Some(visit) = &record.evidence.visit else {
            return;
        };
        let host = visit.host.trim_matches(['[', ']']);
        let address = record.attempts.iter().find_map(|attempt| attempt.address);
        let expires = visit.tls.as_ref().and_then(TlsFacts::expires);
        match (address, expires) {
            (Some(address), Some(expires)) => {
                let endpoint = Endpoint {
                    host: host.to_owned(),
                    port: address.port(),
                };
                self.0.insert((record.route.clone(), endpoint), expires);
            }
            (Some(_), None) | (None, _) => {
                self.0
                    .retain(|(route, endpoint), _| *route != record.route || endpoint.host != host);
            }
        }
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(&RouteName) -> bool) {
        self.0.retain(|(route, _), _| is_kept(route));
    }

    /// Each `HOST:PORT`, and the first end. What several routes found may be of several moments.
    pub(super) fn expiries(&self) -> BTreeMap<String, Timestamp> {
        let mut expiries = BTreeMap::new();
        for ((_, Endpoint { host, port }), expires) in &self.0 {
            let name = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            let first = expiries.entry(name).or_insert(*expires);
            *first = (*first).min(*expires);
        }
        expiries
    }
}
