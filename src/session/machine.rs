//! The protocol of a logged-in connection: frames, outcomes, events and time
//! in; actions out.
//!
//! Invariants:
//! - a request gets exactly one reply, unless the connection ends first;
//! - a request id is in flight at most once; 0 is a Ping that wants no reply;
//! - after [`Action::Close`] nothing comes out, so nothing is performed;
//! - the rooms held and asked for never exceed the limit;
//! - every frame is charged to a quota, whatever becomes of it.
//!
//! One exists per connection and rests most of the time, so it is small: what
//! is shared is behind an `Arc`, what is large is boxed when it is made.

mod action;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    ClientFrame, CloseCode, PingReply, Platform, Profile, Reply, Role, SigExpiring, push, reply,
    send_request,
};
use livegate_proto::code::Code;
use livegate_proto::{Encoded, codec};
use smallvec::{SmallVec, smallvec};

pub use self::action::{Action, Actions};
use self::action::{push_with, refuse, reply_with};
use super::config::SessionConfig;
use super::expiry::{Expiry, Look, Notice};
use super::flight::{Flying, InFlight};
use super::heartbeat::Heartbeat;
use super::quota::{Kind, Quota, Verdict};
use crate::actions::outcome::{Change, Joined, Outcome};
use crate::actions::verb::Verb;
use crate::auth::Privileges;
use crate::clock::{Instant, Moment, Unix};
use crate::dispatch::{Class, SessionEvent};
use crate::id::{RoomId, RoomUid, SessionId, UserKey};

/// When to try again where too many requests are in flight: answers take
/// about as long as a commit.
const IN_FLIGHT_RETRY: Duration = Duration::from_millis(100);

/// Who logged in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Of the session.
    pub id: SessionId,
    /// The user.
    pub key: UserKey,
    /// Where the app runs.
    pub platform: Platform,
    /// Stamped on what the user says.
    pub profile: Arc<Profile>,
    /// When the signature ends.
    pub sig_expires: Unix,
    /// Rights that the signature is bound to; `None`: bound to none. Enforced
    /// by the actions.
    pub privileges: Option<Box<Privileges>>,
}

/// How a session begins.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Of the Login that is answered.
    pub request_id: u64,
    /// Random: spreads the heartbeats of sessions that begin together.
    pub jitter: u16,
    /// Whether the user's app takes calls, whose bodies need longer frames.
    pub calls: bool,
}

/// A logged-in connection.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    config: Arc<SessionConfig>,
    expiry: Expiry,
    quota: Quota,
    rooms: SmallVec<[Joined; 1]>,
    in_flight: InFlight,
    throttled: u32,
    jitter: u16,
    calls: bool,
    closed: bool,
}

impl Session {
    /// Begins a session; the action is the reply to its Login.
    pub fn new(
        identity: Identity,
        opening: Opening,
        config: Arc<SessionConfig>,
        now: Moment,
    ) -> (Self, Actions) {
        let session = Self {
            expiry: Expiry::new(identity.sig_expires, notice(&config), now),
            identity,
            config,
            quota: Quota::default(),
            rooms: SmallVec::new(),
            in_flight: InFlight::default(),
            throttled: 0,
            jitter: opening.jitter,
            calls: opening.calls,
            closed: false,
        };
        let welcome = session.welcome(now);
        let welcome = reply_with(opening.request_id, reply::Body::Login(welcome));
        (session, smallvec![welcome])
    }

    /// Takes one frame body of at most [`max_frame_bytes`](Self::max_frame_bytes).
    pub fn on_frame(&mut self, body: &[u8], now: Moment) -> Actions {
        if self.closed {
            return Actions::new();
        }
        let Ok(ClientFrame { request_id, body }) = codec::decode(body) else {
            return self.close(CloseCode::ProtocolError, Duration::ZERO);
        };
        match self.charge(body.as_ref(), now) {
            Verdict::Admit => self.on_request(request_id, body, now),
            Verdict::Throttle(wait) => self.on_throttled(request_id, body.as_ref(), wait),
            Verdict::Abuse => self.close(CloseCode::RateLimited, self.config.quota.penalty),
        }
    }

    /// Takes the outcome of a verb that was to be performed. One that is not
    /// in flight is ignored.
    pub fn on_outcome(&mut self, request_id: u64, outcome: Outcome, now: Moment) -> Actions {
        let Outcome { reply, change } = outcome;
        if self.closed || !self.in_flight.remove(request_id) {
            return Actions::new();
        }
        let before = self.heartbeat();
        let told = matches!(reply.body, Some(reply::Body::EnterRoom(_)));
        if let Some(change) = change {
            self.apply(change, now);
        }
        let mut actions: Actions = smallvec![self.answer(request_id, Box::new(reply))];
        if !told && self.heartbeat() != before {
            actions.push(self.role_changed(None, now));
        }
        actions
    }

