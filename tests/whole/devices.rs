//! How many sessions a user may hold, and which login displaces which.

use livegate_client::wire::{LivePhase, Platform, Role};
use livegate_client::{Disconnect, Event, RoomEventKind, TransportPreference};
use livegate_proto::CloseCode;
use tempfile::TempDir;

use crate::people::{Login, Person};
use crate::running::{Running, Setup};

fn on(platform: Platform) -> Login {
    Login {
        platform,
        ..Login::new("ada", TransportPreference::Tls)
    }
}

async fn running(dir: &TempDir, app: &'static str) -> Running {
    let setup = Setup {
        app,
        ..Setup::default()
    };
    Running::start(dir, &setup).await
}

/// Waits until this session is told that another took its place.
async fn displaced(person: &mut Person) {
    let cause = person
        .until(|event| match event {
            Event::Disconnected(gone) => {
                assert_eq!(gone.retry_in, None, "would displace the other in turn");
                Some(gone.cause.clone())
            }
            _ => None,
        })
        .await;
    let Disconnect::Closed { code, .. } = cause else {
        panic!("{cause}");
    };
    assert_eq!(code, i32::from(CloseCode::Displaced));
}

#[tokio::test]
async fn one_session_in_all() {
    let dir = TempDir::new().unwrap();
    let running = running(&dir, "devices = { policy = \"one\" }").await;
    let mut phone = on(Platform::Android).connect(&running).await;
    let web = on(Platform::Web).connect(&running).await;
    displaced(&mut phone).await;
    web.client.list_rooms(1, "").await.unwrap();
}

#[tokio::test]
async fn one_session_on_each_platform() {
    let dir = TempDir::new().unwrap();
    let running = running(&dir, "devices = { policy = \"one_per_platform\" }").await;
    let mut old = on(Platform::Android).connect(&running).await;
    let web = on(Platform::Web).connect(&running).await;
    let new = on(Platform::Android).connect(&running).await;
    displaced(&mut old).await;
    for still_here in [web, new] {
        still_here.client.list_rooms(1, "").await.unwrap();
    }
}

#[tokio::test]
async fn many_sessions_up_to_a_limit() {
    let dir = TempDir::new().unwrap();
    let running = running(&dir, "devices = { policy = \"many\", max_sessions = 2 }").await;
    let mut first = on(Platform::Android).connect(&running).await;
    let second = on(Platform::Android).connect(&running).await;
    let third = on(Platform::Android).connect(&running).await;
    displaced(&mut first).await;
    for still_here in [second, third] {
        still_here.client.list_rooms(1, "").await.unwrap();
    }
}

/// The host's phone lost its network and comes back on another, while its old
/// connection still seems alive.
async fn the_live_goes_over(app: &'static str) {
    let dir = TempDir::new().unwrap();
    let running = running(&dir, app).await;
    let host = on(Platform::Android).connect(&running).await;
    host.client.create_room("demo", "").await.unwrap();
    let stage = host.client.enter("demo").await.unwrap();
    let started = stage.start_live("take 1", None).await.unwrap();
    let mut viewer = Login::new("bert", TransportPreference::Quic)
        .connect(&running)
        .await;
    viewer.client.enter("demo").await.unwrap();

    let again = on(Platform::Android).connect(&running).await;
    let stage = again.client.enter("demo").await.unwrap();
    let entered = stage.entered().unwrap();
    assert_eq!(entered.role(), Role::Host);
    let live = entered.room.clone().unwrap().summary.unwrap().live.unwrap();
    assert_eq!(
        (live.live_id.as_str(), live.phase()),
        (&*started.live_id, LivePhase::Live)
    );
    stage.send_text("on another network now").await.unwrap();
    let mut before = Vec::new();
    let said = viewer
        .room(|kind| match kind {
            RoomEventKind::Message(message) => Some(message.clone()),
            _ => None,
        })
        .await;
    assert_eq!(said.role(), Role::Host);
    // Whoever was told "away" was told "back"; nobody was told of an end.
    before.extend(viewer.rest());
    assert!(
        !before.iter().any(|event| matches!(
            event,
            Event::Room(room) if matches!(room.kind, RoomEventKind::LiveEnded { .. })
        )),
        "{before:?}"
    );
    assert_eq!(
        stage.info().await.unwrap().live.unwrap().phase(),
        LivePhase::Live
    );
    // The old one ends like any other; the live does not.
    host.kill();
    stage.send_text("and here").await.unwrap();
    assert_eq!(
        stage.info().await.unwrap().live.unwrap().live_id,
        started.live_id
    );
}

#[tokio::test]
async fn a_live_goes_over_to_its_hosts_new_session_that_displaces_the_old() {
    the_live_goes_over("devices = { policy = \"one\" }").await;
}

#[tokio::test]
async fn a_live_goes_over_to_its_hosts_new_session_beside_the_old() {
    the_live_goes_over("devices = { policy = \"many\" }").await;
}
