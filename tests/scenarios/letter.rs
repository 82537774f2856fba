//! Mail that a probe's message gives rise to: replies, reports, forgeries.

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
    let filled = letter
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

/// The tag with one letter of its signature changed.
fn forged(tag: &str) -> String {
    let (kept, last) = tag.split_at(tag.len() - 2);
    let changed = last.replace(|char| char != 'a', "a");
    let other = if changed == last { "bb" } else { &changed };
    format!("{kept}{other}")
}
