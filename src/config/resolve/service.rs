//! The service as a whole: its history, and where it can be asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::reader::{Reader, is_on};
use super::timing::LEAST;
use crate::config::file::{self, At, SecretKeys};
use crate::config::plan::{Heartbeat, ServicePlan, StorePlan, check_token};
use crate::config::secret::Secret;

/// How often the heartbeat's URL is called where nothing else is said.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_mins(1);

impl Reader<'_> {
    pub(super) fn store(&mut self, table: Option<&At<file::Store>>) -> StorePlan {
        let default = StorePlan::default();
        let Some(keys) = table.map(At::value) else {
            return default;
        };
        let file = self.checked(keys.url.as_ref(), database);
        let file = file.map(|file| self.path(file));
        let retention = self.duration(keys.retention.as_ref());
        let retention_failed = self.duration(keys.retention_failed.as_ref());
        StorePlan {
            file,
            retention: retention.unwrap_or(default.retention),
            retention_failed: retention_failed.unwrap_or(default.retention_failed),
        }
    }

    pub(super) fn service(&mut self, table: Option<&At<file::Service>>) -> ServicePlan {
        let default = ServicePlan::default();
        let Some(keys) = table.map(At::value) else {
            return default;
        };
        let listen = self.checked(keys.listen.as_ref(), listen);
        let listen = listen.unwrap_or(default.listen);
        let token = keys.token.as_ref();
        if let (Some(address), Some(text)) = (listen, &keys.listen)
            && ServicePlan::is_open(address)
        {
            if token.is_none() {
                let message =
                    format!("others than this machine can reach {address}, so it needs a `token`");
                let help = "add token = { file = \"api.token\" }, or listen on 127.0.0.1";
                self.absent(text.span(), message, Some(help));
            }
            if keys.tls_cert.is_none() && keys.tls_key.is_none() {
                let message = format!(
                    "what is said with {address} is not encrypted: anybody on the way can read the token"
                );
                let help = "add `tls_cert` and `tls_key`, or listen on 127.0.0.1 behind a proxy";
                self.found.warn(text.span(), message, Some(help.into()));
            }
        }
        let is_open = listen.is_some_and(ServicePlan::is_open);
        if let Some(keys) = token
            && let SecretKeys::Literal(text) = keys.value()
            && !text.is_empty()
        {
            let help = "`openssl rand -hex 32` makes a good one";
            match check_token(text.trim_end_matches(['\r', '\n']), is_open) {
                Ok(None) => {}
                Ok(Some(unwise)) => self.found.warn(keys.span(), unwise, Some(help.into())),
                Err(wrong) => self.wrong(keys.span(), wrong, Some(help)),
            }
        }
        let tls = self.certificate(
            ("tls_cert", keys.tls_cert.as_ref()),
            ("tls_key", keys.tls_key.as_ref()),
        );
        let references = keys.uplink.iter().flat_map(At::value);
        let uplink = references.filter_map(|text| self.checked(Some(text), str::parse));
        let uplink = uplink.collect();
        let max_in_flight = keys.max_in_flight.as_ref();
        let remember = self.duration(keys.remember.as_ref());
        let every = self.interval(keys.heartbeat_every.as_ref(), LEAST);
        let heartbeat = keys.heartbeat.as_ref().and_then(|url| self.url(url));
        ServicePlan {
            listen,
            token: token.and_then(|token| self.secret(token)),
            tls,
            max_in_flight: max_in_flight
                .map_or(default.max_in_flight, |count| usize::from(*count.value())),
            uplink,
            unsafe_intervals: is_on(keys.unsafe_intervals.as_ref()),
            remember: remember.unwrap_or(default.remember),
            heartbeat: heartbeat.map(|url| Heartbeat {
                url,
                every: every.unwrap_or(HEARTBEAT),
            }),
        }
    }

    /// A URL of the web, as far as it stands here. It may be a secret, so nothing quotes it.
    pub(super) fn url(&mut self, keys: &At<SecretKeys>) -> Option<Secret> {
        if let SecretKeys::Literal(text) = keys.value()
            && !text.is_empty()
            && !is_of_the_web(text)
        {
            let message = "this is no URL that begins with https:// or http://";
            self.wrong(keys.span(), message, None);
        }
        self.secret(keys)
    }
}

fn is_of_the_web(text: &str) -> bool {
    let begins = ["https://", "http://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    begins && Url::parse(text).is_ok_and(|url| url.has_host())
}

/// The file of a database: `sqlite:history.db`, `sqlite:///var/lib/history.db`. What else stands here may hold a password,
/// so it is not quoted.
fn database(text: &str) -> Result<PathBuf, String> {
    let Some(path) = text.strip_prefix("sqlite:") else {
        return Err(
            "the history is kept in SQLite and nowhere else: write it like \"sqlite:history.db\""
                .to_owned(),
        );
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains(['?', '\r', '\n', '\0']) {
        return Err("the path of a file stands behind \"sqlite:\", and nothing else".to_owned());
    }
    Ok(path.into())
}

fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!(
            "{text:?} is no address to listen on: write \"127.0.0.1:9725\", \"[::1]:9725\" or \"none\""
        )
    })
}
