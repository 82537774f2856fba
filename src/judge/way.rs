//! The way of a copy and where its time went: the case as `course` wants it, and what came of that in names and words.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::course::{Course, Doubt, Found, GRAIN, Point, Reading, Span, Stamped};
use super::evidence::Copy;
use super::reason::human;
use super::verdict::Case;
use crate::probe::facts::{Attempt, SeenBy, Uid};
use crate::probe::hop::{Hop, MAILBOX, SEEN, Slowest};
use crate::probe::outcome::Phase;
use crate::probe::record::{milliseconds, signed_milliseconds};

/// Two clocks of one machine differ by no more, unless one of them was set.
const SET: f64 = 1000.0;
/// A time with wider bounds is told in whole seconds.
const EXACT: f64 = 300.0;
/// So many hosts are named.
const NAMED: usize = 3;

/// The way of the copy that decides.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// The hops, the oldest first.
    pub(super) hops: Vec<Hop>,
    /// How many older ones were left out.
    pub(super) left_out: usize,
    /// Where the most time went.
    pub(super) slowest: Option<Slowest>,
    /// The same as a part of a sentence; empty where there is nothing to say.
    pub(super) words: String,
}

impl Case<'_> {
    /// The way of the copy that decides.
    pub(super) fn way(&self) -> Way {
        let Some(copy) = self.deciding_copy() else {
            return Way::default();
        };
        let mut way = Way {
            hops: copy.hops.hops.to_vec(),
            left_out: copy.hops.left_out,
            ..Way::default()
        };
        let Some(attempt) = self.handed_over() else {
            return way;
        };
        let whole = milliseconds(copy.seen.since(attempt.started));
        let on_the_wall = since(attempt, copy.seen.wall);
        if (whole - on_the_wall).abs() > SET {
            way.cannot_tell("the clock of this machine was set meanwhile".into());
            return way;
        }
        let phases: Vec<_> = self
            .phases()
            .into_iter()
            .filter(|phase| !matches!(phase.name, Phase::Deferral | Phase::Transit))
            .collect();
        let mut ended = 0.0;
        let ends = phases.iter().map(|phase| {
            ended += phase.ms;
            ended
        });
        let course = Course {
            phases: ends.collect(),
            session: milliseconds(attempt.ended.since(attempt.started)).min(whole),
            hops: stamps(attempt, &way.hops),
            delivered: copy
                .delivered_at
                .filter(|_| matches!(copy.uid, Uid::Imap { .. }))
                .map(|at| reading(attempt, at)),
            looked: copy
                .looked_before
                .map_or(0.0, |looked| milliseconds(looked.since(attempt.started)))
                .min(whole),
            seen: whole,
        };
        let Found {
            slowest,
            skews,
            own_skew,
        } = course.slowest();
        for (hop, skew) in way.hops.iter_mut().zip(skews) {
            hop.skew_ms = skew.map(f64::round).filter(|skew| skew.abs() > GRAIN);
        }
        let names = Names {
            gateway: match way.hops.first().and_then(|hop| hop.by.as_deref()) {
                Some(by) if course.gateway_fits() == Some(true) => by.to_owned(),
                _ => self.route.gateway.endpoint.host.clone(),
            },
            phases: phases.iter().map(|phase| phase.name).collect(),
            hops: way.hops.iter().map(name).collect(),
        };
        match slowest {
            Ok(span) => way.tell(span, &names, whole, copy, own_skew),
            Err(doubt) => way.cannot_tell(why(&doubt, &names)),
        }
        way
    }
}

/// What the places on the way are called.
struct Names {
    gateway: String,
    phases: Vec<Phase>,
    hops: Vec<String>,
}

impl Names {
    fn of(&self, point: Point) -> &str {
        match point {
            Point::Own(_) => &self.gateway,
            Point::Hop(number) => self.hops.get(number).map_or("a hop", String::as_str),
            Point::Mailbox => MAILBOX,
            Point::Seen => SEEN,
        }
    }
}

impl Way {
    fn cannot_tell(&mut self, why: String) {
        self.words = format!("; where the time went cannot be told: {why}");
        self.slowest = Some(Slowest::Unknown {
            unknown: why.into(),
        });
    }

    fn tell(&mut self, span: Span, names: &Names, of_ms: f64, copy: &Copy, own_skew: Option<f64>) {
        let middle = f64::midpoint(span.least, span.most);
        let (ms, about) = if span.most - span.least <= EXACT {
            (middle, "")
        } else {
            let stated = self.stated(span).unwrap_or(middle);
            let seconds = (stated.clamp(span.least, span.most) / 1000.0).round();
            (seconds * 1000.0, "about ")
        };
        let ms = ms.min(of_ms);
        let share = format!("{about}{} of {}", of(ms), of(of_ms));
        if let Point::Own(number) = span.from
            && let Some(phase) = names.phases.get(number).copied()
        {
            self.words = format!("; {share} {}", in_phase(phase));
            self.slowest = Some(Slowest::Phase { phase, ms, of_ms });
            return;
        }
        let between = [names.of(span.from), names.of(span.to)];
        let place = match (span.from, span.to, between) {
            (Point::Mailbox, ..) => match copy.by {
                SeenBy::Poll => "in the mailbox, until a look found it".to_owned(),
                SeenBy::Idle => "in the mailbox, until it was announced".to_owned(),
            },
            (_, Point::Seen, [from, _]) => {
                format!("between {from} and its sighting in the mailbox")
            }
            (_, Point::Mailbox, [from, _]) => format!("between {from} and the mailbox"),
            (.., [from, to]) if from == to => format!("within {from}"),
            (.., [from, to]) => format!("between {from} and {to}"),
        };
        let skewed = self.skewed(names, own_skew);
        self.words = format!("; {share} {place}{skewed}");
        self.slowest = Some(Slowest::Between {
            between: between.map(Into::into),
            ms,
            of_ms,
        });
    }

