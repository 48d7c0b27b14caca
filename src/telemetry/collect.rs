//! Writes every figure down when somebody asks: the list of all metrics.
//!
//! Names are `livegate_<subsystem>_<name>_<unit>`; the exposition adds the
//! unit, and `_total` to counters. docs/operations.md has the same list, held
//! equal by a test.

use std::fmt;
use std::sync::Arc;

use livegate_proto::client::EndReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::cell::{Histogram, Snapshot};
use super::labels::{
    AskResult, AttemptResult, BackendMethod, CallResult, CloseReason, DropCause, HandshakeFailure,
    MessageClass, Outcome, RefusalCause, Resumed, RowClass, SkipCause, Transport,
};
use super::metrics::{END_REASONS, Metrics};
use super::page::{About, Page};
use super::process::Process;
use super::shard::ShardMetrics;

const BYTES: Option<&Unit> = Some(&Unit::Bytes);
const SECONDS: Option<&Unit> = Some(&Unit::Seconds);

/// Reads [`Metrics`] at a scrape.
#[derive(Debug)]
pub(super) struct Scrape(pub(super) Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let metrics = &*self.0;
        gateway(&mut page, metrics)?;
        connections(&mut page, metrics)?;
        messages(&mut page, metrics)?;
        shards(&mut page, metrics)?;
        rooms(&mut page, metrics)?;
        lives(&mut page, metrics)?;
        engine(&mut page, metrics)?;
        outbox(&mut page, metrics)?;
        calls(&mut page, metrics)?;
        backend(&mut page, metrics)?;
        process(&mut page)
    }
}

fn gateway(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let gateway = metrics.gateway();
    let about = About(
        "gateway_accepted",
        "Connections let in to their handshake",
        None,
    );
    page.counters::<Transport>(about, |t| gateway.accepted.get(t))?;
    let about = About(
        "gateway_pending",
        "Connections that are not logged in yet",
        None,
    );
    page.gauges::<Transport>(about, |t| gateway.pending[t].get())?;
    let about = About(
        "gateway_refused",
        "Connections turned away before their handshake",
        None,
    );
    page.counter_grid::<Transport, RefusalCause>(about, |t, c| gateway.refused.row(t).get(c))?;
    let about = About(
        "gateway_handshake",
        "Time from accepting to the end of the handshake",
        SECONDS,
    );
    page.histogram_grid::<Transport, Resumed>(about, |t, r| gateway.handshakes[t][r].snapshot())?;
    let about = About("gateway_handshakes_failed", "Handshakes that failed", None);
    page.counter_grid::<Transport, HandshakeFailure>(about, |t, c| gateway.failed.row(t).get(c))?;
    let about = About(
        "gateway_closed",
        "Connections that ended between handshake and login",
        None,
    );
    page.counter_grid::<Transport, CloseReason>(about, |t, r| gateway.closed.row(t).get(r))?;
    let about = About("gateway_logins", "Logins by result code", None);
    page.by_code(about, |code| gateway.logins.get(code))?;
    let about = About(
        "gateway_certificate_reloads",
        "Reloads of the certificates",
        None,
    );
    page.counters::<Outcome>(about, |o| gateway.reloads.get(o))
}

fn connections(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let opened = |t| metrics.sum(|shard| shard.opened.get(t));
    let about = About("connections_open", "Logged-in connections", None);
    page.gauges::<Transport>(about, |t| {
        let closed = metrics.sum(|shard| shard.closed.row(t).sum());
        gauge(opened(t).saturating_sub(closed))
    })?;
    let about = About("connections_opened", "Connections that logged in", None);
    page.counters::<Transport>(about, opened)?;
    let about = About(
        "connections_closed",
        "Logged-in connections that ended",
        None,
    );
    page.counter_grid::<Transport, CloseReason>(about, |t, reason| {
        metrics.sum(|shard| shard.closed.row(t).get(reason))
    })?;
    let about = About("connections_replies", "Replies to requests, by code", None);
    page.by_code(about, |code| metrics.sum(|shard| shard.replies.get(code)))?;
    let about = About(
        "connections_received",
        "Bytes of frames from clients",
        BYTES,
    );
    page.counters::<Transport>(about, |t| metrics.sum(|shard| shard.bytes_in.get(t)))?;
    let about = About("connections_sent", "Bytes of frames to clients", BYTES);
    page.counters::<Transport>(about, |t| metrics.sum(|shard| shard.bytes_out.get(t)))?;
    let about = About("connections_writes", "Writes to clients", None);
    page.counters::<Transport>(about, |t| metrics.sum(|shard| shard.writes.get(t)))?;
    let about = About(
        "connections_blocked",
        "Clients' sockets that were full",
        None,
    );
    page.counter(about, metrics.sum(|shard| shard.blocked.get()))
}

