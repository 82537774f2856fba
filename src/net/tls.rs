//! TLS as a client: one crypto provider for the whole program, verification on unless the config turns it off.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WantsClientCert, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct,
    Error as RustlsError, RootCertStore, SignatureScheme, WantsVerifier,
};

use super::certificate;
use super::stream::TlsSession;
use crate::config::plan::{ClientCertificate, Trust};
use crate::probe::visit::TlsFacts;

/// So many certificates of a chain are kept.
const MOST_SHOWN: usize = 10;

/// The one crypto provider.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(
        PROVIDER.get_or_init(|| Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())),
    )
}

/// Makes TLS sessions under one [`Trust`]. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    witness: Option<Arc<Witness>>,
}

impl Tls {
    /// A client for this trust, which shows this certificate to whoever asks for one.
    pub fn new(trust: &Trust, client: Option<&ClientCertificate>) -> Self {
        Self::showing(trusting(trust), client)
    }

    /// A client that lets itself be asked what it was shown. `lenient`: what does not verify is noted and no failure.
    pub fn witnessing(
        trust: &Trust,
        lenient: bool,
        client: Option<&ClientCertificate>,
    ) -> (Self, Arc<Witness>) {
        let witness = Arc::new(Witness {
            trust: trust.clone(),
            verifier: OnceLock::new(),
            thorough: OnceLock::new(),
            lenient,
            seen: Mutex::default(),
        });
        let builder = building().dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::<Witness>::clone(&witness));
        let tls = Self {
            witness: Some(Arc::clone(&witness)),
            ..Self::showing(builder, client)
        };
        (tls, witness)
    }

    /// Reads the authorities now, where that was put off until a certificate has to be verified: it takes milliseconds.
    pub fn make_ready(&self) {
        if let Some(witness) = &self.witness {
            witness.verifier();
        }
    }

    fn showing(
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        client: Option<&ClientCertificate>,
    ) -> Self {
        // Certificate and key were checked when the plan was made.
        let config = match client.and_then(identity) {
            Some((chain, key)) => builder.clone().with_client_auth_cert(chain, key).ok(),
            None => None,
        };
        let config = config.unwrap_or_else(|| builder.with_no_client_auth());
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            witness: None,
        }
    }

    /// The handshake.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the host name is not one TLS can verify",
            )
        })?;
        self.connector.connect(name, tcp).await
    }
}

/// What a client needs that speaks TLS by itself, for this trust.
pub fn client_config(trust: &Trust) -> ClientConfig {
    trusting(trust).with_no_client_auth()
}

fn trusting(trust: &Trust) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    match trust {
        Trust::System | Trust::Also(_) => building().with_root_certificates(roots(trust)),
        Trust::Anybody => building()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified)),
    }
}

pub(super) fn building() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| ClientConfig::builder())
}

/// The authorities that certificates are held against.
pub(super) fn roots(trust: &Trust) -> Arc<RootCertStore> {
    with_own(system_roots(), trust)
}

/// The same, as far as the system's bundle has them: to read every file of its folder takes milliseconds.
fn bundled_roots(trust: &Trust) -> Option<Arc<RootCertStore>> {
    let bundle = openssl_probe::probe().cert_file?;
    let found = rustls_native_certs::load_certs_from_paths(Some(&bundle), None);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Some(with_own(Arc::new(roots), trust))
}

/// The system's authorities, and those that the config adds.
fn with_own(system: Arc<RootCertStore>, trust: &Trust) -> Arc<RootCertStore> {
    match trust {
        Trust::System | Trust::Anybody => system,
        Trust::Also(pem) => {
            let mut roots = RootCertStore::clone(&system);
            // Checked when the plan was made; a certificate that does not parse is not trusted.
            roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(pem.as_bytes()).flatten(),
            );
            Arc::new(roots)
        }
    }
}

pub(super) fn identity(
    client: &ClientCertificate,
) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(client.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(client.key.expose_secret().as_bytes());
    Some((chain.collect::<Result<_, _>>().ok()?, key.ok()?))
}

/// The system's roots, read once: it takes milliseconds.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 || !found.errors.is_empty() {
            tracing::debug!(ignored, errors = ?found.errors, "some of the system's certificates cannot be used");
        }
        Arc::new(roots)
    }))
}

/// Whether a session broke because the server wanted a certificate of ours and got none that it trusts.
pub fn wants_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(RustlsError::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
        ))
    )
}

/// An error in its own words, without where a library sends its programmers to read on.
pub fn told(error: &dyn Error) -> String {
    let said = error.to_string();
    let advice = said.find("https://docs.rs/").unwrap_or(said.len());
    let said = said.get(..advice).unwrap_or_default();
    said.trim_end_matches([':', '\n', ' ']).to_owned()
}

