//! An IMAP server that refuses, breaks off or falls silent: what could not be read is `unseen`, never `missing`, and
//! never `delivered`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::check::{Check, Report};
use crate::proxy::{Answer, Proxy};
use crate::servers::{Stack, shared};

/// A command, and from which one of its kind on it fails. What the first look takes may be answered, so that the probe
/// may be sent.
struct Step {
    command: &'static str,
    after: usize,
}

const HEADERS: &str = "BODY.PEEK[HEADER]";
const BODIES: &str = "BODY.PEEK[]";
const STEPS: [Step; 10] = [
    step("AUTHENTICATE", 0),
    step("CAPABILITY", 0),
    step("LIST", 0),
    step("SELECT", 0),
    step("NOOP", 0),
    step("NOOP", 1),
    step("STATUS", 0),
    step(HEADERS, 0),
    step(HEADERS, 1),
    step(BODIES, 0),
];

const fn step(command: &'static str, after: usize) -> Step {
    Step { command, after }
}

impl Step {
    /// A check that depends on this step: only STATUS tells of mail in the folder that is not selected.
    fn check<'s>(&self, stack: &'s Stack) -> Check<'s> {
        match self.command {
            "STATUS" => stack.check().to("junk@example.test").expect("junked"),
            _ => stack.check(),
        }
    }

    /// A check that comes to nothing over a proxy that fails this step. The message is passed on only when it has failed where
    /// looks before that could show the copy.
    fn check_through<'s>(&self, stack: &'s Stack, proxy: &Proxy) -> Check<'s> {
        let check = short(self.check(stack)).imap_through(proxy);
        if self.after == 0 {
            return check;
        }
        let gateway = Proxy::after_an_answer_of(proxy, stack.port("SMTP_PLAIN"));
        check.smtp_through(&gateway)
    }

    /// A proxy that fails this step `times` times.
    fn proxy(&self, stack: &Stack, answer: Answer, times: usize) -> Proxy {
        let Self { command, after } = *self;
        let seen = AtomicUsize::new(0);
        Proxy::with(stack.port("IMAP"), move |line| {
            let is_it = line.starts_with(command)
                || (line.starts_with("UID FETCH") && line.contains(command));
            let number = is_it.then(|| seen.fetch_add(1, Ordering::SeqCst))?;
            (after..after.saturating_add(times))
                .contains(&number)
                .then_some(answer)
        })
    }
}

/// Gives every step this answer from its time on and asserts what comes of it.
fn at_every_step(stack: &Stack, answer: Answer) {
    // In an empty folder no header is asked for before the copy is there.
    stack
        .imap()
        .append("INBOX", b"Subject: foreign\r\n\r\nfirst\r\n");
    thread::scope(|scope| {
        // A server that refuses to say what it can do is used with what every server can.
        let refuses = matches!(answer, Answer::No | Answer::Bad);
        let steps = STEPS
            .iter()
            .filter(|step| !(refuses && step.command == "CAPABILITY"));
        for step in steps {
            scope.spawn(move || {
                let proxy = step.proxy(stack, answer, usize::MAX);
                let report = step.check_through(stack, &proxy).run();
                is_unseen(&report, step.command);
            });
        }
    });
}

fn short(check: Check<'_>) -> Check<'_> {
    // Long enough for a copy to come while the machine does something else.
    let check = check.route("deadline", "5s");
    check.route("blind_grace", "500ms")
}

#[track_caller]
fn is_unseen(report: &Report, command: &str) {
    let probe = report.probe();
    assert_eq!(
        probe["outcome"], "unseen",
        "{command}: {probe:#}\n{}",
        report.stderr
    );
    assert_eq!(probe["verdict"], "unknown", "{command}: {probe:#}");
    let code = probe["code"].as_str().unwrap();
    assert!(
        ["mailbox-unreadable", "mailbox-refused"].contains(&code),
        "{command}: {probe:#}"
    );
    assert_eq!(report.exit, 3, "{command}");
}

#[test]
fn no() {
    let Some(stack) = shared() else { return };
    at_every_step(stack, Answer::No);
}

#[test]
fn bad() {
    let Some(stack) = shared() else { return };
    at_every_step(stack, Answer::Bad);
}

#[test]
fn end_of_stream() {
    let Some(stack) = shared() else { return };
    at_every_step(stack, Answer::Close);
}

#[test]
fn silence() {
    let Some(stack) = shared() else { return };
    thread::scope(|scope| {
        // With so short a timeout the first look need not be over when the probe is sent.
        for step in STEPS.iter().filter(|step| step.after == 0) {
            scope.spawn(move || {
                let proxy = step.proxy(stack, Answer::Silence, usize::MAX);
                let check = short(step.check(stack)).mailbox("timeout", "1s");
                is_unseen(&check.imap_through(&proxy).run(), step.command);
            });
        }
    });
}

/// An untagged NO is a warning (RFC 9051 §7.1.2): OK behind it proves nothing until the folder was selected again.
#[test]
fn a_warning_before_the_ok() {
    let Some(stack) = shared() else { return };
    thread::scope(|scope| {
        for step in [step("NOOP", 1), step(HEADERS, 1), step("STATUS", 0)] {
            scope.spawn(move || {
                let proxy = step.proxy(stack, Answer::Warning, usize::MAX);
                let report = short(step.check(stack)).imap_through(&proxy).run();
                assert_ne!(report.probe()["outcome"], "missing", "{}", step.command);
            });
        }
    });
}

#[test]
fn a_copy_whose_text_does_not_come_is_unseen() {
    let Some(stack) = shared() else { return };
    let proxy = step(BODIES, 0).proxy(stack, Answer::Empty, usize::MAX);
    let report = short(stack.check()).imap_through(&proxy).run();
    is_unseen(&report, BODIES);
}

/// IDLE is only a cheaper way to wait: without it the copy is still found.
#[test]
fn idle_that_fails_is_no_blindness() {
    let Some(stack) = shared() else { return };
    thread::scope(|scope| {
        for answer in [Answer::No, Answer::Bad, Answer::Close, Answer::Silence] {
            scope.spawn(move || {
                let proxy = step("IDLE", 0).proxy(stack, answer, usize::MAX);
                let check = stack.check().mailbox("timeout", "1s");
                check.imap_through(&proxy).run().passes();
            });
        }
    });
}

/// What fails once is tried again, and the copy is found in time. A refused login is not tried again.
#[test]
fn a_single_failure_is_got_over() {
    let Some(stack) = shared() else { return };
    thread::scope(|scope| {
        for step in STEPS.iter().filter(|step| step.command != "AUTHENTICATE") {
            for answer in [Answer::No, Answer::Close] {
                scope.spawn(move || {
                    let proxy = step.proxy(stack, answer, 1);
                    let report = step.check(stack).imap_through(&proxy).run();
                    assert_eq!(report.exit, 0, "{} {answer:?}: {report:?}", step.command);
                });
            }
        }
    });
}
