//! Durations as people read them.

use std::time::Duration;

/// A limit as a person says it: `1m 30s`.
pub fn seconds(limit: Duration) -> String {
    format!(
        "{:#}",
        jiff::SignedDuration::try_from(limit).unwrap_or_default()
    )
}
