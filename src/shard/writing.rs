//! From the gateway to the transport: replies, direct frames, laggards.
//!
//! Invariants: bytes leave in the order in which they were given; while the
//! transport takes nothing, a session's own frames wait in its bounded ring and
//! a room's messages stay in the room's log, so that a connection that does not
//! read costs its ring and one sealed run, and nobody's time.

use std::task::{Context, Poll};

use livegate_proto::client::{CloseCode, Dropped, Push, ServerFrame, push};
use livegate_proto::{Encoded, codec};

use crate::clock::Moment;
use crate::dispatch::Class;
use crate::id::{RoomUid, SessionId};
use crate::session::mailbox::{Offered, Skip};
use crate::shard::carrier::Carrier;
use crate::shard::connection::{Connection, Ending};
use crate::shard::frames::Scratch;
use crate::shard::io::{IoError, Wrote};
use crate::shard::laggard::{self, Skipped, Stretch};
use crate::shard::reading::waker_of;
use crate::shard::state::State;
use crate::shard::sweep::MAX_RUN;
use crate::telemetry::{ShardMetrics, SkipCause};

impl<C: Carrier> Connection<C> {
    /// Seals and writes `plain`; what the transport refuses is kept sealed and
    /// the connection is blocked until it is gone.
    pub(crate) fn write(
        &mut self,
        plain: &[u8],
        scratch: &mut Scratch,
        now: Moment,
        metrics: &ShardMetrics,
    ) -> Result<(), IoError> {
        metrics.wrote(self.transport, 1, plain.len() as u64);
        let mut cx = Context::from_waker(waker_of(self.waker.as_ref()));
        match self.io.write(&mut cx, plain, scratch)? {
            Wrote::All => Ok(()),
            Wrote::Partial(_) => self.block(now, metrics),
        }
    }

    /// Writes what was sealed ahead for this connection, as
    /// [`write`](Self::write) does.
    pub(crate) fn send_sealed(
        &mut self,
        sealed: &[u8],
        now: Moment,
        metrics: &ShardMetrics,
    ) -> Result<(), IoError> {
        let mut cx = Context::from_waker(waker_of(self.waker.as_ref()));
        match self.io.send_sealed(&mut cx, sealed)? {
            Wrote::All => Ok(()),
            Wrote::Partial(_) => self.block(now, metrics),
        }
    }

    /// Notes that sealed bytes wait, and has the reader woken when the
    /// transport takes them.
    pub(crate) fn block(&mut self, now: Moment, metrics: &ShardMetrics) -> Result<(), IoError> {
        let mut cx = Context::from_waker(waker_of(self.waker.as_ref()));
        match self.io.poll_flush(&mut cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => {
                if self.blocked.is_none() {
                    metrics.blocked();
                    self.blocked = Some(now.instant);
                }
                Ok(())
            }
        }
    }
}

impl<C: Carrier> State<C> {
    /// Adds a frame of this step to what is written at its end.
    pub(crate) fn say(&mut self, id: SessionId, frame: &ServerFrame, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        if connection.is_blocked() {
            return self.say_encoded(id, Encoded::new(frame), Class::Essential, now);
        }
        let before = self.out.len();
        codec::append(frame, &mut self.out);
        connection.tally.out(1, self.out.len() - before);
        self.count_out(Class::Essential);
    }

    /// The same with a frame that is encoded already.
    pub(crate) fn say_encoded(&mut self, id: SessionId, frame: Encoded, class: Class, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        connection.tally.out(1, frame.len());
        if !connection.is_blocked() {
            self.out.extend_from_slice(frame.prefixed());
            return self.count_out(class);
        }
        let limits = &self.parts.session.mailbox;
        match connection.mailbox.offer(frame, class, limits) {
            Offered::Kept { dropped: 0 } => self.count_out(class),
            Offered::Kept { dropped } => {
                connection.tally.skipped += u64::from(dropped);
                let counters = self.parts.counters();
                counters.skipped(Class::Normal, SkipCause::RingFull, dropped.into());
            }
            Offered::Overflow => {
                self.close(id, Ending::Closed(CloseCode::SlowConsumer), 0, now);
            }
        }
    }

    fn count_out(&self, class: Class) {
        self.parts.counters().messages_out(class, 1);
    }

