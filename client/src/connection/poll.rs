//! How a connection is polled: heartbeats, writing, reading, in this order.
//!
//! Writing that is pending or has failed does not stop reading: the gateway's
//! last word may still be on its way.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use livegate_proto::client::{
    ClientFrame, PingRequest, Push, Reply, ServerFrame, client_frame, push, reply,
};
use livegate_proto::codec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::{Connection, is_empty};
use crate::error::Disconnect;
use crate::outbox::Outbox;
use crate::pulse::{Beat, Heartbeat};

/// The request id of measured heartbeats.
const PING_ID: u64 = 1;

/// Bytes read at once.
const READ_SIZE: usize = 16 * 1024;

/// Bytes read at once where the thread's buffer is in use.
const SMALL_READ: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

impl Connection {
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ServerFrame, Disconnect>> {
        loop {
            let mut take = |body: &[u8], _: &mut Outbox| {
                ControlFlow::Break(codec::decode::<ServerFrame>(body))
            };
            let decoded = ready!(self.poll_bodies(cx, &mut take))?;
            let mut frame = decoded.map_err(|error| {
                let ended = Disconnect::Protocol(error.to_string());
                self.closing.get_or_insert(ended).clone()
            })?;
            self.note(&mut frame);
            if !is_empty(&frame) {
                return Poll::Ready(Ok(frame));
            }
        }
    }

    /// Takes from a frame what concerns the connection itself.
    fn note(&mut self, frame: &mut ServerFrame) {
        if let Some(close) = &frame.close {
            self.closing = Some(Disconnect::from_close(close));
        }
        if frame
            .reply
            .take_if(|reply| reply.request_id == PING_ID)
            .is_some()
            && let Some(sent) = self.ping_sent.take()
        {
            self.rtt = Some(sent.elapsed());
        }
        let told = frame.reply.as_ref().and_then(told_by_reply);
        let told = frame.pushes.iter().rev().find_map(told_by_push).or(told);
        if let Some(ms) = told.filter(|ms| *ms > 0) {
            self.set_heartbeat_interval(Duration::from_millis(ms.into()));
        }
    }

    pub(super) fn poll_bodies<B>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(&[u8], &mut Outbox) -> ControlFlow<B>,
    ) -> Poll<Result<B, Disconnect>> {
        loop {
            self.poll_pulse(cx)?;
            // Pending or failed alike: reading goes on.
            let _ = self.poll_write(cx);
            let Self { inbox, outbox, .. } = self;
            if let ControlFlow::Break(value) = inbox.drain(&mut |body| take(body, outbox))? {
                return Poll::Ready(Ok(value));
            }
            if let Some(ended) = &self.closing {
                return Poll::Ready(Err(ended.clone()));
            }
            if let ControlFlow::Break(value) = ready!(self.poll_read(cx, take))? {
                return Poll::Ready(Ok(value));
            }
        }
    }

    fn poll_read<B>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(&[u8], &mut Outbox) -> ControlFlow<B>,
    ) -> Poll<Result<ControlFlow<B>, Disconnect>> {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => self.read_through(cx, &mut scratch, take),
            // `take` polls another connection of this thread.
            Err(_) => self.read_through(cx, &mut [0; SMALL_READ], take),
        })
    }

    fn read_through<B>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: &mut impl FnMut(&[u8], &mut Outbox) -> ControlFlow<B>,
    ) -> Poll<Result<ControlFlow<B>, Disconnect>> {
        let mut buffer = ReadBuf::new(scratch);
        match ready!(Pin::new(&mut self.link).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(self.ended(None))),
            Ok(()) => {
                self.pulse.heard();
                let Self { inbox, outbox, .. } = self;
                let flow = inbox.feed(buffer.filled(), &mut |body| take(body, outbox));
                Poll::Ready(flow.map_err(|error| self.closing.insert(error.into()).clone()))
            }
            Err(error) => Poll::Ready(Err(self.ended(Some(&error)))),
        }
    }

    /// Why reading ended, remembered for later calls.
    fn ended(&mut self, error: Option<&io::Error>) -> Disconnect {
        let ended = self.link.closed_with().unwrap_or_else(|| {
            // How TLS calls an end without its goodbye, at some length.
            let error = error.filter(|error| error.kind() != io::ErrorKind::UnexpectedEof);
            Disconnect::Lost(match (error, &self.write_error) {
                (Some(error), _) => error.to_string(),
                (None, Some(error)) => error.clone(),
                (None, None) if self.inbox.is_partial() => "ended within a frame".to_owned(),
                (None, None) => "ended without a word".to_owned(),
            })
        });
        self.closing.insert(ended).clone()
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.write_error.is_some() {
            return Poll::Ready(());
        }
        let written = ready!(self.poll_write_all(cx));
        if let Err(error) = written {
            self.write_error = Some(error.to_string());
        }
        Poll::Ready(())
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wrote = false;
        while self.outbox.waiting() > 0 {
            let write = Pin::new(&mut self.link).poll_write(cx, self.outbox.unwritten());
            let n = match write {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.note_sent(wrote);
                    return Poll::Pending;
                }
            };
            self.outbox.advance(n);
            self.unflushed = true;
            wrote = true;
        }
        self.note_sent(wrote);
        if self.unflushed {
            ready!(Pin::new(&mut self.link).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn note_sent(&mut self, wrote: bool) {
        if wrote {
            self.pulse.sent(Instant::now());
            self.rearm();
        }
    }

    /// Moves the timer when something is due earlier than it; what is due later
    /// is seen when it fires.
    pub(super) fn rearm(&mut self) {
        let Some(due) = self.pulse.due() else { return };
        match &mut self.timer {
            None => self.timer = Some(Box::pin(sleep_until(due))),
            Some(timer) if due < timer.deadline() => timer.as_mut().reset(due),
            Some(_) => {}
        }
    }

    pub(super) fn poll_pulse(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        loop {
            let Some(timer) = &mut self.timer else {
                return Ok(());
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            let now = Instant::now();
            match self.pulse.on_timer(now) {
                Beat::Nothing => {}
                Beat::Ping => self.ping(now),
                Beat::Silent(time) => {
                    let ended = self.closing.insert(Disconnect::Silent(time));
                    return Err(ended.clone());
                }
            }
            match (self.pulse.due(), &mut self.timer) {
                (Some(due), Some(timer)) => timer.as_mut().reset(due),
                (_, timer) => *timer = None,
            }
        }
    }

    /// Queues a heartbeat. One that finds the outbox full is not needed: the
    /// frames before it say the same, once the gateway reads.
    fn ping(&mut self, now: Instant) {
        let measured = self.pulse.kind() != Heartbeat::Plain && self.ping_sent.is_none();
        let queued = self.outbox.queue(&ClientFrame {
            request_id: if measured { PING_ID } else { 0 },
            body: Some(client_frame::Body::Ping(PingRequest {})),
        });
        if measured && queued.is_ok() {
            self.ping_sent = Some(now);
        }
        self.pulse.sent(now);
    }
}

/// The heartbeat interval in milliseconds that a reply tells, if any.
fn told_by_reply(reply: &Reply) -> Option<u32> {
    match reply.body.as_ref()? {
        reply::Body::Login(login) => Some(login.heartbeat_ms),
        reply::Body::EnterRoom(entered) => Some(entered.heartbeat_ms),
        reply::Body::StartLive(started) => Some(started.heartbeat_ms),
        _ => None,
    }
}

fn told_by_push(push: &Push) -> Option<u32> {
    match push.body.as_ref()? {
        push::Body::RoleChanged(changed) => Some(changed.heartbeat_ms),
        _ => None,
    }
}
