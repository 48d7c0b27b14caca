//! What a run must keep to.

use serde::{Deserialize, Serialize};

/// Limits of a run; the exit status says whether they held. Counts are the
/// most that is accepted, absent figures are reported and not judged.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Sequenced messages that a client never got, summed over clients.
    pub(crate) lost: u64,
    /// Jumps in a client's sequence, announced by the gateway or not.
    pub(crate) gaps: u64,
    /// Messages that a client got more than once.
    pub(crate) duplicates: u64,
    /// Messages that came after a later one.
    pub(crate) out_of_order: u64,
    /// Messages whose content is not what was sent, or differs between clients.
    pub(crate) corrupt: u64,
    /// Connections and requests that failed without the plan wanting it.
    pub(crate) errors: u64,
    /// Clients whose last running total is not the room's.
    pub(crate) wrong_totals: u64,
    /// Every viewer is told every end exactly once, and none that did not happen.
    pub(crate) ended_exactly_once: bool,
    /// Percent of the planned messages that must have been sent, else the
    /// machine was too slow for the plan and the figures mean nothing.
    pub(crate) sent_percent: f64,
    /// Latency of a delivery from the intended send time, 50th percentile, ms.
    pub(crate) p50_ms: Option<f64>,
    /// The same, 99th percentile, ms.
    pub(crate) p99_ms: Option<f64>,
    /// Latency of each message's last delivery, 99th percentile, ms.
    pub(crate) last_p99_ms: Option<f64>,
    /// From dialing to being in the room, 99th percentile, ms.
    pub(crate) enter_p99_ms: Option<f64>,
    /// p99 while a reader is stopped, divided by p99 while none is.
    pub(crate) disturbed_p99_ratio: Option<f64>,
    /// Every stopped reader is closed by the gateway, and nobody else.
    pub(crate) slow_closed: bool,
    /// Hostile connections still open after their time.
    pub(crate) hostile_open: u64,
    /// Growth of the gateway's memory by clients: (RSS steady - RSS before) /
    /// connections, KiB.
    pub(crate) rss_per_connection_kib: Option<f64>,
    /// Growth of the gateway's memory from the start of the steady phase to its
    /// peak, MiB.
    pub(crate) rss_growth_mib: Option<f64>,
    /// Growth of the most memory seen from the first half of the steady phase to
    /// its second, MiB: nothing is left behind under a load that stays the same.
    pub(crate) rss_late_growth_mib: Option<f64>,
    /// The gateway's CPU time per delivery in the steady phase, microseconds.
    pub(crate) cpu_per_delivery_us: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lost: 0,
            gaps: 0,
            duplicates: 0,
            out_of_order: 0,
            corrupt: 0,
            errors: 0,
            wrong_totals: 0,
            ended_exactly_once: true,
            sent_percent: 99.0,
            p50_ms: None,
            p99_ms: None,
            last_p99_ms: None,
            enter_p99_ms: None,
            disturbed_p99_ratio: None,
            slow_closed: true,
            hostile_open: 0,
            rss_per_connection_kib: None,
            rss_growth_mib: None,
            rss_late_growth_mib: None,
            cpu_per_delivery_us: None,
        }
    }
}
