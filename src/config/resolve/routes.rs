//! Routes: their own keys over the defaults, references to servers, tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;

use super::reader::{Reader, is_on};
use crate::config::diagnostic::suggest;
use crate::config::file::{self, At, File, Text};
use crate::config::plan::{DEFAULT_SUBJECT, Gateway, Mailbox, MarkRule, Ping, Route, Test, Watch};
use crate::probe::name::{MailboxName, RouteName};
use crate::probe::{message, tag};

/// The longest that a probe may take, or be deferred.
const LONGEST_FLIGHT: Duration = Duration::from_hours(7 * 24);
/// The longest wait for an unreadable mailbox.
const LONGEST_GRACE: Duration = Duration::from_hours(24);
/// The longest subject, in bytes.
const LONGEST_SUBJECT: usize = 500;
/// The longest line of a message, without its CRLF (RFC 5322 §2.1.1).
const LONGEST_FIELD: usize = 998;

/// Header fields that mailrobin, the envelope or a server on the way writes.
const RESERVED: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "subject",
    "message-id",
    "date",
    "auto-submitted",
    "mime-version",
    "return-path",
    "received",
];

/// What is done on a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    RoundTrip,
    Ping,
}

impl Kind {
    const ALL: [Self; 2] = [Self::RoundTrip, Self::Ping];

    fn as_str(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Ping => "ping",
        }
    }
}
/// What an authentication method can come to (RFC 8601 §2.7).
const RESULTS: &[&str] = &[
    "pass",
    "fail",
    "softfail",
    "neutral",
    "none",
    "policy",
    "temperror",
    "permerror",
];

/// A route's table, its name and where it stands.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) span: Range<usize>,
    pub(super) keys: Layered<'a>,
}

/// A route's own keys over the defaults.
pub(super) struct Layered<'a> {
    pub(super) own: &'a file::Route,
    pub(super) defaults: &'a file::Route,
}

impl<'a> Place<'a> {
    pub(super) fn pick<T>(&self, key: impl Fn(&'a file::Route) -> &'a Option<T>) -> Option<&'a T> {
        key(self.keys.own)
            .as_ref()
            .or(key(self.keys.defaults).as_ref())
    }
}

/// The routes of either kind, and how each of them is watched.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) round_trips: BTreeMap<RouteName, Arc<Route>>,
    pub(super) pings: BTreeMap<RouteName, Arc<Ping>>,
    pub(super) watches: BTreeMap<RouteName, Arc<Watch>>,
}

