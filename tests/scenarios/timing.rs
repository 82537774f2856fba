//! Each phase is measured by its own instants: a step that is slow makes its own phase longer and no other.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use mailrobin::probe::outcome::Phase;

use crate::scenario::Scenario;
use crate::{QUIET, judge, stage};

/// How long the slow step holds its reply back: a little more than what is asked for below, because the peer counts from
/// its accept, which comes before the client's connect returns.
const HELD_BACK: f64 = 230.0;
/// What the slow step must take.
const LEAST: f64 = 200.0;
/// What no other phase may take.
const MOST: f64 = 100.0;
/// How often each is played. A busy machine only ever adds to a phase, so the shortest time is what it took.
const TIMES: usize = 3;

#[test]
fn only_the_phase_of_the_slow_step_grows() {
    let _quiet = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    for (step, slow) in [
        ("banner", Phase::Banner),
        ("ehlo", Phase::Ehlo),
        ("mail", Phase::Mail),
        ("rcpt", Phase::Rcpt),
        ("data", Phase::Data),
        ("message", Phase::Data),
    ] {
        let text = format!(
            "title = \"{step} is slow\"\n\
             gateway = {{ deliver = true, delay = {{ {step} = \"{HELD_BACK}ms\" }} }}\n\
             expect = {{ exit = 0, outcome = \"delivered\" }}\n"
        );
        let scenario = Scenario::parse(&text).unwrap();
        let mut shortest = BTreeMap::new();
        for _ in 0..TIMES {
            for (phase, took) in phases(&scenario) {
                let least = shortest.entry(phase).or_insert(took);
                *least = took.min(*least);
            }
        }
        for (phase, took) in &shortest {
            if *phase == slow {
                assert!(*took >= LEAST, "{step}: {shortest:#?}");
                assert!(*took < HELD_BACK + MOST, "{step}: {shortest:#?}");
            } else {
                assert!(*took < MOST, "{step}: {shortest:#?}");
            }
        }
    }
}

/// What each phase took, in milliseconds.
fn phases(scenario: &Scenario) -> Vec<(Phase, f64)> {
    let played = stage::play(scenario);
    let differences = judge::differences(scenario, &played);
    assert!(differences.is_empty(), "{differences:#?}");
    let document = played.document.unwrap();
    let phases = &document.probes[0].phases;
    let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "dns", "connect", "banner", "ehlo", "mail", "rcpt", "data", "transit"
        ]
    );
    phases.iter().map(|phase| (phase.name, phase.ms)).collect()
}
