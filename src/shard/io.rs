//! A connection's frames over a [`Carrier`]: TLS (or, over QUIC, nothing) in
//! between, and the sealed bytes that could not be sent yet.
//!
//! Invariants: a connection at rest owns no buffer here. What is sealed is sent,
//! in order, or the connection ends: it waits in `pending`, whose size the
//! owner looks at before it writes more. Nothing blocks.
//!
//! It knows nothing of sessions, limits or deadlines: it tells what is in
//! progress, its owner judges.

use std::io;
use std::task::{Context, Poll, ready};

use livegate_proto::codec::TooLarge;
use thiserror::Error;

use super::carrier::Carrier;
use super::frames::{Assembler, InProgress, Scratch};
use super::tls::{Tls, TlsError};
use crate::clock::Instant;

/// Plaintext sealed at once, so that the shared buffer stays small whatever
/// the size of a write.
const SEAL_AT_ONCE: usize = 64 * 1024;

/// Why a connection's bytes end.
#[derive(Debug, Error)]
pub enum IoError {
    /// The transport failed.
    #[error("transport: {0}")]
    Carrier(#[from] io::Error),
    /// The TLS layer failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes off the transport; whole frames may be there or not.
    Data(usize),
    /// The peer sends no more.
    Closed,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// The transport has taken everything.
    All,
    /// So many sealed bytes wait; the transport refused more.
    Partial(usize),
}

/// What lies between frames and the carrier.
#[derive(Debug)]
pub enum Layer {
    /// Nothing: the transport encrypts by itself.
    Plain,
    /// TLS.
    Tls(Box<Tls>),
}

/// One connection's bytes, both ways.
#[derive(Debug)]
pub struct FrameIo<C> {
    carrier: C,
    layer: Layer,
    /// Sealed; everything before `sent` is out.
    pending: Vec<u8>,
    sent: usize,
    frames: Assembler,
    /// The closing word of the layer is in `pending` or out; once it is out the
    /// carrier's sending side ends.
    ended: bool,
}

/// A [`FrameIo`] on its way to another thread.
#[derive(Debug)]
pub struct Parts<D> {
    /// The transport.
    pub carrier: D,
    /// TLS state with the ciphertext that it retains.
    pub layer: Layer,
    /// Sealed bytes that were not sent yet.
    pub pending: Vec<u8>,
    /// Plaintext that was decrypted but not looked at.
    pub plain: Vec<u8>,
}

impl<C: Carrier> FrameIo<C> {
    /// Frames over `carrier`.
    pub fn new(carrier: C, layer: Layer) -> Self {
        Self {
            carrier,
            layer,
            pending: Vec::new(),
            sent: 0,
            frames: Assembler::default(),
            ended: false,
        }
    }

    /// Goes on with a connection of another thread. Its decrypted leftovers are
    /// put into `scratch`: take the frames before waiting for a read, then
    /// flush once.
    ///
    /// # Errors
    /// When the reactor does not take the socket.
    pub fn attach(parts: Parts<C::Detached>, scratch: &mut Scratch) -> io::Result<Self> {
        scratch.clear();
        scratch.plain.extend_from_slice(&parts.plain);
        Ok(Self {
            pending: parts.pending,
            ..Self::new(C::attach(parts.carrier)?, parts.layer)
        })
    }

    /// Takes the connection apart for another thread, with what `scratch` still
    /// holds of it.
    ///
    /// # Errors
    /// When the reactor does not let go of the socket.
    pub fn detach(self, scratch: &mut Scratch) -> io::Result<Parts<C::Detached>> {
        let mut pending = self.pending;
        pending.drain(..self.sent);
        Ok(Parts {
            carrier: self.carrier.detach()?,
            layer: self.layer,
            pending,
            plain: self.frames.into_plain(scratch),
        })
    }

    /// Takes what was read and not handed out as a frame: for who speaks
    /// something else than frames.
    pub fn take_plain(&mut self, scratch: &mut Scratch) -> Vec<u8> {
        std::mem::take(&mut self.frames).into_plain(scratch)
    }

