//! Mail that a probe's message gives rise to: replies, reports, forgeries.

use jiff::{SignedDuration, Timestamp};

/// The letter with its placeholders filled in from the message, its lines ended as the wire wants them.
pub(crate) fn written(letter: &str, message: &[u8]) -> String {
    let message = String::from_utf8_lossy(message);
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let unfolded = header.replace("\r\n ", " ");
    let field = |name: &str| {
        let line = unfolded.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {header}"))
    };
    let tag = field("X-Mailrobin-Tag: ");
    let filled = dated(letter)
        .replace("{tag}", tag)
        .replace("{forged}", &forged(tag))
        .replace("{subject}", field("Subject: "))
        .replace("{message}", &message)
        .replace("{body}", body);
    let lines = filled.lines().map(|line| {
        let stuffing = if line.starts_with('.') { "." } else { "" };
        format!("{stuffing}{line}\r\n")
    });
    lines.collect()
}

/// The letter with each `{date}`, `{date-3}` or `{date+600}` filled in: now, and so many seconds before or after.
fn dated(letter: &str) -> String {
    let mut parts = letter.split("{date");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (seconds, rest) = part.split_once('}').unwrap();
        let seconds: i64 = if seconds.is_empty() {
            0
        } else {
            seconds.parse().unwrap()
        };
        let at = Timestamp::now() + SignedDuration::from_secs(seconds);
        filled += &at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        filled += rest;
    }
    filled
}

/// The tag with one letter of its signature changed.
fn forged(tag: &str) -> String {
    let (kept, last) = tag.split_at(tag.len() - 2);
    let changed = last.replace(|char| char != 'a', "a");
    let other = if changed == last { "bb" } else { &changed };
    format!("{kept}{other}")
}
