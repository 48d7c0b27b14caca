//! One TLS connection as a pure byte machine: ciphertext in, plaintext out,
//! and back, on rustls's unbuffered API.
//!
//! Invariants: **every** call into rustls is given the retained ciphertext,
//! writes included. rustls keeps offsets into it while half a handshake message
//! is there, and a call with a shorter slice panics, so that two bytes from a
//! client would end a shard. What rustls asks to send goes out in the order in
//! which it was produced. At rest nothing but the TLS state is held.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error as RustlsError, ServerConfig};
use thiserror::Error;

/// Most ciphertext kept between reads: the largest record that TLS allows
/// (16 KiB and 2 KiB of expansion).
pub const MAX_RETAINED: usize = 18 * 1024;

/// What a record adds to its plaintext at most: header, nonce, content type
/// and tag.
const RECORD_OVERHEAD: usize = 64;

/// Plaintext of one record.
const RECORD_PLAIN: usize = 16 * 1024;

/// Room for a key update that goes out before the data.
const SLACK: usize = 256;

/// Why a TLS connection cannot go on.
#[derive(Debug, Error)]
pub enum TlsError {
    /// rustls refused what the peer sent, or cannot encrypt any more.
    #[error("tls: {0}")]
    Rustls(#[from] RustlsError),
    /// More ciphertext without a whole record or message than is kept.
    #[error("tls: {0} bytes without a whole message")]
    Retained(usize),
    /// Data may not be sent: no handshake yet, or closed.
    #[error("tls: not open for data")]
    NotOpen,
    /// An earlier error ended the connection.
    #[error("tls: connection has failed")]
    Failed,
    /// rustls went into a state that this version does not know.
    #[error("tls: unknown state")]
    UnknownState,
}

/// The TLS side of a connection.
pub struct Tls {
    conn: UnbufferedServerConnection,
    /// Ciphertext that rustls has not discarded; its offsets point into it.
    retained: Vec<u8>,
    peer_closed: bool,
    failed: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("retained", &self.retained.len())
            .field("peer_closed", &self.peer_closed)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// What one step of rustls came to.
enum Step {
    /// Call again with what is left.
    Again,
    /// Nothing more without more ciphertext.
    Rest,
}

impl Tls {
    /// A connection before its handshake.
    ///
    /// # Errors
    /// When rustls does not like the configuration.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, RustlsError> {
        Ok(Self {
            conn: UnbufferedServerConnection::new(config)?,
            retained: Vec::new(),
            peer_closed: false,
            failed: false,
        })
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        !self.conn.is_handshaking()
    }

    /// Whether the peer has said that it sends no more.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Ciphertext kept: a record or a handshake message is in progress.
    pub fn retained_len(&self) -> usize {
        self.retained.len()
    }

    /// Memory kept for it.
    #[cfg(test)]
    pub(crate) fn retained_capacity(&self) -> usize {
        self.retained.capacity()
    }

    /// The protocol that the handshake agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.conn.alpn_protocol()
    }

