//! How much may be said of what stopped a payload.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::*;
use crate::clock::Stamp;
use crate::config;
use crate::config::plan::Route;
use crate::judge::verdict::Close;
use crate::probe::evidence::Bounce;
use crate::probe::facts::{Attempt, Reply, Vantage};
use crate::probe::manifest::Manifest;
use crate::probe::message::compose;
use crate::probe::outcome::Phase;
use crate::probe::payload::{Payload, Sample};
use crate::probe::tag::{Instance, Signer};

const CONFIG: &str = r#"
[gateways.edge]
host = "mx.example"
[mailboxes.returns]
host = "imap.example"
username = "probe@monitor.example"
password = "secret"
[routes.inbound]
gateway = "edge"
mailbox = "returns"
from = "probe@monitor.example"
to = "echo@example.com"
"#;

fn route() -> &'static Route {
    static ROUTE: OnceLock<Arc<Route>> = OnceLock::new();
    ROUTE.get_or_init(|| {
        let (plan, _) = config::parse(CONFIG, "test", Path::new("")).unwrap();
        Arc::clone(plan.routes.values().next().unwrap())
    })
}

fn manifest(payload: Payload) -> Manifest {
    let signer = Signer::new(b"a family's key", Instance::named("berlin-1"));
    let date = "2026-01-02T03:04:05Z".parse().unwrap();
    let sample = Sample::of(payload);
    let draft = route().draft(&sample, signer.mint(date, [7; 7]), date);
    compose(&draft).unwrap().manifest
}

/// Where the filter said it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    AfterTheDot,
    AtRcpt,
    InABounce,
    Nowhere,
}

fn stopped(
    payload: Payload,
    place: Where,
    said: &str,
    twins: &[(&str, &str)],
) -> Option<StoppedBy> {
    let now = Stamp::now();
    let reply = |code: u16, text: &str| Reply {
        code,
        esc: [0; 3],
        raw: text.into(),
    };
    let (outcome, end) = match place {
        Where::AfterTheDot => (
            Outcome::Rejected,
            End::Refused(Phase::Data, reply(550, said)),
        ),
        Where::AtRcpt => (
            Outcome::Rejected,
            End::Refused(Phase::Rcpt, reply(550, said)),
        ),
        Where::InABounce => (Outcome::Bounced, End::Accepted(reply(250, "250 queued"))),
        Where::Nowhere => (Outcome::Missing, End::Accepted(reply(250, said))),
    };
    let bounce = Bounce {
        action: "failed".into(),
        diagnostic: Some(said.into()),
        ..Bounce::default()
    };
    let has_dot = place != Where::AtRcpt;
    let sample = Sample::of(payload);
    let case = Case {
        route: route(),
        sample: &sample,
        manifest: &manifest(payload),
        expect: payload.default_expect(),
        control: None,
        came_through: twins,
        attempts: &[Attempt {
            started: now,
            ended: now,
            kept: false,
            address: Some(SocketAddr::from(([192, 0, 2, 1], 25))),
            other: None,
            may_go_clear: false,
            tls: None,
            vantage: Vantage::Public,
            steps: Vec::new(),
            data_began: has_dot.then_some(now),
            dot: has_dot.then_some(now),
            end,
            transcript: Vec::new(),
        }],
        copies: &[],
        listings: &[],
        bounce: (place == Where::InABounce).then_some(&bounce),
        close: &Close::Settled,
    };
    stopped_by(&case, outcome)
}

const SIGNATURE: Option<StoppedBy> = Some(StoppedBy::Signature);
const POLICY: Option<StoppedBy> = Some(StoppedBy::Policy);
const UNKNOWN: Option<StoppedBy> = Some(StoppedBy::Unknown);

