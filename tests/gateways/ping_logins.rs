//! Logins of a ping: a password goes over nothing else than verified TLS and into no output.

use std::fs;
use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};
use tempfile::NamedTempFile;

use crate::ping_peer::{Act, Part, Tongue, say};
use crate::ping_run::{PASSWORD, USER, pinged, shown};
use crate::tls::Authority;

#[test]
fn a_password_goes_over_verified_tls_alone() {
    let authority = Authority::new();
    let ca = NamedTempFile::new().unwrap();
    fs::write(ca.path(), &authority.pem).unwrap();
    let ca = ca.path().to_str().unwrap();
    let auth = ["AUTH", "AUTHENTICATE", "LOGIN", "USER", "PASS"];
    for tongue in Tongue::ALL {
        let config = authority.server(&["127.0.0.1"], false);
        let play = || Part::of(tongue).starttls(config.clone()).play();
        for unverified in [
            &["--tls=none"][..],
            &["--tls=opportunistic", "--ca-file", ca],
            &["--tls=starttls", "-k"],
        ] {
            let server = play();
            let url = server.url(tongue.scheme(false));
            let args = [&[url.as_str(), "--username", USER], unverified].concat();
            let ran = pinged(&args);
            let verbs = server.verbs();
            assert!(
                !verbs.iter().any(|verb| auth.contains(&verb.as_str())),
                "{verbs:?}"
            );
            ran.is(2, Outcome::Unsent, Code::AuthUnavailable)
                .says(&["insecure"]);
            assert_eq!(ran.only().attempts[0].phase.as_str(), "auth");
            let ran = pinged(&[&args[..], &["--insecure-auth"]].concat());
            ran.answered();
            assert!(
                server
                    .verbs()
                    .iter()
                    .any(|verb| auth.contains(&verb.as_str()))
            );
        }
        let server = play();
        let url = server.url(tongue.scheme(false));
        pinged(&[&url, "--username", USER, "--ca-file", ca]).answered();
    }
}

#[test]
fn a_login_that_is_refused_or_broken() {
    for (tongue, step, no) in [
        (Tongue::Smtp, "auth", "535 5.7.8 who are you"),
        (
            Tongue::Imap,
            "login",
            "{tag} NO [AUTHENTICATIONFAILED] who are you",
        ),
        (Tongue::Pop3, "pass", "-ERR who are you"),
    ] {
        for act in [say(no), Act::Close, Act::Silence] {
            let is_refusal = matches!(act, Act::Say(_));
            let server = Part::of(tongue).at(step, act).play();
            let ran = pinged(&[
                &server.url(tongue.scheme(false)),
                "--tls=none",
                "--insecure-auth",
                "--username",
                USER,
                "--timeout=1s",
            ]);
            ran.is(2, Outcome::Unsent, Code::AuthFailed)
                .within(Duration::from_secs(6));
            assert_eq!(ran.only().attempts[0].phase.as_str(), "auth");
            if is_refusal {
                ran.says(&["who are you", "check username and password"]);
                assert!(ran.step_text("auth").contains("who are you"));
            }
        }
    }
}

#[test]
fn a_server_that_lets_nobody_in_is_left_politely() {
    for (tongue, step, no) in [
        (Tongue::Smtp, "auth", "535 5.7.8 who are you"),
        (Tongue::Imap, "login", "{tag} NO who are you"),
        (Tongue::Pop3, "pass", "-ERR who are you"),
    ] {
        let server = Part::of(tongue).at(step, say(no)).play();
        let url = server.url(tongue.scheme(false));
        pinged(&[&url, "--tls=none", "--insecure-auth", "--username", USER]);
        let last = server.verbs().pop().unwrap();
        assert!(
            ["QUIT", "LOGOUT"].contains(&last.as_str()),
            "it left with {last}"
        );
    }
}

/// Every run here looks for the password in all it prints.
#[test]
fn a_server_that_quotes_the_password_does_not_make_it_known() {
    for (tongue, says) in [
        (
            Tongue::Smtp,
            &[("auth", "535 5.7.8 no {line}"), ("auth", "235 ok {line}")][..],
        ),
        (
            Tongue::Imap,
            &[
                ("login", "{tag} NO {line}"),
                ("login", "{tag} OK {line}"),
                ("login", "* {line}\r\n{tag} NO no"),
            ],
        ),
        (
            Tongue::Pop3,
            &[("pass", "-ERR {line}"), ("pass", "+OK {line}")],
        ),
    ] {
        let quoted = format!("535 5.7.8 {PASSWORD} is wrong");
        let of_smtp = [("auth", quoted.as_str())];
        let more = if tongue == Tongue::Smtp {
            &of_smtp[..]
        } else {
            &[]
        };
        for (step, text) in says.iter().chain(more) {
            let step: &'static str = step;
            let server = Part::of(tongue).at(step, say(text)).play();
            let args = ["--tls=none", "--insecure-auth", "--username", USER, "-vv"];
            let url = server.url(tongue.scheme(false));
            pinged(&[&[url.as_str()], &args[..]].concat());
            shown(&[&[url.as_str()], &args[..]].concat());
        }
    }
}

/// It may come back in any later reply.
#[test]
fn a_server_that_quotes_the_password_later_does_not_make_it_known() {
    for (tongue, step, text) in [
        (
            Tongue::Smtp,
            "mail",
            format!("550 5.7.1 your password is {PASSWORD}"),
        ),
        (
            Tongue::Smtp,
            "rset",
            format!("250 your password is {PASSWORD}"),
        ),
        (
            Tongue::Smtp,
            "quit",
            format!("221 your password is {PASSWORD}"),
        ),
        (
            Tongue::Imap,
            "logout",
            format!("* BYE {PASSWORD}\r\n{{tag}} OK {PASSWORD}"),
        ),
        (Tongue::Pop3, "quit", format!("+OK {PASSWORD}")),
    ] {
        let server = Part::of(tongue).at(step, say(&text)).play();
        let url = server.url(tongue.scheme(false));
        let args = [
            &url,
            "--tls=none",
            "--insecure-auth",
            "--username",
            USER,
            "-vv",
        ];
        let envelope = ["--from=a@example.org", "--to=b@example.com"];
        let more = if tongue == Tongue::Smtp {
            &envelope[..]
        } else {
            &[]
        };
        pinged(&[&args[..], more].concat());
        shown(&[&args[..], more].concat());
    }
}
