//! One file an output, all over the same records. Every writer matches every outcome and verdict: a new one breaks the
//! build, not a report.

pub mod document;
pub mod human;
pub mod json;
pub mod matrix;
pub mod ping;
