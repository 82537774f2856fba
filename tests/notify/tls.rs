//! Webhooks over TLS: a private authority is trusted where the config names it, and nowhere else.

use std::sync::Arc;

use mailrobin::config::plan::{Alert, Channel};
use mailrobin::service::notify::deliver;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::peer::{Does, Peer};
use crate::stage::{alert, notice, patience, secret};

/// An authority of its own in PEM, and what serves with its certificate for this name.
fn authority(name: &str) -> (Arc<str>, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let leaf = CertificateParams::new([name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let chain = vec![leaf.signed_by(&key, &issuer).unwrap().der().clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (pem.into(), TlsAcceptor::from(Arc::new(config)))
}

fn hook(port: u16, ca: Option<Arc<str>>) -> Alert {
    let channel = Channel::Webhook {
        url: secret(&format!("https://localhost:{port}/s3cret")),
        headers: Vec::new(),
        body: None,
        ca,
    };
    alert("hook", channel)
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let (ca, tls) = authority("localhost");
    let peer = Peer::with(Some(tls), |_| Does::answers("200 OK", "ok")).await;
    let told = notice(1, "mail is down");
    let said = patience(deliver(&hook(peer.port, Some(ca)), &told)).await;
    assert_eq!(said, Ok("200 OK: ok".into()));
    let error = patience(deliver(&hook(peer.port, None), &told))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string().replace(&peer.port.to_string(), "PORT"),
        "POST https://localhost:PORT: invalid peer certificate: UnknownIssuer — \
         its issuer is not trusted here: name the authority's certificate in `ca_file`"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_and_a_server_without_tls_are_told_apart() {
    let told = notice(1, "mail is down");
    let (ca, tls) = authority("elsewhere.example");
    let peer = Peer::with(Some(tls), |_| Does::answers("200 OK", "ok")).await;
    let error = patience(deliver(&hook(peer.port, Some(ca)), &told))
        .await
        .unwrap_err();
    assert!(
        error
            .remedy
            .starts_with("the certificate is for another name"),
        "{error}"
    );
    assert!(peer.heard().is_empty());

    let plain = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    let answer = async {
        use tokio::io::AsyncWriteExt;
        let (mut tcp, _) = plain.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let alert = hook(port, None);
    let error = tokio::select! {
        said = patience(deliver(&alert, &told)) => said.unwrap_err(),
        () = answer => unreachable!(),
    };
    assert!(
        error.remedy.starts_with("no TLS is spoken there"),
        "{error}"
    );
}
