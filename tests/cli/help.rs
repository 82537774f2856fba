//! The help texts, kept in `help/COMMAND.txt`; `UPDATE_EXPECT=1` writes them anew.

use super::bed::{Bed, code, err, expect_file, out, root};

#[test]
fn the_help_is_as_it_was_written() {
    let mut wrong = Vec::new();
    for command in [
        "",
        "alert",
        "alert test",
        "check",
        "config",
        "config check",
        "config show",
        "explain",
        "init",
        "ping",
        "run",
        "status",
        "report",
        "store",
        "store check",
        "store export",
        "store prune",
    ] {
        let mut words: Vec<_> = command.split_whitespace().collect();
        words.push("--help");
        let output = Bed::new().run(&words);
        assert_eq!((code(&output), err(&output)), (0, String::new()));
        let name = format!("mailrobin {command}").trim().replace(' ', "-");
        let path = root().join(format!("tests/cli/help/{name}.txt"));
        wrong.extend(expect_file(&path, &out(&output)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn help_is_written_for_a_terminal_and_not_for_rustdoc() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["alert", "test", "--help"],
        &["check", "--help"],
        &["config", "--help"],
        &["explain", "--help"],
        &["init", "--help"],
        &["ping", "--help"],
        &["status", "--help"],
        &["report", "--help"],
        &["store", "--help"],
        &["store", "export", "--help"],
    ] {
        let help = out(&Bed::new().run(arguments));
        assert!(!help.contains('`'), "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = out(&Bed::new().run(&["--help"]));
    for said in [
        "0  every test passed",
        "1  the worst verdict is a warning",
        "2  a test failed",
        "3  the worst verdict is unknown; or usage, config or local failure",
    ] {
        assert!(help.contains(said), "{help}");
    }
}
