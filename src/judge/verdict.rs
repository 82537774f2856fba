//! The rules: which outcome the facts make, and what it is worth.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use lettre::Address;

use super::evidence::{Copy, named_blocklist};
use crate::clock::Stamp;
use crate::config::plan::Route;
use crate::probe::evidence::Bounce;
use crate::probe::facts::{Attempt, Blindness, End, Reply};
use crate::probe::listing::Listing;
use crate::probe::manifest::Manifest;
use crate::probe::outcome::{Code, Outcome, Phase, Verdict};
use crate::probe::payload::{Class, Sample};

/// A server's clock may be off by so much and still tell when a copy arrived; a lost time zone is more.
const CLOCK_SLACK: Duration = Duration::from_mins(30);

/// Why nothing more is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// What is known decides.
    Settled,
    /// A good look at every watched folder, begun after the deadline, proved that no copy is there.
    Proved,
    /// The same, but no junk folder is watched, so a copy may lie there.
    JunkNotWatched,
    /// The mailbox could not be read when it mattered.
    Blind(Blindness),
    /// The run was interrupted.
    Interrupted,
    /// It was never begun.
    NotStarted,
}

/// All that is known of one probe.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What it was sent on.
    pub route: &'a Route,
    /// What it carried.
    pub sample: &'a Sample,
    /// What was sent, as far as copies are compared with it.
    pub manifest: &'a Manifest,
    /// The outcomes that are right; none: it is reported and not judged.
    pub expect: &'a [Outcome],
    /// The probe that tells a filter's work from an outage, where one is needed.
    pub control: Option<Control>,
    /// Names and media types of harmless attachments that came through in the same cycle.
    pub came_through: &'a [(&'a str, &'a str)],
    /// Every attempt to submit it, in their order.
    pub attempts: &'a [Attempt],
    /// Every copy seen, in the order of their sighting.
    pub copies: &'a [Copy],
    /// What blocklists say of the address we send from.
    pub listings: &'a [Listing],
    /// What a delivery report said; only `failed` decides anything.
    pub bounce: Option<&'a Bounce>,
    /// Why nothing more is waited for.
    pub close: &'a Close,
}

/// The control of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its id.
    pub id: Uuid,
    /// What became of it.
    pub outcome: Outcome,
    /// How long its round trip took.
    pub took: Option<Duration>,
}

/// An outcome and its worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What became of the probe.
    pub outcome: Outcome,
    /// What that is worth.
    pub verdict: Verdict,
    /// Why.
    pub code: Code,
}