    /// Writes what this step put together.
    pub(crate) fn flush_out(&mut self, id: SessionId, now: Moment) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let Self {
            slots,
            scratch,
            parts,
            ..
        } = self;
        let written = match slots.get_mut(id) {
            Some(connection) if connection.closing.is_none() => {
                connection.write(&out, scratch, now, parts.counters())
            }
            _ => Ok(()),
        };
        self.out = out;
        self.out.clear();
        if written.is_err() {
            self.close(id, Ending::PeerClosed, 0, now);
        }
    }

    /// The transport may take bytes again: first what is sealed, then the
    /// session's own frames, then what its rooms hold for it.
    pub(crate) fn unblock(&mut self, id: SessionId, cx: &mut Context<'_>, now: Moment) {
        let Self { slots, .. } = self;
        let Some(connection) = slots.get_mut(id) else {
            return;
        };
        let waiting = connection.io.pending_len();
        match connection.io.poll_flush(cx) {
            Poll::Pending => {
                if connection.io.pending_len() < waiting {
                    connection.blocked = Some(now.instant);
                }
                return;
            }
            Poll::Ready(Err(_)) => {
                self.close(id, Ending::PeerClosed, 0, now);
                return;
            }
            Poll::Ready(Ok(())) => {
                if connection.blocked.take().is_some() {
                    self.parts.counters().unblocked();
                }
            }
        }
        if connection.closing.is_some() {
            if matches!(connection.io.poll_close(cx), Poll::Ready(Err(_))) {
                self.remove(id);
            }
            return;
        }
        self.drain_mailbox(id, now);
        self.serve_laggard(id, now);
        self.rearm(id);
    }

    fn drain_mailbox(&mut self, id: SessionId, now: Moment) {
        let Self {
            slots,
            scratch,
            run,
            parts,
            ..
        } = self;
        let Some(connection) = slots.get_mut(id) else {
            return;
        };
        let mut written = Ok(());
        while written.is_ok() && !connection.is_blocked() && !connection.mailbox.is_empty() {
            run.clear();
            let dropped = connection.mailbox.take_dropped();
            if dropped > 0 {
                let skip = Skip {
                    count: dropped,
                    from_seq: 0,
                    to_seq: 0,
                };
                append_dropped(run, String::new(), skip, now);
            }
            connection.mailbox.take(MAX_RUN, run);
            written = connection.write(run, scratch, now, parts.counters());
        }
        if written.is_err() {
            self.close(id, Ending::PeerClosed, 0, now);
        }
    }

    /// Brings a connection that fell behind up to its shard's cursor in each of
    /// its rooms, as far as the transport takes it.
    pub(crate) fn serve_laggard(&mut self, id: SessionId, now: Moment) {
        let rooms = match self.slots.get_mut(id) {
            Some(connection) => connection.joined.len(),
            None => return,
        };
        for n in 0..rooms {
            while self.serve_room(id, n, Until::ShardCursor, now) {}
        }
    }

    /// Brings a connection up to the very end of one room's log, ahead of its
    /// shard: nothing of the room follows for it.
    pub(crate) fn serve_to_head(&mut self, id: SessionId, room: RoomUid, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        let place = connection.joined.iter().position(|j| j.room.uid() == room);
        if let Some(n) = place {
            while self.serve_room(id, n, Until::Head, now) {}
        }
    }

    /// Serves one run of one room; true while there is more to serve.
    fn serve_room(&mut self, id: SessionId, n: usize, until: Until, now: Moment) -> bool {
        let Self {
            slots,
            scratch,
            rooms,
            parts,
            run,
            ..
        } = self;
        let Some(connection) = slots.get_mut(id) else {
            return false;
        };
        if connection.is_blocked() || connection.closing.is_some() {
            return false;
        }
        let Some(joined) = connection.joined.get_mut(n) else {
            return false;
        };
        let Some(local) = rooms.get_mut(joined.room.uid()) else {
            return false;
        };
        let mut plain = std::mem::take(run);
        plain.clear();
        let to = match until {
            Until::ShardCursor => local.cursor,
            Until::Head => joined.room.head(),
        };
        let stretch = Stretch {
            after: joined.cursor,
            to,
            max_bytes: MAX_RUN,
        };
        let limits = &parts.session.mailbox;
        let served = joined.room.read(|log| {
            let entries = log.after(stretch.after);
            laggard::serve(stretch, log.tail(), entries, limits, &mut plain)
        });
        let Some(served) = served else {
            self.run = plain;
            self.close(id, Ending::Closed(CloseCode::SlowConsumer), 0, now);
            return false;
        };
        if let Some(Skipped { skip, at }) = served.skipped {
            let room = joined.room.key().room.to_string();
            insert_dropped(&mut plain, at, room, skip, now);
            connection.tally.skipped += skip.count;
            let counters = parts.counters();
            counters.skipped(Class::Normal, SkipCause::Lagging, skip.count);
        }
        joined.cursor = served.cursor;
        if let Some((version, frame)) = joined.room.flash(joined.flash) {
            joined.flash = version;
            plain.extend_from_slice(frame.prefixed());
        }
        let more = served.cursor < to;
        connection.tally.out(served.frames, plain.len());
        for (class, count) in Class::ALL.into_iter().zip(served.classes) {
            parts.counters().messages_out(class, count.into());
        }
        let result = if plain.is_empty() {
            Ok(())
        } else {
            connection.write(&plain, scratch, now, parts.counters())
        };
        self.run = plain;
        if result.is_err() {
            self.close(id, Ending::PeerClosed, 0, now);
            return false;
        }
        more
    }
}

/// How far a connection is served on its own.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// As far as its shard has come: the next sweep goes on from there.
    ShardCursor,
    /// To the end of the log.
    Head,
}

/// Tells of what was skipped where it would have stood: the client knows of the
/// gap before it reads what follows it.
fn insert_dropped(plain: &mut Vec<u8>, at: usize, room_id: String, skip: Skip, now: Moment) {
    let end = plain.len();
    append_dropped(plain, room_id, skip, now);
    let frame = plain.len() - end;
    plain[at..].rotate_right(frame);
}

fn append_dropped(plain: &mut Vec<u8>, room_id: String, skip: Skip, now: Moment) {
    let frame = ServerFrame {
        pushes: vec![Push {
            room_id,
            time_ms: now.unix.millis_i64(),
            body: Some(push::Body::Dropped(Dropped {
                count: skip.count,
                from_seq: skip.from_seq,
                to_seq: skip.to_seq,
            })),
            ..Push::default()
        }],
        ..ServerFrame::default()
    };
    codec::append(&frame, plain);
}
