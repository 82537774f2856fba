//! The way of an accepted message: what the filter ruled, trace fields, faults, the forwarding rule, the mailbox.
//!
//! Nothing leaves the lab: a notice or an automatic reply is delivered when its addressee is the
//! mailbox, and otherwise forgotten.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use smtp_proto::{RCPT_NOTIFY_FAILURE, RCPT_NOTIFY_NEVER, RCPT_NOTIFY_SUCCESS};
use tokio::time::sleep;

use super::{
    alteration::{self, Forwarder},
    fault::{
        armed::{Standing, local_part},
        kind::Kind,
    },
    filter::{Fate, Ruling},
    mailbox::{INBOX, JUNK},
    notice::{self, Action, Report},
    site::{FILTER_NAME, FORWARDER_NAME, FORWARDING_DOMAIN, GATEWAY_NAME, MAILBOX_ADDRESS, Site},
    stamp,
};

/// A message for which the gateway has taken responsibility.
pub(crate) struct Accepted {
    pub(crate) queue_id: String,
    pub(crate) envelope: Envelope,
    /// The `from` clause of our Received field: HELO name and address.
    pub(crate) origin: String,
    /// `ESMTP`, `ESMTPS`, `ESMTPA`… (RFC 3848).
    pub(crate) protocol: &'static str,
    pub(crate) message: Vec<u8>,
    /// When it was taken.
    pub(crate) at: Timestamp,
}

#[derive(Default)]
pub(crate) struct Envelope {
    /// Empty for the null return path.
    pub(crate) sender: String,
    pub(crate) id: Option<String>,
    /// `RET=FULL`.
    pub(crate) returns_body: bool,
    pub(crate) recipients: Vec<Recipient>,
}

pub(crate) struct Recipient {
    pub(crate) address: String,
    pub(crate) original: Option<String>,
    /// The `NOTIFY` bits of smtp-proto.
    pub(crate) notify: u64,
    pub(crate) ruling: Ruling,
}

/// Where the lab sends an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Mailbox,
    Forwarded,
    UnknownUser,
    Elsewhere,
}

/// Decides by the address alone.
pub(crate) fn destination(address: &str) -> Destination {
    let Some((_, domain)) = address.rsplit_once('@') else {
        return Destination::UnknownUser;
    };
    let own_domain = MAILBOX_ADDRESS.rsplit_once('@').map(|(_, domain)| domain);
    if domain.eq_ignore_ascii_case(FORWARDING_DOMAIN) {
        Destination::Forwarded
    } else if own_domain.is_some_and(|own| domain.eq_ignore_ascii_case(own)) {
        if local_part(address).eq_ignore_ascii_case(local_part(MAILBOX_ADDRESS)) {
            Destination::Mailbox
        } else {
            Destination::UnknownUser
        }
    } else {
        Destination::Elsewhere
    }
}

/// Sends a message on to each of its recipients, now or later.
pub(crate) fn forward(site: &Arc<Site>, accepted: Accepted) {
    site.counts.accepted.fetch_add(1, Ordering::Relaxed);
    let accepted = Arc::new(accepted);
    for (index, recipient) in accepted.envelope.recipients.iter().enumerate() {
        if !passes(site, &accepted, recipient) {
            continue;
        }
        let faults = site.faults.on_the_way(local_part(&recipient.address));
        let delay: Duration = faults
            .iter()
            .filter(|standing| standing.fault.kind == Kind::Delay)
            .map(|standing| standing.fault.span())
            .sum();
        if delay.is_zero() {
            forward_to(site, &accepted, recipient, &faults);
            continue;
        }
        let (site, accepted) = (Arc::clone(site), Arc::clone(&accepted));
        let stop = site.stop.clone();
        site.tasks
            .clone()
            .spawn(stop.run_until_cancelled_owned(async move {
                sleep(delay).await;
                if let Some(recipient) = accepted.envelope.recipients.get(index) {
                    forward_to(&site, &accepted, recipient, &faults);
                }
            }));
    }
}

/// Whether the filter lets a copy go on; one that it does not is dealt with here.
fn passes(site: &Site, accepted: &Accepted, recipient: &Recipient) -> bool {
    let (id, to) = (&accepted.queue_id, &recipient.address);
    match recipient.ruling.fate {
        Fate::Pass | Fate::Junk => return true,
        Fate::Discard => tracing::info!(target: "lab", id, to, "filter: discarded"),
        Fate::Quarantine => {
            site.counts.quarantined.fetch_add(1, Ordering::Relaxed);
            tracing::info!(target: "lab", id, to, "filter: quarantined");
        }
        Fate::Bounce => {
            tracing::info!(target: "lab", id, to, "filter: bounced");
            report_failure(site, accepted, recipient, Action::Infected);
        }
    }
    false
}

