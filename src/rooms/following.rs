//! Which shards follow a room's log, and why its tail is held for them.
//!
//! Invariant: a shard's cursor is pinned in the log exactly while it has a
//! member's session here or has subscribed. A session's pin is set under the
//! lock that gave it its seq, so the shard that subscribes later begins there
//! and misses nothing in between.

use smallvec::SmallVec;

use crate::id::ShardId;
use crate::rooms::log::Log;

#[derive(Debug)]
struct Follower {
    shard: ShardId,
    sessions: u32,
    subscribed: bool,
}

/// The shards that follow one room.
#[derive(Debug, Default)]
pub(crate) struct Following(SmallVec<[Follower; 4]>);

impl Following {
    /// A session of `shard` entered.
    pub(crate) fn seat(&mut self, shard: ShardId, log: &mut Log) {
        if shard == ShardId::NOWHERE {
            return;
        }
        self.follower(shard, log).sessions += 1;
    }

    /// A session of `shard` left.
    pub(crate) fn unseat(&mut self, shard: ShardId, log: &mut Log) {
        if shard == ShardId::NOWHERE {
            return;
        }
        let follower = self.follower(shard, log);
        follower.sessions = follower.sessions.saturating_sub(1);
        self.let_go(log);
    }

    /// The shard takes from the log from now on; returns its cursor.
    pub(crate) fn subscribe(&mut self, shard: ShardId, log: &mut Log) -> u64 {
        self.follower(shard, log).subscribed = true;
        log.pinned(shard).unwrap_or_else(|| log.head())
    }

    /// The shard takes no longer.
    pub(crate) fn unsubscribe(&mut self, shard: ShardId, log: &mut Log) {
        self.follower(shard, log).subscribed = false;
        self.let_go(log);
    }

    /// Those whose shards are to be rung.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.0.iter().map(|follower| follower.shard)
    }

    fn follower(&mut self, shard: ShardId, log: &mut Log) -> &mut Follower {
        let known = self.0.iter().position(|f| f.shard == shard);
        let index = known.unwrap_or_else(|| {
            log.pin(shard, log.head());
            self.0.push(Follower {
                shard,
                sessions: 0,
                subscribed: false,
            });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    fn let_go(&mut self, log: &mut Log) {
        self.0.retain(|follower| {
            let follows = follower.sessions > 0 || follower.subscribed;
            if !follows {
                log.unpin(follower.shard);
            }
            follows
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use livegate_proto::Encoded;
    use livegate_proto::client::ServerFrame;

    use super::*;
    use crate::clock::Instant;
    use crate::dispatch::Class;
    use crate::rooms::log::{Budget, LogConfig};

    #[test]
    fn a_shard_that_subscribes_late_begins_where_its_first_session_entered() {
        let (mut following, mut log) = (Following::default(), log());
        append(&mut log);
        following.seat(ShardId(3), &mut log);
        append(&mut log);
        following.seat(ShardId(3), &mut log);
        assert_eq!(following.subscribe(ShardId(3), &mut log), 1);
    }

    #[test]
    fn a_pin_goes_with_the_last_reason_for_it() {
        let (mut following, mut log) = (Following::default(), log());
        following.seat(ShardId(3), &mut log);
        following.subscribe(ShardId(3), &mut log);
        following.unsubscribe(ShardId(3), &mut log);
        assert_eq!(log.pinned(ShardId(3)), Some(0));
        following.unseat(ShardId(3), &mut log);
        assert_eq!(log.pinned(ShardId(3)), None);
        assert_eq!(following.shards().count(), 0);
    }

    fn log() -> Log {
        Log::new(1, LogConfig::default(), Arc::new(Budget::new(1 << 20)))
    }

    fn append(log: &mut Log) {
        let frame = |_, _| Encoded::new(&ServerFrame::default());
        log.append(Class::Normal, Instant(0), frame).unwrap();
    }
}
