//! Settlements on their way to the disk.
//!
//! Why they wait: a transaction costs about a millisecond of a core and a sync
//! of the disk whatever it holds, and a settlement that is lost costs a
//! telling that the backend knows already. So they go with the next commit, or
//! together a moment later.
//!
//! Invariant: a row whose settlement waits is not read again.

use std::collections::HashSet;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Instant;
use crate::engine::Settlement;

/// Longest wait.
const WITHIN: Duration = Duration::from_millis(50);
/// So many do not wait for more.
const MANY: usize = 256;

/// Settlements that are not on disk.
#[derive(Debug, Default)]
pub(super) struct Settling {
    waiting: Vec<(u64, Settlement)>,
    since: Instant,
    unrecorded: HashSet<u64, RandomState>,
}

impl Settling {
    /// Takes in what became of the row `seq`.
    pub(super) fn add(&mut self, seq: u64, settlement: Settlement, now: Instant) {
        if self.waiting.is_empty() {
            self.since = now;
        }
        self.unrecorded.insert(seq);
        self.waiting.push((seq, settlement));
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When those that wait are to be recorded at the latest.
    pub(super) fn due(&self) -> Instant {
        match self.waiting.len() {
            0 => Instant::FAR,
            1..MANY => self.since + WITHIN,
            _ => self.since,
        }
    }

    /// Hands over those that wait, for a transaction.
    pub(super) fn take(&mut self) -> Vec<(u64, Settlement)> {
        std::mem::take(&mut self.waiting)
    }

    /// A transaction with these is on disk.
    pub(super) fn recorded(&mut self, settled: &[(u64, Settlement)]) {
        for (seq, _) in settled {
            self.unrecorded.remove(seq);
        }
    }

    /// Rows that are settled and yet on disk.
    pub(super) fn unrecorded(&self) -> &HashSet<u64, RandomState> {
        &self.unrecorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settlements_wait_for_a_moment_or_for_many() {
        let at = Instant::from_millis;
        let mut settling = Settling::default();
        assert_eq!(settling.due(), Instant::FAR);
        settling.add(1, Settlement::Done, at(1_000));
        settling.add(2, Settlement::Done, at(1_040));
        assert_eq!(settling.due(), at(1_050), "from the first on");
        let taken = settling.take();
        assert_eq!(settling.due(), Instant::FAR);
        assert!(settling.unrecorded().contains(&2), "taken, not recorded");
        settling.recorded(&taken);
        assert!(settling.unrecorded().is_empty());
        for seq in 0..MANY as u64 {
            settling.add(seq, Settlement::Done, at(2_000));
        }
        assert_eq!(settling.due(), at(2_000));
    }
}
