//! How the rest of the gateway reaches a shard: one inbox each.
//!
//! Invariants: nothing here blocks or awaits; an inbox holds at most one bell
//! per room (the room's own flag sees to it), the answers to requests in
//! flight, and direct frames, which the session's ring bounds when the shard
//! takes them in (at each turn it takes everything).

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use livegate_proto::Encoded;
use livegate_proto::client::{CloseCode, Reply, Role};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::id::{RoomUid, SessionId, ShardId};
use crate::telemetry::MessageClass;

/// What happens to a message under pressure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Class {
    /// Likes, totals, digests: not in the log, the latest wins.
    Low,
    /// Danmaku, exact presence: a lagging subscriber skips the oldest.
    Normal,
    /// Gifts, backend notices: kept as long as the log holds them.
    High,
    /// Replies, live events, kicks: never dropped; who cannot take it is closed.
    Essential,
}

impl Class {
    /// Every class, low to essential.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Essential];

    /// The stable text for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Essential => "essential",
        }
    }
}

impl From<Class> for MessageClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Low => Self::Low,
            Class::Normal => Self::Normal,
            Class::High => Self::High,
            Class::Essential => Self::Essential,
        }
    }
}

/// Something that happened to a session elsewhere.
#[derive(Debug)]
pub enum SessionEvent {
    /// A frame for this session alone: a message to the user, a notice.
    Direct(Encoded, Class),
    /// The answer to a request that had to wait (a commit, later the backend).
    Answered(Box<Reply>),
    /// The backend was asked about a request and has answered, or has not.
    Asked(Asked),
    /// The session is no longer a member of the room: kicked, or the room was
    /// destroyed. The frame tells the client.
    Removed(RoomUid, Encoded),
    /// The session's standing in a room changed: it hosts the live, or no
    /// longer does. Its heartbeat interval may follow.
    Hosting(RoomUid, bool),
    /// What the session may do in a room when it does not host: the role, and
    /// whether it is on the mic. Its heartbeat interval may follow.
    Role {
        /// The room.
        room: RoomUid,
        /// As it was given.
        role: Role,
        /// Whether this session is on the mic.
        publishing: bool,
    },
    /// The session's user entered a room of an app that allows one at a time:
    /// those that they entered before are to be left.
    Elsewhere {
        /// Where the user is.
        room: RoomUid,
        /// Orders entries: rooms entered later are not left.
        entry: u64,
    },
    /// The session ends with this code: displaced, kicked, shutting down.
    Close(CloseCode, u32),
}

/// A request with what its question to the backend came to: made and read by
/// the actions alone, which lie above.
pub struct Asked(pub Box<dyn Any + Send>);

impl fmt::Debug for Asked {
    /// Writes no content: bodies are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

/// What a shard takes from its inbox.
#[derive(Debug)]
pub enum Input {
    /// The room's log has grown, or its unsequenced state changed.
    Ring(RoomUid),
    /// For one session.
    Event(SessionId, SessionEvent),
}

/// One shard's inbox. New connections reach the shard by its own handle,
/// which wakes the same bell.
#[derive(Debug, Default)]
pub struct Inbox {
    inputs: Mutex<Vec<Input>>,
    bell: Notify,
    connections: AtomicUsize,
}

impl Inbox {
    /// Puts an input in and wakes the shard.
    pub fn push(&self, input: Input) {
        self.inputs.lock().push(input);
        self.bell.notify_one();
    }

    /// Wakes the shard without an input.
    pub fn wake(&self) {
        self.bell.notify_one();
    }

    /// Takes everything that waits, in order, into `into` (which is empty and
    /// gives its allocation in exchange).
    pub fn take(&self, into: &mut Vec<Input>) {
        std::mem::swap(&mut *self.inputs.lock(), into);
    }

    /// Resolves when something was put in since the last call. Cancel-safe.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Inputs that wait: a gauge.
    pub fn depth(&self) -> usize {
        self.inputs.lock().len()
    }

    /// Connections that the shard owns or is about to: what placement looks at.
    pub fn connections(&self) -> &AtomicUsize {
        &self.connections
    }
}

/// Every shard's inbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatch(Arc<[Arc<Inbox>]>);

impl Dispatch {
    /// Makes the inboxes of `shards` shards (at least one).
    pub fn new(shards: u16) -> Self {
        Self((0..shards.max(1)).map(|_| Arc::default()).collect())
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.0.len()).expect("made from a u16")
    }

    /// One shard's inbox.
    ///
    /// # Panics
    /// When there is no such shard: ids of shards are made from `shards()`.
    pub fn inbox(&self, shard: ShardId) -> &Arc<Inbox> {
        &self.0[usize::from(shard.0)]
    }

    /// Tells a shard that a room has something for it. The room's own flag
    /// keeps this to one bell a room until the shard has come.
    pub fn ring(&self, shard: ShardId, room: RoomUid) {
        self.inbox(shard).push(Input::Ring(room));
    }

    /// Tells a session's shard what happened to it. A session that is gone
    /// ignores it, one without a connection cannot be told.
    pub fn event(&self, session: SessionId, event: SessionEvent) {
        if session.shard() == ShardId::NOWHERE {
            return;
        }
        self.inbox(session.shard())
            .push(Input::Event(session, event));
    }

    /// The shard with the fewest connections.
    pub fn least_loaded(&self) -> ShardId {
        let load = |shard: &u16| {
            self.0[usize::from(*shard)]
                .connections
                .load(Ordering::Relaxed)
        };
        ShardId((0..self.shards()).min_by_key(load).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inputs_come_out_in_order_after_one_bell() {
        let dispatch = Dispatch::new(2);
        let session = SessionId::new(ShardId(1), 3, 9);
        dispatch.ring(ShardId(1), RoomUid(5));
        dispatch.event(session, SessionEvent::Close(CloseCode::Kicked, 0));
        let inbox = dispatch.inbox(ShardId(1));
        inbox.rung().await;
        let mut inputs = Vec::new();
        inbox.take(&mut inputs);
        assert!(matches!(inputs[0], Input::Ring(RoomUid(5))));
        assert!(matches!(inputs[1], Input::Event(id, _) if id == session));
        assert_eq!(inbox.depth(), 0);
    }

    #[test]
    fn the_least_loaded_shard_is_chosen() {
        let dispatch = Dispatch::new(3);
        dispatch
            .inbox(ShardId(0))
            .connections()
            .store(2, Ordering::Relaxed);
        dispatch
            .inbox(ShardId(1))
            .connections()
            .store(1, Ordering::Relaxed);
        dispatch
            .inbox(ShardId(2))
            .connections()
            .store(4, Ordering::Relaxed);
        assert_eq!(dispatch.least_loaded(), ShardId(1));
    }
}