impl Reader<'_> {
    pub(super) fn routes(
        &mut self,
        file: &File,
        gateways: &BTreeMap<String, Arc<Gateway>>,
        mailboxes: &BTreeMap<String, Arc<Mailbox>>,
    ) -> Routes {
        let empty = file::Route::default();
        let defaults = file.defaults.as_ref().map_or(&empty, At::value);
        let mut routes = Routes::default();
        for (name, table) in &file.routes {
            let place = Place {
                name,
                span: table.span(),
                keys: Layered {
                    own: table.value(),
                    defaults,
                },
            };
            let known = file.gateways.keys().map(String::as_str);
            let gateway = self.reference(
                place.pick(|r| &r.gateway),
                "gateway",
                (gateways, known),
                &place,
            );
            let kind = self.choice("kind", place.pick(|r| &r.kind), &Kind::ALL, Kind::as_str);
            let zone = self.zone(place.pick(|r| &r.timezone));
            if kind == Some(Kind::Ping) {
                let ping = self.ping(&place, gateway);
                let pings = ping.map(|ping| (ping.name.clone(), Arc::new(ping)));
                routes.pings.extend(pings);
                let watch = self.watch(&place, file, (None, &zone));
                routes.watches.insert(name.as_str().into(), watch.into());
                continue;
            }
            if let Some(text) = &table.value().certificate_warn {
                let message = "only a ping looks at certificates that closely";
                self.wrong(
                    text.span(),
                    message,
                    Some("add `kind = \"ping\"`, or leave it out"),
                );
            }
            let known = file.mailboxes.keys().map(String::as_str);
            let mailbox = self.reference(
                place.pick(|r| &r.mailbox),
                "mailbox",
                (mailboxes, known),
                &place,
            );
            let tests = self.tests(place.pick(|r| &r.tests), &zone);
            let watch = self.watch(&place, file, (Some(&tests), &zone));
            routes.watches.insert(name.as_str().into(), watch.into());
            let tests = tests.into_iter().map(|timed| timed.test).collect();
            let route = self.route(&place, (gateway, mailbox), file, tests);
            let route = route.map(|route| (route.name.clone(), Arc::new(route)));
            routes.round_trips.extend(route);
        }
        self.circles(file, &routes.watches);
        routes
    }

    fn route(
        &mut self,
        place: &Place<'_>,
        (gateway, mailbox): (Option<Arc<Gateway>>, Option<Arc<Mailbox>>),
        file: &File,
        tests: Vec<Test>,
    ) -> Option<Route> {
        let from = self.address(place.pick(|r| &r.from), "from", place);
        let to = self.address(place.pick(|r| &r.to), "to", place);
        let aliases = self.addresses(place.pick(|r| &r.aliases));
        let deadline = self.duration_within(place.pick(|r| &r.deadline), LONGEST_FLIGHT);
        let deadline = deadline.unwrap_or(Duration::from_mins(15));
        let warn_after = self.warn_after(place.pick(|r| &r.warn_after), deadline);
        let defer_for = self.duration_within(place.pick(|r| &r.defer_for), LONGEST_FLIGHT);
        let blind_grace = self.duration_within(place.pick(|r| &r.blind_grace), LONGEST_GRACE);
        let headers = self.headers(place);
        let verp = self.tagged(place.pick(|r| &r.verp), from.as_ref());
        let plus_address = self.tagged(place.pick(|r| &r.plus_address), to.as_ref());
        let subject = self.subject(place);
        let marks = place.pick(|r| &r.marks);
        let marks = marks.map_or_else(MarkRule::defaults, |marks| self.marks(marks.value()));
        let authserv_ids = place
            .pick(|r| &r.authserv_ids)
            .map_or_else(Vec::new, |ids| {
                let ids = ids.value().iter();
                ids.map(|id| id.value().clone()).collect()
            });
        let authentication = self.authentication(place);
        let bounce_mailbox = self.bounce_mailbox(place, mailbox.as_deref(), from.as_ref(), file);
        Some(Route {
            name: place.name.into(),
            gateway: gateway?,
            mailbox: mailbox?,
            bounce_mailbox,
            from: from?,
            to: to?,
            aliases,
            verp,
            plus_address,
            subject,
            headers,
            deadline,
            warn_after,
            defer_for: defer_for.unwrap_or(deadline),
            blind_grace: blind_grace.unwrap_or(Duration::from_secs(30)),
            marks,
            authserv_ids,
            authentication,
            tests,
        })
    }

    /// The subject before the tag: with it, and unfolded, it fits a line.
    fn subject(&mut self, place: &Place<'_>) -> String {
        let text = place.pick(|r| &r.subject);
        let written = text.and_then(|subject| self.line("subject", subject));
        let written = written.as_deref().unwrap_or(DEFAULT_SUBJECT);
        let subject = written.replace("{route}", place.name);
        if let Some(text) = text.filter(|_| subject.len() > LONGEST_SUBJECT) {
            let message = format!("`subject` is longer than {LONGEST_SUBJECT} bytes");
            self.wrong(text.span(), message, None);
        }
        subject
    }

    fn marks(&mut self, written: &[Text]) -> Vec<MarkRule> {
        let mut marks = Vec::new();
        for text in written {
            match text.value().parse() {
                Ok(mark) => marks.push(mark),
                Err(why) => {
                    let help = "write \"***SPAM***\" for a subject's prefix, or \"header:X-Spam-Flag=yes\"";
                    self.wrong(text.span(), why, Some(help));
                }
            }
        }
        marks
    }

    pub(super) fn warn_after(
        &mut self,
        text: Option<&Text>,
        deadline: Duration,
    ) -> Option<Duration> {
        let warn_after = self.duration(text)?;
        if let Some(text) = text.filter(|_| warn_after > deadline) {
            let message = "`warn_after` is longer than the deadline, so it never warns";
            self.found.warn(text.span(), message, None);
        }
        Some(warn_after)
    }

    /// Whether an address carries the tag; there must be room for it (RFC 5321 §4.5.3.1.1).
    fn tagged(&mut self, switch: Option<&At<bool>>, address: Option<&Address>) -> bool {
        const LONGEST_LOCAL_PART: usize = 64;
        let is_on = is_on(switch);
        if let (true, Some(switch), Some(address)) = (is_on, switch, address)
            && address.user().len() + 1 + tag::LENGTH > LONGEST_LOCAL_PART
        {
            let message = format!(
                "{address} with a tag of {} characters behind its `+` would be longer than a mailbox name may be",
                tag::LENGTH
            );
            self.wrong(switch.span(), message, Some("use a shorter address"));
        }
        is_on
    }

    fn bounce_mailbox(
        &mut self,
        place: &Place<'_>,
        mailbox: Option<&Mailbox>,
        from: Option<&Address>,
        file: &File,
    ) -> Option<MailboxName> {
        if let Some(named) = place.pick(|r| &r.bounce_mailbox) {
            if !file.mailboxes.contains_key(named.value()) {
                let help = suggest(named.value(), file.mailboxes.keys().map(String::as_str));
                let message = format!("there is no mailbox `{}`", named.value());
                self.absent(named.span(), message, Some(&help));
            }
            return Some(named.value().as_str().into());
        }
        let (mailbox, from) = (mailbox?, from?);
        if mailbox.login.username.eq_ignore_ascii_case(from.as_ref()) {
            return Some(mailbox.name.clone());
        }
        let message = format!(
            "no mailbox is known to get the mail for {from}, so bounces will read as `missing`"
        );
        let help = "name the one that does in `bounce_mailbox`";
        self.found
            .warn(place.span.clone(), message, Some(help.into()));
        None
    }

    fn headers(&mut self, place: &Place<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, value) in place.pick(|r| &r.headers).into_iter().flatten() {
            let lower = name.to_ascii_lowercase();
            let is_ours = RESERVED.contains(&lower.as_str())
                || ["content-", "x-mailrobin", "resent-"]
                    .iter()
                    .any(|ours| lower.starts_with(ours));
            let wrong = if !message::is_field_name(name) {
                Some("is not a header field name")
            } else if is_ours {
                Some("is written by mailrobin, or by a server on the way")
            } else if value.value().contains(['\r', '\n', '\0']) {
                Some("has a line break in its value")
            } else if value
                .value()
                .contains(|c: char| c.is_control() && c != '\t')
            {
                Some("has a control character in its value")
            } else if name.len() + ": ".len() + value.value().len() > LONGEST_FIELD {
                Some("is longer than a line of mail may be, 998 bytes")
            } else {
                None
            };
            match wrong {
                Some(wrong) => self.wrong(value.span(), format!("header `{name}` {wrong}"), None),
                None => headers.push((name.clone(), value.value().clone())),
            }
        }
        headers
    }

    /// Methods and the results wanted of them, all in lower case.
    fn authentication(&mut self, place: &Place<'_>) -> Vec<(String, String)> {
        let mut wanted = Vec::new();
        for (method, result) in place.pick(|r| &r.authentication).into_iter().flatten() {
            let written = result.value().to_ascii_lowercase();
            let is_word = |char: char| char.is_ascii_alphanumeric() || char == '-';
            if method.is_empty() || !method.chars().all(is_word) {
                let message = format!("`{method}` is not an authentication method");
                let help = "write it like spf, dkim or dmarc";
                self.wrong(result.span(), message, Some(help));
            } else if RESULTS.contains(&written.as_str()) {
                wanted.push((method.to_ascii_lowercase(), written));
            } else {
                let message = format!("`{}` is not an authentication result", result.value());
                let help = suggest(result.value(), RESULTS.iter().copied());
                self.wrong(result.span(), message, Some(&help));
            }
        }
        wanted
    }

    pub(super) fn address(
        &mut self,
        text: Option<&Text>,
        key: &str,
        place: &Place<'_>,
    ) -> Option<Address> {
        let Some(text) = text else {
            self.missing(key, place);
            return None;
        };
        self.written_address(text)
    }

    fn addresses(&mut self, list: Option<&At<Vec<Text>>>) -> Vec<Address> {
        let texts = list.map_or(&[][..], |list| list.value());
        texts
            .iter()
            .filter_map(|text| self.written_address(text))
            .collect()
    }

    fn written_address(&mut self, text: &Text) -> Option<Address> {
        let address = message::address(text.value());
        if let Err(error) = &address {
            let help = text
                .value()
                .contains('<')
                .then_some("write only the address, without the name");
            let message = format!("{:?} is not an address: {error}", text.value());
            self.wrong(text.span(), message, help);
        }
        address.ok()
    }

    fn reference<'k, T>(
        &mut self,
        text: Option<&Text>,
        key: &str,
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
        let name = text.value();
        if !known.clone().any(|known| known == name) {
            let plural = if key == "gateway" {
                "gateways"
            } else {
                "mailboxes"
            };
            let help = match known.clone().next() {
                Some(_) => suggest(name, known),
                None => format!("add [{plural}.{name}]"),
            };
            self.absent(
                text.span(),
                format!("there is no {key} `{name}`"),
                Some(&help),
            );
        }
        read.get(name).cloned()
    }

    fn missing(&mut self, key: &str, place: &Place<'_>) {
        let message = format!(
            "[routes.{}] needs `{key}`, here or in [defaults]",
            place.name
        );
        self.absent(place.span.clone(), message, None);
    }
}
