//! `kind = "ping"`: gateways that `check` speaks to without sending a message.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use mailrobin::probe::outcome::{Code, Outcome};
use mailrobin::probe::record::Document;
use tempfile::TempDir;

use crate::dns::{NameServer, at};
use crate::ping_peer::{Act, Part, Server, Tongue, say};
use crate::ping_run::Pinged;
use crate::tls::Authority;

/// Runs `check` with the `mailrobin.toml` of this folder.
pub(crate) fn check(dir: &TempDir, args: &[&str]) -> Pinged {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .current_dir(dir.path())
        .env_clear()
        .env("STATE_DIRECTORY", dir.path().join("state"))
        .args(["check", "--format", "json"])
        .args(args)
        .timeout(Duration::from_secs(40))
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let document: Document = serde_json::from_str(&stdout)
        .unwrap_or_else(|error| panic!("{error} in {stdout:?}; {stderr}"));
    Pinged {
        exit: output.status.code(),
        stdout,
        stderr,
        took: begun.elapsed(),
        probes: document.probes,
    }
}

/// A folder with a config of one gateway and one ping route, with these keys.
fn config(server: &Server, gateway: &str, route: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let tls = if gateway.contains("tls = ") {
        ""
    } else {
        "tls = \"none\"\n"
    };
    let text = format!(
        "[gateways.edge]\n{tls}host = \"127.0.0.1\"\nport = {}\nehlo = \"client.example\"\n{gateway}\n[routes.watch]\nkind = \"ping\"\ngateway = \"edge\"\n{route}\n",
        server.address.port()
    );
    fs::write(dir.path().join("mailrobin.toml"), text).unwrap();
    dir
}

#[test]
fn a_config_of_ping_routes_alone_needs_no_mailbox() {
    let server = Part::of(Tongue::Smtp).play();
    let ran = check(&config(&server, "", ""), &[]);
    ran.answered();
    let probe = ran.only();
    assert_eq!(probe.route.to_string(), "watch");
    assert!(probe.payload.is_none());
    assert_eq!(ran.steps(), ["dns", "connect", "banner", "ehlo", "quit"]);
    assert_eq!(server.verbs(), ["EHLO", "QUIT"]);
    assert_eq!(ran.stderr, "");
}

#[test]
fn sender_and_recipient_are_asked_for_where_the_route_names_them() {
    let server = Part::of(Tongue::Smtp).play();
    let envelope = "from = \"a@example.org\"\nto = \"b@example.com\"";
    check(&config(&server, "", envelope), &[]).answered();
    let wanted = ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"];
    assert_eq!(server.verbs(), wanted);
    let refusing = Part::of(Tongue::Smtp)
        .at("rcpt", say("550 5.1.1 nobody"))
        .play();
    let ran = check(&config(&refusing, "", envelope), &[]);
    ran.is(2, Outcome::Rejected, Code::Rejected)
        .says(&["550 5.1.1 nobody"]);
}

#[test]
fn every_address_is_visited_where_the_gateway_says_so() {
    let first = Part::of(Tongue::Smtp).play();
    let ip = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let second = Part::of(Tongue::Smtp).play_at((ip, first.address.port()).into());
    let names = NameServer::start(&[("mx.example.test", at(&[first.ip(), ip]))]);
    let dir = config(&first, "each_address = true", "");
    let file = dir.path().join("mailrobin.toml");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("127.0.0.1", "mx.example.test");
    fs::write(
        &file,
        format!("[dns]\nservers = [\"{}\"]\n{text}", names.address),
    )
    .unwrap();
    let ran = check(&dir, &[]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 2), "{ran:#?}");
    assert_eq!((first.heard().len(), second.heard().len()), (1, 1));
    let ran = check(&dir, &["--count", "2"]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 4), "{ran:#?}");
}

#[test]
fn a_count_is_visited_so_many_times() {
    let server = Part::of(Tongue::Smtp).play();
    let ran = check(&config(&server, "", ""), &["--count", "5"]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 5));
    assert_eq!(server.heard().len(), 5);
}

#[test]
fn what_the_time_of_the_run_cuts_off_is_told() {
    let server = Part::of(Tongue::Smtp).at("banner", Act::Silence).play();
    let ran = check(
        &config(&server, "", ""),
        &["--timeout", "1s", "--count", "3"],
    );
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    assert_eq!((ran.exit, ran.probes.len()), (Some(3), 3), "{ran:#?}");
    for probe in &ran.probes {
        assert_eq!(
            (probe.outcome, probe.code),
            (Outcome::Unfinished, Code::Interrupted)
        );
    }
}

#[test]
fn limits_are_those_of_the_route() {
    let late = Act::Late(Duration::from_millis(200));
    let server = Part::of(Tongue::Smtp).at("ehlo", late).play();
    let ran = check(&config(&server, "", "warn_after = \"100ms\""), &[]);
    ran.is(1, Outcome::Answered, Code::Slow)
        .says(&["slower than 100 ms"]);
    let ran = check(&config(&server, "", "deadline = \"100ms\""), &[]);
    ran.is(2, Outcome::Answered, Code::Late)
        .says(&["later than 100 ms"]);
}

#[test]
fn a_certificate_that_ends_soon_is_warned_of_as_the_route_says() {
    let authority = Authority::new();
    let tls = authority.server_valid(&["127.0.0.1"], (-1, 20));
    let server = Part::of(Tongue::Smtp).starttls(tls).play();
    let gateway = "tls = \"starttls\"\nca_file = \"ca.pem\"";
    for (route, code) in [
        ("", Code::Ok),
        ("certificate_warn = \"30d\"", Code::Certificate),
    ] {
        let dir = config(&server, gateway, route);
        fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
        let ran = check(&dir, &[]);
        ran.is(i32::from(code != Code::Ok), Outcome::Answered, code);
    }
}

#[test]
fn people_read_what_a_ping_came_to() {
    let server = Part::of(Tongue::Smtp)
        .at("ehlo", say("550 5.7.1 go away"))
        .play();
    let dir = config(&server, "", "");
    let output = Command::new(env!("CARGO_BIN_EXE_mailrobin"))
        .current_dir(dir.path())
        .env_clear()
        .env("STATE_DIRECTORY", dir.path().join("state"))
        .arg("check")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for words in [
        "FAIL",
        "watch",
        "EHLO",
        "550 5.7.1 go away",
        "[greeting-failed]",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}
