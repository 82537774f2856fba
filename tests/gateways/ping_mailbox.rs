//! IMAP and POP3 servers that are odd, slow or something else: a ping says at which step and in whose words.

use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};

use crate::ping_peer::{Act, Part, Server, Tongue, say};
use crate::ping_run::{PASSWORD, Pinged, USER, pinged};

/// What a ping may take whose steps may take a second each.
const SOON: Duration = Duration::from_secs(6);

fn server(tongue: Tongue, step: &'static str, act: Act) -> Server {
    Part::of(tongue).at(step, act).play()
}

fn ping(tongue: Tongue, server: &Server, args: &[&str]) -> Pinged {
    let scheme = tongue.scheme(false);
    pinged(&[&[server.url(scheme).as_str(), "--timeout=1s"], args].concat())
}

const LOGIN: [&str; 4] = ["--tls=none", "--insecure-auth", "--username", USER];

#[track_caller]
fn broke_at<'p>(pinged: &'p Pinged, step: &str) -> &'p Pinged {
    pinged
        .is(2, Outcome::Unsent, Code::GreetingFailed)
        .within(SOON);
    assert_eq!(pinged.steps().last(), Some(&step), "{pinged:#?}");
    pinged.says(&[step, " after "])
}

#[test]
fn every_step_is_taken_in_the_servers_own_words() {
    let imap = Part::of(Tongue::Imap).play();
    let ran = ping(Tongue::Imap, &imap, &LOGIN);
    ran.answered();
    assert_eq!(
        ran.steps(),
        ["dns", "connect", "banner", "capability", "auth", "quit"]
    );
    assert_eq!(ran.step_text("banner"), "* OK IMAP4rev1 ready");
    assert!(
        ran.step_text("capability")
            .starts_with("* CAPABILITY IMAP4rev1\n")
    );
    assert!(ran.step_text("auth").contains("OK welcome"));
    assert!(ran.step_text("quit").starts_with("* BYE bye"));
    assert_eq!(imap.verbs(), ["CAPABILITY", "LOGIN", "LOGOUT"]);
    assert!(ran.only().smtp.is_none());

    let pop3 = Part::of(Tongue::Pop3).play();
    let ran = ping(Tongue::Pop3, &pop3, &LOGIN);
    ran.answered();
    assert_eq!(
        ran.steps(),
        ["dns", "connect", "banner", "capability", "auth", "quit"]
    );
    assert_eq!(ran.step_text("capability"), "+OK\nUSER\nUIDL\n.");
    let heard = pop3.heard().concat();
    assert_eq!(
        heard,
        ["CAPA", "USER probe", &format!("PASS {PASSWORD}"), "QUIT"]
    );
}

#[test]
fn plain_is_used_where_imap_offers_it() {
    let can = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done";
    let imap = server(Tongue::Imap, "capability", say(can));
    ping(Tongue::Imap, &imap, &LOGIN).answered();
    assert!(imap.verbs().contains(&"AUTHENTICATE".to_owned()));
    let no = Part::of(Tongue::Imap)
        .at("capability", say(can))
        .at("response", say("r1 NO [AUTHENTICATIONFAILED] {line}"));
    let ran = ping(Tongue::Imap, &no.play(), &LOGIN);
    ran.is(2, Outcome::Unsent, Code::AuthFailed);
    ran.says(&["AUTHENTICATIONFAILED"]);
}

#[test]
fn a_greeting_that_is_none() {
    for (tongue, said) in [
        (Tongue::Imap, "* BYE too many connections"),
        (Tongue::Imap, "* NO what"),
        (Tongue::Imap, "220 mx.example ESMTP"),
        (Tongue::Imap, "+OK POP3 ready"),
        (Tongue::Imap, "HTTP/1.1 400 Bad Request"),
        (Tongue::Imap, "SSH-2.0-OpenSSH_9.2"),
        (Tongue::Imap, "* OKAY"),
        (Tongue::Pop3, "-ERR too many connections"),
        (Tongue::Pop3, "* OK IMAP4rev1 ready"),
        (Tongue::Pop3, "220 mx.example ESMTP"),
        (Tongue::Pop3, ""),
    ] {
        let ran = ping(tongue, &server(tongue, "banner", say(said)), &[]);
        broke_at(&ran, "banner").says(&[said]);
        assert_eq!(ran.step_text("banner"), said);
    }
}

/// RFC 9051 §7.1.4: who greets so has let us in already.
#[test]
fn a_session_that_is_logged_in_from_the_start() {
    let imap = server(Tongue::Imap, "banner", say("* PREAUTH welcome back"));
    ping(Tongue::Imap, &imap, &[]).answered();
    // STARTTLS is not for such a session (RFC 9051 §6.2.1); one that asks for TLS must not go on without.
    let ran = ping(Tongue::Imap, &imap, &["--tls=starttls"]);
    ran.is(2, Outcome::Unsent, Code::StarttlsMissing);
    ran.says(&["greets with PREAUTH"]);
}

#[test]
fn the_login_is_one_that_is_offered() {
    for (tongue, can, verb) in [
        (
            Tongue::Imap,
            "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN\r\n{tag} OK done",
            "AUTHENTICATE",
        ),
        (Tongue::Imap, "{tag} OK done", "LOGIN"),
        (Tongue::Pop3, "+OK\r\nSASL PLAIN\r\n.", "AUTH"),
        (Tongue::Pop3, "+OK\r\nSASL CRAM-MD5\r\nUSER\r\n.", "USER"),
    ] {
        let server = server(tongue, "capability", say(can));
        ping(tongue, &server, &LOGIN).answered();
        let verbs = server.verbs();
        assert!(verbs.contains(&verb.to_owned()), "{can}: {verbs:?}");
    }
}

