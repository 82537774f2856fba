//! The program as its users meet it: the command line, the config and its error messages, the documents it prints, and
//! the order of the rooms behind it all. Nothing here needs more than loopback.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod architecture;
mod bad_config;
mod bed;
mod colour;
mod commands;
mod examples;
mod explain;
mod files;
mod formats;
mod help;
mod history;
mod hostile_peers;
mod hostile_words;
mod init;
mod january;
mod keys;
mod lab;
mod limits;
mod looks;
mod patterns;
mod ping;
mod readme;
mod reports;
mod schema;
mod secrets;
mod service_config;
mod settle;
mod store;
mod time_limit;
mod uplink;
mod words;
mod writers;
