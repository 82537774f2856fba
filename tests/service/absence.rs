//! What happens while nobody looks: deadlines that pass, copies that come, and copies that come too late.

use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::bed::Bed;
use crate::robin::until;
use crate::wire::{Said, When};

fn route(mailbox: &str, payload: &str, deadline: &str) -> String {
    format!(
        "[routes.loop]\ngateway = \"lab\"\nmailbox = \"{mailbox}\"\nbounce_mailbox = \"{mailbox}\"\n\
         from = \"probe@lab.example\"\nto = \"loop@echo.example\"\nevery = \"1s\"\nevery_harmful = \"1s\"\n\
         deadline = \"{deadline}\"\nblind_grace = \"20s\"\nalerts = [\"post\"]\nfail_after = 1\n\
         tests = [{{ payload = \"{payload}\" }}]\n"
    )
}

/// Runs until so many messages were taken by the gateway, and kills it.
fn killed_after(bed: &Bed, count: usize) {
    let robin = bed.start();
    until("messages are taken", || bed.smtp.taken().len() >= count);
    robin.kill();
}

/// The records of what was sent to its end, but for one at the most whose acceptance the kill forestalled.
fn sent(bed: &Bed) -> Vec<Value> {
    let whole = bed.smtp.whole();
    let mut probes = bed.nothing_amiss();
    probes.retain(|id, _| whole.contains_key(id));
    let count = probes.len();
    probes.retain(|_, record| record["outcome"] != "unfinished");
    assert!(!probes.is_empty() && probes.len() + 1 >= count);
    probes.into_values().collect()
}

#[test]
fn a_deadline_that_passed_meanwhile_is_judged_by_a_good_look() {
    let bed = Bed::with(&route("imap", "plain", "1s"));
    bed.fault("add drop");
    killed_after(&bed, 2);
    sleep(Duration::from_millis(1500));
    bed.settle();
    for record in sent(&bed) {
        assert_eq!(record["outcome"], "missing", "{record}");
        assert_eq!(record["verdict"], "fail");
        assert_eq!(record["revised_at"], Value::Null);
    }
}

#[test]
fn a_copy_that_came_meanwhile_came_in_time() {
    for mailbox in ["imap", "pop3"] {
        let bed = Bed::with(&route(mailbox, "plain", "2s"));
        killed_after(&bed, 2);
        // It is looked at long after the deadline, and what the server noted of the arrival tells.
        sleep(Duration::from_secs(4));
        bed.settle();
        for record in sent(&bed) {
            assert_eq!(record["outcome"], "delivered", "{record}");
            assert_eq!(record["verdict"], "pass", "{record}");
            assert_eq!(record["late"], false);
        }
    }
}

#[test]
fn a_route_that_was_disabled_meanwhile_is_still_waited_for() {
    let bed = Bed::with(&route("imap", "plain", "30s"));
    bed.fault("add delay=4s");
    killed_after(&bed, 2);
    let sent = bed.smtp.taken();
    bed.change("every = \"1s\"", "enabled = false\nevery = \"1s\"");
    let robin = bed.start();
    until("they are delivered", || {
        let mut ids = sent.keys();
        ids.all(|id| bed.history.probe(*id)["outcome"] == "delivered")
    });
    assert_eq!(bed.smtp.taken().len(), sent.len());
    robin.stop();
}

#[test]
fn nothing_is_missing_before_a_good_look() {
    let bed = Bed::with(&route("imap", "plain", "2s").replace("\"20s\"", "\"2s\""));
    bed.fault("add delay=3s");
    killed_after(&bed, 2);
    let sent = bed.smtp.taken();
    bed.fault("add imap-down=10m");
    bed.history.pause(["loop".to_owned()].into_iter());
    let robin = bed.start();
    until("they have an outcome", || {
        sent.keys()
            .all(|id| bed.history.probe(*id)["outcome"].is_string())
    });
    for id in sent.keys() {
        let record = bed.history.probe(*id);
        assert_eq!(record["outcome"], "unseen", "{record}");
        assert_eq!(record["verdict"], "unknown");
    }
    bed.fault("clear");
    let is_late = |id: &Uuid| {
        let record = bed.history.probe(*id);
        (
            record["outcome"] == "missing",
            record["revised_at"].is_string(),
        )
    };
    until("the late copies are found", || {
        sent.keys().all(|id| is_late(id) == (true, true))
    });
    for id in sent.keys() {
        let record = bed.history.probe(*id);
        assert_eq!(record["code"], "late", "{record}");
        assert_eq!(record["late"], true);
    }
    bed.at_rest();
    robin.stop();
    bed.nothing_amiss();
}