/// RFC 9051 §6.2.3: a client must not send LOGIN then.
#[test]
fn no_password_is_sent_where_logins_are_disabled() {
    let can = "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK done";
    let imap = server(Tongue::Imap, "capability", say(can));
    let ran = ping(Tongue::Imap, &imap, &LOGIN);
    ran.is(2, Outcome::Unsent, Code::AuthUnavailable);
    assert!(
        !imap.verbs().contains(&"LOGIN".to_owned()),
        "{:?}",
        imap.verbs()
    );
}

#[test]
fn a_pop3_server_that_knows_no_capa() {
    let pop3 = server(Tongue::Pop3, "capability", say("-ERR what"));
    ping(Tongue::Pop3, &pop3, &LOGIN).answered();
}

#[test]
fn silence_and_drips_are_waited_for_no_longer_than_a_step() {
    for tongue in [Tongue::Imap, Tongue::Pop3] {
        let drip = Act::Drip(
            "* OK +OK ready, wait for it\r\n",
            Duration::from_millis(300),
        );
        for (step, act) in [
            ("banner", Act::Silence),
            ("banner", drip.clone()),
            ("capability", Act::Silence),
            ("capability", drip),
        ] {
            let ran = ping(tongue, &server(tongue, step, act), &[]);
            broke_at(&ran, step).says(&["within 1s"]);
        }
    }
}

/// Each line comes in time, and there is no end to them: the step's time is for all of them.
#[test]
fn lines_without_end_are_waited_for_no_longer_than_a_step() {
    for (tongue, line) in [
        (Tongue::Imap, "* OK still at it\r\n"),
        (Tongue::Pop3, "WORD\r\n"),
    ] {
        let line = if tongue == Tongue::Pop3 {
            format!("+OK\r\n{line}")
        } else {
            line.to_owned()
        };
        let act = Act::Flood(line.into_bytes(), Duration::from_millis(300));
        let ran = ping(tongue, &server(tongue, "capability", act), &[]);
        broke_at(&ran, "capability");
    }
}

#[test]
fn floods_are_cut_off() {
    for tongue in [Tongue::Imap, Tongue::Pop3] {
        for step in ["banner", "capability"] {
            for bytes in [
                vec![b'x'; 1 << 20],
                vec![0; 1 << 16],
                b"* x\r\n".repeat(1000),
            ] {
                let act = Act::Flood(bytes, Duration::ZERO);
                let ran = ping(tongue, &server(tongue, step, act), &[]);
                broke_at(&ran, step);
                assert!(ran.stdout.len() < 32 * 1024, "{} bytes", ran.stdout.len());
                assert!(!ran.stdout.contains('\0'));
            }
        }
    }
}

/// A server that asks on and on is not answered for ever.
#[test]
fn challenges_without_end_come_to_an_end() {
    let can = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done";
    let imap = Part::of(Tongue::Imap)
        .at("capability", say(can))
        .at("response", say("+ more"));
    ping(Tongue::Imap, &imap.play(), &LOGIN)
        .is(2, Outcome::Unsent, Code::AuthFailed)
        .within(SOON);
    // As the answer to a command that knows no challenges.
    let imap = Part::of(Tongue::Imap)
        .at("capability", say("+ more"))
        .at("response", say("+ more"));
    let ran = ping(Tongue::Imap, &imap.play(), &[]);
    broke_at(&ran, "capability");
}

#[test]
fn a_connection_that_ends_in_the_middle() {
    for tongue in [Tongue::Imap, Tongue::Pop3] {
        for step in ["banner", "capability"] {
            for act in [Act::Close, Act::Drip("* O", Duration::ZERO)] {
                let ran = ping(tongue, &server(tongue, step, act), &[]);
                broke_at(&ran, step);
            }
        }
    }
    // A goodbye in the middle is told, too.
    let imap = server(
        Tongue::Imap,
        "capability",
        say("* BYE shutting down\r\n{tag} NO no"),
    );
    let ran = ping(Tongue::Imap, &imap, &[]);
    broke_at(&ran, "capability");
    assert!(ran.step_text("capability").contains("* BYE shutting down"));
}

#[test]
fn a_server_may_leave_without_a_word() {
    for (tongue, step) in [(Tongue::Imap, "logout"), (Tongue::Pop3, "quit")] {
        for act in [
            Act::Close,
            Act::Silence,
            Act::Flood(b"* x\r\n".to_vec(), Duration::ZERO),
        ] {
            ping(tongue, &server(tongue, step, act), &LOGIN)
                .answered()
                .within(SOON);
        }
    }
}

/// What is said before it was asked for could be somebody else's.
#[test]
fn an_answer_before_its_question_is_noticed() {
    for (tongue, said) in [
        (Tongue::Imap, "* OK ready\r\nr1 OK done\r\n"),
        (Tongue::Pop3, "+OK ready\r\n+OK\r\n.\r\n"),
    ] {
        let ran = ping(
            tongue,
            &server(tongue, "banner", Act::Say(said.to_owned())),
            &LOGIN,
        );
        broke_at(&ran, "capability").says(&["tampering"]);
    }
}

#[test]
fn limits_and_counts_are_those_of_any_ping() {
    let imap = server(
        Tongue::Imap,
        "capability",
        Act::Late(Duration::from_millis(200)),
    );
    let ran = ping(Tongue::Imap, &imap, &["--warn=100ms"]);
    ran.is(1, Outcome::Answered, Code::Slow)
        .says(&["of it at capability"]);
    let ran = ping(Tongue::Imap, &imap, &["-n3", "--interval=10ms"]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 3));
}
