//! Any sequence of inputs: one reply to each request, nothing after a close.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
