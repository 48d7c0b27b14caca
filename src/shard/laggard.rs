//! What a subscriber that fell behind is given of a room's log.
//!
//! Pure: the policy of classes says what it skips, the run says how much it
//! gets at once.

use crate::rooms::log::Entry;
use crate::session::mailbox::{Item, MailboxConfig, Plan, Skip, plan};

/// One run for one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served {
    /// Everything up to this seq was copied or skipped.
    pub(crate) cursor: u64,
    /// Frames copied.
    pub(crate) frames: u32,
    /// How many of each class, in the order of `Class::ALL`.
    pub(crate) classes: [u32; 4],
    /// What this run skipped.
    pub(crate) skipped: Option<Skipped>,
}

/// Entries that a run left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// How many, the first and the last.
    pub(crate) skip: Skip,
    /// Where in the run's output the first of them would have stood.
    pub(crate) at: usize,
}

impl Skipped {
    fn first(seq: u64, at: usize) -> Self {
        let skip = Skip {
            count: 0,
            from_seq: seq,
            to_seq: seq,
        };
        Self { skip, at }
    }
}

/// How much of a log a run may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// Entries after this seq ...
    pub(crate) after: u64,
    /// ... and up to this one.
    pub(crate) to: u64,
    /// Most bytes copied, but at least one frame.
    pub(crate) max_bytes: usize,
}

/// Copies a subscriber's next run to `out`; `None` when the log (whose oldest
/// entry follows `tail`) no longer holds what it needs.
pub(crate) fn serve<'a>(
    stretch: Stretch,
    tail: u64,
    entries: impl Iterator<Item = &'a Entry> + Clone,
    config: &MailboxConfig,
    out: &mut Vec<u8>,
) -> Option<Served> {
    let skip = match plan(stretch.after, tail, entries.clone().map(item), config) {
        Plan::FellOff => return None,
        Plan::Follow => None,
        Plan::Skip(skip) => Some(skip),
    };
    let start = out.len();
    let mut served = Served {
        cursor: stretch.after,
        frames: 0,
        classes: [0; 4],
        skipped: None,
    };
    for entry in entries.take_while(|entry| entry.seq <= stretch.to) {
        if skip.is_some_and(|skip| skip.covers(item(entry))) {
            let at = out.len();
            let skipped = served
                .skipped
                .get_or_insert_with(|| Skipped::first(entry.seq, at));
            skipped.skip.count += 1;
            skipped.skip.to_seq = entry.seq;
        } else {
            let frame = entry.frame.prefixed();
            if served.frames > 0 && out.len() - start + frame.len() > stretch.max_bytes {
                break;
            }
            out.extend_from_slice(frame);
            served.frames += 1;
            served.classes[entry.class as usize] += 1;
        }
        served.cursor = entry.seq;
    }
    Some(served)
}

fn item(entry: &Entry) -> Item {
    Item {
        seq: entry.seq,
        class: entry.class,
        len: entry.frame.len(),
    }
}

#[cfg(test)]
mod tests {
    use livegate_proto::Encoded;
    use livegate_proto::client::{Push, ServerFrame};

    use super::*;
    use crate::clock::Instant;
    use crate::dispatch::Class;

    fn log(classes: &[Class]) -> Vec<Entry> {
        (1..)
            .zip(classes)
            .map(|(seq, class)| Entry {
                seq,
                class: *class,
                frame: Encoded::new(&ServerFrame {
                    pushes: vec![Push {
                        seq,
                        ..Push::default()
                    }],
                    ..ServerFrame::default()
                }),
                at: Instant(0),
            })
            .collect()
    }

    fn allow(lag_frames: usize) -> MailboxConfig {
        MailboxConfig {
            lag_frames,
            ..MailboxConfig::default()
        }
    }

    const ALL: Stretch = Stretch {
        after: 0,
        to: u64::MAX,
        max_bytes: usize::MAX,
    };

    #[test]
    fn within_its_lag_it_gets_everything() {
        let entries = log(&[Class::Normal; 5]);
        let mut out = Vec::new();
        let served = serve(ALL, 0, entries.iter(), &allow(5), &mut out).unwrap();
        assert_eq!((served.cursor, served.frames, served.skipped), (5, 5, None));
    }

    #[test]
    fn beyond_its_lag_the_oldest_normal_ones_are_skipped_and_named() {
        let mut classes = [Class::Normal; 9];
        classes[0] = Class::High;
        classes[2] = Class::Essential;
        let entries = log(&classes);
        let mut out = vec![0; 7];
        let served = serve(ALL, 0, entries.iter(), &allow(6), &mut out).unwrap();
        let skip = Skip {
            count: 3,
            from_seq: 2,
            to_seq: 5,
        };
        let at = 7 + entries[0].frame.len();
        assert_eq!(served.skipped, Some(Skipped { skip, at }));
        assert_eq!((served.cursor, served.frames), (9, 6));
    }

    #[test]
    fn one_whose_next_entry_is_gone_is_not_served() {
        let entries = log(&[Class::Normal; 5]);
        let behind = entries[2..].iter();
        assert_eq!(serve(ALL, 2, behind, &allow(9), &mut Vec::new()), None);
    }

    #[test]
    fn it_never_gets_ahead_of_its_shard() {
        let entries = log(&[Class::Normal; 5]);
        let stretch = Stretch { to: 3, ..ALL };
        let mut out = Vec::new();
        let served = serve(stretch, 0, entries.iter(), &allow(9), &mut out).unwrap();
        assert_eq!(served.cursor, 3);
    }

    #[test]
    fn a_run_is_bounded_but_always_moves() {
        let entries = log(&[Class::High; 5]);
        let stretch = Stretch {
            max_bytes: 1,
            ..ALL
        };
        let mut out = Vec::new();
        let served = serve(stretch, 0, entries.iter(), &allow(9), &mut out).unwrap();
        assert_eq!((served.cursor, served.frames), (1, 1));
    }
}
