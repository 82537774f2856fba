//! What is read of Received fields, and what is left of those that cannot be read.

use super::*;

/// A hop as a line: from, by, protocol, TLS, time in UTC.
fn told(hop: &Hop) -> String {
    let word = |word: &Option<Box<str>>| word.as_deref().unwrap_or("-").to_owned();
    let at = hop
        .at
        .map_or("-".into(), |at| at.strftime("%T").to_string());
    [
        word(&hop.from),
        word(&hop.by),
        word(&hop.protocol),
        word(&hop.tls),
        at,
    ]
    .join(" | ")
}

fn read(header: &str) -> Hops {
    let raw = header.trim_start().replace('\n', "\r\n") + "Subject: x\r\n\r\nbody\r\n";
    let mail = Mail::parse(raw.as_bytes()).unwrap();
    hops(&mail, |_| false)
}

/// The hops of a header, the oldest first, a line each.
fn lines(header: &str) -> String {
    let lines: Vec<_> = read(header).hops.iter().map(told).collect();
    lines.join("\n")
}

mod systems;

#[test]
fn a_hop_without_a_time_is_still_a_hop() {
    let found = read(
        "Received: from c.example by d.example; Fri, 27 Nov 2026 10:11:14 +0000
Received: from b.example by c.example with ESMTP id 1; sometime in autumn
Received: from a.example by b.example with ESMTP id 1
Received: from us.example by a.example; Fri, 27 Nov 2026 10:11:12 +0000
Received: \u{0}\u{1}\u{2}
",
    );
    let told: Vec<_> = found
        .hops
        .iter()
        .map(|hop| (hop.by.as_deref(), hop.delay_ms, hop.unreadable.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (None, None, Some("it has no date")),
            (Some("a.example"), None, None),
            (Some("b.example"), None, Some("it has no date")),
            (
                Some("c.example"),
                None,
                Some("its date cannot be read: sometime in autumn")
            ),
            (Some("d.example"), Some(2000.0), None),
        ]
    );
}

#[test]
fn a_clock_that_goes_back_is_shown_as_it_says() {
    let found = read(
        "Received: from b.example by c.example; Fri, 27 Nov 2026 10:01:12 +0000
Received: from a.example by b.example; Fri, 27 Nov 2026 10:11:12 +0000
",
    );
    assert_eq!(found.hops[1].delay_ms, Some(-600_000.0));
}

#[test]
fn a_bomb_is_cut_to_what_is_nearest() {
    let line = "Received: from a.example by b.example; Fri, 27 Nov 2026 10:11:12 +0000\n";
    let found = read(&(line.replace("b.example", "top.example") + &line.repeat(10_000)));
    assert_eq!((found.hops.len(), found.left_out), (100, 9_901));
    assert_eq!(found.hops[99].by.as_deref(), Some("top.example"));

    let long = "x".repeat(1_000_000);
    let found = read(&format!(
        "Received: from {long} by {long} with ESMTP; Fri, 27 Nov 2026 10:11:12 +0000\n"
    ));
    let hop = &found.hops[0];
    assert!(told(hop).len() < 1000, "{}", told(hop).len());
    assert!(hop.at.is_some());
}

#[test]
fn the_hops_of_the_attached_copy_are_the_older_ones() {
    let header = "Received: from b.example by c.example; Fri, 27 Nov 2026 10:11:14 +0000
Content-Type: message/rfc822

Received: from a.example by b.example; Fri, 27 Nov 2026 10:11:12 +0000
X-Tag: the-tag
Subject: y

";
    let raw = header.replace('\n', "\r\n");
    let mail = Mail::parse(raw.as_bytes()).unwrap();
    let by = |hops: Hops| -> Vec<_> { hops.hops.iter().filter_map(|hop| hop.by.clone()).collect() };
    let ours = |raw: &[u8]| raw.windows(7).any(|word| word == b"the-tag");
    assert_eq!(
        by(hops(&mail, ours)),
        ["b.example".into(), "c.example".into()]
    );
    assert_eq!(by(hops(&mail, |_| false)), ["c.example".into()]);
}
