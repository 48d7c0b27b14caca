//! What the gateway counts before a connection belongs to a shard.

use std::time::Duration;

use livegate_proto::code::Code;

use super::cell::{Gauge, Grid, Histogram, TIME, Tally};
use super::labels::{
    CODES, CloseReason, HandshakeFailure, Outcome, RefusalCause, Resumed, Transport, code_index,
};

/// The counters of accepting, handshakes and logins.
#[derive(Debug)]
pub struct GatewayMetrics {
    pub(super) accepted: Tally<{ Transport::COUNT }>,
    pub(super) pending: [Gauge; Transport::COUNT],
    pub(super) refused: Grid<{ Transport::COUNT }, { RefusalCause::COUNT }>,
    pub(super) handshakes: [[Histogram; Resumed::COUNT]; Transport::COUNT],
    pub(super) failed: Grid<{ Transport::COUNT }, { HandshakeFailure::COUNT }>,
    pub(super) closed: Grid<{ Transport::COUNT }, { CloseReason::COUNT }>,
    pub(super) logins: Tally<CODES>,
    pub(super) reloads: Tally<{ Outcome::COUNT }>,
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        Self {
            accepted: Tally::default(),
            pending: std::array::from_fn(|_| Gauge::default()),
            refused: Grid::default(),
            handshakes: std::array::from_fn(|_| std::array::from_fn(|_| Histogram::new(&TIME))),
            failed: Grid::default(),
            closed: Grid::default(),
            logins: Tally::default(),
            reloads: Tally::default(),
        }
    }
}

impl GatewayMetrics {
    /// Counts a connection that was let in to its handshake.
    pub fn accepted(&self, transport: Transport) {
        self.accepted.add(transport.index(), 1);
    }

    /// Adds to (or takes from) the number of connections that are not logged
    /// in yet.
    pub fn pending(&self, transport: Transport, change: i64) {
        self.pending[transport.index()].add(change);
    }

    /// Counts a connection that was turned away.
    pub fn refused(&self, transport: Transport, cause: RefusalCause) {
        self.refused.row(transport.index()).add(cause.index(), 1);
    }

    /// Counts a finished handshake: how long it took, and whether it resumed
    /// an earlier one by a ticket.
    pub fn handshake(&self, transport: Transport, resumed: bool, spent: Duration) {
        let resumed = if resumed { Resumed::Yes } else { Resumed::No };
        self.handshakes[transport.index()][resumed.index()].time(spent);
    }

    /// Counts a handshake that failed.
    pub fn handshake_failed(&self, transport: Transport, cause: HandshakeFailure) {
        self.failed.row(transport.index()).add(cause.index(), 1);
    }

    /// Counts a connection that ended after its handshake and before a shard
    /// took it.
    pub fn closed(&self, transport: Transport, reason: impl Into<CloseReason>) {
        let reason: CloseReason = reason.into();
        self.closed.row(transport.index()).add(reason.index(), 1);
    }

    /// Counts a login by the code of its reply.
    pub fn login(&self, code: Code) {
        self.logins.add(code_index(code), 1);
    }

    /// Counts an attempt to reload the certificates.
    pub fn reloaded(&self, ok: bool) {
        let outcome = if ok { Outcome::Ok } else { Outcome::Error };
        self.reloads.add(outcome.index(), 1);
    }
}
