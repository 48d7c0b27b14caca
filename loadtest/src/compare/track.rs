//! What the subscribers of one worker saw, as a pure machine.
//!
//! Each subscriber follows the numbers in the payloads; the [`Book`] of the
//! worker knows up to which message all of its subscribers are done, and keeps
//! the figures. A message that a subscriber skipped counts as done: it is lost,
//! and whoever waits for it would wait for ever.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::clock::Micros;
use crate::payload;

/// Width of a bin of the throughput, microseconds.
pub(super) const BIN: Micros = 100_000;

/// Most messages that are remembered as not done by all.
const MAX_OPEN: u32 = 1 << 20;

/// Figures of one worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Deliveries that came within the window.
    pub(super) deliveries: u64,
    /// Deliveries in all.
    pub(super) all: u64,
    /// Looks at a connection that brought something, within the window.
    pub(super) reads: u64,
    /// Numbers that were jumped over, and those that never came.
    pub(super) lost: u64,
    /// Deliveries of the number that came last.
    pub(super) duplicates: u64,
    /// Deliveries of an older number.
    pub(super) late: u64,
    /// Payloads that are not what was sent.
    pub(super) corrupt: u64,
    /// Latencies of messages sent within the window.
    pub(super) latency: Spread,
    /// Deliveries by time since the window began, [`BIN`] each.
    pub(super) bins: Vec<u64>,
    /// Connections that were in and broke, and whose clients came back.
    pub(super) drops: u64,
    /// Attempts to come back that failed.
    pub(super) tries: u64,
    /// Connections that broke, by reason.
    pub(super) errors: BTreeMap<String, u64>,
}

/// The newest number that one subscriber has; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Track(u32);

/// Everything of one worker.
#[derive(Debug)]
pub(super) struct Book {
    subscribers: u32,
    gone: u32,
    done: u32,
    /// For each message behind `done`: how many have it.
    open: VecDeque<u32>,
    window: Option<(Micros, Micros)>,
    seen: Seen,
}

impl Book {
    /// Nothing seen yet by `subscribers`.
    pub(super) fn new(subscribers: u32) -> Self {
        Self {
            subscribers,
            gone: 0,
            done: 0,
            open: VecDeque::new(),
            window: None,
            seen: Seen::default(),
        }
    }

    /// What is measured from here on.
    pub(super) fn measure(&mut self, from: Micros, to: Micros) {
        self.window = Some((from, to));
        let bins = to.saturating_sub(from).div_ceil(BIN);
        self.seen.bins = vec![0; usize::try_from(bins).unwrap_or(0)];
    }

    /// A look at a connection brought something.
    pub(super) fn read(&mut self, now: Micros) {
        let inside = self
            .window
            .is_some_and(|(from, to)| (from..to).contains(&now));
        self.seen.reads += u64::from(inside);
    }

    /// A delivery came; the number up to which all are done now, if that moved.
    pub(super) fn delivered(
        &mut self,
        track: &mut Track,
        payload: &[u8],
        now: Micros,
    ) -> Option<u32> {
        let Some(stamp) = payload::read(payload) else {
            self.seen.corrupt += 1;
            return None;
        };
        self.seen.all += 1;
        if let Some((from, to)) = self.window {
            if (from..to).contains(&now) {
                self.seen.deliveries += 1;
                let bin = usize::try_from((now - from) / BIN).unwrap_or(usize::MAX);
                if let Some(bin) = self.seen.bins.get_mut(bin) {
                    *bin += 1;
                }
            }
            if (from..to).contains(&stamp.intended) {
                self.seen.latency.record(now.saturating_sub(stamp.intended));
            }
        }
        self.follow(track, stamp.number)
    }

    fn follow(&mut self, track: &mut Track, number: u32) -> Option<u32> {
        let last = track.0;
        if number <= last {
            let again = if number == last {
                &mut self.seen.duplicates
            } else {
                &mut self.seen.late
            };
            *again += 1;
            return None;
        }
        if number - self.done.min(number) > MAX_OPEN {
            self.seen.corrupt += 1;
            return None;
        }
        self.seen.lost += u64::from(number - last - 1);
        track.0 = number;
        self.count(last + 1, number);
        self.advance()
    }

