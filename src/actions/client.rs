//! What a client's verbs do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use livegate_proto::Encoded;
use livegate_proto::client::{
    self as wire, Push, RenewSigReply, Role, SendReply, ServerFrame, push, reply,
};
use livegate_proto::code::Code;
use secrecy::{ExposeSecret, SecretString};

use super::content::Content;
use super::verb::Verb;
use super::{Actions, Caller, Done, Entry, Renewed, RoomsPerUser};
use crate::callback::tell::{Said, random_of};
use crate::clock::{Moment, Unix};
use crate::dispatch::{Class, SessionEvent};
use crate::id::{RoomId, RoomKey, RoomUid, UserId, UserKey};
use crate::rooms::dedupe::Place;
use crate::rooms::live::Asker;
use crate::rooms::{
    By, CreateArgs, DestroyedBy, EnterArgs, ProfileChange, Publish, Refusal, StartLiveArgs,
};

/// Rights of a signature in a room: a signature that carries none says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Create,
    Enter,
}

impl Actions {
    /// Carries a client's verb out.
    pub(super) fn carry_out(
        &self,
        caller: &Caller<'_>,
        request_id: u64,
        verb: Verb,
        now: Moment,
    ) -> Result<Done, Refusal> {
        let asker = Asker {
            session: caller.session,
            request_id,
        };
        let app = caller.key.app;
        match verb {
            Verb::Enter { room, profile } => self.enter(caller, room, profile, now),
            // The session's owner holds the membership and ends it itself.
            Verb::Leave { .. } => Err(Code::NOT_IN_ROOM.into()),
            // It knows the session's rooms and address, too: see `Actions::call`.
            Verb::Call { .. } => Err(Code::UNSUPPORTED.into()),
            Verb::Create { room, info } => self.create(caller, asker, room, info, now),
            Verb::Destroy { room } => {
                let by = DestroyedBy::User(caller.key.user.clone(), asker, caller.origin);
                self.room(app, &room)?.destroy(by, now)?;
                Ok(Done::Deferred)
            }
            Verb::List { limit, cursor } => self.list(caller, limit, &cursor, now),
            Verb::Info { room } => {
                let room = Some(self.room(app, &room)?.summary());
                let body = wire::RoomInfoReply { room };
                Ok(Done::Reply(Some(reply::Body::RoomInfo(body))))
            }
            Verb::Members {
                room,
                limit,
                cursor,
            } => {
                let body = self.room(app, &room)?.members(limit, &cursor)?;
                Ok(Done::Reply(Some(reply::Body::Members(body))))
            }
            Verb::RenewSig { sig } => self.renew(caller, &sig, now.unix),
            Verb::Direct {
                user,
                content,
                message_id,
            } => self.direct(caller, &user, content, message_id, now),
            Verb::SetAttributes { room, change } => {
                let by = By::Member(caller.session);
                let version = self.room(app, &room)?.set_attributes(&by, change, now)?;
                let body = wire::SetAttributesReply { version };
                Ok(Done::Reply(Some(reply::Body::SetAttributes(body))))
            }
            Verb::Mic { room, deed } => self.mic(caller, &room, deed, now),
            verb @ (Verb::Publish { .. }
            | Verb::Like { .. }
            | Verb::StartLive { .. }
            | Verb::EndLive { .. }
            | Verb::History { .. }) => self.in_room(caller, asker, verb, now),
        }
    }

    /// What a member does in its room; the room knows its members.
    fn in_room(
        &self,
        caller: &Caller<'_>,
        asker: Asker,
        verb: Verb,
        now: Moment,
    ) -> Result<Done, Refusal> {
        let app = caller.key.app;
        match verb {
            Verb::Publish {
                room,
                content,
                priority,
                message_id,
            } => {
                self.must_not_be_muted_everywhere(caller.key, now)?;
                let publish = Publish {
                    session: caller.session,
                    content: content.into(),
                    priority,
                    message_id: message_id.into(),
                };
                let published = self.room(app, &room)?.publish(publish, now)?;
                Ok(Done::Reply(Some(reply::Body::Send(published.wire()))))
            }
            Verb::Like { room, count } => {
                self.room(app, &room)?.like(caller.session, count, now)?;
                Ok(Done::Reply(Some(reply::Body::Send(sent(now.unix)))))
            }
            Verb::StartLive {
                room,
                start_id,
                grace,
            } => {
                let args = StartLiveArgs {
                    asker,
                    start_id: start_id.into(),
                    grace,
                };
                self.room(app, &room)?.start_live(args, now)?;
                Ok(Done::Deferred)
            }
            Verb::EndLive { room, live } => {
                self.room(app, &room)?.end_live(asker, live, now)?;
                Ok(Done::Deferred)
            }
            Verb::History { room, after, limit } => {
                let room = self.room(app, &room)?;
                let body = room.history(caller.session, after, limit)?;
                Ok(Done::Reply(Some(reply::Body::History(body))))
            }
            other => {
                debug_assert!(false, "{other:?} is not said in a room");
                Err(Code::UNSUPPORTED.into())
            }
        }
    }

