//! Whatever order events come in, a probe gets one outcome, and the right one.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::config;
use crate::probe::facts::{End, Reply, SeenBy, Step, Uid, Vantage};
use crate::probe::message::Kind;
use crate::probe::message::{Recognised, compose};
use crate::probe::outcome::{Phase, Verdict};
use crate::probe::payload::Payload;
use crate::probe::record::Record;
use crate::probe::tag::{Instance, Signer, Tag};

const CONFIG: &str = r#"
[gateways.edge]
host = "mx.example"
[mailboxes.returns]
host = "imap.example"
username = "probe@monitor.example"
password = "secret"
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
deadline = "60s"
warn_after = "30s"
blind_grace = "10s"
defer_for = "60s"
"#;

struct World {
    route: Arc<Route>,
    signer: Signer,
    start: Stamp,
    ledger: Ledger,
    settled: Vec<Uuid>,
    disposed: usize,
    submitted: usize,
}

impl World {
    fn new() -> Self {
        let plan = config::parse(CONFIG, "test", std::path::Path::new(""))
            .unwrap()
            .0;
        Self {
            route: Arc::clone(plan.routes.values().next().unwrap()),
            signer: Signer::new(b"0123456789abcdef", Instance::named("test")),
            start: Stamp::now(),
            ledger: Ledger::new(),
            settled: Vec::new(),
            disposed: 0,
            submitted: 0,
        }
    }

    fn at(&self, seconds: u64) -> Stamp {
        self.start + Duration::from_secs(seconds)
    }

    fn tag(&self, number: u8) -> Tag {
        self.signer.mint(self.start.wall, [number; 7])
    }

    fn message(&self, tag: Tag) -> (Bytes, Manifest) {
        let sample = Sample::of(Payload::Plain);
        let composed = compose(&self.route.draft(&sample, tag, self.start.wall)).unwrap();
        (composed.bytes, composed.manifest)
    }

    fn step(&mut self, event: Event, seconds: u64) {
        let now = self.at(seconds);
        for effect in self.ledger.step(event, now) {
            match effect {
                Effect::Submit(..) => self.submitted += 1,
                Effect::Dispose(..) => self.disposed += 1,
                Effect::Accepted(_)
                | Effect::Deferred(..)
                | Effect::Revised(..)
                | Effect::Unknown(_) => {}
                Effect::Settled(id) => self.settled.push(id),
            }
        }
    }

    fn start(&mut self, tag: Tag) {
        let (message, manifest) = self.message(tag);
        let probe = Probe {
            route: Arc::clone(&self.route),
            sample: Arc::new(Sample::of(Payload::Plain)),
            tag,
            cycle: None,
            control: None,
            expect: Arc::new([Outcome::Delivered]),
            listings: Arc::default(),
            manifest,
            submission: Submission {
                from: self.route.from.clone(),
                to: self.route.to.clone(),
                message,
                envelope_id: tag.to_string(),
                address: None,
                pinned: false,
                in_clear: false,
                transcript: false,
            },
            due: self.start,
        };
        self.step(Event::Start(Box::new(probe)), 0);
    }

    /// An attempt from `from` to `to`.
    fn attempt(&self, from: u64, to: u64, end: End) -> Attempt {
        Attempt {
            started: self.at(from),
            ended: self.at(to),
            kept: false,
            address: Some(SocketAddr::from(([192, 0, 2, 1], 25))),
            other: None,
            may_go_clear: false,
            tls: None,
            vantage: Vantage::Public,
            steps: vec![Step {
                phase: Phase::Data,
                took: Duration::from_secs(to - from),
            }],
            data_began: Some(self.at(from)),
            dot: Some(self.at(to)),
            end,
            transcript: Vec::new(),
        }
    }

    fn sighting(&self, tag: Tag, (uid, seconds): (u32, u64), mailbox: &str) -> Event {
        Event::Sighted(Box::new(Sighting {
            place: Place {
                mailbox: mailbox.into(),
                folder: "INBOX".into(),
                junk: false,
                uid: Uid::Imap { validity: 1, uid },
                tag,
            },
            seen: self.at(seconds),
            by: SeenBy::Poll,
            looked_before: Some(self.at(seconds.saturating_sub(1))),
            delivered_at: Some(self.at(seconds).wall),
            size: 2000,
            recognised: Recognised {
                kind: Kind::Copy,
                tag: Some(tag),
                carriers: Vec::new(),
            },
            raw: self.message(tag).0,
            whole: true,
        }))
    }

