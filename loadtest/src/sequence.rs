//! Checks one client's view of one room's sequence. Pure.
//!
//! Invariant: after any stream, [`Sequence::missing`] is exactly the number of
//! seqs between where the client entered and the newest it saw that it never
//! saw, and every duplicate, late message and jump was counted when it came.

/// Open gaps that are kept apart; the oldest is given up for lost beyond it.
const MAX_GAPS: usize = 256;

/// What a message was to the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The one that had to come.
    Next,
    /// One that came after a jump over `missing` others.
    Gap {
        /// How many were jumped over.
        missing: u64,
    },
    /// One that had been jumped over and came late.
    Late,
    /// One that was here before.
    Duplicate,
    /// The room's sequence began anew.
    NewEpoch,
}

/// Where a client stands in a room's sequence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    epoch: u64,
    last: u64,
    /// Ranges `from..=to` that were jumped over, ascending.
    open: Vec<(u64, u64)>,
    given_up: u64,
}

impl Sequence {
    /// Begins after `seq`, as an enter's snapshot says.
    pub(crate) fn enter(epoch: u64, seq: u64) -> Self {
        Self {
            epoch,
            last: seq,
            ..Self::default()
        }
    }

    /// Takes the next sequenced push.
    pub(crate) fn see(&mut self, epoch: u64, seq: u64) -> Seen {
        if epoch != self.epoch {
            let given_up = self.missing();
            *self = Self::enter(epoch, seq);
            self.given_up = given_up;
            return Seen::NewEpoch;
        }
        if seq <= self.last {
            return self.before(seq);
        }
        let missing = seq - self.last - 1;
        if missing > 0 {
            self.jump(self.last + 1, seq - 1);
        }
        self.last = seq;
        match missing {
            0 => Seen::Next,
            _ => Seen::Gap { missing },
        }
    }

    /// Seqs that were jumped over and never came.
    pub(crate) fn missing(&self) -> u64 {
        let open: u64 = self.open.iter().map(|(from, to)| to - from + 1).sum();
        open + self.given_up
    }

    /// The epoch followed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest seq seen.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    fn jump(&mut self, from: u64, to: u64) {
        if self.open.len() == MAX_GAPS {
            let (from, to) = self.open.remove(0);
            self.given_up += to - from + 1;
        }
        self.open.push((from, to));
    }

    fn before(&mut self, seq: u64) -> Seen {
        let gap = self
            .open
            .iter()
            .position(|(from, to)| (*from..=*to).contains(&seq));
        let Some(at) = gap else {
            return Seen::Duplicate;
        };
        let (from, to) = self.open.remove(at);
        if seq < to {
            self.open.insert(at, (seq + 1, to));
        }
        if from < seq {
            self.open.insert(at, (from, seq - 1));
        }
        Seen::Late
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What was done to an ascending sequence on its way.
    #[derive(Debug, Clone)]
    enum Fault {
        Drop(prop::sample::Index),
        Repeat(prop::sample::Index, prop::sample::Index),
        Move(prop::sample::Index, prop::sample::Index),
    }

    fn faults() -> impl Strategy<Value = Vec<Fault>> {
        let index = any::<prop::sample::Index>;
        let fault = prop_oneof![
            index().prop_map(Fault::Drop),
            (index(), index()).prop_map(|(from, to)| Fault::Repeat(from, to)),
            (index(), index()).prop_map(|(from, to)| Fault::Move(from, to)),
        ];
        prop::collection::vec(fault, 0..12)
    }

    fn plant(mut stream: Vec<u64>, faults: &[Fault]) -> Vec<u64> {
        for fault in faults {
            match fault {
                Fault::Drop(at) => {
                    stream.remove(at.index(stream.len()));
                }
                Fault::Repeat(from, to) => {
                    let seq = stream[from.index(stream.len())];
                    stream.insert(to.index(stream.len()), seq);
                }
                Fault::Move(from, to) => {
                    let seq = stream.remove(from.index(stream.len()));
                    stream.insert(to.index(stream.len()), seq);
                }
            }
        }
        stream
    }

    /// The slow and obvious way: a set of everything seen.
    fn model(seen: &mut BTreeSet<u64>, newest: &mut u64, seq: u64) -> Seen {
        if !seen.insert(seq) {
            return Seen::Duplicate;
        }
        if seq < *newest {
            return Seen::Late;
        }
        let missing = seq - *newest - 1;
        *newest = seq;
        match missing {
            0 => Seen::Next,
            _ => Seen::Gap { missing },
        }
    }

    proptest! {
        #[test]
        fn every_planted_gap_duplicate_and_reorder_is_found(
            len in 20u64..120,
            start in 0u64..1_000,
            faults in faults(),
        ) {
            let stream = plant((start + 1..=start + len).collect(), &faults);
            let mut sequence = Sequence::enter(9, start);
            let (mut seen, mut newest) = (BTreeSet::new(), start);
            for seq in stream {
                let expected = model(&mut seen, &mut newest, seq);
                prop_assert_eq!(sequence.see(9, seq), expected);
            }
            let missing = newest - start - seen.len() as u64;
            prop_assert_eq!(sequence.missing(), missing);
            prop_assert_eq!(sequence.last(), newest);
        }

        #[test]
        fn a_clean_stream_has_no_fault(len in 1u64..500) {
            let mut sequence = Sequence::enter(1, 40);
            prop_assert!((41..=40 + len).all(|seq| sequence.see(1, seq) == Seen::Next));
            prop_assert_eq!(sequence.missing(), 0);
        }
    }

    #[test]
    fn what_was_entered_behind_is_a_duplicate() {
        let mut sequence = Sequence::enter(1, 5);
        assert_eq!(sequence.see(1, 5), Seen::Duplicate);
    }

    #[test]
    fn a_new_epoch_begins_anew_and_keeps_what_was_lost() {
        let mut sequence = Sequence::enter(1, 0);
        assert_eq!(sequence.see(1, 3), Seen::Gap { missing: 2 });
        assert_eq!(sequence.see(2, 8), Seen::NewEpoch);
        assert_eq!(sequence.see(2, 9), Seen::Next);
        assert_eq!(sequence.missing(), 2);
    }

    #[test]
    fn more_gaps_than_are_kept_are_lost_and_still_counted() {
        let mut sequence = Sequence::enter(1, 0);
        for at in 1..=2_000 {
            sequence.see(1, at * 2);
        }
        assert_eq!(sequence.missing(), 2_000);
    }
}
