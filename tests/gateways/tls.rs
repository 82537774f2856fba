//! Certificates for gateways and for those who come to them.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Signs for both sides.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::called("tests")
    }

    /// Two of one name are hard to tell apart.
    pub(crate) fn called(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server of these names; `demands`: only for clients that show a certificate of ours.
    pub(crate) fn server(&self, names: &[&str], demands: bool) -> Arc<ServerConfig> {
        self.serving(self.signed(names), demands)
    }

    /// A server whose certificate is valid between these days, counted from today.
    pub(crate) fn server_valid(&self, names: &[&str], days: (i64, i64)) -> Arc<ServerConfig> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let day = |from_today| {
            let day = today.checked_add(Span::new().days(from_today)).unwrap();
            let (month, of_month) = (day.month().unsigned_abs(), day.day().unsigned_abs());
            date_time_ymd(day.year().into(), month, of_month)
        };
        let mut params = params(names);
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        let key = KeyPair::generate().unwrap();
        self.serving((params.signed_by(&key, &self.issuer).unwrap(), key), false)
    }

    /// A server that has signed its certificate itself.
    pub(crate) fn server_alone(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        self.serving((params(names).self_signed(&key).unwrap(), key), false)
    }

    /// A server whose certificate is of a subject with this name.
    pub(crate) fn server_called(&self, names: &[&str], subject: &str) -> Arc<ServerConfig> {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, subject);
        let key = KeyPair::generate().unwrap();
        self.serving((params.signed_by(&key, &self.issuer).unwrap(), key), false)
    }

    fn serving(
        &self,
        (certificate, key): (rcgen::Certificate, KeyPair),
        demands: bool,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if demands {
            let mut roots = RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Arc::new(
            builder
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap(),
        )
    }

    /// A client's certificate and its key, as PEM.
    pub(crate) fn client(&self) -> (String, String) {
        let (certificate, key) = self.signed(&["client.example"]);
        (certificate.pem(), key.serialize_pem())
    }

    fn signed(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names).signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
}
