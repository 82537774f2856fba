//! What a mailbox is asked for: one login, nothing that was there before, and no more where it is full.

use crate::proxy::Proxy;
use crate::servers::{own, shared};

/// Asserts that the mailbox was watched as it should be: over one session, only by UID, and only from this UID on.
#[track_caller]
fn is_well_behaved(proxy: &Proxy, uid_next: u32) {
    let commands = proxy.commands();
    let words = commands.iter().map(|line| line.split_once(' '));
    let commands: Vec<_> = words.map(|words| words.map_or("", |it| it.1)).collect();
    let count = |verb: &str| {
        let of_it = commands.iter().filter(|command| command.starts_with(verb));
        of_it.count()
    };
    assert_eq!(count("LOGIN") + count("AUTHENTICATE"), 1, "{commands:#?}");
    for command in &commands {
        let bare = ["EXPUNGE", "CLOSE", "FETCH", "STORE", "COPY", "MOVE"];
        let is_bare = bare.iter().any(|verb| command.starts_with(verb));
        assert!(!is_bare && !command.contains("SEARCH"), "{command}");
        let Some(rest) = command.strip_prefix("UID ") else {
            continue;
        };
        let set = rest.split(' ').nth(1).unwrap();
        for number in set.split([',', ':']).filter(|number| *number != "*") {
            let uid: u32 = number.parse().unwrap();
            assert!(uid >= uid_next, "{command} begins before {uid_next}");
        }
    }
}

#[test]
fn two_hundred_probes_need_one_login_and_touch_nothing_old() {
    let Some(stack) = shared() else { return };
    let uid_next = stack.imap().uid_next("INBOX");
    let imap = Proxy::recording(stack.port("IMAP"));
    let check = stack.check().imap_through(&imap);
    let report = check.with("--count 200 --concurrency 50").run();
    assert_eq!(report.passes().len(), 200);
    is_well_behaved(&imap, uid_next);
}

#[test]
fn five_thousand_foreign_messages_are_neither_touched_nor_paid_for() {
    let Some(stack) = own() else { return };
    let mut costs = Vec::new();
    for more in ["1", "4999"] {
        stack.run("foreign", &[more]);
        let before = stack.imap().contents("INBOX");
        let uid_next = stack.imap().uid_next("INBOX");
        let proxy = Proxy::recording(stack.port("IMAP"));
        let check = stack.check().imap_through(&proxy);
        let report = check.with("--count 10 --concurrency 1").run();
        assert_eq!(report.passes().len(), 10);
        is_well_behaved(&proxy, uid_next);
        let after = stack.imap().contents("INBOX");
        assert!(after.values().all(Vec::is_empty), "a flag was set");
        assert_eq!(after, before);
        costs.push(proxy.server_bytes() / proxy.commands().len());
    }
    assert_eq!(stack.imap().contents("INBOX").len(), 5000);
    assert!(costs[1] < 2 * costs[0], "bytes a command: {costs:?}");
}
