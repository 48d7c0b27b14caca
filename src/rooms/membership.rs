//! The guard that a session is in a room.

use std::sync::Arc;

use livegate_proto::client::EnterRoomReply;

use crate::clock::{Instant, Moment};
use crate::id::SessionId;
use crate::rooms::core::{Admission, LeaveCause};
use crate::rooms::room::Room;

/// A session that is in.
#[derive(Debug)]
pub struct Entered {
    /// The incarnation of the room's sequence.
    pub epoch: u64,
    /// What is stamped after this seq is what the session is still to get.
    pub seq: u64,
    /// The version of the unsequenced state that the snapshot holds.
    pub flash: u64,
    /// What the session is shown. Its heartbeat interval is the session's to
    /// fill in.
    pub snapshot: EnterRoomReply,
    /// Whether the session hosts the room's open live.
    pub hosting: bool,
    /// Whether the session is on the mic.
    pub publishing: bool,
    /// Leaves the room when it is dropped.
    pub membership: Membership,
}

impl Entered {
    pub(crate) fn new(admission: Admission, membership: Membership) -> Self {
        let room = admission.snapshot.room.as_ref();
        Self {
            epoch: room.map_or(0, |room| room.epoch),
            seq: room.map_or(0, |room| room.seq),
            flash: admission.flash,
            snapshot: admission.snapshot,
            hosting: admission.hosting,
            publishing: admission.publishing,
            membership,
        }
    }
}

/// Keeps a session in a room; dropped, it takes it out as one whose connection
/// was lost. Does nothing when the session was taken out or has entered anew
/// meanwhile. Not to be dropped under a room's lock.
#[derive(Debug)]
pub struct Membership {
    room: Arc<Room>,
    /// The session and the ticket of its seat.
    seat: Option<(SessionId, u64)>,
}

impl Membership {
    pub(crate) fn new(room: Arc<Room>, seat: (SessionId, u64)) -> Self {
        Self {
            room,
            seat: Some(seat),
        }
    }

    /// The room.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Leaves for a reason; `last_seen` is when anything was last heard from
    /// the session.
    pub fn leave(mut self, cause: LeaveCause, last_seen: Instant, now: Moment) {
        if let Some(seat) = self.seat.take() {
            self.room.leave(seat, cause, last_seen, now);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            let now = self.room.now();
            let lost = LeaveCause::ConnectionLost;
            self.room.leave(seat, lost, now.instant, now);
        }
    }
}
