//! The writer: one at a time takes what waits, records it, and says what
//! became of it.
//!
//! Every step is a plain call that is told the time; a thread drives it in
//! production, a task in the simulation. After any error the database handle
//! is given up (redb refuses everything on it, also when the disk has space
//! again), the file is opened anew, and the number of the last transaction on
//! disk tells whether the one in doubt is there. Until the file can be opened
//! nothing is answered and the queue is kept.

mod failing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{Database, DatabaseError, Durability, ReadableDatabase};
use tokio::sync::oneshot;

use super::StoreError;
use super::journal::Pages;
use super::queue::{Job, Shared};
use super::reads;
use super::settling::Settling;
use super::space::Space;
use super::tables::{self, Applied, Backlog, Tables};
use crate::clock::{Clock, Instant, Moment, Unix};
use crate::engine::outbox::Fate;
use crate::engine::{
    Commit, CommitFailed, EngineConfig, Outcome, RowKind, Settlement, Subject, Which,
};
use crate::telemetry::Metrics;

/// First wait before the file is opened again.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
/// How long settlements and facts wait that could not be recorded.
const RETRY: Duration = Duration::from_secs(1);
/// How often a disk that fails is complained of: it may do so at each commit.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How often what is old is forgotten, and how much of it at once.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_LIMIT: usize = 1_000;

/// Opens the file again after an error.
pub(super) trait Source: Send + std::fmt::Debug {
    /// Opens what is there; makes nothing new.
    fn open_again(&self) -> Result<Database, DatabaseError>;

    /// How its disk stands; `None`: nobody can tell.
    fn space(&self) -> Option<Space>;
}

impl Source for super::file::Home {
    fn open_again(&self) -> Result<Database, DatabaseError> {
        Self::open_again(self)
    }

    fn space(&self) -> Option<Space> {
        Self::space(self)
    }
}

/// What a turn asks of its driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More may wait: take the next turn at once.
    Turn,
    /// Nothing to do until something is queued or this time comes.
    Idle(Instant),
    /// The disk fails: nothing to do until this time.
    Stuck(Instant),
    /// Closed and done.
    Done,
}

/// Records what waits in the queue.
#[derive(Debug)]
pub(super) struct Writer {
    source: Box<dyn Source>,
    /// `None` from an error on until the file is open again.
    db: Option<Database>,
    /// Number of the last transaction that was tried.
    number: u64,
    /// The transaction of which it is not known whether it is on disk.
    doubt: Option<Batch>,
    /// Settlements on their way to the next transaction.
    settling: Settling,
    /// Settlements that could not be recorded, and when they are tried again.
    carry: Vec<(u64, Settlement)>,
    carry_at: Instant,
    /// Reads that could not be answered because the disk failed.
    asked: Vec<Job>,
    /// Commits that nobody waits for and that hold facts for backends, which
    /// could not be recorded: they go first into the next transaction.
    owed: Vec<Commit>,
    owed_at: Instant,
    reopen_at: Instant,
    backoff: Duration,
    /// When the disk was last complained of.
    complained: Option<Instant>,
    marked: Instant,
    pruned: Instant,
    /// When closing began.
    closing: Option<Instant>,
    config: EngineConfig,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
struct Batch {
    commits: Vec<Commit>,
    settled: Vec<(u64, Settlement)>,
    /// What is to become of dead letters, and who waits for it.
    dead: Vec<DeadOrder>,
    prune: bool,
    /// What the tables made of it.
    applied: Applied,
    /// Only what has a reserve is left, for its second and last try.
    last_try: bool,
}

/// An order about dead letters.
#[derive(Debug)]
struct DeadOrder {
    which: Which,
    fate: Fate,
    reply: oneshot::Sender<u64>,
    count: u64,
}

impl Writer {
    pub(super) fn new(
        source: Box<dyn Source>,
        db: Database,
        number: u64,
        config: EngineConfig,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let start = clock.now().instant;
        Self {
            source,
            db: Some(db),
            number,
            doubt: None,
            settling: Settling::default(),
            carry: Vec::new(),
            carry_at: start,
            asked: Vec::new(),
            owed: Vec::new(),
            owed_at: start,
            reopen_at: start,
            backoff: FIRST_BACKOFF,
            complained: None,
            marked: Instant::default(),
            pruned: start,
            closing: None,
            config,
            shared,
            metrics,
            clock,
        }
    }

