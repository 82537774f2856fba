//! The verdict's rules, written down once more from the interface and held against the code.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

use super::*;
use crate::clock::Stamp;
use crate::config;
use crate::judge::evidence::Hops;
use crate::probe::authentication::{Authentication, MethodResult, Properties};
use crate::probe::evidence::{Integrity, Marks};
use crate::probe::facts::{Failure, Reply, SeenBy, Uid, Vantage};
use crate::probe::outcome::Phase;
use crate::probe::payload::Payload;

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
[routes.signed]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
deadline = "60s"
warn_after = "30s"
authentication = { DKIM = "Pass" }
"#;
const COPIES: [Outcome; 4] = [
    Outcome::Delivered,
    Outcome::Tagged,
    Outcome::Junked,
    Outcome::Altered,
];

/// The plain route, or the one that wants the copy signed.
fn route(signed: bool) -> &'static Route {
    static ROUTES: OnceLock<Vec<Arc<Route>>> = OnceLock::new();
    let routes = ROUTES.get_or_init(|| {
        let (plan, _) = config::parse(CONFIG, "test", Path::new("")).unwrap();
        plan.routes.values().cloned().collect()
    });
    &routes[usize::from(signed)]
}

/// How the way of a probe ended, where no copy tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Accepted,
    JunkNotWatched,
    ReplyLost,
    Bounced,
    RefusedAtRcpt,
    RefusedAfterTheDot,
    PutOffAtRcpt,
    PutOffAfterTheDot,
    NotConnected,
    Blind,
    Interrupted,
    NotStarted,
}

const WAYS: [Way; 12] = [
    Way::Accepted,
    Way::JunkNotWatched,
    Way::ReplyLost,
    Way::Bounced,
    Way::RefusedAtRcpt,
    Way::RefusedAfterTheDot,
    Way::PutOffAtRcpt,
    Way::PutOffAfterTheDot,
    Way::NotConnected,
    Way::Blind,
    Way::Interrupted,
    Way::NotStarted,
];

/// A probe's whole story.
#[derive(Clone, Debug)]
struct Story {
    payload: Payload,
    expect: Vec<Outcome>,
    control: Option<Outcome>,
    way: Way,
    /// The outcome of each copy and when it was seen, in seconds after the start.
    copies: Vec<(Outcome, u64)>,
    /// What the servers say of its DKIM signatures.
    dkim: Vec<&'static str>,
    /// Whether the route wants one that passes.
    wants_dkim: bool,
}

fn reply(code: u16) -> Reply {
    Reply {
        code,
        esc: [0; 3],
        raw: format!("{code} so be it").into(),
    }
}

fn failure(code: Code) -> Failure {
    Failure {
        code,
        what: "it broke".into(),
        remedy: "",
    }
}

impl Story {
    fn judged(&self) -> Judgement {
        self.judged_in_order(&self.copies)
    }

