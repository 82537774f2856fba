//! A certificate of our own: served, and known again by whoever has it too.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, ServerConfig,
    SignatureScheme,
};

use super::tls::{Unverified, building, client_config, identity, provider, roots, verifier};
use crate::config::plan::{ClientCertificate, Trust};

/// What a server needs that shows this certificate and speaks HTTP/1.1.
pub fn serving(certificate: &ClientCertificate) -> Result<Arc<ServerConfig>, RustlsError> {
    let (chain, key) = identity(certificate)
        .ok_or_else(|| RustlsError::General("the certificate or its key is damaged PEM".into()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a client needs that trusts whoever holds the key of this certificate, by whatever name it is reached; everybody
/// else as `trust` says.
pub fn knowing(certificate: &ClientCertificate, trust: &Trust) -> ClientConfig {
    let own = identity(certificate).and_then(|(chain, _)| chain.into_iter().next());
    let others = verifier(roots(trust));
    match (own, trust) {
        (Some(own), Trust::System | Trust::Also(_)) => building()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Knowing { own, others }))
            .with_no_client_auth(),
        (None, _) | (_, Trust::Anybody) => client_config(trust),
    }
}

/// Knows one certificate, and holds any other against the authorities.
#[derive(Debug)]
struct Knowing {
    own: CertificateDer<'static>,
    others: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Knowing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        // That the peer has the key to it, its signature of the handshake proves.
        if *end_entity == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(others) = &self.others else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Unverified.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Unverified.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Unverified.supported_verify_schemes()
    }
}
