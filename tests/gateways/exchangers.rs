//! A gateway that is a domain: its exchangers, and what becomes of a probe where there are none.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::time::Duration;

use mailrobin::config::plan::Endpoint;
use mailrobin::net::dns::Dns;
use mailrobin::probe::outcome::{Code, Outcome};

use crate::dns::{NameServer, Says, at, mx};
use crate::peer::Script;
use crate::stage::{Ran, Stage};

const DOMAIN: &str = "domain = \"example.test\"";
/// A limit that a test can wait for, and what the program needs besides.
const SHORT: &str = "domain = \"example.test\"\ntimeout = \"1s\"";
const SOON: Duration = Duration::from_secs(4);

#[track_caller]
fn delivered(ran: &Ran) {
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(ran.only().outcome, Outcome::Delivered);
}

/// It went nowhere, and these words say why.
#[track_caller]
fn not_found(ran: &Ran, words: &[&str]) {
    let probe = ran.only();
    assert_eq!(
        (ran.exit, probe.outcome, probe.code),
        (Some(2), Outcome::Unsent, Code::DnsFailed),
        "{ran:#?}"
    );
    for word in words {
        assert!(
            probe.reason.contains(word),
            "{word:?} is not in {:?}",
            probe.reason
        );
    }
    assert!(ran.took < SOON, "it took {:?}", ran.took);
}

#[test]
fn the_lowest_preference_is_tried_first() {
    let stage = Stage::set();
    let (first, second) = (
        stage.peer(1, Script::default()),
        stage.peer(2, Script::default()),
    );
    // The order of the records, of the names and of the addresses is another.
    let names = NameServer::start(&[
        (
            "example.test",
            mx(&[(20, "a.example.test"), (10, "b.example.test")]),
        ),
        ("a.example.test", at(&[stage.ip(2)])),
        ("b.example.test", at(&[stage.ip(1)])),
    ]);
    let ran = stage.check_with(DOMAIN, "", Some(&names), &["--count", "5"]);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!((first.messages(), second.messages()), (5, 0));
}

#[test]
fn equal_exchangers_share_the_load_and_come_before_worse_ones() {
    let names = NameServer::start(&[
        (
            "example.test",
            mx(&[
                (20, "c.example.test"),
                (10, "a.example.test"),
                (10, "b.example.test"),
            ]),
        ),
        ("a.example.test", at(&[[127, 0, 0, 1].into()])),
        ("b.example.test", at(&[[127, 0, 0, 2].into()])),
        ("c.example.test", at(&[[127, 0, 0, 3].into()])),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let endpoint = Endpoint {
        host: "example.test".into(),
        port: 25,
    };
    let mut firsts = BTreeMap::new();
    for _ in 0..64 {
        let dns = Dns::new([names.address].into());
        let targets = runtime
            .block_on(dns.targets(&endpoint, true, Duration::from_secs(5)))
            .unwrap();
        let hosts: Vec<_> = targets.iter().map(|target| target.host.as_str()).collect();
        assert_eq!((hosts.len(), hosts[2]), (3, "c.example.test"), "{hosts:?}");
        *firsts.entry(hosts[0].to_owned()).or_insert(0) += 1;
    }
    // Of 64 fair throws, fewer than ten on one side is less likely than one in a hundred million.
    assert!(firsts.values().all(|&count| count >= 10), "{firsts:?}");
    assert_eq!(firsts.len(), 2, "{firsts:?}");
}

#[test]
fn a_null_mx_takes_no_mail_even_where_the_domain_has_an_address() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default());
    let null = Says::Records(vec![(0, ".".into())], vec![stage.ip(1)]);
    let names = NameServer::start(&[("example.test", null)]);
    let ran = stage.check(DOMAIN, Some(&names));
    not_found(
        &ran,
        &["example.test says that it takes no mail", "RFC 7505"],
    );
    assert_eq!(peer.heard().len(), 0);
}

#[test]
fn a_domain_without_exchangers_is_its_own() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default());
    let names = NameServer::start(&[("example.test", at(&[stage.ip(1)]))]);
    let ran = stage.check(DOMAIN, Some(&names));
    delivered(&ran);
    assert_eq!(peer.messages(), 1);
}

#[test]
fn a_domain_with_neither_exchangers_nor_addresses_leads_nowhere() {
    let stage = Stage::set();
    let names = NameServer::start(&[("example.test", at(&[]))]);
    let ran = stage.check(DOMAIN, Some(&names));
    not_found(&ran, &["looking up example.test: it has no address"]);
}