impl Case<'_> {
    /// The attempt that handed the message over, if one did. A server may refuse a message after the dot and deliver it
    /// all the same: then the copy tells.
    pub fn handed_over(&self) -> Option<&Attempt> {
        self.attempts
            .iter()
            .rev()
            .find(|attempt| match attempt.end {
                End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => true,
                End::Refused(..) | End::Broken(..) => {
                    attempt.dot.is_some() && !self.copies.is_empty()
                }
            })
    }

    /// The attempt at which STARTTLS failed, where the message then went in the clear.
    pub fn went_clear(&self) -> Option<&Attempt> {
        self.handed_over().filter(|attempt| attempt.tls.is_none())?;
        self.attempts.iter().find(|attempt| attempt.may_go_clear)
    }

    /// Whether an attempt came to MAIL and was put off.
    fn was_deferred(&self) -> bool {
        self.attempts.iter().any(Attempt::is_deferral)
    }

    /// From the first attempt's start to the accepted one's.
    pub fn deferral(&self) -> Duration {
        match (self.attempts.first(), self.handed_over()) {
            (Some(first), Some(accepted)) => accepted.started.since(first.started),
            _ => Duration::ZERO,
        }
    }

    /// From the first attempt's start to the first copy seen.
    pub fn round_trip(&self) -> Option<Duration> {
        Some(
            self.copies
                .first()?
                .seen
                .since(self.attempts.first()?.started),
        )
    }

    /// Whether a filter should stop it.
    pub fn is_harmful(&self) -> bool {
        match self.sample.payload.class() {
            Class::Harmless => false,
            Class::Policy | Class::Virus | Class::Spam => true,
        }
    }

    /// The copy that decides: the first, of a harmful payload the worst.
    pub fn deciding_copy(&self) -> Option<&Copy> {
        if !self.is_harmful() {
            return self.copies.first();
        }
        // Of equals the first.
        self.leak()
            .or_else(|| self.copies.iter().min_by_key(|copy| harm(copy)))
    }

    /// A copy of a harmful payload that still holds its pattern and is not what the test expects.
    pub fn leak(&self) -> Option<&Copy> {
        let leaks = |copy: &&Copy| copy.holds && !self.expect.contains(&copy.outcome);
        self.copies
            .iter()
            .filter(leaks)
            .min_by_key(|copy| harm(copy))
            .filter(|_| self.is_harmful() && !self.expect.is_empty())
    }

    /// The authentication results that the route expects and the deciding copy lacks.
    pub fn missing_authentication(&self) -> impl Iterator<Item = (&str, &str)> {
        let copy = self.deciding_copy();
        let lacks = move |(method, result): &&(String, String)| {
            copy.is_some_and(|copy| !copy.authentication.has(method, result))
        };
        let wanted = self.route.authentication.iter().filter(lacks);
        wanted.map(|(method, result)| (method.as_str(), result.as_str()))
    }

    /// Whether the message itself was sent, so that a filter could look at it.
    fn content_was_sent(&self) -> bool {
        self.bounce.is_some() || self.attempts.iter().any(|attempt| attempt.dot.is_some())
    }

    /// Whether a copy may have been filed as junk without being seen.
    pub fn may_lie_in_junk(&self) -> bool {
        *self.close == Close::JunkNotWatched && self.copies.is_empty()
    }

    /// Whether the control was delivered in time; a late one is `missing`.
    fn control_came(&self) -> bool {
        self.control
            .is_some_and(|control| control.outcome == Outcome::Delivered)
    }

    /// When a copy must have come.
    pub fn due(&self) -> Option<Stamp> {
        Some(self.handed_over()?.started + self.route.deadline)
    }

    /// Whether a copy came in time; `None`: that cannot be told. One that was first seen after the deadline did, if the folder
    /// had not been looked at since before the deadline and a server says that it was delivered by then.
    pub fn in_time(&self, copy: &Copy) -> Option<bool> {
        let Some(due) = self.due() else {
            return Some(true);
        };
        if copy.seen.mono <= due.mono {
            return Some(true);
        }
        let looked = copy.looked_before.map(|looked| looked.mono);
        if looked.is_some_and(|looked| looked >= due.mono) {
            return Some(false);
        }
        let was_readable = looked.is_some() && !copy.was_unreadable;
        // Our clock may have been set meanwhile: it was right before, or it is now. Mostly there is no difference.
        let sent = self.handed_over()?.started;
        let by = |ours: Stamp| self.is_stated_in_time(copy, due, ours);
        match (by(sent), by(copy.seen)) {
            (Some(before), Some(now)) if before != now => None,
            (Some(in_time), _) | (None, Some(in_time)) => Some(in_time),
            (None, None) if was_readable || *self.close == Close::Proved => Some(false),
            (None, None) => None,
        }
    }

    /// Whether a copy arrived in time, as its mailbox or else the last server before that says, where our clock is right at
    /// `ours`. A time before it was sent or after it was seen is no such time.
    fn is_stated_in_time(&self, copy: &Copy, due: Stamp, ours: Stamp) -> Option<bool> {
        let sent = ours.wall_at(self.handed_over()?.started.mono);
        let earliest = sent.saturating_sub(CLOCK_SLACK).unwrap_or(sent);
        let seen = ours.wall_at(copy.seen.mono);
        let latest = seen.saturating_add(CLOCK_SLACK).unwrap_or(seen);
        let last = copy.hops.hops.iter().rev().find_map(|hop| hop.at);
        let mut stated = copy.delivered_at.into_iter().chain(last);
        let at = stated.find(|at| (earliest..=latest).contains(at))?;
        Some(at <= ours.wall_at(due.mono))
    }
}

