//! What a deadline costs: `cargo bench --bench wheel`.
//!
//! Prints nanoseconds per operation; asserts nothing, for a loaded machine
//! would fail it.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Duration;

use livegate::clock::{Clock, Instant};
use livegate::id::{SessionId, ShardId};
use livegate::liveness::{Token, Wheel};

const TICK: Duration = Duration::from_millis(250);
const ALLOWANCE: Duration = Duration::from_secs(75);

fn main() {
    println!("{:>9}  {:>34}  {:>9}", "entries", "operation", "ns each");
    for entries in [1_000, 10_000, 100_000, 1_000_000] {
        measure(entries);
    }
}

fn measure(entries: u32) {
    let clock = Clock::system();
    let mut wheel = Wheel::new(TICK, Instant(0));
    let mut tokens: Vec<Token> = Vec::with_capacity(entries as usize);

    let started = clock.now().instant;
    tokens.extend((0..entries).map(|n| wheel.insert(session(n), due(n))));
    report(&clock, started, entries, entries, "insert");

    let started = clock.now().instant;
    for (n, token) in (0..entries).zip(&mut tokens) {
        wheel.cancel(*token);
        *token = wheel.insert(session(n), due(n.wrapping_mul(7)));
    }
    report(&clock, started, entries, entries, "cancel and insert again");

    let ticks = 1_200;
    let mut fired = 0u32;
    let started = clock.now().instant;
    for tick in 1..=ticks {
        wheel.advance(Instant(0) + TICK * tick, |id| {
            black_box(id);
            fired += 1;
        });
    }
    report(
        &clock,
        started,
        entries,
        fired,
        "fire, with the ticks between",
    );
}

fn session(n: u32) -> SessionId {
    SessionId::new(ShardId(0), n, 0)
}

/// Spread over the allowance, as sessions that came one after another are.
fn due(n: u32) -> Instant {
    let spread = ALLOWANCE.as_micros() as u64;
    Instant(spread + u64::from(n) * 7_919 % spread)
}

fn report(clock: &Clock, started: Instant, entries: u32, operations: u32, name: &str) {
    let taken = clock.now().instant.since(started);
    let each = taken.as_nanos() as f64 / f64::from(operations.max(1));
    println!("{entries:>9}  {name:>34}  {each:>9.1}");
}