#[test]
fn an_exchanger_without_an_address_is_passed_over() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default());
    let exchangers = [
        (10, "gone.example.test"),
        (15, "bare.example.test"),
        (20, "b.example.test"),
    ];
    let names = NameServer::start(&[
        ("example.test", mx(&exchangers)),
        ("bare.example.test", at(&[])),
        ("b.example.test", at(&[stage.ip(1)])),
    ]);
    let ran = stage.check(DOMAIN, Some(&names));
    delivered(&ran);
    assert_eq!(ran.only().attempts.len(), 1);
    assert_eq!(peer.messages(), 1);
}

#[test]
fn exchangers_that_all_lead_nowhere_are_named() {
    let stage = Stage::set();
    let names = NameServer::start(&[("example.test", mx(&[(10, "gone.example.test")]))]);
    let ran = stage.check(DOMAIN, Some(&names));
    not_found(
        &ran,
        &["looking up gone.example.test: there is no such name"],
    );
}

#[test]
fn a_domain_that_does_not_exist_is_said_to() {
    let stage = Stage::set();
    let names = NameServer::start(&[]);
    let ran = stage.check(DOMAIN, Some(&names));
    not_found(&ran, &["looking up example.test: there is no such name"]);
}

/// The domain's own address is for domains that are known to have no exchanger (RFC 5321 §5.1).
#[test]
fn a_name_server_that_fails_is_not_one_that_says_no() {
    let stage = Stage::set();
    let names = NameServer::start(&[("example.test", Says::Failure)]);
    let ran = stage.check(DOMAIN, Some(&names));
    not_found(&ran, &["looking up example.test: "]);
    let reason = &ran.only().reason;
    assert!(
        !reason.contains("no such name") && !reason.contains("no address"),
        "{reason}"
    );
}

#[test]
fn a_silent_name_server_is_waited_for_no_longer_than_a_step() {
    let stage = Stage::set();
    let names = NameServer::start(&[("example.test", Says::Silence)]);
    let ran = stage.check(SHORT, Some(&names));
    not_found(&ran, &["looking up example.test: "]);
    let phases: Vec<_> = ran
        .only()
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    assert_eq!(phases, ["dns"]);
    let took = ran.only().phases[0].ms;
    assert!((400.0..2500.0).contains(&took), "{took} ms");
    assert!(names.asked() >= 2, "it was asked {} times", names.asked());
}

#[test]
fn silence_about_every_exchanger_is_waited_for_no_longer_than_about_one() {
    let stage = Stage::set();
    let names = NameServer::start(&[
        (
            "example.test",
            mx(&[
                (10, "a.example.test"),
                (20, "b.example.test"),
                (30, "c.example.test"),
                (40, "d.example.test"),
            ]),
        ),
        ("a.example.test", Says::Silence),
        ("b.example.test", Says::Silence),
        ("c.example.test", Says::Silence),
        ("d.example.test", Says::Silence),
    ]);
    let ran = stage.check(SHORT, Some(&names));
    not_found(&ran, &["looking up "]);
    let took = ran.only().phases[0].ms;
    assert!(took < 2000.0, "{took} ms");
}

/// A host is asked for at the named servers, too, and not in the hosts file of this machine.
#[test]
fn a_host_is_looked_up_where_the_config_says() {
    let stage = Stage::set();
    let peer = stage.peer(1, Script::default());
    let names = NameServer::start(&[("mx.example.test", at(&[stage.ip(1)]))]);
    delivered(&stage.check("host = \"mx.example.test\"", Some(&names)));
    assert_eq!(peer.messages(), 1);
    let ran = stage.check("host = \"localhost.example\"", Some(&names));
    not_found(
        &ran,
        &["looking up localhost.example: there is no such name"],
    );
}

#[test]
fn an_exchanger_may_have_an_ipv6_address_alone() {
    let stage = Stage::set();
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    if TcpListener::bind((six, 0)).is_err() {
        eprintln!("SKIPPED: this machine has no ::1");
        return;
    }
    let peer = stage.peer_at(six, Script::default());
    let names = NameServer::start(&[
        ("example.test", mx(&[(10, "six.example.test")])),
        ("six.example.test", at(&[six])),
    ]);
    let ran = stage.check(DOMAIN, Some(&names));
    delivered(&ran);
    assert_eq!(
        ran.only().smtp.as_ref().unwrap().address,
        Some(peer.address)
    );
}
