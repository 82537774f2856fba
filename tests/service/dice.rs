//! Chance that can be had again.

use std::env;
use std::io::{Write, stderr};
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers that depend on the first alone (xorshift64).
pub(crate) struct Dice(u64);

impl Dice {
    /// Starts with `MAILROBIN_SEED`, or else with any number, and prints which.
    pub(crate) fn cast(what: &str) -> (u64, Self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = number("MAILROBIN_SEED").unwrap_or(u64::from(now.subsec_nanos()) + 1);
        // Not by `eprintln!`, whose words are hidden in a test that passes.
        let said = format!("{what}: MAILROBIN_SEED={seed}\n");
        stderr().write_all(said.as_bytes()).unwrap();
        (seed, Self(seed))
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let most = u64::try_from(all.len()).unwrap();
        all[usize::try_from(self.below(most)).unwrap()]
    }
}

/// The number that a variable of the environment gives.
pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
