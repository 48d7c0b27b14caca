//! The backend governs rooms and users by gRPC, and follows them.

use std::time::Duration;

use livegate_client::wire::{Attribute, Role, RoomProfile, Text};
use livegate_client::{Disconnect, Event, RoomEventKind, TransportPreference};
use livegate_proto::backend as wire;
use livegate_proto::backend::govern_service_client::GovernServiceClient;
use livegate_proto::backend::stream_service_client::StreamServiceClient;
use livegate_proto::backend::{push_stream_request, push_to_room_request, watch_response};
use livegate_proto::code::Code;
use livegate_proto::{Bytes, CloseCode};
use tempfile::TempDir;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::people::{Login, Person};
use crate::running::{APP, Running, Setup, WithKey, channel};
use crate::scenario::code;

pub(crate) type Govern = GovernServiceClient<InterceptedService<Channel, WithKey>>;
type Streams = StreamServiceClient<InterceptedService<Channel, WithKey>>;

pub(crate) async fn govern(running: &Running) -> Govern {
    GovernServiceClient::with_interceptor(channel(running.internal).await, WithKey)
}

async fn streams(running: &Running) -> Streams {
    StreamServiceClient::with_interceptor(channel(running.internal).await, WithKey)
}

async fn person(running: &Running, user: &'static str) -> Person {
    Login::new(user, TransportPreference::Tls)
        .connect(running)
        .await
}

fn created(room: &str, owner: &str) -> wire::CreateRoomRequest {
    wire::CreateRoomRequest {
        sdk_app_id: APP,
        room_id: room.into(),
        owner_id: owner.into(),
        profile: Some(RoomProfile {
            name: "Evening show".into(),
            ..RoomProfile::default()
        }),
        ..wire::CreateRoomRequest::default()
    }
}

fn attribute(key: &str, value: &'static str) -> Attribute {
    Attribute {
        key: key.into(),
        value: Bytes::from(value),
    }
}

fn livegate_code(status: &tonic::Status) -> i32 {
    let code = status.metadata().get("livegate-code");
    code.unwrap().to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_room_made_by_the_backend_shows_what_the_backend_changes() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let mut govern = govern(&running).await;
    govern.create_room(created("show", "anna")).await.unwrap();
    let again = govern.create_room(created("show", "anna")).await;
    assert_eq!(
        livegate_code(&again.unwrap_err()),
        Code::ROOM_ALREADY_OWNED.0
    );
    let taken = govern.create_room(created("show", "ben")).await;
    assert_eq!(livegate_code(&taken.unwrap_err()), Code::ROOM_ID_IN_USE.0);

    let mut viewer = person(&running, "ada").await;
    viewer.client.enter("show").await.unwrap();
    let item = wire::ModifyRoomRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        app_defined: vec![attribute("item", "7")],
        ..wire::ModifyRoomRequest::default()
    };
    govern.modify_room(item).await.unwrap();
    let profile = viewer
        .room(|kind| match kind {
            RoomEventKind::InfoChanged(changed) => changed.profile.clone(),
            _ => None,
        })
        .await;
    assert_eq!(profile.name, "Evening show");
    assert_eq!(profile.app_defined, [attribute("item", "7")]);

    let set = wire::SetAttributesRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        attributes: vec![attribute("price", "9.90")],
        ..wire::SetAttributesRequest::default()
    };
    govern.set_attributes(set).await.unwrap();
    let late = person(&running, "ben").await;
    let room = late.client.enter("show").await.unwrap();
    let snapshot = room.entered().unwrap().room.clone().unwrap();
    let attributes = snapshot.attributes.unwrap();
    assert_eq!(attributes.attributes, [attribute("price", "9.90")]);
    assert_eq!(attributes.version, 1);

    // Both outlive the process.
    let public = running.public;
    drop((viewer, late));
    running.stop();
    running.stopped().await;
    let running = Running::start_at(&dir, &Setup::default(), public).await;
    let back = person(&running, "ada").await;
    let room = back.client.enter("show").await.unwrap();
    let snapshot = room.entered().unwrap().room.clone().unwrap();
    assert_eq!(snapshot.attributes.unwrap(), attributes);
    assert_eq!(*snapshot.summary.unwrap().profile.unwrap(), *profile);
}

