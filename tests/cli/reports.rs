//! `check --report FORMAT=FILE`: the files are opened and older ones gone before anything is sent, and stand there whole or
//! not at all, however the run ends.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::bed::{Bed, Peer, Say, code, config, err, out, refused};
use super::formats;
use super::lab::Lab;

const PASSWORD: &str = "password = \"hunter2\"";
const FORMATS: [&str; 7] = [
    "human", "json", "junit", "tap", "nagios", "markdown", "github",
];

/// A bed whose gateway refuses every connection, so that the test fails.
fn failing() -> Bed {
    Bed::with(&config((refused(), refused()), "", PASSWORD))
}

/// `--report` for each format, into `reports/FORMAT`.
fn all_reports(bed: &Bed) -> Vec<String> {
    fs::create_dir_all(bed.path().join("reports")).unwrap();
    FORMATS
        .map(|format| format!("--report={format}=reports/{format}"))
        .into()
}

/// Each report is there, valid, and says these words; nothing else is there. The result document.
#[track_caller]
fn every_report_says(bed: &Bed, words: &[&str]) -> Value {
    let folder = bed.path().join("reports");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "github", "human", "json", "junit", "markdown", "nagios", "tap"
        ]
    );
    let read = |format: &str| fs::read_to_string(folder.join(format)).unwrap();
    for format in FORMATS {
        for words in words {
            let text = read(format).replace('\\', "");
            assert!(text.contains(words), "{words:?} is not in {format}: {text}");
        }
    }
    formats::junit(&read("junit"));
    formats::follows_the_schema(&read("junit"));
    formats::tap(&read("tap"));
    formats::nagios(&read("nagios"));
    formats::markdown(&read("markdown"));
    formats::github(&read("github"));
    formats::json(&read("json"))
}

#[test]
fn every_format_at_once_from_a_run_that_fails() {
    let bed = failing();
    let reports = all_reports(&bed);
    for format in FORMATS {
        bed.write(&format!("reports/{format}"), "an older report");
    }
    let mut arguments = vec![
        "check",
        "-q",
        "--linger=0",
        "--color=always",
        "--format=json",
    ];
    arguments.extend(reports.iter().map(String::as_str));
    let output = bed.run(&arguments);
    assert_eq!((code(&output), err(&output)), (2, String::new()));
    let document = every_report_says(&bed, &["inbound", "connect-failed"]);
    assert_eq!(document, formats::json(&out(&output)));
    let human = fs::read_to_string(bed.path().join("reports/human")).unwrap();
    assert!(human.starts_with("FAIL  1 test"), "{human}");
    // As any file of this user's, and not for its owner alone.
    fs::write(bed.path().join("other"), "").unwrap();
    let mode = |name: &str| {
        fs::metadata(bed.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("reports/junit"), mode("other"));
}

#[test]
fn every_format_is_printed_too() {
    let bed = failing();
    for format in FORMATS {
        let output = bed.run(&[
            "check",
            "--linger=0",
            "-q",
            "--color=always",
            "--format",
            format,
        ]);
        assert_eq!((code(&output), err(&output)), (2, String::new()));
        let said = out(&output);
        assert!(said.contains("connect-failed"), "{said}");
        assert_eq!(said.contains('\u{1b}'), format == "human", "{said}");
    }
}

#[test]
fn a_run_that_passes_takes_the_place_of_an_older_report() {
    let bed = Bed::new();
    let _lab = Lab::start(&bed, &[]);
    let reports = all_reports(&bed);
    bed.write("reports/junit", "<an older report");
    let mut arguments = vec!["check", "-c", "lab.toml", "--linger=0", "imap"];
    arguments.extend(reports.iter().map(String::as_str));
    let output = bed.run(&arguments);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let document = every_report_says(&bed, &["pass"]);
    assert_eq!(document["verdict"], "pass");
}

/// A path that cannot be written is told before anything is sent, and leaves what else is there as it is.
#[test]
fn a_path_that_cannot_be_written_stops_the_run_before_it_begins() {
    let gateway = Peer::gateway();
    let bed = Bed::with(&config((gateway.port, refused()), "", PASSWORD));
    bed.write("older.json", "an older report");
    fs::create_dir(bed.path().join("folder")).unwrap();
    let _socket = UnixListener::bind(bed.path().join("socket")).unwrap();
    for (path, why) in [
        (
            "absent/report.xml",
            "the folder absent: No such file or directory",
        ),
        ("older.json/report.xml", "Not a directory"),
        ("folder", "what stands there is no regular file"),
        ("socket", "what stands there is no regular file"),
        ("..", "it is no file"),
    ] {
        let report = format!("--report=junit={path}");
        let output = bed.run(&["check", "--report=json=older.json", &report]);
        let said = err(&output);
        assert_eq!((code(&output), out(&output)), (3, String::new()), "{said}");
        let sentence = format!("the junit report {path} cannot be written: ");
        assert!(said.contains(&sentence) && said.contains(why), "{said}");
    }
    assert!(gateway.heard().is_empty(), "{:?}", gateway.heard());
    let older = fs::read_to_string(bed.path().join("older.json")).unwrap();
    assert_eq!(older, "an older report");
    assert_eq!(leftovers(bed.path()), 0);
}

/// Files that a run keeps beside the reports until they are whole.
fn leftovers(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".mailrobin-")).count()
}

