//! What the business backend may do; its API key is its authority.

use std::sync::Arc;

use livegate_proto::client::{self as wire, CloseCode, push};
use livegate_proto::code::Code;

use super::Actions;
use super::client::session_frame;
use super::command::{EndLive, Kick, ListLives, Numbers, PushToRoom, PushToUser, Sender};
use crate::callback::tell::Said;
use crate::clock::Moment;
use crate::dispatch::SessionEvent;
use crate::event::{LiveEnded, Origin};
use crate::id::{AppId, RoomKey, UserId, UserKey};
use crate::rooms::{BackendPush, LiveReport, Pushed, Refusal, RoomReport};

/// How far a message to a user went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Sessions to which it was offered.
    pub sessions: u32,
}

/// One page of an app's lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Lives {
    /// By live id.
    pub lives: Vec<(RoomKey, LiveReport)>,
    /// There are more after the last one.
    pub more: bool,
}

impl Actions {
    /// Says something to everybody in a room.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::MUTED`] when the push is bound as a user's is
    /// and its sender is muted; [`Code::OVERLOADED`] when the room's log has no
    /// place.
    pub fn push_to_room(&self, push: PushToRoom, now: Moment) -> Result<Pushed, Refusal> {
        let room = self.room(push.room.app, &push.room.room)?;
        if push.bound
            && let Some(from) = &push.from
        {
            let user = from.user.clone();
            let app = push.room.app;
            self.must_not_be_muted_everywhere(&UserKey { app, user }, now)?;
        }
        let push = BackendPush {
            from: self.sender(push.room.app, push.from),
            content: push.content.into(),
            priority: push.priority,
            bound: push.bound,
            quiet: push.quiet,
            operator: self.operator(push.room.app, push.operator.as_ref()).into(),
            random: push.random,
            message_id: push.message_id.into(),
        };
        room.push(push, now)
    }

    /// Says something to every session of a user.
    ///
    /// # Errors
    /// [`Code::NO_APP`] when the app is not configured.
    pub fn push_to_user(&self, push: PushToUser, now: Moment) -> Result<Offered, Refusal> {
        self.must_know(push.to.app)?;
        let from = self.sender(push.to.app, push.from);
        let parts = if push.quiet {
            None
        } else {
            self.parts_to_report(push.to.app, &push.content)
        };
        let sender = parts.is_some().then(|| from.user_id.clone());
        let sessions = self.tell_user(&push.to, from, String::new(), push.content, now);
        if let (Some(content), Some(from)) = (&parts, &sender) {
            let said = Said {
                from,
                operator: from,
                random: push.numbers.map(|numbers| numbers.random),
                content,
            };
            let seq = self.seq_of(push.numbers);
            self.report_direct(&said, &push.to, (Origin::Api, seq), now.unix);
        }
        Ok(Offered { sessions })
    }

    /// Takes a user out of a room, or off the gateway. Returns how many
    /// sessions that were.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::NO_APP`].
    pub fn kick(&self, kick: &Kick, now: Moment) -> Result<u32, Refusal> {
        self.must_know(kick.user.app)?;
        if let Some(room) = &kick.room {
            let room = self.room(kick.user.app, room)?;
            return Ok(room.kick(&kick.user.user, &kick.reason, now));
        }
        let sessions = self.online.find(&kick.user);
        let told = wire::Kicked {
            reason: kick.reason.clone(),
            banned_until_ms: 0,
        };
        let frame = session_frame(push::Body::Kicked(told), now.unix);
        for session in &sessions {
            let essential = crate::dispatch::Class::Essential;
            let direct = SessionEvent::Direct(frame.clone(), essential);
            self.dispatch.event(*session, direct);
            let close = SessionEvent::Close(CloseCode::Kicked, 0);
            self.dispatch.event(*session, close);
        }
        Ok(u32::try_from(sessions.len()).unwrap_or(u32::MAX))
    }

    /// Reads a room.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn room_report(&self, room: &RoomKey) -> Result<RoomReport, Refusal> {
        Ok(self.room(room.app, &room.room)?.report())
    }

    /// Lists an app's lives that have not ended.
    ///
    /// # Errors
    /// [`Code::NO_APP`].
    pub fn list_lives(&self, list: &ListLives, now: Moment) -> Result<Lives, Refusal> {
        self.must_know(list.app)?;
        let limit = list.limit as usize;
        let mut lives = self.rooms.lives(list.app, list.after, limit + 1, now);
        let more = lives.len() > limit;
        lives.truncate(limit);
        Ok(Lives { lives, more })
    }

    /// Ends a live and waits until that is recorded.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::NO_LIVE`].
    pub async fn end_live(&self, end: EndLive, now: Moment) -> Result<Arc<LiveEnded>, Refusal> {
        let room = self.room(end.room.app, &end.room.room)?;
        room.end_for_backend(end.live, now).await
    }

    pub(super) fn must_not_be_muted_everywhere(
        &self,
        user: &UserKey,
        now: Moment,
    ) -> Result<(), Refusal> {
        match self.directory.is_muted_in_rooms(user, now.unix) {
            true => Err(Code::MUTED.into()),
            false => Ok(()),
        }
    }

    pub(super) fn must_know(&self, app: AppId) -> Result<(), Refusal> {
        if self.keys.knows(app) {
            return Ok(());
        }
        Err(Code::NO_APP.into())
    }

    /// The number of a message to a user; one of livegate's own where the
    /// caller gave none.
    pub(super) fn seq_of(&self, numbers: Option<Numbers>) -> u32 {
        numbers.map_or_else(|| self.teller.number(), |numbers| numbers.seq)
    }

    /// Who calls; a backend that is known by its key alone is its app's admin.
    pub(super) fn operator<'a>(&'a self, app: AppId, caller: Option<&'a UserId>) -> &'a str {
        caller.map_or(&self.policy(app).admin, UserId::as_str)
    }

    pub(super) fn sender(&self, app: AppId, from: Option<Sender>) -> wire::User {
        match from {
            Some(from) => wire::User {
                user_id: from.user.to_string(),
                profile: Some(from.profile),
            },
            None => wire::User {
                user_id: self.policy(app).admin.to_owned(),
                profile: None,
            },
        }
    }
}
