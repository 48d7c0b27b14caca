//! The protocol of the limit: a 4-byte big-endian length, a kind, a payload.

use super::{Event, MAX_MESSAGE, Malformed, Role, Wire};

/// Its name in the TLS handshake.
pub(in crate::compare) const ALPN: &[u8] = b"livegate-limit";

/// Kind of a subscriber's first message.
pub(in crate::compare) const SUBSCRIBER: u8 = b'S';
/// Kind of a publisher's first message.
pub(in crate::compare) const PUBLISHER: u8 = b'P';
/// Kind of the answer to either.
pub(in crate::compare) const READY: u8 = b'R';
/// Kind of a message to everybody.
pub(in crate::compare) const MESSAGE: u8 = b'M';

/// Appends one message.
pub(in crate::compare) fn frame(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len() + 1).expect("payloads are limited far below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
}

/// The protocol.
#[derive(Debug)]
pub(super) struct Bare;

impl Wire for Bare {
    fn alpn(&self) -> Option<&'static [u8]> {
        Some(ALPN)
    }

    fn open(&self, user: &str, role: Role, out: &mut Vec<u8>) {
        let kind = match role {
            Role::Subscriber => SUBSCRIBER,
            Role::Publisher => PUBLISHER,
        };
        frame(kind, user.as_bytes(), out);
    }

    fn publish(&self, payload: &str, out: &mut Vec<u8>) {
        frame(MESSAGE, payload.as_bytes(), out);
    }

    fn beat(&self) -> &'static [u8] {
        &[]
    }

    fn take(&self, input: &[u8], each: &mut dyn FnMut(Event<'_>)) -> Result<usize, Malformed> {
        let mut used = 0;
        while let Some((len, rest)) = input[used..].split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            if len == 0 || len > MAX_MESSAGE {
                return Err(Malformed("length"));
            }
            let Some(body) = rest.get(..len) else { break };
            match body[0] {
                READY => each(Event::Ready),
                MESSAGE => each(Event::Delivery(&body[1..])),
                _ => return Err(Malformed("kind")),
            }
            used += 4 + len;
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn any_chunking_gives_the_same_messages() {
        let mut input = Vec::new();
        frame(READY, b"", &mut input);
        Bare.publish("one", &mut input);
        Bare.publish("two", &mut input);
        for step in [1, 3, 7, input.len()] {
            assert_eq!(said(&Bare, &input, step), ["Ready", "one", "two"]);
        }
    }
}
