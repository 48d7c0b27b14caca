//! Reads what a viewer needs out of a server frame without copying it.
//!
//! At 100,000 deliveries a second a full decode would make the load generator
//! the bottleneck. This walks the protobuf of [`ServerFrame`] by hand: room,
//! epoch, seq and content of each push; the rare rest (replies, live events,
//! the closing word) is handed out as bytes for a full decode.
//!
//! [`ServerFrame`]: livegate_proto::client::ServerFrame

use thiserror::Error;

/// The frame is no protobuf of a server frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed server frame")]
pub(crate) struct Malformed;

/// One part of a server frame, in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A `Reply`, encoded.
    Reply(&'a [u8]),
    /// A push.
    Push(Push<'a>),
    /// A `Close`, encoded.
    Close(&'a [u8]),
}

/// What a push is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Push<'a> {
    /// Of which room; empty: of the session.
    pub(crate) room: &'a [u8],
    /// Of the room's sequence.
    pub(crate) epoch: u64,
    /// 0: not of the sequence.
    pub(crate) seq: u64,
    /// What it says.
    pub(crate) body: Body<'a>,
    /// The whole push, encoded: what all members must agree on.
    pub(crate) bytes: &'a [u8],
}

/// The body of a push, as far as a viewer looks into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// The content of a text, custom message or gift.
    Message(&'a [u8]),
    /// A `LiveEvent`, encoded.
    Live(&'a [u8]),
    /// A `Totals`, encoded.
    Totals(&'a [u8]),
    /// A `Dropped`, encoded.
    Dropped(&'a [u8]),
    /// Anything else, by its field number; 0: a push without body.
    Other(u32),
}

/// Calls `each` for every part of the frame body `frame`.
///
/// # Errors
/// [`Malformed`]; parts before the damage have been handed out.
pub(crate) fn scan<'a>(frame: &'a [u8], mut each: impl FnMut(Part<'a>)) -> Result<(), Malformed> {
    let mut fields = Fields(frame);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => each(Part::Reply(bytes)),
            (2, Value::Bytes(bytes)) => each(Part::Push(push(bytes)?)),
            (3, Value::Bytes(bytes)) => each(Part::Close(bytes)),
            _ => {}
        }
    }
    Ok(())
}

/// Reads one encoded `Push`.
pub(crate) fn push(bytes: &[u8]) -> Result<Push<'_>, Malformed> {
    let mut push = Push {
        room: &[],
        epoch: 0,
        seq: 0,
        body: Body::Other(0),
        bytes,
    };
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(room)) => push.room = room,
            (2, Value::Number(epoch)) => push.epoch = epoch,
            (3, Value::Number(seq)) => push.seq = seq,
            (10, Value::Bytes(message)) => push.body = Body::Message(content(message)?),
            (14, Value::Bytes(live)) => push.body = Body::Live(live),
            (19, Value::Bytes(totals)) => push.body = Body::Totals(totals),
            (22, Value::Bytes(dropped)) => push.body = Body::Dropped(dropped),
            (number @ 10.., Value::Bytes(_)) => push.body = Body::Other(number),
            _ => {}
        }
    }
    Ok(push)
}

/// The content of an encoded `RoomMessage`: the text, or the data.
fn content(message: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        let (Value::Bytes(inner), Some(wanted)) = (
            field.value,
            match field.number {
                10 => Some(1),
                11 => Some(2),
                12 => Some(3),
                _ => None,
            },
        ) else {
            continue;
        };
        let mut fields = Fields(inner);
        while let Some(field) = fields.next()? {
            if let (true, Value::Bytes(data)) = (field.number == wanted, field.value) {
                return Ok(data);
            }
        }
    }
    Ok(&[])
}

