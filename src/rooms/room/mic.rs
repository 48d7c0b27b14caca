//! What members and the backend do about the mic.

use livegate_proto::client::InvitationReply;
#[cfg(doc)]
use livegate_proto::code::Code;

use super::Room;
use crate::clock::Moment;
use crate::id::{SessionId, UserId};
use crate::rooms::core::By;
use crate::rooms::refusal::Refusal;

impl Room {
    /// Invites a member to the mic.
    ///
    /// # Errors
    /// [`Code::NO_PERMISSION`]; [`Code::NO_USER`] when they are not here;
    /// [`Code::TOO_MANY_INVITATIONS`].
    pub fn invite(
        &self,
        session: SessionId,
        user: &UserId,
        now: Moment,
    ) -> Result<InvitationReply, Refusal> {
        self.decide(now, |core, out| core.invite(session, user, now, out))
    }

    /// Asks the host for the mic, or the owner while there is no live.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`]; [`Code::NO_USER`] when nobody is here to be
    /// asked; [`Code::TOO_MANY_INVITATIONS`].
    pub fn ask_for_mic(&self, session: SessionId, now: Moment) -> Result<InvitationReply, Refusal> {
        self.decide(now, |core, out| core.ask(session, now, out))
    }

    /// Answers an invitation that was made to the caller.
    ///
    /// # Errors
    /// [`Code::ALREADY_HANDLED`] when it is over; [`Code::NO_PERMISSION`] when
    /// it is another's to answer; [`Code::OVERLOADED`] when the mic is full.
    pub fn answer(
        &self,
        session: SessionId,
        invitation: &str,
        accept: bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.decide(now, |core, out| {
            core.answer(session, invitation, accept, now, out)
        })
    }

    /// Takes an invitation back that the caller made.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn cancel(&self, session: SessionId, invitation: &str, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.cancel(session, invitation, now, out))
    }

    /// Gives a member the publisher's role, to last.
    ///
    /// # Errors
    /// [`Code::NO_PERMISSION`] for all but the owner and admins;
    /// [`Code::NO_USER`] when the user is not here.
    pub fn grant_publisher(
        &self,
        session: SessionId,
        user: &UserId,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.decide(now, |core, out| {
            core.grant_publisher(session, user, now, out)
        })
    }

    /// Takes the publisher's role, and the mic.
    ///
    /// # Errors
    /// [`Code::NO_PERMISSION`]; [`Code::NO_USER`] when the user is not here
    /// and has no such role.
    pub fn remove_publisher(&self, by: &By, user: &UserId, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.remove_publisher(by, user, now, out))
    }

    /// Puts the caller on the mic and tells the room.
    ///
    /// # Errors
    /// [`Code::NO_PERMISSION`]; [`Code::OVERLOADED`] when the mic is full or
    /// the log has no place.
    pub fn start_publishing(&self, session: SessionId, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.start_publishing(session, now, out))
    }

    /// Takes the caller off the mic.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`].
    pub fn stop_publishing(&self, session: SessionId, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.stop_publishing(session, now, out))
    }
}
