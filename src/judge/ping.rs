//! What a visit comes to: whether the server answered as it should, in time, with a certificate that holds.

use std::time::Duration;

use super::evidence::named_blocklist;
use super::reason::{human, listed, no_tls, remedy, shown, with_remedy};
use super::record::{Identity, attempt_record, blocklists};
use super::verdict::{Judgement, code_before_mail};
use crate::config::plan::{Ping, PingServer, Trust};
use crate::probe::evidence::Evidence;
use crate::probe::facts::Reply;
use crate::probe::listing::Listing;
use crate::probe::outcome::{Code, Outcome, Phase, Verdict};
use crate::probe::record::{AttemptRecord, PhaseTime, Record, Smtp, milliseconds};
use crate::probe::visit::{
    Exchanger, Pointer, StepRecord, TlsFacts, Visit, VisitEnd, VisitRecord, VisitStep,
};
use crate::text::{line, lines};

const DAY: Duration = Duration::from_hours(24);

/// All that is known of one visit.
#[derive(Clone, Copy, Debug)]
pub struct PingCase<'a> {
    /// What was asked for.
    pub ping: &'a Ping,
    /// What was found.
    pub visit: &'a Visit,
    /// What the address is called, where that was asked.
    pub pointer: Option<&'a Pointer>,
    /// The domain's mail exchangers, where they were asked for.
    pub exchangers: &'a [Exchanger],
    /// What blocklists say of the address we come from.
    pub listings: &'a [Listing],
}

