//! The store as its users see it, on a real file.

mod budget;
mod disk;
mod faults;
mod model;

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::clock::{Moment, Unix};
use crate::engine::record::{EndRecord, LiveRecord, RoomRecord};
use crate::engine::{
    CommitFailed, DeadLetter, Engine, Fact, OrderKey, OutboxRow, Row, RowKind, Settlement, Subject,
};
use crate::event::{EndReason, LiveStats};
use crate::id::{AppId, LiveId, RoomId, RoomKey};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let (engine, recovered, mut outcomes) = open(&dir);
    assert_eq!(recovered.alive, None);
    engine.submit(started(1)).unwrap();
    engine.submit(started(2)).unwrap();
    engine.submit(ended(1)).unwrap();
    engine.submit(room("r")).unwrap();
    for _ in 0..4 {
        assert_eq!(outcomes.recv().await.unwrap().result, Ok(()));
    }
    engine.close();
    let (_engine, recovered, _outcomes) = open(&dir);
    assert_eq!(recovered.open, vec![live(2)]);
    assert_eq!(recovered.ended, vec![ended_live(1)]);
    assert_eq!(recovered.rooms[0].0, room_key("r"));
    assert_eq!(recovered.outbox, 3);
    assert!(recovered.alive.is_some());
}

#[tokio::test]
async fn an_end_that_is_repeated_is_recorded_and_queued_once() {
    let dir = TempDir::new().unwrap();
    let (engine, _, mut outcomes) = open(&dir);
    let other = Commit {
        facts: vec![Fact::Live(
            id(1),
            LiveRecord {
                end: Some(EndRecord {
                    reason: EndReason::Kicked.wire().into(),
                    ..EndRecord::default()
                }),
                ..live(1)
            },
        )],
        ..ended(1)
    };
    for commit in [started(1), ended(1), ended(1), other, started(1)] {
        engine.submit(commit).unwrap();
        assert_eq!(outcomes.recv().await.unwrap().result, Ok(()));
    }
    let rows = engine.outbox().rows(order_key("r1"), 0, 10).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.event_id.as_str()).collect();
    assert_eq!(ids, ["1:started", "1:ended"]);
    engine.close();
    let (_engine, recovered, _outcomes) = open(&dir);
    assert_eq!(recovered.ended, vec![ended_live(1)]);
    assert!(recovered.open.is_empty());
}

