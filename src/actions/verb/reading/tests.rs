//! What requests become, and with which code they are refused.

use livegate_proto::Message;
use livegate_proto::client::ClientFrame;
use proptest::prelude::*;

use super::*;

fn code_of(body: Body) -> Code {
    Verb::from_wire(body).expect_err("must be refused").code
}

fn say(target: send_request::Target, content: send_request::Content) -> Body {
    Body::Send(wire::SendRequest {
        target: Some(target),
        content: Some(content),
        ..wire::SendRequest::default()
    })
}

fn to_room(content: send_request::Content) -> Body {
    say(send_request::Target::RoomId("demo".into()), content)
}

#[test]
fn a_text_to_a_room_becomes_a_publish_of_normal_priority() {
    let text = wire::Text { text: "hi".into() };
    let verb = Verb::from_wire(to_room(send_request::Content::Text(text))).unwrap();
    let Verb::Publish { room, priority, .. } = verb else {
        panic!("not a publish: {verb:?}");
    };
    assert_eq!(room.as_str(), "demo");
    assert_eq!(priority, wire::Priority::Normal);
}

#[test]
fn a_like_counts_one_to_a_thousand_and_goes_to_rooms_only() {
    let like = |count| send_request::Content::Like(wire::Like { count });
    for (asked, counted) in [(0, 1), (1, 1), (1000, 1000)] {
        let verb = Verb::from_wire(to_room(like(asked))).unwrap();
        assert!(matches!(verb, Verb::Like { count, .. } if count == counted));
    }
    assert_eq!(code_of(to_room(like(1001))), Code::BAD_PARAMETER);
    let user = send_request::Target::UserId("alice".into());
    assert_eq!(code_of(say(user, like(1))), Code::BAD_PARAMETER);
}

#[test]
fn what_this_version_does_not_support_never_becomes_a_verb() {
    assert_eq!(
        code_of(Body::Resume(wire::ResumeRequest::default())),
        Code::UNSUPPORTED
    );
    let login = Body::Login(wire::LoginRequest::default());
    assert_eq!(code_of(login), Code::ALREADY_LOGGED_IN);
}

#[test]
fn a_mic_verb_names_a_room_and_a_user_or_an_invitation() {
    let invite = |room: &str, user: &str| {
        Body::Invite(wire::InviteRequest {
            room_id: room.into(),
            user_id: user.into(),
        })
    };
    let verb = Verb::from_wire(invite("demo", "anna")).unwrap();
    assert_eq!(verb.name(), "invite");
    assert_eq!(code_of(invite("", "anna")), Code::BAD_ROOM_ID);
    assert_eq!(code_of(invite("demo", "a b")), Code::BAD_PARAMETER);
    let cancel = |id: usize| {
        Body::Cancel(wire::CancelRequest {
            room_id: "demo".into(),
            invitation_id: "i".repeat(id),
        })
    };
    assert!(Verb::from_wire(cancel(64)).is_ok());
    assert_eq!(code_of(cancel(65)), Code::BAD_PARAMETER);
}

#[test]
fn a_call_names_a_service_and_carries_64_kib() {
    let call = |service: &str, body: usize, deadline_ms| {
        Body::Call(wire::CallRequest {
            service: service.into(),
            method: "give".into(),
            body: vec![0; body].into(),
            deadline_ms,
        })
    };
    let verb = Verb::from_wire(call("shop", 65_536, 0)).unwrap();
    assert!(matches!(verb, Verb::Call { deadline: None, .. }));
    assert!(Verb::from_wire(call("shop", 0, 1)).is_ok());
    assert_eq!(code_of(call("", 0, 0)), Code::BAD_PARAMETER);
    assert_eq!(code_of(call(&"s".repeat(65), 0, 0)), Code::BAD_PARAMETER);
    assert_eq!(code_of(call("shop", 65_537, 0)), Code::TOO_LONG);
}

#[test]
fn malformed_ids_have_their_codes() {
    let leave = |id: &str| Body::LeaveRoom(wire::LeaveRoomRequest { room_id: id.into() });
    assert_eq!(code_of(leave("")), Code::BAD_ROOM_ID);
    assert_eq!(code_of(leave("a\nb")), Code::BAD_ROOM_ID);
    let end = wire::EndLiveRequest {
        room_id: "demo".into(),
        live_id: "no uuid".into(),
    };
    assert_eq!(code_of(Body::EndLive(end)), Code::BAD_PARAMETER);
}

#[test]
fn limits_have_a_default_and_an_upper_bound() {
    let list = |limit| {
        Body::ListRooms(wire::ListRoomsRequest {
            limit,
            ..wire::ListRoomsRequest::default()
        })
    };
    let verb = Verb::from_wire(list(0)).unwrap();
    assert!(matches!(verb, Verb::List { limit: 20, .. }));
    assert!(Verb::from_wire(list(100)).is_ok());
    assert_eq!(code_of(list(101)), Code::BAD_PARAMETER);
}

#[test]
fn a_start_needs_its_id_and_a_grace_of_two_minutes_at_most() {
    let start = |start_id: &str, grace_ms| {
        Body::StartLive(wire::StartLiveRequest {
            room_id: "demo".into(),
            start_id: start_id.into(),
            grace_ms,
        })
    };
    assert!(Verb::from_wire(start("s1", Some(120_000))).is_ok());
    assert_eq!(code_of(start("s1", Some(120_001))), Code::BAD_PARAMETER);
    assert_eq!(code_of(start("", None)), Code::BAD_PARAMETER);
    assert_eq!(code_of(start(&"s".repeat(65), None)), Code::BAD_PARAMETER);
}

#[test]
fn a_room_may_be_created_without_an_id_but_not_with_a_bad_one() {
    let create = |id: &str, info: usize| {
        Body::CreateRoom(wire::CreateRoomRequest {
            room_id: id.into(),
            room_info: vec![0; info].into(),
        })
    };
    let verb = Verb::from_wire(create("", 4096)).unwrap();
    assert!(matches!(verb, Verb::Create { room: None, .. }));
    assert_eq!(code_of(create("房间", 0)), Code::BAD_ROOM_ID);
    assert_eq!(code_of(create("r", 4097)), Code::BAD_PARAMETER);
}

proptest! {
    #[test]
    fn whatever_decodes_is_taken_or_refused_without_panic(bytes: Vec<u8>) {
        if let Ok(ClientFrame { body: Some(body), .. }) = ClientFrame::decode(&bytes[..]) {
            let _ = Verb::from_wire(body);
        }
    }
}
