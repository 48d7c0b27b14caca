//! How much of the disk what waits for backends may take.
//!
//! Invariant: what is only said never takes the last of a disk. A store without
//! a free page cannot even take out what was told, so it would not recover when
//! the backends do; lives and rooms could not be recorded either.

use crate::engine::EngineConfig;

/// A row takes up to so many times its bytes: pages are whole, and what is
/// written is copied.
const OVERHEAD: u64 = 4;

/// How the store's disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes that are left on it.
    pub(super) free: u64,
    /// Bytes of it that the store's file has: they are there to be used again
    /// when the disk is full.
    pub(super) taken: u64,
}

impl Space {
    /// Of the configured budget, what the disk allows when so many bytes wait.
    pub(super) fn budget(self, config: &EngineConfig, waiting: u64) -> u64 {
        let more = self.free.saturating_sub(config.keep_free_bytes) / OVERHEAD;
        let allowed = waiting.saturating_add(more).max(self.taken / OVERHEAD);
        allowed.min(config.outbox_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: u64 = 1_000;

    fn budget(free: u64, taken: u64, waiting: u64) -> u64 {
        let config = EngineConfig {
            outbox_bytes: 10_000,
            keep_free_bytes: KEEP,
            ..EngineConfig::default()
        };
        Space { free, taken }.budget(&config, waiting)
    }

    #[test]
    fn a_large_disk_leaves_the_budget_as_it_is_configured() {
        assert_eq!(budget(KEEP + 40_000, 0, 0), 10_000);
        assert_eq!(budget(u64::MAX, u64::MAX, 9_999), 10_000);
    }

    #[test]
    fn near_the_end_of_the_disk_nothing_is_added() {
        assert_eq!(budget(KEEP + 400, 800, 5_000), 5_100);
        assert_eq!(budget(KEEP, 800, 5_000), 5_000);
        assert_eq!(budget(0, 800, 5_000), 5_000);
    }

    #[test]
    fn on_a_full_disk_the_file_s_own_pages_are_used_again() {
        assert_eq!(budget(0, 8_000, 0), 2_000);
        assert_eq!(budget(0, 8_000, 1_500), 2_000);
    }
}
