//! The outbox's disk budget and its dead letters.

use super::*;
use crate::engine::Which;
use crate::telemetry::RowClass;

const KINDS: [(RowKind, RowClass); 3] = [
    (RowKind::Fact, RowClass::Fact),
    (RowKind::Message, RowClass::Message),
    (RowKind::Presence, RowClass::Presence),
];

#[tokio::test]
async fn near_the_budget_presence_is_shed_first_then_messages_never_facts_each_counted() {
    let dir = TempDir::new().unwrap();
    let config = EngineConfig {
        outbox_bytes: 40_000,
        ..config(&dir)
    };
    let metrics = Metrics::new(1);
    let (engine, _, _outcomes) = Engine::open(&config, Clock::system(), metrics.clone()).unwrap();
    for number in 0..600 {
        for (kind, _) in KINDS {
            let told = OutboxRow {
                kind,
                ..row("r", &format!("{kind:?}{number}"))
            };
            engine.submit(telling(told)).unwrap();
        }
    }
    // What is asked after the commits is answered after them.
    let rows = engine
        .outbox()
        .rows(order_key("r"), 0, 10_000)
        .await
        .unwrap();
    let count = |kind: RowKind| {
        let of_kind = |row: &&Row| row.event_id.starts_with(&format!("{kind:?}"));
        rows.iter().filter(of_kind).count() as u64
    };
    for (kind, class) in KINDS {
        let shed = metrics.outbox().shed_count(class);
        assert_eq!(count(kind) + shed, 600, "{kind:?}");
    }
    assert_eq!(count(RowKind::Fact), 600);
    assert!(count(RowKind::Presence) < count(RowKind::Message));
    assert!(count(RowKind::Message) < 600);
    for row in rows {
        engine.outbox().settle(row.seq, Settlement::Done);
    }
    let last = OutboxRow {
        kind: RowKind::Presence,
        ..row("r", "at the end there is room again")
    };
    engine.outbox().keys(None, 1).await.unwrap();
    engine.submit(telling(last)).unwrap();
    let rows = engine.outbox().rows(order_key("r"), 0, 10).await.unwrap();
    assert_eq!(events(&rows), ["at the end there is room again"]);
    engine.close();
}

#[tokio::test]
async fn dead_letters_are_told_again_behind_what_waits_or_forgotten() {
    let dir = TempDir::new().unwrap();
    let (engine, _, _outcomes) = open(&dir);
    let outbox = engine.outbox();
    for event in ["1", "2", "3"] {
        engine.submit(tell("r", event)).unwrap();
    }
    let rows = outbox.rows(order_key("r"), 0, 10).await.unwrap();
    for row in &rows {
        let cause = "status 500".to_owned();
        outbox.settle(row.seq, Settlement::Dead { cause });
    }
    engine.submit(tell("r", "4")).unwrap();
    let dead = outbox.dead_letters(0, 10).await.unwrap();
    assert_eq!(outbox.changed().await.keys.len(), 4);
    assert_eq!(dead.len(), 3);
    let gone = Which::Places(vec![dead[1].row.seq, 999]);
    assert_eq!(outbox.forget(gone).await, Ok(1));
    assert_eq!(outbox.replay(Which::Oldest(Some(AppId(2)))).await, Ok(0));
    assert_eq!(outbox.replay(Which::Oldest(Some(AppId(1)))).await, Ok(2));
    assert_eq!(outbox.changed().await.keys, vec![order_key("r"); 2]);
    let rows = outbox.rows(order_key("r"), 0, 10).await.unwrap();
    assert_eq!(events(&rows), ["4", "1", "3"]);
    assert_eq!(rows[1].body, dead[0].row.body);
    assert!(outbox.dead_letters(0, 10).await.unwrap().is_empty());
    engine.close();
}

fn telling(row: OutboxRow) -> Commit {
    Commit {
        outbox: vec![row],
        ..tell("", "")
    }
}
