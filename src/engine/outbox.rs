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
