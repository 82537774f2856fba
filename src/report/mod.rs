//! One file an output, all over the same records. Every writer matches every outcome and verdict: a new one breaks the
//! build, not a report.

pub(crate) mod account;
pub mod document;
pub mod github;
pub mod history;
pub mod human;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod nagios;
pub mod ping;
pub mod probes;
mod table;
pub mod tap;
