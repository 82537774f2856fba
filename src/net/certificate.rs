//! Certificates, read as far as a person asks: whose, by whom, for which names, until when (RFC 5280).

use std::net::IpAddr;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::probe::visit::Certificate;

/// So many names of one certificate are kept.
const MOST_NAMES: usize = 50;

/// What a certificate says; one that cannot be read says nothing.
pub fn read(der: &CertificateDer<'_>) -> Certificate {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Certificate::default();
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|it| &it.value.general_names);
    Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names.filter_map(name).take(MOST_NAMES).collect(),
        not_before: timestamp(certificate.validity().not_before),
        not_after: timestamp(certificate.validity().not_after),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let ip = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = ip.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

fn timestamp(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}
