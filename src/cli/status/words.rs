//! Times and shares, in as few characters as a table has.

use std::time::Duration;

use jiff::Timestamp;

use crate::report::human::of_ms;
use crate::service::api::document::Period;

/// Such as `99.95%, 812 ms / 1.2 s`.
pub(super) fn figure(period: &Period) -> String {
    let Some(availability) = period.availability else {
        return "–".to_owned();
    };
    let percent = percent(availability);
    match (period.p50_ms, period.p95_ms) {
        (Some(p50), Some(p95)) => format!("{percent}, {} / {}", of_ms(p50), of_ms(p95)),
        (_, _) => percent,
    }
}

/// Rounded down: what is not all is never 100%.
fn percent(share: f64) -> String {
    // A share is a quotient of whole numbers: what it lacks to one of a hundredth of a percent is no more than this.
    let hundredths = (share * 10_000.0 + 1e-6).floor();
    let text = format!("{:.2}", hundredths / 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// How long before `at` something was, in at most two units: `40s`, `12m`, `3h 5m`, `4d 2h`.
pub(super) fn ago(at: Timestamp, then: Timestamp) -> String {
    let passed = Duration::try_from(at.duration_since(then)).unwrap_or_default();
    let seconds = passed.as_secs();
    let two = |whole: u64, unit: &str, rest: u64, lesser: &str| {
        if rest == 0 {
            format!("{whole}{unit}")
        } else {
            format!("{whole}{unit} {rest}{lesser}")
        }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        86_400.. => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down() {
        for (share, said) in [
            (1.0, "100%"),
            (0.999_999, "99.99%"),
            (0.9995, "99.95%"),
            (0.5, "50%"),
            (2.0 / 3.0, "66.66%"),
            (0.0, "0%"),
        ] {
            assert_eq!(percent(share), said, "{share}");
        }
    }

    #[test]
    fn a_time_has_two_units_at_most() {
        let then = Timestamp::UNIX_EPOCH;
        for (seconds, said) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (11_100, "3h 5m"),
            (86_400, "1d"),
            (360_000, "4d 4h"),
        ] {
            let at = Timestamp::from_second(seconds).unwrap();
            assert_eq!(ago(at, then), said);
        }
        let later = Timestamp::from_second(5).unwrap();
        assert_eq!(ago(then, later), "0s", "clocks may be set back");
    }
}
