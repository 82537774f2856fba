//! Sentences of whole cases.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::clock::Stamp;
use crate::config;
use crate::config::plan::Plan;
use crate::judge::evidence::Hops;
use crate::judge::verdict::Close;
use crate::probe::authentication::Authentication;
use crate::probe::evidence::{Integrity, Marks};
use crate::probe::facts::{End, Reply, Step, Vantage};
use crate::probe::manifest::Manifest;
use crate::probe::outcome::Outcome;
use crate::probe::payload::{Payload, Sample};

fn plan() -> Plan {
    let text = r#"
[gateways.edge]
host = "edge.example"
[mailboxes.returns]
host = "imap.example"
username = "probe@monitor.example"
password = "secret"
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
"#;
    config::parse(text, "test", Path::new("")).unwrap().0
}

/// Hosts and what their clocks said, in seconds after our start.
type Chain<'a> = &'a [(&'a str, Option<f64>)];

/// What is said of a message that was submitted in `submit` milliseconds and seen after `seen` seconds, by the first look that
/// could show it.
fn said(chain: Chain<'_>, submit: u64, seen: f64, delivered: Option<f64>) -> Way {
    said_of(chain, submit, ((seen - 0.1).max(0.0), seen), delivered)
}

/// The same where the look before was at `looked` seconds.
fn said_of(
    chain: Chain<'_>,
    submit: u64,
    (looked, seen): (f64, f64),
    delivered: Option<f64>,
) -> Way {
    let started = Stamp {
        wall: "2026-11-27T10:11:12.25Z".parse().unwrap(),
        ..Stamp::now()
    };
    let at = |seconds: f64| started + Duration::from_secs_f64(seconds);
    // Clocks say whole seconds.
    let stamp = |seconds: f64| {
        let ms = started.wall.as_millisecond() + milli(seconds);
        Timestamp::from_second(ms.div_euclid(1000)).unwrap()
    };
    let hops = chain.iter().map(|(by, seconds)| Hop {
        by: Some((*by).into()),
        at: seconds.map(stamp),
        ..Hop::default()
    });
    let submit = Duration::from_millis(submit);
    let attempt = Attempt {
        started,
        ended: started + submit,
        kept: true,
        address: None,
        other: None,
        may_go_clear: false,
        tls: None,
        vantage: Vantage::Public,
        steps: vec![Step {
            phase: Phase::Mail,
            took: Duration::ZERO,
        }],
        data_began: Some(started),
        dot: Some(started + submit),
        end: End::Accepted(Reply {
            code: 250,
            esc: [0; 3],
            raw: "250 ok".into(),
        }),
        transcript: Vec::new(),
    };
    let copy = Copy {
        seen: at(seen),
        by: SeenBy::Poll,
        looked_before: Some(at(looked)),
        was_unreadable: false,
        delivered_at: delivered.map(stamp),
        folder: "INBOX".into(),
        uid: Uid::Imap {
            validity: 1,
            uid: 1,
        },
        size: 1000,
        outcome: Outcome::Delivered,
        carriers: Vec::new(),
        marks: Marks::default(),
        holds: true,
        integrity: Box::new(Integrity::default()),
        hops: Hops {
            hops: hops.collect(),
            left_out: 0,
        },
        authentication: Authentication::default(),
    };
    let plan = plan();
    let sample = Sample::of(Payload::Plain);
    Case {
        route: plan.routes.values().next().unwrap(),
        sample: &sample,
        manifest: &Manifest::nothing(),
        expect: &[Outcome::Delivered],
        control: None,
        came_through: &[],
        attempts: &[attempt],
        copies: &[copy],
        listings: &[],
        bounce: None,
        close: &Close::Settled,
    }
    .way()
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
fn milli(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

#[test]
fn the_slow_part_is_named() {
    let words =
        |chain: Chain<'_>, submit, seen, delivered| said(chain, submit, seen, delivered).words;
    let [a, b, c] = ["mx1", "filter2", "store"];
    let chain = |times: [Option<f64>; 3]| [(a, times[0]), (b, times[1]), (c, times[2])];
    for (times, submit, seen, delivered, expected) in [
        (
            [Some(0.0), Some(14.3), Some(14.9)],
            40,
            15.1,
            Some(15.0),
            "; about 14 s of 15.1 s between mx1 and filter2",
        ),
        (
            [Some(0.0), Some(0.5), Some(14.9)],
            40,
            15.1,
            None,
            "; about 15 s of 15.1 s between filter2 and store",
        ),
        (
            [Some(0.0), None, Some(14.9)],
            40,
            15.1,
            Some(15.0),
            "; about 15 s of 15.1 s between mx1 and store",
        ),
        (
            [Some(0.0), Some(0.3), Some(0.5)],
            40,
            15.1,
            // The looks in between have not shown it.
            Some(0.6),
            "; about 15 s of 15.1 s between store and the mailbox",
        ),
        (
            [Some(9.0), Some(14.2), Some(14.3)],
            14_000,
            15.1,
            Some(14.6),
            "; 14 s of 15.1 s until the gateway had taken the message",
        ),
        // The filter's clock is ahead, and what is slow is beside it.
        (
            [Some(0.0), Some(600.3), Some(14.9)],
            40,
            15.1,
            Some(15.0),
            "; about 15 s of 15.1 s between mx1 and store (the clock of filter2 is about 9m 52s ahead)",
        ),
        // The gateway's own is behind.
        (
            [Some(-600.0), Some(14.3), Some(14.9)],
            40,
            15.1,
            Some(15.0),
            "; about 14 s of 15.1 s between edge.example and filter2 (the clock of mx1 is about 9m 59s behind)",
        ),
        // So is ours: all others agree.
        (
            [Some(300.0), Some(314.3), Some(314.9)],
            40,
            15.1,
            Some(315.0),
            "; about 14 s of 15.1 s between edge.example and filter2 (the clock of this machine is about 5m behind)",
        ),
        (
            [Some(0.0), Some(0.5), Some(1.0)],
            40,
            1.2,
            Some(1.1),
            "; where the time went cannot be told: the hops give no times, or too coarse ones",
        ),
        (
            [Some(0.0), Some(12.0), Some(2.0)],
            40,
            15.1,
            Some(15.0),
            "; where the time went cannot be told: the clocks of filter2 and store contradict each other",
        ),
    ] {
        let told = words(&chain(times), submit, seen, delivered);
        assert_eq!(told, expected, "{times:?}");
    }
    assert_eq!(
        words(&[], 40, 15.1, None),
        "; 15 s of 15.1 s between edge.example and the mailbox"
    );
    let store = chain([Some(0.0), Some(0.3), Some(0.5)]);
    assert_eq!(
        said_of(&store, 40, (0.4, 15.1), Some(0.6)).words,
        "; about 14 s of 15.1 s in the mailbox, until a look found it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_chain_is_spoken_of_in_one_line(
        times in prop::collection::vec(prop::option::of(-1e7_f64..1e7), 0..9),
        seen in 0.1_f64..1e5,
    ) {
        let chain: Vec<_> = times.iter().map(|at| ("host.example", *at)).collect();
        let way = said(&chain, 40, seen, None);
        prop_assert!(way.words.starts_with("; ") && !way.words.contains(char::is_control));
        prop_assert!(way.slowest.is_some());
        let json = serde_json::to_string(&way.slowest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Option<Slowest>>(&json).unwrap(), way.slowest);
    }
}