#[tokio::test]
async fn mutes_bans_and_revocations_take_effect_at_once() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let mut govern = govern(&running).await;
    let mut ada = person(&running, "ada").await;
    let room = ada.client.enter("show").await.unwrap();
    let mute = |seconds| wire::MuteUsersRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        user_ids: vec!["ada".into()],
        seconds,
    };
    govern.mute_users(mute(600)).await.unwrap();
    let until = ada
        .room(|kind| match kind {
            RoomEventKind::Muted(muted) => Some(muted.until_ms),
            _ => None,
        })
        .await;
    assert!(until > 0);
    assert_eq!(code(room.send_text("hi").await), Code::MUTED);
    govern.mute_users(mute(0)).await.unwrap();
    room.send_text("hi").await.unwrap();

    let ban = wire::BanUsersRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        user_ids: vec!["ada".into()],
        seconds: u32::MAX,
        reason: "spam".into(),
    };
    let banned = govern.ban_users(ban).await.unwrap().into_inner();
    assert_eq!(banned.sessions_kicked, 1);
    let kicked = ada
        .room(|kind| match kind {
            RoomEventKind::Kicked(kicked) => Some(kicked.clone()),
            _ => None,
        })
        .await;
    assert_eq!(kicked.reason, "spam");
    assert_ne!(kicked.banned_until_ms, 0);
    assert_eq!(code(ada.client.enter("show").await), Code::BANNED);

    let revoke = wire::RevokeUserRequest {
        sdk_app_id: APP,
        user_id: "ada".into(),
    };
    let revoked = govern.revoke_user(revoke).await.unwrap().into_inner();
    assert_eq!(revoked.sessions_closed, 1);
    let cause = ada
        .until(|event| match event {
            Event::Disconnected(gone) => Some(gone.cause.clone()),
            _ => None,
        })
        .await;
    let Disconnect::Closed { code, .. } = cause else {
        panic!("{cause}");
    };
    assert_eq!(code, i32::from(CloseCode::Kicked));
}

#[tokio::test]
async fn messages_are_read_taken_back_and_said_everywhere() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let mut govern = govern(&running).await;
    let mut ada = person(&running, "ada").await;
    let room = ada.client.enter("show").await.unwrap();
    ada.client.enter("other").await.unwrap();
    let seq = room.send_text("oh").await.unwrap().seq;
    let history = || wire::GetHistoryRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        ..wire::GetHistoryRequest::default()
    };
    let read = govern.get_history(history()).await.unwrap().into_inner();
    assert_eq!(read.messages[0].push.as_ref().unwrap().seq, seq);
    assert!(!read.messages[0].recalled && read.finished);
    let recall = wire::RecallMessagesRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        seqs: vec![seq],
        reason: "sorry".into(),
    };
    let recalled = govern.recall_messages(recall).await.unwrap().into_inner();
    assert_eq!(recalled.recalls[0].code, 0);
    let told = ada
        .room(|kind| match kind {
            RoomEventKind::Recalled(recalled) => Some(recalled.seqs.clone()),
            _ => None,
        })
        .await;
    assert_eq!(told, [seq]);
    let read = govern.get_history(history()).await.unwrap().into_inner();
    assert!(read.messages[0].recalled);

    let said = wire::BroadcastRequest {
        sdk_app_id: APP,
        from: None,
        content: Some(wire::broadcast_request::Content::Text(Text {
            text: "to all".into(),
        })),
    };
    assert_eq!(govern.broadcast(said).await.unwrap().into_inner().rooms, 2);
    for _ in 0..2 {
        ada.room(|kind| matches!(kind, RoomEventKind::Broadcast(_)).then_some(()))
            .await;
    }
    let role = wire::SetRoleRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        user_id: "ada".into(),
        role: Role::Admin.into(),
    };
    govern.set_role(role).await.unwrap();
    let role = ada
        .room(|kind| match kind {
            RoomEventKind::RoleChanged(changed) => Some(changed.role()),
            _ => None,
        })
        .await;
    assert_eq!(role, Role::Admin);
    let asked = wire::GetUsersRequest {
        sdk_app_id: APP,
        user_ids: vec!["ada".into(), "nobody".into()],
    };
    let users = govern.get_users(asked).await.unwrap().into_inner().users;
    assert_eq!((users[0].sessions, users[1].sessions), (1, 0));
}

