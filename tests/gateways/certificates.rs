//! `client_cert` and `client_key`: a gateway that wants to see a certificate of ours.

use std::fs;

use mailrobin::probe::outcome::{Code, Outcome};

use crate::peer::{Script, Tls};
use crate::stage::{Ran, Stage};
use crate::tls::Authority;

const SHOWN: &str = "client_cert = \"client.pem\"\nclient_key = \"client.key\"\n";

/// A gateway that demands a certificate of `authority`, and a client with one of `client`'s, if it shows it.
fn play(
    secure: fn(std::sync::Arc<tokio_rustls::rustls::ServerConfig>) -> Tls,
    keys: &str,
    ours: bool,
) -> (Ran, usize) {
    let stage = Stage::set();
    let authority = Authority::new();
    let client = if ours {
        authority.client()
    } else {
        Authority::new().client()
    };
    let dir = stage.dir.path();
    fs::write(dir.join("ca.pem"), &authority.pem).unwrap();
    fs::write(dir.join("client.pem"), client.0).unwrap();
    fs::write(dir.join("client.key"), client.1).unwrap();
    let ip = stage.ip(1).to_string();
    let tls = secure(authority.server(&[&ip], true));
    let peer = stage.peer(1, Script::default().secured(tls));
    let keys = format!("host = \"{ip}\"\nca_file = \"ca.pem\"\n{keys}");
    (stage.check(&keys, None), peer.messages())
}

#[test]
fn a_gateway_that_demands_a_certificate_gets_it() {
    for (secure, tls) in [
        (Tls::Implicit as fn(_) -> _, "tls = \"implicit\""),
        (Tls::Starttls, "tls = \"starttls\""),
        (Tls::Starttls, "tls = \"opportunistic\""),
    ] {
        let (ran, messages) = play(secure, &format!("{SHOWN}{tls}"), true);
        assert_eq!((ran.exit, messages), (Some(0), 1), "{tls}: {ran:#?}");
        let probe = ran.only();
        assert_eq!(probe.outcome, Outcome::Delivered);
        assert_eq!(probe.smtp.as_ref().unwrap().tls.as_deref(), Some("TLSv1.3"));
    }
}

#[test]
fn without_a_certificate_or_with_another_it_is_not_let_in() {
    for (secure, tls) in [
        (Tls::Implicit as fn(_) -> _, "tls = \"implicit\""),
        (Tls::Starttls, "tls = \"starttls\""),
    ] {
        for (shown, ours) in [("", true), (SHOWN, false)] {
            let (ran, messages) = play(secure, &format!("{shown}{tls}"), ours);
            let probe = ran.only();
            assert_eq!(
                (ran.exit, probe.outcome, messages),
                (Some(2), Outcome::Unsent, 0),
                "{ran:#?}"
            );
            assert!(ran.took.as_secs() < 8, "it took {:?}", ran.took);
        }
    }
}

/// In TLS 1.3 the server refuses a certificate after the client has finished: the alert is read as the greeting.
#[test]
fn a_missing_certificate_is_told_from_a_server_that_does_not_greet() {
    for (secure, tls) in [
        (Tls::Implicit as fn(_) -> _, "tls = \"implicit\""),
        (Tls::Starttls, "tls = \"starttls\""),
    ] {
        let (ran, _) = play(secure, tls, true);
        let probe = ran.only();
        assert_eq!(probe.code, Code::TlsFailed, "{ran:#?}");
        assert!(
            probe.reason.to_lowercase().contains("certificate"),
            "{}",
            probe.reason
        );
    }
}
