//! Blocklists that are asked about the address we come from: what their answers mean, and how often they are asked.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use mailrobin::probe::listing::Listing;
use mailrobin::probe::outcome::Code;

use crate::dns::{NameServer, Says};
use crate::ping_peer::{Part, Tongue, say};
use crate::ping_routes::check;
use crate::ping_run::{Pinged, pinged, shown};

/// 192.0.2.7, as lists are asked about it.
const OURS: &str = "7.2.0.192";

fn listed(answer: [u8; 4], why: &str) -> Says {
    Says::Listed(vec![IpAddr::from(answer)], why.to_owned())
}

fn table(zones: &[(&str, Says)]) -> NameServer {
    let named: Vec<_> = zones
        .iter()
        .map(|(zone, says)| (format!("{OURS}.{zone}"), says.clone()))
        .collect();
    let named: Vec<_> = named
        .iter()
        .map(|(name, says)| (name.as_str(), says.clone()))
        .collect();
    NameServer::start(&named)
}

/// Pings a good server, and asks these zones.
fn ping(names: &NameServer, zones: &[&str], more: &[&str]) -> Pinged {
    let server = Part::of(Tongue::Smtp).play();
    let (target, dns) = (server.target(), names.address.to_string());
    let zones: Vec<_> = zones.iter().flat_map(|&zone| ["--dnsbl", zone]).collect();
    let own = [
        target.as_str(),
        "--dns",
        &dns,
        "--sending-address=192.0.2.7",
    ];
    pinged(&[&own[..], &zones, more].concat())
}

