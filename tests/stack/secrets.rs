//! Passwords appear in nothing that is printed, however much is asked for.

use data_encoding::BASE64;

use crate::check::Check;
use crate::servers::{Stack, shared};

/// Asserts that neither output holds a password in any shape it is sent in.
#[track_caller]
fn says_no_secret(stack: &Stack, check: Check<'_>, extra: &[&str]) {
    let report = check.with("-vvv --transcript").run();
    assert!(!report.stdout.is_empty());
    let probe = (stack.get("PROBE_ADDRESS"), stack.get("PROBE_PASSWORD"));
    let sender = (stack.get("SENDER_USER"), stack.get("SENDER_PASSWORD"));
    let more = extra.iter().map(|password| (sender.0, *password));
    for (user, password) in [probe, sender].into_iter().chain(more) {
        for shape in [
            password.to_owned(),
            BASE64.encode(password.as_bytes()),
            BASE64.encode(format!("\0{user}\0{password}").as_bytes()),
            format!("{:?}", password.as_bytes()),
        ] {
            assert!(!report.stdout.contains(&shape), "{}", report.stdout);
            assert!(!report.stderr.contains(&shape), "{}", report.stderr);
        }
    }
}

fn with_logins(stack: &Stack) -> Check<'_> {
    let check = stack.check().trusting().logged_in();
    let check = check.gateway("port", stack.port("SUBMISSION"));
    check.gateway("tls", "starttls").mailbox("tls", "starttls")
}

#[test]
fn logins_that_succeed_keep_their_secret() {
    let Some(stack) = shared() else { return };
    for auth in ["plain", "login"] {
        let check = with_logins(stack).gateway("auth", auth);
        says_no_secret(stack, check.mailbox("auth", auth), &[]);
    }
    says_no_secret(stack, with_logins(stack).for_people(), &[]);
}

#[test]
fn logins_that_fail_keep_their_secret() {
    const WRONG: &str = "Mistaken-4711";
    let Some(stack) = shared() else { return };
    for auth in ["plain", "login"] {
        let check = with_logins(stack).gateway("auth", auth);
        let check = check.gateway("password", WRONG);
        says_no_secret(stack, check, &[WRONG]);
        let check = with_logins(stack).mailbox("auth", auth);
        let check = check.mailbox("password", WRONG);
        says_no_secret(stack, check, &[WRONG]);
    }
}
