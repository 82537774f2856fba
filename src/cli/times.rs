//! Times as a command line says them: a moment, a date, or how long ago.

use anyhow::{Context, Result, bail};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// What the help says of them.
pub(super) const HELP: &str = "a date, a time (RFC 3339), or how long ago, such as 7d";

/// The zone that is named, else the system's.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone> {
    match name {
        None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        Some(name) => TimeZone::get(name).with_context(|| {
            format!("there is no time zone {name:?}: write one like Europe/Berlin, or UTC")
        }),
    }
}

/// The moment that is meant. A date means its first moment; what is without a zone is in that of `now`.
pub(super) fn moment(text: &str, now: &Zoned) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let zone = now.time_zone();
    if let Ok(at) = text.parse::<DateTime>() {
        // The same text may be a date alone: midnight.
        return Ok(at.to_zoned(zone.clone())?.timestamp());
    }
    if let Ok(date) = text.parse::<Date>() {
        return Ok(date.to_zoned(zone.clone())?.timestamp());
    }
    match text.parse::<Span>() {
        Ok(ago) if ago.is_positive() => Ok(now.checked_sub(ago)?.timestamp()),
        Ok(_) => bail!("{text:?} is not how long ago: write it like 7d or 12h"),
        Err(_) => bail!(
            "{text:?} is no time: write a date like 2026-10-01, a time like 2026-10-01T08:00:00Z, or how long ago, like 7d"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_a_time() {
        let now: Zoned = "2026-11-21T13:00:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("2026-10-01T08:00:00Z", "2026-10-01T08:00:00Z"),
            ("2026-10-01T08:00:00+02:00", "2026-10-01T06:00:00Z"),
            ("2026-10-01T08:00", "2026-10-01T06:00:00Z"),
            ("2026-10-01 08:00:30", "2026-10-01T06:00:30Z"),
            ("2026-10-01", "2026-09-30T22:00:00Z"),
            ("2026-12-01", "2026-11-30T23:00:00Z"),
            ("12h", "2026-11-21T00:00:00Z"),
            ("7d", "2026-11-14T12:00:00Z"),
            ("1 month", "2026-10-21T11:00:00Z"),
            ("1y", "2025-11-21T12:00:00Z"),
        ] {
            assert_eq!(moment(text, &now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "yesterday", "-7d", "0s", "2026-13-01", "7"] {
            assert!(moment(text, &now).is_err(), "{text}");
        }
    }
}
