//! How often a client shows a sign of life, and how long silence is allowed.
//!
//! A host is heard often, because its silence ends a live; a viewer seldom,
//! because there are many. Each session's interval is shortened by its own
//! share of a jitter, so that clients which came together do not ping
//! together; the allowance is the same for all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Heartbeats by role.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeartbeatConfig {
    /// A host sends something at least this often.
    #[serde(with = "crate::clock::span")]
    pub host_interval: Duration,
    /// A host that was silent for so long is lost.
    #[serde(with = "crate::clock::span")]
    pub host_allowance: Duration,
    /// Everybody else sends something at least this often.
    #[serde(with = "crate::clock::span")]
    pub viewer_interval: Duration,
    /// Anybody else who was silent for so long is lost.
    #[serde(with = "crate::clock::span")]
    pub viewer_allowance: Duration,
    /// Intervals are shortened by up to this share, percent (0 to 50).
    pub jitter_percent: u8,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            host_interval: Duration::from_secs(3),
            host_allowance: Duration::from_secs(8),
            viewer_interval: Duration::from_secs(30),
            viewer_allowance: Duration::from_secs(75),
            jitter_percent: 10,
        }
    }
}

/// What holds for one session now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// The client sends something at least this often: what it is told.
    pub interval: Duration,
    /// Silence after which its connection is lost.
    pub allowance: Duration,
}

impl Heartbeat {
    /// The heartbeat of a session whose share of the jitter is `seed` of
    /// 65,536.
    pub fn new(config: &HeartbeatConfig, hosting: bool, seed: u16) -> Self {
        let (interval, allowance) = if hosting {
            (config.host_interval, config.host_allowance)
        } else {
            (config.viewer_interval, config.viewer_allowance)
        };
        let most = interval * u32::from(config.jitter_percent.min(50)) / 100;
        Self {
            interval: interval - most * u32::from(seed) / (1 << 16),
            allowance,
        }
    }

    /// The interval as the contract carries it.
    pub fn interval_ms(&self) -> u32 {
        u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_heard_more_often_than_a_viewer() {
        let config = HeartbeatConfig::default();
        let host = Heartbeat::new(&config, true, 0);
        let viewer = Heartbeat::new(&config, false, 0);
        assert_eq!(host.interval_ms(), 3_000);
        assert_eq!(host.allowance, Duration::from_secs(8));
        assert_eq!(viewer.interval_ms(), 30_000);
        assert_eq!(viewer.allowance, Duration::from_secs(75));
    }

    proptest! {
        #[test]
        fn jitter_only_shortens_and_two_beats_fit_the_allowance(seed: u16, hosting: bool) {
            let config = HeartbeatConfig::default();
            let longest = Heartbeat::new(&config, hosting, 0).interval;
            let it = Heartbeat::new(&config, hosting, seed);
            prop_assert!(it.interval <= longest && it.interval >= longest * 9 / 10);
            prop_assert!(it.interval * 2 < it.allowance);
        }
    }
}
