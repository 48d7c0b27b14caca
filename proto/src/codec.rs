//! Framing of stream transports: a 4-byte big-endian length, then the body.
//!
//! [`split`] looks at bytes that were read and says what they hold; it owns no
//! buffer, so a reader may keep none while a connection rests.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

/// Bytes of the length prefix.
pub const PREFIX_LEN: usize = 4;

/// Most bytes of a frame body before login (reference: a login with a long
/// signature needs less than 3 KiB).
pub const MAX_PRELOGIN_FRAME: usize = 4 * 1024;

/// Most bytes of a frame body from a client after login: a call's body of
/// 64 KiB and its envelope fit.
pub const MAX_CLIENT_FRAME: usize = 66 * 1024;

/// Most bytes of a frame body from the gateway.
pub const MAX_SERVER_FRAME: usize = 256 * 1024;

/// What the start of a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// A whole frame: its body is `buffer[PREFIX_LEN..end]`, the next one
    /// begins at `end`.
    Frame {
        /// Index behind the frame's last byte.
        end: usize,
    },
    /// Part of a frame; `need` is its whole length with the prefix, or
    /// [`PREFIX_LEN`] while not even that is there.
    Partial {
        /// Bytes that the buffer must hold before it is worth looking again.
        need: usize,
    },
}

/// A frame that is refused by its length alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("frame of {len} bytes exceeds the limit of {max}")]
pub struct TooLarge {
    /// The length that the prefix announced.
    pub len: usize,
    /// The limit in force.
    pub max: usize,
}

/// Looks for a frame at the start of `buffer`.
///
/// # Errors
/// [`TooLarge`] as soon as the prefix is there, before any body byte.
pub fn split(buffer: &[u8], max: usize) -> Result<Split, TooLarge> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_LEN>() else {
        return Ok(Split::Partial { need: PREFIX_LEN });
    };
    let len = u32::from_be_bytes(*prefix) as usize;
    if len > max {
        return Err(TooLarge { len, max });
    }
    let end = PREFIX_LEN + len;
    if buffer.len() < end {
        return Ok(Split::Partial { need: end });
    }
    Ok(Split::Frame { end })
}

/// Appends one frame with its prefix to `out`.
pub fn append(frame: &impl Message, out: &mut Vec<u8>) {
    let len = frame.encoded_len();
    out.reserve(PREFIX_LEN + len);
    out.extend_from_slice(
        &u32::try_from(len)
            .expect("frame fields are limited far below 4 GiB")
            .to_be_bytes(),
    );
    frame
        .encode(out)
        .expect("a Vec grows as needed, encoding into it cannot fail");
}

/// Decodes one frame body, copying out of `body`: decoded `bytes` fields own
/// their memory and pin no read buffer.
///
/// # Errors
/// When the bytes are no valid message (wrong wire format, wrong UTF-8).
pub fn decode<M: Message + Default>(body: &[u8]) -> Result<M, prost::DecodeError> {
    M::decode(Bytes::copy_from_slice(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_over_the_limit_is_refused_with_four_bytes_read() {
        for (len, max) in [(65, 64), (1 << 31, 64), (u32::MAX, 1 << 20)] {
            let prefix = len.to_be_bytes();
            let refused = split(&prefix, max).unwrap_err();
            assert_eq!(
                refused,
                TooLarge {
                    len: len as usize,
                    max
                }
            );
        }
    }

    #[test]
    fn the_limit_itself_is_accepted() {
        let mut frame = 64u32.to_be_bytes().to_vec();
        frame.resize(68, 0);
        assert_eq!(split(&frame, 64), Ok(Split::Frame { end: 68 }));
    }

    proptest! {
        /// Reference model: frames joined, cut anywhere and fed piece by piece
        /// come out as they went in.
        #[test]
        fn any_chunking_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            cuts in prop::collection::vec(1usize..97, 1..200),
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                wire.extend_from_slice(&(body.len() as u32).to_be_bytes());
                wire.extend_from_slice(body);
            }
            let (mut buffer, mut seen, mut rest) = (Vec::new(), Vec::new(), wire.as_slice());
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cuts.next().unwrap()).min(rest.len());
                buffer.extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                while let Split::Frame { end } = split(&buffer, 1024).unwrap() {
                    seen.push(buffer[PREFIX_LEN..end].to_vec());
                    buffer.drain(..end);
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(seen, bodies);
        }
    }
}
