//! Likes of a room: one running total, told once a window however many come.
//!
//! Invariants: nothing is lost (the total is absolute, and after the last like
//! it is told at the end of the window at the latest); two tellings are at
//! least a window apart; the first like after a rest is told at once.

use std::time::Duration;

use crate::clock::Instant;

/// The running total of a room's likes.
#[derive(Debug)]
pub struct Likes {
    window: Duration,
    total: u64,
    told: u64,
    /// The earliest time of the next telling.
    open_at: Instant,
}

impl Likes {
    /// No likes yet; told at most once a `window`.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            total: 0,
            told: 0,
            open_at: Instant(0),
        }
    }

    /// Counts likes.
    pub fn add(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
    }

    /// All likes so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The total, if it is to be told now.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        if self.deadline()? > now {
            return None;
        }
        self.told = self.total;
        self.open_at = now + self.window;
        Some(self.total)
    }

    /// When [`due`](Self::due) has something to tell.
    pub fn deadline(&self) -> Option<Instant> {
        (self.told != self.total).then_some(self.open_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(500);

    #[test]
    fn the_first_like_is_told_at_once_and_the_next_ones_together() {
        let mut likes = Likes::new(WINDOW);
        likes.add(1);
        assert_eq!(likes.due(Instant::from_millis(10)), Some(1));
        likes.add(5);
        likes.add(7);
        assert_eq!(likes.due(Instant::from_millis(509)), None);
        assert_eq!(likes.deadline(), Some(Instant::from_millis(510)));
        assert_eq!(likes.due(Instant::from_millis(510)), Some(13));
        assert_eq!(likes.deadline(), None);
    }

    proptest! {
        /// Reference model: a sum, and the times of tellings.
        #[test]
        fn no_like_is_lost_and_no_two_tellings_share_a_window(
            steps in prop::collection::vec((0u64..400, 0u64..1000), 1..300)
        ) {
            let mut likes = Likes::new(WINDOW);
            let (mut now, mut sum, mut told, mut last) = (0, 0, 0, None::<u64>);
            for (ms, count) in steps {
                now += ms;
                likes.add(count);
                sum += count;
                if let Some(total) = likes.due(Instant::from_millis(now)) {
                    prop_assert_eq!(total, sum);
                    prop_assert!(last.is_none_or(|at| now - at >= 500));
                    (told, last) = (total, Some(now));
                }
                let behind = told != sum;
                prop_assert_eq!(likes.deadline().is_some(), behind);
                prop_assert!(!behind || last.is_some_and(|at| now - at < 500));
            }
            prop_assert_eq!(likes.total(), sum);
        }
    }
}
