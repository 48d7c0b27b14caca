//! Seeded randomness: the same seed throws the same dice.
//!
//! Splitmix64; good enough to pick moments and victims, nothing secret.

use std::ops::Range;

/// A stream of numbers that its seed decides.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for part `index` of the work.
    pub(crate) fn fork(&self, index: u64) -> Self {
        Self(mix(self.0 ^ mix(index.wrapping_add(1))))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of `range`.
    ///
    /// # Panics
    /// On an empty range.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "the range of a throw is not empty");
        range.start + self.next() % (range.end - range.start)
    }

    /// True in about `percent` of 100 throws.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }
}

/// Spreads the bits of `x`; also the step of the payload's checksum.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_forks_differ() {
        let throws = |mut dice: Dice| -> Vec<u64> { (0..8).map(|_| dice.next()).collect() };
        let dice = Dice::new(7);
        assert_eq!(throws(dice.clone()), throws(Dice::new(7)));
        assert_ne!(throws(dice.fork(0)), throws(dice.fork(1)));
    }

    #[test]
    fn throws_stay_within_their_range() {
        let mut dice = Dice::new(1);
        assert!((0..1_000).all(|_| (50..300).contains(&dice.within(50..300))));
    }
}
