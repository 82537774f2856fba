//! The lab as its clients see it: over real sockets, by raw bytes and by Python's mail modules.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![cfg(feature = "lab")]

mod abuse;
mod client;
mod filter_actions;
mod filter_scan;
mod gateway_faults;
mod letter;
mod mailbox;
mod mailbox_faults;
mod message_faults;
mod python;
mod round_trip;
mod throughput;