#[test]
fn a_report_is_asked_for_by_format_and_file() {
    let bed = failing();
    for (report, said) in [
        ("junit", "write FORMAT=FILE"),
        ("junti=a", "did you mean `junit`?"),
        (
            "xml=a",
            "known here: `human`, `json`, `junit`, `tap`, `nagios`, `markdown`, `github`",
        ),
        ("junit=", "a file is missing"),
        ("tap=-", "--format is what goes to standard output"),
    ] {
        let output = bed.run(&["check", "--report", report]);
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        assert!(err(&output).contains(said), "{}", err(&output));
    }
}

#[test]
fn two_reports_in_one_file_are_an_error() {
    let bed = failing();
    bed.write("report", "an older report");
    symlink("report", bed.path().join("link")).unwrap();
    for other in ["report", "./report", "link"] {
        let other = format!("--report=tap={other}");
        let output = bed.run(&["check", "--report=json=report", &other]);
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        assert!(err(&output).contains("twice"), "{}", err(&output));
    }
    let kept = fs::read_to_string(bed.path().join("report")).unwrap();
    assert_eq!(kept, "an older report");
    assert_eq!(leftovers(bed.path()), 0);
}

/// The trap: a green report of yesterday beside a run that never began.
#[test]
fn no_older_report_is_left_where_the_run_cannot_begin() {
    let bed = Bed::with("[gateways.edge]\nhots = \"mx\"");
    bed.write("report.xml", "an older report");
    let output = bed.run(&["check", "--report=junit=report.xml"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("hots"), "{}", err(&output));
    assert!(!bed.path().join("report.xml").exists());
    assert_eq!(leftovers(bed.path()), 0);

    let bed = failing();
    bed.write("report.xml", "an older report");
    let output = bed.run(&["check", "no-such-route", "--report=junit=report.xml"]);
    assert_eq!(code(&output), 3);
    assert!(!bed.path().join("report.xml").exists());
}

#[test]
fn a_link_still_leads_to_the_report() {
    let bed = failing();
    bed.write("kept/report.xml", "an older report");
    symlink("kept/report.xml", bed.path().join("link")).unwrap();
    let run = |route: &str| code(&bed.run(&["check", "--linger=0", "--report=junit=link", route]));
    assert_eq!(run("inbound"), 2);
    // A run that cannot begin leaves the link alone, and the next one finds its way.
    assert_eq!(run("no-such-route"), 3);
    assert!(!bed.path().join("kept/report.xml").exists());
    assert_eq!(run("inbound"), 2);
    assert!(bed.path().join("link").is_symlink());
    let text = fs::read_to_string(bed.path().join("kept/report.xml")).unwrap();
    formats::junit(&text);
}

#[test]
fn servers_that_never_answer_leave_whole_reports_that_name_them() {
    let bed = failing();
    let reports = all_reports(&bed);
    let mut arguments = vec!["check", "--wait=1s", "--fail-on=fail", "--format=json"];
    arguments.extend(reports.iter().map(String::as_str));
    let output = bed.run(&arguments);
    assert_eq!(code(&output), 3, "{}", err(&output));
    assert!(
        err(&output).contains("not ready within --wait 1s"),
        "{}",
        err(&output)
    );
    let never = "not started: gateway edge never answered: connecting to 127.0.0.1";
    let document = every_report_says(
        &bed,
        &[never, "mailbox returns never answered", "not-started"],
    );
    assert_eq!(document, formats::json(&out(&output)));
    let probe = &document["probes"][0];
    assert_eq!(
        [&probe["outcome"], &probe["verdict"]],
        ["skipped", "unknown"]
    );
    // A report of skipped tests would be green.
    let junit = fs::read_to_string(bed.path().join("reports/junit")).unwrap();
    assert_eq!(formats::junit(&junit).errors, 1);
}

fn taken(line: &str) -> Say {
    let verb = line.split(' ').next().unwrap_or_default();
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Say::Reply("250 gateway.example\r\n".into()),
        "DATA" => Say::Reply("354 go on\r\n".into()),
        "MAIL" | "RCPT" | "RSET" | "NOOP" => Say::Reply("250 2.1.0 fine\r\n".into()),
        "QUIT" => Say::Last("221 2.0.0 bye\r\n".into()),
        "." => Say::Reply("250 2.0.0 queued as 4711\r\n".into()),
        _ => Say::Reply(String::new()),
    }
}

