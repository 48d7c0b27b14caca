//! The journal: facts of rooms and lives in the order of their records, for who
//! follows by cursor.
//!
//! Invariants: a fact that is recorded has its entry in the same transaction; a
//! place is given once and grows; what is older than `EngineConfig::keep_ended`
//! is forgotten, and who asks for it is told so.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::Unavailable;
use super::embedded::{Job, Shared};
use super::record::{LiveRecord, RoomRecord};
use crate::clock::Unix;
use crate::id::{AppId, RoomId};

/// One fact in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place; grows with time.
    pub place: u64,
    /// Whose.
    pub app: AppId,
    /// When it was recorded.
    pub time: Unix,
    /// What.
    pub fact: JournalFact,
}

/// What a journal tells.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalFact {
    /// A room was made or changed.
    Room(RoomRecord),
    /// A room is no more.
    RoomGone(RoomId),
    /// A live started or ended.
    Live(LiveRecord),
}

/// A stretch of the journal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stretch {
    /// In order; of all apps.
    pub entries: Vec<Entry>,
    /// There are none after this place.
    pub head: u64,
    /// Entries between the place asked for and the first of these are no longer
    /// kept.
    pub missed: bool,
}

/// A handle on the journal; cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
}

impl Journal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let head = shared.journal.subscribe();
        Self { shared, head }
    }

    /// The newest place.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Waits until there are entries after `place`. Cancel-safe.
    ///
    /// # Errors
    /// [`Unavailable`] when the store was closed.
    pub async fn grown(&mut self, place: u64) -> Result<u64, Unavailable> {
        let grown = self.head.wait_for(|head| *head > place).await;
        grown.map(|head| *head).map_err(|_| Unavailable)
    }

    /// Up to `limit` entries after `place`.
    ///
    /// # Errors
    /// [`Unavailable`] while the store cannot be read.
    pub async fn read(&self, place: u64, limit: usize) -> Result<Stretch, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Job::Journal {
            after: place,
            limit,
            reply,
        });
        answer.await.map_err(|_| Unavailable)
    }
}