impl PingCase<'_> {
    /// Applies the rules: what was refused or broken off, then the time, then the certificate.
    pub fn judge(&self) -> Judgement {
        let (outcome, verdict, code) = match &self.visit.end {
            // What is wrong here says nothing of the server.
            VisitEnd::Broken(_, failure) if failure.code == Code::Secret => {
                (Outcome::Unsent, Verdict::Unknown, failure.code)
            }
            // It was not put off where nobody answered.
            VisitEnd::Broken(_, failure) if failure.code == Code::Deferred => {
                (Outcome::Unsent, Verdict::Fail, Code::GreetingFailed)
            }
            VisitEnd::Broken(_, failure) => (Outcome::Unsent, Verdict::Fail, failure.code),
            VisitEnd::Refused(step, reply) => refused(*step, reply),
            VisitEnd::Interrupted => (Outcome::Unfinished, Verdict::Unknown, Code::Interrupted),
            VisitEnd::NotStarted => (Outcome::Skipped, Verdict::Unknown, Code::NotStarted),
            VisitEnd::Answered => self.answered(),
        };
        Judgement {
            outcome,
            verdict,
            code,
        }
    }

    fn answered(&self) -> (Outcome, Verdict, Code) {
        let took = self.visit.took();
        let is_slow = self.ping.warn_after.is_some_and(|limit| took > limit);
        let (verdict, code) = if took > self.ping.deadline {
            (Verdict::Fail, Code::Late)
        } else if self.visit.insecure.is_some() {
            (Verdict::Warn, Code::TlsFailed)
        } else if self.certificate().is_some() {
            (Verdict::Warn, Code::Certificate)
        } else if is_slow {
            (Verdict::Warn, Code::Slow)
        } else {
            (Verdict::Pass, Code::Ok)
        };
        (Outcome::Answered, verdict, code)
    }

    /// What is wrong with the certificate though the session went on.
    fn certificate(&self) -> Option<String> {
        let tls = self.visit.tls.as_ref()?;
        if let Some(problem) = tls.problem.as_ref().filter(|_| self.verifies()) {
            return Some(format!("its certificate does not verify: {problem}"));
        }
        let left = self.left(tls)?;
        (left < self.ping.certificate_warn)
            .then(|| format!("its certificate ends {}", within(left)))
    }

    /// Whether what does not verify is held against the server.
    fn verifies(&self) -> bool {
        let trust = match &self.ping.server {
            PingServer::Smtp(gateway) => &gateway.trust,
            PingServer::Mailbox(door) => &door.trust,
        };
        *trust != Trust::Anybody
    }

    /// The time that the certificates are still valid.
    fn left(&self, tls: &TlsFacts) -> Option<Duration> {
        let left = tls.expires()?.duration_since(self.visit.ended.wall);
        Some(Duration::try_from(left).unwrap_or_default())
    }

    /// The sentence.
    fn reason(&self, judgement: Judgement) -> String {
        let said = self.said(judgement);
        match &self.visit.insecure {
            Some(before) if judgement.code == Code::TlsFailed => {
                format!(
                    "{said} in the clear, because TLS failed: {}",
                    no_tls(&before.end)
                )
            }
            Some(before) => format!("{said}; TLS had failed before: {}", no_tls(&before.end)),
            None => said,
        }
    }

    fn said(&self, judgement: Judgement) -> String {
        let where_to = self.where_to();
        let took = short(self.visit.took());
        match &self.visit.end {
            VisitEnd::Broken(step, failure) => {
                let what = with_remedy(&failure.what, failure.remedy);
                let after = self.step_took(*step);
                format!("{}{after}: {what}", step.as_str())
            }
            VisitEnd::Refused(step, reply) => {
                let did = if reply.is_transient() {
                    "put us off"
                } else {
                    "refused"
                };
                let words = format!("{}{}", shown(reply), listed(reply, self.listings));
                let phase = step.phase().unwrap_or(Phase::Ehlo);
                let said = with_remedy(&words, remedy(phase, reply));
                let at = step.as_str().to_uppercase();
                format!("{where_to} {did} at {at}{}: {said}", self.step_took(*step))
            }
            VisitEnd::NotStarted => "it was not begun: the run ended before".into(),
            VisitEnd::Interrupted => {
                "the run was interrupted, or its --timeout was over, before this came to its end"
                    .into()
            }
            VisitEnd::Answered => match judgement.code {
                Code::Late => format!(
                    "{where_to} answered after {took}, later than {}{}",
                    human(self.ping.deadline),
                    self.slowest()
                ),
                Code::Slow => format!(
                    "{where_to} answered after {took}, slower than {}{}",
                    human(self.ping.warn_after.unwrap_or_default()),
                    self.slowest()
                ),
                Code::TlsFailed => format!("{where_to} answered after {took}"),
                _ => {
                    let certificate = self.certificate().map(|wrong| format!("; {wrong}"));
                    let session = certificate.unwrap_or_else(|| self.session());
                    format!("{where_to} answered after {took}{session}")
                }
            },
        }
    }

    /// Such as `; TLSv1.3, its certificate ends in 63 days`.
    fn session(&self) -> String {
        let Some(tls) = &self.visit.tls else {
            return String::new();
        };
        let protocol = tls.protocol.as_deref().unwrap_or("TLS");
        let ends = self.left(tls).map(within);
        let ends = ends.map_or_else(String::new, |ends| format!(", its certificate ends {ends}"));
        format!("; {protocol}{ends}")
    }

    fn where_to(&self) -> String {
        let endpoint = self.ping.server.endpoint();
        let host = self.visit.host.trim_matches(['[', ']']);
        match self.visit.address {
            Some(address) if address.ip().to_string() != host => {
                format!("{host}:{} ({})", endpoint.port, address.ip())
            }
            Some(address) => address.to_string(),
            None => endpoint.to_string(),
        }
    }

    fn step_took(&self, step: VisitStep) -> String {
        let taken = self.visit.steps.iter().rfind(|taken| taken.step == step);
        taken.map_or_else(String::new, |taken| format!(" after {}", short(taken.took)))
    }

    /// Such as `; 2.1 s of it at banner`.
    fn slowest(&self) -> String {
        let steps = self.visit.steps.iter();
        let slowest = steps.max_by_key(|taken| taken.took);
        slowest.map_or_else(String::new, |taken| {
            format!("; {} of it at {}", short(taken.took), taken.step.as_str())
        })
    }

    /// Judges the visit and writes it down.
    pub fn record(&self, who: Identity<'_>) -> Record {
        let judgement = self.judge();
        let Visit {
            started: _,
            ended,
            host,
            address,
            steps,
            tls,
            insecure,
            end,
        } = self.visit;
        let (at, reply, failure) = match end {
            VisitEnd::Answered | VisitEnd::Interrupted | VisitEnd::NotStarted => {
                let last = steps.iter().rfind(|taken| taken.step.phase().is_some());
                (last.map(|taken| taken.step), None, None)
            }
            VisitEnd::Refused(step, reply) => (Some(*step), Some(reply), None),
            VisitEnd::Broken(step, failure) => (Some(*step), None, Some(failure)),
        };
        let text = match (reply, failure) {
            (Some(reply), _) => lines(&reply.raw),
            (None, Some(failure)) => lines(&failure.what),
            (None, None) => String::new(),
        };
        let attempt = AttemptRecord {
            address: *address,
            phase: at.and_then(VisitStep::phase).unwrap_or(Phase::Ehlo),
            code: reply.map(|reply| reply.code),
            text,
        };
        let steps_recorded = steps.iter().map(|taken| StepRecord {
            name: taken.step,
            ms: milliseconds(taken.took),
            text: lines(&taken.words),
        });
        Record {
            id: who.id,
            instance: who.instance.to_owned(),
            route: self.ping.name.clone(),
            payload: None,
            variant: String::new(),
            control: None,
            superseded_by: None,
            expect: vec![Outcome::Answered],
            outcome: judgement.outcome,
            verdict: judgement.verdict,
            code: judgement.code,
            reason: line(&self.reason(judgement)),
            due_at: who.due_at,
            started_at: who.began_at,
            accepted_at: None,
            seen_at: (judgement.outcome == Outcome::Answered).then_some(ended.wall),
            seen_by: None,
            resolution_ms: None,
            clock: who.keeping.clock,
            revised_at: who.keeping.revised_at,
            unstored: who.keeping.unstored,
            round_trip_ms: (judgement.outcome == Outcome::Answered)
                .then(|| milliseconds(self.visit.took())),
            deferral_ms: 0.0,
            deadline_ms: milliseconds(self.ping.deadline),
            warn_after_ms: self.ping.warn_after.map(milliseconds),
            late: judgement.code == Code::Late,
            duplicates: 0,
            phases: self.phases(),
            attempts: insecure
                .iter()
                .map(|before| attempt_record(before))
                .chain([attempt])
                .collect(),
            smtp: matches!(self.ping.server, PingServer::Smtp(_)).then(|| Smtp {
                host: host.clone(),
                address: *address,
                tls: tls.as_ref().and_then(|tls| tls.protocol.clone()),
                code: reply.map(|reply| reply.code),
                enhanced: reply.and_then(Reply::enhanced),
                text: reply.map(|reply| lines(&reply.text())),
            }),
            copies: Vec::new(),
            evidence: Evidence {
                blocklists: blocklists(reply, self.listings),
                visit: Some(Box::new(VisitRecord {
                    host: host.clone(),
                    exchangers: self.exchangers.iter().map(harmless_exchanger).collect(),
                    pointer: self.pointer.map(harmless_pointer),
                    tls: tls.as_ref().map(harmless_tls),
                    steps: steps_recorded.collect(),
                })),
                ..Evidence::default()
            },
            transcript: Vec::new(),
        }
    }

    /// The steps that are phases of a submission as well; together the time it took.
    fn phases(&self) -> Vec<PhaseTime> {
        let mut phases: Vec<PhaseTime> = Vec::new();
        for taken in &self.visit.steps {
            let Some(name) = taken.step.phase() else {
                continue;
            };
            let ms = milliseconds(taken.took);
            match phases.iter_mut().find(|phase| phase.name == name) {
                Some(phase) => phase.ms += ms,
                None => phases.push(PhaseTime { name, ms }),
            }
        }
        phases
    }
}