    /// The judgement, the copies seen in this order.
    fn judged_in_order(&self, copies: &[(Outcome, u64)]) -> Judgement {
        let start = Stamp::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (end, has_dot) = match self.way {
            Way::Accepted | Way::JunkNotWatched | Way::Bounced | Way::Blind | Way::Interrupted => {
                (Some(End::Accepted(reply(250))), true)
            }
            Way::ReplyLost => (Some(End::ReplyLost(failure(Code::ReplyLost))), true),
            Way::RefusedAtRcpt => (Some(End::Refused(Phase::Rcpt, reply(550))), false),
            Way::RefusedAfterTheDot => (Some(End::Refused(Phase::Data, reply(550))), true),
            Way::PutOffAtRcpt => (Some(End::Refused(Phase::Rcpt, reply(451))), false),
            Way::PutOffAfterTheDot => (Some(End::Refused(Phase::Data, reply(451))), true),
            Way::NotConnected => {
                let failure = failure(Code::ConnectFailed);
                (Some(End::Broken(Phase::Connect, failure)), false)
            }
            Way::NotStarted => (None, false),
        };
        let attempts: Vec<_> = end
            .map(|end| Attempt {
                started: start,
                ended: at(1),
                kept: false,
                address: Some(SocketAddr::from(([192, 0, 2, 1], 25))),
                other: None,
                may_go_clear: false,
                tls: None,
                vantage: Vantage::Public,
                steps: Vec::new(),
                data_began: has_dot.then(|| at(0)),
                dot: has_dot.then(|| at(1)),
                end,
                transcript: Vec::new(),
            })
            .into_iter()
            .collect();
        // The ledger keeps them so.
        let mut copies: Vec<_> = copies
            .iter()
            .zip(1..)
            .map(|((outcome, seconds), uid)| Copy {
                seen: at(*seconds),
                by: SeenBy::Poll,
                looked_before: Some(at(seconds.saturating_sub(1))),
                was_unreadable: false,
                delivered_at: None,
                folder: "INBOX".into(),
                uid: Uid::Imap { validity: 1, uid },
                size: 1000,
                outcome: *outcome,
                carriers: Vec::new(),
                marks: Marks::default(),
                holds: *outcome != Outcome::Altered,
                integrity: Box::new(Integrity::default()),
                hops: Hops::default(),
                authentication: self.authentication(),
            })
            .collect();
        copies.sort_by_key(|copy| copy.seen.mono);
        let close = match self.way {
            _ if !copies.is_empty() => Close::Settled,
            Way::Blind => Close::Blind(Blindness {
                failure: failure(Code::MailboxUnreadable),
                is_final: false,
            }),
            Way::Interrupted => Close::Interrupted,
            Way::NotStarted => Close::NotStarted,
            Way::Accepted | Way::ReplyLost => Close::Proved,
            Way::JunkNotWatched => Close::JunkNotWatched,
            _ => Close::Settled,
        };
        let bounce = Bounce {
            action: "failed".into(),
            ..Bounce::default()
        };
        let sample = Sample::of(self.payload);
        judge(&Case {
            route: route(self.wants_dkim),
            sample: &sample,
            manifest: &Manifest::nothing(),
            expect: &self.expect,
            control: self.control.map(|outcome| Control {
                id: Uuid::nil(),
                outcome,
                took: Some(Duration::from_secs(1)),
            }),
            came_through: &[],
            attempts: &attempts,
            copies: &copies,
            listings: &[],
            bounce: (self.way == Way::Bounced).then_some(&bounce),
            close: &close,
        })
    }

    fn authentication(&self) -> Authentication {
        let results = self.dkim.iter().map(|result| MethodResult {
            method: "dkim".into(),
            result: (*result).into(),
            reason: None,
            properties: Properties::default(),
        });
        Authentication {
            results: results.collect(),
            ..Authentication::default()
        }
    }

    fn is_harmful(&self) -> bool {
        self.payload.pattern().is_some() && self.payload.class() != Class::Policy
    }

