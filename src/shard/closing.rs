//! How a connection ends: one road for every cause.

use std::task::{Context, Poll};

use livegate_proto::client::{CloseCode, GoAway, Push, ServerFrame, push};
use livegate_proto::codec;

use crate::callback::tell::SessionState;
use crate::clock::Moment;
use crate::id::{RoomUid, SessionId};
use crate::rooms::LeaveCause;
use crate::shard::carrier::Carrier;
use crate::shard::connection::{Connection, Ending, Joined};
use crate::shard::reading::waker_of;
use crate::shard::state::State;

impl<C: Carrier> State<C> {
    /// Ends a connection: says why, leaves its rooms, gives its name free,
    /// writes its one log line. The transport may linger until the peer has
    /// read the last word. Calling it again does nothing.
    pub(crate) fn close(
        &mut self,
        id: SessionId,
        ending: Ending,
        retry_after_ms: u32,
        now: Moment,
    ) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        if connection.closing.is_some() {
            return;
        }
        connection.closing = Some(now.instant + super::LINGER);
        for joined in std::mem::take(&mut connection.joined) {
            let uid = joined.room.uid();
            let moved = self.rooms.remove(uid, joined.index);
            self.reseat(uid, moved, joined.index);
            let cause = leave_cause(ending, self.draining);
            let last_seen = self.slots.get_mut(id).map(|c| c.last_seen);
            let last_seen = last_seen.unwrap_or(now.instant);
            joined.membership.leave(cause, last_seen, now);
        }
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        connection.registration = None;
        connection.permit = None;
        report(id, connection, ending, now);
        if let Some(state) = state(ending) {
            let (user, origin) = (&connection.session.identity().key, connection.origin());
            self.parts
                .actions
                .report_logout(user, origin, state, now.unix);
        }
        let counters = self.parts.counters();
        counters.closed(connection.transport, ending.reason());
        self.uncount();
        let peer_is_there = ending != Ending::PeerClosed;
        if peer_is_there && self.say_goodbye(id, ending, retry_after_ms, now) {
            self.rearm_closing(id);
        } else {
            self.remove(id);
        }
    }

    /// Writes the closing word behind what waits already; false when the
    /// transport is beyond that.
    fn say_goodbye(
        &mut self,
        id: SessionId,
        ending: Ending,
        retry_after_ms: u32,
        now: Moment,
    ) -> bool {
        let Ending::Closed(code) = ending else {
            return false;
        };
        let mut out = std::mem::take(&mut self.out);
        codec::append(&last_word(code, retry_after_ms), &mut out);
        let Self {
            slots,
            scratch,
            parts,
            ..
        } = self;
        let written = slots.get_mut(id).is_some_and(|connection| {
            // A blocked transport gets the last word sealed behind what waits:
            // the plaintext order is kept, the ring is given up.
            let written = connection.write(&out, scratch, now, parts.counters());
            let mut cx = Context::from_waker(waker_of(connection.waker.as_ref()));
            written.is_ok() && !matches!(connection.io.poll_close(&mut cx), Poll::Ready(Err(_)))
        });
        out.clear();
        self.out = out;
        written
    }

    fn rearm_closing(&mut self, id: SessionId) {
        if let Some(connection) = self.slots.get_mut(id)
            && let Some((_, token)) = connection.timer.take()
        {
            self.wheel.cancel(token);
        }
        self.rearm(id);
    }

    /// Drops what is left of a connection.
    pub(crate) fn remove(&mut self, id: SessionId) {
        let Some(connection) = self.slots.remove(id) else {
            return;
        };
        if let Some((_, token)) = connection.timer {
            self.wheel.cancel(token);
        }
        if connection.is_blocked() {
            self.parts.counters().unblocked();
        }
        // Its reader finds nothing and ends.
        if let Some(waker) = connection.waker {
            waker.wake();
        }
    }

    /// Ends a session's subscription to a room and gives its membership back.
    pub(crate) fn leave_room(&mut self, id: SessionId, room: RoomUid) -> Option<Joined> {
        let connection = self.slots.get_mut(id)?;
        let n = connection
            .joined
            .iter()
            .position(|joined| joined.room.uid() == room)?;
        let joined = connection.joined.swap_remove(n);
        let moved = self.rooms.remove(room, joined.index);
        self.reseat(room, moved, joined.index);
        Some(joined)
    }

    /// Tells the member that took a freed place where it sits now.
    fn reseat(&mut self, room: RoomUid, moved: Option<SessionId>, index: usize) {
        if let Some(moved) = moved
            && let Some(connection) = self.slots.get_mut(moved)
            && let Some(joined) = connection.joined_mut(room)
        {
            joined.index = index;
        }
    }

    /// The loop has ended: connections are dropped, their guards clean up.
    pub(crate) fn abandon(&mut self) {
        let now = self.parts.clock.now();
        self.draining = true;
        for id in self.slots.ids() {
            self.close(id, Ending::Closed(CloseCode::ShuttingDown), 1_000, now);
            self.remove(id);
        }
    }
}

/// A stop is also said as a push, for apps that tell their user about it.
fn last_word(code: CloseCode, retry_after_ms: u32) -> ServerFrame {
    let close = code.close(retry_after_ms);
    let go_away = (code == CloseCode::ShuttingDown).then(|| Push {
        body: Some(push::Body::GoAway(GoAway {
            reconnect_after_ms: retry_after_ms,
            reason: close.reason.clone(),
        })),
        ..Push::default()
    });
    ServerFrame {
        pushes: go_away.into_iter().collect(),
        close: Some(close),
        ..ServerFrame::default()
    }
}

fn leave_cause(ending: Ending, draining: bool) -> LeaveCause {
    match ending {
        _ if draining => LeaveCause::Draining,
        Ending::Closed(CloseCode::HeartbeatTimeout) => LeaveCause::Silent,
        Ending::Closed(CloseCode::Displaced) => LeaveCause::Displaced,
        Ending::Closed(CloseCode::Kicked) => LeaveCause::Kicked,
        Ending::Closed(CloseCode::LoggedOut) => LeaveCause::Left,
        Ending::Closed(CloseCode::SigExpired) => LeaveCause::SigExpired,
        Ending::PeerClosed | Ending::Closed(_) => LeaveCause::ConnectionLost,
    }
}

/// What the backend is told; a session that its user's new login displaced is
/// told of with that login.
fn state(ending: Ending) -> Option<SessionState> {
    match ending {
        Ending::Closed(CloseCode::Displaced) => None,
        Ending::Closed(CloseCode::LoggedOut) => Some(SessionState::Logout),
        Ending::Closed(CloseCode::HeartbeatTimeout) => Some(SessionState::Silent),
        Ending::PeerClosed | Ending::Closed(_) => Some(SessionState::Closed),
    }
}

/// The one line that a connection leaves in the log.
fn report<C: Carrier>(id: SessionId, connection: &Connection<C>, ending: Ending, now: Moment) {
    let tally = connection.tally;
    let user = &connection.session.identity().key;
    tracing::info!(
        session = %id,
        app = %user.app,
        user = %user.user,
        transport = connection.transport.as_str(),
        reason = ending.reason().as_str(),
        duration_ms = u64::try_from(now.instant.since(connection.opened.instant).as_millis()).unwrap_or(u64::MAX),
        frames_in = tally.frames_in,
        bytes_in = tally.bytes_in,
        frames_out = tally.frames_out,
        bytes_out = tally.bytes_out,
        skipped = tally.skipped,
        "session ended"
    );
    tracing::debug!(session = %id, peer = %connection.peer, "session peer");
}
