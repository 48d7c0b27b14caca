//! What a session says to what it hears: by case, and by any sequence.

mod heartbeat;
mod model;
mod requests;

use livegate_proto::Message;
use livegate_proto::client::{self as wire, CallRequest, PingRequest};

use super::*;
use crate::id::{AppId, ShardId, UserId};

fn at(ms: u64) -> Moment {
    Moment {
        instant: Instant::from_millis(ms),
        unix: Unix(1_700_000_000_000 + ms),
    }
}

fn session() -> Session {
    session_until(at(86_400_000).unix)
}

fn session_until(sig_expires: Unix) -> Session {
    session_with(sig_expires, SessionConfig::default())
}

fn session_with(sig_expires: Unix, config: SessionConfig) -> Session {
    let identity = Identity {
        id: SessionId::new(ShardId(0), 1, 1),
        key: UserKey {
            app: AppId(1),
            user: UserId::new("alice").unwrap(),
        },
        platform: Platform::Linux,
        profile: Arc::default(),
        sig_expires,
        privileges: None,
    };
    let opening = Opening {
        request_id: 1,
        jitter: 0,
        calls: false,
    };
    Session::new(identity, opening, Arc::new(config), at(0)).0
}

fn frame(request_id: u64, body: Option<Body>) -> Vec<u8> {
    ClientFrame { request_id, body }.encode_to_vec()
}

fn ask(session: &mut Session, request_id: u64, body: Body, ms: u64) -> Actions {
    session.on_frame(&frame(request_id, Some(body)), at(ms))
}

fn enter_room(room: usize) -> Body {
    Body::EnterRoom(wire::EnterRoomRequest {
        room_id: format!("room-{room}"),
        ..wire::EnterRoomRequest::default()
    })
}

fn leave_room(room: usize) -> Body {
    Body::LeaveRoom(wire::LeaveRoomRequest {
        room_id: format!("room-{room}"),
    })
}

fn say(content: send_request::Content) -> Body {
    Body::Send(wire::SendRequest {
        target: Some(send_request::Target::RoomId("room-0".into())),
        content: Some(content),
        ..wire::SendRequest::default()
    })
}

fn text() -> Body {
    let text = "hi".into();
    say(send_request::Content::Text(wire::Text { text }))
}

fn joined(room: usize, hosting: bool) -> Joined {
    Joined {
        uid: RoomUid(room as u64),
        room: RoomId::new(&format!("room-{room}")).unwrap(),
        role: Role::Viewer,
        hosting,
        publishing: false,
    }
}

fn entered(room: usize, hosting: bool) -> Outcome {
    let body = reply::Body::EnterRoom(wire::EnterRoomReply::default());
    Outcome::done(Some(body)).with(Change::Entered(joined(room, hosting)))
}

fn renewed_until(ms: u64) -> Change {
    Change::Renewed {
        sig_expires: at(ms).unix,
        privileges: None,
    }
}

/// Enters a room as the actions would carry it out.
fn enter(session: &mut Session, room: usize, hosting: bool) -> Actions {
    let id = 1_000 + room as u64;
    let now = at(1_000_000 * id);
    let performed = session.on_frame(&frame(id, Some(enter_room(room))), now);
    assert!(matches!(performed[..], [Action::Perform { .. }]));
    session.on_outcome(id, entered(room, hosting), now)
}

fn the_reply(actions: &Actions) -> &Reply {
    match &actions[..] {
        [Action::Reply(reply)] => reply,
        other => panic!("not one reply: {other:?}"),
    }
}

fn the_close(actions: &Actions) -> CloseCode {
    match actions.last() {
        Some(Action::Close { code, .. }) => *code,
        other => panic!("not closed: {other:?}"),
    }
}

fn role_told(action: &Action) -> (Role, u32, &str) {
    match action {
        Action::Push(push) => match &push.body {
            Some(push::Body::RoleChanged(it)) => (it.role(), it.heartbeat_ms, &push.room_id),
            other => panic!("not a role: {other:?}"),
        },
        other => panic!("not a push: {other:?}"),
    }
}

#[test]
fn a_session_that_rests_is_small() {
    assert!(size_of::<Session>() <= 400, "{}", size_of::<Session>());
    assert!(size_of::<Action>() <= 200, "{}", size_of::<Action>());
}

#[test]
fn a_signature_that_ends_is_told_and_then_enforced_unless_renewed() {
    let mut session = session_until(at(3_600_000).unix);
    assert_eq!(session.deadline(), Instant::from_millis(3_000_000));
    let told = session.on_deadline(at(3_000_000));
    assert!(matches!(&told[..], [Action::Push(push)]
        if matches!(push.body, Some(push::Body::SigExpiring(_)))));
    ask(
        &mut session,
        1,
        Body::RenewSig(Default::default()),
        3_100_000,
    );
    let renewed = Outcome::done(None).with(renewed_until(7_200_000));
    session.on_outcome(1, renewed, at(3_100_000));
    assert!(session.on_deadline(at(3_660_000)).is_empty());
    assert_eq!(session.deadline(), Instant::from_millis(6_600_000));
    session.on_deadline(at(6_600_000));
    let closed = session.on_deadline(at(7_260_000));
    assert_eq!(the_close(&closed), CloseCode::SigExpired);
}

#[test]
fn a_logout_is_answered_and_ends_the_session() {
    let mut session = session();
    let actions = ask(&mut session, 2, Body::Logout(wire::LogoutRequest {}), 0);
    assert!(matches!(&actions[0], Action::Reply(reply) if reply.request_id == 2));
    assert_eq!(the_close(&actions), CloseCode::LoggedOut);
}
