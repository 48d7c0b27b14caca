//! Likes of a room: one running total, told once a window however many come.
//!
//! Where the app's backend is asked before, a window that is due is put to it
//! first: one question for all of its likes. What comes meanwhile waits for
//! the next window. A window that is refused is taken out of the total.
//!
//! Invariants: nothing is lost but what is refused (the total is absolute, and
//! after the last like it is told, or asked about, at the end of the window at
//! the latest); two tellings are at least a window apart; the first like after
//! a rest is told, or asked about, at once; at most one window is under
//! question.

use std::time::Duration;

use livegate_proto::client::{Custom, room_message};

use crate::clock::Instant;

/// Likes that came in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub count: u64,
    /// All so far, with these.
    pub total: u64,
}

impl Window {
    /// As backends are asked and told of it.
    pub fn content(&self) -> room_message::Content {
        let Self { count, total } = self;
        let data = format!("{{\"cmd\":\"like\",\"count\":{count},\"total\":{total}}}");
        room_message::Content::Custom(Custom {
            r#type: "like".to_owned(),
            data: data.into_bytes().into(),
        })
    }
}

/// What becomes of a window that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is told.
    Tell(Window),
    /// The backend is asked; [`Likes::answered`] takes what it says.
    Ask(Window),
}

/// The running total of a room's likes.
#[derive(Debug)]
pub struct Likes {
    window: Duration,
    asks: bool,
    total: u64,
    told: u64,
    /// The window that is under question.
    asked: Option<Window>,
    /// The earliest time of the next telling or question.
    open_at: Instant,
}

impl Likes {
    /// No likes yet; told at most once a `window`, after a question if it
    /// `asks`.
    pub fn new(window: Duration, asks: bool) -> Self {
        Self {
            window,
            asks,
            total: 0,
            told: 0,
            asked: None,
            open_at: Instant(0),
        }
    }

    /// Counts likes.
    pub fn add(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
    }

    /// Takes up likes that an earlier process told.
    pub fn inherit(&mut self, count: u64) {
        self.add(count);
        self.told = self.told.saturating_add(count);
    }

    /// All likes so far that may be shown.
    pub fn total(&self) -> u64 {
        if self.asks { self.told } else { self.total }
    }

