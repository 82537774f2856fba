//! `mailrobin ping` on the command line: what it is aimed at, what it refuses, and how it ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bed::{Bed, Peer, Say, code, err, out, refused};

/// A server that answers everything.
fn server() -> Peer {
    Peer::start("220 gateway.example ESMTP\r\n", |line| {
        if line.starts_with("QUIT") {
            Say::Last("221 2.0.0 bye\r\n".into())
        } else {
            Say::Reply("250 2.0.0 fine\r\n".into())
        }
    })
}

fn target(peer: &Peer) -> String {
    format!("127.0.0.1:{}", peer.port)
}

/// A usage error: exit code 3, nothing on standard output, and these words.
#[track_caller]
fn wrong(arguments: &[&str], words: &[&str]) {
    let output = Bed::new().run(&[&["ping"], arguments].concat());
    assert_eq!(
        (code(&output), out(&output)),
        (3, String::new()),
        "{arguments:?}: {}",
        err(&output)
    );
    for word in words {
        assert!(
            err(&output).contains(word),
            "{word:?} is not in\n{}",
            err(&output)
        );
    }
}

#[test]
fn what_is_no_target_is_said() {
    wrong(&[], &["HOST[:PORT]"]);
    for target in [
        "",
        ":25",
        "smtp://",
        "imap://:143",
        "a b:25",
        "[::1:25",
        "user@example.org",
    ] {
        wrong(&[target], &["HOST"]);
    }
    for target in [
        "mx.example.com:0",
        "mx.example.com:",
        "mx.example.com:smtp",
        "mx.example.com:65536",
        "[::1]:0",
    ] {
        wrong(&[target], &["is no port: 1 to 65535"]);
    }
    wrong(
        &["http://mx.example.com"],
        &[
            "there is no scheme \"http\"",
            "smtp, smtps, submission, imap",
        ],
    );
}

#[test]
fn what_stands_behind_an_address_is_a_port_or_wrong() {
    for target in ["[::1]25", "[::1]x", "mx.example.com:25:30"] {
        wrong(&[target], &["HOST"]);
    }
}

#[test]
fn options_that_need_each_other() {
    let host = "127.0.0.1:1";
    wrong(&[host, "--from", "a@example.org"], &["--to"]);
    wrong(&[host, "--to", "a@example.org"], &["--from"]);
    wrong(
        &[host, "--from", "nonsense", "--to", "a@example.org"],
        &["--from", "nonsense"],
    );
    wrong(&[host, "--password-file", "x"], &["--username"]);
    wrong(&[host, "--insecure-auth"], &["--username"]);
    wrong(
        &[host, "--username", "probe"],
        &["$MAILROBIN_PASSWORD", "--password-file"],
    );
    wrong(&[host, "-k", "--ca-file", "x"], &["--ca-file"]);
    wrong(&[host, "--sending-address", "192.0.2.1"], &["--dnsbl"]);
    wrong(&[host, "-n", "0"], &["--count"]);
    wrong(&[host, "--timeout", "soon"], &["--timeout", "soon"]);
    wrong(&[host, "--dns", "nonsense"], &["192.0.2.53"]);
    wrong(&[host, "--format", "xml"], &["human", "json"]);
    wrong(
        &[
            "imap://127.0.0.1",
            "--from",
            "a@example.org",
            "--to",
            "b@example.org",
        ],
        &["--from and --to are for SMTP servers"],
    );
}

#[test]
fn authorities_that_are_none_are_refused() {
    let host = "127.0.0.1:1";
    wrong(&[host, "--ca-file", "missing.pem"], &["missing.pem"]);
    let bed = Bed::new();
    bed.write("ca.pem", "this is no certificate\n");
    let output = bed.run(&["ping", host, "--ca-file", "ca.pem"]);
    assert_eq!(
        (code(&output), out(&output)),
        (3, String::new()),
        "{}",
        err(&output)
    );
    assert!(err(&output).contains("ca.pem"), "{}", err(&output));
}

/// As the config refuses them.
#[test]
fn values_that_a_config_would_refuse_are_refused() {
    let host = "127.0.0.1:1";
    wrong(
        &[host, "--dnsbl", "two words"],
        &["is no zone of a blocklist"],
    );
    wrong(&[host, "--ehlo", "two words"], &["--ehlo"]);
    wrong(&[host, "--ehlo", "a\r\nMAIL FROM:<>"], &["--ehlo"]);
    wrong(&[host, "--dns", "192.0.2.53:0"], &["--dns"]);
    wrong(&[host, "--warn", "2s", "--crit", "1s"], &["--warn"]);
    wrong(&[host, "--interval", "0s"], &["--interval"]);
}

