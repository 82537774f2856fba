//! The config file as it is written. These types are the one source of its keys: the reader checks against their JSON
//! Schema, so that a key exists where a field does.

mod service;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

pub use service::{Alert, Maintenance, Recovery, Service, Store};

/// The JSON Schema of a config, from the types below.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

/// A value and where it stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The value.
    pub fn value(&self) -> &T {
        self.0.get_ref()
    }

    /// Where it stands, in bytes of the file.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

/// A text and where it stands.
pub type Text = At<String>;
/// The tables of one kind, by name.
pub type Tables<T> = BTreeMap<String, At<T>>;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "mailrobin config")]
pub struct File {
    /// Any key of a route, for all routes that do not set it themselves.
    pub defaults: Option<At<Route>>,
    /// How tags are signed.
    pub signing: Option<At<Signing>>,
    /// How names are looked up.
    pub dns: Option<At<Dns>>,
    /// SMTP servers that test messages are submitted to.
    pub gateways: Tables<Gateway>,
    /// IMAP or POP3 accounts that the copies come back to.
    pub mailboxes: Tables<Mailbox>,
    /// Mail paths under test.
    pub routes: Tables<Route>,
    /// Who is told when something fails, and how.
    pub alerts: Tables<Alert>,
    /// Where `run` keeps its history, and for how long.
    pub store: Option<At<Store>>,
    /// Where `run` can be asked, and its bounds.
    pub service: Option<At<Service>>,
}

impl File {
    /// Every secret.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &At<SecretKeys>> {
        let gateways = self.gateways.values().map(|it| &it.value().password);
        let mailboxes = self.mailboxes.values().map(|it| &it.value().password);
        let key = self.signing.iter().map(|it| &it.value().key);
        let service = self.service.iter().map(At::value);
        let service = service.flat_map(|it| [&it.token, &it.heartbeat]);
        let urls = self.alerts.values().map(|it| &it.value().url);
        let alerts = self.alerts.values().map(At::value);
        let alerts = alerts.flat_map(|it| [&it.headers, &it.env]);
        let routes = self.routes.values().chain(&self.defaults).map(At::value);
        let recoveries = routes.filter_map(|it| it.recovery.as_ref());
        let recoveries = recoveries.map(|it| &it.value().env);
        let named = alerts
            .chain(recoveries)
            .flatten()
            .flat_map(BTreeMap::values);
        let single = gateways
            .chain(mailboxes)
            .chain(key)
            .chain(service)
            .chain(urls);
        single.flatten().chain(named)
    }
}

/// How tags are signed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// The key; left out: made once, mode 0600, in the state directory.
    pub key: Option<At<SecretKeys>>,
    /// The name of this mailrobin among those that share the key; left out: drawn anew for each `check`.
    pub instance: Option<Text>,
    /// Leftovers of other instances that share the key are taken away when older than this.
    pub sweep_foreign: Option<Text>,
}

/// How names are looked up.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Name servers to ask instead of the system's, like `192.0.2.53` or `[2001:db8::53]:5353`.
    pub servers: Option<At<Vec<Text>>>,
    /// Blocklists (DNSBL) to ask about the address that mail is sent from, like `zen.spamhaus.org`.
    pub blocklists: Option<At<Vec<Text>>>,
    /// That address as the world sees it, where it is not this machine's own.
    pub sending_address: Option<Text>,
}

