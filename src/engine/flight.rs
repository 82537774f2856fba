//! One probe in flight: what is known of it, and what follows from its last attempt. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::Stamp;
use crate::config::plan::Route;
use crate::judge::evidence::{self, Copy};
use crate::judge::record::{Identity, Keeping};
use crate::judge::verdict::{Case, Close, Control, Judgement, judge};
use crate::probe::evidence::Bounce;
use crate::probe::facts::{Attempt, End, Sighting};
use crate::probe::listing::Listing;
use crate::probe::manifest::{Holds, Manifest};
use crate::probe::message::{Draft, Kind};
use crate::probe::outcome::{Outcome, Phase};
use crate::probe::payload::Sample;
use crate::probe::record::{Clock, Record};
use crate::probe::tag::Tag;
use crate::smtp::submit::Submission;

/// A 4xx is tried again after this share of `defer_for`, then at growing intervals.
const FIRST_RETRY_SHARE: u32 = 60;
/// The bounds of that first interval.
const FIRST_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Each interval is so much longer than the last.
const RETRY_GROWTH: f64 = 1.7;
/// No interval is longer than this.
pub(super) const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// How far a probe has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// An attempt is under way.
    Submitting,
    /// Put off by a 4xx until then.
    Deferred(Instant),
    /// Accepted; a copy is due by then.
    Travelling(Instant),
    /// It has its outcome.
    Settled(Close),
}

/// A probe in flight.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Flight {
    pub(super) route: Arc<Route>,
    pub(super) sample: Arc<Sample>,
    pub(super) tag: Tag,
    /// The id of its cycle's control, if it needs one.
    pub(super) control: Option<Uuid>,
    /// The id of the control of its cycle, whether it needs that or not.
    pub(super) cycle: Option<Uuid>,
    pub(super) expect: Arc<[Outcome]>,
    pub(super) manifest: Manifest,
    /// Of the message, in bytes.
    pub(super) size: usize,
    /// Dropped with the outcome: nothing is sent again.
    pub(super) submission: Option<Box<Submission>>,
    pub(super) due: Stamp,
    pub(super) began: Stamp,
    pub(super) stage: Stage,
    /// When it is to be looked at again, whatever happens.
    pub(super) timer: Option<Instant>,
    pub(super) attempts: Vec<Attempt>,
    /// Whether the last of the attempts is one whose reply is still awaited.
    pub(super) awaits_reply: bool,
    pub(super) retries: u32,
    /// The address that this probe alone is about.
    pub(super) pinned: bool,
    /// Whether another address was tried because one could not be reached.
    pub(super) turned: bool,
    pub(super) copies: Vec<Copy>,
    pub(super) bounce: Option<Bounce>,
    /// What blocklists say of the address it is sent from.
    pub(super) listings: Arc<[Listing]>,
    /// The clock that its durations are taken from.
    pub(super) clock: Clock,
    /// Whether it was sent though the history could not be written.
    pub(super) unstored: bool,
    /// When a copy changed what had been settled.
    pub(super) revised: Option<Timestamp>,
}

/// What follows from an attempt.
pub(super) enum Next {
    Travel(Instant),
    Retry(Instant),
    /// Try the other address.
    Turn(Instant),
    /// Try the same address without STARTTLS.
    InClear(Instant),
    Settle,
}

/// What a message that carries the tag comes to.
pub(super) enum Reading {
    /// A copy.
    Copy(Box<Copy>),
    /// A report of its delivery.
    Bounce(Bounce),
    /// It tells nothing of the probe.
    Nothing,
}

impl Flight {
    /// What follows from the last attempt.
    pub(super) fn after_attempt(&self, now: Stamp) -> Next {
        let (Some(first), Some(last)) = (self.attempts.first(), self.attempts.last()) else {
            return Next::Settle;
        };
        let gone_stale = last.kept
            && match &last.end {
                End::Broken(Phase::Mail, failure) => !failure.forbids_sending(),
                End::Refused(Phase::Mail, reply) => reply.code == 421,
                _ => false,
            };
        let passing = match &last.end {
            End::Accepted(_) | End::ReplyLost(_) | End::Awaited | End::Cut => {
                return Next::Travel(last.started.mono + self.route.deadline);
            }
            End::Refused(..) => last.is_deferral(),
            // Once it was put off, a gateway that is briefly gone is no other case.
            End::Broken(..) => self.attempts.iter().any(Attempt::is_deferral),
        };
        let until = first.started.mono + self.route.defer_for;
        if last.never_met() && last.other.is_some() && !self.pinned && !self.turned {
            return Next::Turn(now.mono);
        }
        let tried_clear = self.submission.as_ref().is_some_and(|it| it.in_clear);
        if last.may_go_clear && !tried_clear {
            return Next::InClear(now.mono);
        }
        if gone_stale && now.mono < until {
            return Next::Retry(now.mono);
        }
        if !passing || now.mono >= until {
            return Next::Settle;
        }
        let share = self.route.defer_for / FIRST_RETRY_SHARE;
        let base = share.clamp(FIRST_RETRY.0, FIRST_RETRY.1);
        let growth = RETRY_GROWTH.powi(i32::try_from(self.retries.min(20)).unwrap_or(20));
        let interval = base.mul_f64(growth).min(LONGEST_RETRY);
        Next::Retry((now.mono + interval).min(until))
    }

