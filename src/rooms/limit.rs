//! How many messages a room takes: a token bucket whose last tokens are kept
//! for what matters more.
//!
//! Invariant: over any stretch of time it lets through at most its burst and
//! its rate times that time. Told the time; knows nothing of messages.

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// Limits of messages from clients in one room; the backend is not limited
/// by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// Messages a second (AVChatRoom takes 40).
    pub per_second: u32,
    /// Messages at once after a rest.
    pub burst: u32,
    /// Free tokens that a message of normal priority needs.
    pub normal_needs: u32,
    /// Free tokens that a message of low priority needs.
    pub low_needs: u32,
    /// Free tokens that a message of lowest priority needs.
    pub lowest_needs: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            per_second: 40,
            burst: 40,
            normal_needs: 8,
            low_needs: 16,
            lowest_needs: 24,
        }
    }
}

/// Who goes first when tokens are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Takes the last token.
    High,
    /// Chat.
    Normal,
    /// Refused before chat is.
    Low,
    /// Refused first.
    Lowest,
}

/// A room's bucket. Full at first.
#[derive(Debug)]
pub struct Bucket {
    config: RateConfig,
    /// In millionths of a token.
    level: u64,
    filled: Instant,
}

const TOKEN: u64 = 1_000_000;

impl Bucket {
    /// A full bucket at `now`.
    pub fn new(config: RateConfig, now: Instant) -> Self {
        let level = u64::from(config.burst) * TOKEN;
        Self {
            config,
            level,
            filled: now,
        }
    }

    /// Takes a token if as many are free as the urgency needs.
    pub fn take(&mut self, urgency: Urgency, now: Instant) -> bool {
        self.fill(now);
        let needs = match urgency {
            Urgency::High => 1,
            Urgency::Normal => self.config.normal_needs,
            Urgency::Low => self.config.low_needs,
            Urgency::Lowest => self.config.lowest_needs,
        };
        let free = self.level >= u64::from(needs.max(1)) * TOKEN;
        if free {
            self.level -= TOKEN;
        }
        free
    }

    /// A microsecond at one message a second brings one millionth of a token.
    fn fill(&mut self, now: Instant) {
        let passed = now.0.saturating_sub(self.filled.0);
        let brought = passed.saturating_mul(u64::from(self.config.per_second));
        let full = u64::from(self.config.burst) * TOKEN;
        self.level = self.level.saturating_add(brought).min(full);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_tokens_are_kept_for_what_matters_more() {
        let mut bucket = Bucket::new(RateConfig::default(), Instant(0));
        let spent = |bucket: &mut Bucket, urgency| {
            (0..100)
                .take_while(|_| bucket.take(urgency, Instant(0)))
                .count()
        };
        assert_eq!(spent(&mut bucket, Urgency::Lowest), 17, "down to 23");
        assert_eq!(spent(&mut bucket, Urgency::Low), 8, "down to 15");
        assert_eq!(spent(&mut bucket, Urgency::Normal), 8, "down to 7");
        assert_eq!(spent(&mut bucket, Urgency::High), 7, "to the last");
        assert!(!bucket.take(Urgency::High, Instant(0)));
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_brings_nothing() {
        let mut bucket = Bucket::new(RateConfig::default(), Instant::from_millis(1000));
        while bucket.take(Urgency::High, Instant::from_millis(1000)) {}
        assert!(!bucket.take(Urgency::High, Instant::from_millis(0)));
        assert!(!bucket.take(Urgency::High, Instant::from_millis(1000)));
        assert!(bucket.take(Urgency::High, Instant::from_millis(1025)));
    }

    proptest! {
        #[test]
        fn no_more_pass_than_the_burst_and_the_rate_allow(
            steps in prop::collection::vec((0u64..200_000, 0usize..4), 1..500)
        ) {
            let config = RateConfig::default();
            let mut bucket = Bucket::new(config, Instant(0));
            let urgencies = [Urgency::High, Urgency::Normal, Urgency::Low, Urgency::Lowest];
            let (mut now, mut passed) = (0, 0u64);
            for (micros, urgency) in steps {
                now += micros;
                passed += u64::from(bucket.take(urgencies[urgency], Instant(now)));
                let most = u64::from(config.burst) + now * u64::from(config.per_second) / 1_000_000;
                prop_assert!(passed <= most);
            }
        }
    }
}