fn busy(line: &str) -> Say {
    match taken(line) {
        _ if line.starts_with("RCPT") => Say::Reply("451 4.7.1 come back later\r\n".into()),
        say => say,
    }
}

fn spawn(bed: &Bed, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .current_dir(bed.path())
        .env_clear()
        .env("STATE_DIRECTORY", bed.path().join("state"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {what}");
}

fn terminate(child: &Child) {
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn an_interrupted_run_reports_what_is_known() {
    let gateway = Peer::start("220 gateway.example ESMTP\r\n", taken);
    let text = config((gateway.port, refused()), "", PASSWORD);
    let bed = Bed::with(&text.replace("deadline = \"1s\"", "deadline = \"5m\""));
    let reports = all_reports(&bed);
    let mut arguments = vec!["check", "-q"];
    arguments.extend(reports.iter().map(String::as_str));
    let child = spawn(&bed, &arguments);
    until("the message is handed over", || {
        gateway.heard().iter().any(|line| line == ".")
    });
    assert_eq!(leftovers(&bed.path().join("reports")), FORMATS.len());
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 3, "{}", err(&output));
    let document = every_report_says(&bed, &["inbound", "interrupted"]);
    assert_eq!(document["probes"][0]["outcome"], "unfinished");
}

#[test]
fn a_wait_that_is_interrupted_leaves_whole_reports_too() {
    let bed = failing();
    let reports = all_reports(&bed);
    let mut arguments = vec!["check", "--wait=5m"];
    arguments.extend(reports.iter().map(String::as_str));
    let child = spawn(&bed, &arguments);
    // The key is made last before the waiting begins.
    until("it waits", || {
        bed.path()
            .join("state")
            .read_dir()
            .is_ok_and(|mut files| files.next().is_some())
    });
    std::thread::sleep(Duration::from_millis(500));
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 3, "{}", err(&output));
    every_report_says(&bed, &["not started: interrupted while waiting"]);
}

/// A run whose report `gone/report.xml` loses its folder while it is under way.
fn run_and_lose(expect: &str) -> (i32, String, Bed) {
    let gateway = Peer::start("220 gateway.example ESMTP\r\n", busy);
    let tests = format!("tests = [{{ payload = \"plain\", expect = [{expect:?}] }}]\n");
    let bed = Bed::with(&(config((gateway.port, refused()), "", PASSWORD) + &tests));
    let gone = bed.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let child = spawn(
        &bed,
        &[
            "check",
            "-q",
            "--linger=0",
            "--report=junit=gone/report.xml",
            "--report=tap=kept.tap",
        ],
    );
    until("the report is opened", || {
        leftovers(&gone) == 1 && leftovers(bed.path()) == 1
    });
    fs::remove_dir_all(&gone).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(out(&output).contains("deferred"), "{}", out(&output));
    (code(&output), err(&output), bed)
}

#[test]
fn a_report_that_is_lost_at_the_end_is_told_and_the_others_are_whole() {
    for (expect, exit) in [("delivered", 2), ("deferred", 3)] {
        let (code, said, bed) = run_and_lose(expect);
        assert_eq!(code, exit, "{said}");
        assert!(
            said.contains("the junit report gone/report.xml cannot be written: "),
            "{said}"
        );
        let tap = formats::tap(&fs::read_to_string(bed.path().join("kept.tap")).unwrap());
        assert_eq!(tap[0].ok, exit == 3);
        assert_eq!(leftovers(bed.path()), 0);
    }
}

#[test]
fn a_report_is_renamed_into_its_place_and_never_written_there() {
    let bed = failing();
    bed.write("report.xml", "an older report");
    let held = fs::File::open(bed.path().join("report.xml")).unwrap();
    assert_eq!(
        code(&bed.run(&["check", "--linger=0", "--report=junit=report.xml"])),
        2
    );
    let new = fs::metadata(bed.path().join("report.xml")).unwrap();
    assert_ne!(held.metadata().unwrap().ino(), new.ino());
    // Who had the older one open still reads the whole of it.
    assert_eq!(std::io::read_to_string(held).unwrap(), "an older report");
}
