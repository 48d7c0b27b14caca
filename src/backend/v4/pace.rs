//! How often an app may call each command.
//!
//! Invariant: only calls of known apps are counted, so there are at most as
//! many buckets as apps times commands.

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::clock::Instant;
use crate::id::AppId;
use crate::rooms::limit::{Bucket, RateConfig, Urgency};

/// Token buckets by app and command.
#[derive(Debug, Default)]
pub(super) struct Pace(DashMap<(AppId, usize), Bucket, RandomState>);

impl Pace {
    /// Whether `app` may call `command` once more now, at `per_second` a
    /// second.
    pub(super) fn take(&self, app: AppId, command: usize, per_second: u32, now: Instant) -> bool {
        let full = || {
            let rate = RateConfig {
                per_second,
                burst: per_second,
                ..RateConfig::default()
            };
            Bucket::new(rate, now)
        };
        let mut bucket = self.0.entry((app, command)).or_insert_with(full);
        bucket.take(Urgency::High, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_and_a_command_have_a_bucket_of_their_own() {
        let pace = Pace::default();
        let at = Instant::from_millis;
        assert!(pace.take(AppId(1), 0, 2, at(0)));
        assert!(pace.take(AppId(1), 0, 2, at(0)));
        assert!(!pace.take(AppId(1), 0, 2, at(0)));
        assert!(pace.take(AppId(1), 1, 2, at(0)));
        assert!(pace.take(AppId(2), 0, 2, at(0)));
        assert!(pace.take(AppId(1), 0, 2, at(500)));
        assert!(!pace.take(AppId(1), 0, 2, at(500)));
    }
}
