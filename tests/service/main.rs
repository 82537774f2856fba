//! `mailrobin run` as a whole: the real program against the lab, through wires that can stop it, kill it or cut it off at
//! a named moment. What it did is read from its history, from the mailbox, and from what the wires heard.
// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![cfg(feature = "lab")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod bed;
mod dice;
mod history;
mod http;
mod letterbox;
mod post;
mod robin;
mod wire;

mod absence;
mod clocks;
mod ending;
mod endurance;
mod files;
mod kills;
mod load;
mod offline;
mod soak;
mod triggers;
mod trouble;
