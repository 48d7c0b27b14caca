//! A process of subscribers: one thread, told what to do on its standard input,
//! telling what happens on its standard output, a line each.
//!
//! It ends when its input ends, so that it never outlives who started it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use super::dial::{Dialer, Duplex};
use super::plan::Target;
use super::track::{Book, Track};
use super::wire::{self, Event, Role, Wire};
use crate::clock::{Micros, monotonic};
use crate::dice::Dice;
use crate::machine;

/// Clients of one worker that come in at the same time.
const COMING_IN: usize = 32;

/// Most time from the handshake to being in.
const IN_WITHIN: Duration = Duration::from_secs(60);

/// The longest that a client waits before it comes back, milliseconds.
const FIRST_WAIT: u64 = 500;

/// The longest that it waits after it was turned away often.
const LONGEST_WAIT: u64 = 8_000;

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

async fn subscriber(desk: Rc<Desk>, place: u32, index: u32) {
    if desk.comes_back {
        come_and_come_back(&desk, place, index).await;
    } else {
        come_once(&desk, place, index).await;
    }
}

/// Comes in, and whenever the connection is lost waits as its dice say, the
/// longer the more often it was turned away, and comes in again.
async fn come_and_come_back(desk: &Desk, place: u32, index: u32) {
    let mut dice = Dice::new(index.into());
    let mut turned_away = 0;
    let mut door = Some(&desk.door);
    loop {
        let mut reader = Reader::new(desk, place);
        let entered = enter(&mut reader, index, door).await;
        if entered.is_err() {
            desk.book.borrow_mut().dropped(false);
        }
        if let Ok(stream) = entered {
            turned_away = 0;
            desk.count(|standing| standing.0 += 1);
            // Why it ended does not matter: it comes back.
            let _ = listen(&mut reader, stream).await;
            desk.count(|standing| standing.0 -= 1);
            desk.book.borrow_mut().dropped(true);
            // A storm knocks all at once.
            door = None;
        }
        let most = (FIRST_WAIT << turned_away).min(LONGEST_WAIT);
        turned_away = (turned_away + 1).min(10);
        sleep(Duration::from_millis(dice.within(0..most))).await;
    }
}

async fn come_once(desk: &Desk, place: u32, index: u32) {
    let mut reader = Reader::new(desk, place);
    let entered = enter(&mut reader, index, Some(&desk.door)).await;
    let ended = match entered {
        Ok(stream) => {
            desk.count(|standing| standing.0 += 1);
            listen(&mut reader, stream).await
        }
        Err(error) => {
            desk.count(|standing| standing.1 += 1);
            Err(error)
        }
    };
    if let Err(why) = ended {
        desk.broke(place as usize, format!("{why:#}"));
    }
}

async fn enter(
    reader: &mut Reader<'_>,
    index: u32,
    door: Option<&Semaphore>,
) -> Result<Box<dyn Duplex>> {
    let desk = reader.desk;
    let _inside = match door {
        Some(door) => Some(door.acquire().await?),
        None => None,
    };
    let mut stream = desk.dialer.dial(index).await?;
    let mut hello = Vec::new();
    desk.wire
        .open(&format!("u{index}"), Role::Subscriber, &mut hello);
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let until_in = async {
        while !reader.ready {
            reader.read(&mut *stream).await?;
        }
        anyhow::Ok(())
    };
    timeout(IN_WITHIN, until_in).await.context("entering")??;
    Ok(stream)
}

async fn listen(reader: &mut Reader<'_>, mut stream: Box<dyn Duplex>) -> Result<()> {
    let desk = reader.desk;
    let (wire, every) = (&desk.wire, desk.heartbeat);
    // The first beat at a moment of its own, so that they do not come together.
    let share = (reader.place % 1_000) as u32;
    let beat = sleep(every * share / 1_000);
    tokio::pin!(beat);
    loop {
        tokio::select! {
            biased;
            read = reader.read(&mut *stream) => read?,
            () = beat.as_mut() => {
                beat.as_mut().reset(Instant::now() + every);
                send(&mut *stream, wire.beat()).await?;
            }
        }
        if std::mem::take(&mut reader.ping) {
            send(&mut *stream, wire.pong()).await?;
        }
    }
}

async fn send(stream: &mut dyn Duplex, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

/// Reads one subscriber's connection.
struct Reader<'a> {
    desk: &'a Desk,
    place: usize,
    /// The beginning of a message whose end has not come yet.
    rest: Vec<u8>,
    refused: Option<i32>,
    ready: bool,
    ping: bool,
}

impl<'a> Reader<'a> {
    fn new(desk: &'a Desk, place: u32) -> Self {
        Self {
            desk,
            place: place as usize,
            rest: Vec::new(),
            refused: None,
            ready: false,
            ping: false,
        }
    }

    /// Waits for bytes and takes them. May be cancelled and called again.
    async fn read(&mut self, stream: &mut dyn Duplex) -> Result<()> {
        poll_fn(|cx| {
            let mut buffer = self.desk.buffer.borrow_mut();
            let mut read = ReadBuf::new(&mut buffer);
            let polled = AsyncRead::poll_read(Pin::new(&mut *stream), cx, &mut read);
            polled.map(|done| match done {
                Ok(()) => self.take(read.filled()),
                Err(error) => Err(error.into()),
            })
        })
        .await
    }

    fn take(&mut self, input: &[u8]) -> Result<()> {
        if input.is_empty() {
            bail!("closed by the server");
        }
        let now = monotonic();
        self.desk.book.borrow_mut().read(now);
        if self.rest.is_empty() {
            let used = self.each(input, now)?;
            self.rest.extend_from_slice(&input[used..]);
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(input);
            let used = self.each(&rest, now)?;
            rest.drain(..used);
            self.rest = rest;
        }
        match self.refused {
            Some(code) => bail!("refused with {code}"),
            None => Ok(()),
        }
    }

    fn each(&mut self, input: &[u8], now: Micros) -> Result<usize> {
        let desk = self.desk;
        let used = desk.wire.take(input, &mut |event| match event {
            Event::Ready => self.ready = true,
            Event::Ping => self.ping = true,
            Event::Refused(code) => self.refused = Some(code),
            Event::Delivery(payload) => desk.delivered(self.place, payload, now),
        })?;
        Ok(used)
    }
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