/// What a failed handshake means, and what to do.
pub fn explain(error: &io::Error) -> (String, &'static str) {
    let inner = error.get_ref();
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return (
            "the peer closed the connection during the handshake".into(),
            "the peer may not speak TLS on this port; its log says why it hung up",
        );
    }
    match inner.and_then(|inner| inner.downcast_ref::<RustlsError>()) {
        Some(error) => described(error),
        None => (
            told(error),
            "the peer may not speak TLS on this port, or may have closed the connection",
        ),
    }
}

fn described(error: &RustlsError) -> (String, &'static str) {
    let remedy = match error {
        RustlsError::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired: renew it"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: check both clocks"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name: set `host` to a name it is for"
            }
            CertificateError::UnknownIssuer => {
                "its issuer is not trusted here: name the authority's certificate in `ca_file`"
            }
            _ => "look at the server's certificate: `openssl s_client` shows it",
        },
        RustlsError::AlertReceived(AlertDescription::ProtocolVersion)
        | RustlsError::PeerIncompatible(_) => {
            "the peer offers no TLS version or cipher that is safe today (1.2 or 1.3 is needed)"
        }
        RustlsError::InvalidMessage(_) => {
            "the peer does not speak TLS here: check `port` and `tls`"
        }
        _ => "look at the peer's TLS configuration",
    };
    let what = match error {
        RustlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            match i64::try_from(not_after.as_secs()).map(jiff::Timestamp::from_second) {
                Ok(Ok(expired)) => format!("its certificate expired at {expired}"),
                _ => error.to_string(),
            }
        }
        _ => error.to_string(),
    };
    (what, remedy)
}

/// Accepts any certificate, but still checks that the peer holds its key.
#[derive(Debug)]
pub(super) struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = provider().signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = provider().signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Verifies as usual, and remembers what it was shown and what came of it.
#[derive(Debug)]
pub struct Witness {
    trust: Trust,
    /// Holds a certificate against the system's bundle. `None`: nothing is verified, or there is no bundle.
    verifier: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    /// Holds it against all that the system trusts; asked where the bundle does not know the issuer.
    thorough: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
    lenient: bool,
    seen: Mutex<Testimony>,
}

/// What a server showed.
#[derive(Debug, Default)]
struct Testimony {
    /// Its certificates, its own first; none: it has shown none.
    chain: Vec<CertificateDer<'static>>,
    /// Why they do not verify.
    problem: Option<String>,
}

pub(super) fn verifier(roots: Arc<RootCertStore>) -> Option<Arc<WebPkiServerVerifier>> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
    verifier.build().ok()
}

impl Witness {
    fn verifier(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let built = self.verifier.get_or_init(|| {
            if self.trust == Trust::Anybody {
                return None;
            }
            bundled_roots(&self.trust).and_then(verifier)
        });
        built.as_ref()
    }

    fn thorough(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        let built = self.thorough.get_or_init(|| verifier(roots(&self.trust)));
        built.as_ref()
    }

    /// What the last handshake showed, and the session it led to; `None` where no certificate was shown.
    pub fn facts(&self, session: Option<TlsSession>) -> Option<TlsFacts> {
        let seen = self.seen.lock();
        let seen = seen.unwrap_or_else(PoisonError::into_inner);
        (!seen.chain.is_empty()).then(|| TlsFacts {
            protocol: session.map(|session| session.version.to_owned()),
            cipher: session.map(|session| session.cipher.to_owned()),
            chain: seen.chain.iter().map(certificate::read).collect(),
            problem: seen.problem.clone(),
        })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let verify = |verifier: Option<&Arc<WebPkiServerVerifier>>| match verifier {
            Some(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let verified = match &self.trust {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::System | Trust::Also(_) => match verify(self.verifier()) {
                Err(RustlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                    verify(self.thorough())
                }
                verified => verified,
            },
        };
        let shown = std::iter::once(end_entity).chain(intermediates);
        let testimony = Testimony {
            chain: shown
                .take(MOST_SHOWN)
                .map(|it| it.clone().into_owned())
                .collect(),
            problem: verified.as_ref().err().map(|error| {
                let (what, remedy) = described(error);
                let what = what.trim_start_matches("invalid peer certificate: ");
                format!("{what} — {remedy}")
            }),
        };
        let seen = self.seen.lock();
        *seen.unwrap_or_else(PoisonError::into_inner) = testimony;
        if self.lenient {
            return Ok(ServerCertVerified::assertion());
        }
        verified
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_send_people_to_a_library() {
        let cut = "peer closed connection without sending TLS close_notify: \nhttps://docs.rs/rustls/x#unexpected-eof";
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, cut);
        assert_eq!(
            told(&cut),
            "peer closed connection without sending TLS close_notify"
        );
        assert_eq!(told(&io::Error::other("as it is: a")), "as it is: a");
    }
}
