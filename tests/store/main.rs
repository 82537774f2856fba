//! The history through its public door: what is given to it comes back, in this process and after a crash, a full disk
//! and a damaged file.

// Blocking is no harm here.
#![allow(clippy::disallowed_methods)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod batches;
mod bed;
mod crash;
mod damage;
mod days;
mod disk;
mod flights;
mod kinds;
mod opening;
mod probes;
mod prune;
mod recount;
