//! Limits and paces of rooms.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rooms::combos::ComboConfig;
use crate::rooms::limit::RateConfig;
use crate::rooms::log::LogConfig;
use crate::rooms::mic::MicConfig;
use crate::rooms::presence::PresenceConfig;

/// Limits and paces of rooms, the same for every app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomsConfig {
    /// Rooms of one app.
    pub per_app: usize,
    /// Distinct users in one room.
    pub members: usize,
    /// Sessions that one user may have in one room.
    pub sessions_per_member: usize,
    /// Whether entering a room that does not exist makes it.
    pub create_on_enter: bool,
    /// Whether anybody in a room without an owner may start a live there.
    pub open_hosting: bool,
    /// Whether clients may send gifts; else only the backend may.
    pub client_gifts: bool,
    /// How long an empty room that nobody made durable is kept.
    #[serde(with = "crate::clock::span")]
    pub retention: Duration,
    /// How long a room waits for a lost host when neither the host nor the
    /// room says otherwise.
    #[serde(with = "crate::clock::span")]
    pub grace: Duration,
    /// The longest wait that a host or a room may ask for.
    #[serde(with = "crate::clock::span")]
    pub grace_max: Duration,
    /// The least wait for hosts after a restart, from when the gateway accepts
    /// connections again.
    #[serde(with = "crate::clock::span")]
    pub restart_grace: Duration,
    /// How often the figures of an open live are recorded.
    #[serde(with = "crate::clock::span")]
    pub stats_every: Duration,
    /// Within this time a message with the same client message id is the same.
    #[serde(with = "crate::clock::span")]
    pub dedupe_window: Duration,
    /// Client message ids that one room remembers.
    pub dedupe_entries: usize,
    /// Least time between two totals (likes) of a room.
    #[serde(with = "crate::clock::span")]
    pub totals_every: Duration,
    /// How old a room list may be: it is sorted at most this often.
    #[serde(with = "crate::clock::span")]
    pub list_every: Duration,
    /// A standstill of the process longer than this is given back to lost
    /// hosts before they are judged.
    #[serde(with = "crate::clock::span")]
    pub standstill: Duration,
    /// In a room whose comings and goings are told by digests, the backend is
    /// told of them so often at most, many at once.
    #[serde(with = "crate::clock::span")]
    pub report_every: Duration,
    /// Most users in one such event.
    pub report_names: usize,
    /// Bytes that the logs of all rooms hold together.
    pub log_budget: usize,
    /// Limits of one room's log.
    pub log: LogConfig,
    /// How comings and goings are told.
    pub presence: PresenceConfig,
    /// Messages of clients in one room.
    pub rate: RateConfig,
    /// How gifts in a row become one message.
    pub combos: ComboConfig,
    /// The mic and invitations to it.
    pub mic: MicConfig,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            per_app: 100_000,
            members: 100_000,
            sessions_per_member: 8,
            create_on_enter: true,
            open_hosting: false,
            client_gifts: true,
            retention: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            grace_max: Duration::from_secs(120),
            restart_grace: Duration::from_secs(15),
            stats_every: Duration::from_secs(5),
            dedupe_window: Duration::from_secs(120),
            dedupe_entries: 8192,
            totals_every: Duration::from_millis(500),
            list_every: Duration::from_secs(1),
            standstill: Duration::from_secs(1),
            report_every: Duration::from_secs(1),
            report_names: 100,
            log_budget: 512 << 20,
            log: LogConfig::default(),
            presence: PresenceConfig::default(),
            rate: RateConfig::default(),
            combos: ComboConfig::default(),
            mic: MicConfig::default(),
        }
    }
}

/// What is wrong with a [`RoomsConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("rooms.{key} {problem}")]
pub struct BadRoomsConfig {
    /// The key within the table, dotted.
    pub key: &'static str,
    /// What it must be.
    pub problem: &'static str,
}

impl RoomsConfig {
    /// Holds the figures against each other.
    ///
    /// # Errors
    /// The first key that makes no sense beside the others.
    pub fn validate(&self) -> Result<(), BadRoomsConfig> {
        let presence = &self.presence;
        let rate = &self.rate;
        let needs = rate.normal_needs.max(rate.low_needs).max(rate.lowest_needs);
        let checks = [
            ("per_app", self.per_app > 0, "must be at least 1"),
            ("members", self.members > 0, "must be at least 1"),
            (
                "sessions_per_member",
                self.sessions_per_member > 0,
                "must be at least 1",
            ),
            (
                "grace",
                self.grace <= self.grace_max,
                "must not exceed rooms.grace_max",
            ),
            (
                "presence.exact_again_below",
                presence.exact_again_below <= presence.exact_below,
                "must not exceed rooms.presence.exact_below",
            ),
            (
                "presence.exact_below",
                presence.exact_below <= 150,
                "must be at most 150: a snapshot names so many",
            ),
            (
                "presence.changes_per_frame",
                (1..=150).contains(&presence.changes_per_frame),
                "must be 1 to 150: one frame holds so many",
            ),
            ("rate.per_second", rate.per_second > 0, "must be at least 1"),
            (
                "rate.burst",
                rate.burst >= needs,
                "must be at least what every priority needs",
            ),
            (
                "combos.window",
                !self.combos.window.is_zero(),
                "must be more than nothing",
            ),
            ("log.frames", self.log.frames > 0, "must be at least 1"),
            (
                "log.bytes",
                self.log.bytes >= 64 << 10,
                "must hold the largest frame, 65536 bytes",
            ),
            (
                "log_budget",
                self.log_budget >= self.log.bytes,
                "must hold at least one full log",
            ),
        ];
        for (key, holds, problem) in checks {
            if !holds {
                return Err(BadRoomsConfig { key, problem });
            }
        }
        let mic = self.mic.validate();
        mic.map_err(|(key, problem)| BadRoomsConfig { key, problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense_and_survive_text() {
        let config = RoomsConfig::default();
        assert_eq!(config.validate(), Ok(()));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<RoomsConfig>(&text).unwrap(), config);
    }

    #[test]
    fn a_figure_that_contradicts_another_is_named() {
        let mut config = RoomsConfig::default();
        config.presence.exact_again_below = 51;
        let bad = config.validate().unwrap_err();
        assert_eq!(
            bad.to_string(),
            "rooms.presence.exact_again_below must not exceed rooms.presence.exact_below"
        );
    }
}
