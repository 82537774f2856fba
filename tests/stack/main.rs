//! `mailrobin check` against a real Postfix and Dovecot, started by the script `stack` beside this file, and against a
//! real Exim and Cyrus (`family.rs`), started by the script `family`.
//!
//! The packages are fetched by `stack install` and `family install`, which `tests/run` calls; these tests install
//! nothing.
//!
//! One set of servers of a kind serves the whole binary; a test that stops them or counts messages starts its own. Where
//! this machine cannot run them, every test says `SKIPPED` and passes; with `MAILROBIN_STACK=required` it fails instead
//! (`MAILROBIN_STACK=stack`: only the tests against Postfix and Dovecot do).
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
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
mod family;
mod fates;
mod filters;
mod foreign;
mod interruption;
mod logins;
mod outages;
mod ping;
mod pop3;
mod reports;
mod round_trip;
mod secrets;
mod service;
