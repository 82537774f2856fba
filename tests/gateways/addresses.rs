//! A gateway with several addresses: one that cannot be met is passed over for the next, once.

use std::net::SocketAddr;

use mailrobin::probe::outcome::{Code, Outcome, Phase};
use mailrobin::probe::record::Record;

use crate::dns::{NameServer, mx};
use crate::peer::{Script, Tls};
use crate::stage::Stage;
use crate::tls::Authority;

const DOMAIN: &str = "domain = \"example.test\"";

/// Names for these addresses, in the order in which they are to be tried.
pub(crate) fn names(stage: &Stage, addresses: &[u8]) -> NameServer {
    let hosts = ["a.example.test", "b.example.test", "c.example.test"];
    let exchangers: Vec<_> = (1..).zip(hosts).take(addresses.len()).collect();
    let mut table = vec![("example.test", mx(&exchangers))];
    for (host, &last) in hosts.iter().zip(addresses) {
        table.push((host, crate::dns::at(&[stage.ip(last)])));
    }
    NameServer::start(&table)
}

/// Where each attempt went, and where it ended.
fn attempts(probe: &Record) -> Vec<(SocketAddr, Phase)> {
    let attempts = probe.attempts.iter();
    attempts
        .map(|attempt| (attempt.address.unwrap(), attempt.phase))
        .collect()
}

/// The phases follow each other without a gap, deferral first.
#[track_caller]
fn add_up(probe: &Record) {
    assert_eq!(probe.phases[0].name, Phase::Deferral, "{:?}", probe.phases);
    let sum: f64 = probe.phases.iter().map(|phase| phase.ms).sum();
    let round_trip = probe.round_trip_ms.unwrap();
    // Each is rounded to a microsecond.
    assert!(
        (sum - round_trip).abs() < 0.05,
        "{sum} and {round_trip}: {probe:#?}"
    );
    assert!(
        (probe.phases[0].ms - probe.deferral_ms).abs() < 0.01,
        "{probe:#?}"
    );
}

/// The first of two addresses is played by this script, or not at all; the second takes the message.
#[track_caller]
fn turned(stage: &Stage, script: Option<Script>, second: Script, keys: &str, at: Phase) -> Record {
    let _first = script.map(|script| stage.peer(1, script));
    let second = stage.peer(2, second);
    let names = names(stage, &[1, 2]);
    let ran = stage.check(&format!("{DOMAIN}\n{keys}"), Some(&names));
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    let probe = ran.only();
    assert_eq!(probe.outcome, Outcome::Delivered);
    assert_eq!(
        attempts(probe),
        [(stage.at(1), at), (stage.at(2), Phase::Data)]
    );
    assert_eq!(probe.smtp.as_ref().unwrap().address, Some(stage.at(2)));
    assert_eq!(second.messages(), 1);
    add_up(probe);
    probe.clone()
}

#[test]
fn a_refused_connection_turns_to_the_next_address() {
    let stage = Stage::set();
    let probe = turned(&stage, None, Script::default(), "", Phase::Connect);
    assert!(probe.attempts[0].text.contains("refused"), "{probe:#?}");
    assert!(
        probe.deferral_ms < 400.0,
        "it is not waited for: {probe:#?}"
    );
}

/// Its exchangers' names are what the certificates are for.
fn trusting(stage: &Stage) -> (Authority, &'static str) {
    let authority = Authority::new();
    std::fs::write(stage.dir.path().join("ca.pem"), &authority.pem).unwrap();
    (authority, "ca_file = \"ca.pem\"\n")
}

#[test]
fn broken_implicit_tls_turns_to_the_next_address() {
    let stage = Stage::set();
    let (authority, ca) = trusting(&stage);
    let good = Tls::Implicit(authority.server(&["b.example.test"], false));
    let probe = turned(
        &stage,
        Some(Script::default().secured(Tls::Garbage)),
        Script::default().secured(good),
        &format!("{ca}tls = \"implicit\""),
        Phase::Tls,
    );
    assert_eq!(probe.smtp.unwrap().tls.as_deref(), Some("TLSv1.3"));
}

#[test]
fn broken_starttls_turns_to_the_next_address() {
    let stage = Stage::set();
    let (authority, ca) = trusting(&stage);
    let good = Tls::Starttls(authority.server(&["b.example.test"], false));
    let probe = turned(
        &stage,
        Some(Script::default().secured(Tls::StarttlsGarbage)),
        Script::default().secured(good),
        &format!("{ca}tls = \"starttls\""),
        Phase::Starttls,
    );
    assert_eq!(probe.smtp.unwrap().tls.as_deref(), Some("TLSv1.3"));
}

/// The certificate is for the exchanger, not for the domain.
#[test]
fn a_certificate_for_another_name_turns_to_the_next_address() {
    let stage = Stage::set();
    let (authority, ca) = trusting(&stage);
    let [wrong, right] = [["example.test"], ["b.example.test"]]
        .map(|names| Script::default().secured(Tls::Starttls(authority.server(&names, false))));
    let probe = turned(
        &stage,
        Some(wrong),
        right,
        &format!("{ca}tls = \"starttls\""),
        Phase::Starttls,
    );
    let said = &probe.attempts[0].text;
    assert!(said.contains("a.example.test"), "{said}");
}

#[test]
fn one_address_is_passed_over_and_no_more() {
    for dead in [&[1, 2][..], &[1, 2, 3]] {
        let stage = Stage::set();
        let names = names(&stage, dead);
        let ran = stage.check(DOMAIN, Some(&names));
        let probe = ran.only();
        assert_eq!(
            (ran.exit, probe.outcome, probe.code),
            (Some(2), Outcome::Unsent, Code::ConnectFailed),
            "{ran:#?}"
        );
        assert_eq!(
            attempts(probe),
            [(stage.at(1), Phase::Connect), (stage.at(2), Phase::Connect)]
        );
        let named = stage.at(2).to_string();
        assert!(probe.reason.contains(&named), "{}", probe.reason);
    }
}

#[test]
fn a_refusing_banner_is_the_gateways_word_and_not_asked_for_twice() {
    let stage = Stage::set();
    let first = stage.peer(
        1,
        Script::default().saying("banner", &["554 5.7.1 not you"]),
    );
    let second = stage.peer(2, Script::default());
    let ran = stage.check(DOMAIN, Some(&names(&stage, &[1, 2])));
    let probe = ran.only();
    assert_eq!(
        (ran.exit, probe.outcome, probe.code),
        (Some(2), Outcome::Unsent, Code::GreetingFailed),
        "{ran:#?}"
    );
    assert_eq!(attempts(probe), [(stage.at(1), Phase::Banner)]);
    assert!(probe.reason.contains("not you"), "{}", probe.reason);
    assert_eq!((first.heard().len(), second.heard().len()), (1, 0));
}

/// What is put off is put off at the same address.
#[test]
fn a_deferral_comes_back_to_the_address_that_said_it() {
    let stage = Stage::set();
    let grey = Script::default().saying("rcpt", &["451 4.7.1 later", "250 ok"]);
    let second = stage.peer(2, grey);
    let names = names(&stage, &[1, 2]);
    let ran = stage.check(DOMAIN, Some(&names));
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(
        attempts(ran.only()),
        [
            (stage.at(1), Phase::Connect),
            (stage.at(2), Phase::Rcpt),
            (stage.at(2), Phase::Data)
        ]
    );
    assert_eq!(second.messages(), 1);
    add_up(ran.only());
}
