//! The tables that only the service reads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, SecretKeys, Text};

/// A time in which a route is worked on: from one moment to another, or again and again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// It begins, like `2026-12-01T22:00:00Z`.
    pub from: Option<Text>,
    /// It is over.
    pub to: Option<Text>,
    /// It begins by the calendar, like `0 2 * * SUN`.
    pub cron: Option<Text>,
    /// How long it lasts then.
    #[serde(rename = "for")]
    pub lasts: Option<Text>,
}

/// A program that is run when a route goes Down.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recovery {
    /// The program and its arguments; no shell is involved.
    pub command: Option<At<Vec<Text>>>,
    /// Environment variables for it, beside ours.
    pub env: Option<BTreeMap<String, At<SecretKeys>>>,
    /// How long it may take; a day at most.
    pub timeout: Option<Text>,
    /// How often at most, like `3/h`.
    pub at_most: Option<Text>,
}

/// Somebody to tell, and the way.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alert {
    /// webhook or command.
    pub kind: Option<Text>,
    /// warning, or critical: only what is that bad.
    pub min_severity: Option<Text>,
    /// Hours in which all but critical notices are held back, like `22:00-07:00`.
    pub quiet: Option<Text>,
    /// The time zone of these hours, like `Europe/Berlin`; left out: the system's.
    pub timezone: Option<Text>,
    /// How long one try may take; an hour at most.
    pub timeout: Option<Text>,
    /// Of a webhook: where notices are posted to.
    pub url: Option<At<SecretKeys>>,
    /// Of a webhook: header fields.
    pub headers: Option<BTreeMap<String, At<SecretKeys>>>,
    /// Of a webhook: what is posted, a template over the notice; left out: the notice as JSON.
    pub template: Option<Text>,
    /// The same, in a file.
    pub template_file: Option<Text>,
    /// The media type of what the template makes.
    pub content_type: Option<Text>,
    /// Of a webhook: PEM file of authorities to trust besides the system's.
    pub ca_file: Option<Text>,
    /// The same, inline.
    pub ca: Option<Text>,
    /// Of a command: the program and its arguments; no shell is involved.
    pub command: Option<At<Vec<Text>>>,
    /// Of a command: environment variables for it, beside ours.
    pub env: Option<BTreeMap<String, At<SecretKeys>>>,
}

/// Where the history is kept, and for how long.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The database, like `sqlite:history.db`; left out: in the state directory.
    pub url: Option<Text>,
    /// How long passes are kept.
    pub retention: Option<Text>,
    /// How long everything else is kept.
    pub retention_failed: Option<Text>,
}

/// Where the service can be asked, and its bounds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// The address of API, metrics and health checks, or none.
    pub listen: Option<Text>,
    /// What a client must show: for every POST, and beyond loopback for everything. 16 characters or more.
    pub token: Option<At<SecretKeys>>,
    /// PEM file of the certificate to serve TLS with.
    pub tls_cert: Option<Text>,
    /// PEM file of its private key.
    pub tls_key: Option<Text>,
    /// Probes in flight at once.
    #[schemars(range(min = 1, max = 10000))]
    pub max_in_flight: Option<At<u16>>,
    /// What must answer while this machine has a network: `1.1.1.1:53`, `https://example.org/`, `dns:example.org`.
    pub uplink: Option<At<Vec<Text>>>,
    /// Lifts the lower bounds of every interval: for tests against the lab alone.
    pub unsafe_intervals: Option<At<bool>>,
    /// How long a late copy still changes a probe's record.
    pub remember: Option<Text>,
    /// A URL that is called as long as all is well.
    pub heartbeat: Option<At<SecretKeys>>,
    /// How often it is called.
    pub heartbeat_every: Option<Text>,
}
