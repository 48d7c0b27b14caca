//! What members and the backend do about the mic of a room.

use livegate_proto::client::reply;

use super::verb::MicDeed;
use super::{Actions, Caller, Done};
use crate::clock::Moment;
use crate::id::{RoomId, RoomKey, UserId};
use crate::rooms::{By, Refusal};

impl Actions {
    pub(super) fn mic(
        &self,
        caller: &Caller<'_>,
        room: &RoomId,
        deed: MicDeed,
        now: Moment,
    ) -> Result<Done, Refusal> {
        let room = self.room(caller.key.app, room)?;
        let session = caller.session;
        let body = match deed {
            MicDeed::Invite(user) => {
                let reply = room.invite(session, &user, now)?;
                Some(reply::Body::Invite(reply))
            }
            MicDeed::Ask => Some(reply::Body::Ask(room.ask_for_mic(session, now)?)),
            MicDeed::Answer { invitation, accept } => {
                room.answer(session, &invitation, accept, now)?;
                None
            }
            MicDeed::Cancel(invitation) => {
                room.cancel(session, &invitation, now)?;
                None
            }
            MicDeed::Remove(user) => {
                room.remove_publisher(&By::Member(session), &user, now)?;
                None
            }
            MicDeed::Grant(user) => {
                room.grant_publisher(session, &user, now)?;
                None
            }
            MicDeed::Start => {
                room.start_publishing(session, now)?;
                None
            }
            MicDeed::Stop => {
                room.stop_publishing(session, now)?;
                None
            }
        };
        Ok(Done::Reply(body))
    }

    /// Takes a user off a room's mic, and the publisher's role.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`](livegate_proto::code::Code::NO_ROOM),
    /// [`Code::NO_USER`](livegate_proto::code::Code::NO_USER).
    pub fn remove_publisher(
        &self,
        room: &RoomKey,
        user: &UserId,
        now: Moment,
    ) -> Result<(), Refusal> {
        let room = self.room(room.app, &room.room)?;
        room.remove_publisher(&By::Backend, user, now)
    }
}