    fn looked(&self, seconds: u64) -> Event {
        self.looked_at(seconds, true)
    }

    fn looked_at(&self, seconds: u64, covers_junk: bool) -> Event {
        let begun = self.at(seconds);
        Event::Looked(
            "returns".into(),
            Look {
                begun,
                covers_junk,
                unread_before: None,
            },
        )
    }

    fn record(&self, tag: Tag) -> Record {
        self.ledger.record(tag.id(), "test").unwrap()
    }
}

fn reply(code: u16) -> Reply {
    Reply {
        code,
        esc: [0; 3],
        raw: format!("{code} so be it").into(),
    }
}

fn failure() -> Failure {
    Failure {
        code: Code::Deferred,
        what: "DATA at mx.example:25: the server closed the connection".into(),
        remedy: "",
    }
}

fn blindness(is_final: bool) -> Event {
    let failure = Failure {
        code: Code::MailboxUnreadable,
        what: "connecting: refused".into(),
        remedy: "",
    };
    Event::Blind("returns".into(), Blindness { failure, is_final })
}

/// What happens to one probe, and when it is told; the ledger may hear of it in another order.
#[derive(Clone, Debug)]
enum Told {
    HandedOver,
    Accepted,
    Copy(u32, u64),
    Looked(u64),
    Blind,
    Ticked,
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let optional = prop::sample::subsequence(
        vec![
            Told::HandedOver,
            Told::Copy(7, 5),
            Told::Copy(8, 6),
            Told::Looked(3),
            Told::Blind,
            Told::Ticked,
        ],
        0..=6,
    );
    optional
        .prop_map(|mut told| {
            told.push(Told::Accepted);
            told
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn any_order_of_events_gives_the_same_outcome(order in told()) {
        let mut world = World::new();
        let tag = world.tag(1);
        world.start(tag);
        let copies = order.iter().filter(|told| matches!(told, Told::Copy(..))).count();
        for event in &order {
            let event = match event {
                // The dot is told before the reply, or not at all.
                Told::HandedOver => Event::HandedOver(tag.id(), world.attempt(0, 1, End::ReplyLost(failure()))),
                Told::Accepted => Event::Attempted(tag.id(), world.attempt(0, 1, End::Accepted(reply(250)))),
                Told::Copy(uid, at) => world.sighting(tag, (*uid, *at), "returns"),
                Told::Looked(at) => world.looked(*at),
                Told::Blind => blindness(false),
                Told::Ticked => Event::Tick,
            };
            world.step(event, 20);
        }
        prop_assert_eq!(world.disposed, copies, "each copy is cleaned up once");
        if copies == 0 {
            prop_assert!(world.settled.is_empty());
            world.step(world.looked(61), 61);
        }
        prop_assert_eq!(&world.settled, &[tag.id()], "settled once");
        prop_assert_eq!(world.ledger.open(), 0);
        prop_assert_eq!(world.ledger.interest(&"returns".into()).due, None);
        let record = world.record(tag);
        prop_assert_eq!(record.outcome, if copies == 0 { Outcome::Missing } else { Outcome::Delivered });
        prop_assert_eq!(record.duplicates, copies.saturating_sub(1));
        if copies == 2 {
            prop_assert_eq!(record.round_trip_ms, Some(5000.0), "the first copy sets the time, in whatever order they are told");
            prop_assert_eq!(record.verdict, Verdict::Warn);
        }
        let sum: f64 = record.phases.iter().map(|phase| phase.ms).sum();
        prop_assert!(copies == 0 || (sum - record.round_trip_ms.unwrap()).abs() < 0.01);
    }
}

#[test]
fn a_copy_that_comes_before_the_reply_cuts_data_there() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let pending = world.attempt(0, 2, End::ReplyLost(failure()));
    world.step(Event::HandedOver(tag.id(), pending), 2);
    world.step(world.sighting(tag, (1, 3), "returns"), 3);
    assert_eq!(world.settled, [tag.id()]);
    let accepted = world.attempt(0, 9, End::Accepted(reply(250)));
    world.step(Event::Attempted(tag.id(), accepted), 9);
    let record = world.record(tag);
    let phases: Vec<_> = record
        .phases
        .iter()
        .map(|phase| (phase.name, phase.ms))
        .collect();
    assert_eq!(phases, [(Phase::Data, 3000.0), (Phase::Transit, 0.0)]);
    assert_eq!(record.smtp.unwrap().code, Some(250));
}

#[test]
fn missing_needs_a_look_begun_after_the_deadline() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
    world.step(Event::Attempted(tag.id(), accepted), 1);
    assert_eq!(
        world.ledger.interest(&"returns".into()).due,
        Some(world.at(60).mono)
    );
    world.step(world.looked(59), 65);
    assert!(
        world.settled.is_empty(),
        "that look was begun before the deadline"
    );
    world.step(world.looked(60), 65);
    assert_eq!(world.record(tag).outcome, Outcome::Missing);
    assert_eq!(world.record(tag).code, Code::Missing);
}

