//! One thread per core that owns its connections outright.
//!
//! From adoption to close everything of a connection (TLS state, session,
//! subscriptions, timer) lives on one thread and no other: no lock, no `Send`,
//! no task woken for a delivery. The shard reads each connection by one small
//! task, writes to all of them from its sweeps, and reaches rooms and users by
//! [`actions`](crate::actions).
//!
//! Invariants: nothing on the way from a room's log to a subscriber awaits; a
//! connection that cannot take bytes keeps a cursor and costs nothing more; a
//! session id finds its own session or nothing.
//!
//! Not here: what a session may do (actions), what a frame means (session),
//! who gets in (gateway).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::id::ShardId;
use crate::shard::carrier::Carrier;
use crate::shard::frames::Pace;

pub mod adopted;
mod adopting;
pub mod carrier;
mod chunk;
mod closing;
mod connection;
mod footprint;
pub mod frames;
mod handle;
pub mod io;
mod laggard;
mod performing;
pub mod quic;
mod reading;
mod run;
mod slots;
mod state;
mod subscribers;
mod sweep;
mod sweeping;
pub mod tls;
pub mod window;
mod writing;

pub use footprint::footprint;
pub use handle::{Handle, Shards};
pub use run::run;
pub use state::Parts;

/// How often a shard looks at heartbeats and deadlines.
pub const TICK: Duration = Duration::from_millis(250);

/// A tick that comes later than this was not the clients' fault.
const SLIP: Duration = Duration::from_millis(1_250);

/// How long a closed transport may take to read its last word.
const LINGER: Duration = Duration::from_secs(1);

/// Limits of a shard and of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardConfig {
    /// Threads that own connections; 0: one per core.
    pub threads: u16,
    /// How long a connection may take nothing of what waits for it.
    #[serde(with = "crate::clock::span")]
    pub stall: Duration,
    /// How long a frame may take from its first byte to its last.
    #[serde(with = "crate::clock::span")]
    pub frame_time: Duration,
    /// Bytes per second that a frame in progress must keep up.
    pub frame_min_rate: u32,
    /// How rooms are swept: the configuration's own section `[fanout]`.
    #[serde(skip)]
    pub fanout: FanoutConfig,
}

/// How long rooms gather messages before a sweep carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FanoutConfig {
    /// The longest that a busy room gathers.
    #[serde(with = "crate::clock::span")]
    pub max_delay: Duration,
    /// The least, on a shard with time to spare, too; the same as `max_delay`
    /// makes the window fixed.
    #[serde(with = "crate::clock::span")]
    pub min_delay: Duration,
}

impl Default for FanoutConfig {
    fn default() -> Self {
        Self {
            max_delay: Duration::from_millis(50),
            min_delay: Duration::ZERO,
        }
    }
}

impl FanoutConfig {
    /// The key that cannot be used, and why.
    ///
    /// # Errors
    /// When `min_delay` is the longer one.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.min_delay > self.max_delay {
            return Err(("min_delay", "must not be longer than max_delay"));
        }
        Ok(())
    }
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            stall: Duration::from_secs(10),
            frame_time: Duration::from_secs(5),
            frame_min_rate: 512,
            fanout: FanoutConfig::default(),
        }
    }
}

impl ShardConfig {
    /// How many threads that is on this machine.
    pub fn thread_count(&self) -> u16 {
        match self.threads {
            0 => std::thread::available_parallelism()
                .ok()
                .and_then(|n| u16::try_from(n.get()).ok())
                .unwrap_or(1),
            n => n,
        }
        .min(ShardId::NOWHERE.0 - 1)
    }

    fn pace(&self) -> Pace {
        Pace {
            deadline: self.frame_time,
            min_rate: self.frame_min_rate,
        }
    }
}

/// Starts a shard on a thread of its own. A panic of its loop ends the
/// process: recovery from that is tested, limping on is not.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<C: Carrier>(
    parts: impl FnOnce() -> Parts<C> + Send + 'static,
    name: String,
    stop: CancellationToken,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        let body = std::panic::AssertUnwindSafe(|| drive(parts(), stop));
        if std::panic::catch_unwind(body).is_err() {
            tracing::error!("a shard's loop panicked: ending the process");
            std::process::abort();
        }
    })
}

fn drive<C: Carrier>(parts: Parts<C>, stop: CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a shard cannot live without its reactor");
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(run(parts, stop)));
}