fn forward_to(site: &Site, accepted: &Accepted, recipient: &Recipient, faults: &[Arc<Standing>]) {
    let has = |kind| faults.iter().any(|standing| standing.fault.kind == kind);
    let id = &accepted.queue_id;
    if has(Kind::Drop) {
        tracing::info!(target: "lab", id, to = recipient.address, "dropped");
        return;
    }
    if has(Kind::Bounce) {
        tracing::info!(target: "lab", id, to = recipient.address, "bounced");
        report_failure(site, accepted, recipient, Action::Failed);
        return;
    }
    if has(Kind::DelayedDsn) {
        report(site, accepted, recipient, Action::Delayed);
    }
    if has(Kind::Vacation) {
        let date = stamp::rfc5322(stamp::now());
        let to = &accepted.envelope.sender;
        let message_id = new_message_id(site);
        let from = &recipient.address;
        let reply = notice::vacation(&accepted.message, from, to, &date, &message_id);
        deliver_own(site, to, &reply);
    }
    let is_junk = has(Kind::Junk) || recipient.ruling.fate == Fate::Junk;
    let folder = if is_junk { JUNK } else { INBOX };
    let copies = if has(Kind::Duplicate) { 2 } else { 1 };
    for _ in 0..copies {
        let copy = copy(site, accepted, recipient, faults);
        site.mailbox.deliver(folder, copy.into());
        site.counts.delivered.fetch_add(1, Ordering::Relaxed);
    }
    tracing::debug!(target: "lab", id, to = recipient.address, folder, copies, "delivered");
    if recipient.notify & RCPT_NOTIFY_SUCCESS != 0 {
        report(site, accepted, recipient, Action::Delivered);
    }
}

/// The message as it lies in the mailbox at last.
fn copy(
    site: &Site,
    accepted: &Accepted,
    recipient: &Recipient,
    faults: &[Arc<Standing>],
) -> Vec<u8> {
    let date = stamp::rfc5322(stamp::now());
    let taken = stamp::rfc5322(accepted.at);
    let id = &accepted.queue_id;
    let to = &recipient.address;
    let received = format!(
        "Received: from {origin}\r\n\tby {GATEWAY_NAME} with {protocol} id {id}\r\n\t\
         for <{to}>; {taken}\r\n",
        origin = accepted.origin,
        protocol = accepted.protocol,
    );
    let mut hop = String::new();
    if destination(to) == Destination::Forwarded {
        // What is delayed lies in the filter meanwhile.
        let skew: Duration = faults
            .iter()
            .filter(|standing| standing.fault.kind == Kind::Skew)
            .map(|standing| standing.fault.span())
            .sum();
        let filtered = stamp::rfc5322(accepted.at.saturating_add(skew).unwrap_or(accepted.at));
        hop = format!(
            "Received: from {FILTER_NAME} ({FILTER_NAME} [127.0.0.1])\r\n\t\
             by {FORWARDER_NAME} with LMTP id {id}-F\r\n\tfor <{MAILBOX_ADDRESS}>; {date}\r\n\
             Received: from {GATEWAY_NAME} ({GATEWAY_NAME} [127.0.0.1])\r\n\t\
             by {FILTER_NAME} with ESMTP id {id}-S\r\n\tfor <{to}>; {filtered}\r\n\
             X-Forwarded-To: {MAILBOX_ADDRESS}\r\nX-Forwarded-For: {to}\r\n\
             Delivered-To: {to}\r\n"
        );
    }
    let on_top = format!(
        "Return-Path: <{}>\r\nDelivered-To: {MAILBOX_ADDRESS}\r\n{hop}",
        accepted.envelope.sender
    );
    let filtered = recipient.ruling.apply(&accepted.message);
    if faults.is_empty() {
        return [on_top.as_bytes(), received.as_bytes(), &filtered].concat();
    }
    let message_id = new_message_id(site);
    let forwarder = Forwarder {
        address: to,
        target: MAILBOX_ADDRESS,
        message_id: &message_id,
        date: &date,
    };
    let message = [received.as_bytes(), &filtered].concat();
    let altered = faults.iter().fold(message, |message, standing| {
        alteration::apply(standing.fault.kind, message, &forwarder)
    });
    [on_top.as_bytes(), &altered].concat()
}

/// Reports a failure, unless the sender did not want to know.
fn report_failure(site: &Site, accepted: &Accepted, recipient: &Recipient, action: Action) {
    let unwanted = recipient.notify & RCPT_NOTIFY_NEVER != 0
        || (recipient.notify != 0 && recipient.notify & RCPT_NOTIFY_FAILURE == 0);
    if !unwanted {
        report(site, accepted, recipient, action);
    }
}

fn report(site: &Site, accepted: &Accepted, recipient: &Recipient, action: Action) {
    let envelope = &accepted.envelope;
    let date = stamp::rfc5322(stamp::now());
    let message_id = new_message_id(site);
    let dsn = Report {
        action,
        sender: &envelope.sender,
        recipient: &recipient.address,
        original_recipient: recipient.original.as_deref(),
        envelope_id: envelope.id.as_deref(),
        returned: &accepted.message,
        // A notice of success or delay never returns more than the header (RFC 3461, 4.3); nor is a virus passed on.
        returns_body: envelope.returns_body && action == Action::Failed,
        date: &date,
        message_id: &message_id,
    }
    .write();
    deliver_own(site, &envelope.sender, &dsn);
}

/// Delivers mail of our own making: with the null return path, and only to the mailbox.
fn deliver_own(site: &Site, to: &str, message: &[u8]) {
    if destination(to) != Destination::Mailbox {
        tracing::info!(target: "lab", to, "a notice has nowhere to go");
        return;
    }
    let on_top = format!("Return-Path: <>\r\nDelivered-To: {to}\r\n");
    let message = [on_top.as_bytes(), message].concat();
    site.mailbox.deliver(INBOX, message.into());
}

/// A Message-ID, without angle brackets, that was never used.
fn new_message_id(site: &Site) -> String {
    let number = site.numbers.fetch_add(1, Ordering::Relaxed);
    let seconds = stamp::now().as_second();
    format!("{seconds:x}.{number:x}@{GATEWAY_NAME}")
}
