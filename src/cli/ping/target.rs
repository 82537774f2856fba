//! What a ping is aimed at, as it is written on the command line.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::config::plan::{self, Security};
use crate::config::value::host_name;

/// What the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Smtp,
    Mailbox(plan::Protocol),
}

impl Protocol {
    /// Its port, where none is named.
    pub(super) fn port(self, security: Security) -> u16 {
        let (implicit, plain) = match self {
            Self::Smtp => (465, 25),
            Self::Mailbox(protocol) => protocol.ports(),
        };
        if security == Security::Implicit {
            implicit
        } else {
            plain
        }
    }
}

/// A server, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// A name or an address.
    pub(super) host: String,
    /// `None`: the protocol's own.
    pub(super) port: Option<u16>,
    /// Whether TLS begins with the first byte there.
    pub(super) implicit: bool,
    /// As it was written.
    written: String,
}

const WRITE: &str = "write HOST, HOST:PORT or [IPV6]:PORT";
/// Schemes: their protocol, their port where it is not the protocol's own, and whether TLS begins with the first byte.
const SCHEMES: [(&str, Protocol, Option<u16>, bool); 7] = [
    ("smtp", Protocol::Smtp, None, false),
    ("smtps", Protocol::Smtp, Some(465), true),
    ("submission", Protocol::Smtp, Some(587), false),
    (
        "imap",
        Protocol::Mailbox(plan::Protocol::Imap),
        Some(143),
        false,
    ),
    (
        "imaps",
        Protocol::Mailbox(plan::Protocol::Imap),
        Some(993),
        true,
    ),
    (
        "pop3",
        Protocol::Mailbox(plan::Protocol::Pop3),
        Some(110),
        false,
    ),
    (
        "pop3s",
        Protocol::Mailbox(plan::Protocol::Pop3),
        Some(995),
        true,
    ),
];

impl Target {
    /// Reads `[scheme://]host[:port]`. Without a scheme, the port tells the protocol where it is a known one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split(rest)?;
        if host.is_empty() || host.contains(['/', '@', ' ', '\t', '?', '#']) {
            return Err(WRITE.into());
        }
        if host.parse::<IpAddr>().is_err() {
            host_name(host)?;
        }
        let known = match &scheme {
            Some(scheme) => {
                let known = SCHEMES.iter().find(|(name, ..)| name == scheme);
                Some(known.ok_or_else(|| {
                    let names = SCHEMES.map(|(name, ..)| name);
                    format!("there is no scheme {scheme:?}: {}", names.join(", "))
                })?)
            }
            None => SCHEMES
                .iter()
                .find(|(_, _, of_scheme, _)| of_scheme.is_some() && *of_scheme == port),
        };
        let (protocol, of_scheme, implicit) = match known {
            Some((_, protocol, port, implicit)) => (*protocol, *port, *implicit),
            None => (Protocol::Smtp, None, false),
        };
        Ok(Self {
            protocol,
            host: host.to_owned(),
            port: port.or(of_scheme),
            implicit,
            written: text.to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Host and port; an IPv6 address stands in brackets where a port follows.
fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or("an IPv6 address stands between [ and ]")?;
        match rest.strip_prefix(':') {
            None if !rest.is_empty() => return Err(WRITE.into()),
            port => (host, port),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => match text.parse::<Ipv6Addr>() {
                Ok(_) => (text, None),
                Err(_) => return Err(WRITE.into()),
            },
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(0) | Err(_) => Err(format!("{port:?} is no port: 1 to 65535")),
        Ok(port) => Ok(port),
    });
    Ok((host, port.transpose()?))
}