#[test]
fn whether_junk_was_watched_is_stored_with_the_probe() {
    for (covers_junk, stored) in [(true, "\"Proved\""), (false, "\"JunkNotWatched\"")] {
        let mut world = World::new();
        let tag = world.tag(1);
        world.start(tag);
        let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
        world.step(Event::Attempted(tag.id(), accepted), 1);
        world.step(world.looked_at(60, covers_junk), 65);
        let kept = world.ledger.kept(tag.id(), world.at(66)).unwrap();
        let kept = serde_json::to_string(&kept).unwrap();
        assert!(kept.contains(stored), "{kept}");
        world.ledger = Ledger::new();
        let kept = serde_json::from_str(&kept).unwrap();
        let plan = config::parse(CONFIG, "test", std::path::Path::new(""))
            .unwrap()
            .0;
        let who = (&plan, &world.signer);
        let now = world.at(70);
        world.ledger.restore(tag.id(), kept, who, now).unwrap();
        let record = world.record(tag);
        assert_eq!(record.outcome, Outcome::Missing);
        let warns = record.reason.contains("no junk folder is watched");
        assert_eq!(warns, !covers_junk, "{}", record.reason);
    }
}

#[test]
fn without_such_a_look_it_is_unseen_after_the_grace() {
    for blind in [true, false] {
        let mut world = World::new();
        let tag = world.tag(1);
        world.start(tag);
        let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
        world.step(Event::Attempted(tag.id(), accepted), 1);
        if blind {
            world.step(blindness(false), 2);
        }
        assert_eq!(world.ledger.next_wake(), Some(world.at(70).mono));
        world.step(Event::Tick, 69);
        assert!(world.settled.is_empty());
        world.step(Event::Tick, 70);
        let record = world.record(tag);
        assert_eq!(
            (record.outcome, record.verdict),
            (Outcome::Unseen, Verdict::Unknown)
        );
    }
}

#[test]
fn a_refused_login_is_not_waited_for() {
    let mut world = World::new();
    let (before, after) = (world.tag(1), world.tag(2));
    for tag in [before, after] {
        world.start(tag);
    }
    let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
    world.step(Event::Attempted(before.id(), accepted.clone()), 1);
    world.step(blindness(true), 2);
    world.step(Event::Attempted(after.id(), accepted), 3);
    assert_eq!(world.settled, [before.id(), after.id()]);
}

#[test]
fn a_4xx_is_tried_again_at_growing_intervals_until_defer_for_is_over() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let mut at = 0;
    let mut gaps = Vec::new();
    while world.settled.is_empty() {
        let refused = world.attempt(at, at, End::Refused(Phase::Rcpt, reply(451)));
        world.step(Event::Attempted(tag.id(), refused), at);
        if let Some(wake) = world.ledger.next_wake() {
            let after = wake - world.at(at).mono;
            gaps.push(after);
            // Whole seconds, rounded up, so that the tick is never early.
            at += after.as_secs() + u64::from(after.subsec_nanos() > 0);
            world.step(Event::Tick, at);
        }
    }
    assert!(
        gaps.is_sorted() || gaps[..gaps.len() - 1].is_sorted(),
        "{gaps:?}"
    );
    assert!((55..=61).contains(&at), "the last try was at {at} s");
    let record = world.record(tag);
    assert_eq!(
        (record.outcome, record.code),
        (Outcome::Deferred, Code::Deferred)
    );
    assert_eq!(record.attempts.len(), world.submitted);
    assert!(world.submitted >= 5);
}

