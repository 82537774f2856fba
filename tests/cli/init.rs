//! `mailrobin init`: the config it writes is one, nobody else can read it, and the rules it prints name what they must.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::bed::{Bed, code, err, out};

const KINDS: [&str; 5] = ["sieve", "exchange", "gmail", "postfix", "procmail"];

/// The config as `config show` has it, after it was written with these arguments.
fn shown(arguments: &[&str]) -> toml::Table {
    let bed = Bed::new();
    let all: Vec<_> = ["init"].iter().chain(arguments).copied().collect();
    let init = bed.run(&all);
    assert_eq!(code(&init), 0, "{arguments:?}: {}", err(&init));
    let check = bed.run(&["config", "check"]);
    assert_eq!(code(&check), 0, "{arguments:?}: {}", err(&check));
    out(&bed.run(&["config", "show", "-q"])).parse().unwrap()
}

#[test]
fn without_options_there_is_a_config_with_nothing_unwise_in_it() {
    let bed = Bed::new();
    let init = bed.run(&["init"]);
    assert_eq!(code(&init), 0);
    for told in ["mailrobin.toml", "IMAP_PASSWORD", "mailrobin config check"] {
        assert!(err(&init).contains(told), "{}", err(&init));
    }
    let check = bed.run(&["config", "check"]);
    assert_eq!((code(&check), err(&check)), (0, String::new()));
    let quiet = bed.run(&["init", "-q", "other.toml"]);
    assert_eq!((code(&quiet), err(&quiet)), (0, String::new()));
    // A path that -c names is as good as one that stands by itself.
    assert_eq!(code(&bed.run(&["init", "-c", "third.toml"])), 0);
    assert!(bed.path().join("third.toml").exists());
}

#[test]
fn what_is_given_is_filled_in() {
    let config = shown(&[
        "--gateway=smtp.example.org:587",
        "--from=sender@example.org",
        "--to=reflect@example.org",
        "--mailbox=pop3s://pop.example.net:1995",
        "--username=it's \"us\"",
    ]);
    let gateway = &config["gateways"]["edge"];
    assert_eq!(gateway["host"].as_str(), Some("smtp.example.org"));
    assert_eq!(gateway["port"].as_integer(), Some(587));
    assert_eq!(gateway["tls"].as_str(), Some("starttls"));
    let mailbox = &config["mailboxes"]["returns"];
    assert_eq!(mailbox["protocol"].as_str(), Some("pop3"));
    assert_eq!(mailbox["port"].as_integer(), Some(1995));
    assert_eq!(mailbox["tls"].as_str(), Some("implicit"));
    assert_eq!(mailbox["username"].as_str(), Some("it's \"us\""));
    assert_eq!(mailbox["password"]["env"].as_str(), Some("POP3_PASSWORD"));
    let route = &config["routes"]["inbound"];
    assert_eq!(route["from"].as_str(), Some("sender@example.org"));
    assert_eq!(route["to"].as_str(), Some("reflect@example.org"));
}