    /// Takes what happened to the session elsewhere. A frame that comes with
    /// it is forwarded.
    pub fn on_event(&mut self, event: SessionEvent, now: Moment) -> Actions {
        if self.closed {
            return Actions::new();
        }
        match event {
            SessionEvent::Direct(frame, class) => smallvec![Action::Forward(frame, class)],
            SessionEvent::Answered(reply) => {
                if !self.in_flight.remove(reply.request_id) {
                    return Actions::new();
                }
                smallvec![self.answer(reply.request_id, reply)]
            }
            SessionEvent::Removed(room, frame) => self.on_removed(room, frame, now),
            SessionEvent::Hosting(room, on) => self.on_hosting(room, on, now),
            SessionEvent::Role {
                room,
                role,
                publishing,
            } => self.on_role(room, role, publishing, now),
            // The connection's owner knows the rooms with their order.
            // The shard's own: it comes back as the outcome of a verb.
            SessionEvent::Asked(_) | SessionEvent::Elsewhere { .. } => Actions::new(),
            SessionEvent::Close(code, retry_after_ms) => {
                self.close(code, Duration::from_millis(retry_after_ms.into()))
            }
        }
    }

    /// When to call [`on_deadline`](Self::on_deadline) next.
    pub fn deadline(&self) -> Instant {
        self.expiry.due()
    }

    /// Looks at the signature: tells once that it is about to end, and closes
    /// the session when it has ended and was not renewed.
    pub fn on_deadline(&mut self, now: Moment) -> Actions {
        if self.closed {
            return Actions::new();
        }
        match self.expiry.look(notice(&self.config), now) {
            Look::Fine => Actions::new(),
            Look::Expiring => {
                let expires_at = seconds(self.identity.sig_expires);
                let body = push::Body::SigExpiring(SigExpiring { expires_at });
                smallvec![push_with(String::new(), body, now)]
            }
            Look::Expired => self.close(CloseCode::SigExpired, Duration::ZERO),
        }
    }

    /// The heartbeat that holds now. It may differ after each call that
    /// changes rooms; the client has then been told its interval.
    pub fn heartbeat(&self) -> Heartbeat {
        let heard_often = |joined: &Joined| joined.hosting || joined.publishing;
        let often = self.rooms.iter().any(heard_often);
        Heartbeat::new(&self.config.heartbeat, often, self.jitter)
    }

    /// Most bytes of the client's next frame body.
    pub fn max_frame_bytes(&self) -> usize {
        let config = &self.config;
        let as_speaker = match self.is_speaker() {
            true => config.speaker_frame_bytes,
            false => config.viewer_frame_bytes,
        };
        match self.calls {
            true => as_speaker.max(config.caller_frame_bytes),
            false => as_speaker,
        }
    }

    /// Who logged in, with the signature that holds now.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The rooms that the session is in.
    pub fn rooms(&self) -> &[Joined] {
        &self.rooms
    }

    /// The incarnation of `room` that the session is in.
    pub fn room(&self, room: &RoomId) -> Option<RoomUid> {
        let joined = self.rooms.iter().find(|joined| joined.room == *room);
        joined.map(|joined| joined.uid)
    }

