//! Names around a server: its exchangers, its addresses, what its address is called.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use mailrobin::probe::outcome::{Code, Outcome};

use crate::dns::{NameServer, Says, at, mx, pointer};
use crate::ping_peer::{Part, Server, Tongue};
use crate::ping_run::{EVIL, Pinged, pinged, shown};

/// An address of this machine that is not its own secret: loopback is called localhost without anybody being asked.
fn outer() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    // Nothing is sent.
    let connected = socket.connect(("192.0.2.1", 9));
    match connected
        .and_then(|()| socket.local_addr())
        .map(|it| it.ip())
    {
        Ok(IpAddr::V4(ip)) if !ip.is_loopback() => Some(ip),
        _ => {
            let _ = io::stderr().write_all(b"SKIPPED: this machine has no address but loopback\n");
            None
        }
    }
}

/// Such an address as its names are asked for (RFC 1035 §3.5).
fn reversed(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// Pings a server by a name that leads to it, its address being called as the name server says.
fn ping(ip: Ipv4Addr, called: Option<Says>) -> Pinged {
    let server = Part::of(Tongue::Smtp).play_at((ip, 0).into());
    let reversed = reversed(ip);
    let mut table = vec![
        ("mx.example.test", at(&[ip.into()])),
        ("else.example.test", at(&[[192, 0, 2, 1].into()])),
    ];
    table.extend(called.map(|says| (reversed.as_str(), says)));
    let names = NameServer::start(&table);
    let target = format!("mx.example.test:{}", server.address.port());
    pinged(&[&target, "--dns", &names.address.to_string()])
}

#[test]
fn the_name_of_an_address_is_told_and_whether_it_leads_back() {
    let Some(ip) = outer() else { return };
    let ran = ping(ip, Some(pointer(&["mx.example.test"])));
    let found = ran.answered().visit().pointer.as_ref().unwrap();
    assert_eq!(
        (found.names.as_slice(), found.confirmed),
        (&["mx.example.test".to_owned()][..], true)
    );
    let ran = ping(
        ip,
        Some(pointer(&["else.example.test", "gone.example.test"])),
    );
    let found = ran.answered().visit().pointer.as_ref().unwrap();
    assert_eq!((found.names.len(), found.confirmed), (2, false));
    let ran = ping(ip, None);
    let found = ran.answered().visit().pointer.as_ref().unwrap();
    assert_eq!(
        (found.names.len(), found.confirmed, &found.problem),
        (0, false, &None)
    );
}

#[test]
fn a_name_that_cannot_be_asked_for_is_no_failure_of_the_server() {
    let Some(ip) = outer() else { return };
    let ran = ping(ip, Some(Says::Failure));
    let found = ran.answered().visit().pointer.as_ref().unwrap();
    assert!(found.problem.is_some(), "{found:?}");
    let ran = ping(ip, Some(Says::Silence));
    let found = ran.answered().visit().pointer.as_ref().unwrap();
    assert!(found.problem.is_some(), "{found:?}");
    ran.within(Duration::from_secs(9));
    // It is none of the visit's time.
    assert!(ran.only().round_trip_ms.unwrap() < 1000.0);
}

#[test]
fn a_late_name_of_the_address_moves_no_step() {
    let Some(ip) = outer() else { return };
    let late = Says::Late(
        Duration::from_millis(400),
        Box::new(pointer(&["mx.example.test"])),
    );
    let ran = ping(ip, Some(late));
    let visit = ran.answered().visit();
    assert!(visit.pointer.as_ref().unwrap().ms >= 400.0);
    assert!(
        visit.steps.iter().all(|step| step.ms < 300.0),
        "{:#?}",
        visit.steps
    );
}

/// Names and texts come from strangers, too.
#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    let Some(ip) = outer() else { return };
    let server = Part::of(Tongue::Smtp).play_at((ip, 0).into());
    let named = pointer(&[&format!("{EVIL}.example.test")]);
    let listed = Says::Listed(vec![[127, 0, 0, 2].into()], format!("{EVIL}\r\nnew line"));
    let names = NameServer::start(&[
        ("mx.example.test", at(&[ip.into()])),
        (&reversed(ip), named),
        ("7.2.0.192.bl.example.test", listed),
    ]);
    let target = format!("mx.example.test:{}", server.address.port());
    let ran = shown(&[
        &target,
        "--color=always",
        "--dns",
        &names.address.to_string(),
        "--dnsbl=bl.example.test",
        "--sending-address=192.0.2.7",
    ]);
    ran.is_harmless();
    assert!(!ran.stdout.contains("\nnew line"), "{}", ran.stdout);
}

