//! Which messages a room has seen: a retried send is one message.
//!
//! Invariants: an id is remembered for its window unless more than the limit
//! came since; ids of two users never meet. Messages that were discarded are
//! not remembered: a retry of one may pass.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::{Instant, Unix};
use crate::id::UserId;

/// The place that a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In the room's order.
    pub seq: u64,
    /// When it was stamped.
    pub time: Unix,
}

type Key = (UserId, Arc<str>);

/// Recent messages of a room by sender and client message id.
#[derive(Debug)]
pub struct Dedupe {
    window: Duration,
    limit: usize,
    places: HashMap<Key, Place, RandomState>,
    /// Oldest first.
    order: VecDeque<(Instant, Key)>,
}

impl Dedupe {
    /// Remembers up to `limit` ids for `window` each.
    pub fn new(window: Duration, limit: usize) -> Self {
        Self {
            window,
            limit,
            places: HashMap::default(),
            order: VecDeque::new(),
        }
    }

    /// The place of the message that `user` sent under `id`, if it is
    /// remembered. An empty id never is.
    pub fn find(&mut self, user: &UserId, id: &Arc<str>, now: Instant) -> Option<Place> {
        self.forget(now);
        if id.is_empty() || self.places.is_empty() {
            return None;
        }
        let key = (user.clone(), Arc::clone(id));
        self.places.get(&key).copied()
    }

    /// Remembers a message that [`find`](Self::find) did not.
    pub fn remember(&mut self, user: &UserId, id: &Arc<str>, place: Place, now: Instant) {
        if id.is_empty() || self.limit == 0 {
            return;
        }
        if self.order.len() >= self.limit {
            self.forget_oldest();
        }
        let key = (user.clone(), Arc::clone(id));
        self.places.insert(key.clone(), place);
        self.order.push_back((now + self.window, key));
    }

    /// Forgets what is older than the window, and the buffers when nothing is
    /// left.
    pub fn forget(&mut self, now: Instant) {
        if self.order.is_empty() {
            return;
        }
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
        if self.order.is_empty() {
            self.order = VecDeque::new();
            self.places = HashMap::default();
        }
    }

    /// When the oldest id is to be forgotten.
    pub fn deadline(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.places.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_its_window_and_for_its_user_alone() {
        let mut dedupe = Dedupe::new(Duration::from_secs(120), 10);
        let (a, b) = (UserId::new("a").unwrap(), UserId::new("b").unwrap());
        let id = Arc::from("m1");
        dedupe.remember(&a, &id, place(7), Instant(0));
        let just_before = Instant::from_millis(119_999);
        assert_eq!(dedupe.find(&a, &id, just_before), Some(place(7)));
        assert_eq!(dedupe.find(&b, &id, just_before), None);
        assert_eq!(dedupe.find(&a, &id, Instant::from_millis(120_000)), None);
        assert_eq!(dedupe.deadline(), None);
    }

    #[test]
    fn an_empty_id_is_never_a_repeat() {
        let mut dedupe = Dedupe::new(Duration::from_secs(120), 10);
        let user = UserId::new("a").unwrap();
        let id = Arc::from("");
        dedupe.remember(&user, &id, place(1), Instant(0));
        assert_eq!(dedupe.find(&user, &id, Instant(0)), None);
    }

    #[test]
    fn the_oldest_id_gives_way_at_the_limit() {
        let mut dedupe = Dedupe::new(Duration::from_secs(120), 3);
        let user = UserId::new("a").unwrap();
        let ids: Vec<Arc<str>> = (0..5).map(|n| n.to_string().into()).collect();
        for (n, id) in (0..).zip(&ids) {
            dedupe.remember(&user, id, place(n), Instant(0));
        }
        let mut found = |id| dedupe.find(&user, id, Instant(0)).map(|p| p.seq);
        assert_eq!(found(&ids[1]), None);
        assert_eq!(found(&ids[2]), Some(2));
        assert_eq!(found(&ids[4]), Some(4));
    }

    fn place(seq: u64) -> Place {
        Place {
            seq,
            time: Unix(1000),
        }
    }
}
