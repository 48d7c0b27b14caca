//! What one worker counted; tallies of workers add up, and reports show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// Kinds of errors that are told apart; the rest is counted together.
const MAX_KINDS: usize = 64;

/// Counts of a run, or of one worker's part of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Clients that logged in and entered.
    pub(crate) entered: u64,
    /// Pushes that came, sequenced or not.
    pub(crate) pushes: u64,
    /// Bytes of frames that came.
    pub(crate) bytes_in: u64,
    /// Messages of the load generator's own that came.
    pub(crate) deliveries: u64,
    /// Those whose intended time lies in the steady phase.
    pub(crate) measured: u64,
    /// Jumps in a client's sequence.
    pub(crate) gaps: u64,
    /// Seqs that a client never saw, the tail included.
    pub(crate) lost: u64,
    /// Of these, announced by the gateway as skipped.
    pub(crate) announced: u64,
    /// Messages that a client had already.
    pub(crate) duplicates: u64,
    /// Messages that came after a later one.
    pub(crate) out_of_order: u64,
    /// Content that is not what was sent, or that members disagree about.
    pub(crate) corrupt: u64,
    /// Pushes of a room in which the client is not.
    pub(crate) foreign: u64,
    /// Rooms whose sequence began anew while a client was in them.
    pub(crate) new_epochs: u64,
    /// Clients whose last running total is not the room's.
    pub(crate) wrong_totals: u64,
    /// Messages that publishers sent.
    pub(crate) sent: u64,
    /// Those that the plan wanted sent.
    pub(crate) planned: u64,
    /// Those that were accepted and stamped.
    pub(crate) accepted: u64,
    /// Those that the room's rate limit discarded.
    pub(crate) discarded: u64,
    /// Likes that were accepted.
    pub(crate) likes: u64,
    /// What failed without the plan wanting it, by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Ends of connections, by reason.
    pub(crate) closes: BTreeMap<String, u64>,
    /// What became of readers that stopped, by outcome.
    pub(crate) slow: BTreeMap<String, u64>,
    /// What viewers were told about lives.
    pub(crate) lives: Lives,
    /// From the intended send time to the delivery.
    #[serde(skip_deserializing)]
    pub(crate) latency: Latency,
    /// The same while a reader is stopped.
    #[serde(skip_deserializing)]
    pub(crate) disturbed: Latency,
    /// From a login's start to its room's snapshot.
    #[serde(skip_deserializing)]
    pub(crate) entering: Latency,
    /// From a send to its reply.
    #[serde(skip_deserializing)]
    pub(crate) replies: Latency,
    /// How late messages left their publisher.
    #[serde(skip_deserializing)]
    pub(crate) lateness: Latency,
}

/// What clients were told about lives, summed over clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lives {
    /// Starts told.
    pub(crate) started: u64,
    /// Hosts told away.
    pub(crate) away: u64,
    /// Hosts told back.
    pub(crate) back: u64,
    /// Ends told.
    pub(crate) ended: u64,
    /// Clients that were to be told of an end.
    pub(crate) ends_expected: u64,
    /// Clients that were not told of an end, or twice, or of one that was none.
    pub(crate) ends_wrong: u64,
    /// From the crash to the client's host-away.
    #[serde(skip_deserializing)]
    pub(crate) away_after: Latency,
    /// How far from the announced end of the grace the end was told.
    #[serde(skip_deserializing)]
    pub(crate) end_off: Latency,
}

impl Tally {
    /// Counts an error of a kind.
    pub(crate) fn error(&mut self, kind: impl Into<String>) {
        count(&mut self.errors, kind.into(), 1);
    }

    /// Counts the end of a connection.
    pub(crate) fn close(&mut self, reason: impl Into<String>) {
        count(&mut self.closes, reason.into(), 1);
    }

    /// Counts what became of a reader that stopped.
    pub(crate) fn slow(&mut self, outcome: impl Into<String>) {
        count(&mut self.slow, outcome.into(), 1);
    }

    /// Adds another worker's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.entered += other.entered;
        self.pushes += other.pushes;
        self.bytes_in += other.bytes_in;
        self.deliveries += other.deliveries;
        self.measured += other.measured;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.announced += other.announced;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        self.new_epochs += other.new_epochs;
        self.wrong_totals += other.wrong_totals;
        self.sent += other.sent;
        self.planned += other.planned;
        self.accepted += other.accepted;
        self.discarded += other.discarded;
        self.likes += other.likes;
        for (kind, n) in &other.errors {
            count(&mut self.errors, kind.clone(), *n);
        }
        for (reason, n) in &other.closes {
            count(&mut self.closes, reason.clone(), *n);
        }
        for (outcome, n) in &other.slow {
            count(&mut self.slow, outcome.clone(), *n);
        }
        self.lives.add(&other.lives);
        for (ours, theirs) in self.latencies_mut().into_iter().zip(other.latencies()) {
            ours.merge(theirs);
        }
    }

    /// All latencies: what reports write of them is a summary, which does not
    /// read back.
    pub(crate) fn latencies(&self) -> [&Latency; 7] {
        let lives = &self.lives;
        [
            &self.latency,
            &self.disturbed,
            &self.entering,
            &self.replies,
            &self.lateness,
            &lives.away_after,
            &lives.end_off,
        ]
    }

    /// The same, to be added to.
    pub(crate) fn latencies_mut(&mut self) -> [&mut Latency; 7] {
        let lives = &mut self.lives;
        [
            &mut self.latency,
            &mut self.disturbed,
            &mut self.entering,
            &mut self.replies,
            &mut self.lateness,
            &mut lives.away_after,
            &mut lives.end_off,
        ]
    }
}

impl Lives {
    fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.away += other.away;
        self.back += other.back;
        self.ended += other.ended;
        self.ends_expected += other.ends_expected;
        self.ends_wrong += other.ends_wrong;
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, kind: String, n: u64) {
    let room = kinds.len() < MAX_KINDS || kinds.contains_key(&kind);
    let kind = if room { kind } else { "others".to_owned() };
    *kinds.entry(kind).or_default() += n;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_workers_add_up() {
        let mut one = Tally::default();
        one.error("refused");
        one.close("closed");
        one.deliveries = 3;
        one.latency.record(100);
        let mut two = one.clone();
        two.error("timeout");
        one.add(&two);
        assert_eq!((one.deliveries, one.errors.values().sum()), (6, 3u64));
        assert_eq!(one.errors["refused"], 2);
        assert_eq!(one.closes["closed"], 2);
        assert_eq!(one.latency.count(), 2);
    }

    #[test]
    fn kinds_without_end_do_not_grow_without_end() {
        let mut tally = Tally::default();
        for n in 0..1_000 {
            tally.error(format!("error {n}"));
        }
        assert_eq!(tally.errors.len(), MAX_KINDS + 1);
        assert_eq!(tally.errors.values().sum::<u64>(), 1_000);
    }
}
