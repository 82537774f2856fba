//! The engine joins the two halves: it sends, collects, and keeps one ledger of what is in flight. Time, tasks and
//! channels are here; what any of it means is decided by the ledger and the judge.

pub mod blocklists;
mod collect;
pub mod cycle;
mod flight;
pub mod kept;
pub mod ledger;
pub mod mint;
pub mod order;
pub mod pending;
pub mod ping;
pub mod ready;
pub mod run;
mod send;
mod settle;
pub mod traffic;
pub mod unstarted;
pub mod uplink;
