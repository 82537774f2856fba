//! Runs that are ended early: what is known by then is reported.

use crate::servers::shared;

#[test]
fn a_signal_ends_the_run_with_what_is_known() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay30@example.test").with("-vv");
    let running = check.route("deadline", "50s").start();
    running.wait_for("accepted by the gateway");
    running.terminate();
    let report = running.finish();
    let probe = report.is(3, "unfinished", "interrupted");
    assert_eq!(probe["smtp"]["code"], 250);
}

#[test]
fn a_signal_does_not_hide_a_failure() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay30@example.test").with("-vv");
    let check = check.route("deadline", "50s");
    let check = check.and_route("refused").to("reject@example.test");
    let running = check.start();
    running.wait_for("accepted by the gateway");
    running.wait_for("settled");
    running.terminate();
    let report = running.finish();
    assert_eq!(report.exit, 2, "{report:?}");
    assert_eq!(report.probe_on("main")["outcome"], "unfinished");
    assert_eq!(report.probe_on("refused")["outcome"], "rejected");
    assert_eq!(report.document["verdict"], "fail");
}

#[test]
fn a_timeout_ends_the_run() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("delay30@example.test");
    let check = check.route("deadline", "50s").with("--timeout 1500ms");
    check.run().is(3, "unfinished", "interrupted");
}

#[test]
fn nothing_is_started_after_the_first_failure() {
    let Some(stack) = shared() else { return };
    let check = stack.check().to("reject@example.test");
    let check = check.and_route("never").to(stack.get("ECHO_ADDRESS"));
    let report = check.with("--fail-fast --concurrency 1 --count 2").run();
    assert_eq!(report.exit, 2);
    let outcomes: Vec<_> = report
        .probes()
        .iter()
        .map(|probe| probe["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["rejected", "skipped", "skipped", "skipped"]);
    assert_eq!(report.probes()[1]["code"], "not-started");
}

#[test]
fn fail_on_says_what_the_exit_code_is_about() {
    let Some(stack) = shared() else { return };
    for (recipient, fail_on, exit) in [
        ("twice@example.test", "warn", 1),
        ("twice@example.test", "unknown", 0),
        ("reject@example.test", "fail", 2),
    ] {
        let check = stack.check().to(recipient).with("--linger 3s");
        let report = check.with(&format!("--fail-on {fail_on}")).run();
        assert_eq!(report.exit, exit, "{recipient} {fail_on}");
    }
}
