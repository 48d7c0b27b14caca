//! What the business backend changes in rooms and of users, and what it asks
//! about them.

use std::time::Duration;

use livegate_proto::client::{self as wire, CloseCode, Role};
use livegate_proto::code::Code;

use super::Actions;
use super::command::{CreateRoom, Sender};
use super::content::Content;
use crate::clock::{Clock, Moment, Unix};
use crate::dispatch::SessionEvent;
use crate::engine::record::UserRecord;
use crate::id::{AppId, RoomId, RoomKey, UserId, UserKey};
use crate::rooms::{AttributesChange, By, CreateArgs, ProfileChange, Refusal};

/// Rooms that a broadcast reaches before it rests.
const BROADCAST_CHUNK: usize = 64;
/// How long it rests, so that rooms with something of their own to say are not
/// kept waiting.
const BROADCAST_REST: Duration = Duration::from_millis(2);

/// An account as the backend's directory shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mutes {
    /// In rooms, until then; `Unix(0)`: not.
    pub rooms: Unix,
    /// In messages to users, until then.
    pub direct: Unix,
}

impl Actions {
    /// Makes a room that lasts; waits until it is recorded.
    ///
    /// # Errors
    /// [`Code::ROOM_ID_IN_USE`], [`Code::ROOM_ALREADY_OWNED`],
    /// [`Code::ROOM_COUNT_LIMIT`], [`Code::BAD_ROOM_ID`],
    /// [`Code::STORE_UNAVAILABLE`].
    pub async fn create_room(&self, create: CreateRoom, now: Moment) -> Result<RoomId, Refusal> {
        self.must_know(create.app)?;
        let operator = self.operator(create.app, create.operator.as_ref());
        let args = |asker| CreateArgs {
            asker,
            origin: create.origin,
            operator: operator.into(),
            owner: create.owner,
            info: create.info,
            profile: create.profile,
            kind: create.kind,
        };
        self.rooms
            .create_for_backend(create.app, create.room, args, now)
            .await
    }