fn messages(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let rooms = metrics.rooms();
    let about = About(
        "messages_in",
        "Messages that rooms took, from members and backends",
        None,
    );
    page.counters::<MessageClass>(about, |c| rooms.taken.get(c))?;
    let about = About(
        "messages_out",
        "Deliveries: messages times the subscribers they were written to",
        None,
    );
    page.counters::<MessageClass>(about, |c| metrics.sum(|shard| shard.messages_out.get(c)))?;
    let about = About(
        "messages_skipped",
        "Deliveries that one slow subscriber missed",
        None,
    );
    page.counter_grid::<MessageClass, SkipCause>(about, |class, cause| {
        metrics.sum(|shard| shard.skipped.row(class).get(cause))
    })?;
    let about = About("messages_dropped", "Messages that went to nobody", None);
    page.counter_grid::<MessageClass, DropCause>(about, |class, cause| {
        rooms.dropped.row(class).get(cause)
    })
}

fn shards(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let sweeps = metrics.merged(|shard| &shard.sweep_time);
    page.counter(
        About("shard_sweeps", "Sweeps of rooms", None),
        sweeps.count(),
    )?;
    page.histogram(About("shard_sweep", "Time of one sweep", SECONDS), &sweeps)?;
    let frames = metrics.merged(|shard| &shard.sweep_frames);
    page.histogram(
        About("shard_sweep_frames", "Frames that a sweep joined", None),
        &frames,
    )?;
    let subscribers = metrics.merged(|shard| &shard.sweep_subscribers);
    let about = About(
        "shard_sweep_subscribers",
        "Subscribers that a sweep wrote to",
        None,
    );
    page.histogram(about, &subscribers)?;

    let each = || metrics.shards().iter().enumerate();
    let about = About(
        "shard_inbox_depth",
        "Inputs that the shard found when it last looked",
        None,
    );
    let rows = each().map(|(n, shard)| (n.to_string(), shard.inbox_depth.get()));
    page.named_gauges(about, "shard", rows)?;
    let about = About(
        "shard_laggards",
        "Subscribers that read from the log because their socket was full",
        None,
    );
    let rows = each().map(|(n, shard)| (n.to_string(), shard.laggards.get()));
    page.named_gauges(about, "shard", rows)?;
    let stalls = metrics.sum(|shard| shard.stalls.get());
    page.counter(
        About("shard_stalls", "Slips of a shard's own tick", None),
        stalls,
    )
}

fn rooms(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let rooms = metrics.rooms();
    page.gauge(About("rooms_open", "Rooms", None), rooms.open.get())?;
    let about = About("rooms_members", "Member sessions of all rooms", None);
    page.gauge(about, rooms.members.get())?;
    let about = About("rooms_invitations", "Open invitations to the mic", None);
    page.gauge(about, rooms.invitations.get())?;
    let about = About("rooms_publishers", "Users on the mic", None);
    page.gauge(about, rooms.publishers.get())?;
    let about = About("rooms_combos", "Open combos of gifts", None);
    page.gauge(about, rooms.combos.get())?;
    let about = About("rooms_log", "Bytes that the logs of all rooms hold", BYTES);
    page.gauge(about, rooms.log_bytes.get())?;
    let about = About("rooms_presence_digests", "Presence digests made", None);
    page.counter(about, rooms.presence_digests.get())?;
    let about = About(
        "rooms_deduplicated",
        "Messages that repeated one already stamped",
        None,
    );
    page.counter(about, rooms.deduplicated.get())
}

fn lives(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let lives = metrics.lives();
    let begun = lives.started.get() + lives.recovered.get();
    let open = begun.saturating_sub(lives.ended.sum());
    page.gauge(
        About("lives_open", "Lives that have not ended", None),
        gauge(open),
    )?;
    let about = About("lives_started", "Lives recorded as started", None);
    page.counter(about, lives.started.get())?;
    let about = About("lives_recovered", "Lives found open after a restart", None);
    page.counter(about, lives.recovered.get())?;
    page.counter(
        About("lives_host_away", "Hosts lost", None),
        lives.away.get(),
    )?;
    let about = About("lives_host_back", "Hosts that came back in time", None);
    page.counter(about, lives.back.get())?;
    let about = About("lives_ended", "Lives recorded as ended", None);
    let rows = (1..END_REASONS).filter_map(|n| Some((end_reason(n)?, lives.ended.get(n))));
    page.named_counters(about, "reason", rows)
}

