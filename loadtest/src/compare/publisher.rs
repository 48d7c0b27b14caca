//! The one who speaks: a connection of its own, paced by the plan.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use super::crew::Crew;
use super::dial::{Dialer, Duplex};
use super::plan::Plan;
use super::spread::Spread;
use super::wire::{Event, Role, Wire};
use crate::clock::{Micros, micros, monotonic};
use crate::payload::{self, Stamp};

/// Most time until the publisher is in.
const IN_WITHIN: Duration = Duration::from_secs(30);

/// Most messages of one write: a publisher that is behind catches up in steps.
const AT_ONCE: u32 = 256;

/// A closed loop without a step for so long goes on without what is missing.
const STALLED: Micros = 3_000_000;

/// Bytes that are read at a time.
const READ: usize = 64 * 1024;

/// What the publisher did.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Messages sent in all.
    pub(super) sent: u32,
    /// Messages that were due in all.
    pub(super) due: u32,
    /// Messages that nobody waited for any longer.
    pub(super) stalled: u32,
    /// Requests that were refused.
    pub(super) refused: u64,
    /// From sending to the last subscriber, of messages sent while measured.
    pub(super) last: Spread,
}

/// A publisher that is in.
pub(super) struct Publisher<'a> {
    wire: &'a dyn Wire,
    plan: &'a Plan,
    reading: ReadHalf<Box<dyn Duplex>>,
    writing: WriteHalf<Box<dyn Duplex>>,
    buffer: Vec<u8>,
    rest: Vec<u8>,
    ready: bool,
    ping: bool,
    /// When each message was meant to be sent, from number `first` on.
    times: VecDeque<Micros>,
    first: u32,
    said: Said,
}

impl<'a> Publisher<'a> {
    /// Comes in.
    ///
    /// # Errors
    /// When the target does not let it.
    pub(super) async fn enter(plan: &'a Plan, wire: &'a dyn Wire, dialer: &Dialer) -> Result<Self> {
        let (reading, writing) = tokio::io::split(dialer.dial(plan.subscribers).await?);
        let mut publisher = Self {
            wire,
            plan,
            reading,
            writing,
            buffer: vec![0; READ],
            rest: Vec::new(),
            ready: false,
            ping: false,
            times: VecDeque::new(),
            first: 1,
            said: Said::default(),
        };
        let mut hello = Vec::new();
        wire.open("publisher", Role::Publisher, &mut hello);
        publisher.write(&hello).await?;
        let until_in = async {
            while !publisher.ready {
                publisher.read().await?;
            }
            Ok(())
        };
        match timeout(IN_WITHIN, until_in).await {
            Ok(entered) => entered.map(|()| publisher),
            Err(_) => bail!("the publisher did not come in within {IN_WITHIN:?}"),
        }
    }

    /// Speaks from `start` until `to`, then waits until everything has arrived
    /// or the drain is over. What is sent from `from` on is measured.
    ///
    /// # Errors
    /// When the connection or a worker is lost.
    pub(super) async fn speak(
        mut self,
        crew: &Crew,
        (start, from, to): (Micros, Micros, Micros),
    ) -> Result<Said> {
        let end = to + micros(self.plan.drain);
        let (mut forgiven, mut stepped, mut had) = (0, start, 0);
        loop {
            let (done, finished) = crew.done();
            self.last(&finished, (from, to));
            let now = monotonic();
            if done > had || self.said.sent == done {
                (had, stepped, forgiven) = (done, now, 0);
            }
            if now.saturating_sub(stepped) > STALLED && now < to {
                (forgiven, stepped) = (self.said.sent - done, now);
                self.said.stalled += forgiven;
            }
            if now >= end || (now >= to && self.said.sent <= done) {
                return Ok(self.said);
            }
            if now < to {
                self.send_due(done + forgiven.min(self.said.sent - done), start, now)
                    .await?;
            }
            self.wait(crew, start, to).await?;
        }
    }

    /// Sends what is due when all have everything up to `done`.
    async fn send_due(&mut self, done: u32, start: Micros, now: Micros) -> Result<()> {
        let gone = now.saturating_sub(start) as f64 / 1e6;
        self.said.due = if self.plan.in_flight > 0 {
            done + self.plan.in_flight
        } else {
            (gone * self.plan.rate) as u32
        };
        let mut out = Vec::new();
        let until = self.said.due.min(self.said.sent + AT_ONCE);
        while self.said.sent < until {
            let intended = self.intended(self.said.sent, start, now);
            self.said.sent += 1;
            let stamp = Stamp {
                publisher: 0,
                number: self.said.sent,
                intended,
            };
            self.times.push_back(intended);
            let payload = payload::write(&stamp, self.plan.payload_bytes);
            self.wire.publish(&payload, &mut out);
        }
        if !out.is_empty() {
            self.write(&out).await?;
        }
        Ok(())
    }

    /// When the message after `sent` others is meant to be sent.
    fn intended(&self, sent: u32, start: Micros, now: Micros) -> Micros {
        if self.plan.in_flight > 0 {
            return now;
        }
        start + (f64::from(sent + 1) * 1e6 / self.plan.rate) as Micros
    }

    /// Waits for news of the workers, for the target, or for the next message.
    async fn wait(&mut self, crew: &Crew, start: Micros, to: Micros) -> Result<()> {
        let now = monotonic();
        let next = if self.plan.rate > 0.0 && now < to {
            self.intended(self.said.sent, start, now)
        } else {
            now + 100_000
        };
        let nap = Duration::from_micros(next.saturating_sub(now).min(100_000));
        tokio::select! {
            biased;
            heard = crew.heard() => heard?,
            read = self.read() => read?,
            () = sleep(nap) => {}
        }
        if std::mem::take(&mut self.ping) {
            self.write(self.wire.pong()).await?;
        }
        Ok(())
    }

    /// Takes the latencies of messages that the last subscriber has.
    fn last(&mut self, finished: &[(u32, Micros)], (from, to): (Micros, Micros)) {
        for (number, at) in finished {
            let place = number.checked_sub(self.first).map(|place| place as usize);
            let Some(intended) = place.and_then(|place| self.times.get(place)) else {
                continue;
            };
            if (from..to).contains(intended) {
                self.said.last.record(at.saturating_sub(*intended));
            }
        }
        while self.times.len() > 100_000 {
            self.times.pop_front();
            self.first += 1;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writing.write_all(bytes).await?;
        Ok(self.writing.flush().await?)
    }

    /// Reads once. May be cancelled and called again.
    async fn read(&mut self) -> Result<()> {
        let (reading, buffer) = (&mut self.reading, &mut self.buffer);
        let filled = poll_fn(|cx| {
            let mut read = ReadBuf::new(buffer);
            let polled = AsyncRead::poll_read(Pin::new(&mut *reading), cx, &mut read);
            polled.map_ok(|()| read.filled().len())
        })
        .await?;
        if filled == 0 {
            bail!("the target closed the publisher's connection");
        }
        self.rest.extend_from_slice(&self.buffer[..filled]);
        let (ready, ping, refused) = (&mut self.ready, &mut self.ping, &mut self.said.refused);
        let used = self.wire.take(&self.rest, &mut |event| match event {
            Event::Ready => *ready = true,
            Event::Ping => *ping = true,
            Event::Refused(_) => *refused += 1,
            Event::Delivery(_) => {}
        })?;
        self.rest.drain(..used);
        Ok(())
    }
}
