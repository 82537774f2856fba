//! The service as a whole: where it keeps its history, and where it can be asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ClientCertificate;
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
            remember: Duration::from_hours(7 * 24),
            heartbeat: None,
        }
    }
}
