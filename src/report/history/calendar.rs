//! Calendar periods: the last whole month, the months of a year, `2026-10`.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::store::Span;

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
    /// From the first of January on.
    Year,
}

impl Unit {
    /// The first day of the one that this day is in.
    fn first(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => {
                let since = i64::from(day.weekday().since(Weekday::Monday));
                day.saturating_sub(since.days())
            }
            Self::Month => day.first_of_month(),
            Self::Year => day.first_of_year(),
        }
    }

    /// The first day of the next one.
    fn next(self, first: Date) -> Date {
        first.saturating_add(match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Year => 1.year(),
        })
    }

    /// What one of them is called by its first day.
    pub fn name(self, first: Date) -> String {
        match self {
            Self::Day | Self::Week => first.to_string(),
            Self::Month => first.strftime("%Y-%m").to_string(),
            Self::Year => first.strftime("%Y").to_string(),
        }
    }
}

/// The first moment of a day.
fn begin(day: Date, zone: &TimeZone) -> Timestamp {
    let begin = day.to_zoned(zone.clone());
    begin.map_or(Timestamp::MAX, |begin| begin.timestamp())
}

/// The last one that is over.
pub fn last_whole(unit: Unit, now: &Zoned) -> Span {
    let this = unit.first(now.date());
    let last = unit.first(this.saturating_sub(1.day()));
    Span {
        from: begin(last, now.time_zone()),
        to: begin(this, now.time_zone()),
    }
}

/// The one that is named like `2026`, `2026-10` or `2026-10-05`.
pub fn named(text: &str, zone: &TimeZone) -> Option<Span> {
    let (unit, day) = match text.split('-').count() {
        1 => (Unit::Year, format!("{text}-01-01")),
        2 => (Unit::Month, format!("{text}-01")),
        _ => (Unit::Day, text.to_owned()),
    };
    let day: Date = day.parse().ok()?;
    // Dates can be written in other ways, which are not meant here.
    (unit.name(day) == text).then(|| Span {
        from: begin(day, zone),
        to: begin(unit.next(day), zone),
    })
}

/// The periods that a time is made of, the oldest first: the first and the last as far as they are part of it.
pub fn parts(span: Span, unit: Unit, zone: &TimeZone) -> Vec<(Date, Span)> {
    let mut parts = Vec::new();
    let mut first = unit.first(span.from.to_zoned(zone.clone()).date());
    while span.from < span.to && begin(first, zone) < span.to {
        let next = unit.next(first);
        let part = Span {
            from: begin(first, zone).max(span.from),
            to: begin(next, zone).min(span.to),
        };
        if part.from < part.to {
            parts.push((first, part));
        }
        // The calendar ends somewhere.
        if next <= first {
            break;
        }
        first = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn span(from: &str, to: &str) -> Span {
        Span {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    #[test]
    fn the_last_whole_ones() {
        let now: Zoned = "2026-03-30T00:30:00[Europe/Berlin]".parse().unwrap();
        for (unit, expected) in [
            // The day on which the clocks went forward has 23 hours.
            (
                Unit::Day,
                span("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ),
            (
                Unit::Week,
                span("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            ),
            (
                Unit::Month,
                span("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
            ),
            (
                Unit::Year,
                span("2024-12-31T23:00:00Z", "2025-12-31T23:00:00Z"),
            ),
        ] {
            assert_eq!(last_whole(unit, &now), expected, "{unit:?}");
        }
    }

    #[test]
    fn those_that_are_named() {
        for (text, expected) in [
            (
                "2026",
                Some(span("2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z")),
            ),
            (
                "2026-10",
                Some(span("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")),
            ),
            (
                "2026-10-25",
                Some(span("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")),
            ),
            ("2026-13", None),
            ("26", None),
            ("month", None),
            ("20261025", None),
            ("", None),
        ] {
            assert_eq!(named(text, &berlin()), expected, "{text}");
        }
    }

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        let whole = span("2026-02-10T10:00:00Z", "2026-05-01T00:00:00Z");
        for (unit, count, first) in [
            (Unit::Day, 81, "2026-02-10"),
            (Unit::Week, 12, "2026-02-09"),
            (Unit::Month, 4, "2026-02"),
            (Unit::Year, 1, "2026"),
        ] {
            let parts = parts(whole, unit, &berlin());
            assert_eq!(parts.len(), count, "{unit:?}");
            assert_eq!(unit.name(parts[0].0), first);
            assert_eq!(parts[0].1.from, whole.from);
            assert_eq!(parts[count - 1].1.to, whole.to);
            assert!(parts.windows(2).all(|two| two[0].1.to == two[1].1.from));
        }
        assert!(
            parts(
                span("2026-02-10T10:00:00Z", "2026-02-10T10:00:00Z"),
                Unit::Month,
                &berlin()
            )
            .is_empty()
        );
    }
}