/// An SMTP server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Name or address.
    pub host: Option<Text>,
    /// Instead of `host`: a domain, whose mail exchangers (MX) are the gateway.
    pub domain: Option<Text>,
    /// Every address behind the name gets a probe of its own.
    pub each_address: Option<At<bool>>,
    /// Default: 25, 587 with a username, 465 with implicit TLS.
    #[schemars(range(min = 1))]
    pub port: Option<At<u16>>,
    /// none, opportunistic, starttls or implicit.
    pub tls: Option<Text>,
    /// Login name.
    pub username: Option<Text>,
    /// Its password.
    pub password: Option<At<SecretKeys>>,
    /// auto, plain, login or xoauth2.
    pub auth: Option<Text>,
    /// Log in though TLS is absent or unverified.
    pub insecure_auth: Option<At<bool>>,
    /// The name to say in EHLO; default: this machine's.
    pub ehlo: Option<Text>,
    /// PEM file of authorities to trust besides the system's.
    pub ca_file: Option<Text>,
    /// The same, inline.
    pub ca: Option<Text>,
    /// Whether the server's certificate is verified.
    pub tls_verify: Option<At<bool>>,
    /// For each step; an hour at most.
    pub timeout: Option<Text>,
    /// For the reply after the final dot; an hour at most.
    pub final_timeout: Option<Text>,
    /// PEM file of a certificate to show to the server.
    pub client_cert: Option<Text>,
    /// PEM file of its private key.
    pub client_key: Option<Text>,
    /// Send MAIL, RCPT and DATA together where the server allows it; they cannot be timed apart then.
    pub pipelining: Option<At<bool>>,
    /// Sessions at once.
    #[schemars(range(min = 1, max = 1000))]
    pub connections: Option<At<u16>>,
    /// Messages at most, like `60/m`; not above 1000 a second.
    pub rate: Option<Text>,
}

/// A mailbox account.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mailbox {
    /// imap or pop3.
    pub protocol: Option<Text>,
    /// Name or address.
    pub host: Option<Text>,
    /// Default by protocol and TLS.
    #[schemars(range(min = 1))]
    pub port: Option<At<u16>>,
    /// none, starttls or implicit.
    pub tls: Option<Text>,
    /// Login name.
    pub username: Option<Text>,
    /// Its password.
    pub password: Option<At<SecretKeys>>,
    /// auto, login, plain or xoauth2.
    pub auth: Option<Text>,
    /// Log in though TLS is absent or unverified.
    pub insecure_auth: Option<At<bool>>,
    /// PEM file of authorities to trust besides the system's.
    pub ca_file: Option<Text>,
    /// The same, inline.
    pub ca: Option<Text>,
    /// Whether the server's certificate is verified.
    pub tls_verify: Option<At<bool>>,
    /// For each command; an hour at most.
    pub timeout: Option<Text>,
    /// Folders watched for arrivals.
    pub folders: Option<At<Vec<Text>>>,
    /// The junk folder; auto: SPECIAL-USE, then its usual names; none: nothing is filed as junk there.
    pub junk: Option<Text>,
    /// The slowest the mailbox is looked at while a probe is out; an hour at most.
    pub poll: Option<Text>,
    /// delete, seen, keep or move:FOLDER.
    pub cleanup: Option<Text>,
}

