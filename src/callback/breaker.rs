//! Keeps a backend that fails from being called for nothing. Pure.
//!
//! After a number of failures in a row it lets nobody pass for a while, then
//! one at a time, until one of them succeeds. One event that is always refused
//! does not open it while others of the same backend succeed.

use std::time::Duration;

use crate::clock::Instant;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Failures in a row.
    pub(super) failures: u32,
    /// How long nobody passes.
    pub(super) rest: Duration,
}

/// The breaker of one backend.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// Open: until then nobody passes.
    until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now; `Err`: not before this time. After its
    /// rest one call passes, and the next one a rest later, whatever became of
    /// the first.
    pub(super) fn admit(&mut self, limits: &Limits, now: Instant) -> Result<(), Instant> {
        match self.until {
            Some(until) if now < until => Err(until),
            Some(_) => {
                self.until = Some(now + limits.rest);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call succeeded: everybody passes.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed. Returns whether that opened it.
    pub(super) fn failed(&mut self, limits: &Limits, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.until.is_none() && self.failures >= limits.failures.max(1);
        if opens {
            self.until = Some(now + limits.rest);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 3,
        rest: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_in_between_does_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            assert!(!breaker.failed(&LIMITS, at(0)));
            assert!(!breaker.failed(&LIMITS, at(0)));
            breaker.succeeded();
        }
        for _ in 0..2 {
            breaker.failed(&LIMITS, at(1));
            assert_eq!(breaker.admit(&LIMITS, at(1)), Ok(()));
        }
        assert!(breaker.failed(&LIMITS, at(1)));
        assert_eq!(breaker.admit(&LIMITS, at(1)), Err(at(6)));
    }

    #[test]
    fn after_its_rest_one_call_at_a_time_tries_until_one_succeeds() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.failed(&LIMITS, at(0));
        }
        assert_eq!(breaker.admit(&LIMITS, at(5)), Ok(()));
        assert_eq!(breaker.admit(&LIMITS, at(5)), Err(at(10)));
        breaker.failed(&LIMITS, at(7));
        assert_eq!(breaker.admit(&LIMITS, at(9)), Err(at(10)));
        assert_eq!(breaker.admit(&LIMITS, at(12)), Ok(()));
        breaker.succeeded();
        for _ in 0..5 {
            assert_eq!(breaker.admit(&LIMITS, at(12)), Ok(()));
        }
    }
}
