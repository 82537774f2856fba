//! Who is told when something fails: webhooks and commands.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Time;
use reqwest::header::{HeaderName, HeaderValue};

use super::program::Keys;
use super::reader::Reader;
use crate::config::diagnostic::suggest;
use crate::config::file::{self, At, SecretKeys, Text};
use crate::config::plan::{Alert, Channel, Quiet, Security, Template, Trust};
use crate::config::secret::Secret;
use crate::config::template::{self, is_json};
use crate::files::{self, TEMPLATE_LIMIT};
use crate::probe::notice::Severity;

/// The longest that one try may take.
const LONGEST_TRY: Duration = Duration::from_hours(1);

/// The media type of a notice as it is.
const JSON: &str = "application/json";

/// Header fields that the sender writes.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// The way a notice takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Webhook,
    Command,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Webhook, Self::Command];

    fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Command => "command",
        }
    }

    fn timeout(self) -> Duration {
        match self {
            Self::Webhook => Duration::from_secs(10),
            Self::Command => Duration::from_secs(30),
        }
    }

    /// What does the work of a service that has no kind of its own.
    fn instead_of(service: &str) -> Option<&'static str> {
        match service {
            "slack" | "teams" | "ntfy" | "pagerduty" | "alertmanager" => {
                Some("a webhook with a template does it: kind = \"webhook\"")
            }
            "sms" => Some("a command does it, or a webhook of your provider's"),
            "mail" => Some("a command such as sendmail does it: kind = \"command\""),
            _ => None,
        }
    }
}

impl Reader<'_> {
    pub(super) fn alert(&mut self, name: &str, table: &At<file::Alert>) -> Option<Alert> {
        let keys = table.value();
        let min_severity = self.choice(
            "min_severity",
            keys.min_severity.as_ref(),
            &Severity::ALL,
            Severity::as_str,
        );
        let zone = self.zone(keys.timezone.as_ref());
        let quiet = self.checked(keys.quiet.as_ref(), hours);
        let timeout = self.duration_within(keys.timeout.as_ref(), LONGEST_TRY);
        let place = (table.span(), format!("[alerts.{name}]"));
        let kind = self.kind(keys, &place)?;
        for (key, span) in of_the_other(kind, keys) {
            let message = format!("a {} has no `{key}`", kind.as_str());
            self.wrong(span, message, None);
        }
        let timeout = timeout.unwrap_or(kind.timeout());
        let channel = match kind {
            Kind::Webhook => self.webhook(keys, place),
            Kind::Command => {
                let program = self.program(Keys {
                    command: keys.command.as_ref(),
                    env: keys.env.as_ref(),
                    timeout,
                    table: place,
                });
                program.map(Channel::Command)
            }
        };
        Some(Alert {
            name: name.into(),
            channel: channel?,
            min_severity: min_severity.unwrap_or(Severity::Warning),
            quiet: quiet.map(|(from, to)| Quiet { from, to, zone }),
            timeout,
        })
    }

    fn kind(&mut self, keys: &file::Alert, place: &(Range<usize>, String)) -> Option<Kind> {
        let Some(text) = &keys.kind else {
            let message = format!("{} needs `kind`: webhook or command", place.1);
            self.absent(place.0.clone(), message, None);
            return None;
        };
        let word = text.value();
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        if kind.is_none() {
            let help = Kind::instead_of(word).map_or_else(
                || suggest(word, Kind::ALL.iter().map(|kind| kind.as_str())),
                str::to_owned,
            );
            let message = format!("`kind` cannot be {word:?}");
            self.wrong(text.span(), message, Some(&help));
        }
        kind
    }

    fn webhook(&mut self, keys: &file::Alert, place: (Range<usize>, String)) -> Option<Channel> {
        let headers = self.fields(keys.headers.as_ref());
        let body = self.body(keys);
        let ca = (keys.ca.as_ref(), keys.ca_file.as_ref());
        let ca = match self.trust(ca, None, Security::Implicit) {
            Trust::Also(pem) => Some(pem),
            Trust::System | Trust::Anybody => None,
        };
        let Some(url) = &keys.url else {
            self.absent(place.0, format!("{} needs `url`", place.1), None);
            return None;
        };
        Some(Channel::Webhook {
            url: self.url(url)?,
            headers,
            body,
            ca,
        })
    }

    fn fields(
        &mut self,
        fields: Option<&BTreeMap<String, At<SecretKeys>>>,
    ) -> Vec<(String, Secret)> {
        let mut read = Vec::new();
        for (name, value) in fields.into_iter().flatten() {
            let lower = name.to_ascii_lowercase();
            let is_sendable = match value.value() {
                SecretKeys::Literal(text) => HeaderValue::from_str(text).is_ok(),
                SecretKeys::Kept(_) => true,
            };
            let wrong = if HeaderName::from_bytes(name.as_bytes()).is_err() {
                Some("is not a header field name")
            } else if lower == "content-type" {
                Some("is what `content_type` says")
            } else if RESERVED.contains(&lower.as_str()) {
                Some("is written by mailrobin")
            } else if !is_sendable {
                Some("has a line break or another control character in its value")
            } else {
                None
            };
            match wrong {
                Some(wrong) => self.wrong(value.span(), format!("header `{name}` {wrong}"), None),
                None => read.extend(self.secret(value).map(|secret| (name.clone(), secret))),
            }
        }
        read
    }

    /// What is posted; `None`: the notice as JSON.
    fn body(&mut self, keys: &file::Alert) -> Option<Template> {
        let content_type = self.checked(keys.content_type.as_ref(), media_type);
        let content_type = content_type.unwrap_or_else(|| JSON.to_owned());
        let (text, span, place) = match (&keys.template, &keys.template_file) {
            (Some(inline), None) => (
                inline.value().clone(),
                inline.span(),
                "this template".to_owned(),
            ),
            (None, Some(file)) => {
                let path = self.folder.join(file.value());
                let text = self.template(file, &path)?;
                (text, file.span(), path.display().to_string())
            }
            (Some(_), Some(file)) => {
                let message = "give either `template` or `template_file`, not both";
                self.wrong(file.span(), message, None);
                return None;
            }
            (None, None) => {
                if let Some(given) = keys
                    .content_type
                    .as_ref()
                    .filter(|_| !is_json(&content_type))
                {
                    let message = "without a `template` the notice is sent as JSON";
                    self.absent(
                        given.span(),
                        message,
                        Some("leave `content_type` out, or add a template"),
                    );
                }
                return None;
            }
        };
        if let Err(wrong) = template::check(&text, &content_type) {
            let message = format!("{place} cannot be used: {}", wrong.message);
            self.wrong(span, message, wrong.help.as_deref());
        }
        Some(Template { text, content_type })
    }

    fn template(&mut self, file: &Text, path: &Path) -> Option<String> {
        files::read_text(path, TEMPLATE_LIMIT)
            .map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                self.wrong(file.span(), message, None);
            })
            .ok()
    }
}

