//! What is deleted over POP3, and what is found, where a unique id is not unique. And how often the maildrop is locked.

use std::time::Duration;
use std::{fs, thread};

use assert_cmd::Command;
use mailrobin::probe::outcome::Outcome;
use mailrobin::probe::record::Document;
use tempfile::TempDir;

use crate::maildrop::{AfterRead, Ids, Maildrop, Script, stranger};

/// No run may take longer.
const AT_MOST: Duration = Duration::from_secs(100);

struct Ran {
    exit: Option<i32>,
    stderr: String,
    document: Document,
}

fn check(
    dir: &TempDir,
    maildrop: &Maildrop,
    (mailbox, deadline): (&str, &str),
    args: &[&str],
) -> Ran {
    let config = format!(
        r#"
[signing]
instance = "bench"

[gateways.edge]
host = "127.0.0.1"
port = {}
tls = "none"

[mailboxes.returns]
protocol = "pop3"
host = "127.0.0.1"
port = {}
tls = "none"
username = "probe"
password = "probe"
insecure_auth = true
{mailbox}

[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@lab.example"
to = "echo@echo.example"
deadline = {deadline:?}
defer_for = "1s"
blind_grace = {deadline:?}
"#,
        maildrop.smtp, maildrop.pop3
    );
    fs::write(dir.path().join("mailrobin.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .current_dir(dir.path())
        .env_clear()
        .env("STATE_DIRECTORY", dir.path().join("state"))
        .args(["check", "--format", "json"])
        .args(args)
        .timeout(AT_MOST)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran {
        exit: output.status.code(),
        document: serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {stderr}")),
        stderr,
    }
}

/// Three probes one after the other: each is found once, and of the maildrop as much is left.
#[track_caller]
fn three(script: &Script, left: usize) -> Ran {
    let maildrop = Maildrop::start(script.clone());
    let dir = tempfile::tempdir().unwrap();
    let args = ["--count", "3", "--concurrency", "1", "--linger", "1s"];
    let ran = check(&dir, &maildrop, ("", "60s"), &args);
    maildrop.nothing_foreign_was_deleted();
    let duplicates = script.times - 1;
    for probe in &ran.document.probes {
        assert_eq!(probe.outcome, Outcome::Delivered, "{script:?}: {probe:#?}");
        assert_eq!(probe.duplicates, duplicates, "{script:?}: {probe:#?}");
    }
    let texts = maildrop.texts();
    assert_eq!(texts.len(), left, "{script:?}: {} {texts:#?}", ran.stderr);
    ran
}

const EVERY_KIND: [Ids; 5] = [
    Ids::Own,
    Ids::Number,
    Ids::Disguised,
    Ids::Shared,
    Ids::None,
];

/// Plays with every kind of ids at once.
fn each(play: impl Fn(Ids) + Sync) {
    thread::scope(|scope| {
        for ids in EVERY_KIND {
            let play = &play;
            scope.spawn(move || play(ids));
        }
    });
}

#[test]
fn whatever_the_ids_are_copies_are_found_once_and_nothing_else_is_deleted() {
    each(|ids| {
        for top in [true, false] {
            let script = Script {
                ids,
                top,
                before: vec![stranger, stranger],
                ..Script::default()
            };
            assert_eq!(three(&script, 2).exit, Some(0), "{script:?}");
        }
    });
}

#[test]
fn among_many_messages_too() {
    each(|ids| {
        let script = Script {
            ids,
            before: vec![stranger; 210],
            ..Script::default()
        };
        three(&script, 210);
    });
}

#[test]
fn two_copies_that_are_alike_are_two() {
    each(|ids| {
        let script = Script {
            ids,
            times: 2,
            ..Script::default()
        };
        three(&script, 0);
    });
}

#[test]
fn a_copy_under_the_id_of_one_that_somebody_else_deleted_is_found() {
    each(|ids| {
        let script = Script {
            ids,
            after_read: AfterRead::Vanishes,
            ..Script::default()
        };
        three(&script, 0);
    });
}

#[test]
fn what_took_a_copys_place_is_not_deleted() {
    each(|ids| {
        let script = Script {
            ids,
            after_read: AfterRead::IsReplaced,
            ..Script::default()
        };
        let ran = three(&script, 3);
        if ids == Ids::Own {
            assert!(ran.stderr.contains("nothing is deleted"), "{}", ran.stderr);
        }
    });
}

/// It rests for up to ten seconds before its last session.
#[test]
fn a_slow_maildrop_is_cleaned_up_before_leaving() {
    let script = Script {
        login: Duration::from_millis(3500),
        ..Script::default()
    };
    let maildrop = Maildrop::start(script);
    let dir = tempfile::tempdir().unwrap();
    let ran = check(&dir, &maildrop, ("", "60s"), &["--linger", "0s"]);
    assert_eq!(ran.exit, Some(0), "{}", ran.stderr);
    assert_eq!(maildrop.texts().len(), 0, "{}", ran.stderr);
    assert_eq!(ran.document.probes[0].evidence.cleanup, None);
}

#[test]
fn leftovers_are_swept_only_by_their_tags() {
    each(|ids| {
        let script = Script {
            ids,
            before: vec![stranger],
            ..Script::default()
        };
        let maildrop = Maildrop::start(script);
        let dir = tempfile::tempdir().unwrap();
        let args = ["--linger", "0s"];
        check(&dir, &maildrop, ("cleanup = \"keep\"", "4s"), &args);
        assert_eq!(maildrop.deleted(), 0);
        // Longer than the first probe could have been under way.
        thread::sleep(Duration::from_millis(9500));
        let ran = check(&dir, &maildrop, ("", "4s"), &args);
        maildrop.nothing_foreign_was_deleted();
        assert_eq!(maildrop.deleted(), 2, "{ids:?}: {}", ran.stderr);
        assert_eq!(maildrop.texts().len(), 1, "{ids:?}");
    });
}

#[test]
fn the_maildrop_is_held_for_a_quarter_of_the_time_at_most() {
    for login in [0, 40, 150].map(Duration::from_millis) {
        let script = Script {
            login,
            delay: Duration::from_secs(2),
            ..Script::default()
        };
        let maildrop = Maildrop::start(script);
        let dir = tempfile::tempdir().unwrap();
        let args = ["--count", "20", "--concurrency", "5", "--linger", "0s"];
        let ran = check(&dir, &maildrop, ("", "60s"), &args);
        assert_eq!(ran.exit, Some(0), "{}", ran.stderr);
        let sessions = maildrop.sessions();
        assert!(sessions.len() > 5, "{sessions:?}");
        for pair in sessions.windows(2) {
            let free = pair[1].from.duration_since(pair[0].to);
            let held = pair[0].to.duration_since(pair[0].from);
            assert!(
                free >= Duration::from_millis(250) && free >= 3 * held,
                "{login:?}: free for {free:?} after {held:?}"
            );
        }
    }
}
