//! One connection as its shard holds it: transport, session, subscriptions.
//!
//! Invariants: everything here is touched by one thread; nothing here keeps a
//! buffer while the connection rests; what is written while earlier bytes wait
//! goes to the session's ring or stays in the room's log, never to a second
//! queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use livegate_proto::client::CloseCode;
use smallvec::SmallVec;

use crate::actions::verb::Verb;
use crate::callback::call::Call;
use crate::clock::{Instant, Moment};
use crate::event::Origin;
use crate::id::RoomUid;
use crate::liveness::wheel::Token;
use crate::online::Registration;
use crate::rooms::{Membership, Room};
use crate::session::Session;
use crate::session::mailbox::Mailbox;
use crate::shard::adopted::Permit;
use crate::shard::carrier::Carrier;
use crate::shard::io::FrameIo;
use crate::telemetry::{CloseReason, Transport};

/// A room that this connection is in.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The room.
    pub(crate) room: Arc<Room>,
    /// Leaves the room when dropped.
    pub(crate) membership: Membership,
    /// Orders this entry among all.
    pub(crate) entry: u64,
    /// Place in the shard's dense set of the room.
    pub(crate) index: usize,
    /// Everything of the room up to this seq was written, or skipped by the
    /// policy of its class.
    pub(crate) cursor: u64,
    /// The version of the unsequenced state that was written.
    pub(crate) flash: u64,
}

/// What a connection did, for its one log line.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Frames from the client.
    pub(crate) frames_in: u64,
    /// Plaintext bytes from the client.
    pub(crate) bytes_in: u64,
    /// Frames to the client.
    pub(crate) frames_out: u64,
    /// Plaintext bytes to the client.
    pub(crate) bytes_out: u64,
    /// Messages skipped because it was slow.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Counts frames that were written or kept for the client.
    pub(crate) fn out(&mut self, frames: u32, bytes: usize) {
        self.frames_out += u64::from(frames);
        self.bytes_out += bytes as u64;
    }
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer closed, or the transport broke.
    PeerClosed,
    /// The gateway closed it.
    Closed(CloseCode),
}

impl Ending {
    /// For the log line and the metrics.
    pub(crate) fn reason(self) -> CloseReason {
        match self {
            Self::PeerClosed => CloseReason::Lost,
            Self::Closed(code) => CloseReason::Code(code),
        }
    }
}

/// One connection.
pub(crate) struct Connection<C: Carrier> {
    pub(crate) io: FrameIo<C>,
    /// The reader's waker: for polls made outside of the reader.
    pub(crate) waker: Option<Waker>,
    pub(crate) session: Session,
    pub(crate) joined: SmallVec<[Joined; 1]>,
    /// Frames of the session's own that wait for the transport.
    pub(crate) mailbox: Mailbox,
    /// Since when the transport takes nothing of what waits.
    pub(crate) blocked: Option<Instant>,
    /// The last word was said; until then its transport may linger.
    pub(crate) closing: Option<Instant>,
    pub(crate) last_seen: Instant,
    pub(crate) timer: Option<(Instant, Token)>,
    pub(crate) opened: Moment,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) tally: Tally,
    pub(crate) registration: Option<Registration>,
    /// Counts against the limit per address until it is dropped.
    pub(crate) permit: Option<Permit>,
}

impl<C: Carrier> Connection<C> {
    /// The room of this uid, if the connection is in it.
    pub(crate) fn joined_mut(&mut self, room: RoomUid) -> Option<&mut Joined> {
        self.joined.iter_mut().find(|j| j.room.uid() == room)
    }

    /// From where its client came.
    pub(crate) fn origin(&self) -> Origin {
        Origin::Client(self.session.identity().platform, self.peer.ip())
    }

    /// What the client calls, with who it is; `None`: it calls nothing.
    pub(crate) fn call(&self, verb: Verb) -> Option<Call> {
        let Verb::Call {
            service,
            method,
            body,
            deadline,
        } = verb
        else {
            return None;
        };
        let identity = self.session.identity();
        let rooms = self.session.rooms().iter();
        Some(Call {
            app: identity.key.app,
            user: identity.key.user.clone(),
            session: identity.id,
            roles: rooms
                .map(|room| (room.room.clone(), room.role_name()))
                .collect(),
            address: self.peer.ip().to_canonical(),
            trace_id: uuid::Uuid::new_v4().simple().to_string(),
            service,
            method,
            body,
            deadline,
        })
    }

    /// Whether bytes wait for the transport, so that nothing may be written
    /// past them.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// When the frame in progress is too slow.
    pub(crate) fn frame_due(&self, limits: &super::ShardConfig) -> Instant {
        self.io
            .in_progress()
            .map_or(Instant::FAR, |frame| frame.due(limits.pace()))
    }

    /// When this connection must be looked at again if nothing happens.
    pub(crate) fn next_deadline(&self, limits: &super::ShardConfig) -> Instant {
        if let Some(until) = self.closing {
            return until;
        }
        let silent = self.last_seen + self.session.heartbeat().allowance;
        let stalled = self
            .blocked
            .map_or(Instant::FAR, |since| since + limits.stall);
        let frame = self.frame_due(limits);
        silent.min(stalled).min(frame).min(self.session.deadline())
    }
}
