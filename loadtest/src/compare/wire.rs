//! What a target speaks: the bytes that log in, subscribe and publish, and how
//! what comes back falls into deliveries.
//!
//! Pure and without state of a connection, so that every target is read by the
//! same loop at the same cost.

mod bare;
mod livegate;
mod mqtt;
mod nats;

use std::fmt;

use thiserror::Error;

use self::bare::Bare;
use self::livegate::Livegate;
use self::mqtt::Mqtt;
use self::nats::Nats;
use super::plan::Target;

pub(super) use self::bare::{ALPN as BARE_ALPN, MESSAGE, PUBLISHER, READY, SUBSCRIBER, frame};

/// Most bytes of one message of a target.
const MAX_MESSAGE: usize = 1 << 20;

/// The target said what its protocol does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed {0}")]
pub(super) struct Malformed(&'static str);

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Gets what is said.
    Subscriber,
    /// Says it.
    Publisher,
}

/// Something that a target said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// The client is in: what is said from here on comes.
    Ready,
    /// A message's payload.
    Delivery(&'a [u8]),
    /// Answer with [`Wire::pong`].
    Ping,
    /// A request was refused.
    Refused(i32),
}

/// One target's protocol.
pub(super) trait Wire: fmt::Debug {
    /// The protocol's name in the TLS handshake.
    fn alpn(&self) -> Option<&'static [u8]> {
        None
    }

    /// Whether the server says a line in clear before TLS begins.
    fn greets_in_clear(&self) -> bool {
        false
    }

    /// Appends what logs `user` in; a subscriber subscribes, too.
    fn open(&self, user: &str, role: Role, out: &mut Vec<u8>);

    /// Appends what says `payload` to all subscribers.
    fn publish(&self, payload: &str, out: &mut Vec<u8>);

    /// A sign of life; empty: the protocol has none.
    fn beat(&self) -> &'static [u8];

    /// The answer to the server's own sign of life.
    fn pong(&self) -> &'static [u8] {
        &[]
    }

    /// Calls `each` for what whole messages of `input` say; how many bytes they
    /// took.
    ///
    /// # Errors
    /// [`Malformed`]: the connection is of no use any more.
    fn take(&self, input: &[u8], each: &mut dyn FnMut(Event<'_>)) -> Result<usize, Malformed>;
}

/// The protocol of `target`, everybody in the room or topic `room`.
pub(super) fn of(target: Target, room: &str) -> Box<dyn Wire> {
    match target {
        Target::Livegate | Target::LivegateOther | Target::LivegateQuic => {
            Box::new(Livegate::new(room))
        }
        Target::Mosquitto => Box::new(Mqtt::new(room)),
        Target::Nats => Box::new(Nats::new(room)),
        Target::Limit | Target::LimitChunks => Box::new(Bare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `wire` makes of `input` when it comes in pieces of `step` bytes.
    pub(super) fn said(wire: &dyn Wire, input: &[u8], step: usize) -> Vec<String> {
        let (mut said, mut buffer) = (Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            let used = wire
                .take(&buffer, &mut |event| {
                    said.push(match event {
                        Event::Delivery(payload) => String::from_utf8_lossy(payload).into_owned(),
                        other => format!("{other:?}"),
                    });
                })
                .unwrap();
            buffer.drain(..used);
        }
        assert!(buffer.is_empty());
        said
    }

    #[test]
    fn a_message_without_an_end_is_refused() {
        for target in Target::ALL {
            let wire = of(target, "room");
            let noise = vec![0xff; 2 * MAX_MESSAGE];
            assert!(wire.take(&noise, &mut |_| ()).is_err(), "{target}");
        }
    }
}
