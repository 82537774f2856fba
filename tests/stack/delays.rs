//! Time on the way: slow, late, and put off by the gateway.

use std::process;

use crate::check::{DEADLINE, phases, reason_says};
use crate::round_trip::add_up;
use crate::servers::shared;

#[test]
fn slower_than_warn_after_is_a_warning() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay1@example.test");
    let report = check.route("warn_after", "500ms").run();
    let probe = report.is(1, "delivered", "slow");
    assert!(probe["round_trip_ms"].as_f64().unwrap() > 1000.0);
    assert_eq!(probe["late"], false);
}

#[test]
fn the_slow_one_of_three_hops_is_named() {
    let Some(stack) = shared() else { return };
    let check = stack.check().gateway("port", stack.port("SMTP_HOP1"));
    let report = check.route("warn_after", "1s").run();
    let probe = report.is(1, "delivered", "slow");
    reason_says(probe, "about 4 s of 4");
    reason_says(probe, "between filter.example.test and store.example.test");
    let hops = probe["evidence"]["hops"].as_array().unwrap();
    let by: Vec<_> = hops.iter().map(|hop| hop["by"].as_str().unwrap()).collect();
    assert_eq!(
        by[..3],
        [
            "mx.example.test",
            "filter.example.test",
            "store.example.test"
        ],
        "{probe:#}"
    );
    assert_eq!(
        probe["evidence"]["slowest"]["between"],
        serde_json::json!(["filter.example.test", "store.example.test"])
    );
}

#[test]
fn within_the_deadline_passes() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay1@example.test");
    let report = check.route("deadline", "10s").run();
    let probe = report.is(0, "delivered", "ok");
    let transit = &probe["phases"].as_array().unwrap().last().unwrap()["ms"];
    assert!(transit.as_f64().unwrap() > 900.0, "{probe:#}");
}

#[test]
fn a_copy_after_the_deadline_is_recorded_as_late() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay2@example.test");
    let report = check.route("deadline", "1s").with("--linger 4s").run();
    let probe = report.is(2, "missing", "late");
    assert_eq!(probe["late"], true);
    assert_eq!(probe["copies"].as_array().unwrap().len(), 1);
    assert!(probe["round_trip_ms"].as_f64().unwrap() > 2000.0);
    reason_says(probe, "later than the deadline of 1 s");
}

#[test]
fn greylisting_is_waited_out_and_timed_apart() {
    let Some(stack) = shared() else { return };
    // A fresh triplet, for this recipient has not been written to yet.
    let recipient = format!("grey1+{}@example.test", process::id());
    let report = stack.check().to(&recipient).run();
    let probe = report.is(0, "delivered", "ok");
    let attempts = probe["attempts"].as_array().unwrap();
    assert!(attempts.len() >= 2);
    assert_eq!(attempts[0]["code"], 451);
    assert!(
        attempts
            .iter()
            .all(|it| it["address"] == attempts[0]["address"])
    );
    assert_eq!(phases(probe)[0], "deferral");
    add_up(probe);
    let deferral = probe["deferral_ms"].as_f64().unwrap();
    let travel = probe["round_trip_ms"].as_f64().unwrap() - deferral;
    assert!(deferral >= 1000.0, "{probe:#}");
    assert!(travel < 1000.0, "{probe:#}");
}

#[test]
fn deadline_and_warn_after_do_not_count_the_deferral() {
    let Some(stack) = shared() else { return };
    let recipient = format!("grey2+{}@example.test", process::id());
    let check = stack.check().to(&recipient).route("deadline", "1500ms");
    let check = check.route("warn_after", "1400ms");
    let report = check.route("defer_for", "20s").run();
    let probe = report.is(0, "delivered", "ok");
    assert!(probe["deferral_ms"].as_f64().unwrap() >= 2000.0);
}

#[test]
fn put_off_for_too_long_is_deferred() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("tempfail@example.test");
    let report = check.route("defer_for", "2s").run();
    let probe = report.is(2, "deferred", "deferred");
    assert!(probe["attempts"].as_array().unwrap().len() >= 2);
    assert_eq!(probe["attempts"][0]["phase"], "rcpt");
    assert!(report.took < DEADLINE, "{:?}", report.took);
    reason_says(probe, "Temporary lookup failure");
}
