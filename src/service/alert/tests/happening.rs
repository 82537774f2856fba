//! Anything that can happen to a board, in any order.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::plan::{Maintenance, Policy, Program, Recovery};
use crate::config::value::Rate;
use crate::probe::outcome::Code;
use crate::service::alert::*;

/// Something that happens, and how many seconds after what happened before it; negative where the clock is set back.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    after: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Of one of the tests, how long before it was due, by how much its place in the order is behind.
    Result(usize, Verdict, Code, i64, u64),
    Acknowledge(usize),
    Tick,
}

pub(super) const TESTS: [(&str, &str); 5] = [
    ("network", "ping"),
    ("gateway", "ping"),
    ("inbound", "plain"),
    ("inbound", "eicar"),
    ("outbound", "plain"),
];

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let verdict = prop_oneof![
        4 => Just((Verdict::Pass, Code::Ok)),
        1 => Just((Verdict::Warn, Code::Slow)),
        6 => Just((Verdict::Fail, Code::Missing)),
        1 => Just((Verdict::Fail, Code::Leak)),
        2 => Just((Verdict::Unknown, Code::MailboxUnreadable)),
    ];
    let lag = prop_oneof![4 => Just(0_i64), 1 => 0..2000_i64];
    let behind = prop_oneof![8 => Just(0_u64), 1 => 1..4_u64];
    let result = (0..TESTS.len(), verdict, lag, behind);
    let what = prop_oneof![
        20 => result.prop_map(|(test, (verdict, code), lag, behind)| What::Result(test, verdict, code, lag, behind)),
        1 => (0..TESTS.len()).prop_map(What::Acknowledge),
        4 => Just(What::Tick),
    ];
    let after = prop_oneof![10 => 0..120_i64, 1 => 0..4000_i64, 1 => -4000..0_i64];
    (after, what).prop_map(|(after, what)| Happening { after, what })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let remind = prop::option::of((60..4000_u64).prop_map(Duration::from_secs));
    (1..4_u32, 1..3_u32, 1..5_u32, remind).prop_map(|(fail, recover, most, remind)| Policy {
        fail_after: fail,
        recover_after: recover,
        max_alerts: most,
        remind_every: remind,
        depends_on: None,
    })
}

/// The network carries the gateway, which carries both routes.
pub(super) fn watches(policies: &[Policy]) -> BTreeMap<RouteName, Arc<Watch>> {
    let names = ["network", "gateway", "inbound", "outbound"];
    let parents = [None, Some("network"), Some("gateway"), Some("gateway")];
    let watch = |(policy, parent): (&Policy, Option<&str>)| Watch {
        enabled: true,
        lines: Vec::new(),
        every_when_down: None,
        every_when_lost: None,
        maintenance: vec![Maintenance::Once {
            from: beginning() + Duration::from_mins(15),
            to: beginning() + Duration::from_mins(20),
        }],
        policy: Policy {
            depends_on: parent.map(RouteName::from),
            ..policy.clone()
        },
        alerts: vec!["oncall".into()],
        recovery: Some(Arc::new(Recovery {
            program: Program {
                command: Vec::new(),
                env: Vec::new(),
                withheld: Arc::default(),
                timeout: Duration::from_secs(1),
            },
            at_most: Rate::parse("2/h").unwrap(),
        })),
    };
    let all = policies.iter().zip(parents).map(watch);
    names
        .into_iter()
        .map(RouteName::from)
        .zip(all.map(Arc::new))
        .collect()
}

pub(super) fn beginning() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(super) fn key((route, test): (&str, &str)) -> TestKey {
    TestKey::new(route.into(), test, "")
}

/// The events of what happens, with their times.
pub(super) fn events(happenings: &[Happening]) -> Vec<(Timestamp, Event)> {
    let mut now = beginning();
    let mut seq = 0_u64;
    let mut events = Vec::new();
    for (number, happening) in happenings.iter().enumerate() {
        now = now
            .saturating_add(jiff::SignedDuration::from_secs(happening.after))
            .unwrap();
        let event = match happening.what {
            What::Result(test, verdict, code, lag, behind) => {
                seq += 1;
                Event::Result(Finding {
                    key: key(TESTS[test]),
                    seq: seq.saturating_sub(behind * 5),
                    probe: Uuid::from_u64_pair(1, number as u64),
                    due_at: now
                        .saturating_sub(jiff::SignedDuration::from_secs(lag))
                        .unwrap(),
                    verdict,
                    code,
                    reason: "some\nreason".into(),
                    is_unwelcome: code.is_unwelcome(),
                })
            }
            What::Acknowledge(test) => Event::Acknowledge {
                route: TESTS[test].0.into(),
                by: "ann".into(),
                note: None,
            },
            What::Tick => Event::Tick,
        };
        events.push((now, event));
    }
    events
}
