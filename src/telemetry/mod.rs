//! What the gateway tells its operator: metrics, log lines, health.
//!
//! Owns the counters, the set-up of `tracing` and the health state. Knows no
//! room, session or socket: who has a figure calls a typed method with it.
//!
//! Invariants: nothing here is global, everything is passed as an argument;
//! recording takes no lock, allocates nothing and looks up no label; no user,
//! room or address is ever a label, so the number of series is fixed when the
//! process starts. It reads no clock: durations are told.
//!
//! Does not decide anything: a gauge is never read back to steer.

mod cell;
mod collect;
mod gateway;
pub mod health;
pub mod labels;
pub mod logging;
mod metrics;
mod page;
mod process;
mod shard;
mod store;

pub use gateway::GatewayMetrics;
pub use health::Health;
pub use labels::{
    AskResult, AttemptResult, BackendMethod, CallResult, CloseReason, DropCause, HandshakeFailure,
    MessageClass, RefusalCause, RowClass, SkipCause, Transport,
};
pub use logging::LogConfig;
pub use metrics::{Held, LiveMetrics, Metrics, RoomMetrics};
pub use shard::ShardMetrics;
pub use store::{CallMetrics, EngineMetrics, OutboxMetrics};
