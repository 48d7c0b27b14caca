//! Figures of one live: plain counts, and distinct viewers in bounded memory.

use std::collections::HashSet;

use foldhash::fast::FixedState;

use crate::event::LiveStats;

/// Most hashes held: 1,000,000 viewers are counted exactly.
const EXACT: usize = 1_000_000;

/// Counts of a live that is open.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    /// What a snapshot before a kill had counted; zero for a live that this
    /// process has seen from its start.
    base: LiveStats,
    audience: Audience,
    peak: u32,
    messages: u64,
    likes: u64,
    gifts: u64,
}

impl Stats {
    /// Goes on from a snapshot. What came after it is lost, so all that this
    /// tells is approximate.
    pub(super) fn recovered(snapshot: LiveStats) -> Self {
        Self {
            base: LiveStats {
                approximate: true,
                ..snapshot
            },
            ..Self::default()
        }
    }

    pub(super) fn viewer(&mut self, hash: u64, online: u32) {
        self.audience.insert(hash);
        self.peak = self.peak.max(online);
    }

    pub(super) fn message(&mut self) {
        self.messages += 1;
    }

    pub(super) fn like(&mut self, count: u64) {
        self.likes = self.likes.saturating_add(count);
    }

    pub(super) fn unlike(&mut self, count: u64) {
        self.likes = self.likes.saturating_sub(count);
    }

    pub(super) fn gift(&mut self, count: u64) {
        self.gifts = self.gifts.saturating_add(count);
    }

    /// The figures after so many milliseconds.
    ///
    /// Who was counted before a kill is not known by name. Those who enter
    /// after it are mostly the same people, so the greater of the two counts
    /// is told and not their sum.
    pub(super) fn read(&self, duration_ms: u64) -> LiveStats {
        LiveStats {
            duration_ms,
            peak_viewers: self.base.peak_viewers.max(self.peak),
            total_viewers: self.base.total_viewers.max(self.audience.count()),
            messages: self.base.messages.saturating_add(self.messages),
            likes: self.base.likes.saturating_add(self.likes),
            gifts: self.base.gifts.saturating_add(self.gifts),
            approximate: self.base.approximate || self.audience.level > 0,
        }
    }
}

/// Distinct hashes: exact up to a cap, then by adaptive sampling. At level n
/// only hashes with n trailing zero bits are held and each stands for 2^n, so
/// memory stays under the cap and the error near 1/sqrt(cap).
#[derive(Clone, Debug)]
struct Audience {
    seen: HashSet<u64, FixedState>,
    level: u32,
    cap: usize,
}

impl Default for Audience {
    fn default() -> Self {
        Self {
            seen: HashSet::default(),
            level: 0,
            cap: EXACT,
        }
    }
}

impl Audience {
    fn insert(&mut self, hash: u64) {
        if hash.trailing_zeros() < self.level {
            return;
        }
        self.seen.insert(hash);
        while self.seen.len() > self.cap {
            self.level += 1;
            let level = self.level;
            self.seen.retain(|hash| hash.trailing_zeros() >= level);
        }
    }

    fn count(&self) -> u64 {
        let held = u64::try_from(self.seen.len()).unwrap_or(u64::MAX);
        held.checked_shl(self.level).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn a_viewer_who_enters_twice_is_one_viewer() {
        let mut stats = Stats::default();
        stats.viewer(1, 1);
        stats.viewer(2, 2);
        stats.viewer(1, 1);
        let read = stats.read(7);
        assert_eq!((read.total_viewers, read.peak_viewers), (2, 2));
        assert!(!read.approximate);
    }

    #[test]
    fn past_the_cap_memory_is_bounded_and_the_count_is_near() {
        let mut audience = Audience {
            cap: 4_096,
            ..Audience::default()
        };
        let hasher = FixedState::with_seed(3);
        for viewer in 0..100_000_u64 {
            audience.insert(hasher.hash_one(viewer));
            assert!(audience.seen.len() <= 4_096);
        }
        let count = audience.count();
        assert!((90_000..110_000).contains(&count), "{count}");
        assert!(audience.level > 0);
    }

    #[test]
    fn a_recovered_live_goes_on_from_its_snapshot_and_says_so() {
        let snapshot = LiveStats {
            total_viewers: 10,
            peak_viewers: 5,
            likes: 3,
            ..LiveStats::default()
        };
        let mut stats = Stats::recovered(snapshot);
        stats.viewer(9, 1);
        stats.like(2);
        let read = stats.read(1);
        assert_eq!(
            (read.total_viewers, read.peak_viewers, read.likes),
            (10, 5, 5)
        );
        assert!(read.approximate);
    }
}