/// How far a copy of a harmful payload got: the lower, the worse.
fn harm(copy: &Copy) -> u8 {
    match copy.outcome {
        Outcome::Altered => 3,
        Outcome::Junked => 2,
        Outcome::Tagged => 1,
        _ => 0,
    }
}

/// Applies the rules.
pub fn judge(case: &Case<'_>) -> Judgement {
    let (outcome, code) = outcome(case);
    let (verdict, code) = match (outcome, case.sample.payload.class()) {
        (Outcome::Unseen | Outcome::Unfinished | Outcome::Skipped, _) => (Verdict::Unknown, code),
        (_, Class::Policy) if case.expect.is_empty() => (Verdict::Pass, Code::NotJudged),
        (_, Class::Harmless) => harmless(case, outcome, code),
        (_, Class::Policy | Class::Virus | Class::Spam) => harmful(case, outcome, code),
    };
    Judgement {
        outcome,
        verdict,
        code,
    }
}

fn harmless(case: &Case<'_>, outcome: Outcome, code: Code) -> (Verdict, Code) {
    let slow = case
        .round_trip()
        .zip(case.route.warn_after)
        .is_some_and(|(took, warn_after)| took.saturating_sub(case.deferral()) > warn_after);
    let has_copy = matches!(
        outcome,
        Outcome::Delivered | Outcome::Tagged | Outcome::Junked | Outcome::Altered
    );
    if !case.expect.contains(&outcome) {
        (Verdict::Fail, code)
    } else if has_copy && case.missing_authentication().next().is_some() {
        (Verdict::Fail, Code::Authentication)
    } else if slow && has_copy {
        (Verdict::Warn, Code::Slow)
    } else if has_copy && case.went_clear().is_some() {
        (Verdict::Warn, Code::TlsFailed)
    } else if case.copies.len() > 1 {
        (Verdict::Warn, Code::Duplicate)
    } else {
        (Verdict::Pass, Code::Ok)
    }
}

/// A pass needs proof that the filter did it: that ordinary mail came through, and that it saw what it should stop.
fn harmful(case: &Case<'_>, outcome: Outcome, code: Code) -> (Verdict, Code) {
    let leaked = case.leak().is_some();
    let expected = case.expect.contains(&outcome);
    let is_untested = matches!(outcome, Outcome::Unsent | Outcome::Deferred);
    if leaked {
        (Verdict::Fail, Code::Leak)
    } else if expected && !case.content_was_sent() {
        let code = if is_untested {
            Code::FilterNotTested
        } else {
            Code::RejectedBeforeContent
        };
        (Verdict::Unknown, code)
    } else if expected && code == Code::NotForwarded {
        // It was refused behind the filters, which proves nothing of them.
        (Verdict::Unknown, code)
    } else if expected && !case.control_came() {
        (Verdict::Unknown, Code::ControlFailed)
    } else if expected && outcome == Outcome::Missing && case.may_lie_in_junk() {
        (Verdict::Unknown, Code::JunkNotWatched)
    } else if expected {
        (Verdict::Pass, Code::Ok)
    } else if is_untested {
        (Verdict::Unknown, Code::FilterNotTested)
    } else {
        (Verdict::Fail, code)
    }
}

/// Whether a bounce is about the forwarded copy: its recipient is neither `to` nor one of its `aliases`. A redirect keeps
/// our sender, so refusals on the return leg come to us as well.
fn is_of_return_leg(bounce: &Bounce, route: &Route) -> bool {
    let is_target = |address: &str| {
        let mut targets = std::iter::once(&route.to).chain(&route.aliases);
        targets.any(|target| is_mailbox_of(address, target, |domain, of| domain == of))
    };
    let first = bounce.original_recipient.as_deref();
    let last = bounce.recipient.as_deref().or(first);
    let Some(last) = last.filter(|address| address.contains('@')) else {
        return false;
    };
    if is_target(last) {
        return false;
    }
    let is_ours = last.eq_ignore_ascii_case(&route.mailbox.login.username)
        || is_mailbox_of(last, &route.from, |domain, of| domain == of);
    // The target's servers may have expanded `to` to a name of their own.
    let is_host = |domain: &str, of: &str| domain.ends_with(&format!(".{of}"));
    let is_inside = first.is_some_and(is_target) || is_mailbox_of(last, &route.to, is_host);
    is_ours || !is_inside
}

