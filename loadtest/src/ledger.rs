//! What a room said, as its members saw it together.
//!
//! Members must agree on the content of each (epoch, seq), and the latency of
//! a message's *last* delivery is a property of the room. Each worker keeps a
//! ledger of its own; they are merged when the run is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::latency::Latency;
use crate::payload::Stamp;

/// Seqs of an epoch that are compared; later ones are only counted.
const MAX_SEQ: usize = 4_000_000;

/// One room as one worker's clients saw it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    epochs: BTreeMap<u64, Vec<Entry>>,
    disagreements: u64,
}

/// One seq.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Entry {
    /// Of the whole push; 0: nobody saw it.
    digest: u64,
    /// 0: no message of the load generator's, or not to be measured.
    intended: Micros,
    last: Micros,
    seen: u32,
    /// Which message members saw, see [`mark`]; 0: none of ours.
    delivered: u64,
    /// Which message its publisher was told to have this seq; 0: none.
    promised: u64,
}

/// A message's mark: never 0.
fn mark(stamp: &Stamp) -> u64 {
    1 + (u64::from(stamp.publisher) << 32 | u64::from(stamp.number))
}

impl Ledger {
    /// Notes that a member saw `seq` at `now`.
    pub(crate) fn note(&mut self, epoch: u64, seq: u64, digest: u64, now: Micros) -> Noted<'_> {
        let Some(entry) = entry(&mut self.epochs, epoch, seq) else {
            return Noted(None);
        };
        self.disagreements += u64::from(entry.seen > 0 && entry.digest != digest);
        entry.digest = digest;
        entry.seen += 1;
        entry.last = entry.last.max(now);
        Noted(Some(entry))
    }

    /// Notes that a publisher was told that its message has `seq`.
    pub(crate) fn promise(&mut self, epoch: u64, seq: u64, stamp: &Stamp) {
        if let Some(entry) = entry(&mut self.epochs, epoch, seq) {
            entry.promised = mark(stamp);
        }
    }

    /// Adds what another worker's clients saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.disagreements += other.disagreements;
        for (epoch, theirs) in &other.epochs {
            let ours = self.epochs.entry(*epoch).or_default();
            ours.resize_with(ours.len().max(theirs.len()), Entry::default);
            for (ours, theirs) in ours.iter_mut().zip(theirs) {
                self.disagreements += u64::from(ours.disagrees(theirs));
                ours.add(theirs);
            }
        }
    }

    /// How often two members saw different content under one seq.
    pub(crate) fn disagreements(&self) -> u64 {
        self.disagreements
    }

    /// Messages whose publisher was told a seq under which members saw
    /// something else.
    pub(crate) fn broken_promises(&self) -> u64 {
        let entries = self.epochs.values().flatten();
        let seen = entries.filter(|e| e.promised > 0 && e.seen > 0);
        seen.filter(|e| e.promised != e.delivered).count() as u64
    }

    /// The newest seq of `epoch` that anybody saw or was promised.
    pub(crate) fn newest(&self, epoch: u64) -> u64 {
        self.epochs
            .get(&epoch)
            .map_or(0, |entries| entries.len().saturating_sub(1) as u64)
    }

    /// Adds each measured message's latency to its last receiver.
    pub(crate) fn last_latencies(&self, into: &mut Latency) {
        for entry in self.epochs.values().flatten().filter(|e| e.intended > 0) {
            into.record(entry.last.saturating_sub(entry.intended));
        }
    }
}

fn entry(epochs: &mut BTreeMap<u64, Vec<Entry>>, epoch: u64, seq: u64) -> Option<&mut Entry> {
    let at = usize::try_from(seq).ok().filter(|at| *at < MAX_SEQ)?;
    let entries = epochs.entry(epoch).or_default();
    if entries.len() <= at {
        entries.resize_with(at + 1, Entry::default);
    }
    entries.get_mut(at)
}

impl Entry {
    fn disagrees(&self, other: &Self) -> bool {
        self.seen > 0 && other.seen > 0 && self.digest != other.digest
    }

    fn add(&mut self, other: &Self) {
        if self.seen == 0 {
            self.digest = other.digest;
        }
        self.seen += other.seen;
        self.last = self.last.max(other.last);
        self.intended = self.intended.max(other.intended);
        self.delivered = self.delivered.max(other.delivered);
        self.promised = self.promised.max(other.promised);
    }
}

/// A seq that was just noted.
#[derive(Debug)]
pub(crate) struct Noted<'a>(Option<&'a mut Entry>);

impl Noted<'_> {
    /// It is a message of ours; `measured`: its latency counts.
    pub(crate) fn is(self, stamp: &Stamp, measured: bool) {
        let Some(entry) = self.0 else {
            return;
        };
        entry.delivered = mark(stamp);
        if measured {
            entry.intended = stamp.intended;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u32) -> Stamp {
        Stamp {
            publisher: 0,
            number,
            intended: 1_000,
        }
    }

    #[test]
    fn a_promise_is_broken_when_members_see_another_message_there() {
        let (mut publisher, mut viewer) = (Ledger::default(), Ledger::default());
        for seq in 1..=3 {
            publisher.promise(1, seq, &stamp(seq as u32));
        }
        viewer.note(1, 1, 5, 10).is(&stamp(1), false);
        viewer.note(1, 2, 6, 10).is(&stamp(7), false);
        publisher.merge(&viewer);
        assert_eq!(publisher.broken_promises(), 1);
    }

    #[test]
    fn members_of_two_workers_who_saw_different_content_are_found() {
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.note(1, 1, 0xaa, 10);
        one.note(1, 2, 0xbb, 10);
        two.note(1, 1, 0xaa, 12);
        two.note(1, 2, 0xcc, 12);
        one.merge(&two);
        assert_eq!(one.disagreements(), 1);
    }

    #[test]
    fn members_of_one_worker_who_saw_different_content_are_found() {
        let mut ledger = Ledger::default();
        ledger.note(1, 1, 0xaa, 10);
        ledger.note(1, 1, 0xab, 10);
        ledger.note(2, 1, 0xcc, 10);
        assert_eq!(ledger.disagreements(), 1);
    }

    #[test]
    fn the_last_delivery_counts_over_all_workers() {
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.note(1, 1, 5, 1_500).is(&stamp(0), true);
        two.note(1, 1, 5, 4_000).is(&stamp(0), true);
        two.note(1, 2, 6, 9_000);
        one.merge(&two);
        let mut latency = Latency::default();
        one.last_latencies(&mut latency);
        let summary = latency.summary().unwrap();
        assert_eq!(summary.count, 1);
        assert!((summary.max_ms - 3.0).abs() < 0.01);
    }

    #[test]
    fn a_seq_beyond_all_bounds_costs_no_memory() {
        let mut ledger = Ledger::default();
        ledger.note(1, u64::MAX, 5, 1);
        ledger.note(1, 1 << 40, 5, 1);
        assert_eq!(ledger.newest(1), 0);
    }
}
