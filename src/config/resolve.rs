//! The second reading: values checked, names resolved, defaults filled in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use secrecy::SecretString;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::diagnostic::{Diagnostics, suggest};
use super::file::{self, At, File, Kept, SecretKeys, Text};
use super::plan::{
    Auth, Cleanup, DEFAULT_MARKS, DEFAULT_SUBJECT, Endpoint, Gateway, Login, Mailbox, Plan,
    Protocol, Route, Security, Signing, Test, Trust,
};
use super::secret::Secret;
use super::value::{Rate, duration};
use crate::probe::message;
use crate::probe::outcome::Outcome;
use crate::probe::payload::Payload;

const SECURITIES: [Security; 4] = [
    Security::None,
    Security::Opportunistic,
    Security::Starttls,
    Security::Implicit,
];
const AUTHS: [Auth; 4] = [Auth::Auto, Auth::Plain, Auth::Login, Auth::Xoauth2];
const PROTOCOLS: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

/// The plan, as far as the file allows one; what it does not is in `found`.
pub(super) fn resolve(file: &File, folder: &Path, found: &mut Diagnostics) -> Option<Plan> {
    let mut reader = Reader { folder, found };
    let gateways = named(&file.gateways, |name, table| reader.gateway(name, table));
    let mailboxes = named(&file.mailboxes, |name, table| reader.mailbox(name, table));
    let signing = reader.signing(file.signing.as_ref());
    let routes = reader.routes(file, &gateways, &mailboxes);
    if file.routes.is_empty() {
        reader.found.error(
            0..0,
            "there is no route, so there is nothing to test",
            Some("add [routes.NAME] with gateway, mailbox, from, to and tests".into()),
        );
    }
    (!reader.found.has_errors()).then(|| Plan {
        signing,
        gateways: gateways
            .into_values()
            .map(|it| (it.name.clone(), it))
            .collect(),
        mailboxes: mailboxes
            .into_values()
            .map(|it| (it.name.clone(), it))
            .collect(),
        routes,
    })
}

/// The tables that could be read, shared, by name.
fn named<T, P>(
    tables: &file::Tables<T>,
    mut read: impl FnMut(&str, &At<T>) -> Option<P>,
) -> BTreeMap<String, Arc<P>> {
    tables
        .iter()
        .filter_map(|(name, table)| Some((name.clone(), Arc::new(read(name, table)?))))
        .collect()
}

