//! Faulty SMTP servers: a ping finds each out, with the step, its time and the server's words, and in time.

use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};
use mailrobin::probe::visit::VisitStep;

use crate::ping_peer::{Act, Part, Server, Tongue, say};
use crate::ping_run::{EVIL, Pinged, pinged, shown};

const ENVELOPE: [&str; 2] = ["--from=a@example.org", "--to=b@example.com"];
/// What a ping may take whose steps may take a second each.
const SOON: Duration = Duration::from_secs(5);

fn server(step: &'static str, act: Act) -> Server {
    Part::of(Tongue::Smtp).at(step, act).play()
}

/// Pings it up to RSET, each step with a second of time.
fn ping(server: &Server) -> Pinged {
    pinged(&[&[server.target().as_str(), "--timeout=1s"], &ENVELOPE[..]].concat())
}

/// It came to nothing at this step, which is the last but the way out.
#[track_caller]
fn broke_at<'p>(pinged: &'p Pinged, step: &str, code: Code) -> &'p Pinged {
    pinged.is(2, Outcome::Unsent, code).within(SOON);
    let steps = pinged.steps();
    let last = steps.iter().rfind(|step| !["rset", "quit"].contains(step));
    assert_eq!(last, Some(&step), "{steps:?}");
    assert_eq!(pinged.only().attempts[0].phase.as_str(), step);
    assert_eq!(pinged.only().round_trip_ms, None);
    pinged
}

#[test]
fn a_server_that_does_not_greet_in_time() {
    let a_second = Duration::from_millis(900);
    for (act, words) in [
        (Act::Silence, "within 1s"),
        (
            Act::Drip("220 mx.example ESMTP\r\n", Duration::from_millis(300)),
            "within 1s",
        ),
        (
            Act::Flood(b"220-still here\r\n".to_vec(), Duration::from_millis(50)),
            "within 1s",
        ),
    ] {
        let pinged = ping(&server("banner", act));
        broke_at(&pinged, "banner", Code::GreetingFailed).says(&["banner after", words]);
        let took = pinged.step(VisitStep::Banner).ms;
        assert!((900.0..2000.0).contains(&took), "{took} ms");
        assert!(pinged.took >= a_second);
    }
}

#[test]
fn a_greeting_without_end_is_cut_off() {
    for bytes in [
        b"220-still here\r\n".to_vec(),
        vec![b'x'; 1 << 20],
        vec![0; 1 << 16],
        b"X-Header: value\r\n".repeat(1000),
        b"\r\n".repeat(1000),
    ] {
        let pinged = ping(&server("banner", Act::Flood(bytes, Duration::ZERO)));
        broke_at(&pinged, "banner", Code::GreetingFailed);
        assert!(
            pinged.stdout.len() < 32 * 1024,
            "{} bytes",
            pinged.stdout.len()
        );
    }
}

#[test]
fn another_protocol_is_told_from_smtp() {
    for greeting in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "* OK IMAP4rev1 ready\r\n",
        "+OK POP3 ready\r\n",
        "\u{0}\u{1}\u{2}\r\n",
        "220\u{0}mx\r\n",
    ] {
        let pinged = ping(&server("banner", Act::Say(greeting.to_owned())));
        broke_at(&pinged, "banner", Code::GreetingFailed);
        let said = &pinged.step(VisitStep::Banner).text;
        assert!(!said.contains('\0'), "{said:?}");
    }
    let pinged = ping(&server("banner", say("SSH-2.0-OpenSSH_9.2")));
    pinged.says(&[
        "SSH-2.0-OpenSSH_9.2",
        "something else than SMTP answers there",
    ]);
}

/// RFC 5321 §4.3.2: the greeting is a 220.
#[test]
fn a_greeting_is_a_220() {
    for greeting in ["250 mx.example", "235 welcome", "354 go on", "199 what"] {
        let pinged = ping(&server("banner", say(greeting)));
        broke_at(&pinged, "banner", Code::GreetingFailed).says(&[greeting]);
    }
}

/// Such a proxy accepts and greets by itself, and only then finds that the server behind it is dead.
#[test]
fn a_banner_does_not_prove_that_the_server_behind_it_lives() {
    for (act, words) in [
        (Act::Close, "closed the connection"),
        (Act::Silence, "within 1s"),
        (
            say("421 4.3.0 mx.example service not available"),
            "421 4.3.0",
        ),
    ] {
        let pinged = ping(&server("ehlo", act));
        broke_at(&pinged, "ehlo", Code::GreetingFailed).says(&[words]);
        let banner = &pinged.step(VisitStep::Banner).text;
        assert_eq!(banner, "220 mx.example ESMTP ready");
    }
}

#[test]
fn an_old_server_is_greeted_with_helo() {
    let server = server("ehlo", say("502 5.5.1 not implemented"));
    ping(&server).answered();
    assert_eq!(
        server.verbs(),
        ["EHLO", "HELO", "MAIL", "RCPT", "RSET", "QUIT"]
    );
    let neither = Part::of(Tongue::Smtp)
        .at("ehlo", say("500 5.5.1 what"))
        .at("helo", say("550 5.5.1 never"));
    let pinged = ping(&neither.play());
    broke_at(&pinged, "ehlo", Code::GreetingFailed).says(&["550 5.5.1 never"]);
}

#[test]
fn answers_in_the_wrong_order_are_noticed() {
    for (step, said, at) in [
        ("banner", "220 mx.example\r\n250 early\r\n", "ehlo"),
        ("ehlo", "250 mx.example\r\n250 2.1.0 sender ok\r\n", "mail"),
        ("ehlo", "354 go on\r\n", "ehlo"),
    ] {
        let pinged = ping(&server(step, Act::Say(said.to_owned())));
        assert_eq!(
            (pinged.exit, pinged.only().outcome),
            (Some(2), Outcome::Unsent)
        );
        assert_eq!(pinged.only().attempts[0].phase.as_str(), at, "{pinged:#?}");
    }
}

