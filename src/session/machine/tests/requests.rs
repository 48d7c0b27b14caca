//! Requests and their replies: in flight, too many, not understood.

use super::*;

#[test]
fn a_login_is_answered_with_the_limits() {
    let mut identity = session().identity;
    identity.sig_expires = Unix(9_000);
    let opening = Opening {
        request_id: 77,
        jitter: 0,
        calls: false,
    };
    let (_, actions) = Session::new(identity, opening, Arc::default(), at(5));
    let reply = the_reply(&actions);
    assert_eq!((reply.request_id, reply.code), (77, 0));
    let Some(reply::Body::Login(login)) = &reply.body else {
        panic!("no login reply");
    };
    assert_eq!(login.heartbeat_ms, 30_000);
    assert_eq!(login.sig_expires_at, 9);
    assert_eq!((login.max_rooms, login.max_frame_bytes), (8, 16_384));
}

#[test]
fn a_ping_is_answered_unless_its_id_is_zero() {
    let mut session = session();
    let ping = || Body::Ping(PingRequest {});
    assert_eq!(the_reply(&ask(&mut session, 4, ping(), 0)).request_id, 4);
    assert!(ask(&mut session, 0, ping(), 0).is_empty());
    let closed = ask(&mut session, 0, text(), 0);
    assert_eq!(the_close(&closed), CloseCode::ProtocolError);
}

#[test]
fn bytes_that_are_no_frame_close_and_nothing_comes_after() {
    let mut session = session();
    let closed = session.on_frame(&[0xff; 4], at(0));
    assert_eq!(the_close(&closed), CloseCode::ProtocolError);
    assert!(ask(&mut session, 1, text(), 0).is_empty());
    let kick = SessionEvent::Close(CloseCode::Kicked, 0);
    assert!(session.on_event(kick, at(0)).is_empty());
}

#[test]
fn a_verb_of_a_later_version_is_unsupported() {
    let mut session = session();
    // request_id 5 and a field 99 that this version does not know.
    let later = [0x08, 5, 0x9a, 0x06, 0];
    let actions = session.on_frame(&later, at(0));
    let reply = the_reply(&actions);
    assert_eq!((reply.request_id, reply.code), (5, Code::UNSUPPORTED.0));
    let closed = session.on_frame(&[], at(0));
    assert_eq!(the_close(&closed), CloseCode::ProtocolError);
}

#[test]
fn a_request_id_in_flight_is_refused_and_free_after_its_answer() {
    let mut session = session();
    assert!(matches!(
        ask(&mut session, 9, text(), 0)[..],
        [Action::Perform { request_id: 9, .. }]
    ));
    let refused = ask(&mut session, 9, text(), 0);
    assert_eq!(the_reply(&refused).code, Code::DUPLICATE_REQUEST.0);
    let answered = session.on_outcome(9, Outcome::done(None), at(0));
    assert_eq!(the_reply(&answered).code, 0);
    assert!(session.on_outcome(9, Outcome::done(None), at(0)).is_empty());
    let again = ask(&mut session, 9, text(), 0);
    assert!(matches!(again[..], [Action::Perform { .. }]));
}

#[test]
fn requests_in_flight_are_limited() {
    let mut session = session();
    for id in 1..=32 {
        let performed = ask(&mut session, id, Body::ListRooms(Default::default()), 0);
        assert!(matches!(performed[..], [Action::Perform { .. }]));
    }
    let refused = ask(&mut session, 33, Body::ListRooms(Default::default()), 0);
    let reply = the_reply(&refused);
    assert_eq!(reply.code, Code::OVERLOADED.0);
    assert!(reply.retry_after_ms > 0);
}

#[test]
fn rooms_asked_for_count_like_rooms_entered() {
    let mut session = session();
    for room in 0..7 {
        enter(&mut session, room, false);
    }
    let now = 100_000_000_000;
    ask(&mut session, 1, enter_room(7), now);
    let refused = ask(&mut session, 2, enter_room(8), now);
    assert_eq!(the_reply(&refused).code, Code::TOO_MANY_ROOMS.0);
    let again = ask(&mut session, 3, enter_room(0), now);
    assert!(matches!(again[..], [Action::Perform { .. }]));
}

