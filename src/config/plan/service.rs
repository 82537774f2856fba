//! The service as a whole: where it keeps its history, and where it can be asked.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::{ClientCertificate, Endpoint};
use crate::config::secret::Secret;

/// Where the history is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlan {
    /// The database; `None`: `history.db` in the state directory.
    pub file: Option<PathBuf>,
    /// How long passes are kept.
    pub retention: Duration,
    /// How long everything else is kept.
    pub retention_failed: Duration,
}

/// What the file is called where the config names none.
pub const HISTORY: &str = "history.db";

impl Default for StorePlan {
    fn default() -> Self {
        Self {
            file: None,
            retention: Duration::from_hours(90 * 24),
            retention_failed: Duration::from_hours(366 * 24),
        }
    }
}

/// Where the service can be asked, and its bounds.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// Where the API, the metrics and the health checks are; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// What a client must show for every POST, and beyond loopback for everything.
    pub token: Option<Secret>,
    /// The certificate to serve TLS with.
    pub tls: Option<Arc<ClientCertificate>>,
    /// Probes in flight at once.
    pub max_in_flight: usize,
    /// What must answer while this machine has a network.
    pub uplink: Vec<Reference>,
    /// Whether intervals may be as short as one likes.
    pub unsafe_intervals: bool,
    /// How long a late copy still changes a probe's record.
    pub remember: Duration,
    /// A URL that is called only while all is well.
    pub heartbeat: Option<Heartbeat>,
}

/// A token of the API with fewer characters could be guessed.
const LEAST_TOKEN: usize = 16;

/// Whether a token can be used where the API listens: an error, or a warning in `Ok`.
pub fn check_token(token: &str, is_open: bool) -> Result<Option<String>, String> {
    if token.trim() != token {
        // A header's value goes over the wire without white space around it.
        return Err("the token begins or ends with white space, so no client could show it".into());
    }
    if token.contains(char::is_control) {
        return Err("the token has a control character in it, so no client could show it".into());
    }
    let is_short = token.chars().count() < LEAST_TOKEN;
    let message = format!("the token has fewer than {LEAST_TOKEN} characters: it could be guessed");
    match is_short {
        true if is_open => Err(message),
        is_short => Ok(is_short.then_some(message)),
    }
}

impl ServicePlan {
    /// Whether others than this machine can reach an address, so that they must show the token.
    pub fn is_open(listen: SocketAddr) -> bool {
        !listen.ip().to_canonical().is_loopback()
    }
}

/// Something far away that answers while this machine has a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A server that takes TCP connections.
    Connect(Endpoint),
    /// A URL that is answered, with whatever status.
    Web(Url),
    /// A name that resolves.
    Lookup(String),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no reference: write \"1.1.1.1:53\", \"https://example.org/\" or \"dns:example.org\""
            )
        };
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            !name.is_empty() && name.chars().all(is_part)
        };
        if let Some(name) = text.strip_prefix("dns:") {
            return is_name(name)
                .then(|| Self::Lookup(name.to_owned()))
                .ok_or_else(wrong);
        }
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| wrong())?;
            let is_web = ["https", "http"].contains(&url.scheme()) && url.has_host();
            return is_web.then_some(Self::Web(url)).ok_or_else(wrong);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0);
        let (host, port) = Some(host.to_owned())
            .filter(|host| is_name(host))
            .zip(port)
            .ok_or_else(wrong)?;
        Ok(Self::Connect(Endpoint { host, port }))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(endpoint) => endpoint.fmt(f),
            Self::Web(url) => url.fmt(f),
            Self::Lookup(name) => write!(f, "dns:{name}"),
        }
    }
}

/// A dead man's switch: whoever is called here raises an alarm when the calls stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// What is called; often a secret.
    pub url: Secret,
    /// How often.
    pub every: Duration,
}

/// Where the service listens if nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9725);

impl Default for ServicePlan {
    fn default() -> Self {
        Self {
            listen: Some(DEFAULT_LISTEN),
            token: None,
            tls: None,
            max_in_flight: 1000,
            uplink: Vec::new(),
            unsafe_intervals: false,
            remember: Duration::from_hours(7 * 24),
            heartbeat: None,
        }
    }
}
