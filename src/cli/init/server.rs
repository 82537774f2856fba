//! Servers as they are named on the command line: `mx.example.com:587`, `imaps://imap.example.net`.

use crate::config::plan::{Protocol, Security};

/// A name or an address, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

/// A mailbox server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailboxServer {
    pub(super) protocol: Protocol,
    pub(super) security: Security,
    pub(super) host: Host,
}

impl MailboxServer {
    /// The given port, or the one that belongs to protocol and TLS.
    pub(super) fn port(&self) -> u16 {
        let (implicit, plain) = self.protocol.ports();
        self.host.port.unwrap_or(match self.security {
            Security::Implicit => implicit,
            Security::None | Security::Opportunistic | Security::Starttls => plain,
        })
    }
}

/// `HOST[:PORT]`; an IPv6 address with a port stands in brackets.
pub(super) fn host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            let number = port.parse().ok().filter(|port| *port != 0);
            let number = number.ok_or_else(|| format!("{port:?} is not a port from 1 to 65535"))?;
            (name, Some(number))
        }
        _ => (text, None),
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !is_address && (name.is_empty() || !name.chars().all(is_name)) {
        return Err(format!("{name:?} is neither a host's name nor its address"));
    }
    Ok(Host {
        name: bare.to_owned(),
        port,
    })
}

/// `HOST[:PORT]`, or a URL that says protocol and TLS with it.
pub(super) fn mailbox(text: &str) -> Result<MailboxServer, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("imaps", text));
    let (protocol, security) = match scheme {
        "imaps" => (Protocol::Imap, Security::Implicit),
        "imap" => (Protocol::Imap, Security::Starttls),
        "pop3s" => (Protocol::Pop3, Security::Implicit),
        "pop3" => (Protocol::Pop3, Security::Starttls),
        _ => {
            return Err(format!(
                "{scheme:?} is no way to a mailbox: imaps, imap, pop3s or pop3"
            ));
        }
    };
    Ok(MailboxServer {
        protocol,
        security,
        host: host(rest.trim_end_matches('/'))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_port() {
        for (text, name, port) in [
            ("mx.example.com", "mx.example.com", None),
            ("mx.example.com:587", "mx.example.com", Some(587)),
            ("192.0.2.1:25", "192.0.2.1", Some(25)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]:465", "2001:db8::1", Some(465)),
        ] {
            let read = host(text).unwrap();
            assert_eq!((&*read.name, read.port), (name, port), "{text}");
        }
        for wrong in [
            "",
            ":25",
            "mx:0",
            "mx:many",
            "mx example",
            "smtp://mx",
            "a@b",
            "mx\"",
        ] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mailbox_has_the_port_of_its_kind() {
        for (text, protocol, port) in [
            ("imap.example.net", Protocol::Imap, 993),
            ("imaps://imap.example.net/", Protocol::Imap, 993),
            ("imap://imap.example.net", Protocol::Imap, 143),
            ("pop3s://pop.example.net", Protocol::Pop3, 995),
            ("pop3://pop.example.net:1100", Protocol::Pop3, 1100),
        ] {
            let read = mailbox(text).unwrap();
            assert_eq!((read.protocol, read.port()), (protocol, port), "{text}");
        }
        assert!(mailbox("https://imap.example.net").is_err());
    }
}
