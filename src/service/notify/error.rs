//! Why a notice did not get through, and when to try again.

use std::time::Duration;

use thiserror::Error;

/// Why a notice did not get through. No secret is in it, not even where the peer quoted one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} — {remedy}")]
pub struct DeliveryError {
    /// What was tried, on what, and what came back.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// When to try again.
    pub again: Again,
}

/// When to try again. Never is not among it: a channel that is set up wrongly is mended by a person, and the notice is
/// still owed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Soon: it may be over in a moment.
    Soon,
    /// The peer asks to be left alone for so long.
    After(Duration),
    /// Now and then: as things stand it will fail again.
    Seldom,
}

impl DeliveryError {
    pub(super) fn soon(what: String, remedy: &'static str) -> Self {
        Self {
            what,
            remedy,
            again: Again::Soon,
        }
    }

    pub(super) fn seldom(what: String, remedy: &'static str) -> Self {
        Self {
            what,
            remedy,
            again: Again::Seldom,
        }
    }
}
