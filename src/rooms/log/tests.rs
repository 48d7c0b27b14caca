//! The log by case, and against a model of everything that was appended.

use livegate_proto::client::{Push, ServerFrame};
use proptest::prelude::*;

use super::*;

#[test]
fn a_log_that_holds_nothing_owns_no_buffer() {
    let mut log = log(LogConfig::default(), 1 << 20);
    assert_eq!(log.entries.capacity(), 0);
    append(&mut log, Class::Normal, 10, 0).unwrap();
    log.trim(Instant::from_millis(119_999));
    assert_eq!(log.tail(), 0);
    log.trim(Instant::from_millis(120_000));
    assert_eq!((log.tail(), log.head(), log.bytes()), (1, 1, 0));
    assert_eq!(log.entries.capacity(), 0);
}

#[test]
fn a_shard_that_is_behind_makes_normal_and_high_wait_but_not_essential() {
    let mut log = log(small(), 1 << 20);
    log.pin(ShardId(0), 0);
    for _ in 0..8 {
        append(&mut log, Class::Normal, 10, 0).unwrap();
    }
    assert_eq!(append(&mut log, Class::Normal, 10, 0), Err(Refused::Full));
    assert_eq!(append(&mut log, Class::High, 10, 0), Err(Refused::Full));
    assert_eq!(append(&mut log, Class::Essential, 10, 0), Ok(9));
    log.pin(ShardId(0), 2);
    assert_eq!(append(&mut log, Class::Normal, 10, 0), Ok(10));
    assert_eq!(log.tail(), 2);
}

#[test]
fn an_essential_entry_beyond_its_reserve_breaks_the_pin_and_the_loss_is_told() {
    let mut log = log(small(), 1 << 20);
    log.pin(ShardId(0), 0);
    for _ in 0..11 {
        append(&mut log, Class::Essential, 10, 0).unwrap();
    }
    let joined = log.join(0, usize::MAX, &mut Vec::new());
    assert_eq!((joined.lost, joined.frames, joined.cursor), (1, 10, 11));
}

#[test]
fn a_join_stops_at_the_limit_but_gives_at_least_one_frame() {
    let mut log = log(LogConfig::default(), 1 << 20);
    for _ in 0..3 {
        append(&mut log, Class::Normal, 100, 0).unwrap();
    }
    let mut out = b"x".to_vec();
    let first = log.join(0, 10, &mut out);
    assert_eq!((first.cursor, first.frames), (1, 1));
    let rest = log.join(1, usize::MAX, &mut out);
    assert_eq!((rest.cursor, rest.frames), (3, 2));
    assert_eq!(out.len(), 1 + log.bytes());
    let none = log.join(3, usize::MAX, &mut out);
    assert_eq!((none.cursor, none.frames), (3, 0));
}

