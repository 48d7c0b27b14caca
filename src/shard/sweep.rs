//! From a room's log to its subscribers: take, join once, seal and write each.
//!
//! A sweep is a run of bytes and a place in the room's dense set. It goes on a
//! chunk at a time, so that a room of ten thousand holds up neither the reads
//! nor the other rooms of its shard: in each turn rooms that have become due are
//! served before one that goes on. Nothing here awaits, and nothing copies a
//! message more than once per sweep.
//!
//! Invariant: a sweep that goes on gets at least half of every turn.

use std::collections::VecDeque;

use crate::id::RoomUid;

/// Subscribers served between two looks at I/O, of one room or of several (from
/// measurement: with 64 a hot room's neighbours feel nothing, with 128 half a
/// millisecond, and a delivery costs the same).
pub(crate) const CHUNK: usize = 64;

/// Most plaintext bytes that one sweep carries; what is left waits for the
/// next. Bounds what a subscriber holds when it stops reading in mid-sweep.
pub(crate) const MAX_RUN: usize = 48 * 1024;

/// One sweep under way.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) room: RoomUid,
    /// Prefixed frames after `from`, joined, the unsequenced state last.
    pub(crate) run: Vec<u8>,
    /// Frames in `run`.
    pub(crate) frames: u32,
    /// How many of each class, in the order of `Class::ALL`.
    pub(crate) classes: [u32; 4],
    /// The run begins after this seq ...
    pub(crate) from: u64,
    /// ... and ends with this one.
    pub(crate) to: u64,
    /// The version of the unsequenced state in the run; 0: none.
    pub(crate) flash: u64,
    /// Members before this place are yet to be served.
    pub(crate) left: usize,
    /// What it has cost so far.
    pub(crate) cost: std::time::Duration,
    /// Deliveries made.
    pub(crate) served: u32,
}

/// Sweeps under way, in turn; buffers come back to be used again.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    /// Nobody was served yet.
    fresh: VecDeque<Sweep>,
    /// Some were.
    going: VecDeque<Sweep>,
    buffers: Vec<Vec<u8>>,
}

impl Sweeps {
    /// A buffer for a run, empty.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Starts a sweep; an urgent one goes first.
    pub(crate) fn start(&mut self, sweep: Sweep, urgent: bool) {
        if urgent {
            self.fresh.push_front(sweep);
        } else {
            self.fresh.push_back(sweep);
        }
    }

    /// The sweep whose turn it is when `left` more may be served before I/O is
    /// looked at: one that has just begun in the first half, one that goes on
    /// in the second.
    pub(crate) fn next(&mut self, left: usize) -> Option<Sweep> {
        let (first, second) = if left > CHUNK / 2 {
            (&mut self.fresh, &mut self.going)
        } else {
            (&mut self.going, &mut self.fresh)
        };
        first.pop_front().or_else(|| second.pop_front())
    }

    /// Puts a sweep back behind the others that go on.
    pub(crate) fn again(&mut self, sweep: Sweep) {
        self.going.push_back(sweep);
    }

    /// Takes the buffer of a finished sweep back.
    pub(crate) fn finish(&mut self, sweep: Sweep) {
        /// Runs of ordinary rooms fit; a rare large one is given back.
        const KEEP_BYTES: usize = 2 * MAX_RUN;
        const KEEP: usize = 16;
        let mut run = sweep.run;
        if run.capacity() <= KEEP_BYTES && self.buffers.len() < KEEP {
            run.clear();
            self.buffers.push(run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(room: u64, left: usize) -> Sweep {
        Sweep {
            room: RoomUid(room),
            run: Vec::new(),
            frames: 1,
            classes: [0; 4],
            from: 0,
            to: 1,
            flash: 0,
            left,
            cost: std::time::Duration::ZERO,
            served: 0,
        }
    }

    /// Plays one turn and tells whom it served, with how many each.
    fn turn(sweeps: &mut Sweeps) -> Vec<(u64, usize)> {
        let (mut left, mut served) = (CHUNK, Vec::new());
        while left > 0
            && let Some(mut sweep) = sweeps.next(left)
        {
            let share = sweep.left.min(left);
            served.push((sweep.room.0, share));
            left -= share;
            sweep.left -= share;
            if sweep.left > 0 {
                sweeps.again(sweep);
            }
        }
        served
    }

    #[test]
    fn small_rooms_that_are_due_come_before_a_large_one_that_goes_on() {
        let mut sweeps = Sweeps::default();
        sweeps.start(sweep(1, 1_000), false);
        assert_eq!(turn(&mut sweeps), [(1, CHUNK)]);
        sweeps.start(sweep(2, 5), false);
        sweeps.start(sweep(3, 7), false);
        assert_eq!(turn(&mut sweeps), [(2, 5), (3, 7), (1, CHUNK - 12)]);
    }

    #[test]
    fn however_many_are_due_one_that_goes_on_has_half_of_each_turn() {
        let mut sweeps = Sweeps::default();
        sweeps.start(sweep(0, 1_000), false);
        turn(&mut sweeps);
        for room in 1..100 {
            sweeps.start(sweep(room, 8), false);
        }
        for _ in 0..10 {
            let served = turn(&mut sweeps);
            let large = served.iter().find(|(room, _)| *room == 0);
            assert_eq!(large, Some(&(0, CHUNK / 2)), "{served:?}");
        }
    }

    #[test]
    fn an_urgent_one_goes_first() {
        let mut sweeps = Sweeps::default();
        sweeps.start(sweep(1, 3), false);
        sweeps.start(sweep(2, 3), true);
        assert_eq!(turn(&mut sweeps), [(2, 3), (1, 3)]);
    }
}
