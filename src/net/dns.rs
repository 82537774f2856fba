//! Names to addresses: the system's resolver, or the name servers that the config names. Mail exchangers as RFC 5321 §5.1
//! wants them: by preference, equal ones in random order, the domain's own address where there is none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::clock::Stamp;
use crate::config::plan::Endpoint;
use crate::duration::seconds;
use crate::probe::facts::Failure;
use crate::probe::outcome::Code;
use crate::probe::record::milliseconds;
use crate::probe::visit::{Exchanger, Pointer};

/// So many exchangers of a domain are looked at.
const MOST_EXCHANGERS: usize = 20;

/// A server to connect to: one of perhaps several behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name that its certificate must be for.
    pub host: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a look-up of addresses came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// There is no such name, or it has no such address.
    None,
    /// The addresses.
    Found(Vec<Ipv4Addr>),
    /// Nothing can be said, and why.
    Failed(String),
}

/// Looks names up. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    /// Asked instead of the system's resolver; none: the system's.
    servers: Arc<[SocketAddr]>,
}

impl Dns {
    /// Asks these name servers; none: those of the system.
    pub fn new(servers: Arc<[SocketAddr]>) -> Self {
        Self { servers }
    }

    /// Where to submit: the addresses of a host or, for a domain, those of its mail exchangers in their order.
    pub async fn targets(
        &self,
        endpoint: &Endpoint,
        is_domain: bool,
        limit: Duration,
    ) -> Result<Vec<Target>, Failure> {
        if !is_domain {
            let host = endpoint.bare_host();
            let addresses = self.addresses(endpoint, limit).await?;
            return Ok(targets(host, addresses).collect());
        }
        let exchangers = self.exchangers(&endpoint.host, limit).await?;
        let mut found = Vec::new();
        let mut failed = None;
        let look_up = async {
            for Exchanger { host, .. } in exchangers {
                let port = endpoint.port;
                let exchanger = Endpoint { host, port };
                match self.addresses(&exchanger, limit).await {
                    Ok(addresses) => found.extend(targets(&exchanger.host, addresses)),
                    // Another exchanger may still be found.
                    Err(failure) => failed = Some(failure),
                }
            }
        };
        // All of them share one step's time; those that were found by then will do.
        if timeout(limit, look_up).await.is_err() && found.is_empty() {
            let late = format!("no answer within {}", seconds(limit));
            failed = failed.or(Some(self::failed(&endpoint.host, &late)));
        }
        match (found.is_empty(), failed) {
            (true, Some(failure)) => Err(failure),
            (true, None) => Err(no_address(endpoint)),
            (false, _) => Ok(found),
        }
    }

    /// The addresses of a host, in the resolver's order.
    pub async fn addresses(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let Endpoint { host, port } = endpoint;
        let bare = endpoint.bare_host();
        let looked_up = async {
            if self.servers.is_empty() || bare.parse::<IpAddr>().is_ok() {
                let found = lookup_host((bare, *port)).await;
                return found
                    .map(Iterator::collect)
                    .map_err(|error| failed(host, &error.to_string()));
            }
            let found = self.resolver(limit)?.lookup_ip(bare).await;
            let found = found.map_err(|error| failed(host, &explain(&error)))?;
            Ok(found.iter().map(|ip| SocketAddr::new(ip, *port)).collect())
        };
        let addresses: Vec<_> = within(limit, host, looked_up).await?;
        if addresses.is_empty() {
            return Err(no_address(endpoint));
        }
        Ok(addresses)
    }

    /// Whether a name has mail exchangers of its own, or says that it takes no mail.
    pub async fn has_exchangers(&self, domain: &str, limit: Duration) -> bool {
        let found = self.mx(domain, limit).await;
        found.is_ok_and(|found| !found.is_empty())
    }

    /// The mail exchangers of a domain in the order they are to be tried; the domain itself where it names none.
    pub async fn exchangers(
        &self,
        domain: &str,
        limit: Duration,
    ) -> Result<Vec<Exchanger>, Failure> {
        let mut exchangers = self.mx(domain, limit).await?;
        if exchangers.is_empty() {
            return Ok(vec![Exchanger {
                preference: 0,
                host: domain.to_owned(),
            }]);
        }
        exchangers.retain(|exchanger| !exchanger.host.is_empty());
        if exchangers.is_empty() {
            return Err(Failure {
                code: Code::DnsFailed,
                what: format!("{domain} says that it takes no mail (its MX is \".\", RFC 7505)"),
                remedy: "name a domain that takes mail, or the gateway itself in `host`",
            });
        }
        exchangers.sort_by_key(|exchanger| (exchanger.preference, drawn()));
        exchangers.truncate(MOST_EXCHANGERS);
        Ok(exchangers)
    }

