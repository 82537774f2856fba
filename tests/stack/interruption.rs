//! Runs that are ended early: what is known by then is reported.

use std::thread::sleep;
use std::time::Duration;

use crate::proxy::Proxy;
use crate::servers::shared;

/// From the server's reply to what the run makes of it.
const A_MOMENT: Duration = Duration::from_millis(300);

#[test]
fn a_signal_ends_the_run_with_what_is_known() {
    let Some(stack) = shared() else { return };
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("delay5@example.test");
    let running = check.start();
    smtp.wait_for("queued as");
    sleep(A_MOMENT);
    running.terminate();
    let report = running.finish();
    let probe = report.is(3, "unfinished", "interrupted");
    assert!(report.took < Duration::from_secs(4), "{:?}", report.took);
    assert_eq!(probe["smtp"]["code"], 250);
}

#[test]
fn a_signal_does_not_hide_a_failure() {
    let Some(stack) = shared() else { return };
    let smtp = Proxy::recording(stack.port("SMTP_PLAIN"));
    let check = stack.check().smtp_through(&smtp).to("delay5@example.test");
    let check = check.and_route("refused").to("reject@example.test");
    let running = check.start();
    smtp.wait_for("queued as");
    smtp.wait_for("550 5.1.1");
    sleep(A_MOMENT);
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
    let check = stack.check().to("delay5@example.test");
    let report = check.with("--timeout 1500ms").run();
    report.is(3, "unfinished", "interrupted");
    assert!(report.took < Duration::from_secs(4), "{:?}", report.took);
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
