//! What waits for a client that does not read, and what it will miss.
//!
//! Two policies, both pure. [`Mailbox`] is the session's own ring: replies and
//! direct messages that could not be written at once. [`plan`] looks at what a
//! room's log holds for a subscriber that fell behind, and says which entries
//! it skips.
//!
//! Invariants: essential and high frames are never dropped: when they do not
//! fit, the client is too slow and is closed. What is dropped is the least and
//! oldest, and is counted exactly. What is kept keeps its order. Held bytes
//! never exceed the limit.

use std::collections::VecDeque;

use livegate_proto::Encoded;
use serde::{Deserialize, Serialize};

use crate::dispatch::Class;

/// What a slow client may hold.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailboxConfig {
    /// Bytes of frames that wait for one session, besides its rooms' logs. The
    /// answers to all calls that it may have in flight, 64 KiB each, should
    /// fit: else a burst of large ones closes a client that is not slow.
    pub bytes: usize,
    /// Frames that wait for one session, besides its rooms' logs.
    pub frames: usize,
    /// Frames of a room's log by which a subscriber may lag before it skips.
    pub lag_frames: usize,
    /// Bytes of a room's log by which a subscriber may lag before it skips.
    pub lag_bytes: usize,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        Self {
            bytes: 320 * 1024,
            frames: 256,
            lag_frames: 256,
            lag_bytes: 128 * 1024,
        }
    }
}

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits; so many frames, maybe itself, were dropped to make room.
    Kept {
        /// Dropped now; also counted in [`Mailbox::dropped`].
        dropped: u32,
    },
    /// It must not be dropped and does not fit: the client is to be closed
    /// as a slow consumer. Nothing was changed.
    Overflow,
}

/// Frames that wait for one session, oldest first.
#[derive(Debug, Default)]
pub struct Mailbox {
    queue: VecDeque<(Encoded, Class)>,
    bytes: usize,
    dropped: u64,
}

impl Mailbox {
    /// Puts a frame behind the others, dropping older ones of no higher class
    /// when it needs their place: low before normal, the oldest first.
    pub fn offer(&mut self, frame: Encoded, class: Class, config: &MailboxConfig) -> Offered {
        let room = Room::needed(self, frame.len(), config);
        if !room.is_there(self, class) {
            if class >= Class::High {
                return Offered::Overflow;
            }
            self.dropped += 1;
            return Offered::Kept { dropped: 1 };
        }
        let dropped = self.make(room, class);
        self.bytes += frame.len();
        self.queue.push_back((frame, class));
        Offered::Kept { dropped }
    }

    /// Moves whole frames to `out`, oldest first, up to `max_bytes` but at
    /// least one. Gives the number of frames moved.
    pub fn take(&mut self, max_bytes: usize, out: &mut Vec<u8>) -> usize {
        let (mut frames, mut taken) = (0, 0);
        while let Some((frame, _)) = self.queue.front() {
            if frames > 0 && taken + frame.len() > max_bytes {
                break;
            }
            out.extend_from_slice(frame.prefixed());
            taken += frame.len();
            frames += 1;
            self.queue.pop_front();
        }
        self.bytes -= taken;
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        frames
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames dropped since this was last asked: what the client is told.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Drops what `room` asks for; the caller has seen that it is there.
    fn make(&mut self, mut room: Room, class: Class) -> u32 {
        let mut dropped = 0;
        for least in [Class::Low, Class::Normal] {
            if least > class || room.is_enough() {
                break;
            }
            self.queue.retain(|(frame, held)| {
                let goes = *held == least && !room.is_enough();
                if goes {
                    room.gained(frame.len());
                    self.bytes -= frame.len();
                    dropped += 1;
                }
                !goes
            });
        }
        self.dropped += u64::from(dropped);
        dropped
    }
}

/// What must go before a frame fits.
#[derive(Clone, Copy)]
struct Room {
    bytes: usize,
    frames: usize,
}

impl Room {
    fn needed(mailbox: &Mailbox, len: usize, config: &MailboxConfig) -> Self {
        Self {
            bytes: (mailbox.bytes + len).saturating_sub(config.bytes),
            frames: (mailbox.queue.len() + 1).saturating_sub(config.frames),
        }
    }

    fn is_enough(self) -> bool {
        self.bytes == 0 && self.frames == 0
    }

    fn gained(&mut self, len: usize) {
        self.bytes = self.bytes.saturating_sub(len);
        self.frames = self.frames.saturating_sub(1);
    }

    /// Whether frames that a frame of `class` may push out are enough.
    fn is_there(mut self, mailbox: &Mailbox, class: Class) -> bool {
        let most = class.min(Class::Normal);
        for (frame, held) in &mailbox.queue {
            if self.is_enough() {
                return true;
            }
            if *held <= most {
                self.gained(frame.len());
            }
        }
        self.is_enough()
    }
}

/// One entry of a room's log, as the policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its place in the room's order.
    pub seq: u64,
    /// What may happen to it.
    pub class: Class,
    /// Bytes with the prefix.
    pub len: usize,
}

/// A stretch of the log in which a subscriber skips the normal entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// Entries skipped.
    pub count: u64,
    /// The first of them.
    pub from_seq: u64,
    /// The last of them.
    pub to_seq: u64,
}

impl Skip {
    /// Whether this entry is skipped.
    pub fn covers(&self, item: Item) -> bool {
        item.class <= Class::Normal && (self.from_seq..=self.to_seq).contains(&item.seq)
    }
}

/// How a subscriber that fell behind goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// From its cursor, with everything.
    Follow,
    /// From its cursor, without what the stretch covers.
    Skip(Skip),
    /// The log no longer holds what comes after its cursor: it is closed.
    FellOff,
}

/// Decides how a subscriber goes on from `cursor`, given the log's `tail` (the
/// seq before its oldest entry) and its entries after the cursor, oldest
/// first. Normal entries are skipped, the oldest first, until what remains is
/// within the lag that `config` allows; others are never skipped.
pub fn plan(
    cursor: u64,
    tail: u64,
    entries: impl Iterator<Item = Item> + Clone,
    config: &MailboxConfig,
) -> Plan {
    if cursor < tail {
        return Plan::FellOff;
    }
    let mut room = Room {
        bytes: 0,
        frames: 0,
    };
    for item in entries.clone() {
        room.bytes += item.len;
        room.frames += 1;
    }
    room.bytes = room.bytes.saturating_sub(config.lag_bytes);
    room.frames = room.frames.saturating_sub(config.lag_frames);
    let mut skip: Option<Skip> = None;
    for item in entries.filter(|item| item.class <= Class::Normal) {
        if room.is_enough() {
            break;
        }
        room.gained(item.len);
        let stretch = skip.get_or_insert(Skip {
            count: 0,
            from_seq: item.seq,
            to_seq: item.seq,
        });
        stretch.count += 1;
        stretch.to_seq = item.seq;
    }
    skip.map_or(Plan::Follow, Plan::Skip)
}

#[cfg(test)]
mod tests;
