//! All the figures of a process: blocks by owner, one registry to read them.

use std::sync::Arc;

use livegate_proto::client::EndReason;
use livegate_proto::code::Code;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::cell::{Counter, Gauge, Grid, Tally};
use super::collect::Scrape;
use super::gateway::GatewayMetrics;
use super::labels::{BackendMethod, CODES, DropCause, MessageClass, Outcome, code_index};
use super::shard::ShardMetrics;
use super::store::{CallMetrics, EngineMetrics, OutboxMetrics};

/// How many reasons a live may end for: the contract's numbers, which begin
/// with 0 for unspecified.
pub(super) const END_REASONS: usize = 16;

/// The figures of one process, by who counts them.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[ShardMetrics]>,
    gateway: GatewayMetrics,
    rooms: RoomMetrics,
    lives: LiveMetrics,
    engine: EngineMetrics,
    outbox: OutboxMetrics,
    calls: CallMetrics,
    backend: Grid<{ BackendMethod::COUNT }, { Outcome::COUNT }>,
    v4: Tally<CODES>,
}

impl Metrics {
    /// Makes the counters of a gateway with `shards` shards (at least one).
    pub fn new(shards: u16) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..shards.max(1))
                .map(|_| ShardMetrics::default())
                .collect(),
            gateway: GatewayMetrics::default(),
            rooms: RoomMetrics::default(),
            lives: LiveMetrics::default(),
            engine: EngineMetrics::default(),
            outbox: OutboxMetrics::default(),
            calls: CallMetrics::default(),
            backend: Grid::default(),
            v4: Tally::default(),
        })
    }

    /// One shard's block, by `ShardId` or index; keep the reference.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn shard(&self, shard: impl Into<usize>) -> &ShardMetrics {
        &self.shards[shard.into()]
    }

    pub(super) fn shards(&self) -> &[ShardMetrics] {
        &self.shards
    }

    /// What accepting, handshakes and logins count.
    pub fn gateway(&self) -> &GatewayMetrics {
        &self.gateway
    }

    /// What the room registry counts.
    pub fn rooms(&self) -> &RoomMetrics {
        &self.rooms
    }

    /// What becomes of lives.
    pub fn lives(&self) -> &LiveMetrics {
        &self.lives
    }

    /// What the engine's writer counts.
    pub fn engine(&self) -> &EngineMetrics {
        &self.engine
    }

    /// What is to be told to backends.
    pub fn outbox(&self) -> &OutboxMetrics {
        &self.outbox
    }

    /// What is counted of clients' calls to their backends.
    pub fn calls(&self) -> &CallMetrics {
        &self.calls
    }

    /// Counts a call on the internal port by whether it was answered OK.
    pub fn backend_call(&self, method: BackendMethod, ok: bool) {
        let outcome = if ok { Outcome::Ok } else { Outcome::Error };
        self.backend.row(method.index()).add(outcome.index(), 1);
    }

    /// Counts an answer of the v4 API by its code.
    pub fn v4_answer(&self, code: Code) {
        self.v4.add(code_index(code), 1);
    }

    pub(super) fn v4(&self) -> &Tally<CODES> {
        &self.v4
    }

    pub(super) fn backend(&self) -> &Grid<{ BackendMethod::COUNT }, { Outcome::COUNT }> {
        &self.backend
    }

    /// Reads everything, as OpenMetrics text.
    pub fn render(self: &Arc<Self>) -> String {
        let mut registry = Registry::with_prefix("livegate");
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut page = String::with_capacity(32 << 10);
        text::encode(&mut page, &registry).expect("writing to a string does not fail");
        page
    }
}

/// What one room holds that grows and shrinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Sessions of members.
    pub members: usize,
    /// Open invitations to the mic.
    pub invitations: usize,
    /// Users on the mic.
    pub publishers: usize,
    /// Open combos of gifts.
    pub combos: usize,
}

/// The counters of the room registry.
#[derive(Debug, Default)]
pub struct RoomMetrics {
    pub(super) open: Gauge,
    pub(super) members: Gauge,
    pub(super) invitations: Gauge,
    pub(super) publishers: Gauge,
    pub(super) combos: Gauge,
    pub(super) log_bytes: Gauge,
    pub(super) presence_digests: Counter,
    pub(super) deduplicated: Counter,
    pub(super) taken: Tally<{ MessageClass::COUNT }>,
    pub(super) dropped: Grid<{ MessageClass::COUNT }, { DropCause::COUNT }>,
}

impl RoomMetrics {
    /// Adds to (or takes from) the number of rooms.
    pub fn open(&self, change: i64) {
        self.open.add(change);
    }

    /// Counts what one room holds now in place of what it held before.
    pub fn held(&self, before: Held, after: Held) {
        for (gauge, before, after) in [
            (&self.members, before.members, after.members),
            (&self.invitations, before.invitations, after.invitations),
            (&self.publishers, before.publishers, after.publishers),
            (&self.combos, before.combos, after.combos),
        ] {
            if before != after {
                let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                gauge.add(signed(after) - signed(before));
            }
        }
    }

