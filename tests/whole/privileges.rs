//! What a signature grants in one room is what its holder may do, and nothing
//! elsewhere.

use std::time::Duration;

use livegate::auth::{Privileges, rights};
use livegate::clock::unix_now;
use livegate::id::RoomId;
use livegate_client::{Code, TransportPreference};
use tempfile::TempDir;

use crate::people::Login;
use crate::running::{Running, Setup};
use crate::scenario::code;

fn granted(user: &'static str, room: &str, bits: u32) -> Login {
    let expires = unix_now() + Duration::from_secs(600);
    Login {
        privileges: Some(Privileges {
            room: Some(RoomId::new(room).unwrap()),
            bits,
            expires,
        }),
        ..Login::new(user, TransportPreference::Tls)
    }
}

#[tokio::test]
async fn a_holder_creates_enters_and_publishes_only_what_was_granted() {
    let dir = TempDir::new().unwrap();
    let setup = Setup {
        // In a room without an owner anybody may start a live: who is refused
        // there is refused for want of the right.
        sections: "[rooms]\nopen_hosting = true",
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let connect = |login: Login| {
        let running = &running;
        async move { login.connect(running).await }
    };

    let owner = connect(granted("owner", "12345", rights::ALL)).await;
    let refused = owner.client.create_room("other", "").await;
    assert_eq!(code(refused), Code::NO_PERMISSION);
    owner.client.create_room("12345", "").await.unwrap();
    let stage = owner.client.enter("12345").await.unwrap();
    stage.start_live("take 1", None).await.unwrap();

    // Without the structure nothing is restricted; this also makes the lobby.
    let free = connect(Login::new("free", TransportPreference::Tls)).await;
    free.client.create_room("other", "").await.unwrap();
    free.client.enter("12345").await.unwrap();
    free.client.enter("lobby").await.unwrap();

    let viewer = connect(granted("viewer", "lobby", rights::VIEWER)).await;
    let refused = viewer.client.create_room("lobby", "").await;
    assert_eq!(code(refused), Code::NO_PERMISSION);
    assert_eq!(
        code(viewer.client.enter("12345").await),
        Code::NO_PERMISSION
    );
    let seat = viewer.client.enter("lobby").await.unwrap();
    let refused = seat.start_live("mine", None).await;
    assert_eq!(code(refused), Code::NO_PERMISSION);

    let speaker = rights::VIEWER | rights::SEND_AUDIO;
    let speaker = connect(granted("speaker", "lobby", speaker)).await;
    let seat = speaker.client.enter("lobby").await.unwrap();
    seat.start_live("take 1", None).await.unwrap();

    let outsider = connect(granted("outsider", "lobby", rights::CREATE)).await;
    assert_eq!(
        code(outsider.client.enter("lobby").await),
        Code::NO_PERMISSION
    );
}
