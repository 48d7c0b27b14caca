//! What the machine allows and what a process of it uses.
//!
//! Reads `/proc`; processes are looked at from outside, never asked.

use std::fmt;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// Files that a process needs besides its connections.
const FILES_BESIDES: u64 = 200;

/// Clock ticks of `/proc/PID/stat` a second: 100 for every Linux user space.
const TICKS: u64 = 100;

/// The plan needs more open files than the machine allows.
#[derive(Debug)]
pub(crate) struct TooFewFiles {
    connections: u64,
    allowed: u64,
}

impl fmt::Display for TooFewFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            allowed,
        } = self;
        let needed = connections + FILES_BESIDES;
        write!(
            f,
            "the plan holds {connections} connections at once and needs {needed} open files, \
             this process may open {allowed}.\n\
             Raise the hard limit (as root: `ulimit -Hn {needed}` before `ulimit -n {needed}`, or \
             `LimitNOFILE=` of the service, or `--ulimit nofile={needed}` of the container), \
             or lower `viewers` in the plan. The gateway needs as many.",
        )
    }
}

impl std::error::Error for TooFewFiles {}

/// Raises the soft limit of open files to the hard one and says whether
/// `connections` fit.
///
/// # Errors
/// [`TooFewFiles`] says what is missing and what to do.
pub(crate) fn allow_files(connections: u64) -> Result<(), TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let allowed = if raised.is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let allowed = allowed.unwrap_or(u64::MAX);
    if connections.saturating_add(FILES_BESIDES) > allowed {
        return Err(TooFewFiles {
            connections,
            allowed,
        });
    }
    Ok(())
}

/// Files that this process may open once its soft limit is raised.
pub(crate) fn files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// Resident memory, KiB.
    pub(crate) rss_kib: u64,
    /// CPU time in user mode.
    #[serde(serialize_with = "crate::span::serialize")]
    pub(crate) user: Duration,
    /// CPU time in the kernel.
    #[serde(serialize_with = "crate::span::serialize")]
    pub(crate) system: Duration,
}

/// What process `pid` has used so far; `None` when it is gone or the machine
/// has no `/proc`.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&status, &stat)
}

fn parse(status: &str, stat: &str) -> Option<Usage> {
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // The name may contain anything, parentheses too: what follows the last one
    // is fields from the third on.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || -> Option<Duration> {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1_000 / TICKS))
    };
    Some(Usage {
        rss_kib,
        user: ticks()?,
        system: ticks()?,
    })
}

/// Holds this thread, and all that it starts from here on, to `cpus`; none: to
/// nothing.
///
/// # Errors
/// When the machine has none of them.
pub(crate) fn pin(cpus: &[usize]) -> anyhow::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for cpu in cpus {
        anyhow::ensure!(*cpu < CpuSet::MAX_CPU, "no CPU has number {cpu}");
        set.set(*cpu);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| anyhow::anyhow!("holding a process to CPUs {cpus:?}: {error}"))
}

/// Bytes that the kernel holds for sending on TCP connections from `port`, the
/// largest of them and all together.
pub(crate) fn send_queues(port: u16) -> Option<(u64, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let queues = table.lines().skip(1).filter_map(|line| queue(line, port));
    Some(queues.fold((0, 0), |(max, sum), q| (q.max(max), sum + q)))
}

fn queue(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, _state) = (fields.next()?, fields.next()?, fields.next()?);
    let local = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    let (sending, _receiving) = fields.next()?.split_once(':')?;
    let sending = u64::from_str_radix(sending, 16).ok()?;
    (local == port).then_some(sending)
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5";
        let usage = parse(status, stat).unwrap();
        assert_eq!(usage.rss_kib, 1_234);
        assert_eq!(usage.user, Duration::from_millis(2_500));
        assert_eq!(usage.system, Duration::from_millis(500));
    }

    #[test]
    fn this_very_process_can_be_looked_at() {
        assert!(usage(std::process::id()).unwrap().rss_kib > 100);
    }

    #[test]
    fn a_send_queue_is_read_from_the_port_it_belongs_to() {
        let line = "1: 0100007F:1D13 0200007F:A3F2 01 00000A00:00000000 01:00000014 00000000 0 0 9";
        assert_eq!(queue(line, 7443), Some(2_560));
        assert_eq!(queue(line, 7444), None);
    }

    #[test]
    fn a_plan_beyond_the_limit_is_told_what_to_do() {
        let told = allow_files(u64::MAX - FILES_BESIDES)
            .unwrap_err()
            .to_string();
        assert!(told.contains("ulimit"), "{told}");
        assert!(allow_files(10).is_ok());
    }
}
