//! A stream of bytes cut anywhere, and handed to another thread anywhere: the
//! frames that come out are those of the uncut stream, whatever they hold.
//!
//! The first byte says how the stream is cut, the second after how many reads
//! the connection changes hands, the third how large a frame may be; the rest
//! is the stream.

use std::io;
use std::task::{Context, Poll, Waker};

use livegate::clock::{Instant, Unix};
use livegate::session::Prelogin;
use livegate::shard::carrier::Carrier;
use livegate::shard::frames::Scratch;
use livegate::shard::io::{FrameIo, Layer, ReadOutcome};
use livegate_proto::codec::{self, PREFIX_LEN, Split};

/// See the head.
pub fn frame_stream(input: &[u8]) {
    let [cut, hand_over, max, stream @ ..] = input else {
        return;
    };
    let max = usize::from(*max) * 64;
    let expected = whole(stream, max);
    let script = Script {
        bytes: stream.to_vec(),
        read: 0,
        cut: *cut,
        turns: 0,
    };
    let got = piecewise(script, u32::from(*hand_over), max);
    assert_eq!(got, expected);
    let mut prelogin = Prelogin::default();
    for body in &got.bodies {
        prelogin.on_frame(body, Unix(0));
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    bodies: Vec<Vec<u8>>,
    too_large: bool,
}

/// The reference: the whole stream at once.
fn whole(mut stream: &[u8], max: usize) -> Seen {
    let mut seen = Seen::default();
    loop {
        match codec::split(stream, max) {
            Ok(Split::Frame { end }) => {
                seen.bodies.push(stream[PREFIX_LEN..end].to_vec());
                stream = &stream[end..];
            }
            Ok(Split::Partial { .. }) => return seen,
            Err(_) => {
                seen.too_large = true;
                return seen;
            }
        }
    }
}

/// As a connection reads it.
fn piecewise(script: Script, hand_over: u32, max: usize) -> Seen {
    let mut cx = Context::from_waker(Waker::noop());
    let mut scratch = Scratch::default();
    let mut io = FrameIo::new(script, Layer::Plain);
    let mut seen = Seen::default();
    let mut reads = 0;
    loop {
        let read = io.poll_read(&mut cx, &mut scratch);
        let Poll::Ready(Ok(ReadOutcome::Data(_))) = read else {
            return seen;
        };
        reads += 1;
        if reads == hand_over {
            let parts = io.detach(&mut scratch).expect("a script lets go");
            io = FrameIo::attach(parts, &mut scratch).expect("a script attaches");
        }
        loop {
            match io.next_frame(&mut scratch, max) {
                Ok(Some(body)) => seen.bodies.push(body.to_vec()),
                Ok(None) => break,
                Err(_) => {
                    seen.too_large = true;
                    return seen;
                }
            }
        }
        scratch.clear();
        let progress = io.settle(Instant(reads.into()));
        assert!(progress.is_none_or(|it| it.bytes <= PREFIX_LEN + max));
    }
}

/// Bytes that arrive in pieces, then the end.
struct Script {
    bytes: Vec<u8>,
    read: usize,
    cut: u8,
    turns: u8,
}

impl Carrier for Script {
    type Detached = Self;

    fn detach(self) -> io::Result<Self> {
        Ok(self)
    }

    fn attach(detached: Self) -> io::Result<Self> {
        Ok(detached)
    }

    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.turns = self.turns.wrapping_mul(5).wrapping_add(3);
        let rest = &self.bytes[self.read..];
        let piece = usize::from(self.cut ^ self.turns).max(1);
        let n = piece.min(rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.read += n;
        Poll::Ready(Ok(n))
    }

    fn try_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn close(&mut self) {}
}