    /// A subscriber's connection broke: nobody waits for it any more.
    pub(super) fn broke(&mut self, track: Track, why: String) -> Option<u32> {
        *self.seen.errors.entry(why).or_default() += 1;
        self.gone += 1;
        let head = self.done + u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        self.count(track.0 + 1, head);
        self.advance()
    }

    /// A subscriber that comes back lost its connection; `inside`: it was in.
    pub(super) fn dropped(&mut self, inside: bool) {
        self.seen.drops += u64::from(inside);
        self.seen.tries += u64::from(!inside);
    }

    /// The figures, when `sent` messages were sent and `tracks` are left.
    pub(super) fn close(mut self, sent: u32, tracks: impl Iterator<Item = Track>) -> Seen {
        let tails = tracks.map(|track| u64::from(sent.saturating_sub(track.0)));
        self.seen.lost += tails.sum::<u64>();
        self.seen
    }

    /// One subscriber more has the numbers from `first` to `last`.
    fn count(&mut self, first: u32, last: u32) {
        for number in first.max(self.done + 1)..=last {
            let at = (number - self.done - 1) as usize;
            if at >= self.open.len() {
                self.open.resize(at + 1, self.gone);
            }
            self.open[at] += 1;
        }
    }

    fn advance(&mut self) -> Option<u32> {
        let before = self.done;
        while self.open.front().is_some_and(|n| *n >= self.subscribers) {
            self.open.pop_front();
            self.done += 1;
        }
        (self.done > before).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Stamp, write};

    fn message(number: u32, intended: Micros) -> Vec<u8> {
        let stamp = Stamp {
            publisher: 0,
            number,
            intended,
        };
        write(&stamp, 60).into_bytes()
    }

    #[test]
    fn a_message_is_done_when_the_last_subscriber_has_it() {
        let (mut book, mut tracks) = (Book::new(2), [Track::default(); 2]);
        let (one, two) = (message(1, 0), message(2, 0));
        assert_eq!(book.delivered(&mut tracks[0], &one, 5), None);
        assert_eq!(book.delivered(&mut tracks[0], &two, 6), None);
        assert_eq!(book.delivered(&mut tracks[1], &one, 7), Some(1));
        assert_eq!(book.delivered(&mut tracks[1], &two, 8), Some(2));
        let seen = book.close(3, tracks.into_iter());
        assert_eq!((seen.all, seen.lost), (4, 2));
    }

    #[test]
    fn what_is_skipped_is_lost_and_holds_nobody_up() {
        let (mut book, mut track) = (Book::new(1), Track::default());
        assert_eq!(book.delivered(&mut track, &message(4, 0), 5), Some(4));
        assert_eq!(book.delivered(&mut track, &message(4, 0), 5), None);
        assert_eq!(book.delivered(&mut track, &message(2, 0), 5), None);
        assert_eq!(book.delivered(&mut track, b"noise", 5), None);
        let seen = book.close(4, [track].into_iter());
        assert_eq!((seen.lost, seen.duplicates, seen.late), (3, 1, 1));
        assert_eq!(seen.corrupt, 1);
    }

    #[test]
    fn nobody_waits_for_a_subscriber_that_is_gone() {
        let (mut book, mut tracks) = (Book::new(2), [Track::default(); 2]);
        book.delivered(&mut tracks[0], &message(1, 0), 5);
        assert_eq!(book.broke(tracks[1], "gone".to_owned()), Some(1));
        assert_eq!(book.delivered(&mut tracks[0], &message(2, 0), 6), Some(2));
    }

    #[test]
    fn deliveries_count_by_when_they_come_and_latencies_by_when_they_were_sent() {
        let (mut book, mut track) = (Book::new(1), Track::default());
        book.measure(1_000_000, 1_200_000);
        book.delivered(&mut track, &message(1, 900_000), 1_000_000);
        book.delivered(&mut track, &message(2, 1_050_000), 1_150_000);
        book.delivered(&mut track, &message(3, 1_190_000), 1_200_000);
        let seen = book.close(3, [track].into_iter());
        assert_eq!(
            (seen.deliveries, seen.bins.as_slice()),
            (2, [1, 1].as_slice())
        );
        assert_eq!(seen.latency.count(), 2);
    }
}