    /// Takes what waits and records it, or opens the file again first. Adds
    /// what became of commits to `outcomes`.
    pub(super) fn turn(&mut self, now: Moment, outcomes: &mut Vec<Outcome>) -> Next {
        if self.closing.is_none() && self.shared.queue.is_closed() {
            self.closing = Some(now.instant);
        }
        if self.db.is_none() && !self.reopen(now) {
            return match self.is_overdue(now) {
                true => Next::Done,
                false => Next::Stuck(self.reopen_at),
            };
        }
        if self.doubt.is_some() {
            self.resolve(now, outcomes);
            return Next::Turn;
        }
        if self.is_overdue(now) {
            return Next::Done;
        }
        if self.makes_room(now, outcomes) {
            return Next::Turn;
        }
        let asked = std::mem::take(&mut self.asked);
        self.read(asked);
        let jobs = self.shared.queue.take(self.config.group);
        self.metrics
            .engine()
            .queue_depth(count(self.shared.queue.depth()));
        let idle = jobs.is_empty();
        self.step(jobs, now, outcomes);
        match self.closing {
            // What is owed was tried and failed: once more, a moment later.
            Some(_) if idle && !self.owed.is_empty() => Next::Stuck(now.instant + FIRST_BACKOFF),
            Some(_) if idle && self.db.is_some() => self.finish(),
            _ if idle && self.db.is_some() => Next::Idle(self.next_due()),
            _ => Next::Turn,
        }
    }

    /// Records settlements that are carried, without anything else: they are
    /// what gives a full disk its space back, and what comes in goes on failing
    /// until it has some. False when there are none to be tried now.
    fn makes_room(&mut self, now: Moment, outcomes: &mut Vec<Outcome>) -> bool {
        let due = self.carry_at <= now.instant || self.closing.is_some();
        if self.carry.is_empty() || !due {
            return false;
        }
        let batch = Batch {
            settled: std::mem::take(&mut self.carry),
            ..Batch::default()
        };
        self.write(batch, now, outcomes);
        true
    }

    /// Records one group and answers its reads.
    fn step(&mut self, jobs: Vec<Job>, now: Moment, outcomes: &mut Vec<Outcome>) {
        let mut batch = Batch::default();
        let mut reads = Vec::new();
        for job in jobs {
            match job {
                Job::Commit(commit) => batch.commits.push(*commit),
                Job::Settle { seq, settlement } => {
                    self.settling.add(seq, settlement, now.instant);
                }
                Job::Dead { which, fate, reply } => batch.dead.push(DeadOrder {
                    which,
                    fate,
                    reply,
                    count: 0,
                }),
                read @ (Job::Keys { .. }
                | Job::Rows { .. }
                | Job::DeadLetters { .. }
                | Job::Journal { .. }) => reads.push(read),
            }
        }
        let retry = self.owed_at <= now.instant || self.closing.is_some();
        if retry || !batch.commits.is_empty() {
            // Before what came later: rows of a room are told in their order.
            batch.commits.splice(..0, self.owed.drain(..));
        }
        batch.prune = now.instant.since(self.pruned) >= PRUNE_EVERY;
        let mark = now.instant.since(self.marked) >= self.config.alive_every
            || self.marked == Instant::default();
        let due = mark || batch.prune || self.settling.due() <= now.instant;
        // Who looks at dead letters or closes sees all that was settled before.
        let looks = |read: &Job| matches!(read, Job::DeadLetters { .. });
        let looked = self.closing.is_some() || reads.iter().any(looks);
        let asked = !batch.dead.is_empty() || (looked && !self.settling.is_empty());
        if due || asked || !batch.commits.is_empty() {
            batch.settled = self.settling.take();
            self.write(batch, now, outcomes);
        }
        self.read(reads);
    }

    fn write(&mut self, mut batch: Batch, now: Moment, outcomes: &mut Vec<Outcome>) {
        self.number += 1;
        let begun = self.clock.now().instant;
        match self.transact(&mut batch, now.unix) {
            Ok(backlog) => {
                let spent = self.clock.now().instant.since(begun);
                let commits = count(batch.commits.len());
                self.metrics.engine().committed(spent, commits);
                self.report(backlog, now.unix);
                self.recorded(batch, now, outcomes);
            }
            Err(error) => {
                self.complain(now, "write", &error);
                self.doubt = Some(batch);
                self.give_up(now);
            }
        }
    }

