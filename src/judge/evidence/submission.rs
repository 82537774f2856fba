//! Whether a message is the one we submitted: its own Received fields then show that it was.

use lettre::Address;

use crate::config::plan::Route;
use crate::probe::facts::{Attempt, End};
use crate::probe::mail::{Field, Mail};
use crate::probe::tag::PREFIX;

/// A queue id shorter than this may stand in any server's reply by chance.
const SHORTEST_QUEUE_ID: usize = 6;

/// Fields that name the recipient that a message came to.
const RECIPIENT: [&str; 4] = ["To", "Delivered-To", "X-Original-To", "Envelope-To"];

/// Whether a message's From is this address.
pub fn is_from(raw: &[u8], address: &Address) -> bool {
    Mail::parse(raw).is_some_and(|mail| {
        mail.author()
            .is_some_and(|author| author.eq_ignore_ascii_case(address.as_ref()))
    })
}

/// Whether a Received field of the message's own names what only our submission has: its recipient (where that is not the
/// sender, whom answers are sent to), our EHLO name, or the queue id of the gateway's reply.
pub fn shows_submission(raw: &[u8], route: &Route, attempts: &[Attempt]) -> bool {
    let Some(mail) = Mail::parse(raw) else {
        return false;
    };
    let recipient = Some(route.to.to_string().to_lowercase())
        .filter(|to| *to != route.from.to_string().to_lowercase());
    let ehlo = route.gateway.ehlo.as_deref().map(str::to_lowercase);
    let ehlo = ehlo.filter(|name| name.contains('.'));
    let replies = attempts.iter().filter_map(|attempt| match &attempt.end {
        End::Accepted(reply) => Some(reply.raw.to_lowercase()),
        _ => None,
    });
    let replies: Vec<_> = replies.collect();
    let tagged = format!("{}+{PREFIX}", route.to.user().to_lowercase());
    let is_ours = |field: &Field<'_>| {
        route.plus_address
            && RECIPIENT.iter().any(|name| field.is(name))
            && String::from_utf8_lossy(field.raw)
                .to_lowercase()
                .contains(&tagged)
    };
    if mail.fields().any(|field| is_ours(&field)) {
        return true;
    }
    mail.fields()
        .filter(|field| field.is("Received"))
        .any(|field| {
            let text = String::from_utf8_lossy(field.raw).to_lowercase();
            let clause = |keyword: &str| {
                let mut words = text.split_whitespace();
                words.find(|word| *word == keyword)?;
                Some(words.next()?.trim_matches(['<', '>', ';', '(', ')']))
            };
            let is_recipient = clause("for").is_some_and(|it| Some(it) == recipient.as_deref());
            let is_us = clause("from").is_some_and(|it| Some(it) == ehlo.as_deref());
            let is_queued = clause("id").is_some_and(|id| {
                id.len() >= SHORTEST_QUEUE_ID && replies.iter().any(|reply| reply.contains(id))
            });
            is_recipient || is_us || is_queued
        })
}
