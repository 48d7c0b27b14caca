//! Settings of the store.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::span;

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Directory of the state file and its lock; made when it is not there.
    pub dir: PathBuf,
    /// Commits that may wait for the disk. Beyond it StartLive is refused.
    pub queue: usize,
    /// Further places, for the ends of lives.
    pub queue_reserve: usize,
    /// Most commits in one transaction. More make better use of a sync, fewer
    /// make its time shorter.
    pub group: usize,
    /// Bytes on disk of what backends are still to be told, dead letters
    /// included. Near it what is new is let go and counted: comings and goings
    /// from three quarters of it on, messages from seven eighths on; facts are
    /// always kept.
    pub outbox_bytes: u64,
    /// Bytes of the disk that are left to facts and to others: when less is
    /// free, messages, comings and goings wait for backends only as far as the
    /// file has place for them, and are else let go.
    pub keep_free_bytes: u64,
    /// Bytes of the file that are kept in memory.
    pub cache_bytes: usize,
    /// Reads the whole file at the start and compares its checksums. Without
    /// it damage is found only where it is met.
    pub verify: bool,
    /// How often the process notes that it is alive: bounds what is not known
    /// about the time of a kill.
    #[serde(with = "span")]
    pub alive_every: Duration,
    /// How long ended lives are kept: they answer repeated starts and late
    /// joiners after a restart.
    #[serde(with = "span")]
    pub keep_ended: Duration,
    /// How long dead letters are kept.
    #[serde(with = "span")]
    pub keep_dead: Duration,
    /// Most ended lives that a restart reads back, newest first.
    pub recover_ended: usize,
    /// Longest wait between two tries to open the file again after an error.
    #[serde(with = "span")]
    pub reopen_backoff: Duration,
    /// Longest time that closing may take while the disk fails.
    #[serde(with = "span")]
    pub close_within: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data"),
            queue: 8_192,
            queue_reserve: 2_048,
            group: 512,
            outbox_bytes: 4 << 30,
            keep_free_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            verify: true,
            alive_every: Duration::from_secs(5),
            keep_ended: Duration::from_secs(24 * 3_600),
            keep_dead: Duration::from_secs(30 * 24 * 3_600),
            recover_ended: 100_000,
            reopen_backoff: Duration::from_secs(2),
            close_within: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_their_text_form() {
        let text = toml::to_string(&EngineConfig::default()).unwrap();
        assert_eq!(
            toml::from_str::<EngineConfig>(&text).unwrap(),
            EngineConfig::default()
        );
        assert!(toml::from_str::<EngineConfig>("queues = 1").is_err());
    }
}
