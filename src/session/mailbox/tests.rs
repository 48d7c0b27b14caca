//! What is kept and skipped, against models that go one by one.

use livegate_proto::client::Text;
use livegate_proto::codec::PREFIX_LEN;
use proptest::prelude::*;

use super::*;

const CONFIG: MailboxConfig = MailboxConfig {
    bytes: 400,
    frames: 8,
    lag_frames: 8,
    lag_bytes: 400,
};

/// A frame that shows its number, padded to about `len` bytes.
fn frame(number: usize, len: usize) -> Encoded {
    let text = format!("{number:04}{}", "x".repeat(len));
    Encoded::new(&Text { text })
}

fn numbers(mut bytes: &[u8]) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() {
        let end = PREFIX_LEN + u32::from_be_bytes(*prefix) as usize;
        let text: Text = livegate_proto::codec::decode(&bytes[PREFIX_LEN..end]).unwrap();
        numbers.push(text.text[..4].parse().unwrap());
        bytes = &bytes[end..];
    }
    numbers
}

fn everything(mailbox: &mut Mailbox) -> Vec<usize> {
    let mut out = Vec::new();
    mailbox.take(usize::MAX, &mut out);
    numbers(&out)
}

#[test]
fn an_essential_frame_pushes_out_the_oldest_normal_ones() {
    let mut mailbox = Mailbox::default();
    for number in 0..8 {
        mailbox.offer(frame(number, 0), Class::Normal, &CONFIG);
    }
    let offered = mailbox.offer(frame(8, 0), Class::Essential, &CONFIG);
    assert_eq!(offered, Offered::Kept { dropped: 1 });
    assert_eq!(mailbox.take_dropped(), 1);
    assert_eq!(everything(&mut mailbox), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn an_essential_frame_among_essential_ones_overflows() {
    let mut mailbox = Mailbox::default();
    for number in 0..8 {
        mailbox.offer(frame(number, 0), Class::Essential, &CONFIG);
    }
    let offered = mailbox.offer(frame(8, 0), Class::Essential, &CONFIG);
    assert_eq!(offered, Offered::Overflow);
    assert_eq!(mailbox.len(), 8);
}

#[test]
fn a_normal_frame_that_cannot_fit_is_the_one_dropped() {
    let mut mailbox = Mailbox::default();
    mailbox.offer(frame(0, 0), Class::Normal, &CONFIG);
    let offered = mailbox.offer(frame(1, 1_000), Class::Normal, &CONFIG);
    assert_eq!(offered, Offered::Kept { dropped: 1 });
    assert_eq!(everything(&mut mailbox), [0]);
}

#[test]
fn taking_gives_whole_frames_and_at_least_one() {
    let mut mailbox = Mailbox::default();
    mailbox.offer(frame(0, 50), Class::Normal, &CONFIG);
    mailbox.offer(frame(1, 0), Class::Normal, &CONFIG);
    let mut out = Vec::new();
    assert_eq!(mailbox.take(10, &mut out), 1);
    assert_eq!(numbers(&out), [0]);
    assert_eq!(everything(&mut mailbox), [1]);
    assert_eq!(mailbox.bytes(), 0);
}

fn item(seq: u64, class: Class) -> Item {
    Item {
        seq,
        class,
        len: 10,
    }
}

#[test]
fn a_laggard_within_its_budget_skips_nothing() {
    let entries = (1..=8).map(|seq| item(seq, Class::Normal));
    assert_eq!(plan(0, 0, entries, &CONFIG), Plan::Follow);
}

#[test]
fn a_laggard_skips_the_oldest_normal_entries_and_nothing_else() {
    let classes = [Class::Essential, Class::Normal, Class::High, Class::Normal];
    let entries = (1..=12).map(|seq| item(seq, classes[usize::try_from(seq % 4).unwrap()]));
    let skip = Skip {
        count: 4,
        from_seq: 1,
        to_seq: 7,
    };
    assert_eq!(plan(0, 0, entries, &CONFIG), Plan::Skip(skip));
    assert!(skip.covers(item(5, Class::Normal)));
    assert!(!skip.covers(item(6, Class::High)));
    assert!(!skip.covers(item(9, Class::Normal)));
}

#[test]
fn a_cursor_before_the_tail_has_fallen_off() {
    let none = std::iter::empty();
    assert_eq!(plan(4, 5, none.clone(), &CONFIG), Plan::FellOff);
    assert_eq!(plan(5, 5, none, &CONFIG), Plan::Follow);
}

/// Reference model: drop the oldest of the least class, one by one, until the
/// frame fits; give up when nothing may go.
#[derive(Clone, Default)]
struct Model {
    held: Vec<(usize, Class, usize)>,
    dropped: u64,
}

impl Model {
    fn offer(&mut self, number: usize, class: Class, len: usize) -> Offered {
        let before = self.clone();
        while !self.fits(len) {
            let least = (self.held.iter())
                .filter(|(_, held, _)| *held <= class && *held <= Class::Normal)
                .min_by_key(|(number, held, _)| (*held, *number));
            let Some(&(oldest, ..)) = least else {
                *self = before;
                if class >= Class::High {
                    return Offered::Overflow;
                }
                self.dropped += 1;
                return Offered::Kept { dropped: 1 };
            };
            self.held.retain(|(number, ..)| *number != oldest);
            self.dropped += 1;
        }
        self.held.push((number, class, len));
        let dropped = u32::try_from(self.dropped - before.dropped).unwrap();
        Offered::Kept { dropped }
    }

    fn fits(&self, len: usize) -> bool {
        let bytes: usize = self.held.iter().map(|(_, _, len)| len).sum();
        bytes + len <= CONFIG.bytes && self.held.len() < CONFIG.frames
    }
}

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(Class::ALL.to_vec())
}

proptest! {
    #[test]
    fn the_mailbox_keeps_what_the_model_keeps(
        offers in prop::collection::vec((class(), 0usize..200, prop::bool::weighted(0.1)), 0..80),
    ) {
        let (mut mailbox, mut model) = (Mailbox::default(), Model::default());
        for (number, (class, len, take)) in offers.into_iter().enumerate() {
            let frame = frame(number, len);
            let expected = model.offer(number, class, frame.len());
            prop_assert_eq!(mailbox.offer(frame, class, &CONFIG), expected);
            prop_assert!(mailbox.bytes() <= CONFIG.bytes);
            if take {
                let held: Vec<_> = model.held.drain(..).map(|(number, ..)| number).collect();
                prop_assert_eq!(everything(&mut mailbox), held);
            }
        }
        prop_assert_eq!(mailbox.take_dropped(), model.dropped);
        let held: Vec<_> = model.held.into_iter().map(|(number, ..)| number).collect();
        prop_assert_eq!(everything(&mut mailbox), held);
    }

    /// Reference model: walk the entries from the oldest, drop normal ones
    /// while what remains is over the budget.
    #[test]
    fn a_plan_skips_what_a_walk_would(
        entries in prop::collection::vec((class(), 1usize..120), 0..40),
        cursor in 0u64..5,
    ) {
        let items: Vec<Item> = (cursor + 1..)
            .zip(entries)
            .map(|(seq, (class, len))| Item { seq, class, len })
            .collect();
        let mut kept = items.clone();
        let over = |kept: &[Item]| {
            kept.len() > CONFIG.lag_frames
                || kept.iter().map(|item| item.len).sum::<usize>() > CONFIG.lag_bytes
        };
        while over(&kept) {
            let Some(at) = kept.iter().position(|item| item.class <= Class::Normal) else {
                break;
            };
            kept.remove(at);
        }
        let planned = match plan(cursor, cursor, items.iter().copied(), &CONFIG) {
            Plan::Follow => items.clone(),
            Plan::Skip(skip) => {
                let kept: Vec<_> = items.iter().copied().filter(|it| !skip.covers(*it)).collect();
                prop_assert_eq!(skip.count, (items.len() - kept.len()) as u64);
                kept
            }
            Plan::FellOff => unreachable!("the cursor is at the tail"),
        };
        prop_assert_eq!(planned, kept);
    }
}