    /// How long a span took as the hosts at its ends state it.
    fn stated(&self, span: Span) -> Option<f64> {
        let (Point::Hop(from), Point::Hop(to)) = (span.from, span.to) else {
            return None;
        };
        let (from, to) = (self.hops.get(from)?.at?, self.hops.get(to)?.at?);
        Some(signed_milliseconds(to.duration_since(from)))
    }

    /// Whose clocks are off.
    fn skewed(&self, names: &Names, own: Option<f64>) -> String {
        let told = |whose: &str, skew: f64| {
            let side = if skew > 0.0 { "ahead" } else { "behind" };
            format!("{whose} is about {} {side}", of(skew.abs()))
        };
        let hops = self.hops.iter().zip(&names.hops);
        let skewed: BTreeMap<_, _> = hops
            .filter_map(|(hop, name)| Some((name, hop.skew_ms?)))
            .collect();
        let hosts = skewed
            .into_iter()
            .take(NAMED)
            .map(|(name, skew)| told(&format!("the clock of {name}"), skew));
        let ours = own.map(|skew| told("the clock of this machine", skew));
        let all: Vec<_> = hosts.chain(ours).collect();
        if all.is_empty() {
            String::new()
        } else {
            format!(" ({})", all.join(", "))
        }
    }
}

fn why(doubt: &Doubt, names: &Names) -> String {
    match doubt {
        Doubt::Contradiction(hops) => {
            let mut hosts: Vec<_> = hops.iter().map(|hop| names.of(Point::Hop(*hop))).collect();
            hosts.dedup();
            match hosts.as_slice() {
                [] | [_] => "the clocks on the way contradict each other".into(),
                [first @ .., last] if first.len() < NAMED => {
                    format!(
                        "the clocks of {} and {last} contradict each other",
                        first.join(", ")
                    )
                }
                hosts => format!("the clocks of {} hosts contradict each other", hosts.len()),
            }
        }
        Doubt::Unnoticed => {
            "over so long a time a clock on the way may be wrong without contradicting the others"
                .into()
        }
        Doubt::Grain => "the hops give no times, or too coarse ones".into(),
    }
}

/// The stamps of the hops; one host has one clock. A name without a domain, such as `localhost`, may be several hosts'.
fn stamps(attempt: &Attempt, hops: &[Hop]) -> Vec<Stamped> {
    let mut known = BTreeMap::new();
    let stamped = hops.iter().enumerate().map(|(number, hop)| {
        let by = hop.by.as_deref().filter(|by| by.contains(['.', ':']));
        let host = match by {
            Some(by) => *known.entry(by.to_ascii_lowercase()).or_insert(number),
            None => number,
        };
        Stamped {
            host,
            at: hop.at.map(|at| reading(attempt, at)),
        }
    });
    stamped.collect()
}

fn reading(attempt: &Attempt, at: Timestamp) -> Reading {
    let is_whole = at.subsec_nanosecond() == 0;
    Reading {
        at: since(attempt, at),
        grain: if is_whole { GRAIN } else { 0.0 },
    }
}

/// Milliseconds on the wall clock since an attempt began.
fn since(attempt: &Attempt, at: Timestamp) -> f64 {
    signed_milliseconds(at.duration_since(attempt.started.wall))
}

fn name(hop: &Hop) -> String {
    let named = hop.by.as_deref().map(str::to_owned);
    named.unwrap_or_else(|| match &hop.from {
        Some(from) => format!("the host after {from}"),
        None => "a host without a name".into(),
    })
}

fn of(ms: f64) -> String {
    human(Duration::from_secs_f64((ms / 1000.0).clamp(0.0, 1e12)))
}

fn in_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns => "for the gateway's address to be looked up",
        Phase::Connect => "for the connection to the gateway",
        Phase::Tls | Phase::Starttls => "for TLS with the gateway",
        Phase::Banner => "until the gateway's greeting",
        Phase::Ehlo => "until the gateway's reply to EHLO",
        Phase::Auth => "for the login at the gateway",
        Phase::Mail => "until the gateway's reply to MAIL",
        Phase::Rcpt => "until the gateway's reply to RCPT",
        Phase::Data => "until the gateway had taken the message",
        // Neither is a phase of the session.
        Phase::Deferral => "until the gateway stopped putting it off",
        Phase::Transit => "on the way",
    }
}

#[cfg(test)]
mod tests;