fn standing(listing: &Listing) -> String {
    serde_json::to_value(listing.standing)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn each_answer_means_something_else() {
    let names = table(&[
        (
            "listed.test",
            listed(
                [127, 0, 0, 2],
                "Listed by PBL, see https://example.test/192.0.2.7",
            ),
        ),
        ("wordless.test", listed([127, 0, 0, 11], "")),
        (
            "open.test",
            listed([127, 255, 255, 254], "Error: open resolver"),
        ),
        ("often.test", listed([127, 255, 255, 255], "")),
        ("typo.test", listed([127, 255, 255, 252], "")),
        ("uri.test", listed([127, 0, 0, 1], "")),
        ("hijacked.test", listed([203, 0, 113, 9], "")),
        ("broken.test", Says::Failure),
    ]);
    let zones = [
        ("listed.test", "listed", "Listed by PBL"),
        ("wordless.test", "listed", ""),
        ("open.test", "refused", "public resolvers"),
        ("often.test", "refused", "too often"),
        ("typo.test", "refused", "written wrong"),
        ("uri.test", "refused", "refuses to answer"),
        ("hijacked.test", "unknown", "not in 127.0.0.0/8"),
        ("broken.test", "unknown", ""),
        ("clean.test", "clean", ""),
    ];
    let ran = ping(&names, &zones.map(|(zone, ..)| zone), &[]);
    // What lists say is evidence: the server took us.
    let listings = &ran.answered().only().evidence.blocklists;
    let found: Vec<_> = listings
        .iter()
        .map(|it| (it.list.as_str(), standing(it)))
        .collect();
    assert_eq!(
        found,
        zones.map(|(zone, standing, _)| (zone, standing.to_owned()))
    );
    for (listing, (zone, _, words)) in listings.iter().zip(zones) {
        let text = listing.text.as_deref().unwrap_or_default();
        assert!(text.contains(words), "{zone}: {text:?}");
        assert_eq!(listing.address, Some([192, 0, 2, 7].into()));
    }
    assert_eq!(
        listings[0].answers,
        [[127, 0, 0, 2]].map(std::net::Ipv4Addr::from)
    );
}

#[test]
fn people_read_what_lists_say() {
    let names = table(&[("listed.test", listed([127, 0, 0, 2], "see there"))]);
    let server = Part::of(Tongue::Smtp).play();
    let dns = names.address.to_string();
    let ran = shown(&[
        &server.target(),
        "--dns",
        &dns,
        "--sending-address=192.0.2.7",
        "--dnsbl=listed.test",
        "--dnsbl=clean.test",
    ]);
    assert!(
        ran.stdout
            .contains("listed.test: 192.0.2.7 is on it (127.0.0.2) see there"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("clean.test: 192.0.2.7 is not on it"),
        "{}",
        ran.stdout
    );
}

#[test]
fn an_ipv6_address_is_asked_about_in_nibbles() {
    let name = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.listed.test";
    let names = NameServer::start(&[(name, listed([127, 0, 0, 2], ""))]);
    let server = Part::of(Tongue::Smtp).play();
    let ran = pinged(&[
        &server.target(),
        "--dns",
        &names.address.to_string(),
        "--dnsbl=listed.test",
        "--sending-address=2001:db8::7",
    ]);
    assert_eq!(
        standing(&ran.answered().only().evidence.blocklists[0]),
        "listed"
    );
}

#[test]
fn a_private_address_is_not_asked_about() {
    let names = table(&[]);
    let server = Part::of(Tongue::Smtp).play();
    let dns = names.address.to_string();
    let ran = pinged(&[&server.target(), "--dns", &dns, "--dnsbl=clean.test"]);
    let listing = &ran.answered().only().evidence.blocklists[0];
    assert_eq!(standing(listing), "unknown");
    assert!(
        listing.text.as_ref().unwrap().contains("sending_address"),
        "{listing:?}"
    );
    assert_eq!(names.asked_for("1.0.0.127.clean.test"), 0);
}

#[test]
fn a_dead_name_server_costs_five_seconds_and_tells_nothing() {
    let names = table(&[("one.test", Says::Silence), ("two.test", Says::Silence)]);
    let ran = ping(&names, &["one.test", "two.test"], &[]);
    let listings = &ran.answered().only().evidence.blocklists;
    assert!(
        listings.iter().all(|it| standing(it) == "unknown"),
        "{listings:?}"
    );
    ran.within(Duration::from_secs(8));
    assert!(ran.only().round_trip_ms.unwrap() < 1000.0);
}

#[test]
fn a_list_is_asked_once_however_many_visits_there_are() {
    let names = table(&[("listed.test", listed([127, 0, 0, 2], "see there"))]);
    let ran = ping(
        &names,
        &["listed.test", "clean.test"],
        &["-n5", "--interval=10ms"],
    );
    assert_eq!(ran.probes.len(), 5);
    assert!(
        ran.probes
            .iter()
            .all(|it| standing(&it.evidence.blocklists[0]) == "listed")
    );
    for zone in ["listed.test", "clean.test"] {
        assert_eq!(names.asked_for(&format!("{OURS}.{zone}")), 1, "{zone}");
    }
}

/// Routes are visited side by side, and the answer takes its time.
#[test]
fn a_list_is_asked_once_by_all_routes_of_a_check() {
    let slow = Says::Late(
        Duration::from_millis(300),
        Box::new(listed([127, 0, 0, 2], "")),
    );
    let names = table(&[("listed.test", slow)]);
    let server = Part::of(Tongue::Smtp).play();
    let routes = ["one", "two", "three", "four", "five"]
        .map(|name| format!("[routes.{name}]\nkind = \"ping\"\ngateway = \"edge\"\n"))
        .concat();
    let dns = format!(
        "[dns]\nservers = [\"{}\"]\nblocklists = [\"listed.test\"]\nsending_address = \"192.0.2.7\"\n",
        names.address
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("mailrobin.toml"),
        format!(
            "{dns}[gateways.edge]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n{routes}",
            server.address.port()
        ),
    )
    .unwrap();
    let ran = check(&dir, &[]);
    assert_eq!((ran.exit, ran.probes.len()), (Some(0), 5), "{ran:#?}");
    assert!(
        ran.probes
            .iter()
            .all(|it| standing(&it.evidence.blocklists[0]) == "listed")
    );
    assert_eq!(names.asked_for(&format!("{OURS}.listed.test")), 1);
}

/// The server's word counts, and what the lists say of us stands beside it.
#[test]
fn a_list_that_is_named_and_one_that_is_asked_stand_together() {
    let names = table(&[("listed.test", listed([127, 0, 0, 2], "see there"))]);
    let refusal = "554 5.7.1 Client host [192.0.2.7] blocked using zen.spamhaus.org";
    let server = Part::of(Tongue::Smtp).at("banner", say(refusal)).play();
    let dns = names.address.to_string();
    let ran = pinged(&[
        &server.target(),
        "--dns",
        &dns,
        "--sending-address=192.0.2.7",
        "--dnsbl=listed.test",
    ]);
    assert_eq!((ran.exit, ran.only().code), (Some(2), Code::Blocklisted));
    let mut found: Vec<_> = ran
        .only()
        .evidence
        .blocklists
        .iter()
        .map(standing)
        .collect();
    found.sort();
    assert_eq!(found, ["listed", "named"]);
    ran.says(&["listed.test"]);
}
