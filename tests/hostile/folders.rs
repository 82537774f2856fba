//! IMAP folders that real servers keep oddly: what is read in them, what counts as a copy, and what is cleaned up.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use jiff::{Timestamp, ToSpan};
use mailrobin::probe::outcome::{Code, Outcome, Verdict};
use mailrobin::probe::record::{Document, Record};

use crate::mailstore::{Message, Quirks, State, StatusSays, Store};

/// What came of a run.
struct Ran {
    exit: Option<i32>,
    document: Document,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn is(&self, outcome: Outcome, verdict: Verdict, code: Code) -> &Record {
        let [probe] = self.document.probes.as_slice() else {
            panic!("{:#?}", self.document)
        };
        let found = (probe.outcome, probe.verdict, probe.code);
        assert_eq!(
            found,
            (outcome, verdict, code),
            "{probe:#?}\n{}",
            self.stderr
        );
        probe
    }

    #[track_caller]
    fn passed(&self) -> &Record {
        assert_eq!(self.exit, Some(0));
        self.is(Outcome::Delivered, Verdict::Pass, Code::Ok)
    }
}

/// One probe through the store, with more keys of the mailbox and of the route.
fn check(store: &Store, mailbox: &str, route: &str, args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    check_in(dir.path(), store, (mailbox, route), args)
}

/// The same with a directory that later runs share.
fn check_in(dir: &Path, store: &Store, (mailbox, route): (&str, &str), args: &[&str]) -> Ran {
    let deadline = if route.contains("deadline") {
        ""
    } else {
        "deadline = \"60s\""
    };
    let config = format!(
        r#"
[signing]
instance = "robin"
[gateways.edge]
host = "127.0.0.1"
port = {}
tls = "none"
[mailboxes.returns]
host = "127.0.0.1"
port = {}
tls = "none"
insecure_auth = true
username = "probe"
password = "probe"
{mailbox}
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
{deadline}
{route}
"#,
        store.smtp, store.imap
    );
    fs::write(dir.join("mailrobin.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .current_dir(dir)
        .env_clear()
        .env("STATE_DIRECTORY", dir.join("state"))
        .args(["check", "--format", "json"])
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout);
    Ran {
        exit: output.status.code(),
        document: document.unwrap_or_else(|error| panic!("{error}; {stderr}")),
        stderr,
    }
}

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::now() - hours.hours()
}

const NO_LINGER: &[&str] = &["--linger", "0s"];
/// A deadline for what does not come.
const SHORT: &str = "deadline = \"2s\"\nblind_grace = \"20s\"";

// --- what is cleaned up

/// The session breaks after the copy was shown, and before it is cleaned up.
fn breaks_once(state: &mut State, command: &str, anew: fn(&mut State)) -> bool {
    let cleans = ["UID STORE", "UID MOVE", "UID COPY"];
    if state.passed == 0 && cleans.iter().any(|verb| command.starts_with(verb)) {
        state.passed += 1;
        anew(state);
        return false;
    }
    true
}

#[test]
fn what_is_cleaned_up_was_shown_in_the_same_session() {
    let same: fn(&mut State, &str) -> bool = |state, command| breaks_once(state, command, |_| ());
    for (cleanup, capabilities) in [
        ("delete", "UIDPLUS MOVE"),
        ("move:Junk", "UIDPLUS MOVE"),
        ("move:Junk", "UIDPLUS"),
        ("seen", "UIDPLUS"),
    ] {
        let quirks = Quirks {
            capabilities,
            before: same,
            // A FETCH of what is new always gives the last message (RFC 9051 §6.4.8): that is another.
            take: |state, message| {
                state.inbox().put(Message::new(message));
                state.inbox().put(Message::foreign(2));
            },
            ..Quirks::default()
        };
        let store = Store::open(quirks, |state| state.inbox().put(Message::foreign(1)));
        let keys = format!("cleanup = {cleanup:?}\njunk = \"INBOX\"");
        check(&store, &keys, "", &["--linger", "3s"]).passed();
        let mut state = store.state();
        assert_eq!(state.wrongs, [""; 0], "{cleanup}: {:#?}", state.commands);
        let inbox = state.inbox();
        if cleanup == "seen" {
            assert!(inbox.messages[1].flags.contains("\\Seen"), "{cleanup}");
        } else {
            assert_eq!(inbox.messages.len(), 2, "{cleanup}");
        }
    }
}

