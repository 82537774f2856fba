//! Keeps testing: what is due when, how each test stands, who is told, and where that can be asked.

pub mod api;
pub mod metrics;
pub mod notify;
pub mod status;
