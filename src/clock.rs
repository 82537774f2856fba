//! The only reader of the clock.
//!
//! The wall clock reports, the monotonic clock measures; both are read together, once, so that a record's times belong
//! to each other. Pure rooms never come here for the time: they are handed a [`Stamp`].

use std::ops::Add;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What people read: UTC.
    pub wall: Timestamp,
    /// What durations are taken from.
    pub mono: Instant,
}

impl Stamp {
    /// Reads both clocks. Under a paused tokio runtime the monotonic half follows the paused clock.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            mono: tokio::time::Instant::now().into_std(),
        }
    }

    /// Time passed since `earlier` on the monotonic clock; zero where `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_duration_since(earlier.mono)
    }

    /// Returns the stamp of a wall time that an earlier process noted, seen from this one. A wall time that lies in the
    /// future was noted before the clock was set back: it counts as now.
    #[must_use]
    pub fn recalled(self, wall: Timestamp) -> Self {
        let earlier = Duration::try_from(self.wall.duration_since(wall));
        let mono = self.mono.checked_sub(earlier.unwrap_or_default());
        Self {
            wall,
            mono: mono.unwrap_or(self.mono),
        }
    }

    /// The wall time of a monotonic instant near this stamp.
    pub fn wall_at(self, mono: Instant) -> Timestamp {
        let later = mono.saturating_duration_since(self.mono);
        let earlier = self.mono.saturating_duration_since(mono);
        self.wall
            .saturating_add(later)
            .and_then(|wall| wall.saturating_sub(earlier))
            .unwrap_or(self.wall)
    }
}

/// Only the wall time outlives a process.
impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.wall.serialize(serializer)
    }
}

/// A stamp of an earlier process: its monotonic half lies as far from now as its wall time does, so that what is reckoned
/// with it is reckoned by the wall clock.
impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(|wall| Self::now().recalled(wall))
    }
}

impl Add<Duration> for Stamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self {
            wall: self.wall.saturating_add(later).unwrap_or(self.wall),
            mono: self.mono + later,
        }
    }
}
