//! What the engine and the outbox count.

use std::time::Duration;

use super::cell::{Counter, Gauge, Histogram, SIZE, TIME, Tally};
use super::labels::{AskResult, AttemptResult, CallResult, RowClass};

/// The counters of the engine's writer.
#[derive(Debug)]
pub struct EngineMetrics {
    pub(super) commit_time: Histogram,
    pub(super) commit_batch: Histogram,
    pub(super) errors: Counter,
    pub(super) refused: Counter,
    pub(super) queue_depth: Gauge,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            commit_time: Histogram::new(&TIME),
            commit_batch: Histogram::new(&SIZE),
            errors: Counter::default(),
            refused: Counter::default(),
            queue_depth: Gauge::default(),
        }
    }
}

impl EngineMetrics {
    /// Counts one transaction: how long it took and how many commits it held.
    pub fn committed(&self, spent: Duration, commits: u64) {
        self.commit_time.time(spent);
        self.commit_batch.record(commits);
    }

    /// Counts an error of the store.
    pub fn failed(&self) {
        self.errors.add(1);
    }

    /// Counts a commit that the full queue refused.
    pub fn refused(&self) {
        self.refused.add(1);
    }

    /// Sets how many commits wait for the writer.
    pub fn queue_depth(&self, commits: u64) {
        self.queue_depth.set(commits);
    }
}

/// The counters of what clients ask of their backends.
#[derive(Debug)]
pub struct CallMetrics {
    pub(super) results: Tally<{ CallResult::COUNT }>,
    pub(super) under_way: Gauge,
    pub(super) time: Histogram,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            results: Tally::default(),
            under_way: Gauge::default(),
            time: Histogram::new(&TIME),
        }
    }
}

impl CallMetrics {
    /// Counts a call by what it came to.
    pub fn came_to(&self, result: CallResult) {
        self.results.add(result.index(), 1);
    }

    /// Counts a call that is sent.
    pub fn sent(&self) {
        self.under_way.add(1);
    }

    /// A call that was sent is over after this time.
    pub fn over(&self, spent: Duration) {
        self.under_way.add(-1);
        self.time.time(spent);
    }
}

/// The counters of what is to be told to backends.
#[derive(Debug)]
pub struct OutboxMetrics {
    pub(super) depth: Gauge,
    pub(super) bytes: Gauge,
    pub(super) oldest_ms: Gauge,
    pub(super) shed: Tally<{ RowClass::COUNT }>,
    pub(super) attempts: Tally<{ AttemptResult::COUNT }>,
    pub(super) dead: Counter,
    pub(super) attempt_time: Histogram,
    pub(super) asks: Tally<{ AskResult::COUNT }>,
    pub(super) ask_time: Histogram,
}

impl Default for OutboxMetrics {
    fn default() -> Self {
        Self {
            depth: Gauge::default(),
            bytes: Gauge::default(),
            oldest_ms: Gauge::default(),
            shed: Tally::default(),
            attempts: Tally::default(),
            dead: Counter::default(),
            attempt_time: Histogram::new(&TIME),
            asks: Tally::default(),
            ask_time: Histogram::new(&TIME),
        }
    }
}

impl OutboxMetrics {
    /// Sets how many rows wait, what they and dead letters take on disk, and
    /// the age of the oldest.
    pub fn waiting(&self, rows: u64, bytes: u64, oldest: Duration) {
        self.depth.set(rows);
        self.bytes.set(bytes);
        self.oldest_ms
            .set(u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX));
    }

    /// Counts rows that were let go before they were recorded.
    pub fn shed(&self, class: RowClass, rows: u64) {
        self.shed.add(class.index(), rows);
    }

    /// How many rows of a class were let go.
    pub fn shed_count(&self, class: RowClass) -> u64 {
        self.shed.get(class.index())
    }

    /// Counts an attempt to deliver a row, and the time it took.
    pub fn attempted(&self, result: AttemptResult, spent: Duration) {
        self.attempts.add(result.index(), 1);
        self.attempt_time.time(spent);
    }

    /// Counts a question to a backend, and the time until it was decided.
    pub fn asked(&self, result: AskResult, spent: Duration) {
        self.asks.add(result.index(), 1);
        self.ask_time.time(spent);
    }

    /// How many questions came to this.
    pub fn asked_count(&self, result: AskResult) -> u64 {
        self.asks.get(result.index())
    }

    /// Counts a row that was given up.
    pub fn dead(&self) {
        self.dead.add(1);
    }
}
