//! A judged case as the result document gives it.

use jiff::Timestamp;
use uuid::Uuid;

use super::evidence::{named_blocklist, stopped_by};
use super::reason::reason;
use super::verdict::{Case, judge};
use crate::probe::evidence::Evidence;
use crate::probe::facts::{Attempt, End, Reply, Uid};
use crate::probe::listing::{Listing, Standing};
use crate::probe::outcome::Phase;
use crate::probe::record::{
    AttemptRecord, Clock, CopyRecord, PhaseTime, Record, Smtp, milliseconds,
};
use crate::text::{line, lines};

/// What became of a probe's data between its start and its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// The clock that its durations were taken from.
    pub clock: Clock,
    /// When a later copy changed the verdict.
    pub revised_at: Option<Timestamp>,
    /// Whether it was sent though the history could not be written.
    pub unstored: bool,
}

/// Who a record is about.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The probe's id.
    pub id: Uuid,
    /// The instance that sent it.
    pub instance: &'a str,
    /// When it should have started.
    pub due_at: Timestamp,
    /// When it was started, if it was.
    pub began_at: Option<Timestamp>,
    /// How it was kept meanwhile.
    pub keeping: Keeping,
}

impl Case<'_> {
    /// Judges the case and writes it down.
    pub fn record(&self, who: Identity<'_>) -> Record {
        let judgement = judge(self);
        let way = self.way();
        let first = self.attempts.first();
        let copy = self.copies.first();
        let decides = self.deciding_copy();
        let accepted = self
            .handed_over()
            .filter(|attempt| matches!(attempt.end, End::Accepted(_)));
        Record {
            id: who.id,
            instance: who.instance.to_owned(),
            route: self.route.name.clone(),
            payload: Some(self.sample.payload),
            variant: self.sample.variant(),
            control: self.control.map(|control| control.id),
            superseded_by: None,
            expect: self.expect.to_vec(),
            outcome: judgement.outcome,
            verdict: judgement.verdict,
            code: judgement.code,
            reason: line(&reason(self, judgement, &way.words)),
            due_at: who.due_at,
            started_at: first.map(|attempt| attempt.started.wall).or(who.began_at),
            accepted_at: accepted.map(|attempt| attempt.ended.wall),
            seen_at: copy.map(|copy| copy.seen.wall),
            seen_by: copy.map(|copy| copy.by),
            resolution_ms: copy
                .and_then(|copy| Some(milliseconds(copy.seen.since(copy.looked_before?)))),
            clock: who.keeping.clock,
            revised_at: who.keeping.revised_at,
            unstored: who.keeping.unstored,
            round_trip_ms: self.round_trip().map(milliseconds),
            deferral_ms: milliseconds(self.deferral()),
            deadline_ms: milliseconds(self.route.deadline),
            warn_after_ms: self.route.warn_after.map(milliseconds),
            late: copy.is_some_and(|copy| self.in_time(copy) == Some(false)),
            duplicates: self.copies.len().saturating_sub(1),
            phases: self.phases(),
            attempts: self.attempts.iter().map(attempt_record).collect(),
            smtp: self.attempts.last().map(|attempt| self.smtp(attempt)),
            copies: self.copy_records(),
            evidence: Evidence {
                carriers: decides
                    .map(|copy| copy.carriers.clone())
                    .unwrap_or_default(),
                marks: decides.map(|copy| copy.marks.clone()).unwrap_or_default(),
                integrity: decides.map(|copy| copy.integrity.clone()),
                stopped_by: stopped_by(self, judgement.outcome),
                vantage: self
                    .attempts
                    .last()
                    .filter(|attempt| attempt.address.is_some())
                    .map(|attempt| attempt.vantage),
                bounce: self.bounce.cloned(),
                blocklists: blocklists(self.refusal(), self.listings),
                cleanup: None,
                visit: None,
                hops: way.hops.into(),
                hops_left_out: way.left_out,
                slowest: way.slowest,
                authentication: decides
                    .map(|copy| copy.authentication.clone())
                    .unwrap_or_default(),
            },
            transcript: self
                .attempts
                .iter()
                .flat_map(|attempt| attempt.transcript.iter().map(|line| lines(line)))
                .collect(),
        }
    }

    /// The reply that refused it, or put it off, last.
    fn refusal(&self) -> Option<&Reply> {
        match &self.attempts.last()?.end {
            End::Refused(_, reply) => Some(reply),
            End::Accepted(_) | End::Broken(..) | End::ReplyLost(_) | End::Awaited | End::Cut => {
                None
            }
        }
    }

    fn copy_records(&self) -> Vec<CopyRecord> {
        let record = |copy: &super::evidence::Copy| CopyRecord {
            folder: lines(&copy.folder),
            uid: match &copy.uid {
                Uid::Imap { uid, .. } => Some(*uid),
                Uid::Pop3(_) => None,
            },
            uidl: match &copy.uid {
                Uid::Imap { .. } => None,
                Uid::Pop3(uidl) => Some(lines(uidl)),
            },
            seen_at: copy.seen.wall,
            delivered_at: copy.delivered_at,
            size: copy.size,
            outcome: copy.outcome,
        };
        self.copies.iter().map(record).collect()
    }

    fn smtp(&self, last: &Attempt) -> Smtp {
        let reply = match &last.end {
            End::Accepted(reply) | End::Refused(_, reply) => Some(reply),
            End::Broken(..) | End::ReplyLost(_) | End::Awaited | End::Cut => None,
        };
        Smtp {
            host: self.route.gateway.endpoint.host.clone(),
            address: last.address,
            tls: last.tls.as_deref().map(str::to_owned),
            code: reply.map(|reply| reply.code),
            enhanced: reply.and_then(Reply::enhanced),
            text: reply.map(|reply| lines(&reply.text())),
        }
    }

    /// Deferral, the accepted attempt's phases, and transit: together the round trip, where there was one.
    pub(super) fn phases(&self) -> Vec<PhaseTime> {
        let Some(attempt) = self.handed_over().or(self.attempts.last()) else {
            return Vec::new();
        };
        let mut phases = Vec::new();
        let mut push = |name, took| {
            phases.push(PhaseTime {
                name,
                ms: milliseconds(took),
            });
        };
        if self.attempts.len() > 1 && self.handed_over().is_some() {
            push(Phase::Deferral, self.deferral());
        }
        let seen = self.copies.first().map(|copy| copy.seen);
        for step in attempt
            .steps
            .iter()
            .filter(|step| step.phase != Phase::Data)
        {
            push(step.phase, step.took);
        }
        if let Some(began) = attempt.data_began {
            // A copy may be seen before the final reply comes; a lost reply leaves the dot as the end of DATA.
            let end = match (&attempt.end, attempt.dot, seen) {
                (End::ReplyLost(_), Some(dot), _) => dot,
                (End::Awaited, _, Some(seen)) => seen,
                _ => attempt.ended,
            };
            let end = seen.map_or(end, |seen| if seen.mono < end.mono { seen } else { end });
            push(Phase::Data, end.since(began));
            if let Some(seen) = seen {
                push(Phase::Transit, seen.since(end));
            }
        }
        phases
    }
}

