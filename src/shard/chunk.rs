//! One chunk of a sweep: who gets the run, then sealing, then writing.
//!
//! What a delivery costs beside the kernel's send is mostly waiting for memory:
//! ten thousand connections do not fit the caches. So each step is a pass of its
//! own over the chunk, with little to do for each connection, and the processor
//! fetches several connections at a time.
//!
//! Invariant: what was sealed for a connection is written to it before anything
//! else is; nothing between the passes touches a connection of the chunk.

use std::hint::black_box;
use std::ops::Range;

use crate::clock::Moment;
use crate::id::SessionId;
use crate::shard::carrier::Carrier;
use crate::shard::connection::{Connection, Ending};
use crate::shard::state::State;
use crate::shard::sweep::Sweep;
use crate::telemetry::Transport;

/// Bytes that are sealed before the first are written: what the caches of a core
/// hold beside the connections' own state.
const SEAL_AHEAD: usize = 256 * 1024;

/// What a run is to one subscriber.
enum Standing {
    /// What it is to get next.
    Next,
    /// It has it already, or waits for its transport.
    Nothing,
    /// It stands in the middle of the run: its own stretch of the log is due.
    Apart,
}

/// What the chunk in hand is at; empty between chunks.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Who is served, in the order of serving.
    ids: Vec<SessionId>,
    /// Whose run of the log is another one.
    apart: Vec<SessionId>,
    /// Sealed and not written yet.
    bytes: Vec<u8>,
    /// For whom, and where in `bytes`.
    sealed: Vec<(SessionId, Range<usize>)>,
}

impl<C: Carrier> State<C> {
    /// Serves the members at these places of the sweep's room.
    pub(crate) fn serve_chunk(&mut self, sweep: &mut Sweep, places: Range<usize>, now: Moment) {
        let mut chunk = std::mem::take(&mut self.chunk);
        if let Some(local) = self.rooms.get_mut(sweep.room) {
            let members = local.members.get(places).unwrap_or_default();
            chunk.ids.extend(members.iter().rev());
        }
        let apart = &mut chunk.apart;
        chunk.ids.retain(|id| {
            let Some(connection) = self.slots.get_mut(*id) else {
                return false;
            };
            let standing = stand(connection, sweep);
            if let Standing::Apart = standing {
                apart.push(*id);
            }
            matches!(standing, Standing::Next)
        });
        sweep.served += u32::try_from(chunk.ids.len()).unwrap_or(u32::MAX);
        let group = (SEAL_AHEAD / sweep.run.len().max(1)).max(1);
        let ids = std::mem::take(&mut chunk.ids);
        for ids in ids.chunks(group) {
            self.seal_ahead(&mut chunk, ids, &sweep.run, now);
            self.send_sealed(&mut chunk, now);
        }
        chunk.ids = ids;
        chunk.ids.clear();
        for id in chunk.apart.drain(..) {
            self.serve_laggard(id, now);
        }
        self.chunk = chunk;
    }

    fn seal_ahead(&mut self, chunk: &mut Chunk, ids: &[SessionId], run: &[u8], now: Moment) {
        for id in ids {
            if let Some(connection) = self.slots.get_mut(*id) {
                black_box(connection.io.warm());
            }
        }
        let mut end = 0;
        for id in ids.iter().copied() {
            let Some(connection) = self.slots.get_mut(id) else {
                continue;
            };
            match connection.io.seal_ahead(run, &mut chunk.bytes, end) {
                Ok(Some(to)) => {
                    chunk.sealed.push((id, end..to));
                    end = to;
                }
                Ok(None) => self.write_run(id, run, now),
                Err(_) => self.close(id, Ending::PeerClosed, 0, now),
            }
        }
        let (writes, bytes) = (chunk.sealed.len(), chunk.sealed.len() * run.len());
        let counters = self.parts.counters();
        counters.wrote(Transport::Tls, writes as u64, bytes as u64);
    }

    fn send_sealed(&mut self, chunk: &mut Chunk, now: Moment) {
        for (id, bytes) in chunk.sealed.drain(..) {
            let Some(connection) = self.slots.get_mut(id) else {
                continue;
            };
            let counters = self.parts.counters();
            match connection.send_sealed(&chunk.bytes[bytes], now, counters) {
                Ok(()) if connection.is_blocked() => self.rearm(id),
                Ok(()) => {}
                Err(_) => self.close(id, Ending::PeerClosed, 0, now),
            }
        }
    }

    /// Seals, if the transport does not, and writes at once.
    fn write_run(&mut self, id: SessionId, run: &[u8], now: Moment) {
        let Self {
            slots,
            scratch,
            parts,
            ..
        } = self;
        let Some(connection) = slots.get_mut(id) else {
            return;
        };
        match connection.write(run, scratch, now, parts.counters()) {
            Ok(()) if connection.is_blocked() => self.rearm(id),
            Ok(()) => {}
            Err(_) => self.close(id, Ending::PeerClosed, 0, now),
        }
    }
}

/// Looks whether the run is what comes next for a connection, and if so takes
/// it for delivered.
fn stand<C: Carrier>(connection: &mut Connection<C>, sweep: &Sweep) -> Standing {
    if connection.is_blocked() || connection.closing.is_some() {
        return Standing::Nothing;
    }
    let Some(joined) = connection.joined_mut(sweep.room) else {
        return Standing::Nothing;
    };
    if joined.cursor >= sweep.to && joined.flash >= sweep.flash {
        return Standing::Nothing;
    }
    if joined.cursor != sweep.from && joined.cursor < sweep.to {
        return Standing::Apart;
    }
    if joined.cursor >= sweep.to && sweep.from != sweep.to {
        // Entered after this run was taken: only the latest state is new to
        // it, and the next sweep or its own snapshot has that.
        return Standing::Nothing;
    }
    joined.cursor = joined.cursor.max(sweep.to);
    joined.flash = joined.flash.max(sweep.flash);
    if sweep.run.is_empty() {
        return Standing::Nothing;
    }
    connection.tally.out(sweep.frames, sweep.run.len());
    Standing::Next
}
