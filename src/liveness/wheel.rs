//! A hashed wheel of deadlines, told the time.
//!
//! Owns up to `u32::MAX` entries in one slab, threaded into [`BUCKETS`] lists
//! by the tick in which they are due; entries of later rounds stay in their
//! list and are passed over. Insert and cancel touch one list head, so a
//! frame costs nothing here: its owner stores when it was heard, and puts the
//! entry in again when it fires too soon for a verdict.
//!
//! Invariants: an entry never fires before its time; it fires in the first
//! [`Wheel::advance`] that is told a time at least one tick later; it fires or
//! is cancelled once, and a [`Token`] of either finds nothing afterwards.
//!
//! Does not bound its entries: each belongs to a session, room or live, and
//! those are bounded where they are made.

use std::fmt;
use std::time::Duration;

use crate::clock::Instant;

/// Lists of the wheel: with ticks of 250 ms one round takes 128 s, longer than
/// any heartbeat allowance, so that an entry is passed over rarely.
pub const BUCKETS: usize = 512;

const NIL: u32 = u32::MAX;

/// Names an entry until it has fired or was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    slot: u32,
    generation: u32,
}

/// Deadlines of things named by `K`.
pub struct Wheel<K> {
    /// Microseconds.
    tick: u64,
    /// Ticks up to this one have fired.
    current: u64,
    /// The first entry of each list.
    heads: Box<[u32; BUCKETS]>,
    slots: Vec<Slot<K>>,
    /// The first vacant slot; `next` leads to the others.
    vacant: u32,
    len: usize,
}

