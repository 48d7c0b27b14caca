//! A room's log: the ring of recent frames, each with its place in the order.
//!
//! What shards deliver from, and what history and laggards read. The room
//! appends under its lock; everybody else follows by cursor: the seq of the
//! last entry it has seen.
//!
//! Invariants: seqs are contiguous, so a cursor finds its entry by
//! subtraction; what a shard has not yet taken is not given up (its pin holds
//! the tail), except to an essential entry that finds its reserve used up;
//! all logs together stay under one [`Budget`], essential entries excepted.
//! A log that holds nothing owns no buffer.
//!
//! Not here: who is told (bells), who may append (limits), what an entry says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use livegate_proto::Encoded;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::clock::Instant;
use crate::dispatch::Class;
use crate::id::ShardId;

/// Limits of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Frames that a log holds.
    pub frames: usize,
    /// Bytes of frames that a log holds.
    pub bytes: usize,
    /// How long an entry is kept.
    #[serde(with = "crate::clock::span")]
    pub age: Duration,
    /// Frames beyond `frames` that essential entries may use when a shard is
    /// behind.
    pub reserve_frames: usize,
    /// Bytes beyond `bytes` that essential entries may use then.
    pub reserve_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            frames: 4096,
            bytes: 1 << 20,
            age: Duration::from_secs(120),
            reserve_frames: 256,
            reserve_bytes: 128 << 10,
        }
    }
}

/// Bytes that all logs of the process may hold together.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let used = AtomicUsize::new(0);
        Self { limit, used }
    }

    /// Bytes held by all logs: a gauge.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// By how many powers of two each log cuts its history now, so that no
    /// room starves because others remember much.
    fn pressure(&self) -> u32 {
        let percent = self.used().saturating_mul(100) / self.limit.max(1);
        match percent {
            0..50 => 0,
            50..70 => 2,
            70..85 => 4,
            _ => 6,
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let take = |used: usize| (used + bytes <= self.limit).then_some(used + bytes);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One frame in its place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Place in the room's order, from 1.
    pub seq: u64,
    /// What may happen to it on its way to a slow subscriber.
    pub class: Class,
    /// The frame with its length prefix.
    pub frame: Encoded,
    /// When it was appended.
    pub at: Instant,
}

/// Why an entry has no place. Nothing was stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The log is full of entries that a shard has yet to take.
    Full,
    /// The budget of all logs is used up.
    Budget,
}

/// What [`Log::join`] copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Everything up to this seq was copied or is lost.
    pub cursor: u64,
    /// Frames copied.
    pub frames: u32,
    /// How many of each class, in the order of [`Class::ALL`].
    pub classes: [u32; 4],
    /// Entries after the given cursor that the log no longer held.
    pub lost: u64,
}

/// A room's ring of recent frames.
#[derive(Debug)]
pub struct Log {
    epoch: u64,
    head: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    pins: SmallVec<[(ShardId, u64); 4]>,
    limits: LogConfig,
    budget: Arc<Budget>,
}

impl Log {
    /// An empty log whose sequence begins at 1 under `epoch`.
    pub fn new(epoch: u64, limits: LogConfig, budget: Arc<Budget>) -> Self {
        Self {
            epoch,
            head: 0,
            entries: VecDeque::new(),
            bytes: 0,
            pins: SmallVec::new(),
            limits,
            budget,
        }
    }

    /// The incarnation of the sequence.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest seq; 0 when nothing was appended yet.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The seq before the oldest entry held: from this cursor on the log is
    /// complete.
    pub fn tail(&self) -> u64 {
        self.head - self.entries.len() as u64
    }

