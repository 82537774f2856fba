//! The `mailrobin` command.
fn main() {}