/// `host_crashed` for the contract's `END_REASON_HOST_CRASHED`.
fn end_reason(number: usize) -> Option<String> {
    let reason = EndReason::try_from(i32::try_from(number).ok()?).ok()?;
    let text = reason.as_str_name().strip_prefix("END_REASON_")?;
    Some(text.to_ascii_lowercase())
}

fn engine(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let engine = metrics.engine();
    let about = About(
        "engine_commit",
        "Time of one transaction of the store",
        SECONDS,
    );
    page.histogram(about, &engine.commit_time.snapshot())?;
    let about = About(
        "engine_commit_batch",
        "Commits that one transaction held",
        None,
    );
    page.histogram(about, &engine.commit_batch.snapshot())?;
    page.counter(
        About("engine_errors", "Errors of the store", None),
        engine.errors.get(),
    )?;
    let about = About(
        "engine_refused",
        "Commits that the full queue refused",
        None,
    );
    page.counter(about, engine.refused.get())?;
    let about = About(
        "engine_queue_depth",
        "Commits that wait for the writer",
        None,
    );
    page.gauge(about, engine.queue_depth.get())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of an age")]
fn outbox(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let outbox = metrics.outbox();
    let about = About(
        "outbox_depth",
        "Events that wait to be told to backends",
        None,
    );
    page.gauge(about, outbox.depth.get())?;
    let about = About(
        "outbox_oldest_age",
        "Age of the oldest event that waits",
        SECONDS,
    );
    page.gauge(about, outbox.oldest_ms.get() as f64 / 1e3)?;
    let about = About(
        "outbox_size",
        "Disk that waiting events and dead letters take",
        BYTES,
    );
    page.gauge(about, outbox.bytes.get())?;
    let about = About(
        "outbox_shed",
        "Events let go because the outbox or its queue was full, or the disk",
        None,
    );
    page.counters::<RowClass>(about, |class| outbox.shed.get(class))?;
    let about = About("outbox_attempts", "Attempts to tell a backend", None);
    page.counters::<AttemptResult>(about, |r| outbox.attempts.get(r))?;
    let about = About("outbox_attempt", "Time of one attempt", SECONDS);
    page.histogram(about, &outbox.attempt_time.snapshot())?;
    let about = About("asks", "Questions to backends", None);
    page.counters::<AskResult>(about, |r| outbox.asks.get(r))?;
    let about = About("ask", "Time until a question was decided", SECONDS);
    page.histogram(about, &outbox.ask_time.snapshot())?;
    page.counter(
        About("outbox_dead", "Events given up", None),
        outbox.dead.get(),
    )
}

fn calls(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let calls = metrics.calls();
    let about = About("calls", "Calls of clients to their backends", None);
    page.counters::<CallResult>(about, |result| calls.results.get(result))?;
    let about = About(
        "calls_under_way",
        "Calls that wait for a backend's answer",
        None,
    );
    page.gauge(about, calls.under_way.get())?;
    let about = About("calls_time", "Time of a call that was sent", SECONDS);
    page.histogram(about, &calls.time.snapshot())
}

fn backend(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let about = About("backend_calls", "Calls of gRPC on the internal port", None);
    page.counter_grid::<BackendMethod, Outcome>(about, |m, o| metrics.backend().row(m).get(o))?;
    let about = About("v4_answers", "Answers of the v4 API by code", None);
    page.by_code(about, |code| metrics.v4().get(code))
}

fn process(page: &mut Page<'_>) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.info(About("build", "What is running", None), &version)?;
    let Some(process) = Process::read() else {
        return Ok(());
    };
    let about = About(
        "process_resident_memory",
        "Memory that the process holds",
        BYTES,
    );
    page.gauge(about, gauge(process.resident_bytes))?;
    let about = About(
        "process_cpu",
        "Processor time spent, user and system",
        SECONDS,
    );
    page.counter(about, process.cpu_seconds)?;
    let about = About("process_open_fds", "Open file descriptors", None);
    page.gauge(about, gauge(process.open_fds))?;
    let about = About(
        "process_max_fds",
        "Most file descriptors that may be open",
        None,
    );
    page.gauge(about, gauge(process.max_fds))?;
    page.gauge(
        About("process_threads", "Threads", None),
        gauge(process.threads),
    )
}

fn gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Metrics {
    fn sum(&self, read: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.shards().iter().map(read).sum()
    }

    fn merged(&self, pick: impl Fn(&ShardMetrics) -> &Histogram) -> Snapshot {
        let mut total = pick(self.shard(0usize)).zero();
        for shard in self.shards() {
            pick(shard).add_to(&mut total);
        }
        total
    }
}
