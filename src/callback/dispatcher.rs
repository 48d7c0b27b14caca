//! Reads the outbox and sees each event through.
//!
//! One task. Order keys (rooms) wait in queues by app, are served a few rows
//! at a time, several at once, and rest for their own backoff after a failure.

mod schedule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::config::CallbackConfig;
use super::retry::{Dice, Failure, Verdict, part, verdict};
use crate::clock::{Clock, Instant, Unix};
use crate::engine::{OrderKey, Outbox, Row, Settlement};
use crate::id::AppId;
use crate::telemetry::{AttemptResult, Metrics};
use schedule::{Progress, Schedule, Turn};

/// How long the store is left alone when it cannot be read.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Keys read from the store at once.
const KEY_PAGE: usize = 1_000;
/// Failed attempts at one event after which somebody should know.
const WORTH_A_WARNING: u32 = 5;
/// How often somebody is told, per app.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Answered 2xx.
    Delivered,
    /// The app has no callback: nobody is to be told.
    Unwanted,
    /// Answered otherwise.
    Refused {
        /// The HTTP status.
        status: u16,
        /// How long the backend asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer.
    Unreachable {
        /// The kind of error; names no address.
        cause: &'static str,
    },
}

/// Makes one attempt at telling a backend.
pub trait Deliver: Send + Sync {
    /// Posts the row's body, once. Bounded in time.
    fn attempt(&self, app: AppId, row: &Row, now: Unix) -> impl Future<Output = Attempt> + Send;
}

/// Sees every row of the outbox through.
#[derive(Debug)]
pub struct Dispatcher<D> {
    work: Arc<Work<D>>,
    schedule: Schedule,
    dice: Dice,
    /// When an app's failing was last said.
    warned: HashMap<AppId, Instant>,
}

/// What serving a key needs.
#[derive(Debug)]
struct Work<D> {
    outbox: Outbox,
    deliver: D,
    config: CallbackConfig,
    clock: Clock,
    metrics: Arc<Metrics>,
    breakers: Mutex<HashMap<AppId, Breaker>>,
}

/// Something that runs beside the others.
#[derive(Debug)]
enum Job {
    /// Tell rows of this key; the number is for its jitter.
    Serve(OrderKey, Progress, u64),
    /// Read keys from the store, from after this one on.
    Scan(Option<OrderKey>),
}

/// What came of a [`Job`].
#[derive(Debug)]
enum Done {
    Served(OrderKey, Turn),
    Scanned(Result<Vec<OrderKey>, Instant>),
}

impl<D: Deliver> Dispatcher<D> {
    /// Puts a dispatcher together; there is one per outbox.
    pub fn new(
        outbox: Outbox,
        deliver: D,
        config: CallbackConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let seed = RandomState::new().hash_one(0);
        Self {
            schedule: Schedule::new(&config),
            dice: Dice::new(seed),
            warned: HashMap::new(),
            work: Arc::new(Work {
                outbox,
                deliver,
                config,
                clock,
                metrics,
                breakers: Mutex::default(),
            }),
        }
    }

    /// Delivers until told to stop; then what is under way gets
    /// `stop_within`. What is not settled is delivered by the next process.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut running = FuturesUnordered::new();
        while !stop.is_cancelled() {
            while let Some(job) = self.next_job() {
                let work = Arc::clone(&self.work);
                running.push(async move { work.run(job).await });
            }
            let due = self.work.clock.deadline(self.schedule.due());
            // In this order: to stop, to make room, to take in, to go on.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(done) = running.next() => self.take(done),
                changed = self.work.outbox.changed() => {
                    self.schedule.add_all(changed.keys);
                    if changed.overflow {
                        self.schedule.scan_again();
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    self.schedule.wake(self.work.clock.now().instant);
                }
            }
        }
        let rest = async { while running.next().await.is_some() {} };
        if tokio::time::timeout(self.work.config.stop_within, rest)
            .await
            .is_err()
        {
            tracing::info!("callbacks under way were left for the next start");
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        let now = self.work.clock.now().instant;
        if let Some(after) = self.schedule.scan(now) {
            return Some(Job::Scan(after));
        }
        let (key, progress) = self.schedule.next()?;
        Some(Job::Serve(key, progress, self.dice.roll()))
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Scanned(read) => self.schedule.scanned(read, KEY_PAGE),
            Done::Served(key, turn) => {
                if let Turn::Rest(progress, _) = turn {
                    self.warn(key.app, progress.attempts);
                }
                self.schedule.served(key, turn);
            }
        }
    }

    /// Says that an app's backend fails, once a minute.
    fn warn(&mut self, app: AppId, attempts: u32) {
        let now = self.work.clock.now().instant;
        let warned = self.warned.get(&app);
        if attempts < WORTH_A_WARNING || warned.is_some_and(|at| now.since(*at) < WARN_EVERY) {
            return;
        }
        self.warned.insert(app, now);
        let resting = self.schedule.resting();
        tracing::warn!(%app, attempts, resting, "a backend does not take callbacks");
    }
}

