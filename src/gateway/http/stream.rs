//! The bytes of a connection that speaks HTTP, out of the same TLS as frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gateway::door::with_scratch;
use crate::shard::carrier::Carrier;
use crate::shard::io::{FrameIo, IoError, ReadOutcome};

/// A connection after its handshake, as a stream of bytes.
pub(super) struct Bytes<C: Carrier> {
    io: Box<FrameIo<C>>,
    /// Decrypted and not yet read; from `at` on.
    plain: Vec<u8>,
    at: usize,
}

impl<C: Carrier> Bytes<C> {
    pub(super) fn new(mut io: FrameIo<C>) -> Self {
        let plain = with_scratch(|scratch| io.take_plain(scratch));
        Self {
            io: Box::new(io),
            plain,
            at: 0,
        }
    }
}

impl<C: Carrier> AsyncRead for Bytes<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.at == self.plain.len() {
            let me = &mut *self;
            me.plain.clear();
            me.at = 0;
            let read = with_scratch(|scratch| {
                let read = me.io.poll_read(cx, scratch);
                me.plain.extend_from_slice(scratch.rest());
                scratch.clear();
                read
            });
            match ready!(read).map_err(failed)? {
                ReadOutcome::Data(_) => {}
                ReadOutcome::Closed => return Poll::Ready(Ok(())),
            }
        }
        let rest = &self.plain[self.at..];
        let taken = rest.len().min(into.remaining());
        into.put_slice(&rest[..taken]);
        self.at += taken;
        Poll::Ready(Ok(()))
    }
}

impl<C: Carrier> AsyncWrite for Bytes<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One write at a time: what waits is bounded by what a caller hands over.
        ready!(self.io.poll_flush(cx)).map_err(failed)?;
        let io = &mut self.io;
        with_scratch(|scratch| io.write(cx, bytes, scratch)).map_err(failed)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_close(cx).map_err(failed)
    }
}

fn failed(error: IoError) -> io::Error {
    io::Error::other(error)
}
