//! One connection under manual control.
//!
//! No task, no channel: whoever holds it polls it. One future reads, writes
//! and sends heartbeats, so a connection that rests costs its TLS state, its
//! socket and one timer; what is read goes through a buffer that the thread's
//! connections share. All methods that wait may be cancelled and called again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use livegate_proto::client::{
    ClientFrame, LoginReply, LoginRequest, LogoutRequest, PingRequest, Reply, ServerFrame,
    client_frame, push, reply,
};
use livegate_proto::codec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::dial::{Dialer, Target};
use crate::error::{DialError, Disconnect, LoginError, Refusal};
use crate::inbox::Inbox;
use crate::link::{Link, Transport};
use crate::outbox::{Outbox, OutboxFull};
pub use crate::pulse::Heartbeat;
use crate::pulse::{Beat, Pulse};

/// Bytes that may wait to be written unless set otherwise.
pub const DEFAULT_OUTBOX_LIMIT: usize = 256 * 1024;

/// The request id of measured heartbeats.
const PING_ID: u64 = 1;

/// The first request id that [`Connection::send`] gives.
pub const FIRST_REQUEST_ID: u64 = 2;

/// Bytes read at once.
const READ_SIZE: usize = 16 * 1024;

/// How long a polite end waits for the gateway's last word.
const GOODBYE: Duration = Duration::from_secs(1);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    inbox: Inbox,
    outbox: Outbox,
    unflushed: bool,
    /// Writing failed; what the gateway said before is still read.
    write_error: Option<String>,
    closing: Option<Disconnect>,
    pulse: Pulse,
    timer: Option<Pin<Box<Sleep>>>,
    ping_sent: Option<Instant>,
    rtt: Option<Duration>,
    next_id: u64,
}

impl Connection {
    /// Opens a transport to `target`; nothing is said yet.
    ///
    /// # Errors
    /// When no transport could be opened.
    pub async fn open(dialer: &Dialer, target: &Target) -> Result<Self, DialError> {
        Ok(Self::over(dialer.dial(target).await?))
    }

    /// Takes an open transport. Must be called within a tokio runtime.
    pub fn over(link: Link) -> Self {
        Self {
            link,
            inbox: Inbox::new(codec::MAX_SERVER_FRAME),
            outbox: Outbox::new(DEFAULT_OUTBOX_LIMIT),
            unflushed: false,
            write_error: None,
            closing: None,
            pulse: Pulse::new(Instant::now()),
            timer: None,
            ping_sent: None,
            rtt: None,
            next_id: FIRST_REQUEST_ID,
        }
    }

    /// Logs in and takes over the heartbeat interval that the gateway tells.
    ///
    /// # Errors
    /// When refused, when the connection ends, or after `limit` without answer.
    pub async fn login(
        &mut self,
        request: LoginRequest,
        limit: Duration,
    ) -> Result<LoginReply, LoginError> {
        let body = client_frame::Body::Login(request);
        let answer = timeout(limit, self.request(body, |_| {})).await;
        let reply = answer
            .map_err(|_| LoginError::Timeout(limit))?
            .map_err(LoginError::Ended)?;
        if let Some(mut refusal) = Refusal::of(&reply) {
            // A close that says when to return knows better than the reply.
            if let Some(Disconnect::Closed { retry_after, .. }) = &self.closing
                && !retry_after.is_zero()
            {
                refusal.retry_after.get_or_insert(*retry_after);
            }
            return Err(LoginError::Refused(refusal));
        }
        let Some(reply::Body::Login(login)) = reply.body else {
            let text = "the login is answered with another body".to_owned();
            return Err(LoginError::Ended(Disconnect::Protocol(text)));
        };
        Ok(login)
    }

    /// Queues a request under an id of its own and answers with the id. It is
    /// written by the next call that waits.
    ///
    /// # Errors
    /// When too much waits to be written already.
    pub fn send(&mut self, body: client_frame::Body) -> Result<u64, OutboxFull> {
        let request_id = self.next_id;
        self.outbox.queue(&ClientFrame {
            request_id,
            body: Some(body),
        })?;
        self.next_id += 1;
        Ok(request_id)
    }

