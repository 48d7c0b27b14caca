//! A session and a client that may send anything: no panic, one reply for
//! each request, nothing after a close, nothing beyond its limit.
//!
//! The input is a script of steps; the low three bits of a step's first byte
//! say what it is: 0 to 4 a frame (a length byte and the body), 5 a wait (a
//! byte, in 16 ms), 6 the answer to a request in flight (a byte chooses it, the
//! high bits how it comes out), 7 an event (the high bits say which).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use livegate::actions::verb::Verb;
use livegate::clock::{Moment, Unix};
use livegate::dispatch::SessionEvent;
use livegate::id::{AppId, RoomUid, SessionId, ShardId, UserId, UserKey};
use livegate::session::{
    Action, Actions, Change, Identity, Joined, Opening, Outcome, Session, SessionConfig,
};
use livegate_proto::client::{ClientFrame, Platform, Role, ServerFrame};
use livegate_proto::code::Code;
use livegate_proto::{Encoded, codec};

const START: Moment = Moment {
    instant: livegate::clock::Instant::from_millis(1_000),
    unix: Unix(1_700_000_000_000),
};

/// See the head.
pub fn session_machine(script: &[u8]) {
    let mut world = World::new();
    let mut script = script.iter();
    while let Some(step) = script.next() {
        let high = step >> 3;
        match step & 7 {
            0..=4 => {
                let len = usize::from(script.next().copied().unwrap_or_default());
                let body: Vec<u8> = script.by_ref().take(len).copied().collect();
                world.frame(&body);
            }
            5 => world.wait(script.next().copied().unwrap_or_default()),
            6 => world.answer(script.next().copied().unwrap_or_default(), high),
            _ => world.event(high),
        }
    }
    world.end();
}

/// What a client and the actions behind the session see.
struct World {
    session: Session,
    limits: SessionConfig,
    now: Moment,
    closed: bool,
    flying: Vec<(u64, Verb)>,
    asked: BTreeMap<u64, u32>,
    answered: BTreeMap<u64, u32>,
}

impl World {
    fn new() -> Self {
        let identity = Identity {
            id: SessionId::new(ShardId(0), 1, 1),
            key: UserKey {
                app: AppId(1),
                user: UserId::new("alice").expect("an id"),
            },
            platform: Platform::Linux,
            profile: Arc::default(),
            sig_expires: START.unix + Duration::from_secs(601),
            privileges: None,
        };
        let opening = Opening {
            request_id: 1,
            jitter: 7,
            calls: false,
        };
        let limits = SessionConfig::default();
        let config = Arc::new(limits.clone());
        Self {
            session: Session::new(identity, opening, config, START).0,
            limits,
            now: START,
            closed: false,
            flying: Vec::new(),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    fn frame(&mut self, body: &[u8]) {
        if let Ok(frame) = codec::decode::<ClientFrame>(body)
            && frame.request_id != 0
            && !self.closed
        {
            *self.asked.entry(frame.request_id).or_default() += 1;
        }
        let actions = self.session.on_frame(body, self.now);
        self.check(actions);
    }

    fn wait(&mut self, ticks: u8) {
        self.now = self.now + Duration::from_millis(u64::from(ticks) * 16);
    }

    fn answer(&mut self, which: u8, how: u8) {
        if self.flying.is_empty() {
            return;
        }
        let which = usize::from(which) % self.flying.len();
        let (id, verb) = self.flying.remove(which);
        let actions = self.session.on_outcome(id, outcome(&verb, how), self.now);
        self.check(actions);
    }

    fn event(&mut self, high: u8) {
        let room = RoomUid(u64::from(high >> 2));
        let actions = match high & 3 {
            0 => (self.session).on_event(SessionEvent::Hosting(room, true), self.now),
            1 => (self.session).on_event(SessionEvent::Hosting(room, false), self.now),
            2 => {
                let frame = Encoded::new(&ServerFrame::default());
                (self.session).on_event(SessionEvent::Removed(room, frame), self.now)
            }
            _ => {
                self.now = self.now + Duration::from_secs(60);
                self.session.on_deadline(self.now)
            }
        };
        self.check(actions);
    }

    fn check(&mut self, actions: Actions) {
        for action in actions {
            assert!(!self.closed, "after the close: {action:?}");
            match action {
                Action::Reply(reply) => *self.answered.entry(reply.request_id).or_default() += 1,
                Action::Perform { request_id, verb } => {
                    assert!(self.flying.iter().all(|(id, _)| *id != request_id));
                    self.flying.push((request_id, verb));
                }
                Action::Close { .. } => self.closed = true,
                Action::Push(_) | Action::Forward(..) => {}
            }
        }
        assert_eq!(self.session.is_closed(), self.closed);
        assert!(self.session.rooms().len() <= self.limits.max_rooms);
        assert!(self.session.in_flight() <= self.limits.max_in_flight);
    }

    fn end(mut self) {
        while !self.flying.is_empty() {
            self.answer(0, 0);
        }
        if !self.closed {
            assert_eq!(self.asked, self.answered);
        }
    }
}

fn outcome(verb: &Verb, how: u8) -> Outcome {
    let uid = |room: &livegate::id::RoomId| RoomUid(room.as_str().len() as u64);
    match verb {
        Verb::Enter { room, .. } if how > 0 => Outcome::done(None).with(Change::Entered(Joined {
            uid: uid(room),
            room: room.clone(),
            role: Role::Viewer,
            hosting: how == 1,
            publishing: how == 2,
        })),
        Verb::Leave { room } if how > 0 => Outcome::done(None).with(Change::Left(uid(room))),
        Verb::RenewSig { .. } if how > 0 => Outcome::done(None).with(Change::Renewed {
            sig_expires: START.unix + Duration::from_secs(u64::from(how) * 60),
            privileges: None,
        }),
        _ => Outcome::refused(Code::NO_PERMISSION, "no", None),
    }
}
