//! Every input that fuzzing keeps is read without a panic, on any toolchain.

use std::fs;
use std::path::Path;

use crate::drive::TARGETS;

/// An input that begins so is one that fails.
const FINDING: &str = "finding-";

/// Gives every target its inputs that are findings, or those that are not.
fn replay(findings: bool) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        eprintln!("SKIPPED: the corpora are not part of the package");
        return;
    }
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            let file = input.file_name().unwrap().to_string_lossy();
            if file.starts_with(FINDING) == findings {
                eprintln!("{name}/{file}");
                target(&fs::read(&input).unwrap());
            }
        }
    }
}

#[test]
fn every_kept_input_is_read_without_a_panic() {
    replay(false);
}

#[test]
fn every_finding_is_read_without_a_panic() {
    replay(true);
}
