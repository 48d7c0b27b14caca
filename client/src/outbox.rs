//! Frames that wait to be written on one connection.

use livegate_proto::client::ClientFrame;
use livegate_proto::codec::{self, PREFIX_LEN};
use prost::Message;
use thiserror::Error;

/// Encoded frames that wait to be written; holds no memory when there are none.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    limit: usize,
    frames: u64,
}

/// Too much waits to be written: the peer does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {limit} bytes wait to be written")]
pub struct OutboxFull {
    /// The limit in force, in bytes.
    pub limit: usize,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            written: 0,
            limit,
            frames: 0,
        }
    }

    /// Puts a frame behind those that wait.
    ///
    /// # Errors
    /// When it would exceed the limit; nothing is queued then.
    pub fn queue(&mut self, frame: &ClientFrame) -> Result<(), OutboxFull> {
        let limit = self.limit;
        if self.waiting() + PREFIX_LEN + frame.encoded_len() > limit {
            return Err(OutboxFull { limit });
        }
        codec::append(frame, &mut self.bytes);
        self.frames += 1;
        Ok(())
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Frames queued since the start.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) fn advance(&mut self, n: usize) {
        self.written += n;
        if self.written == self.bytes.len() {
            self.bytes = Vec::new();
            self.written = 0;
        } else if self.written > self.limit {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::{PingRequest, client_frame::Body};

    use super::*;

    #[test]
    fn a_steady_trickle_does_not_pile_up_what_was_written() {
        let ping = ClientFrame {
            request_id: 1,
            body: Some(Body::Ping(PingRequest {})),
        };
        let len = PREFIX_LEN + ping.encoded_len();
        let mut outbox = Outbox::new(3 * len);
        outbox.queue(&ping).unwrap();
        for _ in 0..1_000 {
            outbox.queue(&ping).unwrap();
            outbox.advance(len);
        }
        assert!(outbox.bytes.len() <= 6 * len);
    }

    #[test]
    fn it_is_bounded_and_gives_its_memory_back() {
        let ping = ClientFrame {
            request_id: 1,
            body: Some(Body::Ping(PingRequest {})),
        };
        let len = PREFIX_LEN + ping.encoded_len();
        let mut outbox = Outbox::new(2 * len);
        assert_eq!(outbox.queue(&ping), Ok(()));
        assert_eq!(outbox.queue(&ping), Ok(()));
        assert_eq!(outbox.queue(&ping), Err(OutboxFull { limit: 2 * len }));
        outbox.advance(len);
        assert_eq!(outbox.queue(&ping), Ok(()));
        outbox.advance(2 * len);
        assert_eq!((outbox.waiting(), outbox.bytes.capacity()), (0, 0));
    }
}
