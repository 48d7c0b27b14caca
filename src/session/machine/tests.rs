//! What a session says to what it hears: by case, and by any sequence.

use std::collections::BTreeMap;

use livegate_proto::Message;
use livegate_proto::client::{self as wire, CallRequest, PingRequest};
use proptest::prelude::*;

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
fn becoming_and_ceasing_to_be_the_host_changes_the_heartbeat_and_is_told() {
    let mut session = session();
    enter(&mut session, 3, false);
    let on = session.on_event(SessionEvent::Hosting(RoomUid(3), true), at(0));
    assert_eq!(role_told(&on[0]), (Role::Host, 3_000, "room-3"));
    assert_eq!(session.heartbeat().allowance, Duration::from_secs(8));
    assert_eq!(session.max_frame_bytes(), 65_536);
    let again = session.on_event(SessionEvent::Hosting(RoomUid(3), true), at(0));
    assert!(again.is_empty());
    let off = session.on_event(SessionEvent::Hosting(RoomUid(3), false), at(0));
    assert_eq!(role_told(&off[0]), (Role::Viewer, 30_000, "room-3"));
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
fn a_publisher_is_heard_as_often_as_a_host_while_on_the_mic() {
    let mut session = session();
    enter(&mut session, 3, false);
    let role = |role, publishing| SessionEvent::Role {
        room: RoomUid(3),
        role,
        publishing,
    };
    let given = session.on_event(role(Role::Publisher, false), at(0));
    assert_eq!(role_told(&given[0]), (Role::Publisher, 30_000, "room-3"));
    let on = session.on_event(role(Role::Publisher, true), at(0));
    assert_eq!(role_told(&on[0]), (Role::Publisher, 3_000, "room-3"));
    assert_eq!(session.heartbeat().allowance, Duration::from_secs(8));
    let again = session.on_event(role(Role::Publisher, true), at(0));
    assert!(again.is_empty());
    let taken = session.on_event(role(Role::Viewer, false), at(0));
    assert_eq!(role_told(&taken[0]), (Role::Viewer, 30_000, "room-3"));
    let nowhere = SessionEvent::Role {
        room: RoomUid(4),
        role: Role::Admin,
        publishing: true,
    };
    assert!(session.on_event(nowhere, at(0)).is_empty());
}

#[test]
fn a_host_who_enters_again_reads_its_heartbeat_from_the_reply() {
    let mut session = session();
    let actions = enter(&mut session, 0, true);
    let Some(reply::Body::EnterRoom(enter)) = &the_reply(&actions).body else {
        panic!("no enter reply");
    };
    assert_eq!(enter.heartbeat_ms, 3_000);
}

#[test]
fn a_host_who_leaves_or_is_removed_is_told_its_slower_heartbeat() {
    let mut session = session();
    enter(&mut session, 0, true);
    enter(&mut session, 1, true);
    let frame = Encoded::new(&wire::ServerFrame::default());
    let removed = session.on_event(SessionEvent::Removed(RoomUid(0), frame), at(0));
    assert!(matches!(removed[..], [Action::Forward(..)]));
    let now = 100_000_000_000;
    ask(&mut session, 5, leave_room(1), now);
    let left = Outcome::done(None).with(Change::Left(RoomUid(1)));
    let actions = session.on_outcome(5, left, at(now));
    assert!(matches!(actions[0], Action::Reply(_)));
    assert_eq!(role_told(&actions[1]), (Role::Viewer, 30_000, ""));
    assert!(session.rooms().is_empty());
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

#[derive(Debug, Clone)]
enum Input {
    Frame(u64, Option<Body>),
    Garbage(Vec<u8>),
    Wait(u64),
    /// Answers one of the requests in flight.
    Answer(prop::sample::Index, u8),
    Event(u8, usize),
    Deadline,
}

fn body() -> impl Strategy<Value = Option<Body>> {
    let like = say(send_request::Content::Like(wire::Like { count: 3 }));
    let bad = Body::RoomInfo(wire::RoomInfoRequest::default());
    let fixed = prop::sample::select(vec![
        Some(text()),
        Some(like),
        Some(bad),
        Some(Body::Ping(PingRequest {})),
        Some(Body::Login(Default::default())),
        Some(Body::Call(Default::default())),
        Some(Body::ListRooms(Default::default())),
        Some(Body::RenewSig(Default::default())),
        None,
    ]);
    let logout = Just(Some(Body::Logout(wire::LogoutRequest {})));
    prop_oneof![
        200 => fixed,
        100 => (0usize..12).prop_map(|room| Some(enter_room(room))),
        40 => (0usize..12).prop_map(|room| Some(leave_room(room))),
        1 => logout,
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let frame = (prop_oneof![300 => 1u64..50, 1 => Just(0)], body());
    let answer = (any::<prop::sample::Index>(), 0u8..6);
    prop_oneof![
        240 => frame.prop_map(|(id, body)| Input::Frame(id, body)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Input::Garbage),
        60 => (0u64..50).prop_map(Input::Wait),
        20 => (0u64..5_000).prop_map(Input::Wait),
        120 => answer.prop_map(|(index, kind)| Input::Answer(index, kind)),
        20 => (0u8..5, 0usize..12).prop_map(|(kind, room)| Input::Event(kind, room)),
        4 => Just(Input::Deadline),
    ]
}

/// What a client and the actions behind the session see.
struct World {
    session: Session,
    now: u64,
    closed: bool,
    flying: Vec<(u64, Verb)>,
    asked: BTreeMap<u64, u32>,
    answered: BTreeMap<u64, u32>,
}

impl World {
    fn step(&mut self, input: Input) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let actions = match input {
            Input::Frame(id, body) => {
                let actions = self.session.on_frame(&frame(id, body), now);
                if id != 0 && !self.closed {
                    *self.asked.entry(id).or_default() += 1;
                }
                actions
            }
            Input::Garbage(bytes) => {
                if let Ok(frame) = ClientFrame::decode(&bytes[..])
                    && frame.request_id != 0
                    && !self.closed
                {
                    *self.asked.entry(frame.request_id).or_default() += 1;
                }
                self.session.on_frame(&bytes, now)
            }
            Input::Wait(ms) => {
                self.now += ms;
                return Ok(());
            }
            Input::Answer(index, kind) => {
                if self.flying.is_empty() {
                    return Ok(());
                }
                let (id, verb) = self.flying.remove(index.index(self.flying.len()));
                self.session.on_outcome(id, outcome(&verb, kind), now)
            }
            Input::Event(kind, room) => self.session.on_event(event(kind, room), now),
            Input::Deadline => self.session.on_deadline(now),
        };
        self.check(actions)
    }

    fn check(&mut self, actions: Actions) -> Result<(), TestCaseError> {
        for action in actions {
            prop_assert!(!self.closed, "after the close: {:?}", action);
            match action {
                Action::Reply(reply) => *self.answered.entry(reply.request_id).or_default() += 1,
                Action::Perform { request_id, verb } => {
                    prop_assert!(self.flying.iter().all(|(id, _)| *id != request_id));
                    self.flying.push((request_id, verb));
                }
                Action::Close { .. } => self.closed = true,
                Action::Push(_) | Action::Forward(..) => {}
            }
        }
        prop_assert!(self.session.rooms().len() <= 8);
        prop_assert!(self.session.in_flight() <= 32);
        prop_assert_eq!(self.session.is_closed(), self.closed);
        Ok(())
    }
}

fn outcome(verb: &Verb, kind: u8) -> Outcome {
    match verb {
        Verb::Enter { room, .. } if kind > 0 => Outcome::done(None).with(Change::Entered(Joined {
            uid: RoomUid(room.as_str().len() as u64),
            room: room.clone(),
            role: Role::Viewer,
            hosting: kind == 1,
            publishing: false,
        })),
        Verb::Leave { room } if kind > 0 => {
            Outcome::done(None).with(Change::Left(RoomUid(room.as_str().len() as u64)))
        }
        Verb::RenewSig { .. } if kind > 0 => Outcome::done(None).with(renewed_until(5_000_000)),
        _ => Outcome::refused(Code::NO_PERMISSION, "no", None),
    }
}

fn event(kind: u8, room: usize) -> SessionEvent {
    let frame = || Encoded::new(&wire::ServerFrame::default());
    let uid = RoomUid(6 + room as u64 / 10);
    match kind {
        0 => SessionEvent::Direct(frame(), Class::High),
        1 => SessionEvent::Removed(uid, frame()),
        2 | 3 => SessionEvent::Hosting(uid, kind == 2),
        4 | 5 => SessionEvent::Role {
            room: uid,
            role: Role::Publisher,
            publishing: kind == 4,
        },
        // An answer to nothing: in-flight ids are below 50.
        _ => SessionEvent::Answered(Box::new(Reply {
            request_id: 1_000,
            ..Reply::default()
        })),
    }
}

proptest! {
    #[test]
    fn each_request_gets_one_reply_and_nothing_follows_a_close(
        strict: bool,
        inputs in prop::collection::vec(input(), 0..250),
    ) {
        let mut config = SessionConfig::default();
        if strict {
            config.quota.abuse_factor = 2.try_into().unwrap();
            config.quota.chat.burst = 4.try_into().unwrap();
            config.quota.control.burst = 4.try_into().unwrap();
        }
        let mut world = World {
            session: session_with(at(2_000_000).unix, config),
            now: 0,
            closed: false,
            flying: Vec::new(),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
        };
        for input in inputs {
            world.step(input)?;
        }
        while let Some((id, verb)) = world.flying.pop() {
            let actions = world.session.on_outcome(id, outcome(&verb, 2), at(world.now));
            world.check(actions)?;
        }
        if !world.closed {
            prop_assert_eq!(world.session.in_flight(), 0);
            prop_assert_eq!(world.answered, world.asked);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(frames in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
        let mut session = session();
        for frame in frames {
            session.on_frame(&frame, at(0));
        }
    }
}