#[tokio::test]
async fn a_snapshot_changes_an_open_live_and_no_ended_one() {
    let dir = TempDir::new().unwrap();
    let (engine, _, mut outcomes) = open(&dir);
    let stats = LiveStats {
        likes: 5,
        ..LiveStats::default()
    };
    engine.submit(started(1)).unwrap();
    engine.submit(started(2)).unwrap();
    engine.submit(ended(2)).unwrap();
    for live in [1, 2, 3] {
        engine
            .submit(quiet(Fact::LiveStats(id(live), stats)))
            .unwrap();
    }
    for _ in 0..3 {
        outcomes.recv().await.unwrap();
    }
    engine.close();
    let (_engine, recovered, _outcomes) = open(&dir);
    assert_eq!(recovered.open[0].stats, Some(stats.into()));
    assert_eq!(recovered.ended, vec![ended_live(2)]);
    assert_eq!(recovered.open.len(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_starts_and_still_takes_ends() {
    let dir = TempDir::new().unwrap();
    let config = EngineConfig {
        queue: 2,
        queue_reserve: 1,
        ..config(&dir)
    };
    // The writer is not driven, so that nothing leaves the queue.
    let (engine, _, _outcomes, _stepper) =
        Engine::open_stepped(&config, Clock::system(), Metrics::new(1)).unwrap();
    engine.submit(started(1)).unwrap();
    engine.submit(started(2)).unwrap();
    assert_eq!(engine.submit(started(3)), Err(Full));
    engine.submit(ended(1)).unwrap();
    assert_eq!(engine.submit(ended(2)), Err(Full));
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let dir = TempDir::new().unwrap();
    let (_engine, _, _outcomes) = open(&dir);
    let second = Engine::open(&config(&dir), Clock::system(), Metrics::new(1));
    let text = second.unwrap_err().to_string();
    assert!(
        text.contains(&format!("pid {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains("--data"), "{text}");
}

#[tokio::test]
async fn the_outbox_gives_rows_in_order_per_key_until_they_are_settled() {
    let dir = TempDir::new().unwrap();
    let (engine, _, _outcomes) = open(&dir);
    let outbox = engine.outbox();
    for (key, event) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")] {
        engine.submit(tell(key, event)).unwrap();
    }
    let mut told = Vec::new();
    while told.len() < 4 {
        told.extend(outbox.changed().await.keys);
    }
    assert_eq!(told, ["a", "b", "a", "a"].map(order_key));
    assert_eq!(
        outbox.keys(None, 10).await.unwrap(),
        ["a", "b"].map(order_key)
    );
    assert_eq!(
        outbox.keys(Some(order_key("a")), 10).await.unwrap(),
        ["b"].map(order_key)
    );
    let rows = outbox.rows(order_key("a"), 0, 2).await.unwrap();
    assert_eq!(events(&rows), ["a1", "a2"]);
    outbox.settle(rows[0].seq, Settlement::Done);
    let cause = "503".to_owned();
    outbox.settle(rows[1].seq, Settlement::Dead { cause });
    let rows = outbox.rows(order_key("a"), 0, 9).await.unwrap();
    assert_eq!(events(&rows), ["a3"]);
    let dead: Vec<DeadLetter> = outbox.dead_letters(0, 9).await.unwrap();
    assert_eq!(dead[0].row.event_id, "a2");
    assert_eq!(dead[0].cause, "503");
    engine.close();
    let (_engine, recovered, _outcomes) = open(&dir);
    assert_eq!(recovered.outbox, 2);
}

#[tokio::test]
async fn a_reader_of_a_closed_store_is_told() {
    let dir = TempDir::new().unwrap();
    let (engine, _, _outcomes) = open(&dir);
    engine.close();
    assert!(engine.outbox().keys(None, 1).await.is_err());
    assert_eq!(engine.submit(started(1)), Err(Full));
}

#[tokio::test(start_paused = true)]
async fn ended_lives_and_dead_letters_are_forgotten_in_time() {
    let dir = TempDir::new().unwrap();
    let clock = Clock::simulated(Unix(1_700_000_000_000));
    let config = EngineConfig {
        alive_every: Duration::from_secs(24 * 3_600),
        keep_dead: Duration::from_secs(3_600),
        keep_ended: Duration::from_secs(3_600),
        ..config(&dir)
    };
    let (engine, _, mut outcomes, stepper) =
        Engine::open_stepped(&config, clock.clone(), Metrics::new(1)).unwrap();
    let driver = tokio_util::task::TaskTracker::new().spawn(stepper.run());
    engine.submit(started(1)).unwrap();
    engine.submit(ended_at(1, clock.now().unix)).unwrap();
    engine.submit(tell("a", "a1")).unwrap();
    outcomes.recv().await.unwrap();
    outcomes.recv().await.unwrap();
    let rows = engine.outbox().rows(order_key("a"), 0, 9).await.unwrap();
    let cause = String::new();
    engine
        .outbox()
        .settle(rows[0].seq, Settlement::Dead { cause });
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert!(engine.outbox().dead_letters(0, 9).await.unwrap().is_empty());
    engine.close();
    driver.await.unwrap();
    let all = EngineConfig {
        keep_ended: Duration::MAX,
        ..config
    };
    let (_engine, recovered, _outcomes) = Engine::open(&all, clock, Metrics::new(1)).unwrap();
    assert!(recovered.ended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_process_notes_that_it_is_alive_without_being_asked() {
    let dir = TempDir::new().unwrap();
    let clock = Clock::simulated(Unix(1_000_000));
    let (engine, _, _outcomes, stepper) =
        Engine::open_stepped(&config(&dir), clock.clone(), Metrics::new(1)).unwrap();
    let driver = tokio_util::task::TaskTracker::new().spawn(stepper.run());
    tokio::time::sleep(Duration::from_secs(21)).await;
    engine.close();
    driver.await.unwrap();
    let (_engine, recovered, _outcomes) = open(&dir);
    let alive = recovered.alive.unwrap();
    assert!(
        (Unix(1_015_000)..=Unix(1_021_000)).contains(&alive),
        "{alive:?}"
    );
}

fn open(dir: &TempDir) -> (Engine, Recovered, mpsc::Receiver<Outcome>) {
    Engine::open(&config(dir), Clock::system(), Metrics::new(1)).unwrap()
}

fn config(dir: &TempDir) -> EngineConfig {
    EngineConfig {
        dir: dir.path().to_owned(),
        ..EngineConfig::default()
    }
}

fn started(live_id: u128) -> Commit {
    Commit {
        subject: Subject::LiveStarted(room_key(&format!("r{live_id}")), id(live_id)),
        facts: vec![Fact::Live(id(live_id), live(live_id))],
        outbox: vec![row(&format!("r{live_id}"), &format!("{live_id}:started"))],
        reserve: false,
    }
}

/// Ended lately, so that it is not forgotten at once.
fn ended(live_id: u128) -> Commit {
    ended_at(live_id, Unix(ended_live(live_id).end.unwrap().ended_ms))
}

fn ended_at(live_id: u128, at: Unix) -> Commit {
    let mut record = ended_live(live_id);
    record.end.as_mut().unwrap().ended_ms = at.0;
    Commit {
        subject: Subject::LiveEnded(room_key(&format!("r{live_id}")), id(live_id)),
        facts: vec![Fact::Live(id(live_id), record)],
        outbox: vec![row(&format!("r{live_id}"), &format!("{live_id}:ended"))],
        reserve: true,
    }
}

fn tell(key: &str, event: &str) -> Commit {
    Commit {
        subject: Subject::Quiet,
        facts: Vec::new(),
        outbox: vec![row(key, event)],
        reserve: false,
    }
}

fn quiet(fact: Fact) -> Commit {
    Commit {
        subject: Subject::Quiet,
        facts: vec![fact],
        outbox: Vec::new(),
        reserve: false,
    }
}

fn room(name: &str) -> Commit {
    let record = RoomRecord {
        app: 1,
        room: name.to_owned(),
        ..RoomRecord::default()
    };
    Commit {
        subject: Subject::Room(room_key(name)),
        ..quiet(Fact::Room(room_key(name), record))
    }
}

fn row(key: &str, event: &str) -> OutboxRow {
    OutboxRow {
        order_key: key.to_owned(),
        event_id: event.to_owned(),
        app: AppId(1),
        body: Bytes::from(vec![b'x'; 300]),
        kind: RowKind::Fact,
        query: String::new(),
    }
}

fn live(live_id: u128) -> LiveRecord {
    LiveRecord {
        app: 1,
        room: format!("r{live_id}"),
        live: id(live_id).to_string(),
        host: "h".into(),
        ..LiveRecord::default()
    }
}

fn ended_live(live_id: u128) -> LiveRecord {
    LiveRecord {
        end: Some(EndRecord {
            ended_ms: u64::MAX / 2,
            reason: EndReason::HostEnded.wire().into(),
            detection_ms: 0,
        }),
        ..live(live_id)
    }
}

fn events(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.event_id.as_str()).collect()
}

fn order_key(key: &str) -> OrderKey {
    OrderKey {
        app: AppId(1),
        key: key.into(),
    }
}

fn room_key(name: &str) -> RoomKey {
    RoomKey {
        app: AppId(1),
        room: RoomId::new(name).unwrap(),
    }
}

fn id(number: u128) -> LiveId {
    LiveId(uuid::Uuid::from_u128(number))
}
