//! The service's two state machines, scenario by scenario: when tests are started, and what their results come to.
//!
//! A scenario is a `*.toml` file beside this one; `board.rs` says what may stand in one about results, `timetable.rs` in
//! one about starts. Days of them pass in milliseconds: nothing here waits. A new case is a new file.
//! `MAILROBIN_SCENARIO=word` plays only those with the word in their name.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed, as it should"
)]

mod board;
mod timetable;
mod value;

use std::fs;
use std::path::{Path, PathBuf};

/// Every scenario file in the order of their names, and its text.
fn all() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

#[test]
fn every_scenario_goes_as_written() {
    let wanted = std::env::var("MAILROBIN_SCENARIO").unwrap_or_default();
    let scenarios: Vec<_> = all()
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
        .collect();
    assert!(!scenarios.is_empty(), "there is no {wanted:?}");
    let mut failures = Vec::new();
    for (name, text) in &scenarios {
        let table: toml::Table = text
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let title = table.get("title").map(ToString::to_string);
        let differences = if name.starts_with("schedule-") {
            timetable::differences(text)
        } else {
            board::differences(text)
        };
        if !differences.is_empty() {
            let title = title.unwrap_or_default();
            failures.push(format!(
                "{name}.toml ({title}):\n  {}",
                differences.join("\n  ")
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} scenarios went otherwise:\n\n{}\n",
        failures.len(),
        scenarios.len(),
        failures.join("\n\n")
    );
}

#[test]
fn what_no_scenario_may_say_is_an_error() {
    let wrong = [
        "title = ''\nsteps = [{ at = '00:00', test = 'a/plain', verdict = 'fail', cod = 'leak' }]",
        "title = ''\nsteps = [{ at = '00:00', test = 'a/plain', verdict = 'fails' }]",
        "title = ''\nsteps = [{ at = '0:0:0:0', tick = true }]",
        "title = ''\nsteps = [{ at = '00:00', tick = true, expect = { notice = [] } }]",
        "title = ''\nsteps = []\n[routes.a]\nfail_afer = 1",
    ];
    for text in wrong {
        assert!(board::read(text).is_err(), "{text}");
    }
    let wrong = [
        "title = ''\nsteps = [{ runs = '1m' }]",
        "title = ''\nsteps = []\n[routes.a]\nlines = [{ evry = '1m' }]",
        "title = ''\nsteps = [{ run = '1m', expect = { start = [] } }]",
    ];
    for text in wrong {
        assert!(timetable::read(text).is_err(), "{text}");
    }
}

#[test]
fn a_scenario_that_says_too_little_or_too_much_fails() {
    let steps = |expect: &str| {
        format!(
            "title = ''\n[routes.a]\nfail_after = 1\n[[steps]]\nat = '00:00'\ntest = 'a/plain'\nverdict = 'fail'\n[steps.expect]\n{expect}"
        )
    };
    let said = [
        "states = { 'a/plain' = 'down' }",
        "moods = { a = 'failing' }",
        "notices = [{ event = 'failed', test = 'a/plain' }]",
        "incidents = [{ test = 'a/plain' }]",
    ];
    assert_eq!(
        board::differences(&steps(&said.join("\n"))),
        Vec::<String>::new()
    );
    for left_out in 0..said.len() {
        let mut said = said.to_vec();
        said.remove(left_out);
        assert!(!board::differences(&steps(&said.join("\n"))).is_empty());
    }
    let more = format!("{}\nrecover = ['a']", said.join("\n"));
    assert!(!board::differences(&steps(&more)).is_empty());
}