/// The list that a refusal names, and what lists say that were asked.
pub(super) fn blocklists(refusal: Option<&Reply>, asked: &[Listing]) -> Vec<Listing> {
    let named = refusal.and_then(|reply| named_blocklist(&reply.raw));
    let named = named.map(|list| Listing {
        list,
        address: None,
        standing: Standing::Named,
        answers: Vec::new(),
        text: None,
    });
    let asked = asked.iter().cloned().map(|mut listing| {
        // What a name server says goes to terminals, on one line.
        listing.text = listing
            .text
            .map(|text| lines(&text.replace(['\r', '\n'], " ")));
        listing
    });
    named.into_iter().chain(asked).collect()
}

pub(super) fn attempt_record(attempt: &Attempt) -> AttemptRecord {
    let (phase, code, text) = match &attempt.end {
        // The words of the reply that counts are in `smtp`.
        End::Accepted(reply) => (Phase::Data, Some(reply.code), String::new()),
        End::Refused(phase, reply) => (*phase, Some(reply.code), reply.raw.to_string()),
        End::Broken(phase, failure) => (*phase, None, failure.what.clone()),
        End::ReplyLost(failure) => (Phase::Data, None, failure.what.clone()),
        End::Awaited | End::Cut => (Phase::Data, None, String::new()),
    };
    AttemptRecord {
        address: attempt.address,
        phase,
        code,
        text: lines(&text),
    }
}