    /// Sends a request and waits for its reply; frames that come before it, and
    /// pushes that come with it, go to `other`.
    ///
    /// # Errors
    /// When the connection ends first, or takes no more.
    pub async fn request(
        &mut self,
        body: client_frame::Body,
        mut other: impl FnMut(ServerFrame),
    ) -> Result<Reply, Disconnect> {
        let sent = self.send(body);
        let id = sent.map_err(|full| Disconnect::Lost(full.to_string()))?;
        loop {
            let mut frame = self.next().await?;
            let reply = frame.reply.take_if(|reply| reply.request_id == id);
            if !is_empty(&frame) {
                other(frame);
            }
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    /// Waits for the next frame, writes what is queued meanwhile and sends
    /// heartbeats. Replies to heartbeats are kept back.
    ///
    /// # Errors
    /// Why the connection ended; the same on every later call.
    pub async fn next(&mut self) -> Result<ServerFrame, Disconnect> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Hands every frame body to `take`, as it was read, until it breaks; writes
    /// what is queued meanwhile, `take`'s own frames included, and sends
    /// heartbeats. Nothing is decoded, so the gateway's closing word is `take`'s
    /// to see.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn drive<B>(
        &mut self,
        mut take: impl FnMut(&[u8], &mut Outbox) -> ControlFlow<B>,
    ) -> Result<B, Disconnect> {
        poll_fn(|cx| self.poll_bodies(cx, &mut take)).await
    }

    /// Waits until everything queued is written. Reads nothing.
    ///
    /// # Errors
    /// When writing fails.
    pub async fn flush(&mut self) -> Result<(), Disconnect> {
        poll_fn(|cx| {
            let pending = self.poll_write(cx).is_pending();
            match &self.write_error {
                Some(error) => Poll::Ready(Err(Disconnect::Lost(error.clone()))),
                None if pending => Poll::Pending,
                None => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    /// As [`next`](Self::next), but while `hold` reads nothing: for an owner that
    /// can take no more for now. What is not listened for is no silence.
    pub(crate) async fn next_unless(&mut self, hold: bool) -> Result<ServerFrame, Disconnect> {
        if !hold {
            return self.next().await;
        }
        let ended = poll_fn(|cx| {
            self.pulse.heard();
            if let Err(ended) = self.poll_pulse(cx) {
                return Poll::Ready(ended);
            }
            let _ = self.poll_write(cx);
            match &self.write_error {
                Some(error) => Poll::Ready(Disconnect::Lost(error.clone())),
                None => Poll::Pending,
            }
        });
        Err(ended.await)
    }

    /// Logs out, waits briefly for the gateway's last word and closes.
    pub async fn close(mut self) {
        let goodbye = async {
            if self
                .send(client_frame::Body::Logout(LogoutRequest {}))
                .is_ok()
            {
                while self.next().await.is_ok() {}
            }
            let _ = self.link.shutdown().await;
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    /// What waits to be written.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Says what heartbeats are for; plain ones by default.
    pub fn set_heartbeat(&mut self, kind: Heartbeat) {
        self.pulse.set_kind(kind);
        self.rearm();
    }

    /// Sends a heartbeat when nothing was sent for this long. [`next`](Self::next)
    /// follows what the gateway tells by itself.
    pub fn set_heartbeat_interval(&mut self, interval: Duration) {
        self.pulse.set_interval(interval);
        self.rearm();
    }

    /// Which transport carries it.
    pub fn transport(&self) -> Transport {
        self.link.transport()
    }

    /// The transport beneath.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The round trip of the latest measured heartbeat.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ServerFrame, Disconnect>> {
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

    fn poll_bodies<B>(
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
            Err(_) => self.read_through(cx, &mut [0; 1024], take),
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
            Disconnect::Lost(match (error, &self.write_error) {
                (Some(error), _) => error.to_string(),
                (None, Some(error)) => error.clone(),
                (None, None) if self.inbox.is_partial() => "ended within a frame".to_owned(),
                (None, None) => "ended without a word".to_owned(),
            })
        });
        self.closing.insert(ended).clone()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
    fn rearm(&mut self) {
        let Some(due) = self.pulse.due() else { return };
        match &mut self.timer {
            None => self.timer = Some(Box::pin(sleep_until(due))),
            Some(timer) if due < timer.deadline() => timer.as_mut().reset(due),
            Some(_) => {}
        }
    }

    fn poll_pulse(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnect> {
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

fn is_empty(frame: &ServerFrame) -> bool {
    frame.reply.is_none() && frame.pushes.is_empty() && frame.close.is_none()
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

fn told_by_push(push: &livegate_proto::client::Push) -> Option<u32> {
    match push.body.as_ref()? {
        push::Body::RoleChanged(changed) => Some(changed.heartbeat_ms),
        _ => None,
    }
}
