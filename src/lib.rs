//! mailrobin proves that mail really gets through.

#[cfg(feature = "lab")]
pub mod lab;