    /// Whether the handshake went by a ticket of an earlier connection.
    pub fn is_resumed(&self) -> bool {
        self.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The version that the handshake agreed on.
    pub fn version(&self) -> Option<rustls::ProtocolVersion> {
        self.conn.protocol_version()
    }

    /// Takes `input`, appends decrypted plaintext to `plain` and what has to be
    /// sent (handshake, tickets, alerts) to `out`. `input` is decrypted in
    /// place.
    ///
    /// # Errors
    /// The connection is over; `out` may hold an alert for the peer.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Failed);
        }
        if self.peer_closed {
            return Ok(());
        }
        if self.retained.is_empty() {
            let used = self.process(input, plain, out)?;
            self.retained.extend_from_slice(&input[used..]);
        } else {
            let mut buffer = std::mem::take(&mut self.retained);
            buffer.extend_from_slice(input);
            let used = self.process(&mut buffer, plain, out)?;
            if used < buffer.len() {
                buffer.drain(..used);
                self.retained = buffer;
            }
        }
        if self.peer_closed {
            self.retained = Vec::new();
        }
        if self.retained.len() > MAX_RETAINED {
            self.failed = true;
            return Err(TlsError::Retained(self.retained.len()));
        }
        Ok(())
    }

    /// Touches what writing needs first. The answer means nothing.
    pub(crate) fn warm(&self) -> bool {
        self.failed | self.conn.wants_write() | self.retained.is_empty()
    }

    /// Encrypts all of `plain` and appends it to `out`, behind whatever TLS
    /// itself has to say.
    ///
    /// # Errors
    /// When the connection is not, or no longer, open for data.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let bound = sealed_bound(plain);
        self.append(out, |traffic, sink| {
            sink.write(bound, |room| traffic.encrypt(plain, room))
        })
    }

    /// As [`seal`](Self::seal), into `out` from `at` on; returns the end. What
    /// `out` holds behind it means nothing and is not cleared, so that a buffer
    /// that is used again costs no clearing.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_at(
        &mut self,
        plain: &[u8],
        out: &mut Vec<u8>,
        at: usize,
    ) -> Result<usize, TlsError> {
        let bound = sealed_bound(plain);
        let mut sink = Sink { out, end: at };
        self.with_traffic(&mut sink, |traffic, sink| {
            sink.write(bound, |room| traffic.encrypt(plain, room))
        })?;
        Ok(sink.end)
    }

    /// Appends the word that no more data comes to `out`.
    ///
    /// # Errors
    /// When the connection is not open for data.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.append(out, |traffic, sink| {
            sink.write(SLACK, |room| traffic.queue_close_notify(room))
        })
    }

    /// Runs rustls over `buffer` until it rests; returns how much of the front
    /// is used up.
    fn process(
        &mut self,
        buffer: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.conn.process_tls_records(&mut buffer[used..]);
            let step = match state {
                Ok(state) => step(state, plain, out, &mut self.peer_closed),
                Err(error) => Err(error.into()),
            };
            used += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Rest) => return Ok(used),
                Err(error) => {
                    self.failed = true;
                    self.collect_alert(&mut buffer[used..], out);
                    return Err(error);
                }
            }
        }
    }

    /// After an error rustls may hold an alert that tells the peer why. While
    /// it wants to write, a call hands that out and looks at no input.
    fn collect_alert(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) {
        let mut sink = Vec::new();
        while self.conn.wants_write() {
            let UnbufferedStatus { state, .. } = self.conn.process_tls_records(buffer);
            let Ok(state) = state else { return };
            if step(state, &mut sink, out, &mut self.peer_closed).is_err() {
                return;
            }
        }
    }

    /// What TLS has to say by itself stays in `out` when `act` fails.
    fn append(
        &mut self,
        out: &mut Vec<u8>,
        act: impl FnOnce(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut Sink<'_>,
        ) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        let mut sink = Sink::behind(out);
        let done = self.with_traffic(&mut sink, act);
        sink.cut();
        done
    }

    fn with_traffic(
        &mut self,
        out: &mut Sink<'_>,
        act: impl FnOnce(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut Sink<'_>,
        ) -> Result<(), TlsError>,
    ) -> Result<(), TlsError> {
        if self.failed {
            return Err(TlsError::Failed);
        }
        let mut act = Some(act);
        loop {
            let UnbufferedStatus { discard, state } =
                self.conn.process_tls_records(&mut self.retained);
            let done = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match act.take() {
                    Some(act) => Some(act(&mut traffic, out)),
                    None => Some(Err(TlsError::UnknownState)),
                },
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    out.encode(data);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    transmit.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    None
                }
                Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => {
                    Some(Err(TlsError::NotOpen))
                }
                // Everything was read when it came in: nothing can be left.
                Ok(_) => Some(Err(TlsError::UnknownState)),
                Err(error) => Some(Err(error.into())),
            };
            self.retained.drain(..discard);
            if let Some(result) = done {
                self.failed |= result.is_err();
                return result;
            }
        }
    }
}

fn step(
    state: ConnectionState<'_, '_, ServerConnectionData>,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
    peer_closed: &mut bool,
) -> Result<Step, TlsError> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plain.extend_from_slice(record?.payload);
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(data) => {
            let mut sink = Sink::behind(out);
            sink.encode(data);
            sink.cut();
            Ok(Step::Again)
        }
        ConnectionState::TransmitTlsData(transmit) => {
            // `out` leaves in order, before anything that comes later.
            transmit.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => {
            *peer_closed = true;
            Ok(Step::Rest)
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Ok(Step::Rest),
        // Early data is off, so it cannot come; and the enum may grow.
        _ => Err(TlsError::UnknownState),
    }
}

/// Bytes that the records of `plain`, and a key update before them, need.
fn sealed_bound(plain: &[u8]) -> usize {
    plain.len() + RECORD_OVERHEAD * (plain.len() / RECORD_PLAIN + 1) + SLACK
}

/// Where ciphertext goes: `out` is valid up to `end`, behind it lies room.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl<'a> Sink<'a> {
    /// Behind what `out` holds.
    fn behind(out: &'a mut Vec<u8>) -> Self {
        let end = out.len();
        Self { out, end }
    }

    /// Takes the unused room away again.
    fn cut(self) {
        self.out.truncate(self.end);
    }

    /// At least so many bytes behind the end.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.out.len() < self.end + bytes {
            self.out.resize(self.end + bytes, 0);
        }
        &mut self.out[self.end..]
    }

    fn encode(&mut self, mut data: EncodeTlsData<'_, ServerConnectionData>) {
        let mut bytes = SLACK;
        loop {
            match data.encode(self.room(bytes)) {
                Ok(written) => return self.end += written,
                Err(EncodeError::InsufficientSize(needed)) => bytes = needed.required_size,
                Err(EncodeError::AlreadyEncoded) => return,
            }
        }
    }

    /// Lets `write` fill as much as it needs, `bound` bytes as far as is known.
    fn write(
        &mut self,
        bound: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsError> {
        let mut bytes = bound;
        loop {
            match write(self.room(bytes)) {
                Ok(written) => {
                    self.end += written;
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(needed)) => bytes = needed.required_size,
                Err(EncryptError::EncryptExhausted) => {
                    return Err(RustlsError::EncryptError.into());
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
