//! What a ping does: each step timed by itself and in the server's own words, and never a message.

use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};
use mailrobin::probe::visit::VisitStep;

use crate::dns::{NameServer, Says, at};
use crate::ping_peer::{Act, Part, Tongue};
use crate::ping_run::{PASSWORD, USER, pinged, shown};
use crate::tls::Authority;

/// A step is delayed by this; a server begins to wait for its banner a little before the client knows that it is connected.
const LATE: Duration = Duration::from_millis(250);
const LATE_MS: f64 = 200.0;
const OTHERS_MS: f64 = 150.0;

/// Other work of the machine may hold up any step: a ping that it disturbed is done again. What is told of a wrong step is so
/// every time.
const TRIES: usize = 20;

/// The delay is in this step and in no other.
#[track_caller]
fn only_late(args: &[&str], late: &str) {
    let mut last = None;
    for _ in 0..TRIES {
        let pinged = pinged(args);
        pinged.answered();
        let steps = &pinged.visit().steps;
        assert!(
            steps.iter().any(|step| step.name.as_str() == late),
            "no {late} in {steps:#?}"
        );
        let is_right = steps.iter().all(|step| {
            if step.name.as_str() == late {
                step.ms >= LATE_MS
            } else {
                step.ms < OTHERS_MS
            }
        });
        if is_right {
            return;
        }
        last = Some(pinged);
    }
    let steps = last.map(|pinged| pinged.visit().steps.clone());
    panic!("with {late} delayed: {steps:#?}");
}

fn trust() -> (Authority, tempfile::NamedTempFile) {
    let authority = Authority::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    (authority, file)
}

#[test]
fn every_smtp_step_is_taken_and_in_the_servers_own_words() {
    let (authority, ca) = trust();
    let server = Part::of(Tongue::Smtp)
        .starttls(authority.server(&["127.0.0.1"], false))
        .play();
    let ca = ca.path().to_str().unwrap();
    let pinged = pinged(&[
        &server.target(),
        "--tls=starttls",
        "--ca-file",
        ca,
        "--username",
        USER,
        "--from=a@example.org",
        "--to=b@example.com",
        "--ehlo=client.example",
    ]);
    pinged.answered().says(&["answered after", "TLSv1.3"]);
    let wanted = [
        "dns", "connect", "banner", "ehlo", "starttls", "auth", "mail", "rcpt", "rset", "quit",
    ];
    assert_eq!(pinged.steps(), wanted);
    let said = |step| pinged.step(step).text.as_str();
    assert_eq!(said(VisitStep::Banner), "220 mx.example ESMTP ready");
    assert!(said(VisitStep::Ehlo).contains("250-STARTTLS"));
    assert!(said(VisitStep::Starttls).starts_with("220 2.0.0 go on\nTLSv1.3"));
    assert_eq!(said(VisitStep::Auth), "235 2.7.0 welcome");
    assert_eq!(said(VisitStep::Mail), "250 2.1.0 sender ok");
    assert_eq!(said(VisitStep::Rcpt), "250 2.1.5 recipient ok");
    assert_eq!(said(VisitStep::Rset), "250 2.0.0 forgotten");
    assert_eq!(said(VisitStep::Quit), "221 2.0.0 bye");
    let heard = server.heard().concat();
    let auth = heard
        .iter()
        .position(|line| line.starts_with("AUTH PLAIN "))
        .unwrap();
    assert_eq!(
        [&heard[..auth], &heard[auth + 1..]].concat(),
        [
            "EHLO client.example",
            "STARTTLS",
            "EHLO client.example",
            "MAIL FROM:<a@example.org>",
            "RCPT TO:<b@example.com>",
            "RSET",
            "QUIT"
        ]
    );
    let tls = pinged.visit().tls.as_ref().unwrap();
    assert_eq!(tls.protocol.as_deref(), Some("TLSv1.3"));
    assert!(
        tls.cipher.as_ref().unwrap().starts_with("TLS13_"),
        "{tls:?}"
    );
    assert_eq!(tls.chain[0].names, ["127.0.0.1"]);
    assert_eq!(tls.problem, None);
    assert!(tls.chain[0].not_after > tls.chain[0].not_before);
}

/// The time until it answered is the sum of its steps up to the last answer; the way out is none of it.
#[test]
fn steps_add_up_to_the_time_of_the_visit() {
    let server = Part::of(Tongue::Smtp)
        .at("banner", Act::Late(LATE))
        .at("rset", Act::Late(LATE))
        .at("quit", Act::Late(LATE))
        .play();
    let pinged = pinged(&[
        &server.target(),
        "--from=a@example.org",
        "--to=b@example.com",
    ]);
    pinged.answered();
    let steps = pinged.visit().steps.iter();
    let way_in = steps.filter(|step| !matches!(step.name, VisitStep::Rset | VisitStep::Quit));
    let sum: f64 = way_in.map(|step| step.ms).sum();
    let told = pinged.only().round_trip_ms.unwrap();
    assert!((told - sum).abs() < 0.1, "{told} ms, {sum} ms");
    assert!(told >= LATE_MS, "{told} ms");
}

