//! Values that a config, or a command line, writes as text: durations, sizes, rates, zones and addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use hickory_resolver::proto::rr::Name;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// The longest name in DNS, without its last dot.
const LONGEST_NAME: usize = 253;
/// No duration of a config is longer.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// A duration like `90s`, `15m`, `1h 30m`; never zero, never negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration: write it like \"90s\", \"15m\" or \"1h 30m\"");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let positive = Duration::try_from(span.map_err(|_| wrong())?).unwrap_or_default();
    if positive.is_zero() {
        return Err(format!(
            "{text:?} is not a time one can wait for: it must be above zero"
        ));
    }
    if positive > LONGEST {
        return Err(format!("{text:?} is longer than a year"));
    }
    Ok(positive)
}

/// How often a day something happens that is done so often.
pub fn times_a_day(interval: Duration) -> u64 {
    let day = Duration::from_hours(24).as_nanos();
    u64::try_from(day / interval.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// A number as people read it: `17,280,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The same, `most` at most.
pub fn duration_within(text: &str, most: Duration) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration > most {
        return Err(format!("{text:?} is longer than {}", written(most)));
    }
    Ok(duration)
}

/// A size like `10MiB`, in bytes; never zero, `most` at most.
pub fn size(text: &str, most: u64) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| format!("{text:?} is not a size: write it like \"10MiB\" or \"500kB\""))?;
    match size.as_u64() {
        0 => Err(format!("{text:?} is nothing")),
        size if size > most => Err(format!("{text:?} is more than {}", ByteSize(most))),
        size => Ok(size),
    }
}

/// A rate like `60/m`: so many, and the time in which they may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

impl Rate {
    /// Reads `60/m`; the unit is `s`, `m`, `h` or `d`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate: write it like \"60/m\" (s, m, h or d)");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let count = count
            .trim()
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            _ => return Err(wrong()),
        };
        let rate = Self { count, per };
        if rate.spacing() < Duration::from_millis(1) {
            return Err(format!("{text:?} is more than 1000 a second"));
        }
        Ok(rate)
    }

    /// The shortest time between two that keeps the rate.
    pub fn spacing(self) -> Duration {
        self.per / self.count
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => 's',
            60 => 'm',
            3600 => 'h',
            _ => 'd',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// The name of a host, as DNS can hold it (RFC 1035 §2.3.4).
pub fn host_name(text: &str) -> Result<(), String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    match Name::from_str_relaxed(name) {
        Ok(_) if !name.is_empty() && name.len() <= LONGEST_NAME => Ok(()),
        _ => {
            let excerpt: String = text.chars().take(80).collect();
            Err(format!(
                "{excerpt:?} is no host name: it may have {LONGEST_NAME} characters, from 1 to 63 of them between two dots"
            ))
        }
    }
}

/// A duration as a config would write it.
pub fn written(duration: Duration) -> String {
    format!(
        "{:#}",
        SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
    )
}

/// The address of a name server; port 53 where none stands.
pub fn name_server(text: &str) -> Result<SocketAddr, String> {
    let ip = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let address = ip.or_else(|_| text.parse::<SocketAddr>());
    address.ok().filter(|address| address.port() != 0).ok_or_else(|| {
        format!("{text:?} is no address of a name server: write \"192.0.2.53\" or \"[2001:db8::53]:5353\"")
    })
}

/// The zone of a blocklist, in lower case.
pub fn blocklist(text: &str) -> Result<String, String> {
    let zone = text.trim_matches('.');
    let is_zone = zone.contains('.')
        && zone
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    // Before it stands an address: of IPv6, 32 digits with their dots.
    if is_zone && host_name(zone).is_ok() && zone.len() + 64 <= LONGEST_NAME {
        Ok(zone.to_ascii_lowercase())
    } else {
        Err(format!(
            "{text:?} is no zone of a blocklist: write one like \"zen.spamhaus.org\""
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_above_zero_and_within_a_year() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        for wrong in ["0s", "-5s", "400d", "2562047788015215h", "soon", "30"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            duration(&written(Duration::from_millis(2500))),
            Ok(Duration::from_millis(2500))
        );
    }

    #[test]
    fn a_rate_is_kept_by_its_spacing() {
        assert_eq!(
            Rate::parse("120/m").map(Rate::spacing),
            Ok(Duration::from_millis(500))
        );
        for text in ["3/s", "60/m", "3/h", "1/d"] {
            assert_eq!(
                Rate::parse(text).map(|rate| rate.to_string()),
                Ok(text.into())
            );
        }
        for wrong in [
            "60",
            "0/m",
            "1/w",
            "m/1",
            "1001/s",
            "4294967295/d",
            "18446744073709551615/s",
        ] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
