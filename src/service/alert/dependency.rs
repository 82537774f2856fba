//! What a failure has to do with the routes that its route depends on.

use jiff::Timestamp;

use super::Board;
use crate::probe::name::RouteName;
use crate::probe::state::{State, TestKey};

/// What the routes that a route depends on say of its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// They are well: it is the route's own.
    Clear,
    /// These tests of theirs fail too, and are not Down yet.
    Undecided(Vec<TestKey>),
    /// This route was Down when the failed probe was due, and is not any more.
    Explained(RouteName),
    /// This route is Down.
    Down(RouteName),
}

impl Board {
    /// What the routes that a route depends on say of its failure, the probe of which was due then.
    ///
    /// A probe that was due while one of them was Down says nothing of its own route, even where its result comes late:
    /// after an outage the last results of everything that depends on it come in when it is over.
    pub(super) fn link(&self, route: &RouteName, due_at: Timestamp, now: Timestamp) -> Link {
        let mut undecided = Vec::new();
        let mut explained = None;
        for ancestor in self.ancestors(route) {
            if self.route_state(ancestor) >= State::Down {
                return Link::Down(ancestor.clone());
            }
            for (key, standing) in self.tests(ancestor) {
                if standing.failures.count > 0 {
                    undecided.push(key.clone());
                }
                // A time in the future was noted by a clock that was set back since.
                let until = standing.down_until.filter(|until| *until <= now);
                if until.is_some_and(|until| due_at < until) {
                    explained = Some(ancestor.clone());
                }
            }
        }
        match explained {
            Some(ancestor) => Link::Explained(ancestor),
            None if undecided.is_empty() => Link::Clear,
            None => Link::Undecided(undecided),
        }
    }

    /// The routes that a route depends on, the nearest first.
    pub(super) fn ancestors(&self, route: &RouteName) -> Vec<&RouteName> {
        let parent = |route: &RouteName| self.watches.get(route)?.policy.depends_on.as_ref();
        let mut found: Vec<&RouteName> = Vec::new();
        let mut next = parent(route);
        while let Some(ancestor) = next.filter(|it| *it != route && !found.contains(it)) {
            found.push(ancestor);
            next = parent(ancestor);
        }
        found
    }

    /// The routes that depend on a route.
    pub(super) fn dependents(&self, route: &RouteName) -> Vec<RouteName> {
        let routes = self.watches.keys();
        routes
            .filter(|other| self.ancestors(other).contains(&route))
            .cloned()
            .collect()
    }
}
