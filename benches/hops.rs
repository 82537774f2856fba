//! How fast the way of a copy is read: `cargo bench --bench hops`.
//!
//! 1. The hops of a typical copy, eight of them, from the parsed message. 2. The same with the message parsed anew. 3. Of a
//!    header of ten thousand lines, parsed anew. 4. Of ten thousand such fields, six times as many lines, from the parsed
//!    message, and 5. parsed anew, for comparison.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that meets what it does not expect is none"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use mailrobin::judge::evidence::hops;
use mailrobin::probe::mail::Mail;

/// So many lines a field has.
const LINES: usize = 6;

fn main() {
    let typical = message(8);
    let lines = message(10_000 / LINES);
    let bomb = message(10_000);
    let parsed = Mail::parse(bomb.as_bytes()).unwrap();
    let mail = Mail::parse(typical.as_bytes()).unwrap();
    assert_eq!(hops(&mail, |_| false).hops.len(), 8);
    let read = |raw: &str| {
        let mail = Mail::parse(raw.as_bytes()).unwrap();
        black_box(hops(&mail, |_| false));
    };
    println!("{:<44} {:>10} {:>10} {:>9}", "", "median", "p95", "goal");
    row(
        "eight hops of a parsed message",
        &times(2000, || {
            black_box(hops(&mail, |_| false));
        }),
        "0.2 ms",
    );
    row(
        "eight hops and parsing the message",
        &times(2000, || read(&typical)),
        "0.2 ms",
    );
    row(
        "a header of 10,000 lines and parsing it",
        &times(100, || read(&lines)),
        "50 ms",
    );
    row(
        "10,000 Received fields of a parsed message",
        &times(100, || {
            black_box(hops(&parsed, |_| false));
        }),
        "50 ms",
    );
    row(
        "10,000 Received fields and parsing them",
        &times(50, || read(&bomb)),
        "",
    );
}

/// A message that passed so many servers.
fn message(hops: usize) -> String {
    let mut text = String::new();
    for hop in (0..hops).rev() {
        write!(
            text,
            "Received: from mx{hop}.example.com (mx{hop}.example.com [192.0.2.25])\r\n\
             \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\
             \t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\r\n\
             \t(Client did not present a certificate)\r\n\
             \tby mx{next}.example.com (Postfix) with ESMTPS id 4Dh2Kx0ZrZz9sVF\r\n\
             \tfor <probe@example.net>; Fri, 27 Nov 2026 11:{minute:02}:{second:02} +0100 (CET)\r\n",
            next = hop + 1,
            minute = hop / 60 % 60,
            second = hop % 60,
        )
        .unwrap();
    }
    text + "Subject: a typical copy\r\nFrom: a@example.com\r\n\r\nHello.\r\n"
}

fn times(rounds: usize, mut work: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<_> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn row(name: &str, sorted: &[Duration], goal: &str) {
    let ms = |share: usize| {
        let at = sorted.len() * share / 100;
        sorted.get(at).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    println!("{name:<44} {:>7.3} ms {:>7.3} ms {goal:>9}", ms(50), ms(95));
}