    fn enter(
        &self,
        caller: &Caller<'_>,
        id: RoomId,
        profile: Option<Box<wire::Profile>>,
        now: Moment,
    ) -> Result<Done, Refusal> {
        may_enter(caller, &id, now.unix)?;
        let may_publish = caller
            .privileges
            .map(|privileges| privileges.may_publish(&id, now.unix));
        let is_admin = self.keys.is_admin(caller.key.app, &caller.key.user);
        let role = if is_admin { Role::Admin } else { Role::Viewer };
        let key = RoomKey {
            app: caller.key.app,
            room: id,
        };
        let own = profile.map_or_else(|| Arc::clone(caller.profile), |own| Arc::new(*own));
        let args = EnterArgs {
            session: caller.session,
            user: caller.key.user.clone(),
            profile: self.directory.fix(caller.key, own),
            role,
            may_publish,
            origin: caller.origin,
        };
        let room = self.rooms.find_or_open(&key, now)?;
        let number = self.entries.fetch_add(1, Ordering::Relaxed);
        let entered = room.enter(args, now)?;
        self.leave_others(caller.key, room.uid(), number);
        Ok(Done::Entered(Box::new(Entry {
            room,
            entered,
            number,
        })))
    }

    /// Where an app allows a user one room at a time, has all their sessions
    /// leave those entered before. Two who enter at once agree which is the
    /// later one by its number.
    fn leave_others(&self, user: &UserKey, room: RoomUid, entry: u64) {
        if self.policy(user.app).rooms_per_user == RoomsPerUser::Many {
            return;
        }
        for session in self.online.find(user) {
            let elsewhere = SessionEvent::Elsewhere { room, entry };
            self.dispatch.event(session, elsewhere);
        }
    }

