//! How often a session may ask for things.
//!
//! Two buckets for each kind of request: one throttles (the request is
//! refused and told when to come again), one of many times its size tells a
//! client that goes on regardless, whose connection ends. Both are kept as the
//! one time at which the bucket is full again, so a session that rests costs
//! nothing and no tick refills it.
//!
//! Pure: told the time. Does not know verbs or replies.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// What a request is counted as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text, custom messages, gifts; to a room or a user.
    Chat,
    /// Likes, whatever their count.
    Like,
    /// Everything else, pings and unknown verbs included.
    Control,
}

/// A token bucket's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once after a rest.
    pub burst: NonZeroU32,
}

impl Rate {
    const fn new(per_second: u32, burst: u32) -> Self {
        let (Some(per_second), Some(burst)) = (NonZeroU32::new(per_second), NonZeroU32::new(burst))
        else {
            panic!("a rate of nothing is written as a refusal, not as a rate");
        };
        Self { per_second, burst }
    }

    fn times(self, factor: NonZeroU32) -> Self {
        Self {
            per_second: self.per_second.saturating_mul(factor),
            burst: self.burst.saturating_mul(factor),
        }
    }

    /// Microseconds that one request costs.
    fn cost(self) -> u64 {
        (1_000_000 / u64::from(self.per_second.get())).max(1)
    }
}

/// How often one session may ask.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaConfig {
    /// Text, custom messages and gifts: faster than anybody types.
    pub chat: Rate,
    /// Like requests; each may carry many likes.
    pub like: Rate,
    /// Everything else, pings included.
    pub control: Rate,
    /// Hosts, publishers and admins may ask so many times as often: they
    /// answer a whole room.
    pub speaker_factor: NonZeroU32,
    /// Who asks so many times as often as allowed is closed, not throttled:
    /// refusing costs as much as answering.
    pub abuse_factor: NonZeroU32,
    /// How long a client that was closed for it stays away.
    #[serde(with = "crate::clock::span")]
    pub penalty: Duration,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        const FOUR: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
        const TEN: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");
        Self {
            chat: Rate::new(5, 10),
            like: Rate::new(10, 20),
            control: Rate::new(20, 40),
            speaker_factor: FOUR,
            abuse_factor: TEN,
            penalty: Duration::from_secs(30),
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Within the quota.
    Admit,
    /// Refused; a request after this time will be admitted.
    Throttle(Duration),
    /// Refused, and so far beyond the quota that the connection ends.
    Abuse,
}

/// One session's buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quota {
    chat: Meter,
    like: Meter,
    control: Meter,
}

#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    allowed: Bucket,
    abuse: Bucket,
}

/// When the bucket will be full again; the past: it is full.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(Instant);

impl Quota {
    /// Counts one request. A `speaker` (host, publisher, admin) has a
    /// multiple of everybody's quota.
    pub fn charge(
        &mut self,
        kind: Kind,
        speaker: bool,
        config: &QuotaConfig,
        now: Instant,
    ) -> Verdict {
        let (meter, rate) = match kind {
            Kind::Chat => (&mut self.chat, config.chat),
            Kind::Like => (&mut self.like, config.like),
            Kind::Control => (&mut self.control, config.control),
        };
        let rate = if speaker {
            rate.times(config.speaker_factor)
        } else {
            rate
        };
        let beyond = rate.times(config.abuse_factor);
        if meter.abuse.take(beyond, now).is_err() {
            return Verdict::Abuse;
        }
        match meter.allowed.take(rate, now) {
            Ok(()) => Verdict::Admit,
            Err(wait) => Verdict::Throttle(wait),
        }
    }
}

impl Bucket {
    /// Takes one token, or says when there will be one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let cost = rate.cost();
        let full_at = self.0.max(now);
        // A bucket of `burst` tokens with one left is `burst - 1` from full.
        let one_left = Duration::from_micros(cost * u64::from(rate.burst.get() - 1));
        let missing = full_at.since(now);
        if missing > one_left {
            return Err(missing - one_left);
        }
        self.0 = full_at + Duration::from_micros(cost);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn charge(quota: &mut Quota, kind: Kind, ms: u64) -> Verdict {
        let now = Instant::from_millis(ms);
        quota.charge(kind, false, &QuotaConfig::default(), now)
    }

    #[test]
    fn ten_messages_at_once_pass_and_the_next_is_told_when() {
        let mut quota = Quota::default();
        for _ in 0..10 {
            assert_eq!(charge(&mut quota, Kind::Chat, 1_000), Verdict::Admit);
        }
        let wait = Duration::from_millis(200);
        assert_eq!(
            charge(&mut quota, Kind::Chat, 1_000),
            Verdict::Throttle(wait)
        );
        assert_eq!(charge(&mut quota, Kind::Chat, 1_200), Verdict::Admit);
    }

    #[test]
    fn kinds_do_not_share_a_bucket() {
        let mut quota = Quota::default();
        while charge(&mut quota, Kind::Chat, 0) == Verdict::Admit {}
        assert_eq!(charge(&mut quota, Kind::Control, 0), Verdict::Admit);
        assert_eq!(charge(&mut quota, Kind::Like, 0), Verdict::Admit);
    }

    #[test]
    fn a_speaker_has_four_times_the_quota() {
        let mut quota = Quota::default();
        let config = QuotaConfig::default();
        let admitted = (0..60)
            .filter(|_| quota.charge(Kind::Chat, true, &config, Instant(0)) == Verdict::Admit);
        assert_eq!(admitted.count(), 40);
    }

    #[test]
    fn who_goes_on_ten_times_over_is_told_apart_from_who_is_throttled() {
        let mut quota = Quota::default();
        let verdicts: Vec<_> = (0..101)
            .map(|_| charge(&mut quota, Kind::Chat, 0))
            .collect();
        assert!(!verdicts[..100].contains(&Verdict::Abuse));
        assert_eq!(verdicts[100], Verdict::Abuse);
    }

    /// Reference model: a level that rises with time up to its cap and falls
    /// by the cost of each request.
    struct Level {
        micros: u64,
        cap: u64,
        cost: u64,
        at: u64,
    }

    impl Level {
        fn new(rate: Rate) -> Self {
            let cap = rate.cost() * u64::from(rate.burst.get());
            Self {
                micros: cap,
                cap,
                cost: rate.cost(),
                at: 0,
            }
        }

        fn take(&mut self, now: u64) -> Result<(), u64> {
            self.micros = (self.micros + (now - self.at)).min(self.cap);
            self.at = now;
            match self.micros.checked_sub(self.cost) {
                Some(left) => {
                    self.micros = left;
                    Ok(())
                }
                None => Err(self.cost - self.micros),
            }
        }
    }

    proptest! {
        #[test]
        fn a_bucket_admits_what_a_filling_level_would(
            per_second in 1u32..500,
            burst in 1u32..50,
            gaps in prop::collection::vec(0u64..400_000, 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let (mut bucket, mut level, mut now) = (Bucket::default(), Level::new(rate), 0);
            for gap in gaps {
                now += gap;
                let taken = bucket.take(rate, Instant(now));
                prop_assert_eq!(taken, level.take(now).map_err(Duration::from_micros));
            }
        }
    }
}
