//! From the transport to the session machine, and from its actions onward.

use std::task::{Context, Poll, Waker, ready};

use livegate_proto::client::{CloseCode, ServerFrame};
use livegate_proto::code::Code;

use crate::clock::Moment;
use crate::id::SessionId;
use crate::session::{Action, Actions};
use crate::shard::carrier::Carrier;
use crate::shard::connection::Ending;
use crate::shard::io::{IoError, ReadOutcome};
use crate::shard::state::State;

/// Reads of one connection before the others get their turn.
const READS_PER_POLL: usize = 4;

impl<C: Carrier> State<C> {
    /// The reader's step: ready when the connection is gone.
    pub(crate) fn poll_connection(&mut self, id: SessionId, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.parts.clock.now();
        let Some(connection) = self.slots.get_mut(id) else {
            return Poll::Ready(());
        };
        match &mut connection.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if connection.is_blocked() {
            self.unblock(id, cx, now);
        }
        for _ in 0..READS_PER_POLL {
            if !ready!(self.read_once(id, cx, now)) {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once; false when the connection is gone.
    fn read_once(&mut self, id: SessionId, cx: &mut Context<'_>, now: Moment) -> Poll<bool> {
        let Self {
            slots,
            scratch,
            parts,
            ..
        } = self;
        let counters = parts.counters();
        let Some(connection) = slots.get_mut(id) else {
            return Poll::Ready(false);
        };
        let read = ready!(connection.io.poll_read(cx, scratch));
        if connection.closing.is_some() {
            return Poll::Ready(self.linger(id, read));
        }
        connection.last_seen = now.instant;
        match read {
            Ok(ReadOutcome::Data(_)) => {
                // TLS may have answered by itself (a ticket, a key update).
                if connection.io.pending_len() > 0 && connection.block(now, counters).is_err() {
                    self.close(id, Ending::PeerClosed, 0, now);
                    return Poll::Ready(false);
                }
                self.take_frames(id, now);
                Poll::Ready(self.slots.get_mut(id).is_some())
            }
            Ok(ReadOutcome::Closed) => {
                self.close(id, Ending::PeerClosed, 0, now);
                Poll::Ready(false)
            }
            Err(error) => {
                self.failed(id, &error, now);
                Poll::Ready(false)
            }
        }
    }

    /// A closing connection discards what it reads until the peer has gone.
    fn linger(&mut self, id: SessionId, read: Result<ReadOutcome, IoError>) -> bool {
        self.scratch.clear();
        let open = matches!(read, Ok(ReadOutcome::Data(_)));
        if !open {
            self.remove(id);
        }
        open
    }

    /// Feeds every whole frame of what was read to the session.
    pub(crate) fn take_frames(&mut self, id: SessionId, now: Moment) {
        loop {
            let Self {
                slots,
                scratch,
                parts,
                ..
            } = self;
            let Some(connection) = slots.get_mut(id) else {
                break;
            };
            if connection.closing.is_some() {
                break;
            }
            let max = connection.session.max_frame_bytes();
            let actions = match connection.io.next_frame(scratch, max) {
                Ok(Some(body)) => {
                    connection.tally.frames_in += 1;
                    let bytes = body.len() as u64;
                    connection.tally.bytes_in += bytes;
                    parts.counters().bytes_in(connection.transport, bytes);
                    connection.session.on_frame(body, now)
                }
                Ok(None) => break,
                Err(_) => {
                    self.close(id, Ending::Closed(CloseCode::FrameTooLarge), 0, now);
                    break;
                }
            };
            self.act(id, actions, now);
        }
        self.scratch.clear();
        if let Some(connection) = self.slots.get_mut(id) {
            connection.io.settle(now.instant);
        }
        self.flush_out(id, now);
        self.rearm(id);
    }

    fn failed(&mut self, id: SessionId, error: &IoError, now: Moment) {
        tracing::debug!(session = %id, %error, "transport failed");
        let ending = match error {
            IoError::Tls(_) => Ending::Closed(CloseCode::ProtocolError),
            _ => Ending::PeerClosed,
        };
        self.close(id, ending, 0, now);
    }

    /// Carries out what the session machine wants, in order.
    pub(crate) fn act(&mut self, id: SessionId, actions: Actions, now: Moment) {
        for action in actions {
            match action {
                Action::Reply(reply) => {
                    self.parts.counters().replied(Code(reply.code));
                    let frame = ServerFrame {
                        reply: Some(*reply),
                        ..ServerFrame::default()
                    };
                    self.say(id, &frame, now);
                }
                Action::Push(push) => {
                    let frame = ServerFrame {
                        pushes: vec![*push],
                        ..ServerFrame::default()
                    };
                    self.say(id, &frame, now);
                }
                Action::Forward(frame, class) => self.say_encoded(id, frame, class, now),
                Action::Perform { request_id, verb } => {
                    let Some(outcome) = self.perform(id, request_id, verb, now) else {
                        continue;
                    };
                    let Some(connection) = self.slots.get_mut(id) else {
                        return;
                    };
                    let follow = connection.session.on_outcome(request_id, outcome, now);
                    self.act(id, follow, now);
                }
                Action::Close {
                    code,
                    retry_after_ms,
                } => {
                    self.close(id, Ending::Closed(code), retry_after_ms, now);
                    return;
                }
            }
        }
    }

    /// A step of this connection panicked: it ends, the others go on.
    pub(crate) fn panicked(&mut self, id: SessionId) {
        self.out.clear();
        self.scratch.clear();
        let now = self.parts.clock.now();
        self.close(id, Ending::Closed(CloseCode::Internal), 0, now);
        self.remove(id);
    }
}

/// The waker to poll with outside of the reader.
pub(crate) fn waker_of(waker: Option<&Waker>) -> &Waker {
    waker.unwrap_or(Waker::noop())
}
