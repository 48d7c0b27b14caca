//! One bell a shard and room: it rings once until the shard has come.
//!
//! Invariant: a shard's inbox holds at most two rings of a room, one ordinary
//! and one urgent, whatever the rate. The bell is cleared under the room's
//! lock when the shard has everything, so what is appended after rings anew.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::dispatch::Dispatch;
use crate::id::{RoomUid, ShardId};

const QUIET: u8 = 0;
const RUNG: u8 = 1;
const URGENT: u8 = 2;

/// The bells of one room.
#[derive(Debug)]
pub(crate) struct Bells(Box<[AtomicU8]>);

impl Bells {
    /// One for each shard, quiet.
    pub(crate) fn new(shards: u16) -> Self {
        Self((0..shards).map(|_| AtomicU8::new(QUIET)).collect())
    }

    /// Rings a shard unless it has been rung as urgently already.
    pub(crate) fn ring(&self, dispatch: &Dispatch, shard: ShardId, room: RoomUid, urgent: bool) {
        let level = if urgent { URGENT } else { RUNG };
        let bell = &self.0[usize::from(shard)];
        if bell.fetch_max(level, Ordering::AcqRel) < level {
            dispatch.ring(shard, room);
        }
    }

    /// Whether an essential message waits for the shard.
    pub(crate) fn is_urgent(&self, shard: ShardId) -> bool {
        self.0[usize::from(shard)].load(Ordering::Acquire) == URGENT
    }

    /// The shard has everything.
    pub(crate) fn clear(&self, shard: ShardId) {
        self.0[usize::from(shard)].store(QUIET, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rings_once_and_once_more_when_it_becomes_urgent() {
        let dispatch = Dispatch::new(2);
        let bells = Bells::new(2);
        let shard = ShardId(1);
        let ring = |urgent| bells.ring(&dispatch, shard, RoomUid(3), urgent);
        ring(false);
        ring(false);
        assert_eq!(dispatch.inbox(shard).depth(), 1);
        assert!(!bells.is_urgent(shard));
        ring(true);
        ring(true);
        ring(false);
        assert_eq!(dispatch.inbox(shard).depth(), 2);
        assert!(bells.is_urgent(shard));
        bells.clear(shard);
        ring(false);
        assert_eq!(dispatch.inbox(shard).depth(), 3);
        assert_eq!(dispatch.inbox(ShardId(0)).depth(), 0);
    }
}