/// What is left to read of a message.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some(Field { number, value }))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::Message;
    use livegate_proto::client::{self as wire, push, room_message};
    use proptest::prelude::*;

    use super::*;

    fn content_of(kind: u8, text: &str) -> room_message::Content {
        match kind {
            0 => room_message::Content::Text(wire::Text { text: text.into() }),
            1 => room_message::Content::Custom(wire::Custom {
                r#type: "lg".into(),
                data: text.to_owned().into(),
            }),
            _ => room_message::Content::Gift(wire::Gift {
                gift_id: "rose".into(),
                count: 1,
                data: text.to_owned().into(),
                combo_id: "c".into(),
                ..wire::Gift::default()
            }),
        }
    }

    fn body_of(kind: u8, text: &str) -> push::Body {
        match kind {
            0..=2 => push::Body::RoomMessage(wire::RoomMessage {
                from: Some(wire::User {
                    user_id: "u".into(),
                    profile: Some(wire::Profile::default()),
                }),
                role: wire::Role::Viewer.into(),
                content: Some(content_of(kind, text)),
                ..wire::RoomMessage::default()
            }),
            3 => push::Body::Live(wire::LiveEvent {
                live_id: text.into(),
                kind: None,
            }),
            4 => push::Body::Totals(wire::Totals { likes: 300 }),
            5 => push::Body::Dropped(wire::Dropped {
                count: 3,
                from_seq: 4,
                to_seq: 9,
            }),
            _ => push::Body::PresenceDigest(wire::PresenceDigest::default()),
        }
    }

    fn expected<'a>(kind: u8, text: &'a str, encoded: &'a [u8]) -> Body<'a> {
        match kind {
            0..=2 => Body::Message(text.as_bytes()),
            3 => Body::Live(encoded),
            4 => Body::Totals(encoded),
            5 => Body::Dropped(encoded),
            _ => Body::Other(13),
        }
    }

    proptest! {
        /// Reference model: prost.
        #[test]
        fn it_reads_what_prost_wrote(
            pushes in prop::collection::vec((0u8..7, "[a-z]{1,40}", any::<u64>(), any::<u64>()), 0..6),
            reply: Option<u64>,
            close: bool,
        ) {
            let frame = wire::ServerFrame {
                reply: reply.map(|request_id| wire::Reply { request_id, ..wire::Reply::default() }),
                pushes: pushes.iter().map(|(kind, text, epoch, seq)| wire::Push {
                    room_id: "room".into(),
                    epoch: *epoch,
                    seq: *seq,
                    time_ms: 17,
                    body: Some(body_of(*kind, text)),
                }).collect(),
                close: close.then(wire::Close::default),
            };
            let inner: Vec<Vec<u8>> = pushes.iter().map(|(kind, text, ..)| match body_of(*kind, text) {
                push::Body::Live(live) => live.encode_to_vec(),
                push::Body::Totals(totals) => totals.encode_to_vec(),
                push::Body::Dropped(dropped) => dropped.encode_to_vec(),
                _ => Vec::new(),
            }).collect();
            let bytes = frame.encode_to_vec();
            let (mut replies, mut seen, mut closes) = (0, Vec::new(), 0);
            scan(&bytes, |part| match part {
                Part::Reply(_) => replies += 1,
                Part::Push(push) => seen.push(push),
                Part::Close(_) => closes += 1,
            }).unwrap();
            prop_assert_eq!(replies, usize::from(reply.is_some()));
            prop_assert_eq!(closes, usize::from(close));
            prop_assert_eq!(seen.len(), pushes.len());
            for (at, (kind, text, epoch, seq)) in pushes.iter().enumerate() {
                prop_assert_eq!(seen[at].room, b"room".as_slice());
                prop_assert_eq!((seen[at].epoch, seen[at].seq), (*epoch, *seq));
                prop_assert_eq!(seen[at].body, expected(*kind, text, &inner[at]));
                let whole = frame.pushes[at].encode_to_vec();
                prop_assert_eq!(seen[at].bytes, whole.as_slice());
            }
        }

        #[test]
        fn noise_is_refused_or_read_and_never_worse(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = scan(&bytes, |_| {});
        }
    }
}
