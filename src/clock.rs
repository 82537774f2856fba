//! The only reader of the clock.
//!
//! The wall clock reports, the monotonic clock measures; both are read together, once, so that a record's times belong
//! to each other. Pure rooms never come here for the time: they are handed a [`Stamp`].

use std::ops::Add;
use std::time::{Duration, Instant};

use jiff::Timestamp;

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

impl Add<Duration> for Stamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self {
            wall: self.wall.saturating_add(later).unwrap_or(self.wall),
            mono: self.mono + later,
        }
    }
}
