//! The store of one process: a redb file and the thread that writes it.

mod file;
mod journal;
mod queue;
mod reads;
mod recover;
mod settling;
mod space;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::mpsc;

use super::record::BadRecord;
use super::{Commit, EngineConfig, Full, Journal, Outbox, Outcome, Recovered};
use crate::clock::Clock;
use crate::id::BadId;
use crate::telemetry::Metrics;
use file::Home;
use writer::{Next, Writer};

pub use file::OpenError;
pub(super) use queue::{Job, Shared};

/// A handle on the store of this process.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What goes wrong with the file.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// redb or the disk under it.
    #[error("{0}")]
    Redb(Box<redb::Error>),
    /// A record that cannot be decoded.
    #[error("a record cannot be read: {0}")]
    Record(prost::DecodeError),
    /// A record that says what cannot be.
    #[error("a record is wrong: {0}")]
    Wrong(#[from] BadRecord),
    /// A record with an id that could not have been given.
    #[error("a record is wrong: {0}")]
    Id(#[from] BadId),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

impl Embedded {
    pub(super) fn open(
        config: &EngineConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered, mpsc::Receiver<Outcome>, Stepper), OpenError> {
        let home = Home::take(&config.dir, config.cache_bytes)?;
        let db = home.open_first(config.verify)?;
        let (recovered, number) = recover::read(&home, &db, config, clock.now().unix)?;
        let place = home.guarded(|| recover::place(&db))?;
        tracing::info!(
            file = %home.path().display(),
            rooms = recovered.rooms.len(),
            open_lives = recovered.open.len(),
            outbox = recovered.outbox,
            "store is open"
        );
        let shared = Shared::new(config.queue, config.queue_reserve, place);
        let (tell, outcomes) = mpsc::channel(config.queue.max(1));
        let writer = Writer::new(
            Box::new(home),
            db,
            number,
            config.clone(),
            shared.clone(),
            metrics.clone(),
            clock.clone(),
        );
        let stepper = Stepper {
            writer,
            shared: shared.clone(),
            tell,
            clock,
        };
        let embedded = Self {
            shared,
            metrics,
            thread: Mutex::new(None),
        };
        Ok((embedded, recovered, outcomes, stepper))
    }

    pub(super) fn start(&self, stepper: Stepper) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new()
            .name("livegate-store".to_owned())
            .spawn(move || stepper.run_thread())
            .map_err(OpenError::Thread)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    pub(super) fn submit(&self, commit: Commit) -> Result<(), Full> {
        let submitted = self.shared.queue.submit(commit);
        if submitted.is_err() {
            self.metrics.engine().refused();
        }
        submitted
    }

    pub(super) fn outbox(&self) -> Outbox {
        Outbox::new(self.shared.clone())
    }

    pub(super) fn journal(&self) -> Journal {
        Journal::new(self.shared.clone())
    }

    pub(super) fn is_writable(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Drop for Embedded {
    /// Lets the writer finish what is queued; nobody waits for it.
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// The writer and its way to tell what became of commits.
#[derive(Debug)]
pub struct Stepper {
    writer: Writer,
    shared: Arc<Shared>,
    tell: mpsc::Sender<Outcome>,
    clock: Clock,
}

impl Stepper {
    /// Drives the writer as a task, until the engine is closed. Its disk calls
    /// block the task: for the simulation.
    pub async fn run(mut self) {
        let mut outcomes = Vec::new();
        loop {
            let next = self.writer.turn(self.clock.now(), &mut outcomes);
            for outcome in outcomes.drain(..) {
                // Nobody listens any more: the process is stopping.
                let _ = self.tell.send(outcome).await;
            }
            match next {
                Next::Turn => tokio::task::yield_now().await,
                Next::Stuck(at) => tokio::time::sleep_until(self.clock.deadline(at)).await,
                Next::Idle(at) => {
                    let due = self.clock.deadline(at);
                    let queued = self.shared.queue.queued();
                    let _ = tokio::time::timeout_at(due, queued).await;
                }
                Next::Done => return,
            }
        }
    }

    /// Drives the writer as a thread, until the engine is closed.
    ///
    /// A panic in here means that what was acknowledged is no longer known;
    /// the process ends, and its recovery reads what is on disk.
    fn run_thread(mut self) {
        let _abort = AbortOnPanic;
        let mut outcomes = Vec::new();
        loop {
            let next = self.writer.turn(self.clock.now(), &mut outcomes);
            for outcome in outcomes.drain(..) {
                let _ = self.tell.blocking_send(outcome);
            }
            let until = match next {
                Next::Turn => continue,
                Next::Idle(at) => at,
                Next::Stuck(at) => {
                    std::thread::sleep(at.since(self.clock.now().instant));
                    continue;
                }
                Next::Done => return,
            };
            let longest = until.since(self.clock.now().instant);
            self.shared.queue.wait(longest);
        }
    }
}

/// Ends the process when the writer panics.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the store's writer panicked: ending the process");
            std::process::abort();
        }
    }
}
