//! A frame encoded once and shared by everybody it goes to.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::codec::PREFIX_LEN;

/// One frame with its length prefix, immutable and cheap to clone.
///
/// Stream transports write [`prefixed`](Self::prefixed), message transports
/// (WebSocket) write [`payload`](Self::payload); both are views of the same
/// allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes `frame` behind its length prefix.
    ///
    /// # Panics
    /// Never for frames of this contract: their length fits `u32` because
    /// every field is limited far below it.
    pub fn new(frame: &impl Message) -> Self {
        let len = frame.encoded_len();
        let mut bytes = BytesMut::with_capacity(PREFIX_LEN + len);
        bytes.put_u32(u32::try_from(len).expect("frame fields are limited far below 4 GiB"));
        frame
            .encode(&mut bytes)
            .expect("the buffer was sized by encoded_len");
        Self(bytes.freeze())
    }

    /// The length prefix and the frame, as stream transports carry them.
    pub fn prefixed(&self) -> &Bytes {
        &self.0
    }

    /// The frame alone, as message transports carry it.
    pub fn payload(&self) -> Bytes {
        self.0.slice(PREFIX_LEN..)
    }

    /// Bytes on a stream transport, prefix included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the frame body is empty.
    pub fn is_empty(&self) -> bool {
        self.0.len() == PREFIX_LEN
    }
}

impl std::fmt::Debug for Encoded {
    /// Writes the size only: bodies are never logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{PingReply, Reply, ServerFrame, reply};

    #[test]
    fn payload_and_prefixed_share_the_bytes() {
        let frame = ServerFrame {
            reply: Some(Reply {
                request_id: 7,
                body: Some(reply::Body::Ping(PingReply { time_ms: 1 })),
                ..Reply::default()
            }),
            ..ServerFrame::default()
        };
        let encoded = Encoded::new(&frame);
        assert_eq!(encoded.prefixed()[4..], encoded.payload()[..]);
        assert_eq!(encoded.prefixed()[4..].as_ptr(), encoded.payload().as_ptr());
        assert_eq!(ServerFrame::decode(encoded.payload()).unwrap(), frame);
    }
}