#[test]
fn a_deferral_is_timed_apart_and_not_held_against_the_deadline() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let refused = world.attempt(0, 1, End::Refused(Phase::Rcpt, reply(451)));
    world.step(Event::Attempted(tag.id(), refused), 1);
    world.step(Event::Tick, 50);
    let accepted = world.attempt(50, 51, End::Accepted(reply(250)));
    world.step(Event::Attempted(tag.id(), accepted), 51);
    world.step(world.sighting(tag, (1, 70), "returns"), 70);
    let record = world.record(tag);
    assert_eq!(
        (record.outcome, record.verdict),
        (Outcome::Delivered, Verdict::Pass)
    );
    assert_eq!(record.deferral_ms.to_string(), "50000");
    assert_eq!(record.round_trip_ms, Some(70_000.0));
    assert_eq!(record.phases[0].name, Phase::Deferral);
}

#[test]
fn after_the_dot_nothing_is_sent_again() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let lost = world.attempt(0, 1, End::ReplyLost(failure()));
    world.step(Event::Attempted(tag.id(), lost), 1);
    world.step(world.looked(61), 61);
    let record = world.record(tag);
    assert_eq!(
        (record.outcome, record.code),
        (Outcome::Missing, Code::ReplyLost)
    );
    assert_eq!(world.submitted, 1);
}

#[test]
fn a_late_copy_is_recorded_and_does_not_make_it_delivered() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
    world.step(Event::Attempted(tag.id(), accepted), 1);
    world.step(world.looked(60), 60);
    world.step(world.sighting(tag, (1, 62), "returns"), 62);
    let record = world.record(tag);
    assert_eq!(
        (record.outcome, record.code),
        (Outcome::Missing, Code::Late)
    );
    assert!(record.late);
    assert_eq!(record.copies.len(), 1);
    assert_eq!(world.disposed, 1);
}

#[test]
fn a_copy_in_another_mailbox_or_of_another_run_is_no_arrival() {
    let mut world = World::new();
    let tag = world.tag(1);
    world.start(tag);
    let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
    world.step(Event::Attempted(tag.id(), accepted), 1);
    world.step(world.sighting(tag, (1, 2), "elsewhere"), 2);
    world.step(world.sighting(world.tag(9), (2, 2), "returns"), 2);
    assert!(world.settled.is_empty());
    assert_eq!(world.disposed, 0, "neither is ours to touch");
}

#[test]
fn an_interrupt_leaves_what_is_known() {
    let mut world = World::new();
    let (travelling, submitting) = (world.tag(1), world.tag(2));
    for tag in [travelling, submitting] {
        world.start(tag);
    }
    let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
    world.step(Event::Attempted(travelling.id(), accepted), 1);
    world.step(Event::Interrupt, 2);
    assert_eq!(world.ledger.open(), 0);
    for tag in [travelling, submitting] {
        let record = world.record(tag);
        assert_eq!(
            (record.outcome, record.verdict),
            (Outcome::Unfinished, Verdict::Unknown)
        );
    }
}

/// A delivery report about a probe, with this action.
fn report(world: &World, tag: Tag, (uid, seconds): (u32, u64), action: &str) -> Event {
    let raw = format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; echo@example.com\r\nAction: {action}\r\nStatus: 5.0.0\r\n--b--\r\n"
    );
    let Event::Sighted(mut sighting) = world.sighting(tag, (uid, seconds), "returns") else {
        unreachable!()
    };
    sighting.recognised.kind = Kind::Report;
    sighting.raw = raw.into_bytes().into();
    Event::Sighted(sighting)
}

#[test]
fn a_failure_stands_whatever_delays_are_reported_before_and_after() {
    for order in [["delayed", "failed"], ["failed", "delayed"]] {
        let mut world = World::new();
        let tag = world.tag(1);
        world.start(tag);
        let accepted = world.attempt(0, 1, End::Accepted(reply(250)));
        world.step(Event::Attempted(tag.id(), accepted), 1);
        for (at, action) in (2..).zip(order) {
            let uid = u32::try_from(at).unwrap();
            world.step(report(&world, tag, (uid, at), action), at);
        }
        assert_eq!(world.settled, [tag.id()], "{order:?}");
        assert_eq!(world.record(tag).outcome, Outcome::Bounced, "{order:?}");
        assert_eq!(world.disposed, 2);
        let copy = world.sighting(tag, (9, 5), "returns");
        world.step(copy, 5);
        assert_eq!(
            world.record(tag).outcome,
            Outcome::Delivered,
            "a copy beats a bounce"
        );
    }
}
