//! When an event is tried again, and when it is given up. Pure.

use std::time::Duration;

use super::config::CallbackConfig;
use crate::clock::{Instant, Moment, Unix};

/// Shortest wait: an answer that comes at once must not be asked for at once.
const SHORTEST: Duration = Duration::from_millis(20);

/// Fewest attempts of a process before it gives an event up: after a long stop
/// of the gateway every event is old, and its backend may be well.
const FEWEST_ATTEMPTS: u32 = 8;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Try again then.
    Again(Instant),
    /// It has been tried for long enough.
    GiveUp,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// When the event was recorded.
    pub(super) queued: Unix,
    /// Attempts of this process, this one included: at least 1.
    pub(super) attempts: u32,
    /// How long the backend asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Any number, drawn anew for each failure.
    pub(super) roll: u64,
}

/// Decides by exponential backoff with full jitter: the wait is drawn between
/// nothing and a bound that doubles with each attempt, so that rooms whose
/// backend was down do not come back all at once.
pub(super) fn verdict(failure: Failure, config: &CallbackConfig, now: Moment) -> Verdict {
    let give_up = failure.queued + config.give_up_after;
    if now.unix >= give_up && failure.attempts >= FEWEST_ATTEMPTS {
        return Verdict::GiveUp;
    }
    let doublings = (failure.attempts - 1).min(30);
    let bound = config
        .first_backoff
        .saturating_mul(1 << doublings)
        .min(config.longest_backoff);
    let drawn = part(bound, failure.roll).max(SHORTEST);
    let asked = failure
        .retry_after
        .unwrap_or_default()
        .min(config.longest_retry_after);
    Verdict::Again(now.instant + drawn.max(asked))
}

/// So much of `span` as `roll` is of all numbers.
pub(super) fn part(span: Duration, roll: u64) -> Duration {
    let micros = (span.as_micros() * u128::from(roll)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Numbers for jitter (splitmix64); not for secrets.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    proptest! {
        #[test]
        fn the_wait_is_under_its_bound_and_grows_to_the_cap(attempts in 1..100_u32, roll: u64) {
            let config = CallbackConfig::default();
            let failure = Failure { attempts, roll, ..failure() };
            let Verdict::Again(at) = verdict(failure, &config, now(Duration::ZERO)) else {
                panic!("given up at once");
            };
            let wait = at.since(now(Duration::ZERO).instant);
            let doubled = 2_f64.powi(attempts as i32 - 1).min(60.0);
            prop_assert!(wait >= SHORTEST);
            prop_assert!(wait <= Duration::from_secs_f64(doubled));
        }
    }

    #[test]
    fn the_jitter_uses_the_whole_span() {
        let mut dice = Dice::new(7);
        let waits: Vec<u128> = (0..1_000)
            .map(|_| part(HOUR, dice.roll()).as_millis() * 10 / HOUR.as_millis())
            .collect();
        for tenth in 0..10 {
            let count = waits.iter().filter(|wait| **wait == tenth).count();
            assert!((50..200).contains(&count), "{count} waits in tenth {tenth}");
        }
    }

    #[test]
    fn a_backend_that_asks_for_time_gets_it_up_to_a_bound() {
        let config = CallbackConfig::default();
        for (asked, granted) in [(120, 120), (86_400, 300)] {
            let failure = Failure {
                retry_after: Some(Duration::from_secs(asked)),
                ..failure()
            };
            let at = now(Duration::from_secs(granted)).instant;
            let verdict = verdict(failure, &config, now(Duration::ZERO));
            assert_eq!(verdict, Verdict::Again(at));
        }
    }

    #[test]
    fn an_event_is_given_up_after_72_hours_and_some_attempts() {
        let config = CallbackConfig::default();
        let after = |hours: u32, attempts| {
            let failure = Failure {
                attempts,
                ..failure()
            };
            verdict(failure, &config, now(HOUR * hours))
        };
        assert_ne!(after(71, 5_000), Verdict::GiveUp);
        assert_ne!(after(1_000, 1), Verdict::GiveUp);
        assert_eq!(after(72, FEWEST_ATTEMPTS), Verdict::GiveUp);
    }

    fn failure() -> Failure {
        Failure {
            queued: Unix(0),
            attempts: 1,
            retry_after: None,
            roll: 0,
        }
    }

    fn now(since: Duration) -> Moment {
        Moment::default() + since
    }
}
