//! Much at once: what hangs, what was left behind, and how much may be under way.

use std::net::TcpListener;

use jiff::{SignedDuration, Timestamp};
use mailrobin::probe::tag::{Instance, Signer};
use serde_json::Value;

use crate::bed::{Bed, INSTANCE, KEY, ROUTE};
use crate::robin::until;

/// A gateway that takes connections and never says a word.
fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn due(probe: &Value) -> Timestamp {
    probe["due_at"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_gateway_that_hangs_is_tested_in_time() {
    let bed = Bed::with(ROUTE);
    let (_silent, port) = silent();
    let old = format!("port = {}\ntls = \"none\"\nconnections", bed.smtp.port());
    let new = format!("port = {port}\ntls = \"none\"\ntimeout = \"60s\"\nconnections");
    bed.change(&old, &new);
    let robin = bed.start();
    until("some are in flight", || bed.history.probes().len() >= 7);
    let probes = bed.history.probes();
    assert!(
        probes.iter().all(|it| it["outcome"].is_null()),
        "{probes:?}"
    );
    // The first ever does not wait for its place on the grid.
    for pair in probes[1..].windows(2) {
        let apart = due(&pair[1]).duration_since(due(&pair[0]));
        assert_eq!(apart, SignedDuration::from_secs(1), "{pair:?}");
    }
    robin.kill();
}

#[test]
fn no_more_than_allowed_is_in_flight() {
    let bed = Bed::with(&ROUTE.replace("\"plain\" }", "\"plain\" }, { payload = \"eicar\" }"));
    bed.change("listen = \"none\"", "listen = \"none\"\nmax_in_flight = 5");
    let (_silent, port) = silent();
    let old = format!("port = {}\ntls = \"none\"\nconnections", bed.smtp.port());
    let new = format!("port = {port}\ntls = \"none\"\ntimeout = \"60s\"\nconnections");
    bed.change(&old, &new);
    let robin = bed.start();
    until("more would be", || {
        robin.said().matches("`max_in_flight`").count() >= 3
    });
    let count = bed.history.probes().len();
    assert!((4..=5).contains(&count), "{count} are in flight");
    robin.kill();
}

/// So many messages are left from earlier.
const LEFT: usize = 10_000;

#[test]
fn what_was_left_behind_goes_bit_by_bit() {
    let bed = Bed::with(ROUTE);
    let signer = Signer::new(KEY.as_bytes(), Instance::named(INSTANCE));
    let long_ago = Timestamp::now() - SignedDuration::from_hours(3);
    let mut letterbox = bed.letterbox();
    for number in 0..LEFT {
        let [.., a, b, c, d] = number.to_be_bytes();
        let tag = signer.mint(long_ago, [0, 0, 0, a, b, c, d]);
        let message = format!(
            "From: probe@lab.example\r\nSubject: left\r\nMessage-ID: <{tag}@lab.example>\r\n\r\nleft\r\n"
        );
        letterbox.append("INBOX", message.as_bytes());
    }
    assert_eq!(bed.copies(), LEFT);
    let robin = bed.start();
    bed.until_tested();
    assert!(bed.copies() > LEFT / 10, "testing waited for the sweep");
    until("all are gone", || bed.copies() <= 1);
    robin.stop();
    bed.settle();
    for record in bed.as_sent().values() {
        assert_eq!(record["outcome"], "delivered", "{record}");
    }
    let said = bed.imap.client();
    let batches = said.iter().filter(|(_, line)| line.contains("UID STORE"));
    let sizes: Vec<_> = batches.map(|(_, line)| size(line)).collect();
    assert!(sizes.iter().sum::<usize>() >= LEFT, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 2000), "{sizes:?}");
}

/// How many messages a `UID STORE` is about.
fn size(line: &str) -> usize {
    let set = line.split(' ').nth(3).unwrap();
    let ranges = set.split(',').map(|range| match range.split_once(':') {
        Some((first, last)) => last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1,
        None => 1,
    });
    ranges.sum()
}

#[test]
fn each_address_and_a_ping_give_results() {
    let bed = Bed::with(&format!(
        "{ROUTE}\n[routes.greeting]\nkind = \"ping\"\ngateway = \"lab\"\nevery = \"1s\"\n"
    ));
    bed.change("connections = 20", "connections = 20\neach_address = true");
    let robin = bed.start();
    until("both have results", || {
        let probes = bed.history.probes();
        let of = |route: &str, outcome: &str| {
            probes
                .iter()
                .filter(|it| it["route"] == route && it["outcome"] == outcome)
                .count()
        };
        of("loop", "delivered") >= 2 && of("greeting", "answered") >= 2
    });
    robin.stop();
    bed.settle();
    for record in bed.nothing_amiss().values() {
        assert_eq!(record["verdict"], "pass", "{record}");
    }
}

#[test]
fn what_mends_it_is_run_once() {
    let ran = tempfile::tempdir().unwrap();
    let count = ran.path().join("count");
    let script = format!("echo run >> {}; echo mended it", count.display());
    let bed = Bed::with(&format!(
        "{}recovery = {{ command = [\"sh\", \"-c\", {script:?}] }}\n",
        ROUTE.replace("deadline = \"15s\"", "deadline = \"1s\"")
    ));
    bed.fault("add drop");
    let robin = bed.start();
    until("its output is in the incident", || {
        let incidents = bed.history.incidents();
        let recoveries = incidents.first().map(|it| it.recoveries.as_slice());
        let mut recoveries = recoveries.unwrap_or_default().iter();
        recoveries.any(|it| it.output.contains("mended it"))
    });
    let failed = bed.history.settled("loop", "plain").len();
    until("it fails on", || {
        bed.history.settled("loop", "plain").len() >= failed + 3
    });
    bed.fault("clear");
    until("it passes again", || !bed.post.of("recovered").is_empty());
    robin.stop();
    bed.settle();
    bed.nothing_amiss();
    assert_eq!(std::fs::read_to_string(count).unwrap(), "run\n");
    assert_eq!(bed.history.incidents().len(), 1);
}
