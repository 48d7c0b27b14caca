//! The outbox as its reader sees it: rows in order per key, settled one by one.
//!
//! Every read and every settling goes through the writer's queue, so that one
//! thread touches the file and nothing is held locked over a disk write.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use super::embedded::{Job, Shared};
use crate::clock::Unix;
use crate::id::AppId;
use crate::telemetry::RowClass;

/// What a row tells of: which rows are let go first when the disk budget is
/// used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum RowKind {
    /// Something that was recorded, or decided for good: never let go.
    #[default]
    Fact,
    /// Something that was said.
    Message,
    /// A coming or going; let go first.
    Presence,
}

impl RowKind {
    /// Every kind, in the order of their numbers on disk.
    pub const ALL: [Self; 3] = [Self::Fact, Self::Message, Self::Presence];
}

impl From<RowKind> for RowClass {
    fn from(kind: RowKind) -> Self {
        match kind {
            RowKind::Fact => Self::Fact,
            RowKind::Message => Self::Message,
            RowKind::Presence => Self::Presence,
        }
    }
}

/// Something that a backend is to be told, as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Rows of an app with the same key (a room, else a user) are told in the
    /// order in which they were recorded.
    pub order_key: String,
    /// By which the backend knows repeats.
    pub event_id: String,
    /// Whose backend.
    pub app: AppId,
    /// The bytes of every attempt.
    pub body: Bytes,
    /// What it tells of.
    pub kind: RowKind,
    /// What the vendor's form of a callback says in its URL, apart from the app
    /// and what is signed anew with every attempt; empty: livegate's own form.
    pub query: String,
}

/// Rows with the same key are told in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// Whose backend.
    pub app: AppId,
    /// The room, else the user.
    pub key: Arc<str>,
}

/// A recorded row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place; grows with time.
    pub seq: u64,
    /// Its event id.
    pub event_id: String,
    /// The bytes of every attempt.
    pub body: Bytes,
    /// When it was recorded.
    pub queued: Unix,
    /// As [`OutboxRow::query`].
    pub query: String,
}

/// A row that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose it was, and in which order.
    pub order: OrderKey,
    /// The row.
    pub row: Row,
    /// When it was given up.
    pub dead: Unix,
    /// Why: the last answer or error, without any body.
    pub cause: String,
}

/// Most dead letters that one order concerns.
pub const DEAD_LIMIT: usize = 1_000;

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those at these places; places without one are passed over.
    Places(Vec<u64>),
    /// The oldest, of one app or of all.
    Oldest(Option<AppId>),
}

/// What is to become of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are told again.
    Replayed,
    /// They are gone.
    Forgotten,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The backend has it, or nobody wants to be told.
    Done,
    /// It is given up and kept as a dead letter.
    Dead {
        /// The last answer or error, without any body.
        cause: String,
    },
}

/// The store cannot be read now, or was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the store cannot be read now")]
pub struct Unavailable;

/// A handle on the outbox; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

/// Keys that have got rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Which; a key may be there more than once.
    pub keys: Vec<OrderKey>,
    /// There were more than could be noted: read all keys again.
    pub overflow: bool,
}

impl Outbox {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits until keys have got rows since the last call. Cancel-safe. One
    /// reader at a time.
    pub async fn changed(&self) -> Changed {
        loop {
            let changed = self.shared.fresh.take();
            if changed != Changed::default() {
                return changed;
            }
            self.shared.fresh.notified().await;
        }
    }

    /// Keys that have rows, in their order, from after `after` on.
    ///
    /// # Errors
    /// [`Unavailable`] while the store cannot be read.
    pub async fn keys(
        &self,
        after: Option<OrderKey>,
        limit: usize,
    ) -> Result<Vec<OrderKey>, Unavailable> {
        self.ask(|reply| Job::Keys {
            after,
            limit,
            reply,
        })
        .await
    }

    /// The oldest rows of a key with a greater `seq` than `after`.
    ///
    /// # Errors
    /// [`Unavailable`] while the store cannot be read.
    pub async fn rows(
        &self,
        key: OrderKey,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Row>, Unavailable> {
        self.ask(|reply| Job::Rows {
            key,
            after,
            limit,
            reply,
        })
        .await
    }

    /// The oldest dead letters with a greater `seq` than `after`.
    ///
    /// # Errors
    /// [`Unavailable`] while the store cannot be read.
    pub async fn dead_letters(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Unavailable> {
        self.ask(|reply| Job::DeadLetters {
            after,
            limit,
            reply,
        })
        .await
    }

    /// Puts dead letters back behind what waits for their keys, to be told
    /// again; returns how many, at most [`DEAD_LIMIT`] at once.
    ///
    /// # Errors
    /// [`Unavailable`] while the store cannot be written; nothing was changed.
    pub async fn replay(&self, which: Which) -> Result<u64, Unavailable> {
        let fate = Fate::Replayed;
        self.ask(|reply| Job::Dead { which, fate, reply }).await
    }

    /// Forgets dead letters; returns how many, at most [`DEAD_LIMIT`] at once.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub async fn forget(&self, which: Which) -> Result<u64, Unavailable> {
        let fate = Fate::Forgotten;
        self.ask(|reply| Job::Dead { which, fate, reply }).await
    }

    /// Takes a row out. Returns at once; it is recorded with the next
    /// transaction, and after a kill before that the row is there again. The
    /// queue of these is bounded by the rows that were read and not settled.
    pub fn settle(&self, seq: u64, settlement: Settlement) {
        self.shared.queue.push(Job::Settle { seq, settlement });
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(job(reply));
        answer.await.map_err(|_| Unavailable)
    }
}