/// The message is still there, and carries its tag in the text alone.
#[test]
fn a_tag_that_only_the_text_carries_is_shown_again_before_clean_up() {
    let quirks = Quirks {
        take: |state, message| {
            let (header, text) = message.split_once("\r\n\r\n").unwrap();
            let fields = ["From:", "Content-", "MIME-"];
            let kept = |line: &&str| fields.iter().any(|field| line.starts_with(field));
            let kept: Vec<_> = header.lines().filter(kept).collect();
            let bare = format!("{}\r\n\r\n{text}", kept.join("\r\n"));
            state.inbox().put(Message::new(&bare));
        },
        before: |state, command| breaks_once(state, command, |_| ()),
        ..Quirks::default()
    };
    let store = Store::open(quirks, |state| state.inbox().put(Message::foreign(1)));
    check(&store, "", "", &["--linger", "3s"]).passed();
    let mut state = store.state();
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
    assert_eq!(state.inbox().messages.len(), 1);
}

/// The server starts anew and gives the same UIDVALIDITY and UIDs to other messages.
#[test]
fn a_uid_that_is_somebody_elses_after_a_reconnect_is_left_alone() {
    let quirks = Quirks {
        before: |state, command| {
            breaks_once(state, command, |state| {
                let inbox = state.inbox();
                inbox.messages.clear();
                inbox.next = 1;
                inbox.put(Message::foreign(2));
            })
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    check(&store, "", "", &["--linger", "3s"]).passed();
    let mut state = store.state();
    assert!(state.passed > 0);
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
    assert_eq!(state.inbox().messages.len(), 1);
}

#[test]
fn a_new_uidvalidity_between_sighting_and_clean_up_touches_nothing_else() {
    let quirks = Quirks {
        before: |state, command| {
            breaks_once(state, command, |state| {
                let inbox = state.inbox();
                inbox.messages.insert(0, Message::foreign(3));
                inbox.renumber(1);
            })
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    check(&store, "", "", &["--linger", "3s"]).passed();
    let state = store.state();
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
    assert!(
        state.folders[0]
            .messages
            .iter()
            .any(|it| it.raw == Message::foreign(3).raw)
    );
}

#[test]
fn leftovers_are_swept_by_what_is_shown_in_the_same_session() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Quirks::default(), |_| ());
    let route = "deadline = \"5s\"\ndefer_for = \"100ms\"\nblind_grace = \"100ms\"";
    let kept = ("cleanup = \"keep\"", route);
    check_in(dir.path(), &store, kept, NO_LINGER).passed();
    // The server gives the UID of the leftover to somebody else's message, and another one to the leftover.
    let inbox = |state: &mut State| {
        let inbox = state.inbox();
        inbox.messages.insert(0, Message::foreign(1));
        inbox.renumber(1);
    };
    inbox(&mut store.state());
    // A leftover is older than any probe in flight.
    thread::sleep(Duration::from_secs(6));
    check_in(dir.path(), &store, ("", route), NO_LINGER).passed();
    let mut state = store.state();
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
    let left: Vec<_> = state
        .inbox()
        .messages
        .iter()
        .map(|it| it.raw.clone())
        .collect();
    assert_eq!(left, [Message::foreign(1).raw]);
}

#[test]
fn without_uidplus_the_result_says_that_copies_stay() {
    let quirks = Quirks {
        capabilities: "",
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let dir = tempfile::tempdir().unwrap();
    let keys = ("cleanup = \"delete\"", "");
    let reports = ["human", "markdown"].map(|format| format!("--report={format}={format}"));
    let args = ["--linger=0s", &reports[0], &reports[1]];
    let ran = check_in(dir.path(), &store, keys, &args);
    let note = ran.passed().evidence.cleanup.clone().unwrap_or_default();
    assert!(note.contains("UIDPLUS"), "{note:?}");
    for format in ["human", "markdown"] {
        let text = fs::read_to_string(dir.path().join(format)).unwrap();
        assert!(text.contains("UIDPLUS"), "{text}");
    }
    let ran = check(
        &store,
        "cleanup = \"move:Junk\"\njunk = \"INBOX\"",
        "",
        NO_LINGER,
    );
    let note = ran.passed().evidence.cleanup.clone().unwrap_or_default();
    assert!(
        note.contains("UIDPLUS") && note.contains("Junk"),
        "{note:?}"
    );
    let quirks = Quirks {
        capabilities: "UIDPLUS",
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(
        &store,
        "cleanup = \"move:Junk\"\njunk = \"INBOX\"",
        "",
        NO_LINGER,
    );
    assert_eq!(ran.passed().evidence.cleanup, None);
    assert_eq!(store.state().inbox().messages.len(), 0);
}

#[test]
fn the_folder_to_move_to_is_made_where_it_is_not_there() {
    for capabilities in ["UIDPLUS MOVE", "UIDPLUS"] {
        let quirks = Quirks {
            capabilities,
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        let ran = check(&store, "cleanup = \"move:Robins\"", "", NO_LINGER);
        assert_eq!(ran.passed().evidence.cleanup, None);
        let mut state = store.state();
        assert_eq!(state.inbox().messages.len(), 0);
        assert_eq!(state.folder("Robins").messages.len(), 1);
    }
}

/// Dovecot says so of the folder that the very command has made.
#[test]
fn a_folder_that_is_there_before_it_is_made_is_moved_to() {
    for capabilities in ["UIDPLUS MOVE", "UIDPLUS"] {
        let quirks = Quirks {
            capabilities,
            before: |state, command| {
                if command.starts_with("CREATE") {
                    state.make("Robins");
                }
                true
            },
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        let ran = check(&store, "cleanup = \"move:Robins\"", "", NO_LINGER);
        assert_eq!(ran.passed().evidence.cleanup, None);
        let mut state = store.state();
        assert_eq!(state.inbox().messages.len(), 0);
        assert_eq!(state.folder("Robins").messages.len(), 1);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let quirks = Quirks {
        // The folder vanishes as soon as it is made.
        before: |state, _| {
            state.folders.retain(|folder| folder.name != "Robins");
            true
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "cleanup = \"move:Robins\"", "", NO_LINGER);
    let note = ran.passed().evidence.cleanup.clone().unwrap_or_default();
    assert!(note.contains("no such folder"), "{note:?}");
    assert_eq!(store.state().inbox().messages.len(), 1);
}

/// Makes the next command fail that moves the first message: its folder vanishes.
fn refuses_the_first(state: &mut State, command: &str) {
    if command.starts_with("UID MOVE 1") {
        state.folders.retain(|folder| folder.name != "Robins");
    }
}

#[test]
fn a_clean_up_that_is_refused_is_tried_again() {
    let quirks = Quirks {
        before: |state, command| {
            // The second try, behind CREATE, is refused as well.
            state.passed += usize::from(command.starts_with("UID MOVE 1"));
            if state.passed <= 2 {
                refuses_the_first(state, command);
            }
            true
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "cleanup = \"move:Robins\"", "", NO_LINGER);
    assert_eq!(ran.passed().evidence.cleanup, None);
    let mut state = store.state();
    assert!(state.passed > 2, "{:#?}", state.commands);
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
    assert_eq!(state.inbox().messages.len(), 0);
    assert_eq!(state.folder("Robins").messages.len(), 1);
}

/// That others can be cleaned up later does not hide it.
#[test]
fn a_copy_whose_clean_up_is_always_refused_is_said() {
    let quirks = Quirks {
        before: |state, command| {
            refuses_the_first(state, command);
            true
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let args = ["--count", "2", "--concurrency", "1", "--linger", "0s"];
    let ran = check(&store, "cleanup = \"move:Robins\"", "", &args);
    assert_eq!(ran.exit, Some(0), "{}", ran.stderr);
    for probe in &ran.document.probes {
        let note = probe.evidence.cleanup.clone().unwrap_or_default();
        assert!(note.contains("no such folder"), "{note:?}");
    }
    let mut state = store.state();
    let left: Vec<_> = state.inbox().messages.iter().map(|it| it.uid).collect();
    assert!(left.contains(&1), "{left:?}");
    assert_eq!(state.wrongs, [""; 0], "{:#?}", state.commands);
}

/// Where a server copies and does not remove, only the removal is tried again.
#[test]
fn a_copy_that_was_copied_is_not_copied_again() {
    let quirks = Quirks {
        capabilities: "UIDPLUS",
        refuses: |state, command| {
            let is_first = command.starts_with("UID STORE") && state.passed == 0;
            state.passed += usize::from(is_first);
            is_first
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "cleanup = \"move:Robins\"", "", NO_LINGER);
    assert_eq!(ran.passed().evidence.cleanup, None);
    let mut state = store.state();
    assert_eq!(state.passed, 1);
    assert_eq!(state.inbox().messages.len(), 0);
    assert_eq!(state.folder("Robins").messages.len(), 1);
}

#[test]
fn a_clean_up_that_breaks_the_session_is_tried_again_before_leaving() {
    let quirks = Quirks {
        before: |state, command| breaks_once(state, command, |_| ()),
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "", "", NO_LINGER);
    assert_eq!(ran.passed().evidence.cleanup, None);
    assert_eq!(store.state().inbox().messages.len(), 0);
}

#[test]
fn copies_that_stay_because_the_mailbox_went_away_are_said() {
    let quirks = Quirks {
        before: |state, command| {
            state.passed += usize::from(command.starts_with("UID STORE"));
            state.passed == 0
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "", "", NO_LINGER);
    let note = ran.passed().evidence.cleanup.clone().unwrap_or_default();
    assert!(note.contains("cannot be read"), "{note:?}");
    assert_eq!(store.state().inbox().messages.len(), 1);
}

// --- what is read

/// Nobody is let in before the gateway has the message.
fn opens_late(state: &mut State, command: &str) -> bool {
    !command.starts_with("LOGIN") || !state.taken.is_empty()
}

/// A mailbox that is first opened after the copy came.
fn late(take: fn(&mut State, &str)) -> Quirks {
    Quirks {
        take,
        before: opens_late,
        ..Quirks::default()
    }
}

#[test]
fn a_copy_whose_arrival_is_dated_hours_back_is_found() {
    let cases: [fn(&mut State, &str); 4] = [
        |state, message| {
            let dated = Message::new(message).dated(Some(hours_ago(12)));
            state.inbox().put(dated);
        },
        |state, message| state.inbox().put(Message::new(message).dated(None)),
        |state, message| {
            let dated = Message::new(message).dated(Some(Timestamp::UNIX_EPOCH));
            state.inbox().put(dated);
        },
        |state, message| {
            state
                .inbox()
                .put(Message::new(message).dated(Some(hours_ago(9))));
            for number in 0..150 {
                state.inbox().put(Message::foreign(number));
            }
        },
    ];
    for take in cases {
        let store = Store::open(late(take), |state| {
            for number in 0..200 {
                let old = Message::foreign(number).dated(Some(hours_ago(100)));
                state.inbox().put(old);
            }
        });
        check(&store, "", "", NO_LINGER).passed();
    }
}

/// Whether it came in time is told by nobody, or by a clock that must be wrong.
#[test]
fn a_copy_that_came_while_the_mailbox_could_not_be_read_is_not_called_late_without_proof() {
    let takes: [fn(&mut State, &str); 2] = [
        |state, message| state.inbox().put(Message::new(message).dated(None)),
        |state, message| {
            let ahead = Timestamp::now() + 12.hours();
            let dated = Message::new(message).dated(Some(ahead));
            state.inbox().put(dated);
        },
    ];
    for take in takes {
        let quirks = Quirks {
            take,
            // The deadline passes before anybody is let in.
            before: |state, command| {
                let sent = state
                    .taken_at
                    .is_some_and(|at| at.elapsed() > Duration::from_secs(3));
                !command.starts_with("LOGIN") || sent
            },
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        let ran = check(&store, "", SHORT, NO_LINGER);
        let probe = ran.is(Outcome::Unseen, Verdict::Unknown, Code::MailboxUnreadable);
        assert!(!probe.late && probe.copies.len() == 1, "{probe:#?}");
    }
}

/// So much newer mail lies above the place where the copy may be that not all of it is read.
#[test]
fn a_copy_that_may_lie_below_what_was_read_is_unseen_not_missing() {
    let quirks = late(|state, _| {
        for number in 0..5000 {
            let dated = Message::foreign(number).dated(Some(hours_ago(5)));
            state.inbox().put(dated);
        }
    });
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "", SHORT, NO_LINGER);
    let probe = ran.is(Outcome::Unseen, Verdict::Unknown, Code::MailboxUnreadable);
    assert!(probe.reason.contains("newest"), "{}", probe.reason);
}

/// All that is below is certainly older.
#[test]
fn old_mail_below_what_was_read_leaves_missing_missing() {
    let store = Store::open(late(|_, _| ()), |state| {
        for number in 0..5000 {
            let old = Message::foreign(number).dated(Some(hours_ago(100)));
            state.inbox().put(old);
        }
    });
    check(&store, "", SHORT, NO_LINGER).is(Outcome::Missing, Verdict::Fail, Code::Missing);
}

#[test]
fn a_junk_folder_whose_status_stands_still_is_looked_into_at_the_end() {
    for status in [StatusSays::Nothing, StatusSays::Zero, StatusSays::NoUidnext] {
        let quirks = Quirks {
            status,
            take: |state, message| state.folder("Junk").put(Message::new(message)),
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        let ran = check(&store, "", SHORT, NO_LINGER);
        let [probe] = ran.document.probes.as_slice() else {
            panic!("{:#?}", ran.document)
        };
        assert_eq!(probe.outcome, Outcome::Junked, "{status:?}: {probe:#?}");
    }
}

#[test]
fn nothing_is_fetched_from_an_empty_folder() {
    let quirks = Quirks {
        empty_is_bad: true,
        take: |_, _| (),
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    check(&store, "", SHORT, NO_LINGER).is(Outcome::Missing, Verdict::Fail, Code::Missing);
    for silent in [false, true] {
        let quirks = Quirks {
            empty_is_bad: true,
            silent,
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        check(&store, "", "", NO_LINGER).passed();
    }
}

#[test]
fn foreign_messages_without_a_text_or_a_date_are_read() {
    let takes: [fn(&mut State, &str); 3] = [
        |state, _| state.inbox().put(Message::new("")),
        |state, _| {
            state.inbox().put(Message {
                raw: None,
                ..Message::foreign(1)
            });
        },
        |state, _| state.inbox().put(Message::foreign(1).dated(None)),
    ];
    for take in takes {
        // Each comes alone, and then nothing more.
        let quirks = Quirks {
            take,
            ..Quirks::default()
        };
        let store = Store::open(quirks, |_| ());
        check(&store, "", SHORT, NO_LINGER).is(Outcome::Missing, Verdict::Fail, Code::Missing);
    }
}

// --- what counts

/// The server starts anew after the first of two copies was seen, with the folder made anew; the second copy comes then.
fn restarts(state: &mut State, command: &str, anew: fn(&mut State)) -> bool {
    if command != "NOOP" || state.taken.len() < 2 {
        return true;
    }
    state.passed += 1;
    if state.passed == 10 {
        anew(state);
        let second = state.taken[1].clone();
        state.inbox().put(Message::new(&second).received("two"));
    }
    state.passed != 10
}

/// Two probes, of which the first comes back before the server starts anew.
fn across_a_restart(before: fn(&mut State, &str) -> bool) -> Document {
    let quirks = Quirks {
        take: |state, message| {
            if state.taken.is_empty() {
                state.inbox().put(Message::new(message).received("one"));
            }
        },
        before,
        ..Quirks::default()
    };
    let store = Store::open(quirks, |state| state.inbox().put(Message::foreign(1)));
    let args = ["--count", "2", "--linger", "3s"];
    let ran = check(&store, "cleanup = \"keep\"\npoll = \"50ms\"", "", &args);
    assert!(store.state().passed >= 10);
    ran.document
}

/// How often the two came back more than once; which of them was sent first is not said.
fn duplicates(document: &Document) -> usize {
    let probes = document.probes.iter();
    probes.map(|probe| probe.duplicates).sum()
}

#[test]
fn the_same_copies_under_a_new_uidvalidity_are_no_duplicates() {
    let document = across_a_restart(|state, command| {
        restarts(state, command, |state| {
            // The mbox keeps a line of its own in each message.
            for message in &mut state.inbox().messages {
                message.raw = message.raw.take().map(|raw| format!("Status: O\r\n{raw}"));
            }
            state.inbox().renumber(100);
        })
    });
    assert_eq!(duplicates(&document), 0, "{document:#?}");
    assert_eq!(document.verdict, Verdict::Pass);
}

#[test]
fn what_is_more_than_was_there_before_a_new_uidvalidity_counts() {
    let befores: [fn(&mut State, &str) -> bool; 3] = [
        // Another delivery of the first.
        |state, command| {
            restarts(state, command, |state| {
                let first = state.taken[0].clone();
                let later = Some(Timestamp::now() + 5.seconds());
                let again = Message::new(&first).received("three").dated(later);
                state.inbox().put(again);
                state.inbox().renumber(100);
            })
        },
        // The very same once more.
        |state, command| {
            restarts(state, command, |state| {
                let again = state.inbox().messages[1].clone();
                state.inbox().put(again);
                state.inbox().renumber(100);
            })
        },
        // It comes after the change.
        |state, command| {
            restarts(state, command, |state| {
                state.inbox().renumber(100);
                let again = state.inbox().messages[1].clone();
                let later = Some(Timestamp::now() + 5.seconds());
                state.inbox().put(again.dated(later));
            })
        },
    ];
    for before in befores {
        let document = across_a_restart(before);
        assert_eq!(duplicates(&document), 1, "{document:#?}");
    }
}

/// The server dates the copy when its delivery began; our looks have not shown it until much later.
#[test]
fn a_delivery_time_that_looks_disprove_is_not_believed() {
    let quirks = Quirks {
        take: |_, _| (),
        before: |state, command| {
            if command == "NOOP" && state.taken.len() == 1 {
                state.passed += 1;
                if state.passed == 1 {
                    let came = Message::new(&state.taken[0]).received("one");
                    state.folder("Junk").put(came);
                }
                let waited = state.folder("Junk").messages[0].date.unwrap();
                if Timestamp::now() > waited + 5.seconds() && state.inbox().messages.is_empty() {
                    let came = state.folder("Junk").messages[0].clone();
                    state.inbox().put(came);
                }
            }
            true
        },
        ..Quirks::default()
    };
    let store = Store::open(quirks, |_| ());
    let ran = check(&store, "junk = \"INBOX\"", "warn_after = \"1s\"", NO_LINGER);
    let probe = ran.is(Outcome::Delivered, Verdict::Warn, Code::Slow);
    assert!(
        !probe.reason.contains("could not be read") && !probe.reason.contains("until a look"),
        "{}",
        probe.reason
    );
}
