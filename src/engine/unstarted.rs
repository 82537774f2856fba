//! Records of probes that were never begun.

use uuid::{ContextV7, Timestamp, Uuid};

use super::order::{Identity, Order};
use super::ping::without;
use crate::clock::Stamp;
use crate::config::plan::{Route, Test};
use crate::judge::record;
use crate::judge::verdict::{Case, Close};
use crate::probe::manifest::Manifest;
use crate::probe::record::Record;
use crate::probe::visit::VisitEnd;
use crate::text::line;

/// The records of an order of which nothing was sent, for this reason.
pub fn unstarted(order: &Order, identity: &Identity, reason: &str) -> Vec<Record> {
    let now = Stamp::now();
    let context = ContextV7::new();
    let (seconds, nanoseconds) = (now.wall.as_second(), now.wall.subsec_nanosecond());
    let tests = order
        .cycles
        .iter()
        .flat_map(|cycle| cycle.tests.iter().map(|test| (&cycle.route, test)));
    let unstarted = |record| Record {
        reason: line(reason),
        ..record
    };
    let pings = order.pings.iter();
    let pings = pings.map(|it| without(it, VisitEnd::NotStarted, (&identity.instance, now.wall)));
    tests
        .map(|(route, test)| {
            let at = Timestamp::from_unix(
                &context,
                seconds.try_into().unwrap_or_default(),
                nanoseconds.try_into().unwrap_or_default(),
            );
            let who = record::Identity {
                id: Uuid::new_v7(at),
                instance: &identity.instance,
                due_at: now.wall,
                began_at: None,
                keeping: record::Keeping::default(),
            };
            record_of(route, test, who)
        })
        .chain(pings)
        .map(unstarted)
        .collect()
}

/// The record of a probe that was never begun.
pub(super) fn record_of(route: &Route, test: &Test, who: record::Identity<'_>) -> Record {
    let case = Case {
        route,
        sample: &test.sample,
        manifest: &Manifest::nothing(),
        expect: &test.expect,
        control: None,
        came_through: &[],
        attempts: &[],
        copies: &[],
        listings: &[],
        bounce: None,
        close: &Close::NotStarted,
    };
    case.record(who)
}