    /// The rules as the interface has them, of copies that are all in time.
    fn ruled(&self) -> (Outcome, Verdict) {
        let worst = |outcomes: &[Outcome]| COPIES.into_iter().find(|it| outcomes.contains(it));
        let came: Vec<_> = self.copies.iter().map(|(outcome, _)| *outcome).collect();
        let copy = if self.is_harmful() {
            worst(&came)
        } else {
            came.first().copied()
        };
        let outcome = copy.unwrap_or(match self.way {
            Way::Accepted | Way::JunkNotWatched | Way::ReplyLost => Outcome::Missing,
            Way::Bounced => Outcome::Bounced,
            Way::RefusedAtRcpt | Way::RefusedAfterTheDot => Outcome::Rejected,
            Way::PutOffAtRcpt | Way::PutOffAfterTheDot => Outcome::Deferred,
            Way::NotConnected => Outcome::Unsent,
            Way::Blind => Outcome::Unseen,
            Way::Interrupted => Outcome::Unfinished,
            Way::NotStarted => Outcome::Skipped,
        });
        let expected = self.expect.contains(&outcome);
        let content_was_sent = !matches!(
            self.way,
            Way::RefusedAtRcpt | Way::PutOffAtRcpt | Way::NotConnected | Way::NotStarted
        );
        let leaks =
            |outcome: &Outcome| *outcome != Outcome::Altered && !self.expect.contains(outcome);
        let verdict = match outcome {
            Outcome::Unseen | Outcome::Unfinished | Outcome::Skipped => Verdict::Unknown,
            _ if !self.is_harmful()
                && copy.is_some()
                && self.wants_dkim
                && !self.dkim.contains(&"pass") =>
            {
                Verdict::Fail
            }
            _ if !self.is_harmful() && expected && self.copies.len() > 1 => Verdict::Warn,
            _ if !self.is_harmful() && expected => Verdict::Pass,
            _ if !self.is_harmful() => Verdict::Fail,
            _ if came.iter().any(leaks) => Verdict::Fail,
            Outcome::Missing if expected && self.way == Way::JunkNotWatched => Verdict::Unknown,
            _ if expected && content_was_sent && self.control == Some(Outcome::Delivered) => {
                Verdict::Pass
            }
            _ if expected => Verdict::Unknown,
            Outcome::Unsent | Outcome::Deferred => Verdict::Unknown,
            _ => Verdict::Fail,
        };
        (outcome, verdict)
    }
}

