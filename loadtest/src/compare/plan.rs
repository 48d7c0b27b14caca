//! Plans of `compare`: one fan-out, played against several targets in turn, and
//! what the comparison must keep to.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::payload;
use crate::plan::{PlanError, Wrong, need, read_as};

/// Most subscribers: what the loopback's ports and a machine's memory bear.
const MAX_SUBSCRIBERS: u32 = 1_000_000;

/// What a plan is played against.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// livegate over TLS.
    Livegate,
    /// livegate over TLS with the plan's `other` settings.
    LivegateOther,
    /// livegate over QUIC.
    LivegateQuic,
    /// The bare loop: seal with rustls, send, one subscriber after another.
    Limit,
    /// The bare loop that seals for 128 subscribers, then sends to 128.
    LimitChunks,
    /// Mosquitto, MQTT 3.1.1 at QoS 0 over TLS.
    Mosquitto,
    /// NATS over TLS.
    Nats,
}

impl Target {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::Livegate,
        Self::LivegateOther,
        Self::LivegateQuic,
        Self::Limit,
        Self::LimitChunks,
        Self::Mosquitto,
        Self::Nats,
    ];

    /// Whether it is the bare loop.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self, Self::Limit | Self::LimitChunks)
    }

    /// Whether it is livegate.
    pub(crate) fn is_livegate(self) -> bool {
        matches!(
            self,
            Self::Livegate | Self::LivegateOther | Self::LivegateQuic
        )
    }

    /// Its name in plans and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Livegate => "livegate",
            Self::LivegateOther => "livegate-other",
            Self::LivegateQuic => "livegate-quic",
            Self::Limit => "limit",
            Self::LimitChunks => "limit-chunks",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One fan-out: a publisher, one room or topic, everybody in it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plan {
    /// One sentence for the report.
    pub(crate) about: String,
    /// What it is played against, in this order within a block.
    pub(crate) targets: Vec<Target>,
    /// How often each target is played, all in turn each time.
    pub(crate) blocks: u32,
    /// Subscribers of the room.
    pub(crate) subscribers: u32,
    /// Bytes of a message.
    pub(crate) payload_bytes: usize,
    /// Closed loop: so many messages are under way at once; a message is done
    /// when the last subscriber has it. 0: none is said, or `rate` is.
    pub(crate) in_flight: u32,
    /// Open loop: messages a second, sent when due however slow they arrive.
    pub(crate) rate: f64,
    /// Messages flow, nothing is measured yet.
    #[serde(with = "crate::span")]
    pub(crate) warm_up: Duration,
    /// Messages flow and are measured.
    #[serde(with = "crate::span")]
    pub(crate) steady: Duration,
    /// Most time for what is under way to arrive after the last message.
    #[serde(with = "crate::span")]
    pub(crate) drain: Duration,
    /// From one sign of life of a subscriber to its next.
    #[serde(with = "crate::span")]
    pub(crate) heartbeat: Duration,
    /// Processes that the subscribers are spread over; 0: half the cores.
    pub(crate) workers: u32,
    /// Cores that the server is held to; empty: any.
    pub(crate) server_cpus: Vec<usize>,
    /// Cores that workers and publisher are held to; empty: any.
    pub(crate) worker_cpus: Vec<usize>,
    /// TOML that is put into livegate's configuration file as it is.
    pub(crate) livegate: String,
    /// The same for the target `livegate-other`: one setting against another.
    pub(crate) other: String,
    /// Nothing is said; the server is killed, started again, and its subscribers
    /// come back, each when its own dice say.
    pub(crate) restart: bool,
    /// Whether clients offer the hybrid key exchange X25519MLKEM768 before
    /// X25519.
    pub(crate) post_quantum: bool,
    /// Messages that the limit joins in one write; absent: as many as livegate
    /// had in the same comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_batch: Option<f64>,
    /// What livegate must keep to in every block.
    pub(crate) limits: Limits,
    /// What the targets must keep to against each other.
    pub(crate) ratios: Vec<Ratio>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            about: String::new(),
            targets: vec![Target::Livegate, Target::Limit],
            blocks: 7,
            subscribers: 0,
            payload_bytes: 200,
            in_flight: 0,
            rate: 0.0,
            warm_up: Duration::from_secs(1),
            steady: Duration::from_secs(4),
            drain: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
            workers: 0,
            server_cpus: Vec::new(),
            worker_cpus: Vec::new(),
            livegate: String::new(),
            other: String::new(),
            restart: false,
            post_quantum: false,
            limit_batch: None,
            limits: Limits::default(),
            ratios: Vec::new(),
        }
    }
}

