//! A probe in flight as the store keeps it, so that another process can take it up where this one left it. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::flight::{Flight, LONGEST_RETRY, Stage};
use super::pending::tagged;
use crate::clock::Stamp;
use crate::config::plan::{Mailbox, Plan, Route};
use crate::judge::evidence::Copy;
use crate::judge::verdict::Close;
use crate::probe::evidence::Bounce;
use crate::probe::facts::{Attempt, End, Failure, Vantage};
use crate::probe::listing::Listing;
use crate::probe::manifest::Manifest;
use crate::probe::message::compose;
use crate::probe::name::RouteName;
use crate::probe::outcome::{Code, Outcome};
use crate::probe::payload::{Payload, Sample};
use crate::probe::record::Clock;
use crate::probe::tag::Signer;
use crate::smtp::submit::Submission;

/// A probe in flight, or one that has its outcome and may still be revised.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Kept {
    route: RouteName,
    payload: Payload,
    variant: String,
    /// The account that its copies come back to.
    mailbox: String,
    control: Option<Uuid>,
    expect: Arc<[Outcome]>,
    manifest: Manifest,
    /// Of the message, in bytes.
    size: usize,
    due: Stamp,
    began: Stamp,
    deadline: Duration,
    warn_after: Option<Duration>,
    stage: KeptStage,
    attempts: Vec<Attempt>,
    awaits_reply: bool,
    retries: u32,
    pinned: bool,
    turned: bool,
    copies: Vec<Copy>,
    bounce: Option<Bounce>,
    listings: Arc<[Listing]>,
    unstored: bool,
    /// When a late message changed what it had come to.
    revised: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum KeptStage {
    /// An attempt was under way, begun no sooner than then.
    Submitting(Timestamp),
    Deferred(Timestamp),
    Travelling,
    Settled(Close),
}

/// Why a kept probe cannot be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The config has no such route any more.
    #[error("its route is not in the config any more, so nobody looks for its copy")]
    NoRoute,
    /// Its copies come back to an account that nobody looks at.
    #[error("its route looks at another mailbox now, where its copy cannot come")]
    OtherMailbox,
}

impl Kept {
    /// The route it was sent on.
    pub fn route(&self) -> &RouteName {
        &self.route
    }

    /// The probe whose verdict this one's depends on.
    pub fn control(&self) -> Option<Uuid> {
        self.control
    }

    /// Whether it has its outcome.
    pub fn is_settled(&self) -> bool {
        matches!(self.stage, KeptStage::Settled(_))
    }
}

/// What must be the same for a copy to come where it is looked for.
fn account(mailbox: &Mailbox) -> String {
    format!(
        "{} {} {}",
        mailbox.name, mailbox.endpoint, mailbox.login.username
    )
}

impl Flight {
    /// What another process needs to take it up.
    pub(super) fn keep(&self, now: Stamp) -> Kept {
        Kept {
            route: self.route.name.clone(),
            payload: self.sample.payload,
            variant: self.sample.variant(),
            mailbox: account(&self.route.mailbox),
            control: self.control,
            expect: Arc::clone(&self.expect),
            manifest: self.manifest.clone(),
            size: self.size,
            due: self.due,
            began: self.began,
            deadline: self.route.deadline,
            warn_after: self.route.warn_after,
            stage: match &self.stage {
                Stage::Submitting => KeptStage::Submitting(now.wall),
                Stage::Deferred(at) => KeptStage::Deferred(now.wall_at(*at)),
                Stage::Travelling(_) => KeptStage::Travelling,
                Stage::Settled(close) => KeptStage::Settled(close.clone()),
            },
            attempts: self.attempts.clone(),
            awaits_reply: self.awaits_reply,
            retries: self.retries,
            pinned: self.pinned,
            turned: self.turned,
            copies: self.copies.clone(),
            bounce: self.bounce.clone(),
            listings: Arc::clone(&self.listings),
            unstored: self.unstored,
            revised: self.revised,
        }
    }

