//! When to try again: full jitter, under the gateway's advice.
//!
//! Pure: told how long the last connection lasted, what was advised and a
//! random number; answers how long to wait. A thousand clients that lose one
//! gateway at one moment come back spread over the whole range.

use std::time::Duration;

/// What is advised after an end or a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Come back as soon as the client's own jitter allows.
    Now,
    /// Come back no earlier than after this time.
    Later(Duration),
    /// Do not come back without the app doing something.
    Final,
}

/// The bounds of the backoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The range of the first wait is zero to this. Default 250 ms: a host
    /// comes back well within a grace of 10 s.
    pub base: Duration,
    /// The range doubles with each failure up to this. Default 15 s.
    pub max: Duration,
    /// Longest advice that is obeyed. Default 10 min.
    pub max_advice: Duration,
    /// A connection that lasted this long clears the count of failures.
    /// Default 10 s.
    pub stable_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            max: Duration::from_secs(15),
            max_advice: Duration::from_secs(600),
            stable_after: Duration::from_secs(10),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this time.
    Wait(Duration),
    /// Give up.
    Stop,
}

/// Counts failures and tells waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    /// Starts with no failure counted.
    pub fn new(config: BackoffConfig) -> Self {
        Self {
            config,
            failures: 0,
        }
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Decides after an end or a failure.
    ///
    /// `uptime` is how long the connection had been logged in (zero: never),
    /// `random` any uniformly distributed number.
    pub fn next(&mut self, retry: Retry, uptime: Duration, random: u64) -> Decision {
        if uptime >= self.config.stable_after {
            self.failures = 0;
        }
        let floor = match retry {
            Retry::Now => Duration::ZERO,
            Retry::Later(after) => after.min(self.config.max_advice),
            Retry::Final => return Decision::Stop,
        };
        let wait = floor + self.range().mul_f64(unit(random));
        self.failures = self.failures.saturating_add(1);
        Decision::Wait(wait)
    }

    /// The width of the jitter at the present count of failures.
    fn range(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        self.config.base.saturating_mul(factor).min(self.config.max)
    }
}

/// Maps a random number to 0 up to, not including, 1.
fn unit(random: u64) -> f64 {
    const BITS: u32 = 53;
    // 53 bits fit a double exactly.
    #[allow(clippy::cast_precision_loss)]
    let scaled = (random >> (u64::BITS - BITS)) as f64;
    scaled / 2f64.powi(53)
}

/// A random number from the operating system's source.
pub(crate) fn random() -> u64 {
    // The version and variant bits of a v4 id are fixed: fold both halves so
    // that each bit of the result has a random one in it.
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    high ^ low.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wait(backoff: &mut Backoff, retry: Retry, random: u64) -> Duration {
        match backoff.next(retry, Duration::ZERO, random) {
            Decision::Wait(wait) => wait,
            Decision::Stop => panic!("only a final advice stops"),
        }
    }

    #[test]
    fn the_range_doubles_to_its_limit_and_never_overflows() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let waits: Vec<u128> = (0..80)
            .map(|_| wait(&mut backoff, Retry::Now, u64::MAX).as_millis())
            .collect();
        assert_eq!(waits[..4], [250, 500, 1000, 2000]);
        assert!(waits[10..].iter().all(|ms| (14_999..=15_000).contains(ms)));
    }

    #[test]
    fn a_connection_that_lasted_clears_the_count() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        for _ in 0..6 {
            wait(&mut backoff, Retry::Now, 0);
        }
        backoff.next(Retry::Now, Duration::from_secs(9), 0);
        assert_eq!(backoff.failures(), 7);
        backoff.next(Retry::Now, Duration::from_secs(10), 0);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn a_final_advice_stops() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        assert_eq!(
            backoff.next(Retry::Final, Duration::from_secs(99), 1),
            Decision::Stop
        );
    }

    proptest! {
        #[test]
        fn a_wait_lies_between_the_advice_and_the_advice_plus_the_range(
            before in 0u32..50,
            advice_ms in 0u64..10_000_000,
            random: u64,
        ) {
            let config = BackoffConfig::default();
            let mut backoff = Backoff::new(config.clone());
            for _ in 0..before {
                wait(&mut backoff, Retry::Now, 0);
            }
            let range = (u64::try_from(config.base.as_millis()).unwrap() << before.min(20))
                .min(u64::try_from(config.max.as_millis()).unwrap());
            let floor = Duration::from_millis(advice_ms).min(config.max_advice);
            let got = wait(&mut backoff, Retry::Later(Duration::from_millis(advice_ms)), random);
            prop_assert!(got >= floor);
            prop_assert!(got <= floor + Duration::from_millis(range));
        }
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let mut quarters = [0u32; 4];
        for _ in 0..4_000 {
            let mut backoff = Backoff::new(BackoffConfig::default());
            let ms = wait(&mut backoff, Retry::Now, random()).as_micros();
            quarters[usize::try_from(ms * 4 / 250_000).unwrap().min(3)] += 1;
        }
        assert!(
            quarters.iter().all(|n| (800..1200).contains(n)),
            "{quarters:?}"
        );
    }
}
