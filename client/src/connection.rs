//! One connection under manual control.
//!
//! No task, no channel: whoever holds it polls it. One future reads, writes
//! and sends heartbeats, so a connection that rests costs its TLS state, its
//! socket and one timer; what is read goes through a buffer that the thread's
//! connections share. All methods that wait may be cancelled and called again.

mod poll;

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use livegate_proto::client::ClientFrame;
use livegate_proto::client::{
    LoginReply, LoginRequest, LogoutRequest, Reply, ServerFrame, client_frame, reply,
};
use livegate_proto::codec;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, Sleep, timeout};

use crate::dial::{Dialer, Target};
use crate::error::{DialError, Disconnect, LoginError, Refusal};
use crate::inbox::Inbox;
use crate::link::{Link, Transport};
use crate::outbox::{Outbox, OutboxFull};
pub use crate::pulse::Heartbeat;
use crate::pulse::Pulse;

/// Bytes that may wait to be written unless set otherwise.
pub const DEFAULT_OUTBOX_LIMIT: usize = 256 * 1024;

/// The first request id that [`Connection::send`] gives.
pub const FIRST_REQUEST_ID: u64 = 2;

/// How long a polite end waits for the gateway's last word.
const GOODBYE: Duration = Duration::from_secs(1);

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

    /// Sends heartbeats at least this often, also when the gateway asks for
    /// fewer.
    pub fn set_longest_heartbeat_interval(&mut self, longest: Duration) {
        self.pulse.set_longest(longest);
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
}

fn is_empty(frame: &ServerFrame) -> bool {
    frame.reply.is_none() && frame.pushes.is_empty() && frame.close.is_none()
}
