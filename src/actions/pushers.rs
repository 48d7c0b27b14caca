//! What the RoomService door does for apps that push over HTTP alone: they are
//! members without a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livegate_proto::client::{Profile, Role};

use super::Actions;
use super::command::CreateRoom;
use crate::clock::Moment;
use crate::event::Origin;
use crate::id::{RoomId, RoomKey, SessionId, ShardId, UserKey};
use crate::rooms::{By, EnterArgs, Entered, ProfileChange, Refusal};

/// Numbers of sessions without a connection: never given twice.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// The least of a session id's bits that are free for a number.
const NUMBER_BITS: u32 = 28;

fn session() -> SessionId {
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let slot = u32::try_from(number >> NUMBER_BITS & 0xff_fffe).unwrap_or(0);
    let generation = u32::try_from(number & ((1 << NUMBER_BITS) - 1)).unwrap_or(0);
    SessionId::new(ShardId::NOWHERE, slot, generation)
}

/// Somebody who pushes over HTTP, in their room.
#[derive(Debug)]
pub struct Pusher {
    /// Without a connection.
    pub session: SessionId,
    /// Leaves when dropped.
    pub entered: Entered,
}

impl Actions {
    /// Verifies a signature as a login does.
    ///
    /// # Errors
    /// The code of what is wrong with it.
    pub fn verify_sig(&self, user: &UserKey, sig: &str, now: Moment) -> Result<(), Refusal> {
        let verified = self
            .keys
            .verify(user.app, Some(user.user.as_str()), sig, now.unix)
            .and_then(|sig| sig.unless_revoked(self.directory.revoked_at(user)));
        match verified {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::new(error.code())),
        }
    }

    /// Makes a room of the user's that lasts, or finds that it is theirs.
    ///
    /// # Errors
    /// [`ROOM_ID_IN_USE`](livegate_proto::code::Code::ROOM_ID_IN_USE) when it
    /// is somebody else's.
    pub async fn own_room(
        &self,
        user: &UserKey,
        room: Option<RoomId>,
        info: bytes::Bytes,
        now: Moment,
    ) -> Result<RoomId, Refusal> {
        use livegate_proto::code::Code;

        let wanted = room.clone();
        let create = CreateRoom {
            app: user.app,
            room,
            owner: Some(user.user.clone()),
            operator: Some(user.user.clone()),
            origin: Origin::Unknown,
            info,
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        match (self.create_room(create, now).await, wanted) {
            (Err(refusal), Some(room)) if refusal.code == Code::ROOM_ALREADY_OWNED => Ok(room),
            (made, _) => made,
        }
    }

    /// Lets a user in who pushes over HTTP; one who is not the owner is given
    /// the publisher's role.
    ///
    /// # Errors
    /// [`NO_ROOM`](livegate_proto::code::Code::NO_ROOM), and why not else.
    pub fn enter_to_push(
        &self,
        room: &RoomKey,
        user: &UserKey,
        profile: Profile,
        now: Moment,
    ) -> Result<Pusher, Refusal> {
        let room = self.room(room.app, &room.room)?;
        let session = session();
        let args = EnterArgs {
            session,
            user: user.user.clone(),
            profile: self.directory.fix(user, Arc::new(profile)),
            role: Role::Viewer,
            may_publish: None,
            origin: Origin::Unknown,
        };
        let entered = room.enter(args, now)?;
        let (owner, _) = room.roles();
        if owner.as_ref() != Some(&user.user) {
            room.set_role(&By::Backend, &user.user, Role::Publisher, now)?;
        }
        Ok(Pusher { session, entered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_a_connection_are_nowhere_and_all_different() {
        let sessions: std::collections::HashSet<_> = (0..1_000).map(|_| session()).collect();
        assert_eq!(sessions.len(), 1_000);
        assert!(sessions.iter().all(|id| id.shard() == ShardId::NOWHERE));
        assert!(!sessions.contains(&SessionId(u64::MAX)));
    }
}
