//! Gateways, mailboxes, and what both need: logins and secrets.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::reader::{Reader, is_on};
use crate::config::file::{self, At, Kept, SecretKeys, Text};
use crate::config::plan::{
    Auth, Cleanup, Endpoint, Gateway, Junk, Login, Mailbox, Protocol, Security, Signing,
};
use crate::config::secret::{LEAST_KEY, Secret};
use crate::config::value::{Rate, host_name};

const SECURITIES: [Security; 4] = [
    Security::None,
    Security::Opportunistic,
    Security::Starttls,
    Security::Implicit,
];
const AUTHS: [Auth; 4] = [Auth::Auto, Auth::Plain, Auth::Login, Auth::Xoauth2];
const PROTOCOLS: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];
const STEP_LIMIT: Duration = Duration::from_secs(30);
const LONGEST_STEP: Duration = Duration::from_hours(1);

impl Reader<'_> {
    pub(super) fn signing(&mut self, table: Option<&At<file::Signing>>) -> Signing {
        let Some(table) = table else {
            return Signing::default();
        };
        let keys = table.value();
        if let Some(key) = &keys.key
            && let SecretKeys::Literal(literal) = key.value()
            && literal.len() < LEAST_KEY
        {
            let message =
                format!("the key is shorter than {LEAST_KEY} characters, so tags could be forged");
            self.wrong(key.span(), message, Some("leave it out to have one made"));
        }
        let sweep_foreign = self.duration(keys.sweep_foreign.as_ref());
        if let Some(instance) = &keys.instance {
            self.name(instance.value(), instance.span());
        }
        Signing {
            sweep_foreign,
            key: keys.key.as_ref().and_then(|key| self.secret(key)),
            instance: keys
                .instance
                .as_ref()
                .and_then(|name| self.line("instance", name)),
        }
    }

    pub(super) fn gateway(&mut self, name: &str, table: &At<file::Gateway>) -> Option<Gateway> {
        let keys = table.value();
        let place = (&table.span(), format!("gateways.{name}"));
        let chosen = self.choice("tls", keys.tls.as_ref(), &SECURITIES, Security::as_str);
        let port = keys.port.as_ref().map(|port| *port.value());
        let security = chosen.unwrap_or(if keys.username.is_none() && port.unwrap_or(25) == 25 {
            Security::Opportunistic
        } else {
            Security::Starttls
        });
        let port = port.unwrap_or(match security {
            Security::Implicit => 465,
            _ if keys.username.is_some() => 587,
            _ => 25,
        });
        if let (Some(tls), Some(Security::Opportunistic)) = (&keys.tls, chosen) {
            let message = "opportunistic TLS verifies nothing: anybody can stand between";
            let help = "`tls = \"starttls\"` verifies";
            self.found.warn(tls.span(), message, Some(help.into()));
        }
        let trust = self.trust(
            (keys.ca.as_ref(), keys.ca_file.as_ref()),
            keys.tls_verify.as_ref(),
            security,
        );
        let login = self.login(
            (keys.username.as_ref(), keys.password.as_ref()),
            keys.auth.as_ref(),
            keys.insecure_auth.as_ref(),
        );
        let host = match (&keys.host, &keys.domain) {
            (Some(_), Some(domain)) => {
                self.wrong(
                    domain.span(),
                    "give either `host` or `domain`, not both",
                    None,
                );
                None
            }
            (None, Some(domain)) => self.host(Some(domain), "domain", (place.0, &place.1)),
            (host, None) => self.host(host.as_ref(), "host", (place.0, &place.1)),
        };
        let client = self.certificate(
            ("client_cert", keys.client_cert.as_ref()),
            ("client_key", keys.client_key.as_ref()),
        );
        let timeout = self.duration_within(keys.timeout.as_ref(), LONGEST_STEP);
        let final_timeout = self.duration_within(keys.final_timeout.as_ref(), LONGEST_STEP);
        let rate = self.checked(keys.rate.as_ref(), Rate::parse);
        let ehlo = keys.ehlo.as_ref().and_then(|ehlo| self.ehlo(ehlo));
        Some(Gateway {
            name: name.into(),
            endpoint: Endpoint { host: host?, port },
            is_domain: keys.domain.is_some(),
            each_address: is_on(keys.each_address.as_ref()),
            name_servers: Arc::clone(&self.name_servers),
            security,
            trust,
            client,
            login,
            pipelining: is_on(keys.pipelining.as_ref()),
            ehlo,
            timeout: timeout.unwrap_or(STEP_LIMIT),
            final_timeout: final_timeout.unwrap_or(Duration::from_mins(10)),
            connections: keys.connections.as_ref().map_or(4, |count| *count.value()),
            rate,
        })
    }

    pub(super) fn mailbox(&mut self, name: &str, table: &At<file::Mailbox>) -> Option<Mailbox> {
        let keys = table.value();
        let place = (&table.span(), format!("mailboxes.{name}"));
        let protocol = self
            .choice(
                "protocol",
                keys.protocol.as_ref(),
                &PROTOCOLS,
                Protocol::as_str,
            )
            .unwrap_or(Protocol::Imap);
        let securities = [Security::None, Security::Starttls, Security::Implicit];
        let security = self.choice("tls", keys.tls.as_ref(), &securities, Security::as_str);
        let port = keys.port.as_ref().map(|port| *port.value());
        let (implicit_port, plain_port) = protocol.ports();
        let security = security.unwrap_or(if port == Some(plain_port) {
            Security::Starttls
        } else {
            Security::Implicit
        });
        let port = port.unwrap_or(if security == Security::Implicit {
            implicit_port
        } else {
            plain_port
        });
        let trust = self.trust(
            (keys.ca.as_ref(), keys.ca_file.as_ref()),
            keys.tls_verify.as_ref(),
            security,
        );
        let host = self.host(keys.host.as_ref(), "host", (place.0, &place.1));
        if keys.username.is_none() {
            self.absent(
                place.0.clone(),
                format!("[{}] needs `username`", place.1),
                None,
            );
        }
        let login = self.login(
            (keys.username.as_ref(), keys.password.as_ref()),
            keys.auth.as_ref(),
            keys.insecure_auth.as_ref(),
        );
        let timeout = self.duration_within(keys.timeout.as_ref(), LONGEST_STEP);
        let poll = self.duration_within(keys.poll.as_ref(), LONGEST_STEP);
        let cleanup = self.checked(keys.cleanup.as_ref(), |text| cleanup(text, protocol));
        let folders = keys.folders.as_ref().map_or_else(
            || vec!["INBOX".to_owned()],
            |folders| {
                self.lines(
                    "folders",
                    folders,
                    "so no copy could be seen; left out, INBOX is watched",
                )
            },
        );
        let junk = keys.junk.as_ref().and_then(|junk| self.line("junk", junk));
        let junk = junk.map_or_else(Junk::default, Junk::from);
        if let (Some(Cleanup::Move(target)), Some(text)) = (&cleanup, &keys.cleanup) {
            let is_junk = match &junk {
                Junk::Auto => ["junk", "spam"].contains(&target.to_lowercase().as_str()),
                Junk::Named(junk) => junk == target,
                Junk::None => false,
            };
            if is_junk || folders.contains(target) {
                let message =
                    format!("copies cannot be moved to {target:?}, which is watched for copies");
                self.wrong(text.span(), message, None);
            }
        }
        Some(Mailbox {
            name: name.into(),
            protocol,
            endpoint: Endpoint { host: host?, port },
            name_servers: Arc::clone(&self.name_servers),
            security,
            trust,
            login: login?,
            timeout: timeout.unwrap_or(STEP_LIMIT),
            folders,
            junk,
            poll: poll.unwrap_or(Duration::from_secs(10)),
            cleanup: cleanup.unwrap_or(Cleanup::Delete),
        })
    }

    /// A name or an address, without scheme, port or path.
    fn host(
        &mut self,
        text: Option<&Text>,
        key: &str,
        place: (&Range<usize>, &str),
    ) -> Option<String> {
        let host = self.required(text, key, place)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&host);
        let span = text.map(At::span).unwrap_or_default();
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        if is_address || !host.contains([':', '/', ' ', '\t', '[', ']', '@']) {
            if let Some(wrong) = host_name(&host).err().filter(|_| !is_address) {
                self.wrong(span, wrong, None);
                return None;
            }
            return Some(host);
        }
        let message = format!("`{key}` is a name or an address, which {host:?} is not");
        self.wrong(
            span,
            message,
            Some("a port stands in `port`, and there is no scheme"),
        );
        None
    }

    /// A name, or an address in brackets (RFC 5321 §4.1.3).
    fn ehlo(&mut self, text: &Text) -> Option<String> {
        let ehlo = self.line("ehlo", text)?;
        let is_literal = ehlo.starts_with('[') && ehlo.ends_with(']') && ehlo.len() < 256;
        if ehlo.contains(char::is_whitespace) {
            self.wrong(text.span(), "`ehlo` has white space in it", None);
        } else if let Some(wrong) = host_name(&ehlo).err().filter(|_| !is_literal) {
            self.wrong(text.span(), wrong, None);
        }
        Some(ehlo)
    }

    fn login(
        &mut self,
        (username, password): (Option<&Text>, Option<&At<SecretKeys>>),
        auth: Option<&Text>,
        insecure: Option<&At<bool>>,
    ) -> Option<Login> {
        let auth = self.choice("auth", auth, &AUTHS, Auth::as_str);
        let secret = password.and_then(|password| self.secret(password));
        match (username, password) {
            (Some(username), None) => {
                self.absent(username.span(), "a `username` needs a `password`", None);
                None
            }
            (None, Some(password)) => {
                self.absent(password.span(), "a `password` needs a `username`", None);
                None
            }
            (None, None) => None,
            (Some(username), Some(_)) => Some(Login {
                username: self.line("username", username)?,
                password: secret?,
                auth: auth.unwrap_or(Auth::Auto),
                insecure: insecure.is_some_and(|insecure| *insecure.value()),
            }),
        }
    }

    pub(super) fn secret(&mut self, keys: &At<SecretKeys>) -> Option<Secret> {
        let kept = match keys.value() {
            SecretKeys::Literal(secret) => {
                // As it is revealed: without a line break at its end.
                let shown = secret.trim_end_matches(['\r', '\n']);
                if shown.is_empty() {
                    self.wrong(keys.span(), "this secret is empty", None);
                    return None;
                }
                if shown.contains(['\r', '\n', '\0']) {
                    let message = "this secret has a line break or a NUL in it";
                    self.wrong(keys.span(), message, Some("it must be the secret alone"));
                    return None;
                }
                return Some(Secret::Literal(SecretString::from(secret.as_str())));
            }
            SecretKeys::Kept(kept) => kept,
        };
        match &**kept {
            Kept {
                env: Some(name),
                file: None,
                command: None,
            } => self.line("env", name).map(Secret::Env),
            Kept {
                env: None,
                file: Some(path),
                command: None,
            } => {
                let path = self.line("file", path)?;
                Some(Secret::File(self.path(path)))
            }
            Kept {
                env: None,
                file: None,
                command: Some(words),
            } => {
                let words = self.lines("command", words, "so there is nothing to run");
                (!words.is_empty()).then_some(Secret::Command(words))
            }
            _ => {
                let message = "a secret is kept in exactly one of `env`, `file` or `command`";
                self.absent(keys.span(), message, None);
                None
            }
        }
    }
}

fn cleanup(text: &str, protocol: Protocol) -> Result<Cleanup, String> {
    let cleanup = match text {
        "delete" => Cleanup::Delete,
        "seen" => Cleanup::Seen,
        "keep" => Cleanup::Keep,
        _ => match text.strip_prefix("move:") {
            Some(folder) if !folder.trim().is_empty() && !folder.contains(['\r', '\n', '\0']) => {
                Cleanup::Move(folder.to_owned())
            }
            _ => {
                return Err(format!(
                    "{text:?} is no way to clean up: delete, seen, keep or move:FOLDER"
                ));
            }
        },
    };
    match (protocol, &cleanup) {
        (Protocol::Pop3, Cleanup::Seen | Cleanup::Move(_)) => {
            Err(format!("POP3 knows no {text:?}: delete or keep"))
        }
        _ => Ok(cleanup),
    }
}
