//! Rooms as one shard sees them: a dense set of subscribers and a cursor.
//!
//! Invariants: a member's `index` in its connection is its place in the dense
//! set; the set is walked from its end, so that a removal (which moves the last
//! member into the gap) never hides a member that is yet to be served, and a
//! newcomer (appended) is never served what it entered after.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Instant;
use crate::id::{RoomUid, SessionId, ShardId};
use crate::rooms::Room;
use crate::shard::window::Window;

/// One room's subscribers on this shard.
#[derive(Debug)]
pub(crate) struct LocalRoom {
    /// The room itself.
    pub(crate) room: Arc<Room>,
    /// Who is served, in no order.
    pub(crate) members: Vec<SessionId>,
    /// Everything up to this seq has been taken for sweeps.
    pub(crate) cursor: u64,
    /// The newest version of the unsequenced state that was taken.
    pub(crate) flash_seen: u64,
    /// How long it may gather.
    pub(crate) window: Window,
    /// A sweep of it is under way; the next one waits for its end.
    pub(crate) sweeping: bool,
    /// It became due while a sweep was under way.
    pub(crate) again: bool,
    /// It has rung and waits: since then, due then.
    pub(crate) due: Option<Instant>,
}

/// Every room that has a subscriber on this shard.
#[derive(Debug)]
pub(crate) struct Subscribers {
    shard: ShardId,
    rooms: HashMap<RoomUid, LocalRoom, foldhash::fast::RandomState>,
}

impl Subscribers {
    /// None yet.
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            rooms: HashMap::default(),
        }
    }

    /// The room, if it has a subscriber here.
    pub(crate) fn get_mut(&mut self, room: RoomUid) -> Option<&mut LocalRoom> {
        self.rooms.get_mut(&room)
    }

    /// Adds a subscriber and returns its place.
    pub(crate) fn add(&mut self, room: &Arc<Room>, session: SessionId, window: Window) -> usize {
        let shard = self.shard;
        let local = self.rooms.entry(room.uid()).or_insert_with(|| LocalRoom {
            cursor: room.subscribe(shard),
            room: Arc::clone(room),
            members: Vec::new(),
            flash_seen: 0,
            window,
            sweeping: false,
            again: false,
            due: None,
        });
        local.members.push(session);
        local.members.len() - 1
    }

    /// Removes the subscriber at `index`; names the one that took its place
    /// and must be told its new index.
    pub(crate) fn remove(&mut self, room: RoomUid, index: usize) -> Option<SessionId> {
        let local = self.rooms.get_mut(&room)?;
        local.members.swap_remove(index);
        let moved = local.members.get(index).copied();
        if local.members.is_empty() {
            local.room.unsubscribe(self.shard);
            self.rooms.remove(&room);
        }
        moved
    }
}
