//! The API behind TLS.

use std::sync::Arc;

use mailrobin::config::plan::{ClientCertificate, Trust};
use mailrobin::net::{own, tls};
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::{Stage, patience};

/// A private authority, and a certificate of it for this name.
pub(crate) fn authority(name: &str) -> (String, ClientCertificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let certificate = ClientCertificate {
        files: Default::default(),
        chain: certificate.pem(),
        key: key.serialize_pem().into(),
    };
    (ca.pem(), certificate)
}

fn client(config: tokio_rustls::rustls::ClientConfig) -> Client {
    let client = Client::builder().tls_backend_preconfigured(config);
    client.no_proxy().build().unwrap()
}

#[tokio::test]
async fn who_trusts_the_authority_is_served_and_others_are_not() {
    let (ca, certificate) = authority("localhost");
    let service = Stage {
        tls: Some(own::serving(&certificate).unwrap()),
        ..Stage::default()
    };
    let service = service.start().await;
    let url = format!("https://localhost:{}/healthz", service.address.port());
    let trusting = client(tls::client_config(&Trust::Also(ca.as_str().into())));
    let answer = patience(trusting.get(&url).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let strange = client(tls::client_config(&Trust::System));
    assert!(patience(strange.get(&url).send()).await.is_err());

    let mut plain = tokio::net::TcpStream::connect(service.address)
        .await
        .unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut came = Vec::new();
    let _ = patience(plain.read_to_end(&mut came)).await;
    assert!(!came.starts_with(b"HTTP"), "it speaks TLS alone");
}

#[tokio::test]
async fn who_has_the_certificate_knows_it_by_any_name_and_no_other() {
    let (_, certificate) = authority("monitor.example.com");
    let service = Stage {
        tls: Some(own::serving(&certificate).unwrap()),
        ..Stage::default()
    };
    let service = service.start().await;
    let url = service.url("/healthz");
    let knowing = client(own::knowing(&certificate, &Trust::System));
    let answer = patience(knowing.get(&url).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (_, other) = authority("monitor.example.com");
    let mistaken = client(own::knowing(&other, &Trust::System));
    assert!(patience(mistaken.get(&url).send()).await.is_err());
}

#[tokio::test]
async fn a_certificate_without_its_key_is_not_served() {
    let (_, mut certificate) = authority("localhost");
    let (_, other) = authority("localhost");
    certificate.key = other.key;
    own::serving(&certificate).unwrap_err();
    certificate.key = "no PEM".into();
    own::serving(&Arc::new(certificate)).unwrap_err();
}
