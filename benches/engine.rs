//! What a durable commit costs: `cargo bench --bench engine`.
//!
//! Each commit is the start of a live with its outbox row, as a room submits
//! it. Prints for each group limit; asserts nothing, for the disk decides.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Duration;

use livegate::callback::payload;
use livegate::clock::{Clock, Unix};
use livegate::engine::record::LiveRecord;
use livegate::engine::{Commit, Engine, EngineConfig, Fact, Outcome, Subject};
use livegate::event::LiveStarted;
use livegate::id::{AppId, LiveId, RoomId, RoomKey, UserId};
use livegate::telemetry::Metrics;
use tokio::sync::mpsc;

/// How long each line is measured.
const SPAN: Duration = Duration::from_secs(2);

fn main() {
    println!(
        "{:>6}  {:>8}  {:>12}  {:>10}",
        "group", "rounds", "ms each", "commits/s"
    );
    for group in [1, 8, 64, 512] {
        measure(group);
    }
}

fn measure(group: usize) {
    let dir = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = EngineConfig {
        dir: dir.path().to_owned(),
        group,
        ..EngineConfig::default()
    };
    let clock = Clock::system();
    let (engine, _, mut outcomes) = Engine::open(&config, clock.clone(), Metrics::new(1)).unwrap();
    let begun = clock.now().instant;
    let (mut number, mut rounds) = (0, 0_u32);
    while clock.now().instant.since(begun) < SPAN {
        for _ in 0..group {
            number += 1;
            engine.submit(start(number)).unwrap();
        }
        wait(&mut outcomes, group);
        rounds += 1;
    }
    let taken = clock.now().instant.since(begun).as_secs_f64();
    engine.close();
    let each = taken * 1e3 / f64::from(rounds);
    let rate = number as f64 / taken;
    println!("{group:>6}  {rounds:>8}  {each:>12.2}  {rate:>10.0}");
}

fn wait(outcomes: &mut mpsc::Receiver<Outcome>, count: usize) {
    for _ in 0..count {
        outcomes.blocking_recv().unwrap().result.unwrap();
    }
}

fn start(number: u128) -> Commit {
    let live = LiveId(uuid::Uuid::from_u128(number));
    let fact = LiveStarted {
        app: AppId(1),
        room: RoomId::new(&format!("room-{number}")).unwrap(),
        live,
        host: UserId::new("host").unwrap(),
        started: Unix(1_700_000_000_000),
    };
    let record = LiveRecord {
        app: 1,
        room: fact.room.to_string(),
        live: live.to_string(),
        host: fact.host.to_string(),
        start_id: number.to_string(),
        started_ms: fact.started.0,
        ..LiveRecord::default()
    };
    let key = RoomKey {
        app: fact.app,
        room: fact.room.clone(),
    };
    Commit {
        subject: Subject::LiveStarted(key, live),
        facts: vec![Fact::Live(live, record)],
        outbox: vec![payload::live_started(&fact)],
        reserve: false,
    }
}
