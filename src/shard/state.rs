//! Everything that a shard owns, and what it does in one turn.
//!
//! Invariants: one thread; nothing here awaits; a turn takes everything from
//! the inbox, starts the sweeps that are due and serves one chunk of one of
//! them, so that readers, heartbeats and other rooms come between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use livegate_proto::client::CloseCode;

use crate::actions::Actions;
use crate::clock::{Clock, Instant, Moment};
use crate::dispatch::{Dispatch, Input, SessionEvent};
use crate::id::{RoomUid, SessionId};
use crate::liveness::wheel::Wheel;
use crate::session::SessionConfig;
use crate::shard::ShardConfig;
use crate::shard::carrier::Carrier;
use crate::shard::chunk::Chunk;
use crate::shard::connection::{Connection, Ending};
use crate::shard::frames::Scratch;
use crate::shard::handle::Handle;
use crate::shard::slots::Slots;
use crate::shard::subscribers::Subscribers;
use crate::shard::sweep::Sweeps;
use crate::shard::window::Load;
use crate::telemetry::{Metrics, ShardMetrics};

/// What a shard is given at start.
pub struct Parts<C: Carrier> {
    /// Its own handle.
    pub handle: Handle<C>,
    /// What users may do.
    pub actions: Arc<Actions>,
    /// Reads the time.
    pub clock: Clock,
    /// Limits.
    pub config: Arc<ShardConfig>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits of sessions.
    pub session: Arc<SessionConfig>,
    /// Reaches the other shards.
    pub dispatch: Dispatch,
}

impl<C: Carrier> Parts<C> {
    /// This shard's own counters.
    pub(crate) fn counters(&self) -> &ShardMetrics {
        self.metrics.shard(self.handle.id)
    }
}

impl<C: Carrier> std::fmt::Debug for Parts<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// When the shard's loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once, after readers and I/O had their turn.
    Again,
    /// At this time, or when the inbox rings.
    At(Instant),
    /// When the inbox rings.
    Rest,
}

/// Everything that a shard owns.
pub(crate) struct State<C: Carrier> {
    pub(crate) parts: Parts<C>,
    pub(crate) slots: Slots<Connection<C>>,
    pub(crate) rooms: Subscribers,
    pub(crate) sweeps: Sweeps,
    /// Rooms that gather, by when they are due.
    pub(crate) due: BinaryHeap<Reverse<(Instant, RoomUid)>>,
    pub(crate) wheel: Wheel<SessionId>,
    pub(crate) scratch: Scratch,
    /// How busy this thread is with sweeps.
    pub(crate) load: Load,
    /// The chunk of a sweep that is in hand.
    pub(crate) chunk: Chunk,
    /// A run of a laggard's own, while it is put together.
    pub(crate) run: Vec<u8>,
    /// Plaintext that is being put together for one connection.
    pub(crate) out: Vec<u8>,
    inputs: Vec<Input>,
    /// Connections whose reader is to be started.
    pub(crate) newcomers: Vec<SessionId>,
    pub(crate) last_tick: Instant,
    pub(crate) draining: bool,
    seed: u64,
}

impl<C: Carrier> State<C> {
    pub(crate) fn new(parts: Parts<C>) -> Self {
        let now = parts.clock.now().instant;
        let shard = parts.handle.id;
        Self {
            slots: Slots::new(shard),
            rooms: Subscribers::new(shard),
            sweeps: Sweeps::default(),
            due: BinaryHeap::new(),
            wheel: Wheel::new(super::TICK, now),
            scratch: Scratch::default(),
            load: Load::default(),
            chunk: Chunk::default(),
            run: Vec::new(),
            out: Vec::new(),
            inputs: Vec::new(),
            newcomers: Vec::new(),
            last_tick: now,
            draining: false,
            seed: 0x9e37_79b9_7f4a_7c15 ^ u64::from(shard.0) << 32 ^ now.0 | 1,
            parts,
        }
    }

    /// One turn of the loop.
    pub(crate) fn turn(&mut self) -> Next {
        let now = self.parts.clock.now();
        self.take_orders(now);
        self.take_inputs(now);
        self.start_due(now);
        if self.sweep_chunk() {
            return Next::Again;
        }
        match self.due.peek() {
            Some(Reverse((at, _))) => Next::At(*at),
            None => Next::Rest,
        }
    }

    fn take_orders(&mut self, now: Moment) {
        let orders = std::mem::take(&mut *self.parts.handle.orders.lock());
        for adopted in orders.adopt {
            self.adopt(adopted, now);
        }
        if let Some(spread) = orders.drain {
            self.drain(spread);
        }
    }

