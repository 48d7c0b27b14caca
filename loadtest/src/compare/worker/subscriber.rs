//! One subscriber: comes in, reads, sends signs of life, and comes back when
//! that is its plan.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::Desk;
use crate::clock::{Micros, monotonic};
use crate::compare::dial::Duplex;
use crate::compare::wire::{Event, Role};
use crate::dice::Dice;

/// Most time from the handshake to being in.
const IN_WITHIN: Duration = Duration::from_secs(60);

/// The longest that a client waits before it comes back, milliseconds.
const FIRST_WAIT: u64 = 500;

/// The longest that it waits after it was turned away often.
const LONGEST_WAIT: u64 = 8_000;

/// Drives the subscriber at `place` of the worker, number `index` of all, until
/// its task is ended or its connection is.
pub(super) async fn subscriber(desk: Rc<Desk>, place: u32, index: u32) {
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