/// A password that cannot be read says nothing of the server.
#[test]
fn a_password_file_that_is_missing_is_a_local_failure() {
    let peer = Peer::gateway();
    let output = Bed::new().run(&[
        "ping",
        &target(&peer),
        "--tls=none",
        "--insecure-auth",
        "--username=probe",
        "--password-file=missing",
    ]);
    assert_eq!(code(&output), 3, "{}{}", out(&output), err(&output));
    let said = out(&output) + &err(&output);
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn the_verdict_is_the_exit_code() {
    let peer = server();
    let bed = Bed::new();
    let target = target(&peer);
    assert_eq!(code(&bed.run(&["ping", &target])), 0);
    assert_eq!(code(&bed.run(&["ping", &target, "--warn=1us"])), 1);
    assert_eq!(code(&bed.run(&["ping", &target, "--crit=1us"])), 2);
    assert_eq!(
        code(&bed.run(&["ping", &format!("127.0.0.1:{}", refused())])),
        2
    );
}

#[test]
fn schemes_are_read_in_any_case_and_an_ipv6_address_in_brackets() {
    let peer = server();
    let bed = Bed::new();
    let output = bed.run(&["ping", &format!("SMTP://127.0.0.1:{}/", peer.port)]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let output = bed.run(&["ping", "[::1]:1", "--timeout=1s"]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(out(&output).contains("[::1]:1"), "{}", out(&output));
}

/// As ping does: what was done is counted.
#[cfg(unix)]
#[test]
fn an_interrupted_count_is_summed_up() {
    sums_up_after("-INT");
}

/// A service manager says TERM.
#[cfg(unix)]
#[test]
fn a_terminated_count_is_summed_up() {
    sums_up_after("-TERM");
}

#[cfg(unix)]
#[track_caller]
fn sums_up_after(signal: &str) {
    let peer = server();
    let child = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .args(["ping", &target(&peer), "-n", "1000", "--interval", "50ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while peer.heard().len() < 6 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{signal}: {text}");
    let summary = text.lines().rev().nth(1).unwrap_or_default();
    assert!(
        summary.contains(" visits, ") && summary.ends_with(" 0.0% not"),
        "{signal}: {text}"
    );
    assert!(text.contains("min/avg/max/mdev"), "{text}");
}

#[test]
fn quiet_and_colour_are_as_everywhere() {
    let peer = server();
    let bed = Bed::new();
    let output = bed.run(&["ping", &target(&peer), "--color=always"]);
    assert!(out(&output).contains("\u{1b}["), "{}", out(&output));
    let output = bed.run(&["ping", &target(&peer)]);
    assert!(!out(&output).contains('\u{1b}'), "{}", out(&output));
    assert_eq!(err(&output), "");
}

const ROUTES: &str = r#"
[dns]
servers = ["192.0.2.53"]
blocklists = ["zen.spamhaus.org", "bl.example.org"]
sending_address = "2001:db8::7"

[gateways.edge]
host = "mx.example.com"

[routes.bare]
kind = "ping"
gateway = "edge"

[routes.full]
kind = "ping"
gateway = "edge"
from = "probe@monitor.example"
to = "echo@example.com"
deadline = "10s"
warn_after = "2s"
certificate_warn = "30d"
"#;

#[test]
fn ping_routes_are_shown_and_can_be_read_back() {
    let shown = |config: &str| {
        let output = Bed::with(config).run(&["config", "show"]);
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output)
    };
    let text = shown(ROUTES);
    assert_eq!(shown(&text), text);
    let table: toml::Table = text.parse().unwrap();
    let (bare, full) = (&table["routes"]["bare"], &table["routes"]["full"]);
    assert_eq!(bare["kind"].as_str(), Some("ping"));
    assert_eq!(bare["deadline"].as_str(), Some("1m"));
    assert_eq!(bare["certificate_warn"].as_str(), Some("336h"));
    assert_eq!(bare.get("from"), None);
    assert_eq!(full["to"].as_str(), Some("echo@example.com"));
    assert_eq!(full["warn_after"].as_str(), Some("2s"));
    let dns = &table["dns"];
    assert_eq!(dns["blocklists"].as_array().unwrap().len(), 2);
    assert_eq!(dns["sending_address"].as_str(), Some("2001:db8::7"));
}

#[test]
fn ping_routes_are_counted() {
    let output = Bed::with(ROUTES).run(&["config", "check"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).contains("2 routes"), "{}", out(&output));
}

/// The addresses of the defaults are for messages.
#[test]
fn a_ping_asks_for_no_more_than_its_own_route_says() {
    let peer = server();
    let bed = Bed::with(&format!(
        "[defaults]\nfrom = \"a@example.org\"\nto = \"b@example.org\"\n[gateways.edge]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n[routes.watch]\nkind = \"ping\"\ngateway = \"edge\"\n",
        peer.port
    ));
    assert_eq!(code(&bed.run(&["check"])), 0);
    let heard = peer.heard();
    assert!(
        heard.iter().all(|line| !line.starts_with("MAIL")),
        "{heard:?}"
    );
}

/// `check` and `ping` print one kind of document.
#[test]
fn the_document_follows_the_schema() {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&mailrobin::report::json::schema())
        .unwrap();
    let peer = server();
    let (answering, dead) = (target(&peer), format!("127.0.0.1:{}", refused()));
    for arguments in [
        vec![answering.as_str()],
        vec![&answering, "--plain"],
        vec![&answering, "-n2", "--interval=1ms"],
        vec![&answering, "--dnsbl=bl.example.org"],
        vec![&dead],
        vec!["gone.invalid", "--timeout=1s"],
    ] {
        let output = Bed::new().run(&[&["ping", "--format=json"], &arguments[..]].concat());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let wrong: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            wrong.is_empty(),
            "{arguments:?}: {}\n{document:#}",
            wrong.join("\n")
        );
    }
}
