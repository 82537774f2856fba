//! What the README says can be run: its commands parse, its config is valid, its exit codes are the code's.

use clap::Parser;
use mailrobin::cli::Cli;
use mailrobin::probe::outcome::{Outcome, Verdict};

use crate::bed::{Bed, code, err};

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a language, their indentation taken away.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in README.lines() {
        let text = line.trim_start();
        match &mut open {
            Some(_) if text == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
            None if text == format!("```{language}") => {
                open = Some((line.len() - text.len(), String::new()));
            }
            None => {}
        }
    }
    blocks
}

#[test]
fn its_commands_are_ones_that_mailrobin_takes() {
    let mut seen = 0;
    for block in blocks("sh") {
        for line in block.lines() {
            let command = line.split(['#', '>']).next().unwrap_or_default().trim();
            let words = command.replace("cargo run --release --", "mailrobin");
            if words.starts_with("mailrobin") {
                seen += 1;
                Cli::try_parse_from(words.split_whitespace())
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
    assert!(seen >= 10, "only {seen} commands were found");
}

#[test]
fn its_config_is_valid_and_nothing_in_it_is_unwise() {
    let configs = blocks("toml");
    assert!(!configs.is_empty());
    for config in &configs {
        // Tests alone belong to the route that stands last in the first, and what is to be added to a config has no route.
        let whole = if config.contains("[routes.") {
            config.clone()
        } else {
            format!("{}\n{config}", configs[0])
        };
        let bed = Bed::with(&whole);
        let check = bed.run(&["config", "check"]);
        assert_eq!((code(&check), err(&check)), (0, String::new()), "{config}");
    }
}

#[test]
fn its_exit_codes_and_outcomes_are_the_codes() {
    for (verdict, words) in [
        (Verdict::Pass, "every test passed"),
        (Verdict::Warn, "a warning"),
        (Verdict::Fail, "a test failed"),
        (Verdict::Unknown, "unknown"),
    ] {
        let row = README
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", verdict.exit_code())))
            .unwrap();
        assert!(row.contains(words), "{row}");
    }
    for outcome in Outcome::ALL {
        let told = README.contains(&format!("`{outcome}`"));
        assert!(
            told || outcome == Outcome::Answered,
            "{outcome} is not told"
        );
    }
}
