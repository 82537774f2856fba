//! The API of the service, over real HTTP on this machine: a service that says what the test prepared, a history that the
//! test wrote, clients that behave and clients that do not, and `mailrobin status` in front of it all. Nothing here is
//! measured in time: every test waits for what must come.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod act;
mod command;
mod docs;
mod gauges;
mod guard;
mod history;
mod hostile;
mod look;
mod metrics;
mod openmetrics;
mod places;
mod stage;
#[cfg(feature = "lab")]
mod tls;