#[test]
fn the_words_of_filters_tell_what_stopped_it() {
    for (payload, said, by) in [
        // ClamAV's milter, amavis, Rspamd, Exim's malware condition, Exchange.
        (
            Payload::Eicar,
            "550 5.7.1 Virus found: Eicar-Signature",
            SIGNATURE,
        ),
        (
            Payload::Eicar,
            "554 5.7.1 virus Win.Test.EICAR_HDB-1 detected by ClamAV - http://www.clamav.net",
            SIGNATURE,
        ),
        (
            Payload::EicarZip,
            "554 5.7.0 Reject, id=00007-01 - INFECTED: Eicar-Test-Signature",
            SIGNATURE,
        ),
        (
            Payload::EicarNested,
            "554 5.7.1 clamav: virus found: \"Eicar-Signature\"",
            SIGNATURE,
        ),
        (
            Payload::EicarRenamed,
            "550 This message contains malware (EICAR_Test_File).",
            SIGNATURE,
        ),
        (Payload::Gtube, "554 5.7.1 Gtube pattern", SIGNATURE),
        (Payload::RspamdHeader, "554 5.7.1 Gtube pattern", SIGNATURE),
        (
            Payload::EicarCom,
            "552 5.7.0 Our system detected an illegal attachment: eicar.com has a type that is not allowed",
            POLICY,
        ),
        (
            Payload::EicarCom,
            "550 5.7.1 Message rejected: banned attachment name (eicar.com)",
            POLICY,
        ),
        (
            Payload::EicarCom,
            "550 BANNED: multipart/mixed | application/octet-stream,.asc,EICAR.COM",
            POLICY,
        ),
        (
            Payload::EicarZip,
            "550 5.7.1 file type of eicar.zip is prohibited",
            POLICY,
        ),
        (
            Payload::ExecutableName,
            "552 5.7.0 executable attachments are blocked",
            POLICY,
        ),
        (
            Payload::EicarEncryptedZip,
            "554 5.7.1 Heuristics.Encrypted.Zip",
            POLICY,
        ),
        (Payload::Eicar, "550 5.7.1 content refused", UNKNOWN),
        (Payload::Eicar, "550 5.7.1 eicar.txt refused", UNKNOWN),
        (Payload::Gtube, "554 5.7.1 Spam message rejected", UNKNOWN),
        // A virus scanner's word says nothing of a spam filter.
        (Payload::Gtube, "550 Eicar-Signature", UNKNOWN),
        (Payload::Eicar, "554 5.7.1 Gtube pattern", UNKNOWN),
    ] {
        for place in [Where::AfterTheDot, Where::InABounce] {
            assert_eq!(stopped(payload, place, said, &[]), by, "{payload}: {said}");
        }
    }
}

#[test]
fn what_is_dropped_without_a_word_or_refused_unseen_tells_nothing() {
    let said = "250 2.7.0 Ok, discarded, Eicar-Signature";
    assert_eq!(stopped(Payload::Eicar, Where::Nowhere, said, &[]), UNKNOWN);
    let said = "550 5.7.1 Eicar-Signature";
    assert_eq!(stopped(Payload::Eicar, Where::AtRcpt, said, &[]), None);
    assert_eq!(
        stopped(Payload::Plain, Where::AfterTheDot, said, &[]),
        None,
        "no filter is meant to stop it"
    );
}

#[test]
fn a_harmless_twin_that_came_through_rules_names_out() {
    let twin = [("eicar.txt", "application/octet-stream")];
    let other_type = [("eicar.txt", "text/plain")];
    let other_name = [("letter.txt", "application/octet-stream")];
    let said = "550 5.7.1 refused";
    for (twins, by) in [
        (&twin[..], SIGNATURE),
        (&other_type, UNKNOWN),
        (&other_name, UNKNOWN),
        (&[], UNKNOWN),
    ] {
        assert_eq!(
            stopped(Payload::EicarBase64, Where::AfterTheDot, said, twins),
            by
        );
    }
    assert_eq!(
        stopped(
            Payload::EicarBase64,
            Where::AfterTheDot,
            "550 banned",
            &twin
        ),
        POLICY,
        "the filter's own word weighs more"
    );
}

#[test]
fn the_name_of_a_file_in_an_archive_proves_no_scanner() {
    for (payload, said) in [
        (
            Payload::EicarZip,
            "550 BANNED: application/zip,.zip,eicar.zip | .asc,eicar.txt",
        ),
        (
            Payload::EicarTarGz,
            "550 BANNED: .gz,eicar.tar.gz | .tar,eicar.tar | .asc,eicar.txt",
        ),
        (
            Payload::EicarZipZip,
            "550 BANNED: .zip,archive.zip | .zip,eicar.zip | .asc,eicar.txt",
        ),
        (
            Payload::EicarEncryptedZip,
            "550 encrypted: eicar-encrypted.zip | eicar.txt",
        ),
    ] {
        assert_eq!(
            stopped(payload, Where::AfterTheDot, said, &[]),
            POLICY,
            "{payload}: {said}"
        );
    }
}
