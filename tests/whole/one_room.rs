//! An app that allows a user one room at a time.

use livegate_client::wire::{LeaveReason, LivePhase, Platform};
use livegate_client::{Code, Event, RoomEventKind, TransportPreference};
use tempfile::TempDir;

use crate::people::{Login, Person};
use crate::running::{Running, Setup};

fn on(user: &'static str, platform: Platform) -> Login {
    Login {
        platform,
        ..Login::new(user, TransportPreference::Tls)
    }
}

#[tokio::test]
async fn entering_another_room_leaves_the_first_on_every_device_and_each_is_told_why() {
    let dir = TempDir::new().unwrap();
    let setup = Setup {
        app: "rooms = { per_user = \"one\" }",
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let mut bert = on("bert", Platform::Linux).connect(&running).await;
    let mut phone = on("ada", Platform::Android).connect(&running).await;
    let mut web = on("ada", Platform::Web).connect(&running).await;
    let first = bert.client.create_room("", "").await.unwrap();
    let second = phone.client.create_room("", "").await.unwrap();
    bert.client.enter(&first).await.unwrap();
    let old = phone.client.enter(&first).await.unwrap();
    web.client.enter(&first).await.unwrap();
    presence(&mut bert, true).await;

    let stage = phone.client.enter(&second).await.unwrap();
    assert_eq!(
        kicked(&mut phone).await,
        (first.clone(), "entered_another_room".into())
    );
    assert_eq!(
        kicked(&mut web).await,
        (first.clone(), "entered_another_room".into())
    );
    let left = presence(&mut bert, false).await;
    assert_eq!(left, ("ada".to_owned(), LeaveReason::EnteredAnother));
    let refused = old.send_text("still here?").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NOT_IN_ROOM));

    // The other device may be in the same room; who is alone in it hosts on.
    stage.start_live("one", None).await.unwrap();
    web.client.enter(&second).await.unwrap();
    stage.send_text("both").await.unwrap();
    assert_eq!(web.text().await.1, "both");
    let info = stage.info().await.unwrap();
    assert_eq!(info.live.unwrap().phase(), LivePhase::Live);
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn two_devices_that_enter_at_once_end_up_in_one_room() {
    let dir = TempDir::new().unwrap();
    let setup = Setup {
        app: "rooms = { per_user = \"one\" }",
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    for user in ["ada", "bea", "cat", "dan"] {
        let mut phone = on(user, Platform::Android).connect(&running).await;
        let mut web = on(user, Platform::Web).connect(&running).await;
        let here = phone.client.create_room("", "").await.unwrap();
        let there = phone.client.create_room("", "").await.unwrap();
        let (first, second) =
            futures_util::join!(phone.client.enter(&here), web.client.enter(&there));
        let (first, second) = (first.unwrap(), second.unwrap());
        let left = tokio::select! {
            (room, _) = kicked(&mut phone) => room,
            (room, _) = kicked(&mut web) => room,
        };
        let said = [
            (here, first.send_text("?").await),
            (there, second.send_text("?").await),
        ];
        for (room, result) in said {
            let refused = result.err().and_then(|error| error.code());
            let expected = (room == left).then_some(Code::NOT_IN_ROOM);
            assert_eq!(refused, expected, "{user}");
        }
    }
    running.stop();
    running.stopped().await;
}

/// Somebody other than Bert is told to have come or gone.
async fn presence(person: &mut Person, entered: bool) -> (String, LeaveReason) {
    person
        .room(|kind| match kind {
            RoomEventKind::Presence(presence) => presence.changes.iter().find_map(|change| {
                let user = change.user.clone().unwrap_or_default().user_id;
                let meant = change.entered == entered && user != "bert";
                meant.then_some((user, change.reason()))
            }),
            _ => None,
        })
        .await
}

async fn kicked(person: &mut Person) -> (String, String) {
    person
        .until(|event| match event {
            Event::Room(event) => match &event.kind {
                RoomEventKind::Kicked(kicked) => {
                    Some((event.room_id.clone(), kicked.reason.clone()))
                }
                _ => None,
            },
            _ => None,
        })
        .await
}
