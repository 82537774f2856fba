//! The plan: a config with its names resolved, its values checked and its defaults filled in.

mod mark;
mod ping;
mod service;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lettre::Address;
use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

pub use mark::MarkRule;
pub use ping::{DEFAULT_CERTIFICATE_WARN, Door, Ping, PingServer};
pub use service::{
    DEFAULT_LISTEN, HISTORY, Heartbeat, Reference, ServicePlan, StorePlan, check_token,
};
pub use watch::{
    Alert, Channel, Cron, Line, Maintenance, Policy, Program, Quiet, Recovery, Template, Timing,
    Watch,
};

use super::secret::Secret;
use super::value::Rate;
use crate::probe::message::Draft;
use crate::probe::name::{AlertName, GatewayName, MailboxName, RouteName};
use crate::probe::outcome::Outcome;
use crate::probe::payload::{Class, Payload, Sample};
use crate::probe::tag::Tag;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How tags are signed.
    pub signing: Signing,
    /// How names are looked up, and which blocklists are asked.
    pub dns: DnsPlan,
    /// Where messages are submitted.
    pub gateways: BTreeMap<GatewayName, Arc<Gateway>>,
    /// Where copies come back to.
    pub mailboxes: BTreeMap<MailboxName, Arc<Mailbox>>,
    /// What is under test.
    pub routes: BTreeMap<RouteName, Arc<Route>>,
    /// Servers that are only spoken to.
    pub pings: BTreeMap<RouteName, Arc<Ping>>,
    /// How the service tests each of both.
    pub watches: BTreeMap<RouteName, Arc<Watch>>,
    /// Who is told when something fails.
    pub alerts: BTreeMap<AlertName, Arc<Alert>>,
    /// Where the history is kept.
    pub store: StorePlan,
    /// Where the service can be asked.
    pub service: ServicePlan,
}

impl Plan {
    /// The longest that a probe may be in flight.
    pub fn longest_flight(&self) -> Duration {
        let routes = self.routes.values();
        routes
            .map(|route| route.deadline + route.defer_for + route.blind_grace)
            .max()
            .unwrap_or_default()
    }
}

/// How names are looked up, and which blocklists are asked.
#[derive(Clone, Debug, Default)]
pub struct DnsPlan {
    /// Asked for everything; none: the system's resolver.
    pub servers: Arc<[SocketAddr]>,
    /// The zones of blocklists (RFC 5782) that are asked about the address we send from.
    pub blocklists: Vec<String>,
    /// That address as the world sees it; `None`: that of the session, where it is a public one.
    pub sending_address: Option<IpAddr>,
}

/// How tags are signed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signing {
    /// The key; `None`: kept in the state directory.
    pub key: Option<Secret>,
    /// The configured name of this instance.
    pub instance: Option<String>,
    /// Leftovers of other instances are taken away when older.
    pub sweep_foreign: Option<Duration>,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The host without the brackets of an IPv6 literal.
    pub fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// STARTTLS where offered, verifying nothing.
    Opportunistic,
    /// STARTTLS or failure.
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

impl Security {
    /// The word that a config says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opportunistic => "opportunistic",
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
        }
    }
}

/// Whom a TLS client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities.
    System,
    /// The system's, and these (PEM, checked).
    Also(Arc<str>),
    /// Anybody: nothing is verified.
    Anybody,
}

impl Trust {
    /// The authorities of a PEM text too, which stands at `place`; if they are none, what is wrong.
    pub fn also(pem: &str, place: &str) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let certificates = certificates
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| format!("what {place} holds is damaged PEM"))?;
        if certificates.is_empty() {
            return Err(format!("there is no certificate in {place}"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|_| format!("what {place} holds is no certificate of an authority"))?;
        }
        Ok(Self::Also(pem.into()))
    }
}

/// A certificate of ours and its key (PEM, checked).
#[derive(Clone)]
pub struct ClientCertificate {
    /// Where they were read from.
    pub files: [PathBuf; 2],
    /// The certificate, and those between it and its authority.
    pub chain: String,
    /// Its private key.
    pub key: SecretString,
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
            && self.chain == other.chain
            && self.key.expose_secret() == other.key.expose_secret()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(hidden)")
    }
}

/// How to log in.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Who.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// By which mechanism.
    pub auth: Auth,
    /// Also over absent or unverified TLS.
    pub insecure: bool,
}

/// A login mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// The first of the others that the server offers.
    Auto,
    /// SASL PLAIN (RFC 4616).
    Plain,
    /// LOGIN: SASL's for SMTP, the command for IMAP, USER and PASS for POP3.
    Login,
    /// XOAUTH2; the password is an access token.
    Xoauth2,
}

impl Auth {
    /// The word that a config says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Login => "login",
            Self::Xoauth2 => "xoauth2",
        }
    }
}

/// An SMTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Its name in the config.
    pub name: GatewayName,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether the endpoint's host is a domain whose mail exchangers are meant.
    pub is_domain: bool,
    /// Whether every address behind the name gets a probe of its own.
    pub each_address: bool,
    /// Asked for addresses; none: the system's resolver.
    pub name_servers: Arc<[SocketAddr]>,
    /// How the session is secured.
    pub security: Security,
    /// Whom it trusts.
    pub trust: Trust,
    /// The certificate that we show, if any.
    pub client: Option<Arc<ClientCertificate>>,
    /// How to log in, if at all.
    pub login: Option<Login>,
    /// Whether MAIL, RCPT and DATA go out together where the server allows it (RFC 2920).
    pub pipelining: bool,
    /// The name to say in EHLO; `None`: this machine's.
    pub ehlo: Option<String>,
    /// For each step.
    pub timeout: Duration,
    /// For the reply after the final dot (RFC 5321 §4.5.3.2.6).
    pub final_timeout: Duration,
    /// Sessions at once.
    pub connections: u16,
    /// Messages at most.
    pub rate: Option<Rate>,
}