    /// The window, if it is over.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if self.deadline()? > now {
            return None;
        }
        let window = Window {
            count: self.total - self.told,
            total: self.total,
        };
        self.open_at = now + self.window;
        if self.asks {
            self.asked = Some(window);
            return Some(Due::Ask(window));
        }
        self.told = self.total;
        Some(Due::Tell(window))
    }

    /// What the backend says of the window that is under question: `may` it be
    /// told. Returns the window, or `None` when there is none.
    pub fn answered(&mut self, may: bool, now: Instant) -> Option<Window> {
        let window = self.asked.take()?;
        self.open_at = now + self.window;
        if may {
            self.told = window.total;
        } else {
            self.total -= window.count;
        }
        Some(window)
    }

    /// The backend could not be asked: the window goes on.
    pub fn put_off(&mut self) {
        self.asked = None;
    }

    /// When [`due`](Self::due) has something to tell or to ask.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = self.told != self.total && self.asked.is_none();
        waits.then_some(self.open_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn window(count: u64, total: u64) -> Window {
        Window { count, total }
    }

    #[test]
    fn the_first_like_is_told_at_once_and_the_next_ones_together() {
        let mut likes = Likes::new(WINDOW, false);
        likes.add(1);
        assert_eq!(likes.due(at(10)), Some(Due::Tell(window(1, 1))));
        likes.add(5);
        likes.add(7);
        assert_eq!(likes.due(at(509)), None);
        assert_eq!(likes.deadline(), Some(at(510)));
        assert_eq!(likes.due(at(510)), Some(Due::Tell(window(12, 13))));
        assert_eq!(likes.deadline(), None);
    }

    #[test]
    fn a_window_is_asked_about_once_and_what_comes_meanwhile_is_the_next() {
        let mut likes = Likes::new(WINDOW, true);
        likes.add(3);
        assert_eq!(likes.due(at(0)), Some(Due::Ask(window(3, 3))));
        likes.add(4);
        assert_eq!(likes.due(at(5_000)), None, "one question at a time");
        assert_eq!((likes.deadline(), likes.total()), (None, 0));
        assert_eq!(likes.answered(true, at(5_000)), Some(window(3, 3)));
        assert_eq!((likes.deadline(), likes.total()), (Some(at(5_500)), 3));
        assert_eq!(likes.due(at(5_500)), Some(Due::Ask(window(4, 7))));
        assert_eq!(likes.answered(true, at(5_510)), Some(window(4, 7)));
        assert_eq!(likes.answered(true, at(5_510)), None);
    }

    #[test]
    fn a_refused_window_is_taken_out_of_the_total() {
        let mut likes = Likes::new(WINDOW, true);
        likes.inherit(100);
        assert_eq!(likes.deadline(), None, "what was told is not asked about");
        likes.add(3);
        likes.due(at(0));
        likes.add(4);
        assert_eq!(likes.answered(false, at(10)), Some(window(3, 103)));
        assert_eq!(likes.total(), 100);
        assert_eq!(likes.due(at(510)), Some(Due::Ask(window(4, 104))));
    }

    #[test]
    fn a_window_that_could_not_be_asked_about_goes_on() {
        let mut likes = Likes::new(WINDOW, true);
        likes.add(3);
        likes.due(at(0));
        likes.put_off();
        likes.add(1);
        assert_eq!(likes.deadline(), Some(at(500)));
        assert_eq!(likes.due(at(500)), Some(Due::Ask(window(4, 4))));
    }

    proptest! {
        /// Reference model: a sum, and the times of tellings.
        #[test]
        fn no_like_is_lost_and_no_two_tellings_share_a_window(
            steps in prop::collection::vec((0u64..400, 0u64..1000), 1..300)
        ) {
            let mut likes = Likes::new(WINDOW, false);
            let (mut now, mut sum, mut told, mut last) = (0, 0, 0, None::<u64>);
            for (ms, count) in steps {
                now += ms;
                likes.add(count);
                sum += count;
                if let Some(due) = likes.due(at(now)) {
                    prop_assert_eq!(due, Due::Tell(window(sum - told, sum)));
                    prop_assert!(last.is_none_or(|at| now - at >= 500));
                    (told, last) = (sum, Some(now));
                }
                let behind = told != sum;
                prop_assert_eq!(likes.deadline().is_some(), behind);
                prop_assert!(!behind || last.is_some_and(|at| now - at < 500));
            }
            prop_assert_eq!(likes.total(), sum);
        }

        /// Reference model: what was allowed, and that no two questions are
        /// open at once.
        #[test]
        fn asked_about_every_like_is_told_or_refused_once(
            steps in prop::collection::vec((0u64..400, 0u64..100, any::<bool>(), any::<bool>()), 1..300)
        ) {
            let mut likes = Likes::new(WINDOW, true);
            let (mut now, mut given, mut allowed, mut refused) = (0, 0, 0, 0);
            let mut open = None;
            for (ms, count, answers, may) in steps {
                now += ms;
                likes.add(count);
                given += count;
                if let Some(due) = likes.due(at(now)) {
                    let Due::Ask(asked) = due else { panic!("told unasked") };
                    prop_assert!(open.is_none());
                    prop_assert_eq!(asked.total, allowed + asked.count);
                    open = Some(asked);
                }
                if answers && open.is_some() {
                    prop_assert_eq!(likes.answered(may, at(now)), open);
                    let count = open.take().map_or(0, |asked| asked.count);
                    *if may { &mut allowed } else { &mut refused } += count;
                }
                prop_assert_eq!(likes.total(), allowed);
                prop_assert!(allowed + refused <= given);
            }
        }
    }
}