/// A mail path under test.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// round-trip, or ping: the gateway is only spoken to.
    pub kind: Option<Text>,
    /// The gateway's name.
    pub gateway: Option<Text>,
    /// The mailbox's name.
    pub mailbox: Option<Text>,
    /// The mailbox where mail for `from` arrives.
    pub bounce_mailbox: Option<Text>,
    /// Sender.
    pub from: Option<Text>,
    /// The address whose rule forwards the copy.
    pub to: Option<Text>,
    /// The tag also in the envelope's sender, as `user+TAG@domain`.
    pub verp: Option<At<bool>>,
    /// The tag also in the envelope's recipient, as `user+TAG@domain`.
    pub plus_address: Option<At<bool>>,
    /// What the rule matches; `{route}` is replaced, the tag appended. 500 bytes at most.
    pub subject: Option<Text>,
    /// Further header fields.
    pub headers: Option<BTreeMap<String, Text>>,
    /// The time the round trip, less its deferral, may take; a week at most.
    pub deadline: Option<Text>,
    /// Slower than this: warn.
    pub warn_after: Option<Text>,
    /// Of a ping: a certificate that ends sooner than this is warned about.
    pub certificate_warn: Option<Text>,
    /// How long 4xx replies are tried again; a week at most.
    pub defer_for: Option<Text>,
    /// How long after the deadline an unreadable mailbox is waited for; a day at most.
    pub blind_grace: Option<Text>,
    /// Other addresses of `to`, which reports may name in its place.
    pub aliases: Option<At<Vec<Text>>>,
    /// What means that a filter marked the message: a subject's prefix, or `header:NAME=VALUE`.
    pub marks: Option<At<Vec<Text>>>,
    /// Servers whose Authentication-Results count; left out: whoever wrote the topmost.
    pub authserv_ids: Option<At<Vec<Text>>>,
    /// The results that these must state, like `{ dkim = "pass" }`; left out: they are reported only.
    pub authentication: Option<BTreeMap<String, Text>>,
    /// What is sent, and what is expected of it.
    pub tests: Option<At<Vec<At<Test>>>>,
    /// Whether `run` tests it.
    pub enabled: Option<At<bool>>,
    /// How often `run` sends harmless tests.
    pub every: Option<Text>,
    /// How often it sends all others.
    pub every_harmful: Option<Text>,
    /// Instead of `every`: minute, hour, day of month, month, day of week, like `*/10 8-18 * * MON-FRI`.
    pub cron: Option<Text>,
    /// The time zone that `cron` and `maintenance` go by, like `Europe/Berlin`; left out: the system's.
    pub timezone: Option<Text>,
    /// How often harmless tests are repeated from the first failure on.
    pub every_when_down: Option<Text>,
    /// How often anything is tested once the route is Lost.
    pub every_when_lost: Option<Text>,
    /// Times in which nothing is tested and nobody told.
    pub maintenance: Option<At<Vec<At<Maintenance>>>>,
    /// Names of those who are told; left out: all.
    pub alerts: Option<At<Vec<Text>>>,
    /// So many failures one after the other: Down, and the first notice.
    #[schemars(range(min = 1, max = 1000))]
    pub fail_after: Option<At<u16>>,
    /// So many passes one after the other: Up again.
    #[schemars(range(min = 1, max = 1000))]
    pub recover_after: Option<At<u16>>,
    /// After so many notices: Lost, and no more until it recovers.
    #[schemars(range(min = 1, max = 1000))]
    pub max_alerts: Option<At<u16>>,
    /// How often a failure is told again; left out: with each further `fail_after` failures.
    pub remind_every: Option<Text>,
    /// While that route is Down, this one tells nobody.
    pub depends_on: Option<Text>,
    /// What is run when it goes Down.
    pub recovery: Option<At<Recovery>>,
}

/// A payload and what is expected of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Test {
    /// What to send.
    pub payload: Option<Text>,
    /// Several payloads at once: antivirus, spam, rspamd, policy or all.
    pub suite: Option<Text>,
    /// How much `large` attaches, like `5MiB`.
    pub size: Option<Text>,
    /// How much harmless attachment stands before a virus payload's own, like `60MiB`.
    pub pad: Option<Text>,
    /// What `attachment` attaches.
    pub file: Option<Text>,
    /// The outcomes that are right.
    pub expect: Option<At<Vec<Text>>>,
    /// How often `run` sends it, instead of as the route says.
    pub every: Option<Text>,
    /// The same by the calendar.
    pub cron: Option<Text>,
}

/// A secret, or where it is kept.
#[derive(Clone, Debug)]
pub enum SecretKeys {
    /// The secret itself.
    Literal(String),
    /// Where it is kept.
    Kept(Box<Kept>),
}

impl SecretKeys {
    /// The environment variable that it is kept in.
    pub(super) fn variable(&self) -> Option<&Text> {
        match self {
            Self::Literal(_) => None,
            Self::Kept(kept) => kept.env.as_ref(),
        }
    }
}

/// Where a secret is kept: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// An environment variable.
    pub env: Option<Text>,
    /// A file.
    pub file: Option<Text>,
    /// A command and its arguments.
    pub command: Option<At<Vec<Text>>>,
}

impl<'de> Deserialize<'de> for SecretKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = SecretKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, { env = … }, { file = … } or { command = … }")
            }

            fn visit_str<E: Error>(self, secret: &str) -> Result<SecretKeys, E> {
                Ok(SecretKeys::Literal(secret.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretKeys, A::Error> {
                Kept::deserialize(MapAccessDeserializer::new(map))
                    .map(|kept| SecretKeys::Kept(Box::new(kept)))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for SecretKeys {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kept = generator.subschema_for::<Kept>();
        json_schema!({
            "description": "A secret, or where it is kept.",
            "writeOnly": true,
            "anyOf": [{ "type": "string" }, kept],
        })
    }
}
