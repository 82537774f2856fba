//! The rule, held against ways of which the truth is known.

use proptest::prelude::*;

use super::*;

/// A way as it truly was: one hop a host, in milliseconds since the accepted attempt began.
#[derive(Clone, Debug)]
struct Truth {
    /// When the gateway had taken the message.
    accepted: f64,
    /// How long each part of the way after that took, the wait in the mailbox the last.
    parts: Vec<f64>,
    /// Which of them was the slow one.
    slow: usize,
    /// What part of a second our own start was.
    fraction: f64,
    /// The host whose clock is off, and by how much.
    skew: Option<(usize, f64)>,
    /// Whether the mailbox says when it got the copy.
    says_delivery: bool,
}

impl Truth {
    fn course(&self) -> Course {
        let stamp = |true_time: f64, host: usize| {
            let skew = self.skew.filter(|(one, _)| *one == host);
            let clock = true_time + self.fraction + skew.map_or(0.0, |(_, skew)| skew);
            Some(Reading {
                at: (clock / 1000.0).floor() * 1000.0 - self.fraction,
                grain: GRAIN,
            })
        };
        let mut at = self.accepted;
        let mut hops = vec![Stamped {
            host: 0,
            at: stamp(at / 2.0, 0),
        }];
        let (wait, between) = self.parts.split_last().unwrap();
        let (delivery, between) = between.split_last().unwrap();
        for (host, part) in (1..).zip(between) {
            at += part;
            hops.push(Stamped {
                host,
                at: stamp(at, host),
            });
        }
        let delivered = at + delivery;
        Course {
            phases: vec![self.accepted / 2.0, self.accepted],
            session: self.accepted,
            hops,
            delivered: self
                .says_delivery
                .then(|| stamp(delivered, usize::MAX).unwrap()),
            looked: (delivered - 20.0).max(0.0),
            seen: delivered + wait,
        }
    }

    /// The ends of the slow part.
    fn slow(&self) -> (Point, Point) {
        let point = |number: usize| {
            if number == 0 {
                Point::Own(2)
            } else if number == self.parts.len() {
                Point::Seen
            } else if number == self.parts.len() - 1 {
                Point::Mailbox
            } else {
                Point::Hop(number)
            }
        };
        (point(self.slow), point(self.slow + 1))
    }
}

/// Chains of 3 to 8 hops with one part that took at least two thirds of the time.
fn truth(totals: std::ops::Range<f64>) -> impl Strategy<Value = Truth> {
    let rest = prop::collection::vec(0.01_f64..1.0, 4..10);
    (
        rest,
        any::<prop::sample::Index>(),
        totals,
        0.67_f64..0.99,
        0.0_f64..1000.0,
        any::<bool>(),
    )
        .prop_map(|(mut parts, slow, total, share, fraction, says_delivery)| {
            let slow = slow.index(parts.len());
            parts[slow] = 0.0;
            let sum: f64 = parts.iter().sum();
            for part in &mut parts {
                *part *= total * (1.0 - share) / sum;
            }
            parts[slow] = total * share;
            Truth {
                accepted: 40.0,
                parts,
                slow,
                fraction,
                skew: None,
                says_delivery,
            }
        })
}

fn contains(truth: &Truth) -> Result<bool, TestCaseError> {
    let course = truth.course();
    let found = course.slowest();
    let (from, to) = truth.slow();
    match found.slowest {
        Err(_) => Ok(false),
        Ok(span) => {
            prop_assert!(
                span.from <= from && span.to >= to,
                "{from:?}..{to:?} is not in {span:?} of {course:?}"
            );
            let took = truth.parts[truth.slow];
            prop_assert!(span.most + 1.0 >= took, "{took} is more than {span:?}");
            Ok(true)
        }
    }
}

