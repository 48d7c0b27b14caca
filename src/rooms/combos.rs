//! Combos of gifts: many gifts of one kind in a row become a few messages.
//!
//! Pure. The first gift of a combo is told as it comes. Those of the same
//! sender, gift and combo id that follow within the window are gathered and
//! told as one message a window; when a window has passed without another the
//! combo is over and its last message carries the final total.
//!
//! Invariants: the counts of a combo's messages add up to its total; each combo
//! has exactly one last message, which is kept until it was told; two messages
//! of a combo before the last are at least a window apart.

use std::collections::BTreeMap;
use std::time::Duration;

use livegate_proto::client::room_message::Content;
use livegate_proto::client::{Gift, RoomMessage};
use serde::{Deserialize, Serialize};

use crate::clock::Instant;

/// Limits and paces of combos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComboConfig {
    /// Gifts of a combo that follow each other within this time are gathered;
    /// without another for so long the combo is over.
    #[serde(with = "crate::clock::span")]
    pub window: Duration,
    /// Combos of one room that are open at once. A gift beyond is told by
    /// itself, as a combo of its own.
    pub open: usize,
}

impl Default for ComboConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1),
            open: 128,
        }
    }
}

/// What belongs together: sender, gift, combo id.
type Key = (String, String, String);

/// A combo that is not over.
#[derive(Debug)]
struct Combo {
    /// The newest of its messages.
    said: RoomMessage,
    total: u32,
    untold: u32,
    /// When the newest gift came.
    last: Instant,
    /// The earliest time of the next message that is not the last.
    next: Instant,
    /// The earliest time of any: the room had no place for one.
    put_off: Instant,
}

impl Combo {
    /// When it has something to tell: what was gathered, or that it is over.
    fn due(&self, window: Duration) -> Instant {
        let over = self.last + window;
        let due = match self.untold {
            0 => over,
            _ => self.next.min(over),
        };
        due.max(self.put_off)
    }

    fn is_over(&self, window: Duration, now: Instant) -> bool {
        self.last + window <= now
    }
}

/// A message that a combo comes to. Names its combo until it was told.
#[derive(Debug)]
pub struct Telling {
    key: Key,
    ended: bool,
    /// Ready to be stamped.
    pub message: RoomMessage,
}

impl Telling {
    /// Whether it is the last one.
    pub fn is_last(&self) -> bool {
        self.ended
    }
}

/// The open combos of a room.
#[derive(Debug)]
pub struct Combos {
    config: ComboConfig,
    open: BTreeMap<Key, Combo>,
}