#[test]
fn a_late_virus_is_a_leak() {
    for mailbox in ["imap", "pop3"] {
        let bed = Bed::with(&route(mailbox, "eicar", "1s"));
        bed.fault("add virus=off");
        let robin = bed.start();
        // The copy is held back after the virus was judged to have been stopped.
        bed.fault("add delay=3s");
        until("one is called stopped", || {
            let settled = bed.history.settled("loop", "eicar");
            settled.iter().any(|it| it["outcome"] == "missing")
        });
        until("its copy is a leak", || {
            let settled = bed.history.settled("loop", "eicar");
            let mut late = settled.iter().filter(|it| it["revised_at"].is_string());
            late.any(|it| it["verdict"] == "fail" && it["code"] == "leak")
        });
        until("somebody is told", || !bed.post.of("leak").is_empty());
        robin.stop();
        until("every copy has come", || bed.is_all_delivered());
        bed.settle();
        bed.nothing_amiss();
        for record in bed.history.settled("loop", "eicar") {
            if bed.smtp.whole().contains_key(&id(&record)) {
                assert_eq!(record["code"], "leak", "{record}");
            }
        }
        let told = bed.post.of("leak");
        assert!(told.iter().all(|it| it["severity"] == "critical"));
    }
}

fn id(record: &Value) -> Uuid {
    record["id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_copy_that_came_late_while_it_was_down_revises_the_record() {
    for mailbox in ["imap", "pop3"] {
        let bed = Bed::with(&route(mailbox, "plain", "1s"));
        bed.fault("add delay=4s");
        let robin = bed.start();
        until("one is missing", || {
            let settled = bed.history.settled("loop", "plain");
            settled.iter().any(|it| it["outcome"] == "missing")
        });
        robin.kill();
        let missing: Vec<_> = bed
            .history
            .settled("loop", "plain")
            .iter()
            .map(id)
            .collect();
        sleep(Duration::from_secs(5));
        bed.settle();
        bed.nothing_amiss();
        for id in missing {
            let record = bed.history.probe(id);
            assert_eq!(record["outcome"], "missing", "{record}");
            assert_eq!(record["code"], "late", "{record}");
            assert_eq!(record["copies"].as_array().unwrap().len(), 1, "{record}");
        }
    }
}

#[test]
fn a_probe_that_is_put_off_is_sent_again_once() {
    let bed = Bed::with(
        &route("imap", "plain", "4s").replace("every_harmful", "defer_for = \"3m\"\nevery_harmful"),
    );
    // The first attempt of all: later ones are of the same sender and recipient.
    bed.fault("add defer=1");
    let stop = bed.smtp.stop(
        When::After,
        |_, said| matches!(said, Said::Server(line) if line.starts_with("451")),
    );
    let robin = bed.start();
    let caught = stop.met();
    caught.go_on();
    until("it is put off", || {
        bed.history.open().is_some_and(|(open, _)| open > 0)
    });
    sleep(Duration::from_millis(500));
    robin.kill();
    let before = Timestamp::now();
    bed.settle();
    let probes = bed.as_sent();
    let put_off = probes
        .values()
        .filter(|it| it["deferral_ms"].as_f64() > Some(0.0));
    let put_off: Vec<_> = put_off.collect();
    assert_eq!(put_off.len(), 1, "{probes:?}");
    let record = put_off[0];
    assert_eq!(record["attempts"].as_array().unwrap().len(), 2, "{record}");
    assert_eq!(record["clock"], "wall");
    let accepted: Timestamp = record["accepted_at"].as_str().unwrap().parse().unwrap();
    assert!(accepted > before, "it was sent again after the restart");
}

#[test]
fn killed_in_the_second_attempt_it_has_the_time_of_that() {
    let bed = Bed::with(
        &route("imap", "plain", "4s").replace("every_harmful", "defer_for = \"5m\"\nevery_harmful"),
    );
    bed.fault("add defer=1");
    // Deferral is longer than the deadline; the copy of the second attempt comes well in its time.
    let mut is_put_off = false;
    let stop = bed.smtp.stop(When::After, move |_, said| match said {
        Said::Server(line) if line.starts_with("451") => {
            is_put_off = true;
            false
        }
        _ => is_put_off && matches!(said, Said::Client(".")),
    });
    let robin = bed.start();
    let caught = stop.met();
    robin.kill();
    caught.cut();
    bed.settle();
    for record in bed.as_sent().values() {
        assert_eq!(record["late"], false, "{record}");
    }
}
