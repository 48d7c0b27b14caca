//! From a room's log to its subscribers: take, join once, seal and write each.
//!
//! A sweep is a run of bytes and a place in the room's dense set. It goes on a
//! chunk at a time, so that a room of ten thousand holds up neither the reads
//! nor the other rooms of its shard. Nothing here awaits, and nothing copies a
//! message more than once per sweep.

use std::collections::VecDeque;

use crate::id::RoomUid;

/// Subscribers served between two looks at I/O and at other rooms (from
/// measurement: 128 keep a chunk under about 2 ms).
pub(crate) const CHUNK: usize = 128;

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
    active: VecDeque<Sweep>,
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
            self.active.push_front(sweep);
        } else {
            self.active.push_back(sweep);
        }
    }

    /// The sweep whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Sweep> {
        self.active.pop_front()
    }

    /// Puts a sweep back behind the others.
    pub(crate) fn again(&mut self, sweep: Sweep) {
        self.active.push_back(sweep);
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
