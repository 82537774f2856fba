//! The commands and their exit codes: usage, where the config is found, what `config` says and shows, and a reader that
//! goes away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::bed::{Bed, Peer, code, config, err, mailrobin, out, refused};

const PASSWORD: &str = "password = \"hunter2\"";

fn valid() -> Bed {
    Bed::with(&config((refused(), refused()), "", PASSWORD))
}

#[test]
fn help_and_version_are_successes_on_standard_output() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "check"],
        &["check", "--help"],
        &["config", "--help"],
        &["--version"],
        &["-V"],
    ] {
        let output = Bed::new().run(arguments);
        assert_eq!(
            (code(&output), err(&output)),
            (0, String::new()),
            "{arguments:?}"
        );
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    let version = out(&Bed::new().run(&["--version"]));
    assert_eq!(
        version,
        format!("mailrobin {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_usage_error_is_never_a_failed_test() {
    for arguments in [
        &[][..],
        &["chekc"],
        &["config"],
        &["config", "chekc"],
        &["check", "--no-such-option"],
        &["check", "--count", "0"],
        &["check", "--count", "-1"],
        &["check", "--count", "many"],
        &["check", "--concurrency", "0"],
        &["check", "--deadline", "soon"],
        &["check", "--deadline", "0s"],
        &["check", "--timeout", "15"],
        &["check", "--linger", "-1s"],
        &["check", "--fail-on", "pass"],
        &["check", "--format", "xml"],
        &["check", "--color", "sometimes"],
        &["check", "-q", "-v"],
        &["config", "check", "inbound"],
    ] {
        let output = valid().run(arguments);
        assert_eq!(
            (code(&output), out(&output)),
            (3, String::new()),
            "{arguments:?}"
        );
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_misspelt_word_is_answered_with_the_right_one() {
    for (arguments, right) in [
        (&["chekc"][..], "check"),
        (&["check", "inbond"], "did you mean `inbound`?"),
        (&["check", "--payload", "plian"], "did you mean `plain`?"),
        (&["check", "--paylod", "plain"], "--payload"),
        (&["check", "nothing-like-it"], "`inbound`"),
    ] {
        let output = valid().run(arguments);
        assert_eq!(
            (code(&output), out(&output)),
            (3, String::new()),
            "{arguments:?}"
        );
        assert!(err(&output).contains(right), "{}", err(&output));
    }
}

#[test]
fn without_a_config_every_place_is_named() {
    let bed = Bed::new();
    for arguments in [&["check"][..], &["config", "check"], &["config", "show"]] {
        let output = bed
            .command(arguments)
            .env("XDG_CONFIG_HOME", bed.path().join("xdg"))
            .output()
            .unwrap();
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        let said = err(&output);
        let xdg = bed.path().join("xdg/mailrobin/mailrobin.toml");
        for place in [
            "-c",
            "mailrobin.toml",
            xdg.to_str().unwrap(),
            "/etc/mailrobin/mailrobin.toml",
        ] {
            assert!(said.contains(place), "{place} is not in {said}");
        }
        assert!(
            said.contains("MAILROBIN_CONFIG") || said.contains("-c"),
            "{said}"
        );
    }
}

/// The config that is used: the route it names.
fn used(bed: &Bed, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut all = vec!["config", "show"];
    all.extend(arguments);
    let output = bed
        .command(&all)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
    let shown: toml::Table = out(&output).parse().unwrap();
    shown["routes"]
        .as_table()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone()
}

#[test]
fn the_config_is_looked_for_in_order() {
    let bed = Bed::new();
    let named = |name: &str| {
        config((25, 143), "", PASSWORD).replace("routes.inbound", &format!("routes.{name}"))
    };
    let home = bed.path().join("home");
    let home = [("HOME", home.to_str().unwrap())];
    bed.write("home/.config/mailrobin/mailrobin.toml", &named("home"));
    assert_eq!(used(&bed, &[], &home), "home");
    bed.write("xdg/mailrobin/mailrobin.toml", &named("xdg"));
    let xdg = bed.path().join("xdg");
    let mut environment = vec![home[0], ("XDG_CONFIG_HOME", xdg.to_str().unwrap())];
    assert_eq!(used(&bed, &[], &environment), "xdg");
    bed.write("mailrobin.toml", &named("here"));
    assert_eq!(used(&bed, &[], &environment), "here");
    bed.write("env.toml", &named("env"));
    environment.push(("MAILROBIN_CONFIG", "env.toml"));
    assert_eq!(used(&bed, &[], &environment), "env");
    bed.write("option.toml", &named("option"));
    assert_eq!(used(&bed, &["-c", "option.toml"], &environment), "option");
    assert_eq!(
        used(&bed, &["--config=option.toml"], &environment),
        "option"
    );
}

#[test]
fn an_empty_variable_names_no_config() {
    assert_eq!(
        used(
            &valid(),
            &[],
            &[("MAILROBIN_CONFIG", ""), ("XDG_CONFIG_HOME", "")]
        ),
        "inbound"
    );
}

#[test]
fn how_much_is_sent_in_a_day_is_said_and_too_much_is_warned_of() {
    let more = r#"tests = [{ payload = "plain" }, { payload = "eicar" }, { payload = "gtube", cron = "0 6 * * MON" }]
every = "10s"
[routes.pinged]
kind = "ping"
gateway = "edge"
cron = "*/5 8-17 * * MON-FRI"
[routes.off]
kind = "ping"
gateway = "edge"
enabled = false
"#;
    let text = config((25, 143), "", PASSWORD);
    let gateway = text.split("[gateways.").nth(1).unwrap();
    let gateway = gateway.split(']').next().unwrap();
    let bed = Bed::with(&(text.clone() + &more.replace("\"edge\"", &format!("{gateway:?}"))));
    let output = bed.run(&["config", "check"]);
    // EICAR's control is sent with it four times a day, GTUBE's once a week.
    let said = "mailrobin.toml is valid: 3 routes\n  inbound: `run` sends 8,650 test mails a day\n  off: not tested\n  pinged: 86 pings a day\n";
    assert_eq!(
        (code(&output), out(&output)),
        (0, said.into()),
        "{}",
        err(&output)
    );
    let warning = "warning: `run` sends 8,650 test mails a day on this route";
    assert!(err(&output).contains(warning), "{}", err(&output));
}

#[test]
fn a_valid_config_is_said_to_be_and_warnings_are_no_errors() {
    let bed = valid();
    let output = bed.run(&["config", "check"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    assert_eq!(
        out(&output),
        "mailrobin.toml is valid: 1 route\n  inbound: `run` sends 96 test mails a day\n"
    );

    let text = config((25, 143), "tls_verify = false", PASSWORD)
        .replacen("tls = \"none\"", "tls = \"starttls\"", 1)
        .replace("from = \"probe@", "warn_after = \"1h\"\nfrom = \"another@");
    let bed = Bed::with(&text);
    let output = bed.run(&["config", "check"]);
    assert_eq!(
        (code(&output), out(&output)),
        (
            0,
            "mailrobin.toml is valid: 1 route\n  inbound: `run` sends 96 test mails a day\n".into()
        )
    );
    insta::assert_snapshot!(err(&output), @r#"
    warning: the server's certificate is not verified: anybody can stand between
     --> mailrobin.toml:6:14
      |
    6 | tls_verify = false
      |              ^^^^^
      |
      = help: name its authority in `ca_file` instead

    warning: no mailbox is known to get the mail for another@monitor.example, so bounces will read as `missing`
      --> mailrobin.toml:16:1
       |
    16 | [routes.inbound]
       | ^^^^^^^^^^^^^^^^
       |
       = help: name the one that does in `bounce_mailbox`

    warning: `warn_after` is longer than the deadline, so it never warns
      --> mailrobin.toml:19:14
       |
    19 | warn_after = "1h"
       |              ^^^^
    "#);
    let quiet = bed.run(&["config", "check", "-q"]);
    assert_eq!((code(&quiet), err(&quiet)), (0, String::new()));
}

#[test]
fn secrets_that_the_environment_lacks_are_warned_about() {
    let text = config(
        (refused(), refused()),
        "",
        "password = { env = \"IMAP_PASSWORD\" }",
    );
    let text = format!(
        "{text}\n[alerts.oncall]\nkind = \"webhook\"\nurl = {{ env = \"ALERT_URL\" }}\n\
         headers = {{ Authorization = {{ env = \"ALERT_TOKEN\" }} }}\n"
    );
    let bed = Bed::with(&text);
    let unset = |arguments: &[&str]| {
        let mut command = bed.command(arguments);
        let command = command.env_remove("IMAP_PASSWORD");
        command.env_remove("ALERT_URL").output().unwrap()
    };
    let output = unset(&["config", "check"]);
    assert_eq!(code(&output), 0);
    for name in ["IMAP_PASSWORD", "ALERT_URL", "ALERT_TOKEN"] {
        let said = format!("warning: the environment variable {name} is not set here");
        assert_eq!(err(&output).matches(&said).count(), 1, "{}", err(&output));
    }
    let set = bed
        .command(&["config", "check"])
        .env("IMAP_PASSWORD", "hunter2")
        .env("ALERT_URL", "http://127.0.0.1:1/")
        .env("ALERT_TOKEN", "")
        .output()
        .unwrap();
    assert_eq!(
        err(&set).matches("is not set here").count(),
        1,
        "{}",
        err(&set)
    );
    assert_eq!(err(&unset(&["config", "show"])), "");
}

#[test]
fn what_is_legal_and_unwise_is_a_warning() {
    let text = r#"
[gateways.edge]
host = "smtp.example.com"
username = "Probe@monitor.example"
password = "in the open"
[mailboxes.returns]
host = "imap.gmail.com"
username = "probe@monitor.example"
password = { env = "IMAP_PASSWORD" }
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
tests = [{ suite = "antivirus" }]
"#;
    let bed = Bed::with(text);
    let path = bed.path().join("mailrobin.toml");
    let may_read = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    may_read(0o644);
    let warnings = err(&bed.run(&["config", "check"]));
    insta::assert_snapshot!(warnings, @r#"
    warning: this secret stands in a file that every user of this machine can read
     --> mailrobin.toml:5:12
      |
    5 | password = ********
      |            ^^^^^^^^
      |
      = help: chmod 600 the file, or keep the secret elsewhere: { env = … }, { file = … } or { command = … }

    warning: gateway and mailbox log in as the same account, probe@monitor.example: some providers hide mail that comes back to its sender
      --> mailrobin.toml:10:1
       |
    10 | [routes.inbound]
       | ^^^^^^^^^^^^^^^^
       |
       = help: collect from another account

    warning: imap.gmail.com filters mail on its own, so what is stopped on this route may have been stopped there
      --> mailrobin.toml:10:1
       |
    10 | [routes.inbound]
       | ^^^^^^^^^^^^^^^^
       |
       = help: collect from a mailbox that does not filter
    "#);
    may_read(0o600);
    let warnings = err(&bed.run(&["config", "check"]));
    assert!(
        !warnings.contains("every user of this machine"),
        "{warnings}"
    );
    assert!(!warnings.contains("in the open"), "{warnings}");
}

#[test]
fn a_shown_config_is_a_config_with_the_same_meaning() {
    for (gateway, mailbox) in [
        ("", PASSWORD),
        (
            "rate = \"60/m\"\nehlo = \"probe.example\"\ntimeout = \"1m 30s\"",
            "password = { env = \"P\" }\ncleanup = \"move:Old probes\"\njunk = \"Spam\"",
        ),
        (
            "username = \"probe\"\npassword = { file = \"/run/p\" }\nauth = \"plain\"\ninsecure_auth = true",
            "password = { command = [\"pass\", \"show\", \"x y\"] }\nfolders = [\"INBOX\", \"Mönche\"]",
        ),
    ] {
        let bed = Bed::with(&config((25, 143), gateway, mailbox));
        let first = bed.run(&["config", "show"]);
        assert_eq!(code(&first), 0, "{}", err(&first));
        bed.write("shown.toml", &out(&first));
        let check = bed.run(&["config", "check", "-c", "shown.toml"]);
        assert_eq!((code(&check), err(&check)), (0, err(&first)));
        let second = bed.run(&["config", "show", "-c", "shown.toml"]);
        assert_eq!(out(&second), out(&first));
    }
}

#[test]
fn showing_opportunistic_tls_shows_no_other_key() {
    let bed = Bed::with(&config((25, 143), "", PASSWORD).replacen(
        "tls = \"none\"",
        "tls = \"opportunistic\"",
        1,
    ));
    let first = bed.run(&["config", "show"]);
    assert!(!out(&first).contains("tls_verify"), "{}", out(&first));
    assert!(err(&first).contains("opportunistic TLS verifies nothing"));
}

/// Paths in a config are relative to it, so a shown one must mean the same file from wherever it is read.
#[test]
fn a_shown_path_still_leads_to_its_file() {
    let bed = Bed::new();
    bed.write(
        "etc/mailrobin.toml",
        &config((25, 143), "", "password = { file = \"imap.password\" }"),
    );
    let show = |path: &str| out(&bed.run(&["config", "show", "-c", path]));
    let shown = show("etc/mailrobin.toml");
    bed.write("etc/shown.toml", &shown);
    assert_eq!(show("etc/shown.toml"), shown);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bed = valid();
    for arguments in [
        &["config", "show"][..],
        &["config", "check"],
        &["--help"],
        &["check", "--help"],
    ] {
        assert_eq!(
            run_unread(&bed, arguments),
            (0, String::new()),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_verdict() {
    for format in [
        "human", "json", "junit", "tap", "nagios", "markdown", "github",
    ] {
        let arguments = ["check", "-q", "--linger=0", "--format", format];
        assert_eq!(run_unread(&valid(), &arguments).0, 2, "{format}");
    }
}

/// Exit code and standard error, with a standard output that nobody reads.
fn run_unread(bed: &Bed, arguments: &[&str]) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailrobin"));
    command
        .current_dir(bed.path())
        .env_clear()
        .env("STATE_DIRECTORY", bed.path().join("state"));
    let child = command
        .args(arguments)
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    (code(&output), err(&output))
}

#[test]
fn a_gateway_that_refuses_the_connection_fails_the_test_and_says_what_to_do() {
    let output = valid().run(&["check", "--linger", "0"]);
    assert_eq!(code(&output), 2);
    let said = out(&output);
    assert!(said.starts_with("FAIL  1 test: 1 failed in "), "{said}");
    for words in [
        "inbound",
        "plain",
        "unsent",
        "refused",
        "connect-failed",
        "check host and port",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn fail_on_says_from_which_verdict_on_the_exit_code_is_not_0() {
    let gateway = Peer::gateway();
    let bed = Bed::with(&config((gateway.port, refused()), "", PASSWORD));
    for from in ["fail", "unknown", "warn"] {
        let output = bed.run(&["check", "--linger", "0", "--fail-on", from]);
        assert_eq!(code(&output), 2, "{from}");
    }
    let bed = Bed::with(
        &(config((refused(), refused()), "", PASSWORD)
            + "tests = [{ payload = \"plain\", expect = [\"unsent\"] }]\n"),
    );
    assert_eq!(code(&bed.run(&["check", "--linger", "0"])), 0);
}

#[test]
fn the_environment_decides_nothing_else() {
    let bed = valid();
    let plain = mailrobin(bed.path())
        .args(["config", "show"])
        .output()
        .unwrap();
    let other = bed
        .command(&["config", "show"])
        .env("LANG", "de_DE.UTF-8")
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!((out(&plain), err(&plain)), (out(&other), err(&other)));
}

#[test]
fn what_is_not_verified_for_want_of_tls_is_not_blamed_on_the_certificate() {
    let bed = Bed::with(&config((25, 143), "tls_verify = false", PASSWORD));
    let said = err(&bed.run(&["config", "check"]));
    assert!(
        !said.contains("the server's certificate is not verified"),
        "{said}"
    );
}

#[test]
fn what_never_answers_is_said_after_the_wait() {
    let bed = valid();
    let output = bed.run(&["check", "--wait", "1200ms", "--format", "json"]);
    assert_eq!(code(&output), 3);
    // What reads the output gets a whole document all the same.
    assert!(out(&output).contains("\"outcome\": \"skipped\""));
    let said = err(&output);
    for words in [
        "waiting for gateway edge: connecting to 127.0.0.1:",
        "waiting for mailbox returns: connecting to 127.0.0.1:",
        "not ready within --wait",
        "gateway edge: connecting",
        "mailbox returns: connecting",
        "nothing listens there",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let times = said.matches("waiting for gateway edge").count();
    assert_eq!(times, 1, "said again only when it changes: {said}");
}