impl<D: Deliver> Work<D> {
    async fn run(&self, job: Job) -> Done {
        match job {
            Job::Serve(key, progress, roll) => {
                let turn = self.serve(&key, progress, roll).await;
                Done::Served(key, turn)
            }
            Job::Scan(after) => {
                let read = self.outbox.keys(after, KEY_PAGE).await;
                Done::Scanned(read.map_err(|_| self.clock.now().instant + STORE_RETRY))
            }
        }
    }

    /// Tells the next rows of a key, in order, until one fails.
    async fn serve(&self, key: &OrderKey, mut progress: Progress, roll: u64) -> Turn {
        let batch = self.config.batch.max(1);
        let read = self.outbox.rows(key.clone(), progress.after, batch).await;
        let Ok(rows) = read else {
            let at = self.clock.now().instant + STORE_RETRY;
            return Turn::Rest(progress, at);
        };
        for row in &rows {
            if let Err(at) = self.admit(key.app) {
                // Not all at once, and not always in the same order.
                let spread = part(self.config.breaker_rest / 4, roll);
                return Turn::Rest(progress, at + spread);
            }
            progress.attempts += 1;
            let attempt = self.attempt(key.app, row).await;
            let settlement = match self.judge(&attempt, row, progress.attempts, roll) {
                Ok(settlement) => settlement,
                Err(at) => return Turn::Rest(progress, at),
            };
            self.outbox.settle(row.seq, settlement);
            progress = Progress {
                after: row.seq,
                attempts: 0,
            };
        }
        if rows.len() < batch {
            Turn::Empty(progress)
        } else {
            Turn::More(progress)
        }
    }

    async fn attempt(&self, app: AppId, row: &Row) -> Attempt {
        let begun = self.clock.now();
        let attempt = self.deliver.attempt(app, row, begun.unix).await;
        let spent = self.clock.now().instant.since(begun.instant);
        let result = match &attempt {
            Attempt::Delivered => AttemptResult::Delivered,
            Attempt::Refused { .. } => AttemptResult::Refused,
            Attempt::Unreachable { .. } => AttemptResult::Unreachable,
            Attempt::Unwanted => return attempt,
        };
        self.metrics.outbox().attempted(result, spent);
        self.note(app, &attempt);
        attempt
    }

    /// Whether the app's backend may be called; `Err`: not before this time.
    fn admit(&self, app: AppId) -> Result<(), Instant> {
        let now = self.clock.now().instant;
        let mut breakers = self.breakers.lock();
        match breakers.get_mut(&app) {
            Some(breaker) => breaker.admit(&self.config.breaker(), now),
            None => Ok(()),
        }
    }

    /// What an attempt says of the backend as a whole. One that takes or
    /// refuses an event for what it is is well; one that fails at an event may
    /// be well otherwise, so a poison event opens nothing.
    fn note(&self, app: AppId, attempt: &Attempt) {
        let is_well = match attempt {
            Attempt::Delivered | Attempt::Unwanted => true,
            Attempt::Refused { status, .. } => match status {
                429 | 502..=504 => false,
                500.. => return,
                _ => true,
            },
            Attempt::Unreachable { .. } => false,
        };
        let mut breakers = self.breakers.lock();
        if is_well {
            breakers.remove(&app);
            return;
        }
        let now = self.clock.now().instant;
        let breaker = breakers.entry(app).or_default();
        if breaker.failed(&self.config.breaker(), now) {
            tracing::warn!(%app, "a backend fails: it is left alone for a while");
        }
    }

    /// How the row is settled, or when it is tried again.
    fn judge(
        &self,
        attempt: &Attempt,
        row: &Row,
        attempts: u32,
        roll: u64,
    ) -> Result<Settlement, Instant> {
        let (cause, retry_after) = match *attempt {
            Attempt::Delivered | Attempt::Unwanted => return Ok(Settlement::Done),
            Attempt::Refused {
                status,
                retry_after,
            } => (format!("status {status}"), retry_after),
            Attempt::Unreachable { cause } => (cause.to_owned(), None),
        };
        let failure = Failure {
            queued: row.queued,
            attempts,
            retry_after,
            roll,
        };
        match verdict(failure, &self.config, self.clock.now()) {
            Verdict::Again(at) => {
                tracing::debug!(event_id = %row.event_id, attempts, cause, "callback failed");
                Err(at)
            }
            Verdict::GiveUp => {
                tracing::error!(event_id = %row.event_id, cause, "callback given up");
                self.metrics.outbox().dead();
                Ok(Settlement::Dead { cause })
            }
        }
    }
}
