//! `mailrobin lab` and `mailrobin demo` as a newcomer runs them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use mailrobin::probe::outcome::Code;

use crate::bed::{Bed, code, err, out};

/// A running lab, and its config in the bed as `lab.toml`.
pub(crate) struct Lab {
    child: Child,
    commands: ChildStdin,
    said: BufReader<std::process::ChildStderr>,
}

impl Lab {
    pub(crate) fn start(bed: &Bed, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
            .args(["lab", "--smtp-port=0", "--imap-port=0", "--pop3-port=0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut config = String::new();
        for line in BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            config.push_str(&line);
            config.push('\n');
            // The last key of the last route.
            if config.matches("blind_grace").count() == 2 {
                break;
            }
        }
        bed.write("lab.toml", &config);
        let commands = child.stdin.take().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            commands,
            said,
        }
    }

    /// Ends it; what it said and was not heard yet.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.child.kill().unwrap();
        let mut said = Vec::new();
        self.said.read_to_end(&mut said).unwrap();
        said
    }

    /// Says a command and waits for the answer that holds `answer`.
    pub(crate) fn say(&mut self, command: &str, answer: &str) {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        while !line.contains(answer) {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "the lab ended");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn its_config_is_ready_for_check_over_both_protocols() {
    let bed = Bed::new();
    let _lab = Lab::start(&bed, &[]);
    let config = bed.run(&["config", "check", "-c", "lab.toml"]);
    assert_eq!((code(&config), err(&config)), (0, String::new()));
    let check = bed.run(&["check", "-c", "lab.toml", "--linger=0"]);
    assert_eq!(
        (code(&check), err(&check)),
        (0, String::new()),
        "{}",
        out(&check)
    );
    assert!(
        out(&check).starts_with("PASS  2 tests: 2 passed in "),
        "{}",
        out(&check)
    );
}

#[test]
fn faults_are_given_at_the_start_and_changed_while_it_runs() {
    let bed = Bed::new();
    let mut lab = Lab::start(&bed, &["--fault", "reject=rcpt:550,to=imap"]);
    let check = |bed: &Bed| {
        bed.run(&[
            "check",
            "-c",
            "lab.toml",
            "--linger=0",
            "--deadline=1s",
            "imap",
        ])
    };
    assert!(out(&check(&bed)).contains("[rejected]"));
    lab.say("clear", "");
    lab.say("add drop", "added drop");
    let dropped = check(&bed);
    assert_eq!(code(&dropped), 2);
    assert!(out(&dropped).contains("[missing]"), "{}", out(&dropped));
    lab.say("add drpo", "drop");
    lab.say("clear", "");
    lab.say("status", "");
    assert_eq!(code(&check(&bed)), 0);
}

/// The code that a line ends with.
#[track_caller]
fn code_of(line: &str) -> Code {
    let word = line
        .rsplit_once(" [")
        .and_then(|(_, code)| code.strip_suffix(']'));
    let known = |word| Code::ALL.iter().find(|code| code.as_str() == word);
    *word
        .and_then(known)
        .unwrap_or_else(|| panic!("{line:?} ends with no code"))
}

fn is_bad(line: &str) -> bool {
    let badges = ["FAIL ", "UNKN ", "WARN "];
    badges
        .iter()
        .any(|badge| line.trim_start().starts_with(badge))
}

/// The codes of a report's bad tests: of its rows where filters were tested, else of the sentence under each test.
fn codes(report: &str) -> Vec<Code> {
    let mut codes = Vec::new();
    for block in report.split("\n\n").skip(1).filter(|block| is_bad(block)) {
        let lines: Vec<_> = block.lines().collect();
        let rows = lines.iter().filter(|line| line.starts_with(' '));
        let rows: Vec<_> = rows
            .filter(|line| is_bad(line) && !line.ends_with("for example:"))
            .collect();
        let example = lines.iter().position(|line| line.ends_with("for example:"));
        if rows.is_empty() {
            codes.push(code_of(lines[example.unwrap_or(0) + 1]));
        }
        codes.extend(rows.into_iter().map(|row| code_of(row)));
    }
    codes
}

#[test]
fn every_failing_line_ends_with_its_code() {
    let bed = Bed::new();
    let mut lab = Lab::start(
        &bed,
        &["--fault=reject=data:554,to=imap", "--fault=drop,to=pop3"],
    );
    let check = |arguments: &[&str]| {
        let mut all = vec!["check", "-c", "lab.toml", "--linger=0", "--deadline=1s"];
        all.extend(arguments);
        let report = out(&bed.run(&all));
        (codes(&report), report)
    };
    for arguments in [&[][..], &["--count=2"]] {
        let (codes, report) = check(arguments);
        assert_eq!(codes, [Code::Rejected, Code::Missing], "{report}");
    }
    lab.say("clear", "");
    lab.say("add duplicate,to=imap", "added");
    let (codes, report) = check(&["imap"]);
    assert_eq!(codes, [Code::Duplicate], "{report}");

    lab.say("clear", "");
    lab.say("add filter-off,to=imap", "added");
    lab.say("add drop,to=pop3", "added");
    let filters = ["--payload=plain", "--payload=eicar", "--payload=gtube"];
    for count in ["--count=1", "--count=2"] {
        let mut all = vec![count];
        all.extend(filters);
        let (mut codes, report) = check(&all);
        codes.sort_unstable();
        let expected = [
            Code::Leak,
            Code::Leak,
            Code::ControlFailed,
            Code::ControlFailed,
            Code::Missing,
        ];
        assert_eq!(codes, expected, "{report}");
    }
}

#[test]
fn a_taken_port_is_told_with_the_option_that_changes_it() {
    let bed = Bed::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--imap-port={}", taken.local_addr().unwrap().port());
    let lab = bed.run(&["lab", "--smtp-port=0", "--pop3-port=0", &port]);
    assert_eq!(code(&lab), 3);
    assert!(
        err(&lab).contains("--imap-port chooses another port"),
        "{}",
        err(&lab)
    );
    assert_eq!(err(&lab).matches("in use").count(), 1, "{}", err(&lab));
}

#[test]
fn an_unknown_fault_names_the_nearest_one() {
    let bed = Bed::new();
    let lab = bed.run(&["lab", "--fault=drpo"]);
    assert_eq!(code(&lab), 3);
    assert!(err(&lab).contains("`drop`"), "{}", err(&lab));
}

#[test]
fn a_lab_ends_in_good_order_when_told_to() {
    let bed = Bed::new();
    let mut lab = Lab::start(&bed, &[]);
    let pid = lab.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(lab.child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    lab.said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("panicked"), "{rest}");
}

#[test]
fn the_demo_judges_every_fate_as_it_should_and_leaves_nothing_behind() {
    let bed = Bed::new();
    let demos: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| bed.run(&["demo"]))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for demo in demos {
        assert_eq!(
            (code(&demo), err(&demo)),
            (0, String::new()),
            "{}",
            out(&demo)
        );
        let said = out(&demo);
        assert!(said.starts_with("PASS  13 of 13 fates"), "{said}");
        for fate in [
            "imap",
            "pop3",
            "greylisted",
            "slow",
            "duplicate",
            "junked",
            "altered",
            "rejected",
            "bounced",
            "missing",
            "unreadable",
        ] {
            assert!(
                said.contains(&format!(" {fate} ")),
                "{fate} is not in {said}"
            );
        }
    }
    assert_eq!(
        fs::read_dir(bed.path()).unwrap().count(),
        0,
        "something was left behind"
    );
}