/// A 4xx to MAIL or RCPT comes from a server that works and may take a later message: greylisting, for one.
fn refused(step: VisitStep, reply: &Reply) -> (Outcome, Verdict, Code) {
    let phase = step.phase().unwrap_or(Phase::Ehlo);
    let (outcome, verdict, code) = if phase.is_before_mail() {
        (Outcome::Unsent, Verdict::Fail, code_before_mail(phase))
    } else if reply.is_transient() {
        (Outcome::Answered, Verdict::Warn, Code::Deferred)
    } else {
        (Outcome::Rejected, Verdict::Fail, Code::Rejected)
    };
    match named_blocklist(&reply.raw) {
        Some(_) => (outcome, verdict, Code::Blocklisted),
        None => (outcome, verdict, code),
    }
}

/// Such as `0.4 ms`: steps are often that short.
fn short(duration: Duration) -> String {
    if duration < Duration::from_millis(10) {
        format!("{:.1} ms", milliseconds(duration))
    } else {
        human(duration)
    }
}

/// What a name server says goes to terminals.
fn harmless_exchanger(exchanger: &Exchanger) -> Exchanger {
    Exchanger {
        host: lines(&exchanger.host),
        ..exchanger.clone()
    }
}

fn harmless_pointer(pointer: &Pointer) -> Pointer {
    Pointer {
        names: pointer.names.iter().map(|name| lines(name)).collect(),
        ..pointer.clone()
    }
}

fn harmless_tls(tls: &TlsFacts) -> TlsFacts {
    let mut tls = tls.clone();
    tls.problem = tls.problem.map(|problem| lines(&problem));
    for certificate in &mut tls.chain {
        certificate.subject = lines(&certificate.subject);
        certificate.issuer = lines(&certificate.issuer);
        for name in &mut certificate.names {
            *name = lines(name);
        }
    }
    tls
}

/// Such as `in 63 days`, `in 5h`.
fn within(left: Duration) -> String {
    match left.as_secs() / DAY.as_secs() {
        0 => format!("in {}", human(left)),
        1 => "in 1 day".into(),
        days => format!("in {days} days"),
    }
}