#[test]
fn a_delayed_smtp_step_moves_no_other() {
    let (authority, ca) = trust();
    let config = authority.server(&["127.0.0.1"], false);
    let ca = ca.path().to_str().unwrap();
    for (delayed, step) in [
        ("banner", "banner"),
        ("ehlo", "ehlo"),
        ("starttls", "starttls"),
        ("handshake", "starttls"),
        ("ehlo2", "starttls"),
        ("auth", "auth"),
        ("mail", "mail"),
        ("rcpt", "rcpt"),
        ("rset", "rset"),
        ("quit", "quit"),
    ] {
        let part = Part::of(Tongue::Smtp).starttls(config.clone());
        // An EHLO that is late only where there is no TLS yet.
        let part = match delayed {
            "ehlo" => part.at("ehlo2", Act::Late(Duration::ZERO)),
            _ => part,
        };
        let server = part.at(delayed, Act::Late(LATE)).play();
        let args = [
            &server.target(),
            "--tls=starttls",
            "--ca-file",
            ca,
            "--username",
            USER,
            "--from=a@example.org",
            "--to=b@example.com",
        ];
        only_late(&args, step);
        assert!(!server.verbs().contains(&"DATA".to_owned()));
    }
    for (delayed, step) in [("handshake", "tls"), ("banner", "banner"), ("ehlo", "ehlo")] {
        let part = Part::of(Tongue::Smtp).implicit(config.clone());
        let server = part.at(delayed, Act::Late(LATE)).play();
        only_late(&[&server.target(), "--tls=implicit", "--ca-file", ca], step);
    }
}

#[test]
fn a_delayed_imap_or_pop3_step_moves_no_other() {
    let (authority, ca) = trust();
    let config = authority.server(&["127.0.0.1"], false);
    let ca = ca.path().to_str().unwrap();
    let imap = [
        ("banner", "banner"),
        ("starttls", "starttls"),
        ("handshake", "starttls"),
        ("login", "auth"),
        ("logout", "quit"),
    ];
    let pop3 = [
        ("banner", "banner"),
        ("starttls", "starttls"),
        ("user", "auth"),
        ("pass", "auth"),
        ("quit", "quit"),
    ];
    let imap = imap.map(|case| (Tongue::Imap, "imap", case));
    let pop3 = pop3.map(|case| (Tongue::Pop3, "pop3", case));
    for (tongue, scheme, (delayed, step)) in imap.into_iter().chain(pop3) {
        let part = Part::of(tongue).starttls(config.clone());
        let server = part.at(delayed, Act::Late(LATE)).play();
        let args = ["--tls=starttls", "--ca-file", ca, "--username", USER];
        only_late(&[&[server.url(scheme).as_str()], &args[..]].concat(), step);
    }
    for (tongue, scheme) in [(Tongue::Imap, "imaps"), (Tongue::Pop3, "pop3s")] {
        for (delayed, step) in [("handshake", "tls"), ("capability", "capability")] {
            let part = Part::of(tongue).implicit(config.clone());
            let server = part.at(delayed, Act::Late(LATE)).play();
            only_late(&[&server.url(scheme), "--ca-file", ca], step);
        }
    }
}

#[test]
fn a_late_name_server_moves_the_look_up_alone() {
    let server = Part::of(Tongue::Smtp).play();
    let late = Says::Late(LATE, Box::new(at(&[server.ip()])));
    let names = NameServer::start(&[("mx.example.test", late)]);
    let dns = names.address.to_string();
    let target = format!("mx.example.test:{}", server.address.port());
    only_late(&[&target, "--dns", &dns], "dns");
}

/// However far it goes and whatever it meets, no message is begun.
#[test]
fn no_ping_ever_sends_data() {
    for (step, reply) in [
        ("rcpt", "250 2.1.5 ok"),
        ("rcpt", "354 go on"),
        ("mail", "354 go on"),
        ("rset", "354 go on"),
        ("rset", "550 never"),
        ("quit", "354 go on"),
        ("rcpt", "450 4.2.0 greylisted"),
    ] {
        let part = Part::of(Tongue::Smtp).at(step, Act::Say(format!("{reply}\r\n")));
        let server = part.play();
        let args = ["--from=a@example.org", "--to=b@example.com", "--timeout=1s"];
        pinged(&[&[server.target().as_str()], &args[..]].concat());
        let verbs = server.verbs();
        let known = ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"];
        assert!(
            verbs.iter().all(|verb| known.contains(&verb.as_str())),
            "{step} {reply}: {verbs:?}"
        );
    }
}