/// Whether an address is that of the mailbox `of`, with or without a detail (`+…`), at a domain that fits.
fn is_mailbox_of(address: &str, of: &Address, fits: impl Fn(&str, &str) -> bool) -> bool {
    let (user, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let plain = |user: &str| user.split('+').next().unwrap_or(user).to_lowercase();
    plain(user) == plain(of.user()) && fits(&domain.to_lowercase(), &of.domain().to_lowercase())
}

fn outcome(case: &Case<'_>) -> (Outcome, Code) {
    if let Some(copy) = case.deciding_copy() {
        // A harmful payload that comes through is one however late it comes.
        let is_leak = case.leak().is_some();
        return match case.in_time(copy) {
            None if !is_leak => (Outcome::Unseen, Code::MailboxUnreadable),
            Some(false) if !is_leak => (Outcome::Missing, Code::Late),
            None | Some(_) => {
                let code = match copy.outcome {
                    Outcome::Tagged => Code::Tagged,
                    Outcome::Junked => Code::Junked,
                    Outcome::Altered => Code::Altered,
                    _ => Code::Unexpected,
                };
                (copy.outcome, code)
            }
        };
    }
    if let Some(bounce) = case.bounce.filter(|bounce| bounce.action == "failed") {
        let code = if is_of_return_leg(bounce, case.route) {
            Code::NotForwarded
        } else {
            Code::Bounced
        };
        return (Outcome::Bounced, code);
    }
    let Some(last) = case.attempts.last() else {
        return match case.close {
            Close::NotStarted => (Outcome::Skipped, Code::NotStarted),
            _ => (Outcome::Unfinished, Code::Interrupted),
        };
    };
    let named = |reply: &Reply, code| match named_blocklist(&reply.raw) {
        Some(_) => Code::Blocklisted,
        None => code,
    };
    match (&last.end, case.close) {
        (End::Refused(phase, reply), _) if reply.is_permanent() => {
            if phase.is_before_mail() {
                (Outcome::Unsent, named(reply, code_before_mail(*phase)))
            } else {
                (Outcome::Rejected, named(reply, Code::Rejected))
            }
        }
        (End::Broken(phase, failure), _)
            if (phase.is_before_mail() && !case.was_deferred()) || failure.forbids_sending() =>
        {
            (Outcome::Unsent, failure.code)
        }
        (_, Close::Interrupted) => (Outcome::Unfinished, Code::Interrupted),
        (End::Refused(_, reply), _) => (Outcome::Deferred, named(reply, Code::Deferred)),
        (End::Broken(..), _) => (Outcome::Deferred, Code::Deferred),
        (
            End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut,
            Close::Blind(blindness),
        ) => (Outcome::Unseen, blindness.failure.code),
        // Nobody knows whether it was ever sent.
        (End::Cut, _) => (Outcome::Unfinished, Code::Interrupted),
        (End::Accepted(_), _) => (Outcome::Missing, Code::Missing),
        (End::ReplyLost(_) | End::Awaited, _) => (Outcome::Missing, Code::ReplyLost),
    }
}

/// The code of a refusal at this phase.
pub(super) fn code_before_mail(phase: Phase) -> Code {
    match phase {
        Phase::Auth => Code::AuthFailed,
        Phase::Starttls | Phase::Tls => Code::TlsFailed,
        Phase::Dns => Code::DnsFailed,
        Phase::Connect => Code::ConnectFailed,
        Phase::Banner
        | Phase::Ehlo
        | Phase::Deferral
        | Phase::Mail
        | Phase::Rcpt
        | Phase::Data
        | Phase::Transit => Code::GreetingFailed,
    }
}

#[cfg(test)]
mod tests;
