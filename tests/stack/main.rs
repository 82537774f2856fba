//! `mailrobin check` against a real Postfix and Dovecot, started by the script `stack` beside this file.
//!
//! The packages are installed by `stack install`, which `tests/run` calls; these tests install nothing.
//!
//! One set of servers serves the whole binary; a test that stops them or counts messages starts its own. Where this
//! machine cannot run them, every test says `SKIPPED` and passes; with `MAILROBIN_STACK=required` it fails instead.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod check;
mod imap;
mod proxy;
mod servers;

mod blindness;
mod cleanup;
mod delays;
mod economy;
mod encryption;
mod fates;
mod foreign;
mod interruption;
mod logins;
mod outages;
mod pop3;
mod reports;
mod round_trip;
mod secrets;
