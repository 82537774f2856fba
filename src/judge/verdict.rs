//! The rules: which outcome the facts make, and what it is worth.

use std::time::Duration;

use super::evidence::Copy;
use crate::clock::Stamp;
use crate::config::plan::Route;
use crate::probe::facts::{Attempt, Blindness, End};
use crate::probe::outcome::{Code, Outcome, Verdict};
use crate::probe::payload::Payload;
use crate::probe::record::Bounce;

/// Why nothing more is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// What is known decides.
    Settled,
    /// A good look at every watched folder, begun after the deadline, proved that no copy is there.
    Proved,
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
    pub payload: Payload,
    /// The outcomes that are right.
    pub expect: &'a [Outcome],
    /// Every attempt to submit it, in their order.
    pub attempts: &'a [Attempt],
    /// Every copy seen, in the order of their sighting.
    pub copies: &'a [Copy],
    /// What a delivery report said; only `failed` decides anything.
    pub bounce: Option<&'a Bounce>,
    /// Why nothing more is waited for.
    pub close: &'a Close,
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
                End::Accepted(_) | End::ReplyLost(_) | End::Awaited => true,
                End::Refused(..) | End::Broken(..) => {
                    attempt.dot.is_some() && !self.copies.is_empty()
                }
            })
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

    /// When a copy must have come.
    pub fn due(&self) -> Option<Stamp> {
        Some(self.handed_over()?.started + self.route.deadline)
    }

    /// Whether a copy came in time. One that was first seen after the deadline did, if the folder had not been looked at
    /// since before the deadline and the server says that it was delivered by then.
    pub fn in_time(&self, copy: &Copy) -> bool {
        let Some(due) = self.due() else { return true };
        let unlooked = copy
            .looked_before
            .is_none_or(|before| before.mono < due.mono);
        copy.seen.mono <= due.mono
            || (unlooked
                && copy
                    .delivered_at
                    .is_some_and(|delivered| delivered <= due.wall))
    }
}

/// Applies the rules.
pub fn judge(case: &Case<'_>) -> Judgement {
    let (outcome, code) = outcome(case);
    let expected = case.expect.contains(&outcome);
    let slow = case
        .round_trip()
        .zip(case.route.warn_after)
        .is_some_and(|(took, warn_after)| took.saturating_sub(case.deferral()) > warn_after);
    let (verdict, code) = match outcome {
        Outcome::Unseen | Outcome::Unfinished | Outcome::Skipped => (Verdict::Unknown, code),
        _ if !expected => (Verdict::Fail, code),
        Outcome::Delivered | Outcome::Tagged | Outcome::Junked | Outcome::Altered if slow => {
            (Verdict::Warn, Code::Slow)
        }
        _ if case.copies.len() > 1 => (Verdict::Warn, Code::Duplicate),
        _ => (Verdict::Pass, Code::Ok),
    };
    Judgement {
        outcome,
        verdict,
        code,
    }
}

fn outcome(case: &Case<'_>) -> (Outcome, Code) {
    if let Some(copy) = case.copies.first() {
        return if case.in_time(copy) {
            let code = match copy.outcome {
                Outcome::Tagged => Code::Tagged,
                Outcome::Junked => Code::Junked,
                Outcome::Altered => Code::Altered,
                _ => Code::Unexpected,
            };
            (copy.outcome, code)
        } else {
            (Outcome::Missing, Code::Late)
        };
    }
    if case.bounce.is_some_and(|bounce| bounce.action == "failed") {
        return (Outcome::Bounced, Code::Bounced);
    }
    let Some(last) = case.attempts.last() else {
        return match case.close {
            Close::NotStarted => (Outcome::Skipped, Code::NotStarted),
            _ => (Outcome::Unfinished, Code::Interrupted),
        };
    };
    match (&last.end, case.close) {
        (End::Refused(phase, reply), _) if reply.is_permanent() => {
            if phase.is_before_mail() {
                (Outcome::Unsent, code_before_mail(*phase))
            } else {
                (Outcome::Rejected, Code::Rejected)
            }
        }
        (End::Broken(phase, failure), _)
            if (phase.is_before_mail() && !case.was_deferred())
                || failure.code == Code::TooLarge =>
        {
            (Outcome::Unsent, failure.code)
        }
        (_, Close::Interrupted) => (Outcome::Unfinished, Code::Interrupted),
        (End::Refused(..) | End::Broken(..), _) => (Outcome::Deferred, Code::Deferred),
        (End::Accepted(_) | End::ReplyLost(_) | End::Awaited, Close::Blind(blindness)) => {
            (Outcome::Unseen, blindness.failure.code)
        }
        (End::Accepted(_), _) => (Outcome::Missing, Code::Missing),
        (End::ReplyLost(_) | End::Awaited, _) => (Outcome::Missing, Code::ReplyLost),
    }
}

fn code_before_mail(phase: crate::probe::outcome::Phase) -> Code {
    use crate::probe::outcome::Phase;
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