#[test]
fn all_visits_every_address_of_a_name() {
    let first = Part::of(Tongue::Smtp).play();
    let port = first.address.port();
    let others: Vec<_> = (2..=3)
        .map(|last| {
            let ip = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
            (ip, Part::of(Tongue::Smtp).play_at((ip, port).into()))
        })
        .collect();
    let dead = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
    let ips = [first.ip(), others[0].0, others[1].0, dead];
    let names = NameServer::start(&[("mx.example.test", at(&ips))]);
    let args = [
        &format!("mx.example.test:{port}"),
        "--dns",
        &names.address.to_string(),
    ];
    let ran = pinged(&[&args[..], &["--all"]].concat());
    assert_eq!((ran.exit, ran.probes.len()), (Some(2), 4), "{ran:#?}");
    let mut seen: Vec<_> = ran
        .probes
        .iter()
        .map(|probe| (probe.attempts[0].address.unwrap().ip(), probe.code))
        .collect();
    seen.sort();
    let wanted: Vec<_> = ips
        .iter()
        .map(|&ip| {
            (
                ip,
                if ip == dead {
                    Code::ConnectFailed
                } else {
                    Code::Ok
                },
            )
        })
        .collect();
    assert_eq!(seen, wanted);
    let ran = shown(&[&args[..], &["--all", "-n2", "--interval=10ms"]].concat());
    assert!(
        ran.stdout.contains("8 visits, 6 answered, 25.0% not"),
        "{}",
        ran.stdout
    );
    let visited = |server: &Server| server.heard().len();
    assert_eq!(visited(&first), 3);
    assert!(others.iter().all(|(_, server)| visited(server) == 3));
}

#[test]
fn a_name_that_leads_nowhere() {
    let names = NameServer::start(&[("empty.example.test", at(&[]))]);
    let dns = names.address.to_string();
    for (target, words) in [
        ("gone.example.test:25", "there is no such name"),
        ("empty.example.test:25", "it has no address"),
        ("imap://gone.example.test", "there is no such name"),
    ] {
        for all in [&[][..], &["--all"]] {
            let ran = pinged(&[&[target, "--dns", &dns], all].concat());
            ran.is(2, Outcome::Unsent, Code::DnsFailed)
                .says(&["dns after", words]);
            assert_eq!(ran.steps(), ["dns"]);
        }
    }
}

/// What the look-ups of one visit wait for a dead name server is one step's time.
#[test]
fn a_dead_name_server_is_waited_for_no_longer_than_a_step() {
    let names = NameServer::start(&[("mx.example.test", Says::Silence)]);
    let dns = names.address.to_string();
    for target in ["mx.example.test:25", "imap://mx.example.test"] {
        let ran = pinged(&[target, "--dns", &dns, "--timeout=1s"]);
        ran.is(2, Outcome::Unsent, Code::DnsFailed)
            .within(Duration::from_secs(3));
    }
}

/// Without a port it may be a domain, which is asked for as well.
#[test]
fn a_dead_name_server_is_waited_for_no_longer_where_a_domain_may_be_meant() {
    let names = NameServer::start(&[("example.test", Says::Silence)]);
    let dns = names.address.to_string();
    let ran = pinged(&["example.test", "--dns", &dns, "--timeout=2s"]);
    ran.is(2, Outcome::Unsent, Code::DnsFailed)
        .within(Duration::from_millis(3500));
}

/// Port 25 is what exchangers listen on, and not everybody may do so.
#[test]
fn a_domain_is_its_exchangers() {
    let ip = |last| IpAddr::from(Ipv4Addr::new(127, 25, 25, last));
    if std::net::TcpListener::bind((ip(1), 25)).is_err() {
        eprintln!("SKIPPED: port 25 is not for this user");
        return;
    }
    let servers: Vec<_> = (1..=2)
        .map(|last| Part::of(Tongue::Smtp).play_at((ip(last), 25).into()))
        .collect();
    let names = NameServer::start(&[
        (
            "example.test",
            mx(&[(20, "b.example.test"), (10, "a.example.test")]),
        ),
        ("a.example.test", at(&[ip(1)])),
        ("b.example.test", at(&[ip(2)])),
    ]);
    let dns = names.address.to_string();
    let ran = pinged(&["example.test", "--dns", &dns]);
    let visit = ran.answered().visit();
    assert_eq!(visit.host, "a.example.test");
    let exchangers: Vec<_> = visit
        .exchangers
        .iter()
        .map(|it| (it.preference, it.host.as_str()))
        .collect();
    assert_eq!(exchangers, [(10, "a.example.test"), (20, "b.example.test")]);
    let ran = pinged(&["example.test", "--dns", &dns, "--all"]);
    let hosts: Vec<_> = ran
        .probes
        .iter()
        .map(|probe| probe.evidence.visit.as_ref().unwrap().host.as_str())
        .collect();
    assert_eq!(hosts, ["a.example.test", "b.example.test"]);
    assert_eq!((servers[0].heard().len(), servers[1].heard().len()), (2, 1));
    // A host by name is no domain.
    let ran = pinged(&["b.example.test", "--dns", &dns]);
    assert_eq!(ran.answered().visit().host, "b.example.test");
}