    fn take_inputs(&mut self, now: Moment) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.parts.handle.inbox.take(&mut inputs);
        self.parts.counters().inbox_depth(inputs.len() as u64);
        for input in inputs.drain(..) {
            match input {
                Input::Ring(room) => self.rung(room, now.instant),
                Input::Event(session, event) => self.on_event(session, event, now),
            }
        }
        self.inputs = inputs;
    }

    fn on_event(&mut self, id: SessionId, event: SessionEvent, now: Moment) {
        match event {
            // Nothing of the session's changes: no need to ask its machine.
            SessionEvent::Direct(frame, class) => {
                self.say_encoded(id, frame, class, now);
                self.flush_out(id, now);
                self.rearm(id);
            }
            SessionEvent::Removed(room, frame) => {
                // What was said before its removal concerns it still.
                self.serve_to_head(id, room, now);
                drop(self.leave_room(id, room));
                self.tell_session(id, SessionEvent::Removed(room, frame), now);
            }
            SessionEvent::Asked(asked) => self.asked(id, asked, now),
            SessionEvent::Elsewhere { room, entry } => self.leave_others(id, room, entry, now),
            event @ (SessionEvent::Answered(_)
            | SessionEvent::Hosting(..)
            | SessionEvent::Role { .. }
            | SessionEvent::Close(..)) => {
                self.tell_session(id, event, now);
            }
        }
    }

    pub(super) fn tell_session(&mut self, id: SessionId, event: SessionEvent, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        let actions = connection.session.on_event(event, now);
        self.act(id, actions, now);
        self.flush_out(id, now);
        self.rearm(id);
    }

    /// Judges silence, stalls and deadlines. Time that this thread itself lost
    /// is given back first: a gateway that was stopped must not take its
    /// clients for dead.
    pub(crate) fn tick(&mut self) {
        let now = self.parts.clock.now();
        let slept = now.instant.since(self.last_tick);
        self.last_tick = now.instant;
        if slept > super::SLIP {
            let lost = slept - super::TICK;
            tracing::warn!(lost_ms = lost.as_millis(), "shard was not scheduled");
            self.parts.counters().stalled();
            for connection in self.slots.iter_mut() {
                connection.last_seen = (connection.last_seen + lost).min(now.instant);
                connection.blocked = connection.blocked.map(|at| (at + lost).min(now.instant));
            }
        }
        let mut expired = Vec::new();
        self.wheel.advance(now.instant, |id| expired.push(id));
        for id in expired {
            if let Some(connection) = self.slots.get_mut(id) {
                connection.timer = None;
            }
            self.judge(id, now);
        }
    }

    fn judge(&mut self, id: SessionId, now: Moment) {
        let limits = Arc::clone(&self.parts.config);
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        let at = now.instant;
        if connection.closing.is_some_and(|until| until <= at) {
            self.remove(id);
            return;
        }
        if connection.closing.is_some() {
            self.rearm(id);
            return;
        }
        let silent = connection.last_seen + connection.session.heartbeat().allowance <= at;
        let stalled = connection
            .blocked
            .is_some_and(|since| since + limits.stall <= at);
        let slow_frame = connection.frame_due(&limits) <= at;
        if silent {
            self.close(id, Ending::Closed(CloseCode::HeartbeatTimeout), 0, now);
        } else if stalled {
            self.close(id, Ending::Closed(CloseCode::SlowConsumer), 0, now);
        } else if slow_frame {
            self.close(id, Ending::Closed(CloseCode::SlowFrame), 0, now);
        } else {
            let actions = connection.session.on_deadline(now);
            self.act(id, actions, now);
            self.flush_out(id, now);
            self.rearm(id);
        }
    }

    /// Sets the connection's one timer to its next deadline.
    pub(crate) fn rearm(&mut self, id: SessionId) {
        let Some(connection) = self.slots.get_mut(id) else {
            return;
        };
        let at = connection.next_deadline(&self.parts.config);
        match connection.timer {
            // Deadlines mostly move away (something was heard): the old timer
            // then fires first and looks again, which costs one look per
            // allowance instead of one insertion per frame.
            Some((armed, _)) if armed <= at => return,
            Some((_, token)) => {
                self.wheel.cancel(token);
            }
            None => {}
        }
        connection.timer = Some((at, self.wheel.insert(id, at)));
    }

    fn drain(&mut self, spread: std::time::Duration) {
        self.draining = true;
        let now = self.parts.clock.now();
        let ids = self.slots.ids();
        let spread_ms = u32::try_from(spread.as_millis()).unwrap_or(u32::MAX);
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX).max(1);
        for (n, id) in (0u32..).zip(ids) {
            let share = u64::from(spread_ms) * u64::from(n) / u64::from(count);
            let retry = u32::try_from(share).unwrap_or(u32::MAX).saturating_add(500);
            self.close(id, Ending::Closed(CloseCode::ShuttingDown), retry, now);
        }
    }

    /// Spreads what would happen to many connections at once.
    pub(crate) fn jitter(&mut self) -> u16 {
        // xorshift: needs no quality, only to differ between connections.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 24) as u16
    }

    /// The connection is counted no more.
    pub(crate) fn uncount(&self) {
        let connections = self.parts.handle.inbox.connections();
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}