impl Combos {
    /// None is open.
    pub fn new(config: ComboConfig) -> Self {
        Self {
            config,
            open: BTreeMap::new(),
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Gathers the gift if its combo is open; false when it is to be told by
    /// itself.
    pub fn gather(&mut self, message: &RoomMessage, now: Instant) -> bool {
        let Some((key, gift)) = key(message) else {
            return false;
        };
        let count = gift.count.max(1);
        // One that was put off and is past its time goes on all the same.
        let Some(combo) = self.open.get_mut(&key) else {
            return false;
        };
        combo.total = combo.total.saturating_add(count);
        combo.untold = combo.untold.saturating_add(count);
        combo.last = now;
        combo.said = message.clone();
        true
    }

    /// Marks a gift that is about to be told by itself, the first of its combo.
    pub fn mark(&self, message: &mut RoomMessage) {
        let has_place = self.open.len() < self.config.open;
        let Some(Content::Gift(gift)) = &mut message.content else {
            return;
        };
        gift.count = gift.count.max(1);
        if !gift.combo_id.is_empty() {
            gift.combo_total = gift.count;
            gift.combo_ended = !has_place;
        }
    }

    /// Opens the combo of a marked gift that was told.
    pub fn open(&mut self, message: &RoomMessage, now: Instant) {
        let Some((key, gift)) = key(message).filter(|(_, gift)| !gift.combo_ended) else {
            return;
        };
        let combo = Combo {
            total: gift.combo_total,
            untold: 0,
            said: message.clone(),
            last: now,
            next: now + self.config.window,
            put_off: now,
        };
        self.open.insert(key, combo);
    }

    /// A message that is due, or with `all` whatever is open as its last one.
    /// The same comes again until [`told`](Self::told) or
    /// [`put_off`](Self::put_off) has it.
    pub fn due(&self, now: Instant, all: bool) -> Option<Telling> {
        let window = self.config.window;
        let mut open = self.open.iter();
        let (key, combo) = open.find(|(_, combo)| all || combo.due(window) <= now)?;
        let ended = all || combo.is_over(window, now);
        let mut message = combo.said.clone();
        if let Some(Content::Gift(gift)) = &mut message.content {
            gift.count = combo.untold;
            gift.combo_total = combo.total;
            gift.combo_ended = ended;
        }
        Some(Telling {
            key: key.clone(),
            ended,
            message,
        })
    }

    /// It was told.
    pub fn told(&mut self, telling: &Telling, now: Instant) {
        if telling.ended {
            self.open.remove(&telling.key);
        } else if let Some(combo) = self.open.get_mut(&telling.key) {
            combo.untold = 0;
            combo.next = now + self.config.window;
        }
    }

    /// It cannot be told now: another window is gathered.
    pub fn put_off(&mut self, telling: &Telling, now: Instant) {
        if let Some(combo) = self.open.get_mut(&telling.key) {
            combo.put_off = now + self.config.window;
        }
    }

    /// When [`due`](Self::due) has something.
    pub fn deadline(&self) -> Option<Instant> {
        let window = self.config.window;
        self.open.values().map(|combo| combo.due(window)).min()
    }
}

/// What a gift's combo goes by; `None`: it belongs to none.
fn key(message: &RoomMessage) -> Option<(Key, &Gift)> {
    let Some(Content::Gift(gift)) = &message.content else {
        return None;
    };
    if gift.combo_id.is_empty() {
        return None;
    }
    let sender = message.from.as_ref()?.user_id.clone();
    let key = (sender, gift.gift_id.clone(), gift.combo_id.clone());
    Some((key, gift))
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::User;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_is_told_at_once_those_that_follow_together_and_the_total_last() {
        let mut combos = Combos::new(ComboConfig::default());
        assert_eq!(give(&mut combos, "a", 1, 0), Some((1, 1, false)));
        assert_eq!(give(&mut combos, "a", 2, 300), None);
        assert_eq!(give(&mut combos, "a", 1, 600), None);
        assert_eq!(combos.deadline(), Some(at(1_000)));
        assert_eq!(tell(&mut combos, 1_000), [(3, 4, false)]);
        assert_eq!(combos.deadline(), Some(at(1_600)));
        assert_eq!(give(&mut combos, "a", 1, 1_500), None);
        assert_eq!(tell(&mut combos, 2_000), [(1, 5, false)]);
        assert_eq!(combos.deadline(), Some(at(2_500)));
        assert_eq!(tell(&mut combos, 2_500), [(0, 5, true)]);
        assert_eq!(combos.deadline(), None);
    }

    #[test]
    fn one_gift_alone_has_its_last_word_too() {
        let mut combos = Combos::new(ComboConfig::default());
        give(&mut combos, "a", 7, 0);
        assert_eq!(tell(&mut combos, 999), []);
        assert_eq!(tell(&mut combos, 1_000), [(0, 7, true)]);
        assert_eq!(give(&mut combos, "a", 1, 1_001), Some((1, 1, false)));
    }

    #[test]
    fn combos_of_others_are_others() {
        let mut combos = Combos::new(ComboConfig::default());
        assert!(give(&mut combos, "a", 1, 0).is_some());
        assert!(give(&mut combos, "b", 1, 0).is_some());
        let mut without = gift("a", 1);
        let Some(Content::Gift(gift)) = &mut without.content else {
            unreachable!()
        };
        gift.combo_id.clear();
        assert!(!combos.gather(&without, at(0)));
        combos.mark(&mut without);
        combos.open(&without, at(0));
        assert_eq!(combos.open.len(), 2);
    }

    #[test]
    fn beyond_the_limit_a_gift_is_a_combo_of_its_own() {
        let config = ComboConfig {
            open: 1,
            ..ComboConfig::default()
        };
        let mut combos = Combos::new(config);
        give(&mut combos, "a", 1, 0);
        assert_eq!(give(&mut combos, "b", 2, 0), Some((2, 2, true)));
        assert_eq!(give(&mut combos, "b", 2, 1), Some((2, 2, true)));
    }

    #[test]
    fn what_cannot_be_told_is_kept_and_told_later() {
        let mut combos = Combos::new(ComboConfig::default());
        give(&mut combos, "a", 1, 0);
        give(&mut combos, "a", 1, 10);
        let telling = combos.due(at(1_000), false).unwrap();
        combos.put_off(&telling, at(1_000));
        assert_eq!(combos.deadline(), Some(at(2_000)));
        assert_eq!(tell(&mut combos, 2_000), [(1, 2, true)]);
        give(&mut combos, "a", 3, 2_000);
        give(&mut combos, "b", 1, 2_000);
        let all = std::iter::from_fn(|| {
            let telling = combos.due(at(2_001), true)?;
            combos.told(&telling, at(2_001));
            Some(figures(&telling.message))
        });
        assert_eq!(all.collect::<Vec<_>>(), [(0, 3, true), (0, 1, true)]);
    }

    proptest! {
        /// Reference: a sum per combo, and the times of its messages.
        #[test]
        fn every_gift_is_in_the_totals_and_every_combo_ends_once(
            steps in prop::collection::vec((0u64..900, 0usize..3, 1u32..9), 1..200)
        ) {
            let mut combos = Combos::new(ComboConfig::default());
            let (mut now, mut given, mut told) = (0, 0u64, 0u64);
            let (mut opened, mut ended) = (0, 0);
            for (ms, who, count) in steps {
                now += ms;
                while let Some(due) = combos.deadline().filter(|due| *due <= at(now)) {
                    for (count, _, last) in tell(&mut combos, due.0 / 1000) {
                        told += u64::from(count);
                        ended += u32::from(last);
                    }
                }
                given += u64::from(count);
                if let Some((count, total, _)) = give(&mut combos, ["a", "b", "c"][who], count, now) {
                    told += u64::from(count);
                    opened += 1;
                    prop_assert_eq!(total, count);
                }
                prop_assert!(told <= given);
            }
            for _ in 0..4 {
                now += 1_000;
                for (count, _, last) in tell(&mut combos, now) {
                    told += u64::from(count);
                    ended += u32::from(last);
                }
            }
            prop_assert_eq!(told, given);
            prop_assert_eq!(opened, ended);
            prop_assert_eq!(combos.deadline(), None);
        }
    }

    /// Gives a gift as a room does; the figures of the message that is told
    /// at once.
    fn give(combos: &mut Combos, who: &str, count: u32, ms: u64) -> Option<(u32, u32, bool)> {
        let mut message = gift(who, count);
        if combos.gather(&message, at(ms)) {
            return None;
        }
        combos.mark(&mut message);
        combos.open(&message, at(ms));
        Some(figures(&message))
    }

    fn tell(combos: &mut Combos, ms: u64) -> Vec<(u32, u32, bool)> {
        let told = std::iter::from_fn(|| {
            let telling = combos.due(at(ms), false)?;
            combos.told(&telling, at(ms));
            Some(figures(&telling.message))
        });
        told.collect()
    }

    fn figures(message: &RoomMessage) -> (u32, u32, bool) {
        match &message.content {
            Some(Content::Gift(gift)) => (gift.count, gift.combo_total, gift.combo_ended),
            other => panic!("no gift: {other:?}"),
        }
    }

    fn gift(who: &str, count: u32) -> RoomMessage {
        RoomMessage {
            from: Some(User {
                user_id: who.into(),
                profile: None,
            }),
            content: Some(Content::Gift(Gift {
                gift_id: "rose".into(),
                combo_id: "c1".into(),
                count,
                ..Gift::default()
            })),
            ..RoomMessage::default()
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }
}
