//! Limits of one session.

use std::time::Duration;

use livegate_proto::codec::MAX_CLIENT_FRAME;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::heartbeat::HeartbeatConfig;
use super::mailbox::MailboxConfig;
use super::quota::QuotaConfig;

/// Limits of one session.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Rooms that one session may be in: each costs a subscription.
    pub max_rooms: usize,
    /// Requests that one session may have waiting for their answers.
    pub max_in_flight: usize,
    /// Calls of the backend among them.
    pub max_calls: usize,
    /// Bytes of a frame from a viewer: a message body and its envelope fit.
    pub viewer_frame_bytes: usize,
    /// Bytes of a frame from a host, publisher or admin; at most 67,584.
    pub speaker_frame_bytes: usize,
    /// Bytes of a frame from anybody whose app takes calls; at most 67,584: a
    /// call's body of 64 KiB and its envelope fit.
    pub caller_frame_bytes: usize,
    /// A client is told so long before its signature ends.
    #[serde(with = "crate::clock::span")]
    pub sig_warning: Duration,
    /// A session ends so long after its signature, unless that was renewed.
    #[serde(with = "crate::clock::span")]
    pub sig_linger: Duration,
    /// Signs of life.
    pub heartbeat: HeartbeatConfig,
    /// How often it may ask.
    pub quota: QuotaConfig,
    /// What waits for a slow client.
    pub mailbox: MailboxConfig,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_rooms: 8,
            max_in_flight: 32,
            max_calls: 4,
            viewer_frame_bytes: 16 * 1024,
            speaker_frame_bytes: 64 * 1024,
            caller_frame_bytes: MAX_CLIENT_FRAME,
            sig_warning: Duration::from_secs(600),
            sig_linger: Duration::from_secs(60),
            heartbeat: HeartbeatConfig::default(),
            quota: QuotaConfig::default(),
            mailbox: MailboxConfig::default(),
        }
    }
}

/// A value that parses but cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{key} {problem}")]
pub struct BadSessionConfig {
    /// The key, relative to the section.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Bytes that a message of the longest body takes with its envelope.
const SMALLEST_FRAME: usize = 13 * 1024;

impl SessionConfig {
    /// Refuses values with which no session could live.
    ///
    /// # Errors
    /// [`BadSessionConfig`] names the first such key.
    pub fn validate(&self) -> Result<(), BadSessionConfig> {
        let heartbeat = &self.heartbeat;
        let frames = SMALLEST_FRAME..=MAX_CLIENT_FRAME;
        let frame = "must lie between 13,312 and 67,584";
        let allowance = "must be longer than its interval";
        let zero = "must be at least 1";
        let rules = [
            ("max_rooms", self.max_rooms >= 1, zero),
            ("max_in_flight", self.max_in_flight >= 1, zero),
            (
                "viewer_frame_bytes",
                frames.contains(&self.viewer_frame_bytes),
                frame,
            ),
            (
                "speaker_frame_bytes",
                frames.contains(&self.speaker_frame_bytes),
                frame,
            ),
            (
                "caller_frame_bytes",
                frames.contains(&self.caller_frame_bytes),
                frame,
            ),
            (
                "heartbeat.host_interval",
                !heartbeat.host_interval.is_zero(),
                "must not be 0",
            ),
            (
                "heartbeat.viewer_interval",
                !heartbeat.viewer_interval.is_zero(),
                "must not be 0",
            ),
            (
                "heartbeat.host_allowance",
                heartbeat.host_allowance > heartbeat.host_interval,
                allowance,
            ),
            (
                "heartbeat.viewer_allowance",
                heartbeat.viewer_allowance > heartbeat.viewer_interval,
                allowance,
            ),
            (
                "heartbeat.jitter_percent",
                heartbeat.jitter_percent <= 50,
                "must be at most 50",
            ),
        ];
        match rules.iter().find(|(_, holds, _)| !holds) {
            Some(&(key, _, problem)) => Err(BadSessionConfig { key, problem }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_survive_a_round_trip() {
        let config = SessionConfig::default();
        assert_eq!(config.validate(), Ok(()));
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("host_interval = \"3s\""));
        assert_eq!(toml::from_str::<SessionConfig>(&text).unwrap(), config);
    }

    #[test]
    fn an_allowance_below_its_interval_is_refused_by_key() {
        let text = "[heartbeat]\nhost_allowance = \"3s\"";
        let config: SessionConfig = toml::from_str(text).unwrap();
        let refused = config.validate().unwrap_err();
        assert_eq!(refused.key, "heartbeat.host_allowance");
    }

    #[test]
    fn a_quota_of_nothing_does_not_parse() {
        let text = "[quota]\nchat = { per_second = 0, burst = 1 }";
        assert!(toml::from_str::<SessionConfig>(text).is_err());
    }
}