/// Limits of livegate's own figures. Counts hold in every block, the others are
/// medians over the blocks; absent figures are reported and not judged.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Deliveries that never came, came twice, came late or damaged.
    pub(crate) faults: u64,
    /// Percent of the messages due by `rate` that must have been sent.
    pub(crate) sent_percent: f64,
    /// Server CPU per delivery, microseconds.
    pub(crate) cpu_per_delivery_us: Option<f64>,
    /// Server CPU while steady, percent of one core.
    pub(crate) cpu_percent: Option<f64>,
    /// Server CPU for one client to come in, microseconds.
    pub(crate) cpu_per_connect_us: Option<f64>,
    /// After a restart: the time until 99 % are back, divided by the CPU time
    /// that their coming in takes, spread over the server's cores.
    pub(crate) back_ratio: Option<f64>,
    /// Growth of the server's memory by one subscriber, KiB.
    pub(crate) rss_per_connection_kib: Option<f64>,
    /// Latency of deliveries, 99th percentile, ms.
    pub(crate) p99_ms: Option<f64>,
    /// Latency of each message's last delivery, 99th percentile, ms.
    pub(crate) last_p99_ms: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            faults: 0,
            sent_percent: 99.0,
            cpu_per_delivery_us: None,
            cpu_percent: None,
            cpu_per_connect_us: None,
            back_ratio: None,
            rss_per_connection_kib: None,
            p99_ms: None,
            last_p99_ms: None,
        }
    }
}

/// One target's figure divided by another's, block by block.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratio {
    /// What is divided.
    pub(crate) of: Target,
    /// By what.
    pub(crate) by: Target,
    /// Which figure of both.
    #[serde(default)]
    pub(crate) figure: Figure,
    /// The most that it may be.
    pub(crate) at_most: f64,
    /// What of the blocks' ratios is held against `at_most`.
    #[serde(default)]
    pub(crate) judge: Judge,
}

/// A figure that targets are compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Server CPU per delivery.
    #[default]
    CpuPerDelivery,
    /// Server CPU for one client to come in.
    CpuPerConnect,
    /// p99 of each message's last delivery.
    LastP99,
    /// Growth of memory by one subscriber.
    RssPerConnection,
}

impl Figure {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuPerDelivery => "CPU per delivery",
            Self::CpuPerConnect => "CPU per connect",
            Self::LastP99 => "last p99",
            Self::RssPerConnection => "RSS per connection",
        }
    }
}

/// What of the blocks' ratios is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judge {
    /// Their median.
    #[default]
    Median,
    /// The lower end of the 95 % bootstrap interval of their median: what is
    /// divided by moves itself.
    LowerEnd,
}

/// Reads and checks a plan.
///
/// # Errors
/// [`PlanError`] names file, line and key.
pub(crate) fn read(file: &Path) -> Result<Plan, PlanError> {
    read_as(file, check)
}

fn check(plan: &Plan) -> Result<(), Wrong> {
    let subscribers = (1..=MAX_SUBSCRIBERS).contains(&plan.subscribers);
    need(subscribers, "subscribers", "1 to 1,000,000")?;
    need((1..=1_000).contains(&plan.blocks), "blocks", "1 to 1,000")?;
    let payload = (payload::MIN_LEN..=8 * 1_024).contains(&plan.payload_bytes);
    need(payload, "payload_bytes", "50 to 8,192")?;
    need(plan.in_flight <= 10_000, "in_flight", "at most 10,000")?;
    let rate = (0.0..=100_000.0).contains(&plan.rate);
    need(rate, "rate", "0 to 100,000 a second")?;
    let one = plan.in_flight == 0 || plan.rate == 0.0;
    need(one, "rate", "either a rate or in_flight")?;
    let silent = plan.in_flight == 0 && plan.rate == 0.0;
    need(!plan.restart || silent, "restart", "nothing may be said")?;
    need(!plan.steady.is_zero(), "steady", "must not be empty")?;
    need(!plan.targets.is_empty(), "targets", "at least one")?;
    need(plan.workers <= 256, "workers", "at most 256")?;
    need(
        plan.limit_batch
            .is_none_or(|batch| (1.0..=1_024.0).contains(&batch)),
        "limit_batch",
        "1 to 1,024",
    )?;
    need(
        plan.heartbeat >= Duration::from_secs(1),
        "heartbeat",
        "at least 1s",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_of_compare_is_runnable() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/compare");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let plan = read(&entry.unwrap().path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(!plan.about.is_empty());
            let told = plan.ratios.iter().flat_map(|ratio| [ratio.of, ratio.by]);
            assert!(
                told.into_iter()
                    .all(|target| plan.targets.contains(&target))
            );
            seen += 1;
        }
        assert!(seen >= 5, "{seen} plans");
    }

    #[test]
    fn names_of_targets_are_those_of_plans() {
        for target in Target::ALL {
            let name = serde_json::to_value(target).unwrap();
            assert_eq!(name, target.name());
        }
    }
}
