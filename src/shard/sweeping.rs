//! How the shard's state starts sweeps and serves their chunks.

use std::cmp::Reverse;

use crate::clock::{Instant, Moment};
use crate::dispatch::Class;
use crate::id::RoomUid;
use crate::shard::carrier::Carrier;
use crate::shard::state::State;
use crate::shard::sweep::{CHUNK, MAX_RUN, Sweep};

impl<C: Carrier> State<C> {
    /// A room has something new: its window says when it is swept.
    pub(crate) fn rung(&mut self, room: RoomUid, now: Instant) {
        let shard = self.parts.handle.id;
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let urgent = local.room.urgent(shard);
        let at = local.window.rung(now, urgent, &self.load);
        if local.due.is_none_or(|due| at < due) {
            local.due = Some(at);
            self.due.push(Reverse((at, room)));
        }
    }

    /// Starts a sweep in every room that is due.
    pub(crate) fn start_due(&mut self, now: Moment) {
        while let Some(Reverse((at, room))) = self.due.peek().copied() {
            if at > now.instant {
                return;
            }
            self.due.pop();
            // A bell that rang urgently meanwhile has left a later entry behind.
            if self.rooms.get_mut(room).is_some_and(|r| r.due == Some(at)) {
                self.start_sweep(room);
            }
        }
    }

    fn start_sweep(&mut self, room: RoomUid) {
        let shard = self.parts.handle.id;
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        local.due = None;
        if local.sweeping {
            // Its end starts the next one, even if this sweep turns out to hold
            // what the bell rang for: a bell that nobody comes for is mute.
            local.again = true;
            return;
        }
        let mut run = self.sweeps.buffer();
        let taken = local.room.take(shard, local.cursor, MAX_RUN, &mut run);
        let flash = local.room.flash(local.flash_seen);
        let version = flash.as_ref().map_or(0, |(version, _)| *version);
        if let Some((version, frame)) = flash {
            local.flash_seen = version;
            run.extend_from_slice(frame.prefixed());
        }
        let sweep = Sweep {
            room,
            frames: taken.frames + u32::from(version > 0),
            classes: taken.classes,
            from: local.cursor,
            to: taken.cursor,
            flash: version,
            left: local.members.len(),
            cost: std::time::Duration::ZERO,
            served: 0,
            run,
        };
        local.cursor = taken.cursor;
        local.sweeping = true;
        let urgent = taken.classes[Class::Essential as usize] > 0;
        self.sweeps.start(sweep, urgent);
    }

    /// Serves one chunk, of one sweep or of several; false when there is none.
    pub(crate) fn sweep_chunk(&mut self) -> bool {
        let mut left = CHUNK;
        while left > 0
            && let Some(sweep) = self.sweeps.next(left)
        {
            // A room that is gone meanwhile costs a look.
            left -= self.sweep_on(sweep, left).max(1);
        }
        left < CHUNK
    }

    /// Serves up to `most` members; tells how many.
    fn sweep_on(&mut self, mut sweep: Sweep, most: usize) -> usize {
        let now = self.parts.clock.now();
        let chunk = sweep.left.saturating_sub(most)..sweep.left;
        self.serve_chunk(&mut sweep, chunk.clone(), now);
        sweep.left = chunk.start;
        let after = self.parts.clock.now().instant;
        let cost = after.since(now.instant);
        sweep.cost += cost;
        self.load.spent(cost, after);
        if sweep.left == 0 || self.rooms.get_mut(sweep.room).is_none() {
            self.end_sweep(sweep, after);
        } else {
            self.sweeps.again(sweep);
        }
        chunk.len()
    }

    fn end_sweep(&mut self, sweep: Sweep, now: Instant) {
        let shard = self.parts.handle.id;
        let counters = self.parts.counters();
        counters.swept(sweep.cost, sweep.frames.into(), sweep.served.into());
        for (class, count) in Class::ALL.into_iter().zip(sweep.classes) {
            let deliveries = u64::from(count) * u64::from(sweep.served);
            counters.messages_out(class, deliveries);
        }
        if sweep.flash > 0 {
            counters.messages_out(Class::Low, sweep.served.into());
        }
        let room = sweep.room;
        if let Some(local) = self.rooms.get_mut(room) {
            local.sweeping = false;
            local.window.swept(now);
            let again = std::mem::take(&mut local.again);
            let news =
                local.room.head() > local.cursor || local.room.flash_version() > local.flash_seen;
            if again || news {
                let urgent = local.room.urgent(shard);
                let at = local.window.rung(now, urgent, &self.load);
                local.due = Some(at);
                self.due.push(Reverse((at, room)));
            }
        }
        self.sweeps.finish(sweep);
    }
}
