//! Requests in flight on one connection, matched with their replies by id.
//!
//! Pure: told the time. Every request waits equally long, so the oldest runs
//! out first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Requests in flight and who waits for each.
#[derive(Debug)]
pub(crate) struct Requests<W> {
    waiting: HashMap<u64, W>,
    order: VecDeque<(Instant, u64)>,
    limit: usize,
    patience: Duration,
}

impl<W> Requests<W> {
    /// Holds at most `limit` requests, each for at most `patience`.
    pub(crate) fn new(limit: usize, patience: Duration) -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            limit,
            patience,
        }
    }

    /// Whether one more fits.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.limit
    }

    /// Notes a request that was sent at `now`. The caller has asked
    /// [`has_room`](Self::has_room).
    pub(crate) fn insert(&mut self, id: u64, waiter: W, now: Instant) {
        self.waiting.insert(id, waiter);
        self.order.push_back((now + self.patience, id));
    }

    /// Who waits for the reply with this id; `None` for one that nobody waits
    /// for (any more).
    pub(crate) fn take(&mut self, id: u64) -> Option<W> {
        let waiter = self.waiting.remove(&id);
        self.skip_answered();
        waiter
    }

    /// When the oldest runs out.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at)
    }

    /// One whose time ran out at `now`.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<W> {
        let (at, id) = *self.order.front()?;
        if at > now {
            return None;
        }
        self.take(id)
    }

    /// Everyone who still waits, in no order; none does afterwards.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> {
        self.order.clear();
        self.waiting.drain().map(|(_, waiter)| waiter)
    }

    /// Invariant: the front of the order is in flight, so the order is no
    /// longer than what was sent since the oldest in flight.
    fn skip_answered(&mut self) {
        while let Some((_, id)) = self.order.front()
            && !self.waiting.contains_key(id)
        {
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    #[derive(Debug, Clone)]
    enum Step {
        Send,
        Reply(u64),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Send),
            (0u64..40).prop_map(Step::Reply),
            (0u64..60).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Reference model: a map from id to deadline.
        #[test]
        fn each_request_ends_once_by_its_reply_or_by_its_time(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut now = Instant::now();
            let mut requests = Requests::new(8, PATIENCE);
            let mut model: BTreeMap<u64, Instant> = BTreeMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Send => {
                        prop_assert_eq!(requests.has_room(), model.len() < 8);
                        if requests.has_room() {
                            requests.insert(next, next, now);
                            model.insert(next, now + PATIENCE);
                            next += 1;
                        }
                    }
                    Step::Reply(id) => {
                        let expected = model.remove(&id).map(|_| id);
                        prop_assert_eq!(requests.take(id), expected);
                    }
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                }
                let mut ended: Vec<u64> = std::iter::from_fn(|| requests.expired(now)).collect();
                ended.sort_unstable();
                let expected: Vec<u64> =
                    model.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
                model.retain(|_, at| *at > now);
                prop_assert_eq!(ended, expected);
                prop_assert_eq!(requests.due(), model.values().min().copied());
            }
            let mut left: Vec<u64> = requests.drain().collect();
            left.sort_unstable();
            prop_assert_eq!(left, model.keys().copied().collect::<Vec<_>>());
        }
    }
}
