//! Servers that are only spoken to, without sending a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;

use super::{Endpoint, Gateway, Login, Protocol, Security, Trust};
use crate::probe::name::RouteName;

/// How long before its end a certificate is warned about, where nothing else is said.
pub const DEFAULT_CERTIFICATE_WARN: Duration = Duration::from_hours(14 * 24);

/// A server to speak to, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Ping {
    /// The route's name; on the command line, what was asked for.
    pub name: RouteName,
    /// Whom to speak to.
    pub server: PingServer,
    /// Sender and recipient to ask an SMTP server for; `None`: neither MAIL nor RCPT is sent.
    pub envelope: Option<(Address, Address)>,
    /// No further than the TCP handshake.
    pub plain: bool,
    /// The time all steps may take together.
    pub deadline: Duration,
    /// Slower than this: warn.
    pub warn_after: Option<Duration>,
    /// A certificate that ends sooner than this: warn.
    pub certificate_warn: Duration,
}

/// Whom to speak to.
#[derive(Clone, Debug)]
pub enum PingServer {
    /// An SMTP server.
    Smtp(Arc<Gateway>),
    /// An IMAP or POP3 server.
    Mailbox(Door),
}

impl PingServer {
    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Smtp(gateway) => &gateway.endpoint,
            Self::Mailbox(door) => &door.endpoint,
        }
    }

    /// Asked for addresses; none: the system's resolver.
    pub fn name_servers(&self) -> &Arc<[SocketAddr]> {
        match self {
            Self::Smtp(gateway) => &gateway.name_servers,
            Self::Mailbox(door) => &door.name_servers,
        }
    }
}

/// A mailbox server, as far as one looks at it from outside.
#[derive(Clone, Debug)]
pub struct Door {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Asked for addresses; none: the system's resolver.
    pub name_servers: Arc<[SocketAddr]>,
    /// How the session is secured.
    pub security: Security,
    /// Whom it trusts.
    pub trust: Trust,
    /// How to log in, if at all.
    pub login: Option<Login>,
    /// For each step.
    pub timeout: Duration,
}