    /// Ends a room's live, then the room; waits until it is gone.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`], [`Code::STORE_UNAVAILABLE`].
    pub async fn destroy_room(&self, room: &RoomKey, now: Moment) -> Result<(), Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.destroy_for_backend(now).await
    }

    /// Changes what a room shows of itself. The backend is told `operator` as
    /// who did; `None`: it is not known.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::BAD_PARAMETER`], [`Code::OVERLOADED`].
    pub fn modify_room(
        &self,
        room: &RoomKey,
        change: ProfileChange,
        operator: Option<&UserId>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let operator = operator.map_or("", UserId::as_str);
        let room = self.room(room.app, &room.room)?;
        room.modify(change, operator, now)
    }

    /// Changes a room's attributes; returns their version.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::BAD_PARAMETER`], [`Code::OVERLOADED`].
    pub fn set_attributes(
        &self,
        room: &RoomKey,
        change: AttributesChange,
        now: Moment,
    ) -> Result<u64, Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.set_attributes(&By::Backend, change, now)
    }

    /// A room's attributes.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn attributes(&self, room: &RoomKey) -> Result<wire::Attributes, Refusal> {
        Ok(self.room(room.app, &room.room)?.attributes())
    }

    /// Keeps a user from speaking in a room for `span`; no time: lets them.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`].
    pub fn mute(
        &self,
        room: &RoomKey,
        user: &UserId,
        span: Span,
        now: Moment,
    ) -> Result<(), Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.mute(user, span.until(now.unix), now)
    }

    /// Who is muted in a room, until when (`Unix(u64::MAX)`: for good).
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn mutes(&self, room: &RoomKey, now: Moment) -> Result<Vec<(UserId, Unix)>, Refusal> {
        Ok(self.room(room.app, &room.room)?.mutes(now.unix))
    }

    /// Keeps a user out of a room for `span`, and takes them out; no time: lets
    /// them in. Returns how many sessions were taken out.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`].
    pub fn ban(
        &self,
        room: &RoomKey,
        user: &UserId,
        span: Span,
        reason: &str,
        now: Moment,
    ) -> Result<u32, Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.ban(user, span.until(now.unix), reason, now)
    }

    /// Who is banned from a room, until when.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn bans(&self, room: &RoomKey, now: Moment) -> Result<Vec<(UserId, Unix)>, Refusal> {
        Ok(self.room(room.app, &room.room)?.bans(now.unix))
    }

    /// Gives a user a role in a room that lasts, or the viewer's again.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`].
    pub fn set_role(
        &self,
        room: &RoomKey,
        user: &UserId,
        role: Role,
        now: Moment,
    ) -> Result<(), Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.set_role(&By::Backend, user, role, now)
    }

    /// A room's owner, and who has a role that lasts.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    #[allow(clippy::type_complexity)]
    pub fn roles(&self, room: &RoomKey) -> Result<(Option<UserId>, Vec<(UserId, Role)>), Refusal> {
        Ok(self.room(room.app, &room.room)?.roles())
    }

    /// Which of these users are in the room, with their roles.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn roles_of(&self, room: &RoomKey, users: &[UserId]) -> Result<Vec<Option<Role>>, Refusal> {
        let room = self.room(room.app, &room.room)?;
        Ok(users.iter().map(|user| room.role_of(user)).collect())
    }

    /// Gives a room another owner.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn change_owner(&self, room: &RoomKey, owner: UserId, now: Moment) -> Result<(), Refusal> {
        self.room(room.app, &room.room)?.change_owner(owner, now)
    }

    /// Takes messages back; what became of each.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`].
    pub fn recall(
        &self,
        room: &RoomKey,
        seqs: &[u64],
        reason: &str,
        now: Moment,
    ) -> Result<Vec<(u64, Code)>, Refusal> {
        self.room(room.app, &room.room)?.recall(seqs, reason, now)
    }

    /// Says something to the apps in a room, not to be shown.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::OVERLOADED`].
    pub fn notify(&self, room: &RoomKey, content: String, now: Moment) -> Result<(), Refusal> {
        self.room(room.app, &room.room)?.notify(content, now)
    }

    /// Up to `limit` messages with a seq of at most `before` (0: the newest),
    /// newest first, with whether each was recalled; and whether there are no
    /// older ones.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    #[allow(clippy::type_complexity)]
    pub fn newest_messages(
        &self,
        room: &RoomKey,
        before: u64,
        limit: usize,
    ) -> Result<(Vec<(wire::Push, bool)>, bool), Refusal> {
        let room = self.room(room.app, &room.room)?;
        Ok(room.newest_messages(before, limit))
    }

    /// One page of a room's members, in the order of entering.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::BAD_PARAMETER`].
    pub fn room_members(
        &self,
        room: &RoomKey,
        limit: u32,
        cursor: &str,
    ) -> Result<wire::MembersReply, Refusal> {
        self.room(room.app, &room.room)?.members(limit, cursor)
    }

    /// One page of an app's rooms.
    ///
    /// # Errors
    /// [`Code::NO_APP`], [`Code::BAD_PARAMETER`].
    pub fn list_rooms(
        &self,
        app: AppId,
        limit: u32,
        cursor: &str,
        now: Moment,
    ) -> Result<wire::ListRoomsReply, Refusal> {
        self.must_know(app)?;
        self.rooms.list(app, limit, cursor, now)
    }

    /// Summaries of all rooms of an app, by id.
    ///
    /// # Errors
    /// [`Code::NO_APP`].
    pub fn rooms_of_app(&self, app: AppId) -> Result<Vec<wire::RoomSummary>, Refusal> {
        self.must_know(app)?;
        let rooms = self.rooms.of_app(app);
        let mut rooms: Vec<_> = rooms.iter().map(|room| room.summary()).collect();
        rooms.sort_unstable_by(|a, b| a.room_id.cmp(&b.room_id));
        Ok(rooms)
    }

    /// The rooms that a user is in, with their role in each.
    ///
    /// # Errors
    /// [`Code::NO_APP`].
    pub fn rooms_of_user(&self, user: &UserKey) -> Result<Vec<(RoomKey, Role)>, Refusal> {
        self.must_know(user.app)?;
        let rooms = self.rooms.of_app(user.app);
        let here = rooms
            .iter()
            .filter_map(|room| Some((room.key().clone(), room.role_of(&user.user)?)));
        Ok(here.collect())
    }

    /// Says something in every room of an app, a few at a time. Returns in how
    /// many.
    ///
    /// # Errors
    /// [`Code::NO_APP`].
    pub async fn broadcast(
        &self,
        app: AppId,
        from: Option<Sender>,
        content: Content,
        clock: &Clock,
    ) -> Result<u32, Refusal> {
        self.must_know(app)?;
        let said = wire::Broadcast {
            from: Some(self.sender(app, from)),
            content: Some(content.into()),
        };
        let mut told = 0;
        for rooms in self.rooms.of_app(app).chunks(BROADCAST_CHUNK) {
            for room in rooms {
                // A room that ends or is full meanwhile is passed over.
                told += u32::from(room.broadcast(said.clone(), clock.now()).is_ok());
            }
            tokio::time::sleep(BROADCAST_REST).await;
        }
        Ok(told)
    }

    /// Voids every signature of a user that was issued until now, and closes
    /// their sessions. Returns how many.
    ///
    /// # Errors
    /// [`Code::NO_APP`], [`Code::STORE_UNAVAILABLE`].
    pub fn revoke(&self, user: &UserKey, now: Moment) -> Result<u32, Refusal> {
        self.must_know(user.app)?;
        let seconds = now.unix.seconds();
        self.directory
            .change(user, |kept| kept.revoked_s = kept.revoked_s.max(seconds))?;
        let sessions = self.online.find(user);
        for session in &sessions {
            let close = SessionEvent::Close(CloseCode::Kicked, 0);
            self.dispatch.event(*session, close);
        }
        Ok(u32::try_from(sessions.len()).unwrap_or(u32::MAX))
    }

    /// Keeps a user from speaking anywhere; `None` stays as it is.
    ///
    /// # Errors
    /// [`Code::NO_APP`], [`Code::STORE_UNAVAILABLE`].
    pub fn mute_everywhere(
        &self,
        user: &UserKey,
        rooms: Option<Span>,
        direct: Option<Span>,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.must_know(user.app)?;
        let until = |span: Span| match span.until(now.unix) {
            until if until > now.unix => until.0,
            _ => 0,
        };
        let change = self.directory.change(user, |kept| {
            if let Some(span) = rooms {
                kept.rooms_muted_ms = until(span);
            }
            if let Some(span) = direct {
                kept.direct_muted_ms = until(span);
            }
        });
        Ok(change?)
    }

    /// Fixes what a user shows: `None` stays as it is, an empty text is fixed
    /// no longer. What is fixed is shown from now on in the rooms of the user's
    /// sessions; what no longer is, from the next entering on.
    ///
    /// # Errors
    /// [`Code::NO_APP`], [`Code::STORE_UNAVAILABLE`].
    pub fn fix_profile(
        &self,
        user: &UserKey,
        nick: Option<String>,
        avatar_url: Option<String>,
    ) -> Result<(), Refusal> {
        self.change_account(user, |kept| {
            if let Some(nick) = nick {
                kept.nick = nick;
            }
            if let Some(url) = avatar_url {
                kept.avatar_url = url;
            }
        })
    }

    /// Changes what is kept of a user; what that fixes of the profile is shown
    /// as [`fix_profile`](Self::fix_profile) says.
    ///
    /// # Errors
    /// [`Code::NO_APP`], [`Code::STORE_UNAVAILABLE`].
    pub fn change_account(
        &self,
        user: &UserKey,
        change: impl FnOnce(&mut UserRecord),
    ) -> Result<(), Refusal> {
        self.must_know(user.app)?;
        self.directory.change(user, change)?;
        // Most of those whom a backend names are not here.
        if !self.online.find(user).is_empty() {
            for room in self.rooms.of_app(user.app) {
                room.show_as(&user.user, |shown| self.directory.fix(user, shown));
            }
        }
        Ok(())
    }

    /// Until when a user may not speak anywhere.
    pub fn mutes_everywhere(&self, user: &UserKey) -> Mutes {
        let kept = self.directory.get(user);
        Mutes {
            rooms: Unix(kept.rooms_muted_ms),
            direct: Unix(kept.direct_muted_ms),
        }
    }
}

/// How long something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// No longer.
    Ended,
    /// So long from now.
    For(Duration),
    /// For good.
    Ever,
}

impl Span {
    /// As the v4 API counts: 0 ends it, 4294967295 is for good.
    pub fn from_seconds(seconds: u32) -> Self {
        match seconds {
            0 => Self::Ended,
            u32::MAX => Self::Ever,
            seconds => Self::For(Duration::from_secs(seconds.into())),
        }
    }

    fn until(self, now: Unix) -> Unix {
        match self {
            Self::Ended => Unix(0),
            Self::For(span) => now + span,
            Self::Ever => Unix(u64::MAX),
        }
    }
}