    /// Bytes of the frames held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest entry is due to be given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.entries.front().map(|e| e.at + self.limits.age)
    }

    /// Stamps and keeps the frame that `encode(epoch, seq)` makes, and returns
    /// its seq. Older entries give way as far as no shard's pin holds them;
    /// for an essential one, in the end, even those.
    ///
    /// # Errors
    /// [`Refused`] when there is no place; never for [`Class::Essential`].
    pub fn append(
        &mut self,
        class: Class,
        now: Instant,
        encode: impl FnOnce(u64, u64) -> Encoded,
    ) -> Result<u64, Refused> {
        let essential = class == Class::Essential;
        if !essential && self.entries.len() >= self.limits.frames && !self.oldest_is_free() {
            return Err(Refused::Full);
        }
        let seq = self.head + 1;
        let frame = encode(self.epoch, seq);
        let len = frame.len();
        if essential {
            self.make_essential_place(len);
        } else {
            self.make_place(len)?;
        }
        self.head = seq;
        self.bytes += len;
        self.entries.push_back(Entry {
            seq,
            class,
            frame,
            at: now,
        });
        Ok(seq)
    }

    /// Entries after `cursor`, oldest first; from the oldest held when the
    /// cursor lies before it.
    pub fn after(
        &self,
        cursor: u64,
    ) -> impl ExactSizeIterator<Item = &Entry> + DoubleEndedIterator + Clone {
        let skip = cursor.clamp(self.tail(), self.head) - self.tail();
        let skip = usize::try_from(skip).expect("no more than entries held");
        self.entries.range(skip..)
    }

    /// Appends the frames after `cursor` to `out`, whole ones, up to
    /// `max_bytes`, but at least one if there is any.
    pub fn join(&self, cursor: u64, max_bytes: usize, out: &mut Vec<u8>) -> Joined {
        let entries = self.after(cursor);
        let mut joined = Joined {
            cursor: cursor.max(self.tail()),
            frames: 0,
            classes: [0; 4],
            lost: self.tail().saturating_sub(cursor),
        };
        let start = out.len();
        for entry in entries {
            let frame = entry.frame.prefixed();
            if joined.frames > 0 && out.len() - start + frame.len() > max_bytes {
                break;
            }
            out.extend_from_slice(frame);
            joined.cursor = entry.seq;
            joined.frames += 1;
            joined.classes[entry.class as usize] += 1;
        }
        joined
    }

    /// Holds everything after `cursor` for `shard`, in place of what was held
    /// for it before.
    pub fn pin(&mut self, shard: ShardId, cursor: u64) {
        match self.pins.iter_mut().find(|(id, _)| *id == shard) {
            Some((_, pin)) => *pin = cursor,
            None => self.pins.push((shard, cursor)),
        }
    }

    /// The cursor pinned for `shard`.
    pub fn pinned(&self, shard: ShardId) -> Option<u64> {
        let pin = self.pins.iter().find(|(id, _)| *id == shard)?;
        Some(pin.1)
    }

    /// Holds nothing for `shard` any longer.
    pub fn unpin(&mut self, shard: ShardId) {
        self.pins.retain(|(id, _)| *id != shard);
    }

    /// Gives up entries that are older than allowed and not pinned, and the
    /// buffer when none is left.
    pub fn trim(&mut self, now: Instant) {
        while self.deadline().is_some_and(|due| due <= now) && self.oldest_is_free() {
            self.give_up_oldest();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn make_place(&mut self, len: usize) -> Result<(), Refused> {
        let history = self.limits.bytes >> self.budget.pressure();
        while self.entries.len() >= self.limits.frames || self.bytes + len > history {
            if !self.oldest_is_free() {
                break;
            }
            self.give_up_oldest();
        }
        let fits = self.entries.len() < self.limits.frames && self.bytes + len <= self.limits.bytes;
        if !fits {
            return Err(Refused::Full);
        }
        while !self.budget.try_take(len) {
            if !self.oldest_is_free() {
                return Err(Refused::Budget);
            }
            self.give_up_oldest();
        }
        Ok(())
    }

    fn make_essential_place(&mut self, len: usize) {
        if self.make_place(len).is_ok() {
            return;
        }
        let frames = self.limits.frames + self.limits.reserve_frames;
        let bytes = self.limits.bytes + self.limits.reserve_bytes;
        while !self.entries.is_empty() && (self.entries.len() >= frames || self.bytes + len > bytes)
        {
            self.give_up_oldest();
        }
        self.budget.take(len);
    }

    /// Whether there is an oldest entry and every shard has taken it.
    fn oldest_is_free(&self) -> bool {
        let Some(oldest) = self.entries.front() else {
            return false;
        };
        self.pins.iter().all(|(_, cursor)| *cursor >= oldest.seq)
    }

    fn give_up_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.frame.len();
            self.budget.give(entry.frame.len());
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests;
