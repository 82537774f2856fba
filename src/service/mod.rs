//! Keeps testing: what is due when, how each test stands, who is told, and where that can be asked.

pub mod alert;
pub mod api;
pub mod daemon;
mod keeper;
pub mod metrics;
pub mod notify;
pub mod schedule;
pub mod status;