/// The keys of the other kind, and where they stand.
fn of_the_other(kind: Kind, keys: &file::Alert) -> Vec<(&'static str, Range<usize>)> {
    let first = |map: &Option<BTreeMap<String, At<SecretKeys>>>| {
        map.as_ref()
            .and_then(|map| map.values().next())
            .map(At::span)
    };
    let text = |text: &Option<Text>| text.as_ref().map(At::span);
    let keys = match kind {
        Kind::Webhook => vec![
            ("command", keys.command.as_ref().map(At::span)),
            ("env", first(&keys.env)),
        ],
        Kind::Command => vec![
            ("url", keys.url.as_ref().map(At::span)),
            ("headers", first(&keys.headers)),
            ("template", text(&keys.template)),
            ("template_file", text(&keys.template_file)),
            ("content_type", text(&keys.content_type)),
            ("ca_file", text(&keys.ca_file)),
            ("ca", text(&keys.ca)),
        ],
    };
    keys.into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
        .collect()
}

/// Hours of every day, like `22:00-07:00`.
fn hours(text: &str) -> Result<(Time, Time), String> {
    let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    let hours = text.split_once('-');
    match hours.and_then(|(from, to)| Some((time(from)?, time(to)?))) {
        Some((from, to)) if from == to => Err(format!("{text:?} is the whole day, or nothing")),
        Some(hours) => Ok(hours),
        None => Err(format!(
            "{text:?} are no hours: write them like \"22:00-07:00\""
        )),
    }
}

fn media_type(text: &str) -> Result<String, String> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_type = essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    if is_type && HeaderValue::from_str(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no media type: write one like \"text/plain; charset=utf-8\""
        ))
    }
}
