//! What all threads of a run share: the stage it is in, what happened to each
//! room, and counts for the progress bars.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Micros;

/// What clients do now. Stages only go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Clients connect.
    Ramp,
    /// Messages flow.
    Run(Window),
    /// No more messages; what is under way arrives.
    Drain,
    /// What was seen is taken down, before the first one leaves: what a leaving
    /// host causes is not part of the run.
    Count,
    /// Clients leave.
    Stop,
}

/// The moments of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// The first message is due.
    pub(crate) start: Micros,
    /// Messages due from here are measured.
    pub(crate) from: Micros,
    /// Messages due from here are not sent any more.
    pub(crate) to: Micros,
}

/// The shared state of a run.
#[derive(Debug)]
pub(crate) struct Board {
    stage: watch::Sender<Stage>,
    /// By index of the room.
    pub(crate) rooms: Vec<RoomBoard>,
    /// A reader is stopped: latencies are recorded apart.
    pub(crate) disturbed: AtomicBool,
    /// A reader is stopped in another process.
    pub(crate) disturbed_elsewhere: AtomicBool,
    /// Clients that entered their room.
    pub(crate) entered: AtomicU64,
    /// Clients that failed to.
    pub(crate) failed: AtomicU64,
    /// Connections that ended before their time.
    pub(crate) gone: AtomicU64,
    /// Messages delivered.
    pub(crate) deliveries: AtomicU64,
    /// Hostile connections that are open.
    pub(crate) hostile: AtomicU64,
    /// By worker: what is still under way.
    pub(crate) behind: Vec<Behind>,
    /// Workers that have taken down what their clients saw.
    pub(crate) counted: AtomicUsize,
}

/// Clients of one worker to which something is still under way.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    left: AtomicU64,
    looks: AtomicU64,
}

impl Behind {
    /// How often the worker looked, and how many it found last.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.looks.load(Acquire), self.left.load(Relaxed))
    }

    /// The worker looked and found `left`.
    pub(crate) fn looked(&self, left: u64) {
        self.left.store(left, Relaxed);
        self.looks.fetch_add(1, Release);
    }
}

/// One room.
#[derive(Debug, Default)]
pub(crate) struct RoomBoard {
    /// It exists, its host has entered and the live, if any, has started;
    /// `false`: that failed.
    pub(crate) ready: watch::Sender<Option<bool>>,
    /// Likes that were accepted.
    pub(crate) likes: AtomicU64,
    /// The newest seq that anybody knows of.
    pub(crate) head: AtomicU64,
    /// When its host crashed; 0: not.
    pub(crate) crashed: AtomicU64,
    /// Its host is to stay away: every viewer must be told one end.
    pub(crate) ends: AtomicBool,
    /// Its live, once started.
    pub(crate) live: Mutex<Option<String>>,
}

impl Board {
    /// A run of `rooms` rooms on `workers` threads that begins with its ramp.
    pub(crate) fn new(rooms: u32, workers: usize) -> Self {
        Self {
            stage: watch::Sender::new(Stage::Ramp),
            rooms: (0..rooms).map(|_| RoomBoard::default()).collect(),
            disturbed: AtomicBool::new(false),
            disturbed_elsewhere: AtomicBool::new(false),
            entered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            hostile: AtomicU64::new(0),
            behind: (0..workers).map(|_| Behind::default()).collect(),
            counted: AtomicUsize::new(0),
        }
    }

    /// Goes to the next stage.
    pub(crate) fn go(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Follows the stages.
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// The stage now.
    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// How often each worker has looked, and how many clients are behind in all;
    /// `None` until every worker has looked.
    pub(crate) fn behind(&self) -> Option<(Vec<u64>, u64)> {
        let looks: Vec<u64> = self.behind.iter().map(|b| b.looks.load(Acquire)).collect();
        let left = self.behind.iter().map(|b| b.left.load(Relaxed)).sum();
        looks
            .iter()
            .all(|looks| *looks > 0)
            .then_some((looks, left))
    }

    /// Whether a reader is stopped anywhere.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed.load(Relaxed) || self.disturbed_elsewhere.load(Relaxed)
    }

    /// The room of `index`.
    pub(crate) fn room(&self, index: u32) -> &RoomBoard {
        &self.rooms[index as usize]
    }
}

impl RoomBoard {
    /// Waits until the room can be entered, or never will be.
    pub(crate) async fn wait_ready(&self) -> bool {
        let mut ready = self.ready.subscribe();
        let told = ready.wait_for(Option::is_some).await;
        told.is_ok_and(|ready| *ready == Some(true))
    }

    /// Somebody knows of `seq`.
    pub(crate) fn raise(&self, seq: u64) {
        self.head.fetch_max(seq, Relaxed);
    }
}
