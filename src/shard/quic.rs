//! The carrier of a QUIC connection: its one bidirectional stream.
//!
//! QUIC is encrypted by quinn, so frames go over it in the plain. quinn's
//! driver stays on the runtime that accepted the connection. Dropping the last
//! handle of a quinn connection abandons what is not yet acknowledged;
//! therefore a carrier that was closed goes to the [`Reaper`], which waits a
//! moment for the acknowledgement.

use std::fmt;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;
use tokio::task::coop::unconstrained;
use tokio::time::timeout;

use super::carrier::{Carrier, Refusal};

/// How long a closed connection may take to acknowledge its last bytes.
const LINGER: Duration = Duration::from_secs(2);

/// Closed connections that may wait for their last acknowledgement; more are
/// cut off at once.
const MAX_LINGERING: usize = 4_096;

/// The one stream of a QUIC connection.
pub struct QuicCarrier {
    connection: Connection,
    /// Taken by [`Carrier::close`].
    send: Option<SendStream>,
    recv: RecvStream,
    refusal: Refusal,
    closer: Closer,
}

impl fmt::Debug for QuicCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicCarrier").finish_non_exhaustive()
    }
}

impl QuicCarrier {
    /// Takes the connection and the stream that the client opened.
    pub fn new(
        connection: Connection,
        (send, recv): (SendStream, RecvStream),
        closer: Closer,
    ) -> Self {
        Self {
            connection,
            send: Some(send),
            recv,
            refusal: Refusal::default(),
            closer,
        }
    }
}

impl Carrier for QuicCarrier {
    type Detached = Self;

    fn detach(self) -> io::Result<Self> {
        Ok(self)
    }

    fn attach(detached: Self) -> io::Result<Self> {
        Ok(detached)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let recv = &mut self.recv;
        let read = std::future::poll_fn(|cx| recv.poll_read(cx, buf));
        pin!(unconstrained(read)).poll(cx).map_err(Into::into)
    }

    fn try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.send {
            Some(send) => self.refusal.try_write(send, cx, bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refusal.poll_writable()
    }

    fn close(&mut self) {
        if let Some(mut send) = self.send.take() {
            // Fails only when the peer has stopped the stream.
            let _ = send.finish();
            self.closer.hand_over(self.connection.clone(), send);
        }
    }
}

/// Where closed connections go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Closer(mpsc::Sender<Closing>);

#[derive(Debug)]
struct Closing {
    connection: Connection,
    send: SendStream,
}

impl Closer {
    /// A closer and the reaper that it feeds.
    pub fn new() -> (Self, Reaper) {
        let (sender, receiver) = mpsc::channel(MAX_LINGERING);
        (Self(sender), Reaper(receiver))
    }

    fn hand_over(&self, connection: Connection, send: SendStream) {
        let full = self.0.try_send(Closing { connection, send });
        if let Err(refused) = full {
            let closing = match refused {
                mpsc::error::TrySendError::Full(closing)
                | mpsc::error::TrySendError::Closed(closing) => closing,
            };
            closing.connection.close(VarInt::from_u32(0), b"");
        }
    }
}

/// Waits for the last acknowledgements of closed connections.
#[derive(Debug)]
pub struct Reaper(mpsc::Receiver<Closing>);

impl Reaper {
    /// Runs until every [`Closer`] is gone and what lingered has ended.
    pub async fn run(mut self) {
        let mut lingering = FuturesUnordered::new();
        let mut open = true;
        while open || !lingering.is_empty() {
            tokio::select! {
                closing = self.0.recv(), if open && lingering.len() < MAX_LINGERING => match closing {
                    Some(closing) => lingering.push(linger(closing)),
                    None => open = false,
                },
                Some(()) = lingering.next(), if !lingering.is_empty() => {}
            }
        }
    }
}

async fn linger(closing: Closing) {
    // Resolves when everything is acknowledged, or the peer wants no more.
    let _ = timeout(LINGER, closing.send.stopped()).await;
    closing.connection.close(VarInt::from_u32(0), b"");
}