    /// Drives the handshake to its end. Data that came with its last flight is
    /// left in `scratch`.
    ///
    /// # Errors
    /// When the peer goes away or misbehaves; an alert was sent if possible.
    pub fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<(), IoError>> {
        while !self.is_established() {
            if let ReadOutcome::Closed = ready!(self.poll_read(cx, scratch))? {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            if self.pending_len() > 0 && !self.is_established() {
                ready!(self.poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether data may be exchanged.
    pub fn is_established(&self) -> bool {
        match &self.layer {
            Layer::Plain => true,
            Layer::Tls(tls) => tls.is_established(),
        }
    }

    /// The layer, to ask what the handshake came to.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Reads once and appends what it decrypts to `scratch`. The layer may have
    /// answered by itself: see [`pending_len`](Self::pending_len) afterwards.
    ///
    /// # Errors
    /// When the transport failed or the peer misbehaved; an alert was sent if
    /// possible.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Result<ReadOutcome, IoError>> {
        if self.peer_closed() {
            return Poll::Ready(Ok(ReadOutcome::Closed));
        }
        let n = ready!(self.carrier.poll_read(cx, &mut scratch.input))?;
        if n == 0 {
            return Poll::Ready(Ok(ReadOutcome::Closed));
        }
        let before = scratch.plain.len();
        let input = &mut scratch.input[..n];
        match &mut self.layer {
            Layer::Plain => scratch.plain.extend_from_slice(input),
            Layer::Tls(tls) => {
                let received = tls.receive(input, &mut scratch.plain, &mut self.pending);
                let pushed = self.push(cx);
                received?;
                pushed?;
            }
        }
        if self.peer_closed() && scratch.plain.len() == before {
            return Poll::Ready(Ok(ReadOutcome::Closed));
        }
        Poll::Ready(Ok(ReadOutcome::Data(n)))
    }

    /// The next whole frame body that was read. `None` when there is none; call
    /// [`settle`](Self::settle) then.
    ///
    /// # Errors
    /// As soon as a length prefix announces more than `max` bytes.
    pub fn next_frame<'a>(
        &mut self,
        scratch: &'a mut Scratch,
        max: usize,
    ) -> Result<Option<&'a [u8]>, TooLarge> {
        self.frames.next(scratch, max)
    }

    /// Keeps everything that was read and not taken, whole frames too, so that
    /// `scratch` may serve another connection.
    pub fn stash(&mut self, scratch: &mut Scratch) {
        self.frames.stash(scratch);
    }

    /// Notes what is in progress after a read's frames were taken.
    pub fn settle(&mut self, now: Instant) -> Option<InProgress> {
        let below = match &self.layer {
            Layer::Plain => 0,
            Layer::Tls(tls) => tls.retained_len(),
        };
        self.frames.settle(below, now)
    }

    /// The frame (or TLS record) of which the end has not come, as of the last
    /// [`settle`](Self::settle).
    pub fn in_progress(&self) -> Option<InProgress> {
        self.frames.in_progress()
    }

    /// Seals all of `plain` and writes what the transport takes; the rest
    /// waits. After [`Wrote::Partial`] the transport has refused: poll-based
    /// carriers wake `cx`, the others are asked by
    /// [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    /// The connection is over.
    pub fn write(
        &mut self,
        cx: &mut Context<'_>,
        plain: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Wrote, IoError> {
        for chunk in plain.chunks(SEAL_AT_ONCE) {
            if self.pending_len() > 0 {
                self.compact();
                seal(&mut self.layer, chunk, &mut self.pending)?;
                continue;
            }
            let sealed = match &mut self.layer {
                Layer::Plain => chunk,
                Layer::Tls(tls) => {
                    let end = tls.seal_at(chunk, &mut scratch.sealed, 0)?;
                    &scratch.sealed[..end]
                }
            };
            let sent = push_bytes(&mut self.carrier, cx, sealed)?;
            self.pending.extend_from_slice(&sealed[sent..]);
        }
        Ok(self.wrote())
    }

    /// Touches what [`seal_ahead`](Self::seal_ahead) will need, so that it is in
    /// the caches by then. The answer means nothing.
    pub(crate) fn warm(&self) -> bool {
        match &self.layer {
            Layer::Tls(tls) => tls.warm(),
            Layer::Plain => false,
        }
    }

    /// Seals `plain` into `out` from `at` on, to be given to
    /// [`send_sealed`](Self::send_sealed) before anything else is written here.
    /// `None`: nothing is to be sealed, or earlier bytes wait.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn seal_ahead(
        &mut self,
        plain: &[u8],
        out: &mut Vec<u8>,
        at: usize,
    ) -> Result<Option<usize>, IoError> {
        match &mut self.layer {
            Layer::Tls(tls) if self.pending.is_empty() => Ok(Some(tls.seal_at(plain, out, at)?)),
            Layer::Tls(_) | Layer::Plain => Ok(None),
        }
    }

    /// Writes what [`seal_ahead`](Self::seal_ahead) made; as
    /// [`write`](Self::write) otherwise.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn send_sealed(
        &mut self,
        cx: &mut Context<'_>,
        sealed: &[u8],
    ) -> Result<Wrote, IoError> {
        let sent = push_bytes(&mut self.carrier, cx, sealed)?;
        self.pending.extend_from_slice(&sealed[sent..]);
        Ok(self.wrote())
    }

    fn wrote(&self) -> Wrote {
        match self.pending_len() {
            0 => Wrote::All,
            n => Wrote::Partial(n),
        }
    }

    /// Resolves when everything sealed is out.
    ///
    /// # Errors
    /// When the transport failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        while !self.push(cx)? {
            ready!(self.carrier.poll_writable(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sealed bytes that wait for the transport.
    pub fn pending_len(&self) -> usize {
        self.pending.len() - self.sent
    }

    /// Says that no more data comes, and ends the sending side when all of it
    /// is out: here, or in a later [`poll_flush`](Self::poll_flush). The
    /// connection may be dropped before; what waits is lost then.
    ///
    /// # Errors
    /// When the transport failed.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        if !self.ended {
            self.ended = true;
            if let Layer::Tls(tls) = &mut self.layer {
                // A connection that has failed has said its alert already.
                let _ = tls.close_notify(&mut self.pending);
            }
        }
        self.poll_flush(cx)
    }

    fn peer_closed(&self) -> bool {
        match &self.layer {
            Layer::Plain => false,
            Layer::Tls(tls) => tls.peer_closed(),
        }
    }

    /// Writes what waits; true when nothing is left.
    fn push(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.pending_len() > 0 {
            self.sent += push_bytes(&mut self.carrier, cx, &self.pending[self.sent..])?;
        }
        if self.pending_len() > 0 {
            return Ok(false);
        }
        self.pending = Vec::new();
        self.sent = 0;
        if self.ended {
            self.carrier.close();
        }
        Ok(true)
    }

    /// Gives back the space of what is out, once that is most of it.
    fn compact(&mut self) {
        if self.sent > self.pending.len() / 2 {
            self.pending.drain(..self.sent);
            self.sent = 0;
        }
    }
}

fn seal(layer: &mut Layer, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
    match layer {
        Layer::Plain => out.extend_from_slice(plain),
        Layer::Tls(tls) => tls.seal(plain, out)?,
    }
    Ok(())
}

/// Writes until everything is out or the carrier refuses.
fn push_bytes<C: Carrier>(
    carrier: &mut C,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match carrier.try_write(cx, &bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests;
