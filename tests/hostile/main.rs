//! Hostile peers: gateways and mailboxes that send too much, too slowly, garbage or lies. Against each the program must end
//! in time and within bounds of memory, without a panic, and say of the message what can be said and nothing more.
//!
//! `peer.rs` has the one server that plays them all, `stage.rs` puts the program in front of it and measures it,
//! `smtp.rs`, `imap.rs`, `pop3.rs` and `mime.rs` list the cases, `odd.rs` those of servers that are only unusual. `drive.rs` and `corpus.rs` replay what fuzzing has found.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that panics has failed, as it should, and tells what it did"
)]

mod corpus;
mod drive;
mod folders;
mod imap;
mod mailstore;
mod mime;
mod odd;
mod peer;
mod pop3;
mod smtp;
mod stage;

#[test]
fn every_hostile_peer_is_survived() {
    // The long ones come first.
    stage::play(&[mime::cases(), imap::cases(), pop3::cases(), smtp::cases()].concat());
}