#[test]
fn a_refusal_is_told_with_its_step_and_words() {
    for (step, reply, code) in [
        ("banner", "421 4.3.2 too busy", Code::GreetingFailed),
        ("banner", "450 4.7.1 come later", Code::GreetingFailed),
        (
            "banner",
            "554 5.7.1 no mail service here",
            Code::GreetingFailed,
        ),
        ("ehlo", "421 4.3.2 too busy", Code::GreetingFailed),
        ("ehlo", "501 5.5.4 bad name", Code::GreetingFailed),
        ("ehlo", "550 5.7.1 go away", Code::GreetingFailed),
    ] {
        let pinged = ping(&server(step, say(reply)));
        broke_at(&pinged, step, code).says(&[reply, &step.to_uppercase()]);
        assert_eq!(pinged.step_text(step), reply);
        let smtp = pinged.only().smtp.as_ref().unwrap();
        assert_eq!(
            smtp.code.map(|code| code.to_string()),
            reply.get(..3).map(str::to_owned)
        );
    }
}

/// A 4xx to MAIL or RCPT is what greylisting says: the server works.
#[test]
fn a_sender_or_recipient_is_put_off_or_refused() {
    for step in ["mail", "rcpt"] {
        for reply in [
            "450 4.2.0 greylisted",
            "421 4.7.0 slow down",
            "452 4.3.1 disk full",
        ] {
            let pinged = ping(&server(step, say(reply)));
            pinged.is(1, Outcome::Answered, Code::Deferred).within(SOON);
            pinged.says(&[reply, "put us off at", &step.to_uppercase()]);
            assert_eq!(pinged.step_text(step), reply);
            assert_eq!(pinged.steps().last(), Some(&"quit"));
        }
        for reply in ["550 5.1.1 nobody of that name", "553 5.1.3 odd address"] {
            let server = server(step, say(reply));
            let pinged = ping(&server);
            pinged.is(2, Outcome::Rejected, Code::Rejected).within(SOON);
            pinged.says(&[reply, "refused at", &step.to_uppercase()]);
            assert_eq!(pinged.step_text(step), reply);
            assert_eq!(server.verbs().last().map(String::as_str), Some("QUIT"));
        }
    }
}

#[test]
fn a_connection_that_ends_in_the_middle() {
    for (step, act) in [
        ("banner", Act::Close),
        ("ehlo", Act::Close),
        ("banner", Act::Drip("220 mx.exa", Duration::ZERO)),
        (
            "ehlo",
            Act::Drip("250-mx.example\r\n250-SI", Duration::ZERO),
        ),
    ] {
        let pinged = ping(&server(step, act));
        broke_at(&pinged, step, Code::GreetingFailed);
    }
}

#[test]
fn nobody_has_put_us_off_where_nobody_answered() {
    for step in ["mail", "rcpt"] {
        for act in [Act::Close, Act::Silence, say("354 go on")] {
            let pinged = ping(&server(step, act));
            assert_eq!(
                (pinged.exit, pinged.only().outcome),
                (Some(2), Outcome::Unsent)
            );
            assert_eq!(pinged.only().attempts[0].phase.as_str(), step);
            assert_ne!(
                pinged.only().code,
                Code::Deferred,
                "{}",
                pinged.only().reason
            );
        }
    }
}

/// By then all that was asked is answered.
#[test]
fn a_server_may_leave_without_a_word() {
    for (step, act) in [
        ("rset", Act::Close),
        ("rset", say("500 5.5.1 what")),
        ("quit", Act::Close),
        ("quit", Act::Silence),
        ("quit", Act::Flood(b"221-bye\r\n".to_vec(), Duration::ZERO)),
    ] {
        ping(&server(step, act)).answered().within(SOON);
    }
}

#[test]
fn nobody_listens() {
    let target = {
        let server = server("banner", Act::Silence);
        server.target()
    };
    let pinged = pinged(&[&target]);
    broke_at(&pinged, "connect", Code::ConnectFailed);
    pinged.says(&["nothing listens there"]);
}

/// What a server says may not draw on the terminal.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let evil = format!("{EVIL}\u{8}\u{9b}2J\r\n");
    for step in ["banner", "ehlo", "mail", "rcpt", "quit"] {
        let said = match step {
            "banner" => format!("220 {evil}"),
            "quit" => format!("221 {evil}"),
            _ => format!("250-{evil}250 {evil}"),
        };
        let server = server(step, Act::Say(said));
        let target = server.target();
        let ran = shown(&[&[target.as_str(), "--color=always"], &ENVELOPE[..]].concat());
        ran.is_harmless();
    }
}

#[test]
fn a_reply_that_names_a_blocklist_says_so() {
    for (step, reply, exit, outcome, list) in [
        (
            "banner",
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            2,
            Outcome::Unsent,
            "Spamhaus",
        ),
        (
            "rcpt",
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example-rbl.net",
            2,
            Outcome::Rejected,
            "bl.example-rbl.net",
        ),
        (
            "mail",
            "451 4.7.1 192.0.2.1 is listed at bl.spamcop.net, try later",
            1,
            Outcome::Answered,
            "SpamCop",
        ),
    ] {
        let pinged = ping(&server(step, say(reply)));
        pinged.is(exit, outcome, Code::Blocklisted).says(&[reply]);
        let listings = &pinged.only().evidence.blocklists;
        assert_eq!(listings.len(), 1, "{listings:?}");
        assert_eq!(listings[0].list, list);
        assert_eq!(serde_json::to_value(listings[0].standing).unwrap(), "named");
    }
}