fn story() -> impl Strategy<Value = Story> {
    let payloads = vec![
        Payload::Plain,
        Payload::Html,
        Payload::Eicar,
        Payload::EicarZip,
        Payload::Gtube,
        Payload::RspamdHeader,
        Payload::RspamdNone,
    ];
    let expect = prop_oneof![
        Just(None),
        prop::sample::subsequence(Outcome::ALL.to_vec(), 1..6).prop_map(Some),
    ];
    let control = prop::option::of(prop::sample::select(vec![
        Outcome::Delivered,
        Outcome::Delivered,
        Outcome::Junked,
        Outcome::Missing,
        Outcome::Unfinished,
    ]));
    let copies = prop::collection::vec((prop::sample::select(COPIES.to_vec()), 2_u64..20), 0..4);
    (
        prop::sample::select(payloads),
        expect,
        control,
        prop::sample::select(WAYS.to_vec()),
        copies,
        prop::sample::subsequence(vec!["pass", "fail", "none"], 0..3),
        proptest::bool::ANY,
    )
        .prop_map(
            |(payload, expect, control, way, copies, dkim, wants_dkim)| {
                // A copy needs a message that was sent; what is seen at one moment is told in order.
                let mut copies = match way {
                    Way::Accepted
                    | Way::JunkNotWatched
                    | Way::ReplyLost
                    | Way::Bounced
                    | Way::RefusedAfterTheDot => copies,
                    _ => Vec::new(),
                };
                copies.sort_by_key(|(_, seconds)| *seconds);
                copies.dedup_by_key(|(_, seconds)| *seconds);
                Story {
                    payload,
                    expect: expect.unwrap_or_else(|| payload.default_expect().to_vec()),
                    control,
                    way,
                    copies,
                    dkim,
                    wants_dkim,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_rules_hold_to_the_letter(story in story()) {
        let Judgement { outcome, verdict, .. } = story.judged();
        let (ruled_outcome, ruled) = story.ruled();
        prop_assert_eq!(verdict, ruled);
        // Of several copies that leak, the first is told.
        let leaks = verdict == Verdict::Fail && story.is_harmful() && story.copies.len() > 1;
        prop_assert!(leaks || outcome == ruled_outcome, "{} for {}", outcome, ruled_outcome);
    }

    #[test]
    fn the_order_in_which_copies_are_told_changes_nothing(
        (story, shuffled) in story().prop_flat_map(|story| {
            let copies = Just(story.copies.clone()).prop_shuffle();
            (Just(story), copies)
        })
    ) {
        prop_assert_eq!(story.judged_in_order(&shuffled), story.judged());
    }

    #[test]
    fn the_order_in_which_harmful_copies_come_changes_no_verdict(
        (story, outcomes) in story().prop_flat_map(|story| {
            let outcomes = story.copies.iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>();
            (Just(story), Just(outcomes).prop_shuffle())
        })
    ) {
        if !(story.is_harmful()) {
            return Ok(());
        }
        let times = story.copies.iter().map(|(_, seconds)| *seconds);
        let copies: Vec<_> = outcomes.into_iter().zip(times).collect();
        let (other, first) = (story.judged_in_order(&copies), story.judged());
        prop_assert_eq!((other.verdict, other.code), (first.verdict, first.code));
    }

    #[test]
    fn a_leak_is_a_leak_however_late_and_whatever_else_is_known(story in story(), late in 61_u64..1000) {
        if !(story.is_harmful() && story.way == Way::Accepted) {
            return Ok(());
        }
        let mut story = story;
        story.expect.retain(|outcome| *outcome != Outcome::Delivered);
        // A harmful payload has always an expectation.
        story.expect.push(Outcome::Rejected);
        story.copies.push((Outcome::Delivered, late));
        let judged = story.judged();
        prop_assert_eq!((judged.verdict, judged.code), (Verdict::Fail, Code::Leak));
    }

    #[test]
    fn nothing_harmful_passes_without_its_control(story in story()) {
        if !(story.is_harmful() && story.control != Some(Outcome::Delivered)) {
            return Ok(());
        }
        prop_assert_ne!(story.judged().verdict, Verdict::Pass);
    }

    #[test]
    fn every_judgement_has_a_code_that_fits(story in story()) {
        let Judgement { verdict, code, .. } = story.judged();
        let is_good = matches!(code, Code::Ok | Code::NotJudged);
        prop_assert_eq!(is_good, verdict == Verdict::Pass, "{}", code);
        let unproved = matches!(
            code,
            Code::ControlFailed
                | Code::RejectedBeforeContent
                | Code::JunkNotWatched
                | Code::FilterNotTested
        );
        prop_assert!(!unproved || verdict == Verdict::Unknown, "{}", code);
        prop_assert!(code != Code::Leak || (verdict == Verdict::Fail && story.is_harmful()));
    }
}

fn harmful(payload: Payload, expect: &[Outcome], copies: &[(Outcome, u64)]) -> Judgement {
    Story {
        payload,
        expect: expect.to_vec(),
        control: Some(Outcome::Delivered),
        way: Way::Accepted,
        copies: copies.to_vec(),
        dkim: Vec::new(),
        wants_dkim: false,
    }
    .judged()
}

#[test]
fn the_worst_of_several_leaks_decides() {
    let virus = Payload::Eicar.default_expect();
    for copies in [
        [(Outcome::Junked, 2), (Outcome::Delivered, 3)],
        [(Outcome::Delivered, 2), (Outcome::Junked, 3)],
    ] {
        let judged = harmful(Payload::Eicar, virus, &copies);
        assert_eq!(judged.outcome, Outcome::Delivered);
        assert_eq!(judged.code, Code::Leak);
    }
}

#[test]
fn what_is_meant_to_come_through_must_come_in_time() {
    let expect = [Outcome::Delivered];
    let judged = harmful(Payload::RspamdNone, &expect, &[(Outcome::Delivered, 61)]);
    assert_eq!(
        (judged.outcome, judged.verdict, judged.code),
        (Outcome::Missing, Verdict::Fail, Code::Late)
    );
}

#[test]
fn the_codes_of_what_proves_nothing() {
    let story = |payload: Payload, way, control| Story {
        payload,
        expect: payload.default_expect().to_vec(),
        control: Some(control),
        way,
        copies: Vec::new(),
        dkim: Vec::new(),
        wants_dkim: false,
    };
    for (payload, way, control, code) in [
        (
            Payload::Eicar,
            Way::RefusedAtRcpt,
            Outcome::Delivered,
            Code::RejectedBeforeContent,
        ),
        (
            Payload::Eicar,
            Way::RefusedAtRcpt,
            Outcome::Missing,
            Code::RejectedBeforeContent,
        ),
        (
            Payload::Eicar,
            Way::RefusedAfterTheDot,
            Outcome::Missing,
            Code::ControlFailed,
        ),
        (
            Payload::Eicar,
            Way::Accepted,
            Outcome::Junked,
            Code::ControlFailed,
        ),
        (
            Payload::Eicar,
            Way::JunkNotWatched,
            Outcome::Delivered,
            Code::JunkNotWatched,
        ),
        (
            Payload::Gtube,
            Way::PutOffAtRcpt,
            Outcome::Delivered,
            Code::FilterNotTested,
        ),
        (
            Payload::Gtube,
            Way::PutOffAfterTheDot,
            Outcome::Delivered,
            Code::FilterNotTested,
        ),
        (
            Payload::Gtube,
            Way::NotConnected,
            Outcome::Delivered,
            Code::FilterNotTested,
        ),
    ] {
        let judged = story(payload, way, control).judged();
        assert_eq!(
            (judged.verdict, judged.code),
            (Verdict::Unknown, code),
            "{way:?}"
        );
    }
}

#[test]
fn policy_is_reported_and_judged_only_on_request() {
    let story = |expect: &[Outcome], way, copies: &[(Outcome, u64)]| {
        Story {
            payload: Payload::ExecutableName,
            expect: expect.to_vec(),
            control: (!expect.is_empty()).then_some(Outcome::Delivered),
            way,
            copies: copies.to_vec(),
            dkim: Vec::new(),
            wants_dkim: false,
        }
        .judged()
    };
    let came = [(Outcome::Delivered, 2)];
    for (way, copies) in [
        (Way::Accepted, &came[..]),
        (Way::Accepted, &[]),
        (Way::RefusedAfterTheDot, &[]),
        (Way::RefusedAtRcpt, &[]),
        (Way::Bounced, &[]),
    ] {
        let judged = story(&[], way, copies);
        assert_eq!(
            (judged.verdict, judged.code),
            (Verdict::Pass, Code::NotJudged),
            "{way:?}"
        );
    }
    for way in [Way::Blind, Way::Interrupted, Way::NotStarted] {
        assert_eq!(story(&[], way, &[]).verdict, Verdict::Unknown, "{way:?}");
    }
    let rejected = [Outcome::Rejected];
    assert_eq!(
        story(&rejected, Way::RefusedAfterTheDot, &[]).verdict,
        Verdict::Pass
    );
    assert_eq!(
        story(&rejected, Way::Accepted, &came).verdict,
        Verdict::Fail
    );
    assert_eq!(
        story(&[Outcome::Delivered], Way::Accepted, &came).verdict,
        Verdict::Pass
    );
}

#[test]
fn an_authentication_result_is_asked_for_only_by_a_route_that_wants_it() {
    let judged = |wants_dkim, dkim: &[&'static str], copies: &[(Outcome, u64)]| {
        let story = Story {
            payload: Payload::Plain,
            expect: Payload::Plain.default_expect().to_vec(),
            control: None,
            way: Way::Accepted,
            copies: copies.to_vec(),
            dkim: dkim.to_vec(),
            wants_dkim,
        };
        let judged = story.judged();
        (judged.outcome, judged.verdict, judged.code)
    };
    let came = [(Outcome::Delivered, 2)];
    let passed = (Outcome::Delivered, Verdict::Pass, Code::Ok);
    let failed = (Outcome::Delivered, Verdict::Fail, Code::Authentication);
    assert_eq!(judged(false, &["fail"], &came), passed);
    assert_eq!(judged(true, &["fail", "pass"], &came), passed);
    assert_eq!(judged(true, &["fail"], &came), failed);
    assert_eq!(judged(true, &[], &came), failed);
    // Slow comes after wrong, and what is not there has no results.
    assert_eq!(judged(true, &[], &[(Outcome::Delivered, 40)]), failed);
    assert_eq!(
        judged(true, &[], &[]),
        (Outcome::Missing, Verdict::Fail, Code::Missing)
    );
}
