//! What came back of an HTTP request, or why nothing did: what it is worth, in words, and what to do about it.

use std::io;
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use tokio_rustls::rustls::{CertificateError, Error as RustlsError};

use super::error::{Again, DeliveryError};
use super::hidden::Hidden;
use super::http::origin;
use crate::clock::Stamp;
use crate::net::tls;
use crate::net::web::{cause, io_error};
use crate::probe::date::moment;
use crate::text::{cut, line};

/// So much of an answer is read.
const BODY_LIMIT: usize = 4096;
/// So much of an answer is shown, in bytes.
const SHOWN: usize = 200;
/// No peer is left alone longer because it says so.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Reads as much of a body as is looked at; it may end in the middle.
pub(super) async fn read(response: &mut Response, body: &mut Vec<u8>) {
    while body.len() < BODY_LIMIT {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The first words of an answer's body.
pub(super) fn words(body: &[u8], hidden: &Hidden) -> String {
    let (body, _) = body.split_at(body.len().min(BODY_LIMIT));
    let said = hidden.strip(&String::from_utf8_lossy(body));
    let said: Vec<_> = said.split_whitespace().collect();
    cut(&line(&said.join(" ")), SHOWN).into_owned()
}

/// What an answer is worth.
pub(super) fn judged(response: &Response, on: &str, words: &str) -> Result<String, DeliveryError> {
    let status = response.status();
    let mut said = status.as_u16().to_string();
    for more in [status.canonical_reason().unwrap_or_default(), words] {
        if !more.is_empty() {
            let link = if said.len() == 3 { " " } else { ": " };
            said.push_str(link);
            said.push_str(more);
        }
    }
    if status.is_success() {
        return Ok(said);
    }
    let (again, remedy) = meaning(status);
    let again = retry_after(response.headers(), Stamp::now()).map_or(again, Again::After);
    let mut what = format!("{on}: {said}");
    if let Some(place) = elsewhere(response) {
        what = format!("{what}, which points to {place}");
    }
    Err(DeliveryError {
        what,
        remedy,
        again,
    })
}

/// Where a redirect leads; the rest of that URL may be a secret.
fn elsewhere(response: &Response) -> Option<String> {
    let to = response.headers().get(LOCATION)?.to_str().ok()?;
    let to = response.url().join(to).ok()?;
    response
        .status()
        .is_redirection()
        .then(|| line(&origin(&to)))
}

/// Whether an answer may be another soon, and what to do about it.
fn meaning(status: StatusCode) -> (Again, &'static str) {
    match status.as_u16() {
        300..=399 => (
            Again::Seldom,
            "redirects are not followed: put the final address into `url`",
        ),
        401 | 403 => (
            Again::Seldom,
            "it does not know us: check the token in `url` or `headers`",
        ),
        404 | 410 => (
            Again::Seldom,
            "check the path of `url`: the hook may have been taken away there",
        ),
        407 => (
            Again::Seldom,
            "check the login in HTTPS_PROXY or HTTP_PROXY",
        ),
        408 | 425 => (Again::Soon, "it is tried again"),
        429 => (
            Again::Soon,
            "it is told too much: tried again later; `min_severity` and `remind_every` make it less",
        ),
        500.. => (Again::Soon, "the trouble is the server's: look at its logs"),
        _ => (
            Again::Seldom,
            "the server does not take this: check `url`, `headers` and `body`",
        ),
    }
}

/// How long the peer wants to be left alone (RFC 9110 §10.2.3), within reason.
fn retry_after(headers: &HeaderMap, now: Stamp) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match said.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::try_from(moment(said)?.duration_since(now.wall)).ok()?,
    };
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// Why no answer came, and what to do about it.
pub(super) fn broken(error: &reqwest::Error) -> (String, &'static str) {
    if let Some(error) = io_error(error) {
        return match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(RustlsError::InvalidMessage(_)) => (
                tls::told(error),
                "no TLS is spoken there: check scheme and port of `url`",
            ),
            Some(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => (
                tls::told(error),
                "the certificate is for another name: put one that it is for into `url`",
            ),
            Some(_) => tls::explain(error),
            None if error.kind() == io::ErrorKind::ConnectionRefused => (
                tls::told(error),
                "nothing listens there: check host and port of `url`, and that the server runs",
            ),
            None => (
                tls::told(error),
                "check `url`, and the network between here and there",
            ),
        };
    }
    let remedy = if error.is_timeout() {
        "the host is down, or a firewall drops the packets"
    } else if error.is_connect() {
        "check `url`, the proxy if there is one, and that the name is known here"
    } else {
        "what came back is no HTTP: check scheme and port of `url`"
    };
    (line(&cause(error)), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_asked_for_is_a_number_or_a_date_and_an_hour_at_most() {
        let now = Stamp {
            wall: "2026-01-01T00:00:00Z".parse().unwrap(),
            ..Stamp::now()
        };
        for (said, seconds) in [
            ("120", Some(120)),
            ("99999999", Some(3600)),
            ("Thu, 01 Jan 2026 00:01:30 GMT", Some(90)),
            ("Thu, 01 Jan 2099 00:00:00 GMT", Some(3600)),
            ("Thu, 01 Jan 2015 00:00:00 GMT", None),
            ("soon", None),
            ("-5", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{said}");
        }
    }
}
