//! The lab's only reader of the clocks.
//!
//! Wall time goes into header fields and INTERNALDATE, monotonic time into waiting. Nothing here
//! decides anything.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned, fmt::rfc2822, tz::TimeZone};

/// The wall clock, in UTC.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The monotonic clock, `ahead` of now.
pub(crate) fn instant(ahead: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(ahead).unwrap_or(now)
}

fn in_utc(time: Timestamp) -> Zoned {
    time.to_zoned(TimeZone::UTC)
}

/// A date as RFC 5322 section 3.3 writes it.
pub(crate) fn rfc5322(time: Timestamp) -> String {
    // Only years beyond 9999 cannot be written.
    rfc2822::to_string(&in_utc(time)).unwrap_or_default()
}

/// A date as IMAP's INTERNALDATE writes it (RFC 3501, `date-time`).
pub(crate) fn internal_date(time: Timestamp) -> String {
    in_utc(time).strftime("%d-%b-%Y %H:%M:%S %z").to_string()
}

/// The day of `time` as `2026-11-21`, which sorts as the days do.
pub(crate) fn day(time: Timestamp) -> String {
    in_utc(time).date().to_string()
}
