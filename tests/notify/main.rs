//! How notices go out: webhooks against peers that do what a script says, programs, couriers, the heartbeat. Nothing here
//! is measured in time: every test waits for what must come.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod command;
mod courier;
mod heartbeat;
mod peer;
mod program;
mod proxy;
mod stage;
#[cfg(feature = "lab")]
mod tls;
mod webhook;