impl Gateway {
    /// Whom a session with it trusts: opportunistic TLS verifies nothing.
    pub fn session_trust(&self) -> &Trust {
        match self.security {
            Security::Opportunistic => &Trust::Anybody,
            Security::None | Security::Starttls | Security::Implicit => &self.trust,
        }
    }
}

/// How a mailbox is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3501, RFC 9051.
    Imap,
    /// RFC 1939.
    Pop3,
}

impl Protocol {
    /// The word that a config says.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }

    /// Its ports: with TLS from the first byte, and without.
    pub const fn ports(self) -> (u16, u16) {
        match self {
            Self::Imap => (993, 143),
            Self::Pop3 => (995, 110),
        }
    }
}

/// A mailbox account.
#[derive(Clone, Debug, PartialEq)]
pub struct Mailbox {
    /// Its name in the config.
    pub name: MailboxName,
    /// How it is read.
    pub protocol: Protocol,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Asked for addresses; none: the system's resolver.
    pub name_servers: Arc<[SocketAddr]>,
    /// How the session is secured.
    pub security: Security,
    /// Whom it trusts.
    pub trust: Trust,
    /// How to log in.
    pub login: Login,
    /// For each command.
    pub timeout: Duration,
    /// Folders watched for arrivals.
    pub folders: Vec<String>,
    /// The junk folder.
    pub junk: Junk,
    /// The slowest it is looked at while a probe is out.
    pub poll: Duration,
    /// What is done with copies once they are recorded.
    pub cleanup: Cleanup,
}

/// The folder that a filter files junk in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Junk {
    /// Found by SPECIAL-USE, then by name.
    #[default]
    Auto,
    /// The one of this name.
    Named(String),
    /// There is none: nothing is filed as junk in this mailbox.
    None,
}

impl Junk {
    /// The word, or the name, that a config says.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Named(name) => name,
            Self::None => "none",
        }
    }
}

impl From<String> for Junk {
    fn from(word: String) -> Self {
        match word.as_str() {
            "auto" => Self::Auto,
            "none" => Self::None,
            _ => Self::Named(word),
        }
    }
}

/// What is done with copies once they are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Deleted.
    Delete,
    /// Marked as seen.
    Seen,
    /// Nothing.
    Keep,
    /// Moved to a folder.
    Move(String),
}

impl fmt::Display for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete => f.write_str("delete"),
            Self::Seen => f.write_str("seen"),
            Self::Keep => f.write_str("keep"),
            Self::Move(folder) => write!(f, "move:{folder}"),
        }
    }
}

/// A mail path under test.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in the config.
    pub name: RouteName,
    /// Where messages are submitted.
    pub gateway: Arc<Gateway>,
    /// Where copies come back to.
    pub mailbox: Arc<Mailbox>,
    /// Where mail for `from` arrives.
    pub bounce_mailbox: Option<MailboxName>,
    /// Sender.
    pub from: Address,
    /// The address whose rule forwards the copy.
    pub to: Address,
    /// Other addresses that reports may name for it, such as its name behind the gateway.
    pub aliases: Vec<Address>,
    /// Whether the envelope's sender carries the tag.
    pub verp: bool,
    /// Whether the envelope's recipient carries the tag.
    pub plus_address: bool,
    /// The subject before the tag.
    pub subject: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// The time the round trip, less its deferral, may take.
    pub deadline: Duration,
    /// Slower than this: warn.
    pub warn_after: Option<Duration>,
    /// How long 4xx replies are tried again.
    pub defer_for: Duration,
    /// How long after the deadline an unreadable mailbox is waited for.
    pub blind_grace: Duration,
    /// What means that a filter marked the message, besides the fields that filters are known by.
    pub marks: Vec<MarkRule>,
    /// Servers whose Authentication-Results count; none: whoever wrote the topmost.
    pub authserv_ids: Vec<String>,
    /// The results that a harmless copy must have, by method.
    pub authentication: Vec<(String, String)>,
    /// What is sent, and what is expected of it.
    pub tests: Vec<Test>,
}

impl Route {
    /// The message that a probe of this route sends.
    pub fn draft<'a>(&'a self, sample: &'a Sample, tag: Tag, date: Timestamp) -> Draft<'a> {
        Draft {
            from: &self.from,
            to: &self.to,
            subject: &self.subject,
            headers: &self.headers,
            sample,
            route: self.name.as_str(),
            tag,
            date,
        }
    }
}

/// A payload and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What to send.
    pub sample: Arc<Sample>,
    /// The outcomes that are right; none: what becomes of it is reported and not judged.
    pub expect: Arc<[Outcome]>,
}

impl Test {
    /// A payload as the catalogue has it.
    pub fn of(payload: Payload) -> Self {
        Sample::of(payload).into()
    }

    /// Whether its pass must be told from an outage, so that a plain message is sent with it.
    pub fn needs_control(&self) -> bool {
        match self.sample.payload.class() {
            Class::Harmless => false,
            Class::Policy | Class::Virus | Class::Spam => !self.expect.is_empty(),
        }
    }
}

impl From<Sample> for Test {
    /// A sample with its payload's own expectation.
    fn from(sample: Sample) -> Self {
        Self {
            expect: sample.payload.default_expect().into(),
            sample: Arc::new(sample),
        }
    }
}

/// Subject prefixes that filters put in front of what they mark.
pub const DEFAULT_MARKS: [&str; 4] = ["***SPAM***", "*** SPAM ***", "[SPAM]", "[VIRUS]"];
/// The subject before the tag, where the route names none.
pub const DEFAULT_SUBJECT: &str = "Email Verification for {route}";
