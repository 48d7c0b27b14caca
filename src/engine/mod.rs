//! What survives a kill: facts and what the backend is told of them, recorded
//! in one transaction.
//!
//! [`Engine::submit`] puts a [`Commit`] into a bounded queue and returns at
//! once; a writer of its own groups what waits into one durable transaction.
//! What became of it comes back as an [`Outcome`] on the channel that
//! [`Engine::open`] returned, and only then is anybody told.
//!
//! Invariants:
//! - an outcome `Ok` is on disk, an outcome `Err` is known not to be;
//! - a fact and its outbox rows are there together or not at all;
//! - a live that ended is never changed again, and a commit that repeats a
//!   fact about a live writes nothing and no outbox row a second time;
//! - one process owns a data directory; a file that cannot be read stops the
//!   start and is never replaced by an empty one.
//!
//! It does not interpret bodies, does not deliver them (`callback` does), and
//! calls nobody back.

mod commit;
mod config;
mod embedded;
mod journal;
mod outbox;
pub mod record;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use commit::{Commit, CommitFailed, Fact, Full, Outcome, Recovered, Subject};
pub use config::EngineConfig;
pub use embedded::{OpenError, Stepper};
pub use journal::{Entry, Journal, JournalFact, Stretch};
pub use outbox::{
    DEAD_LIMIT, DeadLetter, OrderKey, Outbox, OutboxRow, Row, RowKind, Settlement, Unavailable,
    Which,
};

use crate::clock::Clock;
use crate::telemetry::Metrics;
use embedded::Embedded;

/// Where facts are kept. One variant now; a cluster's will be another.
#[derive(Debug)]
pub enum Engine {
    /// In a redb file of this process.
    Embedded(Embedded),
}

impl Engine {
    /// Opens the store and starts its writer thread. Blocks on the disk.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the data directory and what to do.
    pub fn open(
        config: &EngineConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered, mpsc::Receiver<Outcome>), OpenError> {
        let (engine, recovered, outcomes, stepper) = Self::open_stepped(config, clock, metrics)?;
        let Self::Embedded(embedded) = &engine;
        embedded.start(stepper)?;
        Ok((engine, recovered, outcomes))
    }

    /// Opens the store without a thread: a task of the simulation drives the
    /// writer by [`Stepper::run`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(
        config: &EngineConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered, mpsc::Receiver<Outcome>, Stepper), OpenError> {
        let (embedded, recovered, outcomes, stepper) = Embedded::open(config, clock, metrics)?;
        Ok((Self::Embedded(embedded), recovered, outcomes, stepper))
    }

    /// Queues a commit. Never blocks and never waits for the disk.
    ///
    /// # Errors
    /// [`Full`] when as many commits wait as may; one with `reserve` set has
    /// places of its own. Nothing was queued, and no outcome will come.
    pub fn submit(&self, commit: Commit) -> Result<(), Full> {
        let Self::Embedded(embedded) = self;
        embedded.submit(commit)
    }

    /// What is still to be told to backends.
    pub fn outbox(&self) -> Outbox {
        let Self::Embedded(embedded) = self;
        embedded.outbox()
    }

    /// Facts of rooms and lives in the order of their records.
    pub fn journal(&self) -> Journal {
        let Self::Embedded(embedded) = self;
        embedded.journal()
    }

    /// Whether the store can be written now. False from an error on until the
    /// file has been opened again.
    pub fn is_writable(&self) -> bool {
        let Self::Embedded(embedded) = self;
        embedded.is_writable()
    }

    /// Records what is queued, closes the file and joins the writer. Blocks on
    /// the disk, for at most `EngineConfig::close_within` when it fails. What
    /// is submitted from now on is [`Full`].
    pub fn close(&self) {
        let Self::Embedded(embedded) = self;
        embedded.close();
    }
}