struct Slot<K> {
    key: K,
    /// The tick in which the entry fires.
    due: u64,
    prev: u32,
    next: u32,
    /// Counts up when the slot is vacated.
    generation: u32,
    occupied: bool,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel whose entries fire at most one `tick` late (at least
    /// 1 µs), beginning at `now`.
    pub fn new(tick: Duration, now: Instant) -> Self {
        let tick = u64::try_from(tick.as_micros()).unwrap_or(u64::MAX).max(1);
        Self {
            tick,
            current: now.0 / tick,
            heads: Box::new([NIL; BUCKETS]),
            slots: Vec::new(),
            vacant: NIL,
            len: 0,
        }
    }

    /// Lets `key` fire at `at`; at the next tick when that has passed.
    ///
    /// # Panics
    /// At `u32::MAX` entries, which no machine's connections reach.
    pub fn insert(&mut self, key: K, at: Instant) -> Token {
        let due = at.0.div_ceil(self.tick).max(self.current + 1);
        let slot = self.occupy(key, due);
        self.link(slot, due);
        self.len += 1;
        Token {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    /// Takes the entry out before it fires. False when it has fired already
    /// or was cancelled before.
    pub fn cancel(&mut self, token: Token) -> bool {
        let Some(entry) = self.slots.get(token.slot as usize) else {
            return false;
        };
        if !entry.occupied || entry.generation != token.generation {
            return false;
        }
        self.unlink(token.slot);
        self.vacate(token.slot);
        true
    }

    /// Fires what is due at `now`: calls `fire` with each key once, in no
    /// particular order. A `now` before an earlier one fires nothing. `fire`
    /// only notes the key: if it panicked, the rest would come a round late.
    pub fn advance(&mut self, now: Instant, mut fire: impl FnMut(K)) {
        let target = now.0 / self.tick;
        if target <= self.current {
            return;
        }
        // After a long sleep each list is looked at once, not once a round.
        let lists = (target - self.current).min(BUCKETS as u64);
        let first = self.current + 1;
        self.current = target;
        if self.len == 0 {
            return;
        }
        for tick in first..first + lists {
            self.fire_list(bucket(tick), &mut fire);
        }
    }

    /// When it is next worth calling [`advance`](Self::advance): the end of
    /// the tick that runs.
    pub fn next_tick(&self) -> Instant {
        Instant((self.current + 1).saturating_mul(self.tick))
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn fire_list(&mut self, list: usize, fire: &mut impl FnMut(K)) {
        let mut slot = self.heads[list];
        while slot != NIL {
            let Slot { key, due, next, .. } = self.slots[slot as usize];
            if due <= self.current {
                self.unlink(slot);
                self.vacate(slot);
                fire(key);
            }
            slot = next;
        }
    }

    fn occupy(&mut self, key: K, due: u64) -> u32 {
        let slot = self.vacant;
        if slot != NIL {
            let entry = &mut self.slots[slot as usize];
            self.vacant = entry.next;
            entry.key = key;
            entry.due = due;
            entry.occupied = true;
            return slot;
        }
        let slot = u32::try_from(self.slots.len())
            .ok()
            .filter(|slot| *slot != NIL)
            .expect("connections and rooms are limited far below u32::MAX");
        self.slots.push(Slot {
            key,
            due,
            prev: NIL,
            next: NIL,
            generation: 0,
            occupied: true,
        });
        slot
    }

    fn vacate(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        entry.occupied = false;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.vacant;
        self.vacant = slot;
        self.len -= 1;
    }

    fn link(&mut self, slot: u32, due: u64) {
        let head = &mut self.heads[bucket(due)];
        let next = std::mem::replace(head, slot);
        let entry = &mut self.slots[slot as usize];
        entry.prev = NIL;
        entry.next = next;
        if next != NIL {
            self.slots[next as usize].prev = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Slot {
            due, prev, next, ..
        } = self.slots[slot as usize];
        if prev == NIL {
            self.heads[bucket(due)] = next;
        } else {
            self.slots[prev as usize].next = next;
        }
        if next != NIL {
            self.slots[next as usize].prev = prev;
        }
    }
}

fn bucket(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS as u64).expect("a remainder of BUCKETS fits usize")
}

impl<K> fmt::Debug for Wheel<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("tick_us", &self.tick)
            .field("current", &self.current)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(50);

    fn fired(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        let mut keys = Vec::new();
        wheel.advance(now, |key| keys.push(key));
        keys.sort_unstable();
        keys
    }

    #[test]
    fn an_entry_fires_at_the_end_of_its_tick_and_not_before() {
        let mut wheel = Wheel::new(TICK, Instant(0));
        wheel.insert(1, Instant::from_millis(101));
        assert!(fired(&mut wheel, Instant::from_millis(149)).is_empty());
        assert_eq!(fired(&mut wheel, Instant::from_millis(150)), [1]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_entry_of_a_later_round_is_passed_over() {
        let round = TICK * u32::try_from(BUCKETS).unwrap();
        let mut wheel = Wheel::new(TICK, Instant(0));
        wheel.insert(1, Instant(0) + round + TICK);
        wheel.insert(2, Instant(0) + TICK);
        assert_eq!(fired(&mut wheel, Instant(0) + TICK), [2]);
        assert!(fired(&mut wheel, Instant(0) + round).is_empty());
        assert_eq!(fired(&mut wheel, Instant(0) + round + TICK), [1]);
    }

    #[test]
    fn a_token_of_a_reused_slot_cancels_nothing() {
        let mut wheel = Wheel::new(TICK, Instant(0));
        let old = wheel.insert(1, Instant::from_millis(10));
        assert!(wheel.cancel(old));
        wheel.insert(2, Instant::from_millis(10));
        assert!(!wheel.cancel(old));
        assert_eq!(fired(&mut wheel, Instant::from_millis(50)), [2]);
    }

    #[test]
    fn a_clock_that_steps_back_fires_nothing_twice() {
        let mut wheel = Wheel::new(TICK, Instant(0));
        wheel.insert(1, Instant::from_millis(50));
        assert_eq!(fired(&mut wheel, Instant::from_millis(500)), [1]);
        wheel.insert(2, Instant::from_millis(400));
        assert!(fired(&mut wheel, Instant::from_millis(400)).is_empty());
        assert_eq!(fired(&mut wheel, Instant::from_millis(550)), [2]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// So many milliseconds from now (negative: passed).
        Insert(i64),
        /// One of the tokens given so far.
        Cancel(prop::sample::Index),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let near = (-500i64..2_000).prop_map(Step::Insert);
        let far = (20_000i64..90_000).prop_map(Step::Insert);
        let cancel = any::<prop::sample::Index>().prop_map(Step::Cancel);
        let tick = (0u64..120).prop_map(Step::Advance);
        let jump = (0u64..100_000).prop_map(Step::Advance);
        prop_oneof![4 => near, 2 => far, 3 => cancel, 4 => tick, 1 => jump]
    }

    /// What waits, by the time it was asked for or put in, whichever is later.
    #[derive(Default)]
    struct Model {
        waiting: BTreeMap<(u64, u32), Token>,
        now: u64,
    }

    impl Model {
        /// What must have fired (a whole tick late) and what may have.
        fn split(&self) -> (Vec<u32>, Vec<u32>) {
            let tick = u64::try_from(TICK.as_millis()).unwrap();
            let due = |late: u64| {
                let mut keys: Vec<u32> = (self.waiting.keys())
                    .filter(|(at, _)| at + late <= self.now)
                    .map(|(_, key)| *key)
                    .collect();
                keys.sort_unstable();
                keys
            };
            (due(tick), due(0))
        }
    }

    proptest! {
        /// Reference model: a sorted map of deadlines. Nothing fires early,
        /// everything fires within one tick, once, unless cancelled.
        #[test]
        fn the_wheel_fires_what_a_sorted_map_would(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new(TICK, Instant(0));
            let mut model = Model::default();
            let mut tokens: Vec<(u64, u32, Token)> = Vec::new();
            for (key, step) in (0u32..).zip(steps) {
                match step {
                    Step::Insert(ms) => {
                        let at = model.now.saturating_add_signed(ms);
                        let token = wheel.insert(key, Instant::from_millis(at));
                        let at = at.max(model.now);
                        model.waiting.insert((at, key), token);
                        tokens.push((at, key, token));
                    }
                    Step::Cancel(index) => {
                        if !tokens.is_empty() {
                            let (at, key, token) = tokens[index.index(tokens.len())];
                            let waited = model.waiting.remove(&(at, key)).is_some();
                            prop_assert_eq!(wheel.cancel(token), waited);
                        }
                    }
                    Step::Advance(ms) => {
                        model.now += ms;
                        let keys = fired(&mut wheel, Instant::from_millis(model.now));
                        let (must, may) = model.split();
                        prop_assert!(must.iter().all(|key| keys.contains(key)));
                        prop_assert!(keys.iter().all(|key| may.contains(key)));
                        model.waiting.retain(|(_, key), _| !keys.contains(key));
                    }
                }
                prop_assert_eq!(wheel.len(), model.waiting.len());
            }
        }
    }
}
