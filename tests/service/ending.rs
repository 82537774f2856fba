//! The end in good order, whatever hangs; and that there is one service for one history.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::Signal;

use crate::bed::{Bed, ROUTE};
use crate::robin::{Robin, until};
use crate::wire::{Said, When};

/// What `end.rs` allows for, and as much again for a slow machine.
const BOUND: Duration = Duration::from_secs(50);

#[test]
fn told_to_stop_while_the_gateway_hangs() {
    let bed = Bed::with(ROUTE);
    let stop = bed
        .smtp
        .stop(When::Before, |_, said| matches!(said, Said::Connected));
    let robin = bed.start();
    let caught = stop.met();
    let begun = Instant::now();
    robin.stop();
    assert!(begun.elapsed() < BOUND);
    caught.cut();
    bed.settle();
    let probes = bed.as_sent();
    assert!(probes.values().any(|it| it["outcome"] == "unfinished"));
}

#[test]
fn told_to_stop_while_the_mailbox_hangs() {
    let bed = Bed::with(ROUTE);
    let mut sent = false;
    let stop = bed.imap.stop(When::Before, move |_, said| {
        sent |= matches!(said, Said::Client(line) if line.contains("BODY.PEEK[]"));
        sent
    });
    let robin = bed.start();
    let caught = stop.met();
    let begun = Instant::now();
    robin.stop();
    assert!(begun.elapsed() < BOUND);
    caught.cut();
    bed.settle();
    let probes = bed.as_sent();
    assert!(probes.values().any(|it| it["clock"] == "wall"));
}

#[test]
fn told_to_stop_while_nobody_takes_notices() {
    let bed = Bed::with(&ROUTE.replace("\"15s\"", "\"1s\""));
    bed.fault("add drop");
    bed.post.hang(true);
    let robin = bed.start();
    until("a failure is told", || !bed.post.of("failed").is_empty());
    let begun = Instant::now();
    robin.stop();
    assert!(begun.elapsed() < BOUND);
    bed.post.hang(false);
    bed.settle();
    bed.nothing_amiss();
    let told = bed.post.of("failed");
    assert!(told.len() >= 2 && told.iter().all(|it| it["id"] == told[0]["id"]));
}

#[test]
fn told_to_stop_while_nobody_reads_what_it_says() {
    let bed = Bed::with(ROUTE);
    let (_unread, writer) = io::pipe().unwrap();
    // Full to the brim, by an opening of its own that does not wait.
    let mut filling = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(format!("/proc/self/fd/{}", writer.as_raw_fd()))
        .unwrap();
    while filling.write(&[b'x'; 512]).is_ok() {}
    let robin = Robin::launch_unheard(&bed.path(""), &bed.path("mailrobin.toml"), writer.into());
    until("some are delivered", || {
        bed.history.settled("loop", "plain").len() >= 3
    });
    robin.stop();
    drop(filling);
    bed.settle();
    bed.as_sent();
}

#[test]
fn told_to_stop_between_two_probes_it_leaves_nothing() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    until("some are delivered", || {
        bed.history.settled("loop", "plain").len() >= 2
    });
    robin.stop();
    bed.settle();
    let probes = bed.as_sent();
    assert!(probes.values().all(|it| it["outcome"] == "delivered"));
}

#[test]
fn a_second_one_is_refused() {
    let bed = Bed::with(ROUTE);
    let mut first = bed.start();
    let mut second = bed.start();
    let status = second.ended();
    assert_eq!(status.code(), Some(3));
    let history = bed.path("state/history.db");
    let said = format!(
        "another mailrobin is running with the history {}: stop it, or use another --state-dir",
        history.display()
    );
    assert!(fs::read_to_string(bed.path("log")).unwrap().contains(&said));
    let before = bed.history.settled("loop", "plain").len();
    until("the first goes on", || {
        bed.history.settled("loop", "plain").len() >= before + 2
    });
    assert!(first.runs());
    first.stop();
    bed.settle();
    bed.as_sent();
}

#[test]
fn a_changed_config_is_gone_by_at_once() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    until("the first route is tested", || {
        !bed.history.settled("loop", "plain").is_empty()
    });
    bed.change("loop", "other");
    robin.signal(Signal::HUP);
    until("the new route is tested", || {
        bed.history.settled("other", "plain").len() >= 3
    });
    let probes = bed.history.probes();
    let first_new = probes.iter().position(|it| it["route"] == "other").unwrap();
    assert!(probes[first_new..].iter().all(|it| it["route"] == "other"));
    // Without a signal it is looked at by itself.
    bed.change("other", "third");
    until("the third is tested", || {
        !bed.history.settled("third", "plain").is_empty()
    });
    robin.stop();
    bed.settle();
    bed.as_sent();
}

#[test]
fn a_wrong_config_changes_nothing() {
    let bed = Bed::with(ROUTE);
    let robin = bed.start();
    bed.until_tested();
    bed.change("every = \"1s\"", "evry = \"1s\"");
    robin.signal(Signal::HUP);
    until("somebody is told", || !bed.post.of("trouble").is_empty());
    let title = bed.post.of("trouble")[0]["title"].to_string();
    assert!(title.contains("config"), "{title}");
    let before = bed.history.settled("loop", "plain").len();
    until("the old one is gone by", || {
        bed.history.settled("loop", "plain").len() >= before + 2
    });
    bed.change("evry = \"1s\"", "every = \"1s\"");
    robin.signal(Signal::HUP);
    until("somebody is told that it is over", || {
        !bed.post.of("trouble-over").is_empty()
    });
    robin.stop();
    bed.settle();
    bed.as_sent();
    assert_eq!(bed.post.of("trouble").len(), 1);
}

#[test]
fn probes_in_flight_are_judged_by_the_config_they_were_sent_by() {
    let bed = Bed::with(ROUTE);
    bed.fault("add delay=4s");
    let robin = bed.start();
    until("two are on their way", || bed.smtp.taken().len() >= 2);
    let sent = bed.smtp.taken();
    // The mailbox is somewhere else from now on, where nobody answers.
    let nowhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = nowhere.local_addr().unwrap().port();
    let old = format!("port = {}", bed.imap.port());
    bed.change(&old, &format!("port = {port}"));
    bed.change("deadline = \"15s\"", "deadline = \"1s\"");
    robin.signal(Signal::HUP);
    until("they are delivered where they were awaited", || {
        sent.keys()
            .all(|id| bed.history.probe(*id)["outcome"] == "delivered")
    });
    for id in sent.keys() {
        let record = bed.history.probe(*id);
        assert_eq!(
            (&record["verdict"], &record["deadline_ms"]),
            (&"pass".into(), &15000.0.into())
        );
        assert_eq!(record["clock"], "monotonic");
    }
    until("their copies are cleaned up", || {
        bed.copies() == 0 || bed.smtp.taken().len() > sent.len()
    });
    robin.stop();
}
