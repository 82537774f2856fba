//! Colours: on a terminal alone, unless told otherwise.

use super::bed::{Bed, code, config, err, out, refused};

const ESCAPE: char = '\u{1b}';

/// Standard output and standard error of a check that fails, with log lines on the second.
fn said(arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let bed = Bed::with(&config(
        (refused(), refused()),
        "",
        "password = \"hunter2\"",
    ));
    let mut all = vec!["check", "--linger", "0", "-v"];
    all.extend(arguments);
    let output = bed
        .command(&all)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let said = (out(&output), err(&output));
    assert!(
        said.0.contains("unsent") && said.1.contains("WARN"),
        "{said:?}"
    );
    said
}

#[track_caller]
fn is_coloured(said: &(String, String), expected: bool) {
    assert_eq!(
        (said.0.contains(ESCAPE), said.1.contains(ESCAPE)),
        (expected, expected),
        "{said:?}"
    );
}

#[test]
fn there_are_none_where_there_is_no_terminal() {
    is_coloured(&said(&[], &[("TERM", "xterm-256color")]), false);
    is_coloured(
        &said(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]),
        false,
    );
    is_coloured(&said(&["--color=auto"], &[("TERM", "dumb")]), false);
}

#[test]
fn there_are_some_where_they_are_asked_for() {
    is_coloured(&said(&["--color", "always"], &[]), true);
    is_coloured(&said(&["--color", "always"], &[("NO_COLOR", "1")]), true);
    is_coloured(&said(&[], &[("CLICOLOR_FORCE", "1")]), true);
}

#[test]
fn no_color_is_honoured() {
    is_coloured(
        &said(&[], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]),
        false,
    );
}

#[test]
fn documents_and_configs_have_none_whatever_is_asked_for() {
    let bed = Bed::with(&config(
        (refused(), refused()),
        "",
        "password = \"hunter2\"",
    ));
    for arguments in [
        &[
            "check",
            "--linger=0",
            "--format=json",
            "--color=always",
            "-q",
        ][..],
        &["config", "show", "--color=always"],
    ] {
        let output = bed.run(arguments);
        assert!(!out(&output).contains(ESCAPE), "{}", out(&output));
    }
}

#[test]
fn usage_errors_follow_the_option_too() {
    let bed = Bed::new();
    let plain = bed.run(&["check", "--no-such-option"]);
    assert!(!err(&plain).contains(ESCAPE));
}