    /// Reads a message that carries its tag.
    pub(super) fn read(&self, sighting: &Sighting) -> Reading {
        let kind = sighting.recognised.kind;
        if matches!(kind, Kind::Copy | Kind::Quote)
            && sighting.place.mailbox == self.route.mailbox.name
        {
            let settings = evidence::Settings {
                marks: &self.route.marks,
                authserv_ids: &self.route.authserv_ids,
            };
            let copy = evidence::copy(sighting, &self.draft(), &self.manifest, settings);
            let is_copy = kind == Kind::Copy
                || (copy.holds && self.manifest.payload != Holds::Block)
                || evidence::is_from(&sighting.raw, &self.route.from)
                || evidence::shows_submission(&sighting.raw, &self.route, &self.attempts);
            if is_copy {
                return Reading::Copy(Box::new(copy));
            }
        }
        match kind {
            Kind::Report | Kind::Quote => {
                evidence::bounce(&sighting.raw).map_or(Reading::Nothing, Reading::Bounce)
            }
            Kind::Copy | Kind::Reply => Reading::Nothing,
        }
    }

    /// Adds a copy. Whether it is new.
    pub(super) fn add_copy(&mut self, copy: Copy) -> bool {
        if self.copies.iter().any(|known| known.is_at(&copy)) {
            return false;
        }
        if let Some(known) = self.copies.iter_mut().find(|known| known.became(&copy)) {
            known.uid = copy.uid;
            return false;
        }
        self.copies.push(copy);
        self.copies.sort_by_key(|copy| copy.seen.mono);
        true
    }

    /// Adds what a report says; a later delay does not take a failure back. Whether it is news.
    pub(super) fn add_bounce(&mut self, bounce: Bounce) -> bool {
        let known = self.bounce.as_ref();
        let is_news = known.is_none_or(|known| known.action != "failed" && *known != bounce);
        if is_news {
            self.bounce = Some(bounce);
        }
        is_news
    }

    /// What was composed for it.
    pub(super) fn draft(&self) -> Draft<'_> {
        self.route.draft(&self.sample, self.tag, self.due.wall)
    }

    /// What is known of it; `open` stands for what is not settled yet.
    fn case<'a>(
        &'a self,
        control: Option<Control>,
        came_through: &'a [(&'a str, &'a str)],
    ) -> Case<'a> {
        const OPEN: &Close = &Close::Interrupted;
        Case {
            route: &self.route,
            sample: &self.sample,
            manifest: &self.manifest,
            expect: &self.expect,
            control,
            came_through,
            attempts: &self.attempts,
            copies: &self.copies,
            listings: &self.listings,
            bounce: self.bounce.as_ref(),
            close: match &self.stage {
                Stage::Settled(close) => close,
                Stage::Submitting | Stage::Deferred(_) | Stage::Travelling(_) => OPEN,
            },
        }
    }

    /// What it comes to, as far as is known.
    pub(super) fn judgement(&self, control: Option<Control>) -> Judgement {
        judge(&self.case(control, &[]))
    }

    /// What it is to the harmful probes of its cycle.
    pub(super) fn as_control(&self) -> Control {
        let case = self.case(None, &[]);
        Control {
            id: self.tag.id(),
            outcome: judge(&case).outcome,
            took: case.round_trip(),
        }
    }

    /// Names and media types of the harmless attachments with which it was delivered.
    pub(super) fn came_through(&self) -> Vec<(&str, &str)> {
        let case = self.case(None, &[]);
        if case.is_harmful() || judge(&case).outcome != Outcome::Delivered {
            return Vec::new();
        }
        self.manifest.named_parts().collect()
    }

    pub(super) fn record(
        &self,
        instance: &str,
        control: Option<Control>,
        came_through: &[(&str, &str)],
    ) -> Record {
        self.case(control, came_through).record(Identity {
            id: self.tag.id(),
            instance,
            due_at: self.due.wall,
            began_at: Some(self.began.wall),
            keeping: Keeping {
                clock: self.clock,
                revised_at: self.revised,
                unstored: self.unstored,
            },
        })
    }
}