#[test]
fn plain_goes_no_further_than_the_handshake() {
    let server = Part::of(Tongue::Smtp).at("banner", Act::Silence).play();
    let pinged = pinged(&[&server.target(), "--plain"]);
    pinged.answered().within(Duration::from_secs(5));
    assert_eq!(pinged.steps(), ["dns", "connect"]);
    assert!(server.verbs().is_empty());
    for scheme in ["imap", "pop3s"] {
        let ran = crate::ping_run::pinged(&[&server.url(scheme), "--plain"]);
        ran.answered();
        assert_eq!(ran.steps(), ["dns", "connect"]);
    }
}

#[test]
fn several_visits_are_counted_as_ping_does() {
    let server = Part::of(Tongue::Smtp).play();
    let ran = shown(&[&server.target(), "-n", "4", "--interval=100ms"]);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert!(
        ran.stdout.contains("4 visits, 4 answered, 0.0% not\n"),
        "{}",
        ran.stdout
    );
    let last = ran.stdout.lines().last().unwrap();
    let times = last.strip_prefix("min/avg/max/mdev ").unwrap();
    let times = times.strip_suffix(" ms").unwrap();
    let times: Vec<f64> = times.split(" / ").map(|it| it.parse().unwrap()).collect();
    assert_eq!(times.len(), 4);
    assert!(times[0] <= times[1] && times[1] <= times[2], "{times:?}");
    // From start to start.
    assert!(ran.took >= Duration::from_millis(300));
    assert_eq!(server.heard().len(), 4);
}

#[test]
fn a_visit_in_two_that_fails_is_half_lost() {
    // Its own listener: every other connection is hung up at once.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for (at, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if at % 2 == 1 {
                continue;
            }
            let _ = stream.write_all(b"220 mx.example\r\n");
            let mut piece = [0; 512];
            while stream.read(&mut piece).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"250 ok\r\n");
            }
        }
    });
    let ran = shown(&[&target, "-n", "4", "--interval=10ms"]);
    assert_eq!(ran.exit, Some(2));
    assert!(
        ran.stdout.contains("4 visits, 2 answered, 50.0% not"),
        "{}",
        ran.stdout
    );
}

#[test]
fn limits_of_time_are_held_against_the_visit() {
    let server = Part::of(Tongue::Smtp).at("ehlo", Act::Late(LATE)).play();
    let target = server.target();
    let ran = pinged(&[&target, "--warn=100ms"]);
    ran.is(1, Outcome::Answered, Code::Slow);
    ran.says(&["slower than 100 ms", "of it at ehlo"]);
    let ran = pinged(&[&target, "--warn=50ms", "--crit=100ms"]);
    ran.is(2, Outcome::Answered, Code::Late);
    ran.says(&["later than 100 ms", "of it at ehlo"]);
    assert!(ran.only().late);
    pinged(&[&target, "--warn=5s", "--crit=10s"]).answered();
}

#[test]
fn people_read_every_step_with_its_time() {
    let server = Part::of(Tongue::Smtp).play();
    let ran = shown(&[&server.target()]);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    for (step, words) in [
        ("banner", "220 mx.example ESMTP ready"),
        ("ehlo", "250 mx.example, AUTH PLAIN LOGIN, 8BITMIME"),
        ("quit", "221 2.0.0 bye"),
    ] {
        let line = ran
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(step));
        let line = line.unwrap_or_else(|| panic!("no {step} in {}", ran.stdout));
        assert!(line.contains(" ms ") && line.ends_with(words), "{line}");
    }
    assert!(!ran.stdout.contains(PASSWORD));
}

/// Whoever writes it there: what is a name or a user is no command.
#[test]
fn a_line_break_in_a_value_is_no_command() {
    let server = Part::of(Tongue::Smtp).play();
    shown(&[&server.target(), "--ehlo", "client.example\r\nDATA"]);
    let pop3 = Part::of(Tongue::Pop3).play();
    let user = "probe\r\nDELE 1";
    let login = ["--tls=none", "--insecure-auth", "--username", user];
    shown(&[&[pop3.url("pop3").as_str()], &login[..]].concat());
    let imap = Part::of(Tongue::Imap).play();
    let user = "probe\r\nx DELETE INBOX";
    let login = ["--tls=none", "--insecure-auth", "--username", user];
    shown(&[&[imap.url("imap").as_str()], &login[..]].concat());
    let verbs = [server.verbs(), pop3.verbs(), imap.verbs()].concat();
    for never in ["DATA", "DELE", "DELETE"] {
        assert!(!verbs.contains(&never.to_owned()), "{verbs:?}");
    }
}