#[test]
fn a_throttled_message_is_told_when_to_come_again() {
    let mut session = session();
    for id in 1..=10 {
        ask(&mut session, id, text(), 0);
    }
    let refused = ask(&mut session, 11, text(), 0);
    let reply = the_reply(&refused);
    assert_eq!(reply.code, Code::MESSAGE_RATE.0);
    assert_eq!(reply.retry_after_ms, 200);
    assert_eq!(session.throttled(), 1);
    let like = say(send_request::Content::Like(wire::Like { count: 1 }));
    assert!(matches!(
        ask(&mut session, 12, like, 0)[..],
        [Action::Perform { .. }]
    ));
}

#[test]
fn who_floods_on_is_closed_with_a_time_to_stay_away() {
    let mut session = session();
    let closed = (1..=101).map(|id| ask(&mut session, id, text(), 0)).last();
    let closed = closed.unwrap();
    assert!(matches!(
        closed[..],
        [Action::Close {
            code: CloseCode::RateLimited,
            retry_after_ms: 30_000
        }]
    ));
}

#[test]
fn where_the_app_takes_calls_a_frame_holds_the_longest() {
    let opening = Opening {
        request_id: 1,
        jitter: 0,
        calls: true,
    };
    let identity = session().identity;
    let (mut session, actions) = Session::new(identity, opening, Arc::default(), at(0));
    let Some(reply::Body::Login(login)) = &the_reply(&actions).body else {
        panic!("no login reply");
    };
    assert_eq!(login.max_frame_bytes, 67_584);
    assert_eq!(session.max_frame_bytes(), 67_584);
    session.on_event(SessionEvent::Hosting(RoomUid(3), true), at(0));
    assert_eq!(session.max_frame_bytes(), 67_584, "hosts call too");
    let call = CallRequest {
        service: "s".repeat(64),
        method: "m".repeat(128),
        body: vec![7; 65_536].into(),
        deadline_ms: u32::MAX,
    };
    let frame = ClientFrame {
        request_id: u64::MAX,
        body: Some(Body::Call(call)),
    };
    assert!(frame.encoded_len() <= 67_584);
}

#[test]
fn calls_in_flight_are_fewer_than_other_requests() {
    let mut session = session();
    let call = || {
        Body::Call(CallRequest {
            service: "shop".into(),
            ..CallRequest::default()
        })
    };
    for id in 1..=4 {
        let performed = session.on_frame(&frame(id, Some(call())), at(0));
        assert!(matches!(performed[..], [Action::Perform { .. }]));
    }
    let refused = session.on_frame(&frame(9, Some(call())), at(0));
    assert_eq!(the_reply(&refused).code, Code::TOO_MANY_CALLS.0);
    assert!(the_reply(&refused).retry_after_ms > 0);
    let answered = SessionEvent::Answered(Box::new(Reply {
        request_id: 3,
        ..Reply::default()
    }));
    assert_eq!(the_reply(&session.on_event(answered, at(0))).request_id, 3);
    let performed = session.on_frame(&frame(9, Some(call())), at(0));
    assert!(matches!(performed[..], [Action::Perform { .. }]));
}

#[test]
fn an_answer_that_waited_for_a_commit_reaches_its_request() {
    let mut session = session();
    let start = Body::StartLive(wire::StartLiveRequest {
        room_id: "room-0".into(),
        start_id: "s".into(),
        ..wire::StartLiveRequest::default()
    });
    ask(&mut session, 6, start, 0);
    let reply = |request_id| {
        let body = Some(reply::Body::StartLive(wire::StartLiveReply::default()));
        let reply = Reply {
            request_id,
            body,
            ..Reply::default()
        };
        SessionEvent::Answered(Box::new(reply))
    };
    assert!(session.on_event(reply(5), at(0)).is_empty());
    let answered = session.on_event(reply(6), at(0));
    let Some(reply::Body::StartLive(start)) = &the_reply(&answered).body else {
        panic!("no start reply");
    };
    assert_eq!(start.heartbeat_ms, 3_000);
    assert!(session.on_event(reply(6), at(0)).is_empty());
}
