//! Frames out of a stream of plaintext, and the buffers that a shard's
//! connections share.
//!
//! Invariants: a length is checked before a byte is reserved; the buffer of a
//! frame in progress grows as bytes arrive and is freed when the frame is
//! complete; between frames a connection holds none. How long a frame takes is
//! told by [`InProgress`]; the deadline is judged by the owner.

use std::time::Duration;

use livegate_proto::codec::{Split, TooLarge, split};

use crate::clock::Instant;

/// Bytes read at once: one whole TLS record of the largest size.
const READ_SIZE: usize = 18 * 1024;

/// Capacity that a shared buffer keeps; what a large frame took beyond it is
/// given back.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Buffers that all connections of a thread share, one step at a time.
#[derive(Debug)]
pub struct Scratch {
    /// What was read from the socket.
    pub(crate) input: Box<[u8]>,
    /// Decrypted; everything before `taken` has been handed out.
    pub(crate) plain: Vec<u8>,
    taken: usize,
    /// Encrypted, about to be written.
    pub(crate) sealed: Vec<u8>,
    /// A frame that arrived in pieces, while it is looked at.
    frame: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            input: vec![0; READ_SIZE].into_boxed_slice(),
            plain: Vec::new(),
            taken: 0,
            sealed: Vec::new(),
            frame: Vec::new(),
        }
    }
}

impl Scratch {
    /// Plaintext that has not been handed out.
    pub fn rest(&self) -> &[u8] {
        &self.plain[self.taken..]
    }

    /// Forgets everything: between connections.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(KEPT_CAPACITY);
        self.taken = 0;
        self.sealed.clear();
        self.sealed.shrink_to(KEPT_CAPACITY * 2);
        self.frame = Vec::new();
    }
}

/// A frame (or the TLS record that carries it) of which the end is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InProgress {
    /// When its first byte came.
    pub since: Instant,
    /// Bytes of it so far.
    pub bytes: usize,
}

/// How long a frame may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From its first byte to its last.
    pub deadline: Duration,
    /// Bytes per second that it must keep up after the first second.
    pub min_rate: u32,
}

impl InProgress {
    /// When this frame is too slow unless more of it comes; asked again after
    /// each read.
    pub fn due(&self, pace: Pace) -> Instant {
        let earned = self.bytes as u64 * 1_000_000 / u64::from(pace.min_rate.max(1));
        let earned = Duration::from_micros(earned).max(Duration::from_secs(1));
        self.since + earned.min(pace.deadline)
    }
}

/// Puts one connection's frames together.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The start of a frame; whole ones only after [`Assembler::stash`].
    partial: Vec<u8>,
    in_progress: Option<InProgress>,
    /// A frame was completed since the last look at what is in progress.
    completed: bool,
}

impl Assembler {
    /// The next whole frame body, out of what was kept and `scratch`. `None`
    /// when there is none: the start of the next is kept then, and `scratch`
    /// is empty.
    ///
    /// # Errors
    /// [`TooLarge`] as soon as a prefix announces more than `max`.
    pub fn next<'a>(
        &mut self,
        scratch: &'a mut Scratch,
        max: usize,
    ) -> Result<Option<&'a [u8]>, TooLarge> {
        if self.partial.is_empty() {
            return self.next_in_scratch(scratch, max);
        }
        loop {
            match split(&self.partial, max)? {
                Split::Frame { end } => {
                    self.completed = true;
                    scratch.frame = std::mem::take(&mut self.partial);
                    if scratch.frame.len() > end {
                        self.partial = scratch.frame.split_off(end);
                    }
                    return Ok(Some(&scratch.frame[livegate_proto::codec::PREFIX_LEN..end]));
                }
                Split::Partial { need } => {
                    let rest = &scratch.plain[scratch.taken..];
                    let take = rest.len().min(need - self.partial.len());
                    if take == 0 {
                        scratch.clear();
                        return Ok(None);
                    }
                    keep(&mut self.partial, &rest[..take], need);
                    scratch.taken += take;
                }
            }
        }
    }

    fn next_in_scratch<'a>(
        &mut self,
        scratch: &'a mut Scratch,
        max: usize,
    ) -> Result<Option<&'a [u8]>, TooLarge> {
        let start = scratch.taken;
        match split(&scratch.plain[start..], max)? {
            Split::Frame { end } => {
                self.completed = true;
                scratch.taken += end;
                let body = start + livegate_proto::codec::PREFIX_LEN..start + end;
                Ok(Some(&scratch.plain[body]))
            }
            Split::Partial { .. } => {
                self.partial = scratch.plain[start..].to_vec();
                scratch.clear();
                Ok(None)
            }
        }
    }

    /// Notes at `now` what is in progress, `below` being the bytes kept by the
    /// layer below. Called once after a read's frames were taken.
    pub fn settle(&mut self, below: usize, now: Instant) -> Option<InProgress> {
        let bytes = self.partial.len() + below;
        let since = match self.in_progress {
            Some(before) if !self.completed => before.since,
            Some(_) | None => now,
        };
        self.completed = false;
        self.in_progress = (bytes > 0).then_some(InProgress { since, bytes });
        self.in_progress
    }

    /// As noted last.
    pub fn in_progress(&self) -> Option<InProgress> {
        self.in_progress
    }

    /// Bytes kept of a frame in progress.
    pub fn kept(&self) -> usize {
        self.partial.len()
    }

    /// Keeps all plaintext of `scratch` that was not handed out, whole frames
    /// too, so that another connection may use it. For the few reads before a
    /// login only: it copies.
    pub fn stash(&mut self, scratch: &mut Scratch) {
        self.partial.extend_from_slice(scratch.rest());
        scratch.clear();
    }

    /// All plaintext that was not handed out, to travel with the connection.
    pub fn into_plain(mut self, scratch: &mut Scratch) -> Vec<u8> {
        self.stash(scratch);
        self.partial
    }
}