    fn create(
        &self,
        caller: &Caller<'_>,
        asker: Asker,
        room: Option<RoomId>,
        info: livegate_proto::Bytes,
        now: Moment,
    ) -> Result<Done, Refusal> {
        self.may_create(caller, room.as_ref(), now.unix)?;
        let args = CreateArgs {
            asker,
            origin: caller.origin,
            operator: caller.key.user.as_str().into(),
            owner: Some(caller.key.user.clone()),
            info,
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        self.rooms.create(caller.key.app, room, args, now)?;
        Ok(Done::Deferred)
    }

    /// Refuses who has no right to make this room.
    pub(super) fn may_create(
        &self,
        caller: &Caller<'_>,
        room: Option<&RoomId>,
        now: Unix,
    ) -> Result<(), Refusal> {
        match room {
            Some(id) => must_have(caller, Right::Create, id, now)?,
            // A right is bound to a room: there is none to an assigned id.
            None if caller.privileges.is_some() => return Err(Code::NO_PERMISSION.into()),
            None => {}
        }
        if !self.policy(caller.key.app).create_rooms {
            return Err(Code::NO_PERMISSION.into());
        }
        Ok(())
    }

    fn list(
        &self,
        caller: &Caller<'_>,
        limit: u32,
        cursor: &str,
        now: Moment,
    ) -> Result<Done, Refusal> {
        if !self.policy(caller.key.app).list_rooms {
            return Err(Code::NO_PERMISSION.into());
        }
        let body = self.rooms.list(caller.key.app, limit, cursor, now)?;
        Ok(Done::Reply(Some(reply::Body::ListRooms(body))))
    }

    fn direct(
        &self,
        caller: &Caller<'_>,
        to: &UserId,
        content: Content,
        message_id: String,
        now: Moment,
    ) -> Result<Done, Refusal> {
        if self.directory.is_muted_directly(caller.key, now.unix) {
            return Err(Code::DIRECT_MUTED.into());
        }
        let profile = self.directory.fix(caller.key, Arc::clone(caller.profile));
        let from = wire::User {
            user_id: caller.key.user.to_string(),
            profile: Some((*profile).clone()),
        };
        let to = UserKey {
            app: caller.key.app,
            user: to.clone(),
        };
        let id: Arc<str> = message_id.as_str().into();
        let user = &caller.key.user;
        if let Some(app) = self.apps.get(&caller.key.app) {
            let before = app.sent.lock().find(user, &id, now.instant);
            if let Some(place) = before {
                return Ok(Done::Reply(Some(reply::Body::Send(sent(place.time)))));
            }
        }
        let parts = self.parts_to_report(to.app, &content);
        if self.tell_user(&to, from, message_id, content, now) == 0 {
            return Err(Refusal::with(Code::NO_USER, "the user is not online"));
        }
        if let Some(content) = &parts {
            let said = Said {
                from: user.as_str(),
                operator: user.as_str(),
                random: random_of(&id),
                content,
            };
            let seq = self.teller.number();
            self.report_direct(&said, &to, (caller.origin, seq), now.unix);
        }
        if let Some(app) = self.apps.get(&caller.key.app) {
            let place = Place {
                seq: 0,
                time: now.unix,
            };
            app.sent.lock().remember(user, &id, place, now.instant);
        }
        Ok(Done::Reply(Some(reply::Body::Send(sent(now.unix)))))
    }

    /// Offers a message to every session of a user; returns to how many.
    pub(super) fn tell_user(
        &self,
        to: &UserKey,
        from: wire::User,
        message_id: String,
        content: Content,
        now: Moment,
    ) -> u32 {
        let sessions = self.online.find(to);
        if sessions.is_empty() {
            return 0;
        }
        let message = wire::UserMessage {
            from: Some(from),
            client_message_id: message_id,
            content: Some(content.into()),
        };
        let frame = session_frame(push::Body::UserMessage(message), now.unix);
        for session in &sessions {
            let direct = SessionEvent::Direct(frame.clone(), Class::High);
            self.dispatch.event(*session, direct);
        }
        u32::try_from(sessions.len()).unwrap_or(u32::MAX)
    }

    fn renew(&self, caller: &Caller<'_>, sig: &SecretString, now: Unix) -> Result<Done, Refusal> {
        let user = Some(caller.key.user.as_str());
        let verified = self
            .keys
            .verify(caller.key.app, user, sig.expose_secret(), now)
            .and_then(|sig| sig.unless_revoked(self.directory.revoked_at(caller.key)))
            .map_err(|error| Refusal::new(error.code()))?;
        Ok(Done::Renewed(Renewed {
            expires: verified.expires_at,
            privileges: verified.privileges.map(Box::new),
            reply: reply::Body::RenewSig(RenewSigReply {
                sig_expires_at: i64::try_from(verified.expires_at.seconds()).unwrap_or(i64::MAX),
            }),
        }))
    }
}

/// Refuses who has no right to enter this room.
pub(super) fn may_enter(caller: &Caller<'_>, room: &RoomId, now: Unix) -> Result<(), Refusal> {
    must_have(caller, Right::Enter, room, now)
}

fn must_have(caller: &Caller<'_>, right: Right, room: &RoomId, now: Unix) -> Result<(), Refusal> {
    let has = caller.privileges.is_none_or(|privileges| match right {
        Right::Create => privileges.may_create(room, now),
        Right::Enter => privileges.may_enter(room, now),
    });
    if has {
        return Ok(());
    }
    let message = "the signature does not allow this in this room";
    Err(Refusal::with(Code::NO_PERMISSION, message))
}

/// The answer to a message that is taken and goes nowhere.
pub(super) fn taken(now: Unix) -> Done {
    Done::Reply(Some(reply::Body::Send(sent(now))))
}

/// What a Send that has no place in a room's order is answered.
fn sent(now: Unix) -> SendReply {
    SendReply {
        time_ms: now.millis_i64(),
        ..SendReply::default()
    }
}

/// A frame of the session's own, of no room.
pub(super) fn session_frame(body: push::Body, now: Unix) -> Encoded {
    Encoded::new(&ServerFrame {
        pushes: vec![Push {
            time_ms: now.millis_i64(),
            body: Some(body),
            ..Push::default()
        }],
        ..ServerFrame::default()
    })
}
