//! TLS under a ping: certificates of every kind are shown with their dates, what is held against the server depends on what
//! was asked for.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};
use tempfile::NamedTempFile;
use tokio_rustls::rustls::ServerConfig;

use crate::ping_peer::{Act, Part, Server, Tongue, say};
use crate::ping_run::{EVIL, Pinged, pinged, shown};
use crate::tls::Authority;

const HOST: &str = "127.0.0.1";

/// An authority, its certificate in a file.
fn authority() -> (Authority, NamedTempFile) {
    let authority = Authority::new();
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), &authority.pem).unwrap();
    (authority, file)
}

/// Every certificate that should not be trusted, and a word of why.
fn bad(authority: &Authority) -> [(Arc<ServerConfig>, &'static str); 5] {
    [
        (authority.server_valid(&[HOST], (-30, -3)), "expired"),
        (authority.server_valid(&[HOST], (3, 30)), "not valid yet"),
        (
            authority.server(&["mx.example.test"], false),
            "another name",
        ),
        (authority.server_alone(&[HOST]), ""),
        (
            Authority::called("somebody").server(&[HOST], false),
            "not trusted",
        ),
    ]
}

/// The certificate is shown with its dates, whatever became of the session.
#[track_caller]
fn shows_dates(pinged: &Pinged) {
    let tls = pinged.visit().tls.as_ref();
    let tls = tls.unwrap_or_else(|| panic!("no certificate: {pinged:#?}"));
    let own = &tls.chain[0];
    assert!(own.not_before < own.not_after, "{own:?}");
}

#[test]
fn where_tls_is_asked_for_a_bad_certificate_is_a_failure() {
    let (authority, ca) = authority();
    let ca = ca.path().to_str().unwrap();
    for (config, word) in bad(&authority) {
        for tongue in Tongue::ALL {
            for is_implicit in [true, false] {
                let part = Part::of(tongue);
                let (part, tls, step) = if is_implicit {
                    (part.implicit(config.clone()), "--tls=implicit", "tls")
                } else {
                    (part.starttls(config.clone()), "--tls=starttls", "starttls")
                };
                let server = part.play();
                let url = server.url(tongue.scheme(is_implicit));
                let pinged = pinged(&[&url, tls, "--ca-file", ca]);
                pinged.is(2, Outcome::Unsent, Code::TlsFailed);
                assert_eq!(pinged.steps().last(), Some(&step), "{pinged:#?}");
                pinged.says(&[step, " after ", word]);
                shows_dates(&pinged);
                let tls = pinged.visit().tls.as_ref().unwrap();
                assert!(tls.problem.as_ref().unwrap().contains(word), "{tls:?}");
            }
        }
    }
}

/// As mail servers do among themselves: the session goes on, and the certificate is told of.
#[test]
fn where_it_is_not_a_bad_certificate_is_a_warning() {
    let (authority, ca) = authority();
    let ca = ca.path().to_str().unwrap();
    for (config, word) in bad(&authority) {
        for tongue in Tongue::ALL {
            let server = Part::of(tongue).starttls(config.clone()).play();
            let pinged = pinged(&[&server.url(tongue.scheme(false)), "--ca-file", ca]);
            pinged.is(1, Outcome::Answered, Code::Certificate);
            pinged.says(&["its certificate does not verify", word]);
            assert_eq!(pinged.steps().last(), Some(&"quit"));
            shows_dates(&pinged);
        }
    }
}

/// `-k` holds no name and no issuer against it. An end that has come is told of all the same.
#[test]
fn insecure_asks_for_no_more_than_dates() {
    let (authority, _ca) = authority();
    for (config, word) in bad(&authority) {
        for tongue in Tongue::ALL {
            let server = Part::of(tongue).implicit(config.clone()).play();
            let pinged = pinged(&[&server.url(tongue.scheme(true)), "-k"]);
            if word == "expired" {
                pinged.is(1, Outcome::Answered, Code::Certificate);
            } else {
                pinged.answered();
            }
            shows_dates(&pinged);
        }
    }
}

#[test]
fn people_read_when_a_certificate_ended() {
    let (authority, ca) = authority();
    let ca = ca.path().to_str().unwrap();
    for (days, words) in [
        ((-30, -3), "ended 3 days ago"),
        ((-1, 40), "ends in 39 days"),
    ] {
        let server = Part::of(Tongue::Smtp)
            .starttls(authority.server_valid(&[HOST], days))
            .play();
        for tls in ["--tls=opportunistic", "--tls=starttls"] {
            let ran = shown(&[&server.target(), tls, "--ca-file", ca]);
            assert!(ran.stdout.contains(words), "{tls}: {}", ran.stdout);
        }
    }
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let (authority, ca) = authority();
    let ca = ca.path().to_str().unwrap();
    let server = Part::of(Tongue::Smtp)
        .implicit(authority.server_valid(&[HOST], (-1, 10)))
        .play();
    let url = server.url("smtps");
    let ran = pinged(&[&url, "--ca-file", ca]);
    ran.is(1, Outcome::Answered, Code::Certificate);
    ran.says(&["its certificate ends in 9 days"]);
    pinged(&[&url, "--ca-file", ca, "--cert-warn=5d"]).answered();
    pinged(&[&url, "-k"]).is(1, Outcome::Answered, Code::Certificate);
}

/// Who sends replies before TLS is there may be somebody in between (CVE-2011-0411).
#[test]
fn what_is_injected_before_tls_is_noticed() {
    let (authority, ca) = authority();
    let ca = ca.path().to_str().unwrap();
    for (tongue, injected) in [
        (Tongue::Smtp, "220 go on\r\n250 injected\r\n"),
        (Tongue::Imap, "{tag} OK go on\r\n* OK injected\r\n"),
        (Tongue::Pop3, "+OK go on\r\n+OK injected\r\n"),
    ] {
        let config = authority.server(&[HOST], false);
        let part = Part::of(tongue).starttls(config);
        let server = part.at("starttls", Act::Say(injected.to_owned())).play();
        for tls in ["--tls=opportunistic", "--tls=starttls"] {
            let pinged = pinged(&[&server.url(tongue.scheme(false)), tls, "--ca-file", ca]);
            pinged.is(2, Outcome::Unsent, Code::TlsFailed);
            assert_eq!(pinged.steps().last(), Some(&"starttls"), "{pinged:#?}");
            pinged.says(&["tampering"]);
        }
    }
}

#[test]
fn starttls_that_is_missing_refused_or_broken() {
    let (authority, _ca) = authority();
    for tongue in Tongue::ALL {
        let url = |server: &Server| server.url(tongue.scheme(false));
        let bare = Part::of(tongue).play();
        let ran = pinged(&[&url(&bare), "--tls=starttls"]);
        ran.is(2, Outcome::Unsent, Code::StarttlsMissing);
        ran.says(&["does not offer STARTTLS"]);
        pinged(&[&url(&bare)]).answered();

        let config = authority.server(&[HOST], false);
        let no = match tongue {
            Tongue::Smtp => "454 4.7.0 TLS not available",
            Tongue::Imap => "{tag} NO TLS not available",
            Tongue::Pop3 => "-ERR TLS not available",
        };
        for act in [say(no), Act::Close, Act::Silence] {
            let part = Part::of(tongue).starttls(config.clone());
            let server = part.at("starttls", act).play();
            let ran = pinged(&[&url(&server), "--tls=starttls", "--timeout=1s"]);
            ran.is(2, Outcome::Unsent, Code::TlsFailed)
                .within(Duration::from_secs(5));
            assert_eq!(ran.steps().last(), Some(&"starttls"), "{ran:#?}");
        }
        for act in [Act::Close, Act::Silence, say("this is no handshake")] {
            let part = Part::of(tongue).starttls(config.clone());
            let server = part.at("handshake", act).play();
            let ran = pinged(&[&url(&server), "--tls=starttls", "--timeout=1s"]);
            ran.is(2, Outcome::Unsent, Code::TlsFailed)
                .within(Duration::from_secs(5));
            assert_eq!(ran.steps().last(), Some(&"starttls"), "{ran:#?}");
        }
    }
}

/// As mail servers do among themselves: a session that cannot be secured is begun anew in the clear.
#[test]
fn where_tls_is_optional_and_fails_smtp_goes_on_in_the_clear() {
    let (authority, _ca) = authority();
    let alert = "\u{15}\u{3}\u{3}\0\u{2}\u{2}(";
    for (step, act) in [
        ("starttls", say("454 4.7.0 TLS not available")),
        ("starttls", say("554 5.7.3 no TLS")),
        ("starttls", Act::Close),
        ("handshake", Act::Close),
        ("handshake", Act::Silence),
        ("handshake", say("this is no handshake")),
        ("handshake", Act::Say(alert.to_owned())),
        ("ehlo2", Act::Close),
    ] {
        let part = Part::of(Tongue::Smtp).starttls(authority.server(&[HOST], false));
        let server = part.at(step, act.clone()).play();
        let ran = pinged(&[&server.url("smtp"), "--timeout=2s"]);
        ran.is(1, Outcome::Answered, Code::TlsFailed);
        ran.says(&["in the clear, because TLS failed: "]);
        let probe = ran.only();
        assert_eq!(probe.attempts.len(), 2, "{act:?}: {ran:#?}");
        // What comes only at the second EHLO is held against TLS all the same: in TLS 1.3 a server may reject so late.
        let phase = if step == "ehlo2" { "ehlo" } else { "starttls" };
        assert_eq!(probe.attempts[0].phase.as_str(), phase);
        assert_eq!(probe.smtp.as_ref().unwrap().tls, None);
        let steps = ran.steps();
        let count = |step| steps.iter().filter(|it| **it == step).count();
        assert_eq!((count("starttls"), count("connect")), (1, 2), "{steps:?}");
        let verbs = server.verbs();
        let tried = verbs.iter().filter(|verb| *verb == "STARTTLS");
        assert_eq!(tried.count(), 1, "{verbs:?}");
    }
}

/// The session in the clear is no place for a password.
#[test]
fn where_tls_fails_no_password_is_sent_in_the_clear() {
    let (authority, _ca) = authority();
    let part = Part::of(Tongue::Smtp).starttls(authority.server(&[HOST], false));
    let server = part.at("handshake", Act::Close).play();
    let args = ["--tls=opportunistic", "--username=probe", "--timeout=2s"];
    let ran = pinged(&[&[server.url("smtp").as_str()], &args[..]].concat());
    ran.is(2, Outcome::Unsent, Code::AuthUnavailable);
    ran.says(&["the password was not sent", "TLS had failed before"]);
    let verbs = server.verbs();
    assert!(!verbs.contains(&"AUTH".to_owned()), "{verbs:?}");
}

#[test]
fn tls_from_the_first_byte_where_there_is_none() {
    for tongue in Tongue::ALL {
        let server = Part::of(tongue).play();
        let ran = pinged(&[&server.url(tongue.scheme(true)), "--timeout=1s"]);
        ran.is(2, Outcome::Unsent, Code::TlsFailed);
        ran.says(&["tls after", "check `port` and `tls`"]);
    }
}

/// What a certificate says comes from strangers, too.
#[test]
fn control_characters_in_a_certificate_do_not_reach_the_terminal() {
    let (authority, ca) = authority();
    let subject = authority.server_called(&[], EVIL);
    let name = authority.server(&[EVIL], false);
    let issuer = Authority::called(EVIL).server(&[HOST], false);
    for config in [subject, name, issuer] {
        let server = Part::of(Tongue::Smtp).starttls(config).play();
        let ca = ca.path().to_str().unwrap();
        let ran = shown(&[&server.target(), "--color=always", "--ca-file", ca]);
        ran.is_harmless();
    }
}
