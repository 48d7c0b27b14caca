//! When which message is due. Pure.
//!
//! An open loop: due times follow from the plan alone and never from how the
//! gateway answers, so a slow gateway cannot slow down its own test
//! (coordinated omission). Publishers of a room take turns.

use crate::clock::Micros;
use crate::plan::Messages;

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A custom message.
    Custom,
    /// A gift.
    Gift,
    /// A like.
    Like,
}

/// The due times of one publisher.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    start: Micros,
    end: Micros,
    tracks: Vec<Track>,
}

/// The messages of one kind: the n-th of the room is due at
/// `start + (n + shift) * period`; every `step`-th is this publisher's.
#[derive(Debug, Clone)]
struct Track {
    kind: Kind,
    period: f64,
    shift: f64,
    next: u64,
    step: u64,
}

/// Which of a room's publishers, and which room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Counted from 0.
    pub(crate) publisher: u32,
    /// Publishers of the room.
    pub(crate) of: u32,
    /// 0.0 to 1.0: spreads rooms over a period, so that they do not all speak
    /// at the same moment.
    pub(crate) shift: f64,
}

impl Schedule {
    /// What `turn` sends of `messages` from `start` until before `end`.
    pub(crate) fn new(messages: &Messages, turn: Turn, start: Micros, end: Micros) -> Self {
        let kinds = [
            (Kind::Text, messages.text, 0.0),
            (Kind::Custom, messages.custom, 0.25),
            (Kind::Gift, messages.gift, 0.5),
            (Kind::Like, messages.like, 0.75),
        ];
        let tracks = kinds
            .into_iter()
            .filter(|(_, rate, _)| *rate > 0.0)
            .map(|(kind, rate, shift)| Track {
                kind,
                period: 1_000_000.0 / rate,
                shift: shift + turn.shift,
                next: u64::from(turn.publisher),
                step: u64::from(turn.of.max(1)),
            })
            .collect();
        Self { start, end, tracks }
    }

    /// When the next message is due; `None` when all have been taken.
    pub(crate) fn due(&self) -> Option<Micros> {
        self.first().map(|(at, _)| at)
    }

    /// Takes the next message if it is due at `now`: when it was due, and what.
    pub(crate) fn take(&mut self, now: Micros) -> Option<(Micros, Kind)> {
        let (at, track) = self.first().filter(|(at, _)| *at <= now)?;
        let track = &mut self.tracks[track];
        track.next += track.step;
        Some((at, track.kind))
    }

    /// How many messages are left.
    pub(crate) fn left(&self) -> u64 {
        let span = self.end.saturating_sub(self.start) as f64;
        let left = |track: &Track| {
            let in_room = (span / track.period - track.shift).ceil().max(0.0) as u64;
            in_room.saturating_sub(track.next).div_ceil(track.step)
        };
        self.tracks.iter().map(left).sum()
    }

    fn first(&self) -> Option<(Micros, usize)> {
        let due = |track: &Track| {
            let after = (track.next as f64 + track.shift) * track.period;
            self.start + after as Micros
        };
        let first = self.tracks.iter().enumerate().map(|(n, t)| (due(t), n));
        first.min().filter(|(at, _)| *at < self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut schedule: Schedule) -> Vec<(Micros, Kind)> {
        std::iter::from_fn(|| schedule.take(Micros::MAX)).collect()
    }

    proptest! {
        #[test]
        fn publishers_together_send_the_rate_and_each_its_turn(
            rate in 1u32..40,
            of in 1u32..6,
            seconds in 1u64..20,
            shift in 0.0f64..1.0,
        ) {
            let messages = Messages { text: rate.into(), like: 2.0, ..Messages::default() };
            let end = 5_000_000 + seconds * 1_000_000;
            let mut sent = Vec::new();
            for publisher in 0..of {
                let turn = Turn { publisher, of, shift };
                let schedule = Schedule::new(&messages, turn, 5_000_000, end);
                let left = schedule.left();
                let mine = all(schedule);
                prop_assert!(left.abs_diff(mine.len() as u64) <= 1);
                prop_assert!(mine.iter().map(|(at, _)| at).is_sorted());
                sent.extend(mine);
            }
            prop_assert!(sent.iter().all(|(at, _)| (5_000_000..end).contains(at)));
            let texts = sent.iter().filter(|(_, kind)| *kind == Kind::Text).count() as u64;
            let planned = u64::from(rate) * seconds;
            prop_assert!(texts.abs_diff(planned) <= 1, "{texts} of {planned}");
        }
    }

    #[test]
    fn what_is_late_keeps_the_time_it_was_due() {
        let messages = Messages {
            text: 10.0,
            ..Messages::default()
        };
        let turn = Turn {
            publisher: 0,
            of: 1,
            shift: 0.0,
        };
        let mut schedule = Schedule::new(&messages, turn, 1_000, 900_000);
        assert_eq!(schedule.take(500), None);
        assert_eq!(schedule.take(250_000), Some((1_000, Kind::Text)));
        assert_eq!(schedule.take(250_000), Some((101_000, Kind::Text)));
        assert_eq!(schedule.take(250_000), Some((201_000, Kind::Text)));
        assert_eq!(schedule.take(250_000), None);
        assert_eq!(schedule.due(), Some(301_000));
    }
}
