//! mailrobin proves that mail really gets through.