#[test]
fn history_gives_way_before_anybody_is_refused_for_the_budget() {
    let budget = Arc::new(Budget::new(40_000));
    let limits = LogConfig {
        bytes: 64 << 10,
        ..LogConfig::default()
    };
    let mut first = Log::new(1, limits, Arc::clone(&budget));
    let mut second = Log::new(1, limits, Arc::clone(&budget));
    for _ in 0..600 {
        append(&mut first, Class::Normal, 100, 0).unwrap();
    }
    append(&mut second, Class::Normal, 100, 0).unwrap();
    assert!(budget.used() <= 21_000, "{} bytes", budget.used());
    drop(first);
    assert_eq!(budget.used(), second.bytes());
    drop(second);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_log_under_pressure_keeps_less_history() {
    let budget = Arc::new(Budget::new(1 << 20));
    budget.take(900 << 10);
    let limits = LogConfig {
        bytes: 64 << 10,
        ..LogConfig::default()
    };
    let mut log = Log::new(1, limits, budget);
    for _ in 0..100 {
        append(&mut log, Class::Normal, 100, 0).unwrap();
    }
    assert!(log.bytes() <= 1 << 10, "{} bytes", log.bytes());
}

#[derive(Debug, Clone)]
enum Step {
    Append(Class, usize),
    /// A shard takes up to so many bytes.
    Take(u16, usize),
    Join(u16),
    Leave(u16),
    Wait(u64),
    Read(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![
        6 => Just(Class::Normal),
        2 => Just(Class::High),
        1 => Just(Class::Essential)
    ];
    let step = prop_oneof![
        8 => (class, 0usize..60).prop_map(|(class, size)| Step::Append(class, size)),
        4 => (0u16..3, 1usize..200).prop_map(|(shard, max)| Step::Take(shard, max)),
        1 => (0u16..3).prop_map(Step::Join),
        1 => (0u16..3).prop_map(Step::Leave),
        1 => (0u64..80_000).prop_map(Step::Wait),
        2 => (0u64..200).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// Reference model: every frame ever appended, in a `Vec`. The log
    /// holds a suffix of it; each shard gets each frame once, in order,
    /// from where it joined, unless essential entries broke its pin.
    #[test]
    fn the_log_is_a_suffix_of_everything_and_loses_nothing_that_is_pinned(steps in steps()) {
        let limits = small();
        let mut log = log(limits, 700);
        let mut all: Vec<Encoded> = Vec::new();
        let mut shards: [Option<u64>; 3] = [None; 3];
        let mut now = 0;
        for step in steps {
            match step {
                Step::Append(class, size) => {
                    let before = log.head();
                    let slowest = shards.iter().flatten().min().copied().unwrap_or(before);
                    match append(&mut log, class, size, now) {
                        Ok(seq) => {
                            prop_assert_eq!(seq, before + 1);
                            all.push(log.after(before).next().unwrap().frame.clone());
                            if class != Class::Essential {
                                prop_assert!(log.tail() <= slowest);
                                prop_assert!(log.after(0).len() <= limits.frames);
                                prop_assert!(log.bytes() <= limits.bytes);
                                prop_assert!(log.budget.used() <= 700);
                            }
                            let most = limits.frames + limits.reserve_frames;
                            prop_assert!(log.after(0).len() <= most);
                            let most = limits.bytes + limits.reserve_bytes;
                            prop_assert!(log.bytes() <= most);
                        }
                        Err(_) => {
                            prop_assert!(class != Class::Essential);
                            prop_assert_eq!(log.head(), before);
                            prop_assert!(slowest < before, "refused though nobody is behind");
                        }
                    }
                }
                Step::Take(shard, max) => {
                    let Some(cursor) = shards[usize::from(shard)] else { continue };
                    let mut out = Vec::new();
                    let joined = log.join(cursor, max, &mut out);
                    let from = cursor + joined.lost;
                    prop_assert_eq!(joined.lost, log.tail().saturating_sub(cursor));
                    prop_assert_eq!(u64::from(joined.frames), joined.cursor - from);
                    prop_assert_eq!(out, bytes_of(&all, from, joined.cursor));
                    prop_assert!(joined.frames > 0 || from == log.head());
                    log.pin(ShardId(shard), joined.cursor);
                    shards[usize::from(shard)] = Some(joined.cursor);
                }
                Step::Join(shard) => {
                    let slot = &mut shards[usize::from(shard)];
                    if slot.is_none() {
                        *slot = Some(log.head());
                        log.pin(ShardId(shard), log.head());
                    }
                }
                Step::Leave(shard) => {
                    shards[usize::from(shard)] = None;
                    log.unpin(ShardId(shard));
                }
                Step::Wait(ms) => {
                    now += ms;
                    log.trim(Instant::from_millis(now));
                    let slowest = shards.iter().flatten().min().copied().unwrap_or_else(|| log.head());
                    let old = |e: &Entry| e.at + limits.age <= Instant::from_millis(now);
                    let kept = log.after(0).next();
                    prop_assert!(kept.is_none_or(|e| !old(e) || e.seq > slowest));
                }
                Step::Read(cursor) => {
                    let read: Vec<u64> = log.after(cursor).map(|e| e.seq).collect();
                    let first = cursor.clamp(log.tail(), log.head()) + 1;
                    let expected: Vec<u64> = (first..=log.head()).collect();
                    prop_assert_eq!(read, expected);
                }
            }
            let held: usize = log.after(0).map(|e| e.frame.len()).sum();
            prop_assert_eq!(log.bytes(), held);
            prop_assert_eq!(log.budget.used(), held);
        }
    }
}

fn bytes_of(all: &[Encoded], from: u64, to: u64) -> Vec<u8> {
    let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
    all[range]
        .iter()
        .flat_map(|f| f.prefixed().to_vec())
        .collect()
}

fn small() -> LogConfig {
    LogConfig {
        frames: 8,
        bytes: 600,
        reserve_frames: 2,
        reserve_bytes: 200,
        ..LogConfig::default()
    }
}

fn log(limits: LogConfig, budget: usize) -> Log {
    Log::new(7, limits, Arc::new(Budget::new(budget)))
}

fn append(log: &mut Log, class: Class, size: usize, ms: u64) -> Result<u64, Refused> {
    log.append(class, Instant::from_millis(ms), |epoch, seq| {
        Encoded::new(&ServerFrame {
            pushes: vec![Push {
                room_id: "x".repeat(size),
                epoch,
                seq,
                ..Push::default()
            }],
            ..ServerFrame::default()
        })
    })
}
