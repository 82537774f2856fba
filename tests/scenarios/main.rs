//! Scenarios: what a gateway says, what becomes of the message and how the mailbox behaves, against what `check` must
//! make of it.
//!
//! A scenario is a `*.toml` file beside this one; `scenario.rs` says what may stand in it. A new case is a new file.
//! `MAILROBIN_SCENARIO=word` plays only those with the word in their name, those marked `ignore` too.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![cfg(feature = "lab")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod coverage;
mod judge;
mod lab;
mod letter;
mod peer;
mod reports;
mod scenario;
mod sessions;
mod stage;
mod timing;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;

use scenario::Scenario;

/// So many are played at once: most of their time is spent waiting.
const AT_ONCE: usize = 8;

/// Held for writing by what measures time and must not be disturbed by the others.
static QUIET: RwLock<()> = RwLock::new(());

/// Every scenario file and what it holds, in the order of their names.
fn all() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, scenario)
    };
    files.iter().map(read).collect()
}

#[test]
fn every_scenario_ends_as_written() {
    let wanted = std::env::var("MAILROBIN_SCENARIO").unwrap_or_default();
    let scenarios: Vec<_> = all()
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, scenario)) =
                    scenarios.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Some(reason) = scenario.ignore.as_ref().filter(|_| wanted.is_empty()) {
                        eprintln!("ignored: {name}: {reason}");
                        continue;
                    }
                    let _loud = QUIET.read().unwrap_or_else(PoisonError::into_inner);
                    let differences = judge::differences(scenario, &stage::play(scenario));
                    if !differences.is_empty() {
                        let title = &scenario.title;
                        let told =
                            format!("{name}.toml ({title}):\n  {}", differences.join("\n  "));
                        failures.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {} scenarios ended otherwise:\n\n{}\n",
        failures.len(),
        scenarios.len(),
        failures.join("\n\n")
    );
}