struct Reader<'a> {
    folder: &'a Path,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn signing(&mut self, table: Option<&At<file::Signing>>) -> Signing {
        let Some(table) = table else {
            return Signing::default();
        };
        let keys = table.value();
        Signing {
            key: keys.key.as_ref().and_then(|key| self.secret(key)),
            instance: keys.instance.as_ref().map(|name| name.value().clone()),
        }
    }

    fn gateway(&mut self, name: &str, table: &At<file::Gateway>) -> Option<Gateway> {
        let keys = table.value();
        let security = self.choice(keys.tls.as_ref(), &SECURITIES, Security::as_str);
        let port = keys.port.as_ref().map(|port| *port.value());
        let security = security.unwrap_or(if keys.username.is_none() && port.unwrap_or(25) == 25 {
            Security::Opportunistic
        } else {
            Security::Starttls
        });
        let port = port.unwrap_or(match security {
            Security::Implicit => 465,
            _ if keys.username.is_some() => 587,
            _ => 25,
        });
        let trust = self.trust(
            keys.ca.as_ref(),
            keys.ca_file.as_ref(),
            keys.tls_verify.as_ref(),
            security,
        );
        let login = self.login(
            keys.username.as_ref(),
            keys.password.as_ref(),
            keys.auth.as_ref(),
            keys.insecure_auth.as_ref(),
            &At::span(table),
        );
        let host = self.required(
            keys.host.as_ref(),
            "host",
            &table.span(),
            &format!("gateways.{name}"),
        );
        let timeout = self.duration(keys.timeout.as_ref());
        let final_timeout = self.duration(keys.final_timeout.as_ref());
        let rate = self.checked(keys.rate.as_ref(), Rate::parse);
        Some(Gateway {
            name: name.into(),
            endpoint: Endpoint { host: host?, port },
            security,
            trust,
            login,
            ehlo: keys.ehlo.as_ref().map(|ehlo| ehlo.value().clone()),
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
            final_timeout: final_timeout.unwrap_or(Duration::from_mins(10)),
            connections: keys
                .connections
                .as_ref()
                .map_or(4, |count| (*count.value()).max(1)),
            rate,
        })
    }

    fn mailbox(&mut self, name: &str, table: &At<file::Mailbox>) -> Option<Mailbox> {
        let keys = table.value();
        let place = format!("mailboxes.{name}");
        let protocol = self
            .choice(keys.protocol.as_ref(), &PROTOCOLS, Protocol::as_str)
            .unwrap_or(Protocol::Imap);
        let securities = [Security::None, Security::Starttls, Security::Implicit];
        let security = self.choice(keys.tls.as_ref(), &securities, Security::as_str);
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
            keys.ca.as_ref(),
            keys.ca_file.as_ref(),
            keys.tls_verify.as_ref(),
            security,
        );
        let host = self.required(keys.host.as_ref(), "host", &table.span(), &place);
        self.required(keys.username.as_ref(), "username", &table.span(), &place);
        let login = self.login(
            keys.username.as_ref(),
            keys.password.as_ref(),
            keys.auth.as_ref(),
            keys.insecure_auth.as_ref(),
            &table.span(),
        );
        let timeout = self.duration(keys.timeout.as_ref());
        let poll = self.duration(keys.poll.as_ref());
        let cleanup = self.checked(keys.cleanup.as_ref(), |text| cleanup(text, protocol));
        let folders = keys.folders.as_ref().map_or_else(
            || vec!["INBOX".to_owned()],
            |folders| {
                folders
                    .value()
                    .iter()
                    .map(|folder| folder.value().clone())
                    .collect()
            },
        );
        if let (true, Some(folders)) = (folders.is_empty(), &keys.folders) {
            self.found.error(
                folders.span(),
                "no folder is watched, so no copy could be seen",
                Some("leave `folders` out to watch INBOX".into()),
            );
        }
        Some(Mailbox {
            name: name.into(),
            protocol,
            endpoint: Endpoint { host: host?, port },
            security,
            trust,
            login: login?,
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
            folders,
            junk: keys
                .junk
                .as_ref()
                .map(|junk| junk.value().clone())
                .filter(|junk| junk != "auto"),
            poll: poll.unwrap_or(Duration::from_secs(10)),
            cleanup: cleanup.unwrap_or(Cleanup::Delete),
        })
    }

    fn routes(
        &mut self,
        file: &File,
        gateways: &BTreeMap<String, Arc<Gateway>>,
        mailboxes: &BTreeMap<String, Arc<Mailbox>>,
    ) -> BTreeMap<crate::probe::name::RouteName, Arc<Route>> {
        let empty = file::Route::default();
        let defaults = file.defaults.as_ref().map_or(&empty, At::value);
        let mut routes = BTreeMap::new();
        for (name, table) in &file.routes {
            let keys = Layered {
                own: table.value(),
                defaults,
            };
            let place = Place {
                name,
                span: table.span(),
            };
            let gateway = self.reference(
                (keys.pick(|r| &r.gateway), "gateway"),
                (gateways, file.gateways.keys().map(String::as_str)),
                &place,
            );
            let mailbox = self.reference(
                (keys.pick(|r| &r.mailbox), "mailbox"),
                (mailboxes, file.mailboxes.keys().map(String::as_str)),
                &place,
            );
            let route = self.route(&keys, &place, gateway, mailbox, file);
            routes.extend(route.map(|route| (route.name.clone(), Arc::new(route))));
        }
        routes
    }

    fn route(
        &mut self,
        keys: &Layered<'_>,
        place: &Place<'_>,
        gateway: Option<Arc<Gateway>>,
        mailbox: Option<Arc<Mailbox>>,
        file: &File,
    ) -> Option<Route> {
        let from = self.address(keys.pick(|r| &r.from), "from", place);
        let to = self.address(keys.pick(|r| &r.to), "to", place);
        let deadline = self
            .duration(keys.pick(|r| &r.deadline))
            .unwrap_or(Duration::from_mins(15));
        let warn_after = self.duration(keys.pick(|r| &r.warn_after));
        if let (Some(warn), Some(text)) = (warn_after, keys.pick(|r| &r.warn_after))
            && warn > deadline
        {
            self.found.warn(
                text.span(),
                "`warn_after` is longer than the deadline, so it never warns",
                None,
            );
        }
        let defer_for = self
            .duration(keys.pick(|r| &r.defer_for))
            .unwrap_or(deadline);
        let blind_grace = self.duration(keys.pick(|r| &r.blind_grace));
        let headers = self.headers(keys);
        let subject = keys
            .pick(|r| &r.subject)
            .map_or(DEFAULT_SUBJECT, |subject| subject.value())
            .replace("{route}", place.name);
        let marks = keys.pick(|r| &r.marks).map_or_else(
            || DEFAULT_MARKS.map(str::to_owned).to_vec(),
            |marks| {
                marks
                    .value()
                    .iter()
                    .map(|mark| mark.value().clone())
                    .collect()
            },
        );
        let tests = self.tests(keys.pick(|r| &r.tests));
        let bounce_mailbox =
            self.bounce_mailbox(keys, place, mailbox.as_deref(), from.as_ref(), file);
        Some(Route {
            name: place.name.into(),
            gateway: gateway?,
            mailbox: mailbox?,
            bounce_mailbox,
            from: from?,
            to: to?,
            subject,
            headers,
            deadline,
            warn_after,
            defer_for,
            blind_grace: blind_grace.unwrap_or(Duration::from_secs(30)),
            marks,
            tests,
        })
    }

    fn bounce_mailbox(
        &mut self,
        keys: &Layered<'_>,
        place: &Place<'_>,
        mailbox: Option<&Mailbox>,
        from: Option<&Address>,
        file: &File,
    ) -> Option<crate::probe::name::MailboxName> {
        if let Some(named) = keys.pick(|r| &r.bounce_mailbox) {
            if !file.mailboxes.contains_key(named.value()) {
                let known = file.mailboxes.keys().map(String::as_str);
                let message = format!("there is no mailbox `{}`", named.value());
                self.found
                    .error(named.span(), message, Some(suggest(named.value(), known)));
            }
            return Some(named.value().as_str().into());
        }
        let (mailbox, from) = (mailbox?, from?);
        if mailbox.login.username.eq_ignore_ascii_case(from.as_ref()) {
            return Some(mailbox.name.clone());
        }
        self.found.warn(
            place.span.clone(),
            format!(
                "no mailbox is known to get the mail for {from}, so bounces will read as `missing`"
            ),
            Some("name the one that does in `bounce_mailbox`".into()),
        );
        None
    }

    fn tests(&mut self, tests: Option<&At<Vec<At<file::Test>>>>) -> Vec<Test> {
        let Some(tests) = tests else {
            return vec![test(Payload::Plain)];
        };
        if tests.value().is_empty() {
            self.found.error(
                tests.span(),
                "`tests` is empty, so nothing would be sent",
                Some("leave it out to send `plain`".into()),
            );
        }
        let read = |keys: &At<file::Test>| {
            let payload = self.payload(keys)?;
            let expect = match &keys.value().expect {
                None => payload.class().default_expect().to_vec(),
                Some(expect) => self.outcomes(expect),
            };
            Some(Test { payload, expect })
        };
        tests.value().iter().filter_map(read).collect()
    }

    fn payload(&mut self, keys: &At<file::Test>) -> Option<Payload> {
        let Some(name) = &keys.value().payload else {
            self.found
                .error(keys.span(), "a test needs a `payload`", None);
            return None;
        };
        self.choice(Some(name), &Payload::ALL, Payload::as_str)
    }

    fn outcomes(&mut self, expect: &At<Vec<Text>>) -> Vec<Outcome> {
        if expect.value().is_empty() {
            self.found.error(
                expect.span(),
                "`expect` is empty, so the test could never pass",
                None,
            );
        }
        let words = expect.value().iter();
        words
            .filter_map(|word| self.choice(Some(word), &Outcome::ALL, Outcome::as_str))
            .collect()
    }

    fn headers(&mut self, keys: &Layered<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, value) in keys.pick(|r| &r.headers).into_iter().flatten() {
            let reserved = [
                "from",
                "to",
                "subject",
                "message-id",
                "date",
                "auto-submitted",
                "mime-version",
            ];
            let lower = name.to_ascii_lowercase();
            let wrong = if !message::is_field_name(name) {
                Some("is not a header field name".to_owned())
            } else if reserved.contains(&lower.as_str())
                || lower.starts_with("content-")
                || lower.starts_with("x-mailrobin")
            {
                Some("is written by mailrobin itself".to_owned())
            } else if value.value().contains(['\r', '\n', '\0']) {
                Some("has a line break in its value".to_owned())
            } else {
                None
            };
            match wrong {
                Some(wrong) => {
                    self.found
                        .error(value.span(), format!("header `{name}` {wrong}"), None);
                }
                None => headers.push((name.clone(), value.value().clone())),
            }
        }
        headers
    }

    fn login(
        &mut self,
        username: Option<&Text>,
        password: Option<&At<SecretKeys>>,
        auth: Option<&Text>,
        insecure: Option<&At<bool>>,
        table: &Range<usize>,
    ) -> Option<Login> {
        let auth = self.choice(auth, &AUTHS, Auth::as_str);
        let secret = password.and_then(|password| self.secret(password));
        match (username, password) {
            (Some(username), None) => {
                let span = username.span();
                self.found
                    .error(span, "a `username` needs a `password`", None);
                None
            }
            (None, Some(password)) => {
                let span = if password.span().is_empty() {
                    table.clone()
                } else {
                    password.span()
                };
                self.found
                    .error(span, "a `password` needs a `username`", None);
                None
            }
            (None, None) => None,
            (Some(username), Some(_)) => Some(Login {
                username: username.value().clone(),
                password: secret?,
                auth: auth.unwrap_or(Auth::Auto),
                insecure: insecure.is_some_and(|insecure| *insecure.value()),
            }),
        }
    }

    fn secret(&mut self, keys: &At<SecretKeys>) -> Option<Secret> {
        match keys.value() {
            SecretKeys::Literal(secret) if secret.is_empty() => {
                self.found.error(keys.span(), "this secret is empty", None);
                None
            }
            SecretKeys::Literal(secret) => {
                Some(Secret::Literal(SecretString::from(secret.as_str())))
            }
            SecretKeys::Kept(kept) => {
                let secret = match &**kept {
                    Kept {
                        env: Some(name),
                        file: None,
                        command: None,
                    } => Some(Secret::Env(name.value().clone())),
                    Kept {
                        env: None,
                        file: Some(path),
                        command: None,
                    } => Some(Secret::File(self.folder.join(path.value()))),
                    Kept {
                        env: None,
                        file: None,
                        command: Some(words),
                    } if !words.value().is_empty() => Some(Secret::Command(
                        words
                            .value()
                            .iter()
                            .map(|word| word.value().clone())
                            .collect(),
                    )),
                    _ => None,
                };
                if secret.is_none() {
                    let message = "a secret is kept in exactly one of `env`, `file` or `command`";
                    self.found.error(keys.span(), message, None);
                }
                secret
            }
        }
    }

    fn trust(
        &mut self,
        inline: Option<&Text>,
        file: Option<&Text>,
        verify: Option<&At<bool>>,
        security: Security,
    ) -> Trust {
        let pem = match (inline, file) {
            (Some(inline), None) => Some((inline.value().clone(), inline.span())),
            (None, Some(file)) => {
                let path = self.folder.join(file.value());
                match std::fs::read_to_string(&path) {
                    Ok(pem) => Some((pem, file.span())),
                    Err(error) => {
                        let message = format!("cannot read {}: {error}", path.display());
                        self.found.error(file.span(), message, None);
                        None
                    }
                }
            }
            (Some(_), Some(file)) => {
                let message = "give either `ca` or `ca_file`, not both";
                self.found.error(file.span(), message, None);
                None
            }
            (None, None) => None,
        };
        if let Some(verify) = verify.filter(|verify| !*verify.value()) {
            let message = "the server's certificate is not verified: anybody can stand between";
            let help = "name its authority in `ca_file` instead";
            self.found.warn(verify.span(), message, Some(help.into()));
            return Trust::Anybody;
        }
        if security == Security::Opportunistic {
            return Trust::Anybody;
        }
        let Some((pem, span)) = pem else {
            return Trust::System;
        };
        match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) if !certificates.is_empty() => {}
            Ok(_) => self
                .found
                .error(span, "there is no PEM certificate in it", None),
            Err(error) => self.found.error(
                span,
                format!("this is not a PEM certificate: {error}"),
                None,
            ),
        }
        Trust::Also(pem.into())
    }

    fn duration(&mut self, text: Option<&Text>) -> Option<Duration> {
        self.checked(text, duration)
    }

    fn address(&mut self, text: Option<&Text>, key: &str, place: &Place<'_>) -> Option<Address> {
        let Some(text) = text else {
            self.missing(key, place);
            return None;
        };
        self.checked(Some(text), |text| {
            message::address(text).map_err(|error| format!("{text:?} is not an address: {error}"))
        })
    }

    fn reference<'k, T>(
        &mut self,
        (text, key): (Option<&Text>, &str),
        (read, known): (
            &BTreeMap<String, Arc<T>>,
            impl Iterator<Item = &'k str> + Clone,
        ),
        place: &Place<'_>,
    ) -> Option<Arc<T>> {
        let Some(text) = text else {
            self.missing(key, place);
            return None;
        };
        if !known.clone().any(|name| name == text.value()) {
            let message = format!("there is no {key} `{}`", text.value());
            self.found
                .error(text.span(), message, Some(suggest(text.value(), known)));
        }
        read.get(text.value()).cloned()
    }

    fn missing(&mut self, key: &str, place: &Place<'_>) {
        let message = format!(
            "[routes.{}] needs `{key}`, here or in [defaults]",
            place.name
        );
        self.found.error(place.span.clone(), message, None);
    }

    fn required(
        &mut self,
        text: Option<&Text>,
        key: &str,
        table: &Range<usize>,
        place: &str,
    ) -> Option<String> {
        let value = text.map(At::value).filter(|value| !value.trim().is_empty());
        if value.is_none() {
            let span = text.map_or_else(|| table.clone(), At::span);
            self.found
                .error(span, format!("[{place}] needs `{key}`"), None);
        }
        value.cloned()
    }

    /// One of `known`, by its word.
    fn choice<T: Copy>(
        &mut self,
        text: Option<&Text>,
        known: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = text?;
        let chosen = known
            .iter()
            .copied()
            .find(|known| word(*known) == text.value());
        if chosen.is_none() {
            let help = suggest(text.value(), known.iter().map(|known| word(*known)));
            self.found.error(
                text.span(),
                format!("`{}` is not known here", text.value()),
                Some(help),
            );
        }
        chosen
    }

    fn checked<T>(
        &mut self,
        text: Option<&Text>,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        check(text.value())
            .map_err(|wrong| self.found.error(text.span(), wrong, None))
            .ok()
    }
}

/// A route's table and where it stands.
struct Place<'a> {
    name: &'a str,
    span: Range<usize>,
}

/// A route's own keys over the defaults.
struct Layered<'a> {
    own: &'a file::Route,
    defaults: &'a file::Route,
}

impl<'a> Layered<'a> {
    fn pick<T>(&self, key: impl Fn(&'a file::Route) -> &'a Option<T>) -> Option<&'a T> {
        key(self.own).as_ref().or(key(self.defaults).as_ref())
    }
}

fn cleanup(text: &str, protocol: Protocol) -> Result<Cleanup, String> {
    let cleanup = match text {
        "delete" => Cleanup::Delete,
        "seen" => Cleanup::Seen,
        "keep" => Cleanup::Keep,
        _ => match text.strip_prefix("move:") {
            Some(folder) if !folder.is_empty() => Cleanup::Move(folder.to_owned()),
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

fn test(payload: Payload) -> Test {
    Test {
        payload,
        expect: payload.class().default_expect().to_vec(),
    }
}
