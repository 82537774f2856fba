//! What hostile peers say reaches no terminal as it is: one reply goes through every output there is, read from the
//! program's own list of them, so that a new one is tried here too.

use std::fs;

use serde_json::Value;

use super::bed::{Bed, Peer, Say, code, config, err, out};

/// What each peer says of everything.
const WORDS: &str =
    "go \u{202e}away\u{2066} now\u{2028}ok\u{200b}\u{61c}\u{feff}\u{9b}31m\u{7f}\u{1b}[31m\u{7}red";

/// What no output may hold but a line break and, in JSON, nothing else either.
fn odd(text: &str) -> Vec<char> {
    let is_odd = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\r'))
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(is_odd).collect()
}

fn gateway() -> Peer {
    Peer::start("220 gateway.example ESMTP\r\n", |line| {
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" => Say::Reply("250 gateway.example\r\n".into()),
            "RCPT" => Say::Last(format!("550 5.1.1 {WORDS}\r\n")),
            _ => Say::Reply(format!("250 2.0.0 {WORDS}\r\n")),
        }
    })
}

fn mailbox() -> Peer {
    Peer::start("* OK ready\r\n", |line| {
        let tag = line.split(' ').next().unwrap_or_default();
        Say::Last(format!("{tag} NO {WORDS}\r\n"))
    })
}

fn bed() -> (Bed, [Peer; 2]) {
    let peers = [gateway(), mailbox()];
    let text = config(
        (peers[0].port, peers[1].port),
        "",
        "password = { env = \"PW\" }",
    );
    (Bed::with(&text), peers)
}

/// The formats that a command takes, as it says itself.
fn formats(bed: &Bed, command: &[&str]) -> Vec<String> {
    let asked = [command, &["--format", "?"]].concat();
    let said = err(&bed.run(&asked));
    let list = said.split("possible values: ").nth(1).unwrap();
    let list = list.split(']').next().unwrap();
    list.split(", ").map(str::to_owned).collect()
}

#[track_caller]
fn is_fit(what: &str, text: &str) {
    assert_eq!(odd(text), Vec::<char>::new(), "{what}: {text:?}");
}

#[test]
fn what_check_prints_is_fit_in_every_format() {
    let (bed, _peers) = bed();
    let formats = formats(&bed, &["check"]);
    assert!(formats.len() >= 7, "{formats:?}");
    for format in &formats {
        let report = format!("{format}=report");
        let arguments = [
            "check",
            "--linger",
            "0s",
            "--transcript",
            "-vvv",
            "--format",
            format,
            "--report",
            &report,
        ];
        for color in ["never", "always"] {
            let output = bed
                .command(&[&arguments[..], &["--color", color]].concat())
                .env("PW", "probe")
                .output()
                .unwrap();
            assert_eq!(code(&output), 2, "{format}");
            let report = fs::read_to_string(bed.path().join("report")).unwrap();
            is_fit(&format!("the report in {format}"), &report);
            // Colours are our own.
            let colored = anstream::adapter::strip_str(&out(&output)).to_string();
            is_fit(format, &colored);
            is_fit(
                "the log",
                &anstream::adapter::strip_str(&err(&output)).to_string(),
            );
            assert!(colored.contains("550"), "{format}: {colored}");
            if color == "never" {
                is_fit(format, &out(&output));
                is_fit("the log", &err(&output));
            }
        }
    }
}

#[test]
fn what_json_holds_is_fit_as_well() {
    let (bed, _peers) = bed();
    let output = bed.command(&[
        "check",
        "--linger",
        "0s",
        "--transcript",
        "--format",
        "json",
    ]);
    let output = { output }.env("PW", "probe").output().unwrap();
    let document: Value = serde_json::from_str(&out(&output)).unwrap();
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => is_fit("JSON", text),
            Value::Array(values) => waiting.extend(values),
            Value::Object(fields) => waiting.extend(fields.values()),
            _ => {}
        }
    }
}

#[test]
fn what_ping_prints_is_fit_in_every_format() {
    let (bed, peers) = bed();
    let formats = formats(&bed, &["ping", "127.0.0.1"]);
    assert!(formats.len() >= 3, "{formats:?}");
    for format in &formats {
        let smtp = format!("smtp://127.0.0.1:{}", peers[0].port);
        let smtp = vec![
            "ping",
            &smtp,
            "--from",
            "a@example.com",
            "--to",
            "b@example.com",
            "-n",
            "2",
        ];
        let imap = format!("imap://127.0.0.1:{}", peers[1].port);
        let imap = vec!["ping", &imap, "-n", "2"];
        for ping in [smtp, imap] {
            let all = [
                &ping[..],
                &[
                    "--format",
                    format,
                    "--tls",
                    "none",
                    "-vvv",
                    "--interval",
                    "10ms",
                ],
            ]
            .concat();
            let output = bed.run(&all);
            assert_eq!(code(&output), 2, "{}", out(&output));
            is_fit(format, &out(&output));
            is_fit("the log", &err(&output));
        }
    }
}
