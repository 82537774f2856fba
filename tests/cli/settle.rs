//! `check --settle`: a path that is still starting is tried again, and what was sent before stays in the report.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::{Bed, code, config, out, refused};
use crate::lab::Lab;

fn probes(document: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(document).unwrap();
    document["probes"].as_array().unwrap().clone()
}

/// Checks against the lab in `bed`; the exit code and the probes of this payload.
#[track_caller]
fn check(bed: &Bed, arguments: &[&str], payload: &str) -> (i32, Vec<Value>) {
    let all = [
        &[
            "check",
            "-c",
            "lab.toml",
            "imap",
            "--format=json",
            "--linger=0",
        ],
        arguments,
    ];
    let output = bed.run(&all.concat());
    let mut probes = probes(&out(&output));
    probes.retain(|probe| probe["payload"] == payload);
    (code(&output), probes)
}

#[test]
fn what_was_lost_while_the_path_started_counts_no_more() {
    let bed = Bed::new();
    let _lab = Lab::start(&bed, &["--fault", "drop,first=2"]);
    let (exit, probes) = check(&bed, &["--settle=60s"], "plain");
    assert_eq!(exit, 0);
    let last = probes.last().unwrap();
    assert_eq!(probes.len(), 3, "one every five seconds, until one passes");
    assert_eq!(
        (&last["outcome"], &last["verdict"]),
        (&"delivered".into(), &"pass".into())
    );
    assert_eq!(last.get("superseded_by"), None);
    for earlier in &probes[..2] {
        assert_eq!(earlier["superseded_by"], last["id"]);
        assert_ne!(earlier["outcome"], "delivered");
    }
}

#[test]
fn a_filter_that_is_still_loading_is_waited_for_with_its_control() {
    let bed = Bed::new();
    let mut lab = Lab::start(&bed, &["--fault", "filter-off"]);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(3));
            lab.say("clear filter-off", "cleared");
        });
        let (exit, probes) = check(&bed, &["--settle=60s", "--payload=eicar"], "eicar");
        assert_eq!(exit, 0);
        let (first, last) = (&probes[0], probes.last().unwrap());
        assert_eq!(
            (&first["code"], &first["superseded_by"]),
            (&"leak".into(), &last["id"])
        );
        assert_eq!(last["outcome"], "rejected");
        assert_ne!(
            first["control"], last["control"],
            "each has the control of its own cycle"
        );
    });
}

#[test]
fn when_the_time_is_over_the_last_probe_counts() {
    let bed = Bed::new();
    let _lab = Lab::start(&bed, &["--fault", "filter-off"]);
    let (exit, probes) = check(&bed, &["--settle=7s", "--payload=eicar"], "eicar");
    assert_eq!(exit, 2);
    assert_eq!(probes.len(), 2);
    assert_eq!(probes[0]["superseded_by"], probes[1]["id"]);
    assert_eq!(
        (&probes[1]["verdict"], &probes[1]["code"]),
        (&"fail".into(), &"leak".into())
    );
}

#[test]
fn what_passes_at_once_is_sent_once() {
    let bed = Bed::new();
    let _lab = Lab::start(&bed, &[]);
    let began = Instant::now();
    let (exit, probes) = check(&bed, &["--settle=60s"], "plain");
    assert_eq!((exit, probes.len()), (0, 1));
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "nothing is waited for"
    );
}

#[test]
fn pings_are_tried_again_too() {
    let ports = (refused(), refused());
    let route = "[routes.open]\nkind = \"ping\"\ngateway = \"edge\"\n";
    let bed = Bed::with(&format!(
        "{}\n{route}",
        config(ports, "", "password = \"hunter2\"")
    ));
    let output = bed.run(&["check", "open", "--settle=7s", "--format=json"]);
    assert_eq!(code(&output), 2);
    let probes = probes(&out(&output));
    assert_eq!(probes.len(), 2);
    assert_eq!(probes[0]["superseded_by"], probes[1]["id"]);
    assert_eq!(probes[1]["code"], "connect-failed");
}
