//! Is it us? Where no server can be reached, references tell whether this machine has a network at all.

use std::net::TcpListener;

use serde_json::Value;

use super::bed::{Bed, Peer, code, config, err, out, refused};

/// Two routes through two gateways, and these references.
fn bed(first: u16, second: u16, references: &[String]) -> Bed {
    let text = config((first, refused()), "", "password = \"probe\"");
    let text = text.replace("password = \"probe\"", "password = { env = \"MAIL_PW\" }");
    let second = text
        .split("[mailboxes")
        .next()
        .unwrap()
        .replace("gateways.edge", "gateways.other")
        .replace(&format!("port = {first}"), &format!("port = {second}"));
    let route = text.split("[routes.inbound]").nth(1).unwrap();
    let route = route.replace("\"edge\"", "\"other\"");
    Bed::with(&format!(
        "{text}\n{second}\n[routes.second]{route}\n[service]\nuplink = {references:?}\n"
    ))
}

/// What a check says of its probes: the exit code, and of each its code, verdict and reason.
fn checked(bed: &Bed, arguments: &[&str]) -> (i32, Vec<[String; 3]>) {
    let mut all = vec!["check", "--linger", "0s", "--format", "json"];
    all.extend(arguments);
    let output = bed.command(&all).env("MAIL_PW", "probe").output().unwrap();
    let document: Value = serde_json::from_str(&out(&output))
        .unwrap_or_else(|error| panic!("{error}: {}", err(&output)));
    let probes = document["probes"].as_array().unwrap();
    let said = probes
        .iter()
        .map(|probe| ["code", "verdict", "reason"].map(|key| probe[key].as_str().unwrap().into()));
    (code(&output), said.collect())
}

fn silent() -> Vec<String> {
    vec![
        format!("127.0.0.1:{}", refused()),
        format!("http://127.0.0.1:{}/", refused()),
        "dns:nowhere.invalid".into(),
    ]
}

#[test]
fn without_a_network_nothing_is_said_of_the_gateways() {
    let bed = bed(refused(), refused(), &silent());
    let (exit, probes) = checked(&bed, &[]);
    assert_eq!((exit, probes.len()), (3, 2));
    for [code, verdict, reason] in &probes {
        assert_eq!(
            (code.as_str(), verdict.as_str()),
            ("prober-offline", "unknown")
        );
        assert!(
            reason.starts_with("this machine has no network"),
            "{reason}"
        );
        for word in [
            "nothing listens there",
            "dns:nowhere.invalid: ",
            "http://127.0.0.1:",
        ] {
            assert!(reason.contains(word), "{word:?} is not in {reason}");
        }
    }
}

#[test]
fn one_reference_that_answers_is_enough() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let answers = format!("localhost:{}", listener.local_addr().unwrap().port());
    for answers in [answers, "dns:localhost".into()] {
        let references = [silent(), vec![answers]].concat();
        let bed = bed(refused(), refused(), &references);
        let (exit, probes) = checked(&bed, &[]);
        assert_eq!(exit, 2, "{probes:?}");
        for [code, verdict, reason] in &probes {
            assert_eq!(
                (code.as_str(), verdict.as_str()),
                ("connect-failed", "fail")
            );
            assert!(!reason.contains("network"), "{reason}");
        }
    }
}

#[test]
fn a_gateway_that_answers_shows_that_there_is_a_network() {
    let gateway = Peer::gateway();
    let bed = bed(refused(), gateway.port, &silent());
    let (exit, probes) = checked(&bed, &[]);
    let mut codes: Vec<_> = probes.iter().map(|[code, ..]| code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!((exit, codes), (2, vec!["connect-failed", "rejected"]));
}

#[test]
fn without_references_the_coincidence_is_said() {
    let bed = bed(refused(), refused(), &[]);
    let (exit, probes) = checked(&bed, &[]);
    assert_eq!(exit, 2);
    for [code, _, reason] in &probes {
        assert_eq!(code, "connect-failed");
        assert!(
            reason.contains("none of the 2 servers of the config can be reached now"),
            "{reason}"
        );
    }
    // One is no coincidence.
    let (exit, probes) = checked(&bed, &["inbound"]);
    assert_eq!(exit, 2);
    assert!(!probes[0][2].contains("network"), "{probes:?}");
}

#[test]
fn a_ping_asks_the_references_that_it_is_given() {
    let bed = Bed::new();
    let server = format!("127.0.0.1:{}", refused());
    let silent = format!("127.0.0.1:{}", refused());
    let output = bed.run(&["ping", &server, "--uplink", &silent, "--format", "json"]);
    assert_eq!(code(&output), 3, "{}", out(&output));
    assert!(out(&output).contains("prober-offline"), "{}", out(&output));
    let output = bed.run(&["ping", &server, "--uplink", "dns:localhost"]);
    assert_eq!(code(&output), 2, "{}", out(&output));
    assert!(out(&output).contains("connect-failed"), "{}", out(&output));
    let output = bed.run(&["ping", &server, "--uplink", "nonsense"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("is no reference"), "{}", err(&output));
}
