//! Cuts what was read into frames.
//!
//! Invariant: it owns memory only while a frame is incomplete or was not
//! asked for yet; a connection that rests holds none.

use std::ops::ControlFlow;

use livegate_proto::codec::{self, PREFIX_LEN, Split, TooLarge};

/// Bytes that were read and not yet handed on.
#[derive(Debug)]
pub(crate) struct Inbox {
    rest: Vec<u8>,
    at: usize,
    max: usize,
}

impl Inbox {
    /// Refuses frames with a body of more than `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            rest: Vec::new(),
            at: 0,
            max,
        }
    }

    /// Gives frame bodies that are already here to `take` until it breaks.
    pub(crate) fn drain<B>(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, TooLarge> {
        let (used, flow) = cut(&self.rest[self.at..], self.max, take)?;
        self.at += used;
        if self.at == self.rest.len() {
            self.rest = Vec::new();
            self.at = 0;
        }
        Ok(flow)
    }

    /// Adds bytes and gives whole frame bodies to `take` until it breaks; what
    /// is left over stays for the next call.
    pub(crate) fn feed<B>(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, TooLarge> {
        if self.rest.is_empty() {
            let (used, flow) = cut(bytes, self.max, take)?;
            self.rest.extend_from_slice(&bytes[used..]);
            return Ok(flow);
        }
        self.rest.drain(..self.at);
        self.at = 0;
        self.rest.extend_from_slice(bytes);
        self.drain(take)
    }

    /// Whether part of a frame is here: an end of the stream cuts it off.
    pub(crate) fn is_partial(&self) -> bool {
        self.at < self.rest.len()
    }
}

fn cut<B>(
    bytes: &[u8],
    max: usize,
    take: &mut impl FnMut(&[u8]) -> ControlFlow<B>,
) -> Result<(usize, ControlFlow<B>), TooLarge> {
    let mut used = 0;
    while let Split::Frame { end } = codec::split(&bytes[used..], max)? {
        let body = &bytes[used + PREFIX_LEN..used + end];
        used += end;
        if let ControlFlow::Break(value) = take(body) {
            return Ok((used, ControlFlow::Break(value)));
        }
    }
    Ok((used, ControlFlow::Continue(())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Reference model: the list of bodies that went in.
        #[test]
        fn any_chunking_and_any_pause_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            cuts in prop::collection::vec(1usize..97, 1..50),
            pauses in prop::collection::vec(any::<bool>(), 1..50),
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                wire.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
                wire.extend_from_slice(body);
            }
            let mut inbox = Inbox::new(1024);
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let mut pauses = pauses.iter().cycle();
            let mut take = |body: &[u8]| {
                seen.push(body.to_vec());
                if *pauses.next().unwrap() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let (mut rest, mut cuts) = (wire.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let n = (*cuts.next().unwrap()).min(rest.len());
                let mut flow = inbox.feed(&rest[..n], &mut take).unwrap();
                rest = &rest[n..];
                while flow.is_break() {
                    flow = inbox.drain(&mut take).unwrap();
                }
            }
            prop_assert!(!inbox.is_partial());
            prop_assert_eq!(inbox.rest.capacity(), 0);
            prop_assert_eq!(seen, bodies);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_body() {
        let mut inbox = Inbox::new(8);
        let mut take = |_: &[u8]| ControlFlow::<()>::Continue(());
        assert!(inbox.feed(&[0, 0, 0], &mut take).is_ok());
        assert_eq!(
            inbox.feed(&[9], &mut take).unwrap_err(),
            TooLarge { len: 9, max: 8 }
        );
    }
}
