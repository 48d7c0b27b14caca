//! The server's process as it is seen from outside while a block runs: CPU,
//! memory, context switches, and livegate's own counters before and after.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::clock::{Micros, monotonic};
use crate::http;
use crate::machine;

/// From one look to the next.
const EVERY: Micros = 100_000;

/// One look at a process.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Look {
    /// When.
    pub(crate) at: Micros,
    /// CPU time in all, microseconds.
    pub(crate) ran_us: u64,
    /// CPU time in user mode, microseconds, to 10 ms.
    pub(crate) user_us: u64,
    /// CPU time in the kernel, microseconds, to 10 ms.
    pub(crate) system_us: u64,
    /// Time that threads were ready to run and had no core, microseconds.
    pub(crate) waited_us: u64,
    /// Resident memory, KiB.
    pub(crate) rss_kib: u64,
    /// Context switches that the process asked for.
    pub(crate) voluntary: u64,
    /// Context switches that it did not ask for.
    pub(crate) involuntary: u64,
}

/// Looks at `pid`.
///
/// # Errors
/// When it is gone.
pub(crate) fn look(pid: u32) -> Result<Look> {
    let usage = machine::usage(pid).context("the server's process is gone")?;
    let (user_us, system_us) = (micros(usage.user), micros(usage.system));
    let mut look = Look {
        at: monotonic(),
        user_us,
        system_us,
        rss_kib: usage.rss_kib,
        ..Look::default()
    };
    let mut ran_ns = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let (ran, waited_ns) = ran(&task.path()).unwrap_or_default();
        ran_ns += ran;
        look.waited_us += waited_ns / 1_000;
        let (voluntary, involuntary) = switches(&task.path()).unwrap_or_default();
        look.voluntary += voluntary;
        look.involuntary += involuntary;
    }
    // The scheduler's own account, where the kernel keeps it, is exact; the
    // other counts in ticks of 10 ms.
    look.ran_us = if ran_ns > 0 {
        ran_ns / 1_000
    } else {
        user_us + system_us
    };
    Ok(look)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Nanoseconds that a thread ran, and that it was ready to run and did not.
fn ran(task: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    let mut fields = text.split_ascii_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn switches(task: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(task.join("status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((
        field("voluntary_ctxt_switches:")?,
        field("nonvoluntary_ctxt_switches:")?,
    ))
}

/// What was seen from the beginning of the steady phase to its end.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Watched {
    /// Looks in their order, the first at the beginning, the last at the end.
    pub(super) looks: Vec<Look>,
    /// Deliveries of one write, if the server counts them.
    pub(super) batch: Option<f64>,
}

/// Watches `pid` from `from` to `to`, in a thread of its own.
pub(super) fn start(
    pid: u32,
    internal: Option<SocketAddr>,
    (from, to): (Micros, Micros),
) -> std::thread::JoinHandle<Result<Watched>> {
    std::thread::spawn(move || {
        let before = internal.map(counters).transpose()?;
        let mut looks = Vec::new();
        let mut next = from;
        while next < to {
            sleep_until(next);
            looks.push(look(pid)?);
            next += EVERY;
        }
        sleep_until(to);
        looks.push(look(pid)?);
        let after = internal.map(counters).transpose()?;
        let batch = before
            .zip(after)
            .and_then(|(before, after)| after.batch(before));
        Ok(Watched { looks, batch })
    })
}

fn sleep_until(at: Micros) {
    let left = at.saturating_sub(monotonic());
    std::thread::sleep(Duration::from_micros(left));
}

/// Livegate's own counters.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Counters {
    deliveries: f64,
    writes: f64,
}

impl Counters {
    fn batch(self, before: Self) -> Option<f64> {
        let writes = self.writes - before.writes;
        (writes > 0.0).then(|| (self.deliveries - before.deliveries) / writes)
    }
}

fn counters(internal: SocketAddr) -> Result<Counters> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (_, text) = runtime.block_on(http::get(internal, "/metrics"))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Counters {
    let sum = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    };
    Counters {
        deliveries: sum("livegate_messages_out_total"),
        writes: sum("livegate_connections_writes_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_run_and_switched() {
        let look = look(std::process::id()).unwrap();
        assert!(look.rss_kib > 100 && look.ran_us > 0);
    }

    #[test]
    fn deliveries_of_a_write_come_from_both_counters() {
        let text = "# TYPE livegate_messages_out counter\n\
                    livegate_messages_out_total{class=\"danmaku\"} 90\n\
                    livegate_messages_out_total{class=\"gift\"} 10\n\
                    livegate_connections_writes_total{transport=\"tls\"} 20\n";
        let nothing = Counters {
            deliveries: 0.0,
            writes: 0.0,
        };
        assert_eq!(parse(text).batch(nothing), Some(5.0));
        assert_eq!(nothing.batch(nothing), None);
    }
}
