//! What waits for the writer: bounded, and waited for by a thread or a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot, watch};

use crate::engine::journal::Stretch;
use crate::engine::outbox::{Changed, Fate, Which};
use crate::engine::{Commit, DeadLetter, Full, OrderKey, Row, Settlement};

/// Most keys noted for the outbox's reader; beyond it reads all keys again.
const MAX_FRESH: usize = 65_536;

/// Something for the writer to do.
#[derive(Debug)]
pub(in crate::engine) enum Job {
    /// Record this.
    Commit(Box<Commit>),
    /// Take a row out of the outbox.
    Settle { seq: u64, settlement: Settlement },
    /// Read keys of the outbox.
    Keys {
        after: Option<OrderKey>,
        limit: usize,
        reply: oneshot::Sender<Vec<OrderKey>>,
    },
    /// Read rows of a key.
    Rows {
        key: OrderKey,
        after: u64,
        limit: usize,
        reply: oneshot::Sender<Vec<Row>>,
    },
    /// Read entries of the journal.
    Journal {
        after: u64,
        limit: usize,
        reply: oneshot::Sender<Stretch>,
    },
    /// Replay or forget dead letters; the reply is how many.
    Dead {
        which: Which,
        fate: Fate,
        reply: oneshot::Sender<u64>,
    },
    /// Read dead letters.
    DeadLetters {
        after: u64,
        limit: usize,
        reply: oneshot::Sender<Vec<DeadLetter>>,
    },
}

/// The writer's queue.
///
/// Commits are bounded here. Reads and settlements are bounded by the reader
/// of the outbox, which has only so many under way.
#[derive(Debug)]
pub(in crate::engine) struct Queue {
    state: Mutex<State>,
    limit: usize,
    reserve: usize,
    thread: Condvar,
    task: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    commits: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(limit: usize, reserve: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            reserve,
            thread: Condvar::new(),
            task: Notify::new(),
        }
    }

    /// Queues a commit, if there is a place for it.
    pub(super) fn submit(&self, commit: Commit) -> Result<(), Full> {
        let limit = if commit.reserve {
            self.limit + self.reserve
        } else {
            self.limit
        };
        let mut state = self.state.lock();
        if state.closed || state.commits >= limit {
            return Err(Full);
        }
        state.commits += 1;
        state.jobs.push_back(Job::Commit(Box::new(commit)));
        drop(state);
        self.wake();
        Ok(())
    }

    /// Queues something that is no commit. After closing it is dropped, which
    /// its asker sees.
    pub(in crate::engine) fn push(&self, job: Job) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.jobs.push_back(job);
        drop(state);
        self.wake();
    }

    /// Takes up to `limit` jobs, oldest first.
    pub(super) fn take(&self, limit: usize) -> Vec<Job> {
        let mut state = self.state.lock();
        let count = limit.min(state.jobs.len());
        let jobs: Vec<Job> = state.jobs.drain(..count).collect();
        let commits = jobs.iter().filter(|job| matches!(job, Job::Commit(_)));
        state.commits -= commits.count();
        jobs
    }

    /// Commits that wait.
    pub(super) fn depth(&self) -> usize {
        self.state.lock().commits
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Blocks the writer's thread until something is queued or closed, at most
    /// for `longest`. Returns at once when something waits.
    pub(super) fn wait(&self, longest: Duration) {
        let mut state = self.state.lock();
        if state.jobs.is_empty() && !state.closed {
            self.thread.wait_for(&mut state, longest);
        }
    }

    /// As [`wait`](Self::wait), for a task and without an end of its own.
    pub(super) async fn queued(&self) {
        self.task.notified().await;
    }

    fn wake(&self) {
        self.thread.notify_one();
        self.task.notify_one();
    }
}

/// Keys of the outbox that have got rows and that nobody has read yet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Fresh {
    changed: Mutex<Changed>,
    notify: Notify,
}

impl Fresh {
    pub(super) fn add(&self, keys: Vec<OrderKey>) {
        if keys.is_empty() {
            return;
        }
        let mut changed = self.changed.lock();
        if changed.keys.len() + keys.len() > MAX_FRESH {
            *changed = Changed {
                keys: Vec::new(),
                overflow: true,
            };
        } else if !changed.overflow {
            changed.keys.extend(keys);
        }
        drop(changed);
        self.notify.notify_one();
    }

    pub(in crate::engine) fn take(&self) -> Changed {
        std::mem::take(&mut self.changed.lock())
    }

    pub(in crate::engine) async fn notified(&self) {
        self.notify.notified().await;
    }
}

/// What the handles and the writer share.
#[derive(Debug)]
pub(in crate::engine) struct Shared {
    pub(in crate::engine) queue: Queue,
    pub(in crate::engine) fresh: Fresh,
    /// The journal's newest place.
    pub(in crate::engine) journal: watch::Sender<u64>,
    pub(super) writable: std::sync::atomic::AtomicBool,
}

impl Shared {
    pub(super) fn new(limit: usize, reserve: usize, journal: u64) -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::new(limit, reserve),
            fresh: Fresh::default(),
            journal: watch::Sender::new(journal),
            writable: true.into(),
        })
    }
}
