//! What a message of the load generator says: who sent it, which one it is,
//! when it was meant to be sent, and a checksum over all of it.
//!
//! Plain ASCII, so that the same content is a text, a custom message or the
//! data of a gift: `LG`, publisher (8 hex digits), number (8), intended send
//! time in µs of the shared clock (16), checksum (16), filler.

use crate::clock::Micros;
use crate::dice::mix;

/// Bytes of the head, and so the least bytes of a payload.
pub(crate) const MIN_LEN: usize = 50;

/// Where the checksum stands.
const CHECK: std::ops::Range<usize> = 34..50;

/// The head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which client sent it.
    pub(crate) publisher: u32,
    /// Its count at that client, from 0.
    pub(crate) number: u32,
    /// When it was meant to be sent.
    pub(crate) intended: Micros,
}

/// Writes a payload of `len` bytes, at least [`MIN_LEN`].
pub(crate) fn write(stamp: &Stamp, len: usize) -> String {
    let Stamp {
        publisher,
        number,
        intended,
    } = stamp;
    let mut text = format!("LG{publisher:08x}{number:08x}{intended:016x}{:016x}", 0);
    let first = (publisher ^ number) as usize;
    text.extend((text.len()..len).map(|at| char::from(b'a' + ((first + at) % 26) as u8)));
    let check = format!("{:016x}", checksum(text.as_bytes()));
    text.replace_range(CHECK, &check);
    text
}

/// Reads a payload; `None` when it is not one, or not whole.
pub(crate) fn read(bytes: &[u8]) -> Option<Stamp> {
    if bytes.len() < MIN_LEN || &bytes[..2] != b"LG" {
        return None;
    }
    let stamp = Stamp {
        publisher: u32::try_from(hex(&bytes[2..10])?).ok()?,
        number: u32::try_from(hex(&bytes[10..18])?).ok()?,
        intended: hex(&bytes[18..34])?,
    };
    (hex(&bytes[CHECK])? == checksum(bytes)).then_some(stamp)
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(value))
    })
}

/// Over everything but the checksum's own place.
fn checksum(payload: &[u8]) -> u64 {
    let head = digest(&payload[..CHECK.start]);
    mix(head ^ digest(&payload[CHECK.end..]).rotate_left(17))
}

/// A 64-bit digest of `bytes`: fast, not cryptographic. Finds damage and
/// disagreement, not forgery.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let mut sum = bytes.len() as u64;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of 8 bytes"));
        sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    }
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    mix(sum ^ u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(publisher: u32, number: u32, intended: u64, len in 0usize..2_000) {
            let stamp = Stamp { publisher, number, intended };
            let text = write(&stamp, len);
            prop_assert_eq!(text.len(), len.max(MIN_LEN));
            prop_assert_eq!(read(text.as_bytes()), Some(stamp));
        }

        #[test]
        fn one_changed_byte_is_found(number: u32, len in MIN_LEN..400, at: prop::sample::Index, flip in 1u8..=255) {
            let stamp = Stamp { publisher: 3, number, intended: 12_345 };
            let mut bytes = write(&stamp, len).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn a_shortened_payload_is_found(cut in 1usize..300) {
            let stamp = Stamp { publisher: 3, number: 4, intended: 12_345 };
            let text = write(&stamp, 300);
            prop_assert_eq!(read(&text.as_bytes()[..300 - cut]), None);
        }
    }
}
