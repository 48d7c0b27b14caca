//! How shards follow a room.
//!
//! A session's [`Room::enter`] holds the log for its shard from the seq that
//! it returns. The shard [subscribes](Room::subscribe) with its first session
//! of the room, [takes](Room::take) runs when it is rung, and
//! [lets go](Room::unsubscribe) with its last. When a session is told
//! [`Removed`](crate::dispatch::SessionEvent::Removed), serve it up to
//! [`head`](Room::head) first: what was said before concerns it still.

use livegate_proto::Encoded;

use super::Room;
use crate::dispatch::Class;
use crate::id::ShardId;
use crate::rooms::log::Log;

/// What a shard took from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The shard's new cursor.
    pub cursor: u64,
    /// The newest seq; when it is greater than the cursor there is more.
    pub head: u64,
    /// Frames taken.
    pub frames: u32,
    /// How many of each class, in the order of
    /// [`Class::ALL`](crate::dispatch::Class::ALL).
    pub classes: [u32; 4],
    /// Messages after the old cursor that the log no longer held: essential
    /// ones needed their place. Subscribers see a gap.
    pub lost: u64,
}

impl Room {
    /// The shard takes from the log from now on: returns where it begins. It
    /// is rung at once if there is something after that.
    pub fn subscribe(&self, shard: ShardId) -> u64 {
        let mut inner = self.inner.lock();
        let cursor = inner.core.subscribe(shard);
        let log = inner.core.log();
        let waits = log.head() > cursor;
        let urgent = log.after(cursor).any(|e| e.class == Class::Essential);
        // A ring from before the shard followed was for nobody.
        self.bells.clear(shard);
        drop(inner);
        if waits {
            let dispatch = &self.parts.dispatch;
            self.bells.ring(dispatch, shard, self.uid, urgent);
        }
        cursor
    }

    /// The shard has no subscriber left.
    pub fn unsubscribe(&self, shard: ShardId) {
        self.inner.lock().core.unsubscribe(shard);
    }

    /// Appends the frames after the shard's `cursor` to `out`, whole ones, up
    /// to `max_bytes` but at least one; clears the bell when nothing is left.
    pub fn take(&self, shard: ShardId, cursor: u64, max_bytes: usize, out: &mut Vec<u8>) -> Taken {
        let mut inner = self.inner.lock();
        let joined = inner.core.log().join(cursor, max_bytes, out);
        inner.core.taken(shard, joined.cursor);
        let head = inner.core.log().head();
        if joined.cursor >= head {
            self.bells.clear(shard);
        }
        Taken {
            cursor: joined.cursor,
            head,
            frames: joined.frames,
            classes: joined.classes,
            lost: joined.lost,
        }
    }

    /// Rings the shard as for a message that it has taken already: rings follow
    /// their message outside of the lock, so one may come late.
    #[doc(hidden)]
    pub fn ring_late(&self, shard: ShardId) {
        let dispatch = &self.parts.dispatch;
        self.bells.ring(dispatch, shard, self.uid, false);
    }

    /// Whether an essential message waits for the shard. Read without the lock.
    pub fn urgent(&self, shard: ShardId) -> bool {
        self.bells.is_urgent(shard)
    }

    /// Unsequenced state that is newer than version `seen` as one frame, and
    /// the version that it brings the reader to.
    pub fn flash(&self, seen: u64) -> Option<(u64, Encoded)> {
        if self.flash_version() <= seen {
            return None;
        }
        self.inner.lock().core.flash().read(seen)
    }

    /// Lets `read` look at the log under the lock: how a subscriber that fell
    /// behind is served by the policy of its classes. Keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Log) -> R) -> R {
        read(self.inner.lock().core.log())
    }
}
