//! Which order key is served next. Pure.
//!
//! Invariants: a key is served by one at a time; a key that got rows while it
//! was served is served again; a key that is not known here is found by the
//! next scan of the store, which is due whenever one may have been missed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use crate::callback::CallbackConfig;
use crate::clock::Instant;
use crate::engine::OrderKey;
use crate::id::AppId;

/// How far a key has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Rows up to this place are settled, perhaps not yet on disk.
    pub(super) after: u64,
    /// Attempts at the row after it.
    pub(super) attempts: u32,
}

/// How serving a key for a while ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There were no more rows.
    Empty(Progress),
    /// There may be more rows.
    More(Progress),
    /// Not before this time.
    Rest(Progress, Instant),
}

/// All keys with rows to tell, as far as they fit.
#[derive(Debug)]
pub(super) struct Schedule {
    keys: HashMap<OrderKey, Entry>,
    /// Keys that may be served, by app.
    ready: BTreeMap<AppId, VecDeque<OrderKey>>,
    /// The app that was served last.
    last: AppId,
    resting: BTreeSet<(Instant, OrderKey)>,
    serving: usize,
    serving_of: HashMap<AppId, usize>,
    scan: Scan,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    keys: usize,
    serving: usize,
    serving_of_app: usize,
}

#[derive(Debug)]
struct Entry {
    progress: Progress,
    /// It got rows while it was served.
    again: bool,
}

#[derive(Debug)]
enum Scan {
    /// Every key of the store is known here.
    Done,
    /// Keys after this one are not; not before the time.
    From(Option<OrderKey>, Instant),
    /// A page is being read; `again` when it must all be read once more.
    Reading {
        after: Option<OrderKey>,
        again: bool,
    },
}

impl Schedule {
    /// Starts with a scan due.
    pub(super) fn new(config: &CallbackConfig) -> Self {
        Self {
            keys: HashMap::new(),
            ready: BTreeMap::new(),
            last: AppId(0),
            resting: BTreeSet::new(),
            serving: 0,
            serving_of: HashMap::new(),
            scan: Scan::From(None, Instant::default()),
            limits: Limits {
                keys: config.keys.max(1),
                serving: config.parallel.max(1),
                serving_of_app: config.parallel_per_app.max(1),
            },
        }
    }

    /// Takes keys in that have got rows.
    pub(super) fn add_all(&mut self, keys: Vec<OrderKey>) {
        for key in keys {
            if let Some(entry) = self.keys.get_mut(&key) {
                entry.again = true;
            } else if self.keys.len() < self.limits.keys {
                self.insert(key);
            } else {
                self.scan_again();
            }
        }
    }

    /// Some keys may be missing here.
    pub(super) fn scan_again(&mut self) {
        match &mut self.scan {
            Scan::Done => self.scan = Scan::From(None, Instant::default()),
            Scan::From(after, _) => *after = None,
            Scan::Reading { again, .. } => *again = true,
        }
    }

    /// The key after which to read the store now, if a scan is due and there
    /// is room for what it finds. Its answer goes to [`scanned`](Self::scanned).
    pub(super) fn scan(&mut self, now: Instant) -> Option<Option<OrderKey>> {
        let Scan::From(after, at) = &self.scan else {
            return None;
        };
        if *at > now || !self.has_room() {
            return None;
        }
        let after = after.clone();
        self.scan = Scan::Reading {
            after: after.clone(),
            again: false,
        };
        Some(after)
    }

    /// Takes in a page of at most `page` keys that the scan read, or that it
    /// could not be read and when to try again.
    pub(super) fn scanned(&mut self, read: Result<Vec<OrderKey>, Instant>, page: usize) {
        let Scan::Reading { after, again } = std::mem::replace(&mut self.scan, Scan::Done) else {
            return;
        };
        let keys = match read {
            Ok(keys) => keys,
            Err(at) => {
                self.scan = Scan::From(after.filter(|_| !again), at);
                return;
            }
        };
        if again {
            self.scan = Scan::From(None, Instant::default());
        } else if keys.len() == page {
            self.scan = Scan::From(keys.last().cloned(), Instant::default());
        }
        self.add_all(keys);
    }

    /// The next key to serve, apps in turn, if a place is free.
    pub(super) fn next(&mut self) -> Option<(OrderKey, Progress)> {
        if self.serving >= self.limits.serving {
            return None;
        }
        let free = |app: &AppId| {
            self.serving_of.get(app).copied().unwrap_or(0) < self.limits.serving_of_app
        };
        let later = self
            .ready
            .range((Bound::Excluded(self.last), Bound::Unbounded));
        let in_turn = later.chain(self.ready.range(..=self.last));
        let app = in_turn.map(|(app, _)| *app).find(free)?;
        let queue = self.ready.get_mut(&app)?;
        let key = queue.pop_front()?;
        if queue.is_empty() {
            self.ready.remove(&app);
        }
        self.last = app;
        self.serving += 1;
        *self.serving_of.entry(app).or_default() += 1;
        let entry = self.keys.get_mut(&key)?;
        entry.again = false;
        Some((key, entry.progress))
    }

    /// A key has been served for a while.
    pub(super) fn served(&mut self, key: OrderKey, turn: Turn) {
        self.serving -= 1;
        if let Some(count) = self.serving_of.get_mut(&key.app) {
            *count -= 1;
            if *count == 0 {
                self.serving_of.remove(&key.app);
            }
        }
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        match turn {
            Turn::Empty(progress) | Turn::More(progress) => {
                entry.progress = progress;
                if entry.again || matches!(turn, Turn::More(_)) {
                    self.ready.entry(key.app).or_default().push_back(key);
                } else {
                    self.keys.remove(&key);
                }
            }
            Turn::Rest(progress, at) => {
                entry.progress = progress;
                self.resting.insert((at, key));
            }
        }
    }

    /// Keys that wait after a failure.
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// When [`wake`](Self::wake) or a scan is due next.
    pub(super) fn due(&self) -> Instant {
        let rest = self.resting.first().map_or(Instant::FAR, |(at, _)| *at);
        match &self.scan {
            Scan::From(_, at) if self.has_room() => rest.min(*at),
            Scan::From(..) | Scan::Reading { .. } | Scan::Done => rest,
        }
    }

    /// Makes keys ready whose rest is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, _)) = self.resting.first()
            && *at <= now
        {
            if let Some((_, key)) = self.resting.pop_first() {
                self.ready.entry(key.app).or_default().push_back(key);
            }
        }
    }

    fn insert(&mut self, key: OrderKey) {
        let entry = Entry {
            progress: Progress::default(),
            again: false,
        };
        self.keys.insert(key.clone(), entry);
        self.ready.entry(key.app).or_default().push_back(key);
    }

    /// Half of the places are free: a scan pays.
    fn has_room(&self) -> bool {
        self.keys.len() <= self.limits.keys / 2
    }
}
