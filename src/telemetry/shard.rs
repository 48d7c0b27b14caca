//! What one shard counts: written by its thread alone, on cache lines of its
//! own, and summed over the shards when they are read.

use std::time::Duration;

use livegate_proto::code::Code;

use super::cell::{Counter, Gauge, Grid, Histogram, SIZE, TIME, Tally};
use super::labels::{CODES, CloseReason, MessageClass, SkipCause, Transport, code_index};

/// The counters of one shard. Aligned so that no two shards share a line, nor
/// a pair of lines that the processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardMetrics {
    pub(super) opened: Tally<{ Transport::COUNT }>,
    pub(super) closed: Grid<{ Transport::COUNT }, { CloseReason::COUNT }>,
    pub(super) replies: Tally<CODES>,
    pub(super) messages_out: Tally<{ MessageClass::COUNT }>,
    pub(super) skipped: Grid<{ MessageClass::COUNT }, { SkipCause::COUNT }>,
    pub(super) bytes_in: Tally<{ Transport::COUNT }>,
    pub(super) bytes_out: Tally<{ Transport::COUNT }>,
    pub(super) writes: Tally<{ Transport::COUNT }>,
    pub(super) blocked: Counter,
    pub(super) sweep_time: Histogram,
    pub(super) sweep_frames: Histogram,
    pub(super) sweep_subscribers: Histogram,
    pub(super) inbox_depth: Gauge,
    pub(super) laggards: Gauge,
    pub(super) stalls: Counter,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            opened: Tally::default(),
            closed: Grid::default(),
            replies: Tally::default(),
            messages_out: Tally::default(),
            skipped: Grid::default(),
            bytes_in: Tally::default(),
            bytes_out: Tally::default(),
            writes: Tally::default(),
            blocked: Counter::default(),
            sweep_time: Histogram::new(&TIME),
            sweep_frames: Histogram::new(&SIZE),
            sweep_subscribers: Histogram::new(&SIZE),
            inbox_depth: Gauge::default(),
            laggards: Gauge::default(),
            stalls: Counter::default(),
        }
    }
}

impl ShardMetrics {
    /// Counts a connection that the shard took over. Its end is
    /// [`Self::closed`]; the gauge of open ones is the difference.
    pub fn opened(&self, transport: Transport) {
        self.opened.add(transport.index(), 1);
    }

    /// Counts the end of a connection that was [`Self::opened`].
    pub fn closed(&self, transport: Transport, reason: impl Into<CloseReason>) {
        let reason: CloseReason = reason.into();
        self.closed.row(transport.index()).add(reason.index(), 1);
    }

    /// Counts a request by the code of its reply.
    pub fn replied(&self, code: Code) {
        self.replies.add(code_index(code), 1);
    }

    /// Counts deliveries: frames times the subscribers that they were written
    /// to.
    pub fn messages_out(&self, class: impl Into<MessageClass>, deliveries: u64) {
        self.messages_out.add(class.into().index(), deliveries);
    }

    /// Counts deliveries that one subscriber missed, others not.
    pub fn skipped(&self, class: impl Into<MessageClass>, cause: SkipCause, deliveries: u64) {
        let class = class.into().index();
        self.skipped.row(class).add(cause.index(), deliveries);
    }

    /// Counts bytes of a client's frames.
    pub fn bytes_in(&self, transport: Transport, bytes: u64) {
        self.bytes_in.add(transport.index(), bytes);
    }

    /// Counts writes to clients and the bytes of their frames.
    pub fn wrote(&self, transport: Transport, writes: u64, bytes: u64) {
        self.writes.add(transport.index(), writes);
        self.bytes_out.add(transport.index(), bytes);
    }

    /// Counts a client whose socket is full: until [`Self::unblocked`] it is
    /// served from its rooms' logs on its own.
    pub fn blocked(&self) {
        self.blocked.add(1);
        self.laggards.add(1);
    }

    /// A client's socket takes bytes again, or is gone.
    pub fn unblocked(&self) {
        self.laggards.add(-1);
    }

    /// Counts one sweep of a room: what it took, how many frames it joined,
    /// how many subscribers it wrote to.
    pub fn swept(&self, spent: Duration, frames: u64, subscribers: u64) {
        self.sweep_time.time(spent);
        self.sweep_frames.record(frames);
        self.sweep_subscribers.record(subscribers);
    }

    /// Sets how many inputs the shard found when it last looked.
    pub fn inbox_depth(&self, inputs: u64) {
        self.inbox_depth.set(inputs);
    }

    /// Counts a slip of the shard's own tick, for which connections were given
    /// the time back.
    pub fn stalled(&self) {
        self.stalls.add(1);
    }
}
