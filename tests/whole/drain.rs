//! A planned stop: clients are sent away and told when to come back, lives stay
//! open, and the next process goes on with them.

use std::time::Duration;

use livegate_client::wire::LivePhase;
use livegate_client::{Disconnect, Event, RoomEventKind, TransportPreference};
use livegate_proto::CloseCode;
use tempfile::TempDir;

use crate::hook::Hook;
use crate::people::{Login, Person};
use crate::running::{Running, Setup};

/// What one client was told at the end: to go, and when to come back.
async fn sent_away(person: &mut Person) -> Duration {
    let advised = person
        .until(|event| match event {
            Event::GoAway {
                reconnect_after, ..
            } => Some(*reconnect_after),
            _ => None,
        })
        .await;
    let cause = person
        .until(|event| match event {
            Event::Disconnected(gone) => {
                assert!(gone.retry_in.is_some(), "does not come back");
                Some(gone.cause.clone())
            }
            _ => None,
        })
        .await;
    let Disconnect::Closed {
        code, retry_after, ..
    } = cause
    else {
        panic!("{cause}");
    };
    assert_eq!(code, i32::from(CloseCode::ShuttingDown));
    assert!(retry_after < Duration::from_secs(6) && advised == retry_after);
    retry_after
}

#[tokio::test]
async fn lives_outlast_a_planned_stop_and_clients_come_back_by_themselves() {
    let dir = TempDir::new().unwrap();
    let mut hook = Hook::serve().await;
    let setup = Setup {
        hook: Some(hook.address),
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let mut host = Login::new("host", TransportPreference::Tls)
        .connect(&running)
        .await;
    host.client.create_room("demo", "").await.unwrap();
    let stage = host.client.enter("demo").await.unwrap();
    let started = stage.start_live("take 1", None).await.unwrap();
    let mut viewer = Login::new("anna", TransportPreference::Quic)
        .connect(&running)
        .await;
    viewer.client.enter("demo").await.unwrap();
    assert!(hook.told().await.event_id.ends_with(":started"));

    let public = running.public;
    running.stop();
    sent_away(&mut host).await;
    sent_away(&mut viewer).await;
    // The contract with operators; it usually takes a few tens of milliseconds.
    let stopped = tokio::time::timeout(Duration::from_secs(30), running.stopped());
    stopped.await.expect("a stop ends within 30 s");

    let running = Running::start_at(&dir, &setup, public).await;
    for person in [&mut host, &mut viewer] {
        let live = person
            .until(|event| match event {
                Event::Entered(entered) => {
                    assert!(entered.again);
                    Some(entered.reply.room.clone()?.summary?.live?)
                }
                _ => None,
            })
            .await;
        assert_eq!(live.live_id, started.live_id);
        assert_ne!(live.phase(), LivePhase::Ended);
    }
    stage.send_text("on we go").await.unwrap();
    assert_eq!(viewer.text().await, ("host".into(), "on we go".into()));
    let info = stage.info().await.unwrap();
    assert_eq!(info.live.unwrap().phase(), LivePhase::Live);

    stage.end_live("").await.unwrap();
    viewer
        .room(|kind| matches!(kind, RoomEventKind::LiveEnded { .. }).then_some(()))
        .await;
    let told = hook.told().await;
    assert_eq!(told.event_id, format!("{}:ended", started.live_id));
    assert_eq!(told.body["reason"], "host_ended");
    assert!(hook.is_quiet());
    running.stop();
    running.stopped().await;
}
