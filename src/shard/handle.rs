//! How the gateway reaches a shard: hands a connection over, asks it to drain.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use crate::dispatch::{Dispatch, Inbox};
use crate::id::ShardId;
use crate::shard::adopted::Adopted;
use crate::shard::carrier::Carrier;

/// What a shard is told by its handle, beside its inbox.
pub(crate) struct Orders<D> {
    /// Connections to own from now on.
    pub(crate) adopt: Vec<Adopted<D>>,
    /// Send everybody away, spread over this time.
    pub(crate) drain: Option<Duration>,
}

impl<D> Default for Orders<D> {
    fn default() -> Self {
        Self {
            adopt: Vec::new(),
            drain: None,
        }
    }
}

/// One shard, from outside. Cheap to clone.
pub struct Handle<C: Carrier> {
    pub(crate) id: ShardId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) orders: Arc<Mutex<Orders<C::Detached>>>,
}

impl<C: Carrier> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            inbox: Arc::clone(&self.inbox),
            orders: Arc::clone(&self.orders),
        }
    }
}

impl<C: Carrier> std::fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<C: Carrier> Handle<C> {
    /// A handle to the shard whose inbox `dispatch` holds.
    pub fn new(id: ShardId, dispatch: &Dispatch) -> Self {
        Self {
            id,
            inbox: Arc::clone(dispatch.inbox(id)),
            orders: Arc::default(),
        }
    }

    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Hands a logged-in connection over. It is counted at once, so that the
    /// next placement sees it.
    pub fn adopt(&self, adopted: Adopted<C::Detached>) {
        self.inbox.connections().fetch_add(1, Ordering::Relaxed);
        self.orders.lock().adopt.push(adopted);
        self.inbox.wake();
    }

    /// Tells every client to come back elsewhere or later, spread over `spread`.
    pub fn drain(&self, spread: Duration) {
        self.orders.lock().drain = Some(spread);
        self.inbox.wake();
    }

    /// Connections owned or on their way.
    pub fn connections(&self) -> usize {
        self.inbox.connections().load(Ordering::Relaxed)
    }
}

/// Every shard, from outside. Cheap to clone.
#[derive(Debug)]
pub struct Shards<C: Carrier> {
    handles: Arc<[Handle<C>]>,
    dispatch: Dispatch,
}

impl<C: Carrier> Clone for Shards<C> {
    fn clone(&self) -> Self {
        Self {
            handles: Arc::clone(&self.handles),
            dispatch: self.dispatch.clone(),
        }
    }
}

impl<C: Carrier> Shards<C> {
    /// Handles to every shard of `dispatch`.
    pub fn new(dispatch: &Dispatch) -> Self {
        let handles = (0..dispatch.shards())
            .map(|n| Handle::new(ShardId(n), dispatch))
            .collect();
        Self {
            handles,
            dispatch: dispatch.clone(),
        }
    }

    /// Hands a connection to the shard that has fewest.
    pub fn place(&self, adopted: Adopted<C::Detached>) {
        let shard = self.dispatch.least_loaded();
        self.handles[usize::from(shard.0)].adopt(adopted);
    }

    /// The handles, by shard.
    pub fn handles(&self) -> &[Handle<C>] {
        &self.handles
    }

    /// Connections on all shards.
    pub fn connections(&self) -> usize {
        self.handles.iter().map(Handle::connections).sum()
    }
}
