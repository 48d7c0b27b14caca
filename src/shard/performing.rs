//! How a shard has a session's verbs carried out, and what follows for its
//! subscriptions.

use livegate_proto::Encoded;
use livegate_proto::client::{Kicked, Push, ServerFrame, push, reply};
use livegate_proto::code::Code;
use smallvec::SmallVec;

use crate::actions::outcome::{Change, Joined as Membership, Outcome};
use crate::actions::verb::Verb;
use crate::actions::{Caller, Done, Entry};
use crate::clock::Moment;
use crate::dispatch::{Asked, SessionEvent};
use crate::id::{RoomId, RoomUid, SessionId};
use crate::rooms::{LeaveCause, Refusal};
use crate::shard::carrier::Carrier;
use crate::shard::connection::{Connection, Joined};
use crate::shard::state::State;
use crate::shard::window::Window;

/// Why a client is told that it is out of a room.
const ENTERED_ANOTHER: &str = "entered_another_room";

impl<C: Carrier> State<C> {
    /// Carries a verb out; `None` when its answer comes later, as an event.
    pub(crate) fn perform(
        &mut self,
        id: SessionId,
        request_id: u64,
        verb: Verb,
        now: Moment,
    ) -> Option<Outcome> {
        if let Verb::Leave { room } = &verb {
            let left = self.leave(id, room, now);
            return Some(left.unwrap_or_else(|code| refused(code.into())));
        }
        let connection = self.slots.get_mut(id)?;
        if let Verb::Call { .. } = verb {
            let call = connection.call(verb)?;
            return match self.parts.actions.call(call, request_id) {
                Ok(_) => None,
                Err(refusal) => Some(refused(refusal)),
            };
        }
        let caller = caller(id, connection);
        let done = self.parts.actions.perform(&caller, request_id, verb, now);
        self.done(id, done, now)
    }

    /// Goes on with a verb about which the backend was asked first.
    pub(super) fn asked(&mut self, id: SessionId, asked: Asked, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        // Closing: its rooms were left, and nothing may bring it into one.
        if connection.closing.is_some() {
            return;
        }
        let caller = caller(id, connection);
        let resumed = self.parts.actions.resume(&caller, asked, now);
        let Some((request_id, done)) = resumed else {
            return;
        };
        let Some(outcome) = self.done(id, done, now) else {
            return;
        };
        if let Some(connection) = self.slots.get_mut(id) {
            let actions = connection.session.on_outcome(request_id, outcome, now);
            self.act(id, actions, now);
            self.flush_out(id, now);
            self.rearm(id);
        }
    }

    fn done(&mut self, id: SessionId, done: Result<Done, Refusal>, now: Moment) -> Option<Outcome> {
        match done {
            Ok(Done::Reply(body)) => Some(Outcome::done(body)),
            Ok(Done::Deferred) => None,
            Ok(Done::Entered(entry)) => Some(self.join(id, *entry, now)),
            Ok(Done::Renewed(renewed)) => {
                let change = Change::Renewed {
                    sig_expires: renewed.expires,
                    privileges: renewed.privileges,
                };
                Some(Outcome::done(Some(renewed.reply)).with(change))
            }
            Err(refusal) => Some(refused(refusal)),
        }
    }

    fn leave(&mut self, id: SessionId, room: &RoomId, now: Moment) -> Result<Outcome, Code> {
        let connection = self.slots.get_mut(id).ok_or(Code::NOT_IN_ROOM)?;
        let uid = connection.session.room(room).ok_or(Code::NOT_IN_ROOM)?;
        let last_seen = connection.last_seen;
        if let Some(joined) = self.leave_room(id, uid) {
            joined.membership.leave(LeaveCause::Left, last_seen, now);
        }
        Ok(Outcome::done(None).with(Change::Left(uid)))
    }

    /// The user entered `kept`, and may be in one room only: takes the session
    /// out of those that it entered before, and tells the client why.
    pub(super) fn leave_others(&mut self, id: SessionId, kept: RoomUid, entry: u64, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        let last_seen = connection.last_seen;
        let others = connection.joined.iter();
        let others: SmallVec<[RoomUid; 1]> = others
            .filter(|joined| joined.room.uid() != kept && joined.entry < entry)
            .map(|joined| joined.room.uid())
            .collect();
        for room in others {
            // What was said before it left concerns it still.
            self.serve_to_head(id, room, now);
            let Some(joined) = self.leave_room(id, room) else {
                continue;
            };
            let frame = entered_another(&joined.room.key().room, now);
            let cause = LeaveCause::EnteredAnother;
            joined.membership.leave(cause, last_seen, now);
            self.tell_session(id, SessionEvent::Removed(room, frame), now);
        }
    }

    /// Subscribes a session to the room that it has entered. One that was in
    /// it already goes on under its new membership.
    fn join(&mut self, id: SessionId, entry: Entry, now: Moment) -> Outcome {
        let Entry {
            room,
            entered,
            number,
        } = entry;
        let uid = room.uid();
        drop(self.leave_room(id, uid));
        let window = Window::new(self.parts.config.fanout);
        let index = self.rooms.add(&room, id, window);
        let change = Change::Entered(Membership {
            uid,
            room: room.key().room.clone(),
            role: entered.snapshot.role(),
            hosting: entered.hosting,
            publishing: entered.publishing,
        });
        let joined = Joined {
            membership: entered.membership,
            entry: number,
            index,
            cursor: entered.seq,
            flash: entered.flash,
            room,
        };
        if let Some(connection) = self.slots.get_mut(id) {
            connection.joined.push(joined);
        }
        // What was appended since its entry may have rung before this shard
        // followed the room.
        self.rung(uid, now.instant);
        Outcome::done(Some(reply::Body::EnterRoom(entered.snapshot))).with(change)
    }
}

/// Tells a client that it is no longer in a room because its user is in another.
fn entered_another(room: &RoomId, now: Moment) -> Encoded {
    let kicked = Kicked {
        reason: ENTERED_ANOTHER.to_owned(),
        banned_until_ms: 0,
    };
    Encoded::new(&ServerFrame {
        pushes: vec![Push {
            room_id: room.to_string(),
            time_ms: now.unix.millis_i64(),
            body: Some(push::Body::Kicked(kicked)),
            ..Push::default()
        }],
        ..ServerFrame::default()
    })
}

fn caller<C: Carrier>(id: SessionId, connection: &Connection<C>) -> Caller<'_> {
    let identity = connection.session.identity();
    Caller {
        session: id,
        key: &identity.key,
        profile: &identity.profile,
        privileges: identity.privileges.as_deref(),
        origin: connection.origin(),
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::refused(refusal.code, refusal.message, refusal.retry_after)
}