    fn transact(&self, batch: &mut Batch, now: Unix) -> Result<Backlog, StoreError> {
        let db = self.db.as_ref().expect("a turn writes with the file open");
        let mut txn = db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.set_quick_repair(true);
        batch.applied = Applied::default();
        let applied = &mut batch.applied;
        let backlog = {
            let mut tables = Tables::open(&txn)?;
            // First: they make room for what comes.
            for (seq, settlement) in &batch.settled {
                tables.settle(*seq, settlement, now)?;
            }
            let budget = match self.source.space() {
                Some(space) => space.budget(&self.config, tables.bytes()?),
                None => self.config.outbox_bytes,
            };
            let mut pages = Pages::open(&txn)?;
            for commit in &batch.commits {
                if tables.apply(commit, now, budget, applied)? {
                    pages.enter(commit, now)?;
                }
            }
            for order in &mut batch.dead {
                order.count = tables.bury(&order.which, order.fate, now, applied)?;
            }
            if batch.prune {
                let ended = before(now, self.config.keep_ended);
                let dead = before(now, self.config.keep_dead);
                tables.prune(ended, dead, PRUNE_LIMIT)?;
                pages.prune(ended, PRUNE_LIMIT)?;
            }
            applied.place = pages.place()?;
            tables.stamp(self.number, now)?;
            tables.backlog()?
        };
        txn.commit()?;
        Ok(backlog)
    }

    fn recorded(&mut self, batch: Batch, now: Moment, outcomes: &mut Vec<Outcome>) {
        self.marked = now.instant;
        self.backoff = FIRST_BACKOFF;
        self.shared.writable.store(true, Ordering::Relaxed);
        if batch.prune {
            self.pruned = now.instant;
        }
        self.settling.recorded(&batch.settled);
        let applied = batch.applied;
        self.shared.fresh.add(applied.fresh);
        self.shared.journal.send_if_modified(|head| {
            let grown = applied.place > *head;
            *head = applied.place.max(*head);
            grown
        });
        for (kind, count) in RowKind::ALL.into_iter().zip(applied.shed) {
            self.metrics.outbox().shed(kind.into(), count);
        }
        for order in batch.dead {
            // Who asked may have gone.
            let _ = order.reply.send(order.count);
        }
        outcomes.extend(batch.commits.into_iter().filter_map(|c| outcome(c, Ok(()))));
    }

    /// Whether closing has taken as long as it may.
    fn is_overdue(&self, now: Moment) -> bool {
        let waited = self.closing.map(|since| now.instant.since(since));
        let overdue = waited.is_some_and(|waited| waited >= self.config.close_within);
        if overdue {
            tracing::error!("store was not closed in time: what waits is lost");
        }
        overdue
    }

    fn finish(&mut self) -> Next {
        if let Some(db) = self.db.take()
            && let Err(error) = db.close()
        {
            tracing::error!(%error, "closing the store");
        }
        Next::Done
    }

    fn read(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        // Given up by the write before: answered once it is open again.
        let Some(db) = &self.db else {
            self.asked.extend(jobs);
            return;
        };
        // Without a transaction the askers see their questions dropped.
        let Ok(txn) = db.begin_read() else {
            return;
        };
        for job in jobs {
            if let Err(error) = reads::answer(&txn, job, self.settling.unrecorded()) {
                self.metrics.engine().failed();
                tracing::error!(%error, "reading the outbox");
            }
        }
    }

    #[cfg(test)]
    pub(super) fn database(&self) -> &Database {
        self.db.as_ref().expect("asked while the file is open")
    }

    fn next_due(&self) -> Instant {
        let mark = self.marked + self.config.alive_every;
        let prune = self.pruned + PRUNE_EVERY;
        let of = |waits: bool, at| if waits { at } else { Instant::FAR };
        let carry = of(!self.carry.is_empty(), self.carry_at);
        let owed = of(!self.owed.is_empty(), self.owed_at);
        let settling = self.settling.due();
        mark.min(prune).min(carry).min(owed).min(settling)
    }

    fn report(&self, backlog: Backlog, now: Unix) {
        let age = backlog
            .oldest
            .map_or(0, |oldest| now.0.saturating_sub(oldest.0));
        self.metrics
            .outbox()
            .waiting(backlog.rows, backlog.bytes, Duration::from_millis(age));
    }
}

fn outcome(commit: Commit, result: Result<(), CommitFailed>) -> Option<Outcome> {
    let subject = commit.subject;
    (subject != Subject::Quiet).then_some(Outcome { subject, result })
}

fn before(now: Unix, span: Duration) -> Unix {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Unix(now.0.saturating_sub(millis))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
