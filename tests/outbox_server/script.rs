//! Who did what, in the order in which it was asked for, and what was answered.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long people may take until so much was done.
const LIMIT: Duration = Duration::from_secs(60);

/// Who does something in a room; each does one thing after another there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Writer {
    Host,
    Guest,
    Api,
}

/// Who, where and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) room: &'static str,
    pub(crate) writer: Writer,
    pub(crate) round: u64,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Said,
    Started,
    Ended,
    Entered,
    Left,
}

/// One thing that somebody did.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) who: Who,
    pub(crate) kind: Kind,
    /// By which the backend knows it: the text that was said, an event id.
    pub(crate) name: String,
    pub(crate) asked: u64,
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// There was no answer: it may have happened.
    Unknown,
    Done {
        /// When, beside `Deed::asked`.
        tick: u64,
        at: Instant,
        /// Its place in the room; 0 for what has none.
        seq: u64,
    },
    Refused,
}

/// All that was done.
pub(crate) struct Script {
    pages: Mutex<Pages>,
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Pages {
    deeds: Vec<Deed>,
    tick: u64,
}

impl Pages {
    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            pages: Mutex::default(),
            done: watch::Sender::new(0),
        }
    }

    /// Notes that something is about to be asked for; its number.
    pub(crate) fn asks(&self, who: Who, kind: Kind) -> usize {
        let mut pages = self.pages.lock().unwrap();
        let asked = pages.tick();
        pages.deeds.push(Deed {
            who,
            kind,
            name: String::new(),
            asked,
            outcome: Outcome::Unknown,
        });
        pages.deeds.len() - 1
    }

    /// By what the backend knows it.
    pub(crate) fn names(&self, deed: usize, name: String) {
        self.pages.lock().unwrap().deeds[deed].name = name;
    }

    pub(crate) fn done(&self, deed: usize, seq: u64) {
        let mut pages = self.pages.lock().unwrap();
        let (tick, at) = (pages.tick(), Instant::now());
        pages.deeds[deed].outcome = Outcome::Done { tick, at, seq };
        drop(pages);
        self.done.send_modify(|done| *done += 1);
    }

    pub(crate) fn refused(&self, deed: usize) {
        self.pages.lock().unwrap().deeds[deed].outcome = Outcome::Refused;
    }

    /// Waits until so much more was done.
    pub(crate) async fn goes_on(&self, more: u64) {
        let mut done = self.done.subscribe();
        let enough = *done.borrow() + more;
        let waited = tokio::time::timeout(LIMIT, done.wait_for(|done| *done >= enough)).await;
        waited.expect("nothing is done any more").unwrap();
    }

    /// All deeds, by their numbers.
    pub(crate) fn read(&self) -> Vec<Deed> {
        self.pages.lock().unwrap().deeds.clone()
    }
}