    /// Sets the bytes that all logs hold.
    pub fn log_bytes(&self, bytes: u64) {
        self.log_bytes.set(bytes);
    }

    /// Counts a presence digest.
    pub fn presence_digest(&self) {
        self.presence_digests.add(1);
    }

    /// Counts a message that the room took, from a member or the backend; a
    /// like is low.
    pub fn taken(&self, class: impl Into<MessageClass>) {
        self.taken.add(class.into().index(), 1);
    }

    /// Counts messages that went to nobody.
    pub fn dropped(&self, class: impl Into<MessageClass>, cause: DropCause, messages: u64) {
        let class = class.into().index();
        self.dropped.row(class).add(cause.index(), messages);
    }

    /// Counts a message that was a retry of one already stamped.
    pub fn deduplicated(&self) {
        self.deduplicated.add(1);
    }
}

/// The counters of lives. Those open are the started and recovered ones less
/// the ended.
#[derive(Debug, Default)]
pub struct LiveMetrics {
    pub(super) started: Counter,
    pub(super) recovered: Counter,
    pub(super) away: Counter,
    pub(super) back: Counter,
    pub(super) ended: Tally<END_REASONS>,
}

impl LiveMetrics {
    /// Counts a live that was recorded as started.
    pub fn started(&self) {
        self.started.add(1);
    }

    /// Counts a live found open after a restart.
    pub fn recovered(&self) {
        self.recovered.add(1);
    }

    /// Counts a host that was lost.
    pub fn host_away(&self) {
        self.away.add(1);
    }

    /// Counts a host that came back in time.
    pub fn host_back(&self) {
        self.back.add(1);
    }

    /// Counts a live that was recorded as ended.
    pub fn ended(&self, reason: EndReason) {
        let index = usize::try_from(i32::from(reason)).unwrap_or(0);
        self.ended.add(index.min(END_REASONS - 1), 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use livegate_proto::CloseCode;
    use livegate_proto::code::Code;

    use super::*;
    use crate::telemetry::{CloseReason, Transport};

    #[test]
    fn shards_are_summed_at_the_scrape() {
        let metrics = Metrics::new(2);
        for shard in [0usize, 1] {
            let shard = metrics.shard(shard);
            shard.opened(Transport::Tls);
            shard.swept(Duration::from_micros(80), 3, 1_000);
            shard.messages_out(MessageClass::High, 3_000);
        }
        metrics
            .shard(1usize)
            .closed(Transport::Tls, CloseCode::SlowConsumer);
        let page = metrics.render();
        for line in [
            "livegate_connections_open{transport=\"tls\"} 1",
            "livegate_connections_opened_total{transport=\"tls\"} 2",
            "livegate_connections_closed_total{transport=\"tls\",reason=\"slow_consumer\"} 1",
            "livegate_messages_out_total{class=\"high\"} 6000",
            "livegate_shard_sweeps_total 2",
            "livegate_shard_sweep_seconds_bucket{le=\"0.0001\"} 2",
            "livegate_shard_sweep_frames_sum 6.0",
            "livegate_shard_sweep_subscribers_bucket{le=\"1024.0\"} 2",
        ] {
            assert!(
                page.lines().any(|each| each == line),
                "no {line} in\n{page}"
            );
        }
    }

    #[test]
    fn lives_open_are_those_begun_less_those_ended() {
        let metrics = Metrics::new(1);
        metrics.lives().started();
        metrics.lives().started();
        metrics.lives().recovered();
        metrics.lives().ended(EndReason::HostCrashed);
        let page = metrics.render();
        assert!(page.contains("livegate_lives_open 2\n"));
        assert!(page.contains("livegate_lives_ended_total{reason=\"host_crashed\"} 1\n"));
        assert!(page.contains("livegate_lives_ended_total{reason=\"kicked\"} 0\n"));
    }

    #[test]
    fn codes_that_were_never_answered_make_no_series() {
        let metrics = Metrics::new(1);
        metrics.gateway().login(Code::SIG_EXPIRED);
        let page = metrics.render();
        assert!(page.contains("livegate_gateway_logins_total{code=\"70001\"} 1\n"));
        assert!(page.contains("livegate_gateway_logins_total{code=\"0\"} 0\n"));
        assert!(!page.contains("livegate_gateway_logins_total{code=\"70002\"}"));
    }

    #[test]
    fn every_family_is_named_by_the_rule() {
        let page = Metrics::new(1).render();
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in names {
            assert!(name.starts_with("livegate_"), "{name}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_session_may_close_without_a_word() {
        let metrics = Metrics::new(1);
        metrics
            .shard(0usize)
            .closed(Transport::Quic, CloseReason::Lost);
        let line = "livegate_connections_closed_total{transport=\"quic\",reason=\"lost\"} 1";
        assert!(metrics.render().contains(line));
    }
}