    /// Requests that wait for their answers.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Requests refused because they came too fast: for the closing log line.
    pub fn throttled(&self) -> u32 {
        self.throttled
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn charge(&mut self, body: Option<&Body>, now: Moment) -> Verdict {
        let speaker = self.is_speaker();
        let quota = &self.config.quota;
        self.quota.charge(kind(body), speaker, quota, now.instant)
    }

    fn on_throttled(&mut self, request_id: u64, body: Option<&Body>, wait: Duration) -> Actions {
        self.throttled = self.throttled.saturating_add(1);
        let code = match kind(body) {
            Kind::Chat => Code::MESSAGE_RATE,
            Kind::Like | Kind::Control => Code::TOO_FREQUENT,
        };
        match (request_id, body) {
            (0, Some(Body::Ping(_))) => Actions::new(),
            (0, _) => self.close(CloseCode::ProtocolError, Duration::ZERO),
            _ => refuse(request_id, code, code.text(), Some(wait)),
        }
    }

    fn on_request(&mut self, request_id: u64, body: Option<Body>, now: Moment) -> Actions {
        match (request_id, body) {
            (0, Some(Body::Ping(_))) => Actions::new(),
            (0, _) => self.close(CloseCode::ProtocolError, Duration::ZERO),
            _ if self.in_flight.contains(request_id) => {
                let code = Code::DUPLICATE_REQUEST;
                refuse(request_id, code, code.text(), None)
            }
            (_, None) => refuse(
                request_id,
                Code::UNSUPPORTED,
                Code::UNSUPPORTED.text(),
                None,
            ),
            (_, Some(Body::Ping(_))) => {
                let time_ms = now.unix.millis_i64();
                smallvec![reply_with(
                    request_id,
                    reply::Body::Ping(PingReply { time_ms })
                )]
            }
            (_, Some(Body::Logout(_))) => self.on_logout(request_id),
            (_, Some(body)) => self.on_verb(request_id, body),
        }
    }

    fn on_logout(&mut self, request_id: u64) -> Actions {
        let mut actions: Actions = smallvec![Action::Reply(Box::new(Reply {
            request_id,
            ..Reply::default()
        }))];
        actions.extend(self.close(CloseCode::LoggedOut, Duration::ZERO));
        actions
    }

    fn on_verb(&mut self, request_id: u64, body: Body) -> Actions {
        if self.in_flight.len() >= self.config.max_in_flight {
            let text = "too many requests in flight";
            return refuse(request_id, Code::OVERLOADED, text, Some(IN_FLIGHT_RETRY));
        }
        let verb = match Verb::from_wire(body) {
            Ok(verb) => verb,
            Err(bad) => return refuse(request_id, bad.code, bad.message, None),
        };
        let kind = match &verb {
            Verb::Enter { room, .. } => {
                if self.room(room).is_none() && self.rooms_taken() >= self.config.max_rooms {
                    let code = Code::TOO_MANY_ROOMS;
                    return refuse(request_id, code, code.text(), None);
                }
                Flying::Enter
            }
            Verb::Call { .. } => {
                if self.in_flight.count(Flying::Call) >= self.config.max_calls {
                    let code = Code::TOO_MANY_CALLS;
                    return refuse(request_id, code, code.text(), Some(IN_FLIGHT_RETRY));
                }
                Flying::Call
            }
            _ => Flying::Other,
        };
        self.in_flight.insert(request_id, kind);
        smallvec![Action::Perform { request_id, verb }]
    }

    /// Rooms that the session is in or has asked to enter.
    fn rooms_taken(&self) -> usize {
        self.rooms.len() + self.in_flight.count(Flying::Enter)
    }

    fn apply(&mut self, change: Change, now: Moment) {
        match change {
            Change::Entered(joined) => {
                self.rooms.retain(|held| held.room != joined.room);
                self.rooms.push(joined);
            }
            Change::Left(uid) => self.rooms.retain(|held| held.uid != uid),
            Change::Renewed {
                sig_expires,
                privileges,
            } => {
                self.identity.sig_expires = sig_expires;
                self.identity.privileges = privileges;
                self.expiry = Expiry::new(sig_expires, notice(&self.config), now);
            }
        }
    }

    fn on_removed(&mut self, room: RoomUid, frame: Encoded, now: Moment) -> Actions {
        let before = self.heartbeat();
        self.rooms.retain(|joined| joined.uid != room);
        let mut actions: Actions = smallvec![Action::Forward(frame, Class::Essential)];
        if self.heartbeat() != before {
            actions.push(self.role_changed(None, now));
        }
        actions
    }

    fn on_hosting(&mut self, room: RoomUid, on: bool, now: Moment) -> Actions {
        let held = self.rooms.iter_mut().find(|joined| joined.uid == room);
        let Some(joined) = held.filter(|joined| joined.hosting != on) else {
            return Actions::new();
        };
        joined.hosting = on;
        let joined = joined.clone();
        smallvec![self.role_changed(Some(&joined), now)]
    }

    fn on_role(&mut self, room: RoomUid, role: Role, publishing: bool, now: Moment) -> Actions {
        let before = self.heartbeat();
        let held = self.rooms.iter_mut().find(|joined| joined.uid == room);
        let Some(joined) = held else {
            return Actions::new();
        };
        let same_role = std::mem::replace(&mut joined.role, role) == role;
        joined.publishing = publishing;
        let joined = joined.clone();
        if same_role && self.heartbeat() == before {
            return Actions::new();
        }
        smallvec![self.role_changed(Some(&joined), now)]
    }

    fn is_speaker(&self) -> bool {
        self.rooms.iter().any(|joined| {
            joined.hosting
                || joined.publishing
                || matches!(joined.role, Role::Host | Role::Publisher | Role::Admin)
        })
    }

    fn close(&mut self, code: CloseCode, retry_after: Duration) -> Actions {
        self.closed = true;
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        smallvec![Action::Close {
            code,
            retry_after_ms,
        }]
    }
}

fn kind(body: Option<&Body>) -> Kind {
    let Some(Body::Send(request)) = body else {
        return Kind::Control;
    };
    match request.content {
        Some(send_request::Content::Like(_)) => Kind::Like,
        _ => Kind::Chat,
    }
}

fn notice(config: &SessionConfig) -> Notice {
    Notice {
        before: config.sig_warning,
        after: config.sig_linger,
    }
}

fn seconds(at: Unix) -> i64 {
    i64::try_from(at.seconds()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
