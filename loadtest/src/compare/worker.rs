//! A process of subscribers: one thread, told what to do on its standard input,
//! telling what happens on its standard output, a line each.
//!
//! It ends when its input ends, so that it never outlives who started it.

mod subscriber;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use self::subscriber::subscriber;
use super::dial::Dialer;
use super::plan::Target;
use super::track::{Book, Track};
use super::wire::{self, Wire};
use crate::clock::{Micros, monotonic};
use crate::machine;

/// Clients of one worker that come in at the same time.
const COMING_IN: usize = 32;

/// Bytes that are read at a time.
const READ: usize = 128 * 1024;

/// What a worker is told first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    /// What is dialed.
    pub(super) target: Target,
    /// Where it is.
    pub(super) addr: SocketAddr,
    /// The certificate to trust.
    pub(super) certificate: PathBuf,
    /// The room or topic.
    pub(super) room: String,
    /// The worker's first subscriber.
    pub(super) first: u32,
    /// From one of its subscribers to the next.
    pub(super) step: u32,
    /// Its subscribers.
    pub(super) subscribers: u32,
    /// Cores that it is held to; empty: any.
    pub(super) cpus: Vec<usize>,
    /// Whether a hybrid key exchange is offered.
    pub(super) post_quantum: bool,
    /// Whether subscribers come back when they lose their connection.
    pub(super) comes_back: bool,
    /// From one sign of life to the next, milliseconds.
    pub(super) heartbeat_ms: u64,
}

/// What a worker is told later.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Command {
    /// What is measured.
    Measure { from: Micros, to: Micros },
    /// So many messages were sent: tell what you saw.
    Stop { sent: u32 },
}

/// What a worker tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// So many subscribers are in, so many will never be.
    In { ready: u32, failed: u32 },
    /// All subscribers have everything up to this number.
    Done { number: u32, at: Micros },
    /// What was seen.
    Seen(Box<super::track::Seen>),
}

/// What the subscribers of a worker share.
struct Desk {
    dialer: Dialer,
    wire: Box<dyn Wire>,
    book: RefCell<Book>,
    tracks: RefCell<Vec<Option<Track>>>,
    standing: RefCell<(u32, u32)>,
    buffer: RefCell<Vec<u8>>,
    door: Semaphore,
    subscribers: u32,
    heartbeat: Duration,
    comes_back: bool,
    changes: Cell<u32>,
}

/// Works until the input ends.
///
/// # Errors
/// When the orders make no sense or TLS cannot be set up.
pub(crate) fn main() -> Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let orders: Orders = serde_json::from_str(&line).context("reading the orders")?;
    machine::pin(&orders.cpus)?;
    machine::allow_files(orders.subscribers.into())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, work(orders))?;
    runtime.shutdown_background();
    Ok(true)
}

async fn work(orders: Orders) -> Result<()> {
    let wire = wire::of(orders.target, &orders.room);
    let dialer = Dialer::new(
        orders.target,
        &*wire,
        orders.addr,
        &orders.certificate,
        orders.post_quantum,
    )?;
    let desk = Rc::new(Desk {
        dialer,
        wire,
        book: RefCell::new(Book::new(orders.subscribers)),
        tracks: RefCell::new(vec![Some(Track::default()); orders.subscribers as usize]),
        standing: RefCell::new((0, 0)),
        buffer: RefCell::new(vec![0; READ]),
        door: Semaphore::new(COMING_IN),
        subscribers: orders.subscribers,
        heartbeat: Duration::from_millis(orders.heartbeat_ms),
        comes_back: orders.comes_back,
        changes: Cell::new(0),
    });
    let mut tasks = JoinSet::new();
    for place in 0..orders.subscribers {
        let index = orders.first + place * orders.step;
        tasks.spawn_local(subscriber(desk.clone(), place, index));
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line).context("reading a command")? {
            Command::Measure { from, to } => desk.book.borrow_mut().measure(from, to),
            Command::Stop { sent } => {
                let book = desk.book.replace(Book::new(0));
                let tracks = desk.tracks.take();
                say(&Word::Seen(Box::new(
                    book.close(sent, tracks.into_iter().flatten()),
                )))?;
            }
        }
    }
    tasks.abort_all();
    Ok(())
}

/// Writes one line to who started the worker.
fn say(word: &Word) -> Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

impl Desk {
    fn delivered(&self, place: usize, payload: &[u8], now: Micros) {
        let mut tracks = self.tracks.borrow_mut();
        let Some(Some(track)) = tracks.get_mut(place) else {
            return;
        };
        let done = self.book.borrow_mut().delivered(track, payload, now);
        Self::done(done, now);
    }

    fn broke(&self, place: usize, why: String) {
        let track = self
            .tracks
            .borrow_mut()
            .get_mut(place)
            .and_then(Option::take);
        if let Some(track) = track {
            let done = self.book.borrow_mut().broke(track, why);
            Self::done(done, monotonic());
        }
    }

    /// Who started the worker is gone when this fails, and the worker goes, too.
    fn done(number: Option<u32>, at: Micros) {
        if let Some(number) = number {
            let _ = say(&Word::Done { number, at });
        }
    }

    fn count(&self, change: impl FnOnce(&mut (u32, u32))) {
        let mut standing = self.standing.borrow_mut();
        change(&mut standing);
        let (ready, failed) = *standing;
        let changes = self.changes.get() + 1;
        self.changes.set(changes);
        let nearly = ready + failed >= self.subscribers - self.subscribers / 50;
        if changes.is_multiple_of(100) || nearly {
            let _ = say(&Word::In { ready, failed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_reads_back() {
        let word = serde_json::to_string(&Word::Done { number: 7, at: 9 }).unwrap();
        let Word::Done { number, at } = serde_json::from_str(&word).unwrap() else {
            panic!("{word}");
        };
        assert_eq!((number, at), (7, 9));
    }
}
