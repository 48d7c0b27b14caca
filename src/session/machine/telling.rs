//! What a session says of itself: the welcome, the heartbeat in replies, roles.

use livegate_proto::client::{LoginReply, Reply, Role, RoleChanged, push, reply};

use super::action::{Action, push_with};
use super::{Session, seconds};
use crate::actions::outcome::Joined;
use crate::clock::Moment;
use crate::session::heartbeat::Heartbeat;

impl Session {
    pub(super) fn welcome(&self, now: Moment) -> LoginReply {
        LoginReply {
            session_id: self.identity.id.0,
            heartbeat_ms: self.heartbeat().interval_ms(),
            time_ms: now.unix.millis_i64(),
            sig_expires_at: seconds(self.identity.sig_expires),
            max_frame_bytes: to_u32(self.max_frame_bytes()),
            max_rooms: to_u32(self.config.max_rooms),
        }
    }

    /// The reply as it goes out: with its request's id, and with the
    /// heartbeat where the contract tells one.
    pub(super) fn answer(&self, request_id: u64, mut reply: Box<Reply>) -> Action {
        reply.request_id = request_id;
        match &mut reply.body {
            Some(reply::Body::EnterRoom(enter)) => {
                enter.heartbeat_ms = self.heartbeat().interval_ms();
            }
            Some(reply::Body::StartLive(start)) => {
                let host = Heartbeat::new(&self.config.heartbeat, true, self.jitter);
                start.heartbeat_ms = host.interval_ms();
            }
            _ => {}
        }
        Action::Reply(reply)
    }

    /// Tells the role in a room, or (without one) that the session hosts
    /// nothing any more.
    pub(super) fn role_changed(&self, joined: Option<&Joined>, now: Moment) -> Action {
        let role = joined.map_or(Role::Viewer, |joined| match joined.hosting {
            true => Role::Host,
            false => joined.role,
        });
        let changed = RoleChanged {
            role: role.into(),
            heartbeat_ms: self.heartbeat().interval_ms(),
        };
        let room = joined.map_or_else(String::new, |joined| joined.room.to_string());
        push_with(room, push::Body::RoleChanged(changed), now)
    }
}

fn to_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