#[tokio::test]
async fn a_stream_of_pushes_counts_what_became_of_each() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let mut ada = person(&running, "ada").await;
    ada.client.enter("show").await.unwrap();
    let push = |n: u32| wire::PushStreamRequest {
        push: Some(push_stream_request::Push::ToRoom(wire::PushToRoomRequest {
            sdk_app_id: APP,
            room_id: if n == 7 { "nowhere" } else { "show" }.into(),
            content: Some(push_to_room_request::Content::Text(Text {
                text: n.to_string(),
            })),
            ..wire::PushToRoomRequest::default()
        })),
    };
    let pushes: Vec<_> = (0..500).map(push).collect();
    let mut streams = streams(&running).await;
    let pushes = futures_util::stream::iter(pushes);
    let answer = streams.push_stream(pushes).await.unwrap().into_inner();
    assert_eq!((answer.accepted, answer.refused), (499, 1));
    assert_eq!(answer.refusals[0].index, 7);
    assert_eq!(answer.refusals[0].code, Code::NO_ROOM.0);
    for n in (0..500).filter(|n| *n != 7) {
        assert_eq!(ada.text().await.1, n.to_string());
    }
}

/// The next event of a watch that is no sign of life, and its cursor.
async fn next(watch: &mut tonic::Streaming<wire::WatchResponse>) -> (String, String) {
    loop {
        let told = tokio::time::timeout(Duration::from_secs(30), watch.message());
        let told = told.await.expect("did not happen in time");
        let told = told.unwrap().unwrap();
        let text = match told.event.unwrap() {
            watch_response::Event::RoomRecorded(room) => format!("room {}", room.room_id),
            watch_response::Event::RoomGone(room) => format!("gone {}", room.room_id),
            watch_response::Event::LiveStarted(live) => format!("live of {}", live.host_id),
            watch_response::Event::LiveEnded(live) => {
                format!("end {:?}", live.ended.unwrap().reason())
            }
            watch_response::Event::CaughtUp(_) => continue,
            watch_response::Event::Missed(_) => "missed".to_owned(),
        };
        return (told.cursor, text);
    }
}

#[tokio::test]
async fn who_watches_misses_nothing_while_away_or_while_the_gateway_restarts() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let watch = |cursor: &str| wire::WatchRequest {
        sdk_app_id: APP,
        cursor: cursor.into(),
    };
    let mut following = streams(&running).await;
    let mut told = following.watch(watch("0")).await.unwrap().into_inner();
    govern(&running)
        .await
        .create_room(created("show", "anna"))
        .await
        .unwrap();
    let (cursor, event) = next(&mut told).await;
    assert_eq!(event, "room show");
    drop((told, following));

    let anna = person(&running, "anna").await;
    let stage = anna.client.enter("show").await.unwrap();
    stage.start_live("s1", None).await.unwrap();
    stage.end_live("").await.unwrap();
    let public = running.public;
    drop(anna);
    running.stop();
    running.stopped().await;
    let running = Running::start_at(&dir, &Setup::default(), public).await;

    let mut following = streams(&running).await;
    let mut told = following.watch(watch(&cursor)).await.unwrap().into_inner();
    assert_eq!(next(&mut told).await.1, "live of anna");
    assert_eq!(next(&mut told).await.1, "end HostEnded");
    let gone = wire::DestroyRoomRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
    };
    govern(&running).await.destroy_room(gone).await.unwrap();
    assert_eq!(next(&mut told).await.1, "gone show");
}

#[tokio::test]
async fn reflection_names_the_services() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let mut reflection = ServerReflectionClient::new(channel(running.internal).await);
    let ask = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asks = futures_util::stream::iter([ask]);
    let mut answers = reflection
        .server_reflection_info(asks)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    for name in ["BackendService", "GovernService", "StreamService"] {
        assert!(names.contains(&format!("livegate.backend.v1.{name}")));
    }
}
