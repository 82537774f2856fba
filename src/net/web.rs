//! Why an HTTP request came to nothing.

use std::error::Error;
use std::io;

use super::tls::told;

/// What the system said, or TLS, if it was one of them; of several, one in the other, the innermost.
pub fn io_error(error: &reqwest::Error) -> Option<&io::Error> {
    let mut error: &(dyn Error + 'static) = error.source()?;
    let mut found = loop {
        match error.downcast_ref::<io::Error>() {
            Some(found) => break found,
            None => error = error.source()?,
        }
    };
    while let Some(inner) = found.get_ref().and_then(|inner| inner.downcast_ref()) {
        found = inner;
    }
    Some(found)
}

/// The innermost of the errors, in its own words. The outermost is never told: it names the URL, which may be a secret.
pub fn cause(error: &reqwest::Error) -> String {
    let Some(mut inner) = error.source() else {
        return "the request cannot be made".into();
    };
    while let Some(deeper) = inner.source() {
        inner = deeper;
    }
    told(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_cause_does_not_tell_its_url() {
        let refused = axum::http::Response::builder()
            .status(404)
            .body("")
            .unwrap();
        let error = reqwest::Response::from(refused).error_for_status();
        let error = error.unwrap_err();
        assert!(error.source().is_none() && error.to_string().contains("://"));
        assert_eq!(cause(&error), "the request cannot be made");
    }
}