const TEN_MINUTES: f64 = 600_000.0;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn right_clocks_name_the_slow_part_itself(truth in truth(20_000.0..590_000.0)) {
        // Where the mailbox keeps no time, a long wait between two looks at it is not told from the way there.
        let truth = Truth { says_delivery: true, ..truth };
        let found = truth.course().slowest();
        let (from, to) = truth.slow();
        let span = found.slowest.map_err(|doubt| TestCaseError::fail(format!("{doubt:?}")))?;
        prop_assert_eq!((span.from, span.to), (from, to), "{:?}", truth.course());
        prop_assert!(found.skews.iter().all(Option::is_none));
        prop_assert!((span.most - span.least) <= 3.1 * GRAIN);
    }

    #[test]
    fn right_clocks_are_never_wrong(truth in truth(5_000.0..7_200_000.0)) {
        contains(&truth)?;
    }

    #[test]
    fn a_clock_that_is_ten_minutes_off_names_nothing_wrong(
        truth in truth(5_000.0..7_200_000.0),
        host in any::<prop::sample::Index>(),
        ahead in proptest::bool::ANY,
    ) {
        let host = host.index(truth.parts.len() - 1);
        let skew = if ahead { TEN_MINUTES } else { -TEN_MINUTES };
        contains(&Truth { skew: Some((host, skew)), ..truth })?;
    }

    #[test]
    fn nor_does_one_that_is_off_by_more(
        truth in truth(5_000.0..7_200_000.0),
        host in any::<prop::sample::Index>(),
        skew in TEN_MINUTES..200_000_000.0,
        ahead in proptest::bool::ANY,
    ) {
        let host = host.index(truth.parts.len() - 1);
        let skew = if ahead { skew } else { -skew };
        contains(&Truth { skew: Some((host, skew)), ..truth })?;
    }

    #[test]
    fn nor_one_that_is_off_by_less_and_by_more_than_the_whole_way(
        truth in truth(5_000.0..500_000.0),
        host in any::<prop::sample::Index>(),
        more in 2_000.0..90_000.0,
        ahead in proptest::bool::ANY,
    ) {
        let host = host.index(truth.parts.len() - 1);
        let whole: f64 = truth.parts.iter().sum();
        let skew: f64 = if ahead { whole + more } else { -whole - more };
        contains(&Truth { skew: Some((host, skew)), ..truth })?;
    }

    #[test]
    fn any_stamps_at_all_come_to_an_end(
        stamps in prop::collection::vec(prop::option::of(-1e9_f64..1e9), 0..40),
        hosts in prop::collection::vec(0_usize..10, 40),
        seen in 0.0_f64..1e7,
    ) {
        let hops = stamps.iter().zip(hosts).map(|(at, host)| Stamped {
            host,
            at: at.map(|at| Reading { at, grain: GRAIN }),
        });
        let course = Course {
            phases: vec![10.0],
            session: 10.0,
            hops: hops.collect(),
            delivered: None,
            looked: 0.0,
            seen: seen + 10.0,
        };
        if let Ok(span) = course.slowest().slowest {
            prop_assert!(span.from < span.to && span.least <= span.most && span.most <= course.seen);
        }
    }
}

/// How often clocks that are right, or one that is not, leave something to be told.
#[test]
fn most_ways_are_told() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut rate = |totals: std::ops::Range<f64>, skew: Option<f64>| {
        let told = (0..1000).filter(|number| {
            let mut truth = truth(totals.clone())
                .new_tree(&mut runner)
                .unwrap()
                .current();
            truth.says_delivery = true;
            truth.skew = skew.map(|skew| (number % (truth.parts.len() - 1), skew));
            contains(&truth).unwrap()
        });
        told.count()
    };
    let told = [
        rate(5_000.0..20_000.0, None),
        rate(20_000.0..590_000.0, None),
        rate(590_000.0..7_200_000.0, None),
        rate(20_000.0..590_000.0, Some(TEN_MINUTES)),
        rate(590_000.0..7_200_000.0, Some(TEN_MINUTES)),
    ];
    eprintln!("{told:?}");
    assert!(told[1] == 1000, "{told:?}");
}
