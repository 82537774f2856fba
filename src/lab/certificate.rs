//! The lab's certificates: an authority of its own, a good leaf for localhost, and an expired one.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

/// Certificates that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the lab's certificates: {0}")]
pub struct CertificateError(String);

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        CertificateError(error.to_string())
    }
}

impl From<rustls::Error> for CertificateError {
    fn from(error: rustls::Error) -> Self {
        CertificateError(error.to_string())
    }
}

pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) valid: TlsAcceptor,
    pub(crate) expired: TlsAcceptor,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "mail lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        // Fixed years keep the clock out of it; the authority lives as long as this process.
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = date_time_ymd(2045, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let authority = Issuer::new(params, key);
        Ok(Certificates {
            ca_pem: certificate.pem(),
            valid: acceptor(&authority, certificate.der(), 2045)?,
            expired: acceptor(&authority, certificate.der(), 2020)?,
        })
    }
}

fn acceptor(
    authority: &Issuer<'_, KeyPair>,
    authority_der: &CertificateDer<'static>,
    until_year: i32,
) -> Result<TlsAcceptor, CertificateError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    let chain = vec![certificate.der().clone(), authority_der.clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
