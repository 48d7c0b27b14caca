//! One target played once: server, workers, publisher, and what came of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::crew::Crew;
use super::dial::Dialer;
use super::plan::{Plan, Target};
use super::publisher::{Publisher, Said};
use super::server::Server;
use super::spread::Spread;
use super::storm::{self, Back};
use super::track::Seen;
use super::watch::{self, Look, Watched};
use super::wire;
use super::worker::{Command, Orders};
use crate::clock::{Micros, micros, monotonic};
use crate::dice::Dice;
use crate::machine;

/// From the last client's coming in to the first message: what coming in left
/// behind is done by then.
pub(super) const SETTLE: Duration = Duration::from_millis(700);

/// From the orders to the beginning of what they are about.
const COUNTDOWN: Duration = Duration::from_millis(100);

/// What one target did in one block.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    /// Who.
    pub(super) target: Target,
    /// In which block.
    pub(super) block: u32,
    /// Subscribers that came in.
    pub(super) subscribers: u32,
    /// Messages sent, warm-up included.
    pub(super) sent: u32,
    /// Messages that were due by the plan's rate.
    pub(super) due: u32,
    /// Deliveries while steady.
    pub(super) deliveries: u64,
    /// Server CPU while steady, microseconds.
    pub(super) cpu_us: u64,
    /// Part of it in user mode, percent.
    pub(super) user_percent: f64,
    /// Server CPU for one delivery, microseconds.
    pub(super) cpu_per_delivery_us: Option<f64>,
    /// Server CPU while steady, percent of one core.
    pub(super) cpu_percent: f64,
    /// Time that threads of the server were ready and had no core, percent of
    /// the steady phase: what others took of its cores, and its own threads of
    /// each other.
    pub(super) waited_percent: f64,
    /// Server CPU for one client to come in, microseconds.
    pub(super) cpu_per_connect_us: f64,
    /// Growth of the server's memory by one subscriber, KiB.
    pub(super) rss_per_connection_kib: f64,
    /// Context switches of the server a second: asked for, not asked for.
    pub(super) switches: (f64, f64),
    /// Deliveries of one write, by the server's own counters or its orders.
    pub(super) batch: Option<f64>,
    /// Deliveries of one read of a subscriber.
    pub(super) per_read: Option<f64>,
    /// Deliveries that never came.
    pub(super) lost: u64,
    /// Deliveries that came twice or late.
    pub(super) disordered: u64,
    /// Deliveries that were damaged.
    pub(super) corrupt: u64,
    /// Requests of the publisher that were refused.
    pub(super) refused: u64,
    /// Messages that a closed loop stopped waiting for.
    pub(super) stalled: u32,
    /// Connections that broke, by reason.
    pub(super) errors: Vec<(String, u64)>,
    /// What came of a restart, if the plan has one.
    pub(super) back: Option<Back>,
    /// Latency of deliveries.
    pub(super) latency: Spread,
    /// Latency of each message's last delivery.
    pub(super) last: Spread,
    /// Deliveries by time while steady, 100 ms each.
    pub(super) bins: Vec<u64>,
    /// Looks at the server while steady.
    pub(super) looks: Vec<Look>,
}

impl Figures {
    /// Everything that went wrong, counted.
    pub(super) fn faults(&self) -> u64 {
        let broken: u64 = self.errors.iter().map(|(_, n)| n).sum();
        let stalled = u64::from(self.stalled);
        let again = self.back.as_ref().map_or(0, |back| back.second_wave);
        self.lost + self.disordered + self.corrupt + self.refused + broken + stalled + again
    }
}

/// Plays `target` once.
///
/// # Errors
/// When the server, a worker or the publisher is lost.
pub(super) async fn play(
    plan: &Plan,
    target: Target,
    block: u32,
    gateway: &Path,
    batch: f64,
    dice: &mut Dice,
) -> Result<Figures> {
    let mut server = Server::start(target, plan, gateway, batch, dice).await?;
    let run = match plan.restart {
        true => storm::run(plan, target, &mut server).await,
        false => run(plan, target, &server).await,
    };
    let mut run = run.with_context(|| format!("{target} said last:\n{}", server.log_tail()))?;
    server.stop().await?;
    if target.is_limit() {
        run.watched.batch = Some(batch);
    }
    Ok(run.figures(plan, target, block))
}

/// What was brought home.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Subscribers that came in.
    pub(super) subscribers: u32,
    /// The server before the first of them.
    pub(super) before: Look,
    /// The server after the last of them.
    pub(super) inside: Look,
    /// The server while steady.
    pub(super) watched: Watched,
    /// What the publisher did.
    pub(super) said: Said,
    /// What the subscribers saw.
    pub(super) seen: Vec<Seen>,
    /// When subscribers were back after a restart.
    pub(super) back: Option<Back>,
}

async fn run(plan: &Plan, target: Target, server: &Server) -> Result<Run> {
    let wire = wire::of(target, ROOM);
    let certificate = server.certificate();
    let dialer = Dialer::new(target, &*wire, server.addr, &certificate, plan.post_quantum)?;
    let publisher = Publisher::enter(plan, &*wire, &dialer).await?;
    let before = watch::look(server.pid)?;
    let mut crew = Crew::start(&orders(plan, target, server)).await?;
    let subscribers = crew.all_in(plan.subscribers, coming_in(plan)).await?;
    ensure!(subscribers > 0, "no subscriber came in");
    sleep(SETTLE).await;
    let inside = watch::look(server.pid)?;
    let start = monotonic() + micros(COUNTDOWN);
    let from = start + micros(plan.warm_up);
    let to = from + micros(plan.steady);
    crew.tell(Command::Measure { from, to }).await?;
    let watch = watch::start(server.pid, server.internal, (from, to));
    let said = publisher.speak(&crew, (start, from, to)).await?;
    let seen = crew.end(said.sent).await?;
    let watched = watch
        .join()
        .map_err(|_| anyhow::anyhow!("the watch panicked"))??;
    Ok(Run {
        subscribers,
        before,
        inside,
        watched,
        said,
        seen,
        back: None,
    })
}