    /// Takes up a probe that an earlier process, or this one, has put away. What it was doing when it was cut off is not
    /// done again: only what a 4xx put off is sent once more.
    pub(super) fn restore(
        id: Uuid,
        kept: Kept,
        (plan, signer): (&Plan, &Signer),
        now: Stamp,
    ) -> Result<Self, Lost> {
        let route = plan.routes.get(&kept.route).ok_or(Lost::NoRoute)?;
        if account(&route.mailbox) != kept.mailbox {
            return Err(Lost::OtherMailbox);
        }
        let is_same = route.deadline == kept.deadline && route.warn_after == kept.warn_after;
        let route = if is_same {
            Arc::clone(route)
        } else {
            Arc::new(Route {
                deadline: kept.deadline,
                warn_after: kept.warn_after,
                ..Route::clone(route)
            })
        };
        let is_sample = |sample: &&Arc<Sample>| {
            sample.payload == kept.payload && sample.variant() == kept.variant
        };
        let sample = route.tests.iter().map(|test| &test.sample).find(is_sample);
        let sample = sample.map_or_else(|| Arc::new(Sample::of(kept.payload)), Arc::clone);
        let mut flight = Self {
            sample,
            tag: signer.tag(id),
            control: kept.control,
            cycle: kept.control,
            expect: kept.expect,
            manifest: kept.manifest,
            size: kept.size,
            submission: None,
            due: kept.due,
            began: kept.began,
            stage: Stage::Submitting,
            timer: None,
            attempts: kept.attempts,
            awaits_reply: false,
            retries: kept.retries,
            pinned: kept.pinned,
            turned: kept.turned,
            copies: kept.copies,
            bounce: kept.bounce,
            listings: kept.listings,
            clock: Clock::Wall,
            unstored: kept.unstored,
            revised: kept.revised,
            route,
        };
        flight.stage = match kept.stage {
            KeptStage::Settled(close) => Stage::Settled(close),
            KeptStage::Travelling => Stage::Travelling(flight.deadline()),
            KeptStage::Submitting(began) => {
                flight.cut_off(kept.awaits_reply, now.recalled(began));
                Stage::Travelling(flight.deadline())
            }
            KeptStage::Deferred(at) => {
                let address = flight.attempts.last().and_then(|attempt| attempt.address);
                flight.submission = compose(&flight.draft()).ok().map(|composed| {
                    Box::new(Submission {
                        from: tagged(&flight.route.from, flight.tag, flight.route.verp),
                        to: tagged(&flight.route.to, flight.tag, flight.route.plus_address),
                        message: composed.bytes,
                        envelope_id: flight.tag.to_string(),
                        address,
                        pinned: flight.pinned,
                        in_clear: false,
                        transcript: false,
                    })
                });
                let left = Duration::try_from(at.duration_since(now.wall)).ok();
                // It is further away only where the clock was set back.
                let left = left.filter(|left| *left <= LONGEST_RETRY);
                Stage::Deferred(now.mono + left.unwrap_or_default())
            }
        };
        Ok(flight)
    }

    /// When its copy must have come.
    fn deadline(&self) -> std::time::Instant {
        let started = self.attempts.last().map_or(self.began, |last| last.started);
        started.mono + self.route.deadline
    }

    /// The attempt that was under way when the process ended. One after a deferral has the deadline of its own time.
    fn cut_off(&mut self, awaited: bool, began: Stamp) {
        let last = self.attempts.last_mut().filter(|_| awaited);
        if let Some(last) = last {
            last.end = End::ReplyLost(Failure {
                code: Code::ReplyLost,
                what: "mailrobin was stopped before the reply to the message came".into(),
                remedy: "",
            });
            return;
        }
        self.attempts.push(Attempt {
            started: began,
            ended: began,
            kept: false,
            address: None,
            other: None,
            may_go_clear: false,
            tls: None,
            vantage: Vantage::Public,
            steps: Vec::new(),
            data_began: None,
            dot: None,
            end: End::Cut,
            transcript: Vec::new(),
        });
    }
}
