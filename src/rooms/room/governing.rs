//! What the backend, the owner and the host change in a room.

use std::sync::Arc;

use livegate_proto::client::{self as wire, Role};
use livegate_proto::code::Code;

use super::Room;
use crate::clock::{Moment, Unix};
use crate::id::{RoomId, UserId};
use crate::rooms::core::{AttributesChange, By, CreateArgs, DestroyedBy, Done, ProfileChange};
use crate::rooms::live::Asker;
use crate::rooms::refusal::Refusal;

impl Room {
    /// Makes the room last, for the backend, and waits until that is recorded.
    /// `args` is given who asks.
    ///
    /// # Errors
    /// [`Code::ROOM_ID_IN_USE`], [`Code::ROOM_ALREADY_OWNED`];
    /// [`Code::STORE_UNAVAILABLE`].
    pub(crate) async fn create_for_backend(
        &self,
        args: impl FnOnce(Asker) -> CreateArgs,
        now: Moment,
    ) -> Result<RoomId, Refusal> {
        match self
            .wait(now, |core, asker, out| core.create(args(asker), now, out))
            .await?
        {
            Done::Created(room) => Ok(room),
            Done::Live(_) | Done::Destroyed => Err(Code::INTERNAL.into()),
        }
    }

    /// Ends the live, then the room, for the backend, and waits until it is
    /// gone.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] while another change of it is
    /// being recorded.
    pub async fn destroy_for_backend(&self, now: Moment) -> Result<(), Refusal> {
        self.wait(now, |core, asker, out| {
            core.destroy(DestroyedBy::Backend(asker), now, out)
        })
        .await?;
        Ok(())
    }

    /// Changes what the room shows, and tells it. `operator`: who did, as its
    /// backend is told.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::BAD_PARAMETER`]; [`Code::OVERLOADED`] when
    /// the log has no place.
    pub fn modify(
        &self,
        change: ProfileChange,
        operator: &str,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.modify(change, operator, now, out))
    }

    /// Changes attributes and tells the new state; returns its version.
    ///
    /// # Errors
    /// [`Code::NO_PERMISSION`], [`Code::BAD_PARAMETER`] for more or larger ones
    /// than a room may have.
    pub fn set_attributes(
        &self,
        by: &By,
        change: AttributesChange,
        now: Moment,
    ) -> Result<u64, Refusal> {
        self.decide(now, |core, out| core.set_attributes(by, change, now, out))
    }

    /// The attributes and their version.
    pub fn attributes(&self) -> wire::Attributes {
        self.inner.lock().core.attributes()
    }

    /// Keeps a user from speaking until a time; one that is past lets them
    /// speak again.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the room remembers no more.
    pub fn mute(&self, user: &UserId, until: Unix, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.mute(user, until, now, out))
    }

    /// Who is muted, until when.
    pub fn mutes(&self, now: Unix) -> Vec<(UserId, Unix)> {
        self.inner.lock().core.mutes(now)
    }

    /// Keeps a user out until a time, and takes them out; one that is past lets
    /// them in again. Returns how many sessions were taken out.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the room remembers no more.
    pub fn ban(
        &self,
        user: &UserId,
        until: Unix,
        reason: &str,
        now: Moment,
    ) -> Result<u32, Refusal> {
        let out = self.decide(now, |core, out| core.ban(user, until, reason, now, out))?;
        Ok(u32::try_from(out).unwrap_or(u32::MAX))
    }

    /// Refuses who is banned.
    ///
    /// # Errors
    /// [`Code::BANNED`].
    pub fn must_not_be_banned(&self, user: &UserId, now: Unix) -> Result<(), Refusal> {
        self.inner.lock().core.must_not_be_banned(user, now)
    }

    /// Who is banned, until when.
    pub fn bans(&self, now: Unix) -> Vec<(UserId, Unix)> {
        self.inner.lock().core.bans(now)
    }

    /// Gives a user a role that lasts, or the viewer's again.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::NO_PERMISSION`].
    pub fn set_role(&self, by: &By, user: &UserId, role: Role, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.set_role(by, user, role, now, out))
    }

    /// The owner, and who was given a role.
    pub fn roles(&self) -> (Option<UserId>, Vec<(UserId, Role)>) {
        self.inner.lock().core.roles()
    }

    /// The role of a user who is here; `None`: they are not.
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        self.inner.lock().core.role_of_user(user)
    }

    /// Has a user who is here show something else from now on.
    pub fn show_as(
        &self,
        user: &UserId,
        change: impl FnOnce(Arc<wire::Profile>) -> Arc<wire::Profile>,
    ) {
        self.inner.lock().core.show_as(user, change);
    }

    /// Gives the room another owner.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`].
    pub fn change_owner(&self, owner: UserId, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.change_owner(owner, now, out))
    }

    /// Takes messages back. Returns what became of each: [`Code::OK`],
    /// [`Code::NO_MESSAGE`], [`Code::RECALL_TOO_LATE`].
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the log has no place.
    pub fn recall(
        &self,
        seqs: &[u64],
        reason: &str,
        now: Moment,
    ) -> Result<Vec<(u64, Code)>, Refusal> {
        self.decide(now, |core, out| core.recall(seqs, reason, now, out))
    }

    /// Says something to the apps in the room, not to be shown.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the log has no place.
    pub fn notify(&self, content: String, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.notify(content, now, out))
    }

    /// Says here what the backend says in all rooms.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the log has no place.
    pub fn broadcast(&self, said: wire::Broadcast, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.broadcast(said, now, out))
    }
}
