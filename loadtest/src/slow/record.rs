//! What was said and heard in each block, by the time that it was due. Pure.
//!
//! A delivery belongs to the block in which its message was due, whenever it
//! comes: what a slow server puts off cannot fall out of its block.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::clock::Micros;
use crate::latency::Latency;

/// Kinds of faults that are told apart.
const MAX_FAULTS: usize = 50;

/// What the backend does in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Nobody asks it anything.
    Unasked,
    /// It answers at once: what the others are compared with.
    Quick,
    /// It takes its time for each answer.
    Slow,
    /// It refuses connections.
    Down,
}

impl Phase {
    /// All of them, in the order of the first round.
    pub(super) const ALL: [Self; 4] = [Self::Unasked, Self::Quick, Self::Slow, Self::Down];

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unasked => "nobody asks",
            Self::Quick => "at once",
            Self::Slow => "slow",
            Self::Down => "down",
        }
    }

    /// Whether its end is a backend that comes back.
    pub(super) fn is_disturbed(self) -> bool {
        match self {
            Self::Slow | Self::Down => true,
            Self::Unasked | Self::Quick => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whose deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Rooms of the app that asks nothing.
    Plain,
    /// Rooms of the asking app into which its backend pushes.
    Pushed,
}

/// What one group heard in one block.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// Deliveries that should come.
    pub(super) due: u64,
    /// Deliveries that came.
    pub(super) came: u64,
    /// From when a message was due to each delivery.
    pub(super) latency: Latency,
}

/// One block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    from: Micros,
    to: Micros,
    plain: Heard,
    pushed: Heard,
}

impl Block {
    /// What `group` heard.
    pub(super) fn heard(&self, group: Group) -> &Heard {
        match group {
            Group::Plain => &self.plain,
            Group::Pushed => &self.pushed,
        }
    }

    fn heard_mut(&mut self, group: Group) -> &mut Heard {
        match group {
            Group::Plain => &mut self.plain,
            Group::Pushed => &mut self.pushed,
        }
    }
}

/// How the askers fare since the backend is back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Back {
    since: Micros,
    first_pass: Option<Micros>,
    last_refusal: Option<Micros>,
}

impl Back {
    /// From the backend's return to the first message said since that passed;
    /// `None`: none has yet.
    pub(super) fn passes_after(&self) -> Option<Micros> {
        Some(self.first_pass?.saturating_sub(self.since))
    }

    /// From the backend's return to the last refusal, or the first message that
    /// passed; `None`: none has yet.
    pub(super) fn settled_after(&self) -> Option<Micros> {
        let settled = self.first_pass?.max(self.last_refusal.unwrap_or_default());
        Some(settled.saturating_sub(self.since))
    }

    /// Whether messages pass and none was refused for `calm`.
    pub(super) fn is_settled(&self, now: Micros, calm: Micros) -> bool {
        let settled = self.settled_after();
        settled.is_some_and(|after| now.saturating_sub(self.since + after) >= calm)
    }
}

/// What all threads write down.
#[derive(Debug, Default)]
pub(super) struct Record {
    blocks: Vec<Block>,
    back: Back,
    faults: BTreeMap<String, u64>,
}

impl Record {
    /// A block goes on from `from` to `to`, after the ones before.
    pub(super) fn begin(&mut self, from: Micros, to: Micros) {
        self.blocks.push(Block {
            from,
            to,
            plain: Heard::default(),
            pushed: Heard::default(),
        });
    }

    /// A message that was due at `due` was said to so many listeners.
    pub(super) fn said(&mut self, group: Group, due: Micros, listeners: u64) {
        if let Some(block) = self.block_of(due) {
            block.heard_mut(group).due += listeners;
        }
    }

    /// A listener heard at `now` what was due at `due`.
    pub(super) fn heard(&mut self, group: Group, due: Micros, now: Micros) {
        if let Some(block) = self.block_of(due) {
            let heard = block.heard_mut(group);
            heard.came += 1;
            heard.latency.record(now.saturating_sub(due));
        }
    }

    /// The backend is back.
    pub(super) fn is_back(&mut self, now: Micros) {
        self.back = Back {
            since: now,
            ..Back::default()
        };
    }

    /// A message that was asked about, said at `said`, was let through.
    pub(super) fn passed(&mut self, said: Micros, now: Micros) {
        if said >= self.back.since {
            self.back.first_pass.get_or_insert(now);
        }
    }

    /// A message that was to be asked about was refused.
    pub(super) fn refused(&mut self, now: Micros) {
        self.back.last_refusal = Some(now);
    }

    /// How the askers fare.
    pub(super) fn back(&self) -> Back {
        self.back
    }

    /// Something went wrong that should not.
    pub(super) fn fault(&mut self, what: impl Into<String>) {
        let what = what.into();
        let room = self.faults.len() < MAX_FAULTS || self.faults.contains_key(&what);
        let kind = if room { what } else { "others".to_owned() };
        *self.faults.entry(kind).or_default() += 1;
    }

    /// All of that.
    pub(super) fn faults(&self) -> &BTreeMap<String, u64> {
        &self.faults
    }

    /// The blocks in their order.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Deliveries that are under way, of all blocks.
    pub(super) fn under_way(&self) -> u64 {
        let groups = self.blocks.iter().flat_map(|b| [&b.plain, &b.pushed]);
        groups.map(|heard| heard.due.abs_diff(heard.came)).sum()
    }

    fn block_of(&mut self, due: Micros) -> Option<&mut Block> {
        let mut newest_first = self.blocks.iter_mut().rev();
        newest_first.find(|block| (block.from..block.to).contains(&due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_counts_in_the_block_in_which_it_was_due() {
        let mut record = Record::default();
        record.begin(1_000, 2_000);
        record.said(Group::Plain, 1_900, 2);
        record.begin(3_000, 4_000);
        record.heard(Group::Plain, 1_900, 3_500);
        record.heard(Group::Plain, 2_500, 3_500);
        record.heard(Group::Pushed, 3_100, 3_200);
        let [first, second] = record.blocks() else {
            panic!("two blocks");
        };
        assert_eq!((first.plain.came, first.pushed.came), (1, 0));
        assert_eq!((second.plain.came, second.pushed.came), (0, 1));
        let late = first.plain.latency.summary().unwrap();
        assert!((late.max_ms - 1.6).abs() < 0.01);
        assert_eq!(record.under_way(), 2);
    }

    #[test]
    fn what_was_said_before_the_return_is_no_recovery() {
        let mut record = Record::default();
        record.is_back(10_000);
        record.passed(9_000, 11_000);
        assert_eq!(record.back().passes_after(), None);
        record.refused(12_000);
        record.passed(12_500, 13_000);
        record.passed(12_600, 14_000);
        record.refused(13_500);
        let back = record.back();
        assert_eq!(back.passes_after(), Some(3_000));
        assert_eq!(back.settled_after(), Some(3_500));
        assert!(!back.is_settled(14_000, 1_000) && back.is_settled(14_500, 1_000));
    }

    #[test]
    fn a_second_return_forgets_the_first() {
        let mut record = Record::default();
        record.is_back(10_000);
        record.passed(11_000, 11_500);
        record.refused(12_000);
        record.is_back(20_000);
        assert_eq!(record.back().settled_after(), None);
        assert!(!record.back().is_settled(60_000, 1_000));
    }
}
