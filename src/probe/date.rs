//! Dates as mail servers write them: RFC 5322, its obsolete forms, and what else is met in trace fields.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// A longer text is no date.
const LONGEST: usize = 256;
/// A day may be named wrongly: the date counts.
const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// The moment that a date names, if it can be made out: with or without the day of the week, a comment, a fraction of a
/// second, a zone by number or by one of the names of RFC 5322 §4.3; in the form of ISO 8601; or as Go prints a time, with
/// its `m=+5`. A date without a zone names no moment.
pub fn moment(text: &str) -> Option<Timestamp> {
    if text.len() > LONGEST {
        return None;
    }
    if let Ok(at) = PARSER.parse_timestamp(text.trim()) {
        return Some(at);
    }
    let bare = without_comments(text);
    let words = bare
        .split_whitespace()
        .filter(|word| *word != ",")
        .take_while(|word| !word.starts_with("m="));
    let words: Vec<_> = words.collect();
    match words.as_slice() {
        [day, ..] if day.len() >= 10 && day.get(4..5) == Some("-") => iso8601(&words),
        [day, rest @ ..] if is_weekday(day) => rfc5322(&day_first(rest)),
        _ => rfc5322(&words),
    }
}

/// A day of the week, which says nothing that the date does not: `Tue`, `Tue,` or `Tuesday`.
fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let word = word.trim_end_matches([',', '.']).to_ascii_lowercase();
    let is_named = DAYS.iter().any(|day| word.starts_with(day));
    is_named && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// The words of a date in the order of RFC 5322, from `Dec 1 05:00:00 +0000 2026` and `Dec 1 05:00:00 2026 +0000`, as the
/// C library and date(1) write it.
fn day_first<'t>(words: &[&'t str]) -> Vec<&'t str> {
    let is_year = |word: &&&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    match words {
        [month, day, time, rest @ ..] if time.contains(':') => {
            let year = rest.iter().find(is_year);
            let zone = rest.iter().filter(|word| !is_year(word));
            let date = [*day, *month].into_iter();
            date.chain(year.copied())
                .chain([*time])
                .chain(zone.copied())
                .collect()
        }
        _ => words.to_vec(),
    }
}

fn rfc5322(words: &[&str]) -> Option<Timestamp> {
    let mut fraction = 0;
    let mut written: Vec<Cow<'_, str>> = Vec::new();
    for word in words {
        let is_zone = |word: &str| word.starts_with(['+', '-']) && word.len() >= 5;
        // A name behind the number says nothing more.
        if written.last().is_some_and(|last| is_zone(last)) {
            break;
        }
        let word = match word.split_once('.') {
            Some((time, digits)) if time.contains(':') => {
                fraction = nanoseconds(digits)?;
                time.into()
            }
            _ => zone(word),
        };
        written.push(word);
    }
    let at = PARSER.parse_timestamp(written.join(" ")).ok()?;
    at.checked_add(jiff::SignedDuration::from_nanos(fraction))
        .ok()
}

/// A zone as RFC 5322 writes it, from `UTC`, `GMT+0100` or `+01:00`.
fn zone(word: &str) -> Cow<'_, str> {
    let upper = word.to_ascii_uppercase();
    let number = ["UTC", "GMT"]
        .iter()
        .find_map(|name| upper.strip_prefix(name))
        .unwrap_or(&upper);
    if number.is_empty() {
        "+0000".into()
    } else if number.starts_with(['+', '-']) {
        number.replace(':', "").into()
    } else {
        word.into()
    }
}

fn nanoseconds(digits: &str) -> Option<i64> {
    let nine: String = digits.chars().chain("000000000".chars()).take(9).collect();
    nine.parse().ok()
}

fn iso8601(words: &[&str]) -> Option<Timestamp> {
    match words {
        [whole] => whole.parse().ok(),
        [day, time] => format!("{day}T{time}").parse().ok(),
        [day, time, offset, ..] => format!("{day}T{time}{}", zone(offset)).parse().ok(),
        [] => None,
    }
}

/// The text without what stands in parentheses, which nest (RFC 5322 §3.2.2).
fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let mut escaped = false;
    text.chars()
        .filter(|char| {
            let is_quoted = std::mem::replace(&mut escaped, false);
            match char {
                _ if is_quoted => depth == 0,
                '\\' => {
                    escaped = true;
                    depth == 0
                }
                '(' => {
                    depth += 1;
                    false
                }
                ')' => {
                    let was_inside = depth > 0;
                    depth = depth.saturating_sub(1);
                    !was_inside
                }
                _ => depth == 0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_one_moment() {
        let moment_of = |text: &str| moment(text).map(|at| at.to_string());
        for text in [
            "Fri, 27 Nov 2026 10:11:12 +0000",
            "27 Nov 2026 10:11:12 -0000",
            "Fri, 27 Nov 2026 02:11:12 -0800 (PST)",
            "Fri, 27 Nov 2026 11:11:12 +0100 (CET (winter \\) time))",
            "Fri, 27 Nov 2026 11:11:12 +0100 CET",
            "Fri, 27 Nov 2026 11:11:12 +01:00",
            "Fri, 27 Nov 2026 11:11:12 GMT+0100",
            "Mon, 27 Nov 2026 10:11:12 GMT",
            "Fri,27 Nov 2026 10:11:12 UTC",
            "Fri 27 Nov 2026 10:11:12 +0000",
            "Friday, 27 Nov 2026 10:11:12 +0000",
            "Friday 27 Nov 2026 10:11:12 +0000 (UTC)",
            "Fri , 27 Nov 2026 10:11:12 +0000",
            "Fri Nov 27 10:11:12 UTC 2026",
            "Fri Nov 27 11:11:12 2026 +0100",
            "Fri, 27 Nov 2026 05:11:12 EST",
            "Fri, 27 Nov 26 10:11:12 UT",
            "Fri,  27\tNov\r\n 2026   10:11:12   Z",
            "2026-11-27T10:11:12Z",
            "2026-11-27 11:11:12 +0100",
            "2026-11-27 10:11:12 +0000 UTC m=+5",
            "2026-11-27T11:11:12+01:00",
        ] {
            assert_eq!(
                moment_of(text).as_deref(),
                Some("2026-11-27T10:11:12Z"),
                "{text}"
            );
        }
        for text in [
            "Fri, 27 Nov 2026 10:11:12.25 +0000 (UTC)",
            "2026-11-27 10:11:12.25 +0000 UTC m=+5.000123",
        ] {
            assert_eq!(
                moment_of(text).as_deref(),
                Some("2026-11-27T10:11:12.25Z"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_names_no_moment() {
        for text in [
            "",
            "yesterday",
            "Fri, 27 Nov 2026 10:11:12",
            "Fri 27 Nov 2026 10:11:12",
            "Fri Nov 27 10:11:12 2026",
            "Friday",
            "2026-11-27 10:11:12",
            "Fri, 31 Feb 2026 10:11:12 +0000",
            "Fri, 27 Nov 2026 25:11:12 +0000",
            "((((((((",
            "Fri, 27 Nov 99999999999999999999 10:11:12 +0000",
            "10:11:12.😀 +0000",
            "2026-😀",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        assert_eq!(moment(&"(".repeat(100_000)), None);
    }
}