    /// The MX records of a name as they are; of the null MX (RFC 7505) the host is empty.
    async fn mx(&self, domain: &str, limit: Duration) -> Result<Vec<Exchanger>, Failure> {
        let resolver = self.resolver(limit)?;
        let looked_up = async {
            match resolver.mx_lookup(absolute(domain)).await {
                Ok(found) => Ok(found.answers().to_vec()),
                // A name without exchangers, or with an address alone.
                Err(error) if error.is_no_records_found() && !error.is_nx_domain() => {
                    Ok(Vec::new())
                }
                Err(error) => Err(failed(domain, &explain(&error))),
            }
        };
        let records = within(limit, domain, looked_up).await?;
        let exchangers = records.iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(Exchanger {
                preference: mx.preference,
                host: mx.exchange.to_utf8().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        });
        Ok(exchangers.collect())
    }

    /// The names of an address (PTR), and whether one of them leads back to it.
    pub async fn pointer(&self, address: IpAddr, limit: Duration) -> Pointer {
        let began = Stamp::now();
        let mut pointer = Pointer::default();
        let asked = async {
            let resolver = self.resolver(limit).map_err(|failure| failure.what)?;
            let found = match resolver.reverse_lookup(address).await {
                Ok(found) => found,
                Err(error) if error.is_no_records_found() => return Ok(()),
                Err(error) => return Err(explain(&error)),
            };
            let names = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::PTR(name) => Some(name.to_utf8().trim_end_matches('.').to_owned()),
                    _ => None,
                });
            pointer.names = names.take(MOST_EXCHANGERS).collect();
            for name in &pointer.names {
                let back = resolver.lookup_ip(absolute(name)).await;
                if back.is_ok_and(|back| back.iter().any(|ip| ip == address)) {
                    pointer.confirmed = true;
                    break;
                }
            }
            Ok(())
        };
        let asked = timeout(limit, asked).await;
        let late = |_| Err(format!("no answer within {}", seconds(limit)));
        pointer.problem = asked.unwrap_or_else(late).err();
        pointer.ms = milliseconds(Stamp::now().since(began));
        pointer
    }

    /// The IPv4 addresses of a name that no search list is tried for.
    pub async fn a(&self, name: &str, limit: Duration) -> Answers {
        let asked = async {
            let resolver = self.resolver(limit).map_err(|failure| failure.what)?;
            match resolver.ipv4_lookup(absolute(name)).await {
                Ok(found) => Ok(found.answers().to_vec()),
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                Err(error) => Err(error.to_string()),
            }
        };
        let found = match timeout(limit, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Answers::Failed(error),
            Err(_) => return Answers::Failed(format!("no answer within {}", seconds(limit))),
        };
        let addresses: Vec<_> = found
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(ip) => Some(ip.0),
                _ => None,
            })
            .collect();
        if addresses.is_empty() {
            Answers::None
        } else {
            Answers::Found(addresses)
        }
    }

    /// The text of a name, if it has one.
    pub async fn txt(&self, name: &str, limit: Duration) -> Option<String> {
        let resolver = self.resolver(limit).ok()?;
        let asked = timeout(limit, resolver.txt_lookup(absolute(name))).await;
        let found = asked.ok()?.ok()?;
        found
            .answers()
            .iter()
            .find_map(|record| match &record.data {
                RData::TXT(text) => Some(text.to_string()),
                _ => None,
            })
    }

    fn resolver(&self, limit: Duration) -> Result<TokioResolver, Failure> {
        let builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = self.servers.iter().map(|server| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            let provider = TokioRuntimeProvider::default();
            Ok(TokioResolver::builder_with_config(config, provider))
        };
        let unusable = |error: NetError| Failure {
            code: Code::DnsFailed,
            what: format!("the system's resolver cannot be used: {error}"),
            remedy: "check /etc/resolv.conf, or name servers in [dns]",
        };
        let mut builder = builder.map_err(unusable)?;
        let mut options = ResolverOpts::clone(builder.options_mut());
        options.timeout = limit / 2;
        options.attempts = 2;
        options.use_hosts_file = if self.servers.is_empty() {
            ResolveHosts::Auto
        } else {
            ResolveHosts::Never
        };
        builder.with_options(options).build().map_err(unusable)
    }
}

fn targets(host: &str, addresses: Vec<SocketAddr>) -> impl Iterator<Item = Target> {
    addresses.into_iter().map(move |address| Target {
        host: host.to_owned(),
        address,
    })
}

async fn within<T>(
    limit: Duration,
    name: &str,
    looked_up: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| failed(name, &format!("no answer within {}", seconds(limit)));
    timeout(limit, looked_up).await.map_err(late)?
}

/// A name that no search list is tried for.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn failed(name: &str, why: &str) -> Failure {
    Failure {
        code: Code::DnsFailed,
        what: format!("looking up {name}: {why}"),
        remedy: "check the name, and that this machine's resolver answers",
    }
}

/// A name that leads nowhere.
pub fn no_address(endpoint: &Endpoint) -> Failure {
    Failure {
        code: Code::DnsFailed,
        what: format!("looking up {}: it has no address", endpoint.host),
        remedy: "check the name",
    }
}

fn explain(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".into()
    } else if error.is_no_records_found() {
        "it has no address".into()
    } else {
        error.to_string()
    }
}

/// Equal exchangers share the load.
fn drawn() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the order is the resolver's.
    let _ = SystemRandom::new().fill(&mut bytes);
    u16::from_le_bytes(bytes)
}
