//! What a message costs its room's log and each shard that takes it:
//! `cargo bench --bench log`.
//!
//! Prints nanoseconds per frame; asserts nothing, for a loaded machine would
//! fail it.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;

use livegate::clock::{Clock, Instant};
use livegate::dispatch::Class;
use livegate::id::ShardId;
use livegate::rooms::log::{Budget, Log, LogConfig};
use livegate_proto::Encoded;
use livegate_proto::client::{Push, ServerFrame};

const FRAMES: u32 = 1_000_000;
const SHARD: ShardId = ShardId(0);

fn main() {
    println!(
        "{:>6}  {:>6}  {:>22}  {:>9}",
        "bytes", "batch", "operation", "ns each"
    );
    for size in [100, 200, 1_000] {
        let frame = frame(size);
        append(&frame);
        for batch in [1, 16, 64, 256] {
            join(&frame, batch);
        }
    }
}

fn append(frame: &Encoded) {
    let clock = Clock::system();
    let mut log = log();
    let started = clock.now().instant;
    for n in 0..FRAMES {
        let appended = log.append(Class::Normal, at(n), |_, _| frame.clone());
        black_box(&appended).as_ref().expect("nobody is behind");
    }
    report(&clock, started, frame, 1, "append");
}

/// A shard that takes what has come since it was there last.
fn join(frame: &Encoded, batch: u32) {
    let clock = Clock::system();
    let mut log = log();
    log.pin(SHARD, 0);
    let mut run = Vec::new();
    let (mut cursor, mut n) = (0, 0);
    let started = clock.now().instant;
    while n < FRAMES {
        for _ in 0..batch {
            let appended = log.append(Class::Normal, at(n), |_, _| frame.clone());
            appended.expect("the shard keeps up");
            n += 1;
        }
        run.clear();
        cursor = log.join(cursor, usize::MAX, &mut run).cursor;
        log.pin(SHARD, cursor);
        black_box(&run);
    }
    report(&clock, started, frame, batch, "append, join and pin");
}

fn log() -> Log {
    Log::new(1, LogConfig::default(), Arc::new(Budget::new(1 << 30)))
}

/// 40,000 frames a second: the log turns over by its frames, not by its age.
fn at(n: u32) -> Instant {
    Instant(u64::from(n) * 25)
}

fn frame(size: usize) -> Encoded {
    Encoded::new(&ServerFrame {
        pushes: vec![Push {
            room_id: "x".repeat(size),
            ..Push::default()
        }],
        ..ServerFrame::default()
    })
}

fn report(clock: &Clock, started: Instant, frame: &Encoded, batch: u32, name: &str) {
    let taken = clock.now().instant.since(started);
    let each = taken.as_nanos() as f64 / f64::from(FRAMES);
    println!("{:>6}  {batch:>6}  {name:>22}  {each:>9.1}", frame.len());
}
