//! Why an HTTP request came to nothing.

use std::error::Error;
use std::io;

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

/// The innermost of the errors, in its own words: the outer ones say that a request failed, and name the URL.
pub fn cause(error: &reqwest::Error) -> String {
    let mut inner: &(dyn Error + 'static) = error;
    while let Some(deeper) = inner.source() {
        inner = deeper;
    }
    inner.to_string()
}