/// Most time for all subscribers to come in.
pub(super) fn coming_in(plan: &Plan) -> Duration {
    Duration::from_secs(60 + u64::from(plan.subscribers) / 100)
}

/// The room or topic of all targets.
const ROOM: &str = "room";

/// Worker k of n has every n-th subscriber.
pub(super) fn orders(plan: &Plan, target: Target, server: &Server) -> Vec<Orders> {
    let step = workers(plan);
    let of = |first| Orders {
        target,
        addr: server.addr,
        certificate: server.certificate(),
        room: ROOM.to_owned(),
        first,
        step,
        subscribers: (plan.subscribers - first).div_ceil(step),
        cpus: plan.worker_cpus.clone(),
        post_quantum: plan.post_quantum,
        comes_back: plan.restart,
        heartbeat_ms: u64::try_from(plan.heartbeat.as_millis()).unwrap_or(u64::MAX),
    };
    (0..step).map(of).collect()
}

/// As many as asked for, or as the open files of one process demand.
fn workers(plan: &Plan) -> u32 {
    let cores = match plan.worker_cpus.len() {
        0 => machine::cores() / 2,
        n => n,
    };
    let asked = match plan.workers {
        0 => u32::try_from(cores).unwrap_or(1),
        n => n,
    };
    let files = u32::try_from(machine::files().saturating_sub(1_000)).unwrap_or(u32::MAX);
    let needed = plan.subscribers.div_ceil(files.max(1));
    asked.max(needed).clamp(1, plan.subscribers)
}

impl Run {
    fn figures(self, plan: &Plan, target: Target, block: u32) -> Figures {
        let mut all = Seen::default();
        for seen in &self.seen {
            add(&mut all, seen);
        }
        let (first, last) = (
            self.watched.looks.first().copied().unwrap_or_default(),
            self.watched.looks.last().copied().unwrap_or_default(),
        );
        let lasted = last.at.saturating_sub(first.at);
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let per_second = |before: u64, after: u64| {
            ratio((after - before) * 1_000_000, lasted).unwrap_or_default()
        };
        let cpu_us = last.ran_us - first.ran_us;
        let user = last.user_us - first.user_us;
        let system = last.system_us - first.system_us;
        let grown = self.inside.rss_kib.saturating_sub(self.before.rss_kib);
        let came_in = self.inside.ran_us - self.before.ran_us;
        let subscribers = u64::from(self.subscribers);
        let back = self.back.clone().map(|back| back.with(&all, subscribers));
        Figures {
            target,
            block,
            subscribers: self.subscribers,
            sent: self.said.sent,
            due: self.due(plan),
            deliveries: all.deliveries,
            cpu_us,
            user_percent: 100.0 * ratio(user, user + system).unwrap_or_default(),
            cpu_per_delivery_us: ratio(cpu_us, all.deliveries),
            cpu_percent: 100.0 * ratio(cpu_us, lasted).unwrap_or_default(),
            waited_percent: 100.0
                * ratio(last.waited_us - first.waited_us, lasted).unwrap_or_default(),
            cpu_per_connect_us: ratio(came_in, subscribers).unwrap_or_default(),
            rss_per_connection_kib: ratio(grown, subscribers).unwrap_or_default(),
            switches: (
                per_second(first.voluntary, last.voluntary),
                per_second(first.involuntary, last.involuntary),
            ),
            batch: self.watched.batch,
            per_read: ratio(all.deliveries, all.reads),
            lost: all.lost,
            disordered: all.duplicates + all.late,
            corrupt: all.corrupt,
            refused: self.said.refused,
            stalled: self.said.stalled,
            errors: all.errors.into_iter().collect(),
            back,
            latency: all.latency,
            last: self.said.last,
            bins: all.bins,
            looks: self.watched.looks,
        }
    }

    /// Messages due before the steady phase ended. A closed loop owes nothing
    /// but what it sent.
    fn due(&self, plan: &Plan) -> u32 {
        if plan.rate > 0.0 {
            let lasted = plan.warm_up + plan.steady;
            ((lasted.as_secs_f64() * plan.rate).ceil() as u32).saturating_sub(1)
        } else {
            self.said.sent
        }
    }
}

fn add(sum: &mut Seen, seen: &Seen) {
    sum.deliveries += seen.deliveries;
    sum.all += seen.all;
    sum.reads += seen.reads;
    sum.lost += seen.lost;
    sum.duplicates += seen.duplicates;
    sum.late += seen.late;
    sum.corrupt += seen.corrupt;
    sum.drops += seen.drops;
    sum.tries += seen.tries;
    sum.latency.merge(&seen.latency);
    sum.bins.resize(sum.bins.len().max(seen.bins.len()), 0);
    for (sum, n) in sum.bins.iter_mut().zip(&seen.bins) {
        *sum += n;
    }
    for (why, n) in &seen.errors {
        *sum.errors.entry(why.clone()).or_default() += n;
    }
}

/// The last moment of a block, at most.
pub(super) fn longest(plan: &Plan) -> Duration {
    let phases: Micros = micros(plan.warm_up + plan.steady + plan.drain);
    let coming_in = u64::from(plan.subscribers) / 100;
    Duration::from_micros(phases) + Duration::from_secs(300 + coming_in)
}
