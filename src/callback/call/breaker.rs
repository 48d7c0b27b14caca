//! When a backend that fails is left alone.
//!
//! Pure. After so many failures in a row nothing is let through for a rest;
//! then one call in each rest is, until one of them succeeds. A call whose
//! outcome never comes costs nothing but its rest.

use std::time::Duration;

use crate::clock::Instant;

/// Lets calls through, or not.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    in_a_row: u32,
    rest: Duration,
    /// Nothing is let through before; `None`: everything is.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Opens after so many `failures` in a row (0: never), for `rest`.
    pub(super) fn new(failures: u32, rest: Duration) -> Self {
        Self {
            failures,
            in_a_row: 0,
            rest,
            open_until: None,
        }
    }

    /// Lets a call through, or says how long to wait.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now < until => Err(until.since(now)),
            Some(_) => {
                self.open_until = Some(now + self.rest);
                Ok(())
            }
        }
    }

    /// A call came to this. True when that opened it.
    pub(super) fn outcome(&mut self, ok: bool, now: Instant) -> bool {
        if ok {
            self.in_a_row = 0;
            self.open_until = None;
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = self.failures > 0 && self.in_a_row >= self.failures;
        let opened = opens && self.open_until.is_none();
        if opened {
            self.open_until = Some(now + self.rest);
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(5);

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_through_in_each_rest() {
        let mut breaker = Breaker::new(3, REST);
        for _ in 0..2 {
            assert!(!breaker.outcome(false, at(0)));
        }
        breaker.outcome(true, at(0));
        for n in 0..3 {
            assert_eq!(breaker.admit(at(1)), Ok(()));
            assert_eq!(breaker.outcome(false, at(1_000)), n == 2);
        }
        assert_eq!(breaker.admit(at(2_000)), Err(Duration::from_secs(4)));
        assert_eq!(breaker.admit(at(6_000)), Ok(()), "a probe");
        assert_eq!(breaker.admit(at(6_000)), Err(REST), "and no other");
        assert!(!breaker.outcome(false, at(6_500)), "open already");
        assert_eq!(breaker.admit(at(11_000)), Ok(()));
        breaker.outcome(true, at(11_001));
        assert_eq!(breaker.admit(at(11_001)), Ok(()));
        assert_eq!(breaker.admit(at(11_001)), Ok(()));
    }

    #[test]
    fn zero_failures_never_open_it() {
        let mut breaker = Breaker::new(0, REST);
        for _ in 0..100 {
            assert!(!breaker.outcome(false, at(0)));
        }
        assert_eq!(breaker.admit(at(0)), Ok(()));
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }
}