/// Appends `bytes`, growing with what has arrived and never beyond the frame.
fn keep(partial: &mut Vec<u8>, bytes: &[u8], need: usize) {
    let wanted = partial.len() + bytes.len();
    if partial.capacity() < wanted {
        let capacity = (partial.capacity() * 2).clamp(wanted, need.max(wanted));
        partial.reserve_exact(capacity - partial.len());
    }
    partial.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        deadline: Duration::from_secs(5),
        min_rate: 512,
    };

    fn wire(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for body in bodies {
            wire.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            wire.extend_from_slice(body);
        }
        wire
    }

    fn take(assembler: &mut Assembler, scratch: &mut Scratch) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        while let Some(body) = assembler.next(scratch, 1_000).unwrap() {
            seen.push(body.to_vec());
        }
        seen
    }

    proptest! {
        /// Reference model: the bodies as they went in.
        #[test]
        fn any_chunking_gives_the_same_frames_and_keeps_nothing(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in prop::collection::vec(1usize..400, 1..50),
        ) {
            let wire = wire(&bodies);
            let (mut assembler, mut scratch) = (Assembler::default(), Scratch::default());
            let (mut seen, mut rest, mut cuts) = (Vec::new(), wire.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                scratch.plain.extend_from_slice(now);
                seen.extend(take(&mut assembler, &mut scratch));
                prop_assert!(scratch.rest().is_empty());
                rest = later;
            }
            prop_assert_eq!(seen, bodies);
            prop_assert_eq!(assembler.partial.capacity(), 0);
        }
    }

    #[test]
    fn stashed_frames_come_out_in_order() {
        let bodies = [vec![1; 3], vec![], vec![2; 5], vec![3; 900]];
        let wire = wire(&bodies);
        let (mut assembler, mut scratch) = (Assembler::default(), Scratch::default());
        scratch.plain.extend_from_slice(&wire[..30]);
        assembler.stash(&mut scratch);
        assert!(scratch.rest().is_empty());
        assert_eq!(take(&mut assembler, &mut scratch), bodies[..3]);
        scratch.plain.extend_from_slice(&wire[30..]);
        assembler.stash(&mut scratch);
        assert_eq!(take(&mut assembler, &mut scratch), bodies[3..]);
        assert_eq!(assembler.partial.capacity(), 0);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let (mut assembler, mut scratch) = (Assembler::default(), Scratch::default());
        scratch.plain.extend_from_slice(&60_000u32.to_be_bytes());
        for _ in 0..50 {
            scratch.plain.push(1);
            assert_eq!(assembler.next(&mut scratch, 64 * 1024), Ok(None));
        }
        assert!(assembler.partial.capacity() < 200);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_in_one_piece_or_in_two() {
        for cut in 0..4 {
            let (mut assembler, mut scratch) = (Assembler::default(), Scratch::default());
            let prefix = 1_001u32.to_be_bytes();
            scratch.plain.extend_from_slice(&prefix[..cut]);
            assert_eq!(assembler.next(&mut scratch, 1_000), Ok(None));
            scratch.plain.extend_from_slice(&prefix[cut..]);
            assert!(assembler.next(&mut scratch, 1_000).is_err());
        }
    }

    #[test]
    fn a_frame_in_progress_is_timed_from_its_first_byte() {
        let (mut assembler, mut scratch) = (Assembler::default(), Scratch::default());
        let at = Instant::from_millis;
        let mut feed = |bytes: &[u8], below, now| {
            scratch.plain.extend_from_slice(bytes);
            take(&mut assembler, &mut scratch);
            assembler.settle(below, now)
        };
        assert_eq!(feed(&[], 0, at(0)), None);
        let started = feed(&[0, 0], 0, at(10));
        assert_eq!(
            started,
            Some(InProgress {
                since: at(10),
                bytes: 2
            })
        );
        // More bytes do not move the deadline, nor does TLS's own progress.
        let on = feed(&[0, 9, 1], 30, at(20)).unwrap();
        assert_eq!((on.since, on.bytes), (at(10), 35));
        // The next frame's first byte counts anew.
        let next = feed(&[1, 1, 1, 1, 1, 1, 1, 1, 0], 0, at(30));
        assert_eq!(
            next,
            Some(InProgress {
                since: at(30),
                bytes: 1
            })
        );
        assert_eq!(feed(&[0, 0, 0], 0, at(40)), None);
        // Half a TLS record and no plaintext is in progress too.
        assert_eq!(feed(&[], 7, at(50)).unwrap().since, at(50));
        assert_eq!(feed(&[], 9, at(60)).unwrap().since, at(50));
    }

    #[test]
    fn a_frame_must_keep_its_pace() {
        let since = Instant::from_millis(1_000);
        let due = |bytes| InProgress { since, bytes }.due(PACE);
        assert_eq!(due(1), since + Duration::from_secs(1));
        assert_eq!(due(1_024), since + Duration::from_secs(2));
        assert_eq!(due(60_000), since + PACE.deadline);
    }
}
