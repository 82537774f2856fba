//! mailrobin proves that mail really gets through: it submits a tagged test message to an SMTP gateway, watches an IMAP
//! or POP3 mailbox for the copy that comes back, times the round trip by phase and judges it.
//!
//! Data flows one way, in the order of the rooms below; a room uses only rooms above it.
//!
//! ```text
//! config ─► Plan ─► probe: tag + payload ─► message ─► smtp ──► gateway … mailbox ─► sightings ─► judge ─► Record ─► store ─► report, service
//!                                            engine joins the two halves; its ledger owns what is in flight
//! ```
//!
//! The lab stands apart: a mail stack for demos and tests, which sees bytes off the wire like any other.

// Tests may wait.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod clock;
pub mod duration;
pub mod files;
pub mod mime;
pub mod pattern;
pub mod probe;
pub mod program;
pub mod text;

pub mod config;

pub mod judge;

pub mod net;
pub mod smtp;

pub mod mailbox;

pub mod store;

pub mod engine;

pub mod report;

pub mod service;

#[cfg(feature = "lab")]
pub mod lab;

pub mod cli;
