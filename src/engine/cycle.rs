//! The probes of one route that are sent together, and the one among them that tells a filter's work from an outage.

use std::sync::Arc;

use crate::config::plan::{Route, Test};
use crate::probe::payload::Payload;

/// The tests of one route that are sent together, the control first.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// The route under test.
    pub route: Arc<Route>,
    /// What is sent, in this order.
    pub tests: Vec<Test>,
    /// Whether the first of them is the control of the others.
    pub has_control: bool,
}

impl Cycle {
    /// A cycle of these tests. Where one of them needs a control and none of them is `plain`, one is added.
    pub fn new(route: Arc<Route>, mut tests: Vec<Test>) -> Self {
        let has_control = tests.iter().any(Test::needs_control);
        if has_control {
            let plain = tests
                .iter()
                .position(|test| test.sample.payload == Payload::Plain);
            let control = plain.map_or_else(|| Test::of(Payload::Plain), |at| tests.remove(at));
            tests.insert(0, control);
        }
        Self {
            route,
            tests,
            has_control,
        }
    }
}
