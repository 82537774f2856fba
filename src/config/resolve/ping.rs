//! Ping routes: a gateway that is only spoken to.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use super::routes::Place;
use crate::config::file::{self, At};
use crate::config::plan::{DEFAULT_CERTIFICATE_WARN, Gateway, Ping, PingServer};

/// What is a deadline for a message is none for an answer.
const DEADLINE: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);

impl Reader<'_> {
    pub(super) fn ping(
        &mut self,
        place: &Place<'_>,
        gateway: Option<Arc<Gateway>>,
    ) -> Option<Ping> {
        let own = place.keys.own;
        for (key, span) in of_messages(own) {
            let message = format!("a ping sends no message, so `{key}` means nothing here");
            self.wrong(span, message, Some("leave it out, or leave out `kind`"));
        }
        // Only what the route itself names is asked for: the defaults' addresses are for messages.
        let envelope = match (&own.from, &own.to) {
            (None, None) => None,
            (None, Some(to)) => {
                let from = place.pick(|r| &r.from);
                let from = self.address(from, "from", place);
                from.zip(self.address(Some(to), "to", place))
            }
            (Some(from), None) => {
                let message = "a ping asks for `from` and `to` together";
                self.absent(from.span(), message, Some("add `to`, or leave `from` out"));
                None
            }
            (Some(from), Some(to)) => {
                let from = self.address(Some(from), "from", place);
                from.zip(self.address(Some(to), "to", place))
            }
        };
        let deadline = self
            .duration_within(own.deadline.as_ref(), LONGEST)
            .unwrap_or(DEADLINE);
        let warn_after = self.warn_after(own.warn_after.as_ref(), deadline);
        let certificate_warn = self.duration(place.pick(|r| &r.certificate_warn));
        Some(Ping {
            name: place.name.into(),
            server: PingServer::Smtp(gateway?),
            envelope,
            plain: false,
            deadline,
            warn_after,
            certificate_warn: certificate_warn.unwrap_or(DEFAULT_CERTIFICATE_WARN),
        })
    }
}

/// The keys of a route that are about messages, and where they stand.
fn of_messages(keys: &file::Route) -> impl Iterator<Item = (&'static str, Range<usize>)> {
    let headers = keys.headers.as_ref().and_then(|it| it.values().next());
    let results = keys.authentication.as_ref();
    let results = results.and_then(|it| it.values().next());
    [
        ("mailbox", keys.mailbox.as_ref().map(At::span)),
        ("bounce_mailbox", keys.bounce_mailbox.as_ref().map(At::span)),
        ("verp", keys.verp.as_ref().map(At::span)),
        ("plus_address", keys.plus_address.as_ref().map(At::span)),
        ("subject", keys.subject.as_ref().map(At::span)),
        ("headers", headers.map(At::span)),
        ("defer_for", keys.defer_for.as_ref().map(At::span)),
        ("blind_grace", keys.blind_grace.as_ref().map(At::span)),
        ("aliases", keys.aliases.as_ref().map(At::span)),
        ("marks", keys.marks.as_ref().map(At::span)),
        ("authserv_ids", keys.authserv_ids.as_ref().map(At::span)),
        ("authentication", results.map(At::span)),
        ("tests", keys.tests.as_ref().map(At::span)),
        ("every_harmful", keys.every_harmful.as_ref().map(At::span)),
    ]
    .into_iter()
    .filter_map(|(key, span)| Some((key, span?)))
}
