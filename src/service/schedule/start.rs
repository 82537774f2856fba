//! What goes into a schedule and comes out of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::config::plan::{Timing, Watch};
use crate::config::value::written;
use crate::probe::name::RouteName;

/// A line of a route, by a name that outlives restarts, and changes of the config that do not touch its timing.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct LineKey {
    /// The route.
    pub route: RouteName,
    /// Its timing, such as `every 15m`, in words that tell it from the route's other lines.
    pub line: String,
}

/// How a route is, as far as the times of its tests depend on it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mood {
    /// Nothing fails.
    #[default]
    Well,
    /// Something fails, from the first failure on.
    Failing,
    /// Something fails, and nobody is told any more.
    Lost,
    /// The server turned us away, so many times one after the other: it refused the credentials or the connection, or
    /// because of a blocklist. To test it sooner could lock an account or keep a listing.
    Unwelcome(u32),
}

/// What an earlier run left behind.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// When each line was due last.
    pub last: BTreeMap<LineKey, Timestamp>,
    /// Routes that somebody paused.
    pub paused: BTreeSet<RouteName>,
}

/// Tests that are to be started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The line; what [`Past::last`] is kept under.
    pub key: LineKey,
    /// The line's place in its route's watch.
    pub line: usize,
    /// The route's tests, by their place there.
    pub tests: Vec<usize>,
    /// When exactly it was due.
    pub due: Stamp,
    /// Starts of this line that were missed since the one before it.
    pub missed: u32,
    /// Somebody asked for it. It is none of the schedule's, and not to be kept as the line's last.
    pub is_asked: bool,
}

/// A name for each of a route's lines that stays the same as long as its timing does, and over restarts.
pub(super) fn keys(route: &RouteName, watch: &Watch) -> Vec<LineKey> {
    let mut keys: Vec<LineKey> = Vec::with_capacity(watch.lines.len());
    for line in &watch.lines {
        let timing = match &line.timing {
            Timing::Every(period) => format!("every {}", written(*period)),
            Timing::Cron(cron) => {
                let zone = cron.zone().iana_name().unwrap_or("local");
                format!("cron {cron} {zone}")
            }
        };
        let name = if line.is_harmless {
            timing
        } else {
            format!("{timing} harmful")
        };
        let numbered = |number: usize| match number {
            1 => name.clone(),
            number => format!("{name} #{number}"),
        };
        let free = (1..=watch.lines.len())
            .map(numbered)
            .find(|name| keys.iter().all(|key| key.line != *name));
        keys.push(LineKey {
            route: route.clone(),
            line: free.unwrap_or(name),
        });
    }
    keys
}
