//! What a config can say of a gateway: a domain and its exchangers, several addresses, the envelope, pipelining, a
//! certificate of our own. Played with the program itself against name servers and gateways in this process.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
// Every test has loopback addresses of its own, which only Linux gives without being asked.
#![cfg(all(feature = "lab", target_os = "linux"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod addresses;
mod certificates;
mod dns;
mod each;
mod envelope;
mod exchangers;
#[path = "../scenarios/lab.rs"]
#[expect(dead_code, reason = "the scenarios look at more of it")]
mod lab;
mod maildrop;
mod peer;
mod ping_faults;
mod ping_lists;
mod ping_logins;
mod ping_mailbox;
mod ping_names;
mod ping_peer;
mod ping_routes;
mod ping_run;
mod ping_steps;
mod ping_tls;
mod pipelining;
mod pop3_cleanup;
mod sessions;
mod stage;
mod tls;
