//! `each_address`: every address behind the name gets a probe of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mailrobin::probe::outcome::{Code, Outcome};
use mailrobin::probe::payload::Payload;
use mailrobin::probe::record::Record;

use crate::addresses::names;
use crate::peer::Script;
use crate::stage::Stage;

const EACH: &str = "domain = \"example.test\"\neach_address = true";

fn address(probe: &Record) -> SocketAddr {
    probe.smtp.as_ref().unwrap().address.unwrap()
}

/// How many probes went to each address, by what is said of them and by what came there.
fn went(script: &Script, args: &[&str]) {
    let stage = Stage::set();
    let peers = [1, 2].map(|last| stage.peer(last, script.clone()));
    let names = names(&stage, &[1, 2]);
    let ran = stage.check_with(EACH, "", Some(&names), args);
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    let mut went = BTreeMap::new();
    for probe in &ran.probes {
        *went.entry(address(probe)).or_insert(0) += 1;
    }
    let wanted = BTreeMap::from([(stage.at(1), 4), (stage.at(2), 4)]);
    assert_eq!(went, wanted, "{args:?}");
    assert_eq!(peers.map(|peer| peer.messages()), [4, 4], "{args:?}");
}

const ORDERS: [&[&str]; 2] = [&["--count", "4"], &["--count", "4", "--concurrency", "1"]];

#[test]
fn every_address_gets_as_many_probes() {
    for args in ORDERS {
        went(&Script::default().one_shot(), args);
    }
}

#[test]
fn every_address_gets_as_many_probes_over_kept_sessions() {
    for args in ORDERS {
        went(&Script::default(), args);
    }
}

#[test]
fn one_dead_address_fails_its_own_probe_and_no_other() {
    let stage = Stage::set();
    let _alive = stage.peer(2, Script::default());
    let names = names(&stage, &[1, 2]);
    let ran = stage.check(EACH, Some(&names));
    assert_eq!((ran.exit, ran.probes.len()), (Some(2), 2), "{ran:#?}");
    let to = |at| {
        ran.probes
            .iter()
            .find(|probe| address(probe) == at)
            .unwrap()
    };
    let (dead, alive) = (to(stage.at(1)), to(stage.at(2)));
    assert_eq!(
        (address(dead), dead.outcome, dead.code, dead.attempts.len()),
        (stage.at(1), Outcome::Unsent, Code::ConnectFailed, 1),
        "{dead:#?}"
    );
    assert_eq!(
        (address(alive), alive.outcome),
        (stage.at(2), Outcome::Delivered)
    );
    assert!(
        dead.reason.contains(&stage.at(1).to_string()),
        "{}",
        dead.reason
    );
}

#[test]
fn one_refusing_address_fails_its_own_probes_and_no_other() {
    let stage = Stage::set();
    let _refuses = stage.peer(1, Script::default().saying("rcpt", &["550 5.1.1 nobody"]));
    let _takes = stage.peer(2, Script::default());
    let names = names(&stage, &[1, 2]);
    let ran = stage.check_with(EACH, "", Some(&names), &["--count", "3"]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(2), 6), "{ran:#?}");
    for probe in &ran.probes {
        let wanted = if address(probe) == stage.at(1) {
            Outcome::Rejected
        } else {
            Outcome::Delivered
        };
        assert_eq!(probe.outcome, wanted, "{probe:#?}");
    }
    let refused = ran
        .probes
        .iter()
        .filter(|probe| probe.outcome == Outcome::Rejected);
    assert_eq!(refused.count(), 3);
}

#[test]
fn a_greylisting_address_keeps_its_probe() {
    let stage = Stage::set();
    let grey = Script::default().saying("rcpt", &["451 4.7.1 later", "250 ok"]);
    let peers = [stage.peer(1, Script::default()), stage.peer(2, grey)];
    let names = names(&stage, &[1, 2]);
    let ran = stage.check(EACH, Some(&names));
    assert_eq!(ran.exit, Some(0), "{ran:#?}");
    assert_eq!(peers.map(|peer| peer.messages()), [1, 1]);
}

fn controlled(script: &Script) {
    let stage = Stage::set();
    let peers = [1, 2].map(|last| {
        let script = script
            .clone()
            .saying("message", &["250 ok", "554 5.7.1 virus found"]);
        stage.peer(last, script)
    });
    let names = names(&stage, &[1, 2]);
    let tests = "tests = [{ payload = \"eicar\", expect = [\"rejected\"] }]";
    let args = ["--concurrency", "1"];
    let ran = stage.check_with(EACH, tests, Some(&names), &args);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 4), "{ran:#?}");
    let by_id: BTreeMap<_, _> = ran.probes.iter().map(|probe| (probe.id, probe)).collect();
    let mut controlled = Vec::new();
    for probe in &ran.probes {
        if let Some(control) = probe.control {
            let control = by_id[&control];
            assert_eq!(control.payload, Some(Payload::Plain));
            assert_eq!(address(control), address(probe));
            controlled.push(address(probe));
        }
    }
    assert_eq!(controlled, [stage.at(1), stage.at(2)]);
    assert_eq!(peers.map(|peer| peer.messages()), [2, 2]);
}

#[test]
fn harmful_payloads_have_a_control_at_their_own_address() {
    controlled(&Script::default().one_shot());
}

#[test]
fn harmful_payloads_have_a_control_at_their_own_address_over_kept_sessions() {
    controlled(&Script::default());
}

/// The look-up fails once for all of them, and each probe says so.
#[test]
fn a_domain_that_leads_nowhere_fails_every_probe_soon() {
    let stage = Stage::set();
    let silent = crate::dns::NameServer::start(&[("example.test", crate::dns::Says::Silence)]);
    let keys = format!("{EACH}\ntimeout = \"1s\"");
    let ran = stage.check_with(&keys, "", Some(&silent), &["--count", "4"]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(2), 4), "{ran:#?}");
    for probe in &ran.probes {
        assert_eq!(
            (probe.outcome, probe.code),
            (Outcome::Unsent, Code::DnsFailed)
        );
    }
    assert!(ran.took.as_secs() < 5, "it took {:?}", ran.took);
}

/// Ids sort by the time of their start, and the records with them.
#[test]
fn records_stand_in_the_order_of_their_start() {
    let stage = Stage::set();
    let _peers = [1, 2].map(|last| stage.peer(last, Script::default()));
    let names = names(&stage, &[1, 2]);
    let args = ["--count", "20", "--concurrency", "40"];
    let ran = stage.check_with(EACH, "", Some(&names), &args);
    assert_eq!(ran.probes.len(), 40);
    let due: Vec<_> = ran.probes.iter().map(|probe| probe.due_at).collect();
    assert!(due.is_sorted(), "{due:#?}");
}