#[test]
fn every_combination_makes_a_valid_config() {
    for gateway in ["", "--gateway=192.0.2.1", "--gateway=[2001:db8::1]:465"] {
        for mailbox in [
            "",
            "--mailbox=imap.example.org",
            "--mailbox=imap://imap.example.org:1143",
            "--mailbox=pop3://pop.example.org",
        ] {
            for names in [
                &[][..],
                &["--from=a@example.org"],
                &["--username=b@example.org"],
                &["--from=a@example.org", "--username=b@example.org"],
                &["--username=b"],
            ] {
                let given = [gateway, mailbox].into_iter().filter(|it| !it.is_empty());
                shown(&given.chain(names.iter().copied()).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn sender_and_login_stand_in_for_each_other() {
    let names = |arguments: &[&str]| {
        let config = shown(arguments);
        let word = |value: &toml::Value| value.as_str().unwrap().to_owned();
        let from = word(&config["routes"]["inbound"]["from"]);
        (from, word(&config["mailboxes"]["returns"]["username"]))
    };
    let both = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(names(&["--from=a@example.org"]), both("a@example.org"));
    assert_eq!(names(&["--username=b@example.org"]), both("b@example.org"));
    let other = ("probe@monitor.example".to_owned(), "b".to_owned());
    assert_eq!(names(&["--username=b"]), other);
}

#[test]
fn a_file_is_never_overwritten_and_only_for_its_owner() {
    let bed = Bed::new();
    assert_eq!(code(&bed.run(&["init", "it.toml"])), 0);
    let path = bed.path().join("it.toml");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    bed.write("it.toml", "mine");
    let again = bed.run(&["init", "it.toml"]);
    assert_eq!((code(&again), out(&again)), (3, String::new()));
    assert!(err(&again).contains("it.toml exists"), "{}", err(&again));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let nowhere = bed.run(&["init", "no/such/folder.toml"]);
    assert_eq!(code(&nowhere), 3);
    assert!(err(&nowhere).contains("no/such/folder.toml"));
}

#[test]
fn printed_it_is_a_config_with_the_rules_behind_it() {
    let bed = Bed::new();
    for arguments in [&["init", "-"][..], &["init", "--stdout"]] {
        let printed = bed.run(arguments);
        assert_eq!((code(&printed), err(&printed)), (0, String::new()));
        assert_eq!(fs::read_dir(bed.path()).unwrap().count(), 0);
        let other = Bed::with(&out(&printed));
        let check = other.run(&["config", "check"]);
        assert_eq!((code(&check), err(&check)), (0, String::new()));
        assert!(out(&printed).contains("\n#    redirect :copy"));
    }
    assert_eq!(code(&bed.run(&["init", "--stdout", "a.toml"])), 3);
}

#[test]
fn wrong_values_are_usage_errors_and_nothing_is_written() {
    let bed = Bed::new();
    for wrong in [
        "--gateway=smtp://mx.example.com",
        "--gateway=mx.example.com:0",
        "--mailbox=https://imap.example.net",
        "--from=nobody",
        "--to=Name <a@example.org>",
        "--rule=exim",
        "--username=",
        "--username=a\nb",
    ] {
        let output = bed.run(&["init", wrong]);
        assert_eq!((code(&output), out(&output)), (3, String::new()), "{wrong}");
        assert!(!err(&output).is_empty(), "{wrong}");
    }
    assert_eq!(fs::read_dir(bed.path()).unwrap().count(), 0);
}

/// The rule of a kind, for these two addresses.
fn rule(kind: &str, to: &str, mailbox: &str) -> String {
    let kind = format!("--rule={kind}");
    let (to, username) = (format!("--to={to}"), format!("--username={mailbox}"));
    let printed = Bed::new().run(&["init", "-q", &kind, &to, &username]);
    assert_eq!((code(&printed), err(&printed)), (0, String::new()));
    out(&printed)
}

#[test]
fn every_rule_names_both_addresses_and_the_subject() {
    for kind in KINDS {
        let text = rule(kind, "reflect@example.org", "back@example.net");
        for name in [
            "reflect@example.org",
            "back@example.net",
            "Email Verification for inbound",
            "What may stand in the way",
            "loop",
        ] {
            assert!(text.contains(name), "{kind}: {name} is not in\n{text}");
        }
        for left in ["{to}", "{from}", "{mailbox}", "{subject}"] {
            assert!(!text.contains(left), "{kind}: {left} is in\n{text}");
        }
    }
    assert!(rule("exchange", "reflect@example.org", "back@example.net").contains("5.7.520"));
}

#[test]
fn all_rules_are_printed_unless_some_are_asked_for() {
    let titles = [
        "# Sieve",
        "# Microsoft 365",
        "# Gmail",
        "# Postfix",
        "# procmail",
    ];
    let of = |arguments: &[&str]| -> Vec<usize> {
        let text = out(&Bed::new().run(arguments));
        let starts = |title: &str| text.lines().any(|line| line.starts_with(title));
        (0..titles.len()).filter(|at| starts(titles[*at])).collect()
    };
    assert_eq!(of(&["init"]), [0, 1, 2, 3, 4]);
    assert_eq!(of(&["init", "--rule=gmail", "--rule=sieve"]), [0, 2]);
}

#[test]
fn names_cannot_break_out_of_their_quotes() {
    let quoted = rule("exchange", "o'brien@example.org", "back@example.net");
    assert!(
        quoted.contains("-SentTo 'o''brien@example.org'"),
        "{quoted}"
    );
}

/// Dovecot's compiler takes what is printed as it is.
#[test]
fn the_sieve_rule_compiles() {
    let bed = Bed::new();
    bed.write(
        "rule.sieve",
        &rule("sieve", "echo@example.com", "probe@monitor.example"),
    );
    let mut compiler = Command::new("sievec");
    compiler.current_dir(bed.path()).arg("rule.sieve");
    match compiler.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "SKIPPED: the Sieve rule is not compiled: there is no sievec (dovecot-sieve)"
            );
        }
        done => {
            let done = done.unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        }
    }
}
