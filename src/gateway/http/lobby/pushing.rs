//! Who begins to push, and who ends it: rooms that are made and destroyed with it.

use std::sync::Arc;

use livegate_proto::client::Profile;
use livegate_proto::code::Code;

use super::{Applicant, Lobby, key, no_member, no_room};
use crate::actions::pushers::Pusher;
use crate::gateway::http::answer::{Outcome, Problem};
use crate::gateway::http::pushers::{Kind, Pushing};
use crate::id::{RoomId, RoomKey, UserId, UserKey};
use crate::rooms::LeaveCause;

impl Lobby {
    /// Makes a room of the user's.
    pub(in crate::gateway::http) async fn create(
        &self,
        user: &UserKey,
        kind: Kind,
        room: Option<RoomId>,
        info: String,
    ) -> Result<RoomId, Problem> {
        let now = self.clock.now();
        let bytes = bytes::Bytes::from(info.clone());
        let id = self.actions.own_room(user, room, bytes, now).await?;
        let key = key(user, &id);
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.open(&key, kind, &user.user, now.instant) else {
            return Err(Problem::new(Outcome::Room, "the room is of another kind"));
        };
        room.info = info;
        Ok(id)
    }

    /// Lets a user push in a room, which is made if it is not there.
    pub(in crate::gateway::http) async fn add_pusher(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
        applicant: Applicant,
    ) -> Result<(), Problem> {
        let key = key(user, id);
        let known = self.rooms.lock().get(&key, kind).is_some();
        if !known {
            let info = applicant.info.clone().unwrap_or_default();
            self.create(user, kind, Some(id.clone()), info).await?;
        }
        if self.is_refreshed(&key, kind, &user.user, &applicant)? {
            return Ok(());
        }
        let now = self.clock.now();
        let profile = Profile {
            nick: applicant.name.clone(),
            avatar_url: applicant.avatar.clone(),
            ..Profile::default()
        };
        let pusher = self.actions.enter_to_push(&key, user, profile, now)?;
        self.take_place(&key, kind, &user.user, &pusher).await?;
        let pushing = Pushing {
            user: user.user.clone(),
            name: applicant.name,
            avatar: applicant.avatar,
            url: applicant.url,
            heard: self.clock.now().instant,
            guard: pusher,
        };
        let turned_away = {
            let mut rooms = self.rooms.lock();
            match rooms.get_mut(&key, kind) {
                Some(room) if room.pushers.len() < self.places(kind) => {
                    room.pushers.push(pushing);
                    None
                }
                Some(_) | None => Some(pushing),
            }
        };
        if turned_away.is_some() {
            return Err(Problem::new(Outcome::Full, "the room is full"));
        }
        self.tell_change(&key);
        Ok(())
    }

    /// Whether the user pushes there already; refuses when there is no place.
    fn is_refreshed(
        &self,
        key: &RoomKey,
        kind: Kind,
        user: &UserId,
        applicant: &Applicant,
    ) -> Result<bool, Problem> {
        let now = self.clock.now().instant;
        let mut rooms = self.rooms.lock();
        let room = rooms.get_mut(key, kind).ok_or_else(no_room)?;
        if let Some(pushing) = room.pusher(user) {
            pushing.heard = now;
            pushing.name.clone_from(&applicant.name);
            pushing.avatar.clone_from(&applicant.avatar);
            pushing.url.clone_from(&applicant.url);
            return Ok(true);
        }
        if room.pushers.len() >= self.places(kind) {
            return Err(Problem::new(Outcome::Full, "the room is full"));
        }
        Ok(false)
    }

    /// The creator of a live_room hosts its live; everybody else is on the mic.
    async fn take_place(
        &self,
        key: &RoomKey,
        kind: Kind,
        user: &UserId,
        pusher: &Pusher,
    ) -> Result<(), Problem> {
        let room = Arc::clone(pusher.entered.membership.room());
        let creator = {
            let rooms = self.rooms.lock();
            let room = rooms.get(key, kind).ok_or_else(no_room)?;
            room.creator.clone()
        };
        let now = self.clock.now();
        if kind == Kind::Live && creator == *user {
            if !pusher.entered.hosting {
                let start_id = format!("http-{}", pusher.session);
                room.start_live_for(pusher.session, &start_id, now).await?;
            }
            return Ok(());
        }
        room.start_publishing(pusher.session, now)?;
        Ok(())
    }

    /// Takes a pusher out at their own wish. The creator of a live_room ends
    /// the room with it.
    pub(in crate::gateway::http) async fn delete_pusher(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
    ) -> Result<(), Problem> {
        let key = key(user, id);
        let now = self.clock.now();
        let (taken, is_creator) = {
            let mut rooms = self.rooms.lock();
            let room = rooms.get_mut(&key, kind).ok_or_else(no_room)?;
            let taken = room.take(&user.user, now.instant);
            (taken, room.creator == user.user)
        };
        let taken = taken.ok_or_else(no_member)?;
        let membership = taken.guard.entered.membership;
        membership.leave(LeaveCause::Left, now.instant, now);
        if is_creator && kind == Kind::Live {
            return self.destroy(user, kind, id).await;
        }
        self.tell_change(&key);
        Ok(())
    }

    /// Destroys a room; its creator only.
    pub(in crate::gateway::http) async fn destroy(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
    ) -> Result<(), Problem> {
        let key = key(user, id);
        let gone = {
            let mut rooms = self.rooms.lock();
            let room = rooms.get(&key, kind).ok_or_else(no_room)?;
            if room.creator != user.user {
                let message = "only its creator may destroy the room";
                return Err(Problem::new(Outcome::Room, message));
            }
            rooms.remove(&key)
        };
        let destroyed = self.actions.destroy_room(&key, self.clock.now()).await;
        // Who pushed leaves a room that is gone: nothing is told by it.
        drop(gone);
        match destroyed {
            Err(refusal) if refusal.code != Code::NO_ROOM => Err(refusal.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn places(&self, kind: Kind) -> usize {
        match kind {
            Kind::Live | Kind::Multi => self.config.pushers,
            Kind::Double => 2,
        }
    }
}
