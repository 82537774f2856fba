//! How long to leave a peer alone that does not do what it is asked: longer each time, and not everybody alike.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The pauses between attempts that fail one after the other.
#[derive(Clone, Debug)]
pub struct BackOff {
    first: Duration,
    longest: Duration,
    pause: Duration,
}

impl BackOff {
    /// From `first` on each pause is twice as long, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            pause: first,
        }
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.pause = self.first;
    }

    /// The next pause, a quarter more or less.
    pub fn pause(&mut self) -> Duration {
        let mut byte = [0_u8];
        // Without randomness the pause is only less spread.
        let _ = SystemRandom::new().fill(&mut byte);
        let [byte] = byte;
        let pause = self.pause.mul_f64(0.75 + f64::from(byte) / 512.0);
        self.pause = (self.pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_twice_the_last_until_it_went_well() {
        let second = Duration::from_secs(1);
        let mut back_off = BackOff::new(second, 5 * second);
        let mut pauses = |expected: &[u32]| {
            for &seconds in expected {
                let (pause, expected) = (back_off.pause(), second * seconds);
                assert!(pause >= expected.mul_f64(0.75), "{pause:?}, {seconds} s");
                assert!(pause <= expected.mul_f64(1.25), "{pause:?}, {seconds} s");
            }
            back_off.reset();
        };
        pauses(&[1, 2, 4, 5, 5]);
        pauses(&[1, 2]);
    }
}
