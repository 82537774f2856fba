//! Whom a session trusts, and the certificate that we show.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::reader::Reader;
use crate::config::file::{At, Text};
use crate::config::plan::{ClientCertificate, Security, Trust};
use crate::files::{self, PEM_LIMIT};

impl Reader<'_> {
    pub(super) fn trust(
        &mut self,
        (inline, file): (Option<&Text>, Option<&Text>),
        verify: Option<&At<bool>>,
        security: Security,
    ) -> Trust {
        let pem = match (inline, file) {
            (Some(inline), None) => {
                Some((inline.value().clone(), inline.span(), "`ca`".to_owned()))
            }
            (None, Some(file)) => {
                let path = self.folder.join(file.value());
                match files::read_text(&path, PEM_LIMIT) {
                    Ok(pem) => Some((pem, file.span(), path.display().to_string())),
                    Err(error) => {
                        self.wrong(
                            file.span(),
                            format!("cannot read {}: {error}", path.display()),
                            None,
                        );
                        None
                    }
                }
            }
            (Some(_), Some(file)) => {
                self.wrong(file.span(), "give either `ca` or `ca_file`, not both", None);
                None
            }
            (None, None) => None,
        };
        let verifies = matches!(security, Security::Starttls | Security::Implicit);
        if let Some(verify) = verify.filter(|verify| !*verify.value()) {
            if verifies {
                let message = "the server's certificate is not verified: anybody can stand between";
                let help = "name its authority in `ca_file` instead";
                self.found.warn(verify.span(), message, Some(help.into()));
            }
            return Trust::Anybody;
        }
        let Some((pem, span, place)) = pem else {
            return Trust::System;
        };
        Trust::also(pem.as_str(), &place).unwrap_or_else(|wrong| {
            let help = "it must hold one or more PEM certificates: -----BEGIN CERTIFICATE-----";
            self.wrong(span, wrong, Some(help));
            Trust::System
        })
    }

    /// The certificate that we show: both files, and the key is the certificate's.
    pub(super) fn certificate(
        &mut self,
        (chain_key, chain): (&str, Option<&Text>),
        (key_key, key): (&str, Option<&Text>),
    ) -> Option<Arc<ClientCertificate>> {
        let (chain, key) = match (chain, key) {
            (Some(chain), Some(key)) => (chain, key),
            (Some(one), None) | (None, Some(one)) => {
                let message = format!("`{chain_key}` and `{key_key}` go together");
                self.wrong(one.span(), message, None);
                return None;
            }
            (None, None) => return None,
        };
        let pem = self.pem(chain)?;
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let certificates: Vec<_> = certificates.collect::<Result<_, _>>().unwrap_or_default();
        if certificates.is_empty() {
            let message = format!("there is no certificate in {}", chain.value());
            self.wrong(chain.span(), message, None);
            return None;
        }
        let secret = SecretString::from(self.pem(key)?);
        let private = PrivateKeyDer::from_pem_slice(secret.expose_secret().as_bytes());
        let usable = private
            .ok()
            .and_then(|private| any_supported_type(&private).ok());
        let Some(usable) = usable else {
            let message = format!("there is no usable private key in {}", key.value());
            self.wrong(key.span(), message, None);
            return None;
        };
        if CertifiedKey::new(certificates, usable)
            .keys_match()
            .is_err()
        {
            let message = format!("this is not the key of the certificate in `{chain_key}`");
            self.wrong(key.span(), message, None);
            return None;
        }
        let files = [chain, key].map(|file| self.path(file.value()));
        Some(Arc::new(ClientCertificate {
            files,
            chain: pem,
            key: secret,
        }))
    }

    fn pem(&mut self, text: &At<String>) -> Option<String> {
        let path = self.folder.join(text.value());
        files::read_text(&path, PEM_LIMIT)
            .map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                self.wrong(text.span(), message, None);
            })
            .ok()
    }
}
