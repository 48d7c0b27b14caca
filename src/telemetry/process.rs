//! What the system says of this process. Linux's `/proc`; elsewhere nothing.

use std::fs;

/// Clock ticks per second in `/proc/self/stat`: fixed at 100 in what Linux
/// shows to programs on every platform that livegate runs on.
const TICKS: f64 = 100.0;

/// The figures of this process at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    pub(super) threads: u64,
}

impl Process {
    /// Reads them, or nothing where there is no `/proc`.
    pub(super) fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        Some(Self {
            resident_bytes: field(&status, "VmRSS:")? * 1024,
            cpu_seconds: cpu_seconds(&stat)?,
            open_fds: open_fds()?,
            max_fds: field(&limits, "Max open files").unwrap_or(u64::MAX),
            threads: field(&status, "Threads:")?,
        })
    }
}

/// The first number after `key` at the beginning of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time: the 14th and 15th field, counted behind the name,
/// which is in brackets and may hold anything.
#[expect(clippy::cast_precision_loss, reason = "ticks of 10 ms")]
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS)
}

/// Newer kernels tell the number as the directory's size, which saves reading
/// thousands of names.
fn open_fds() -> Option<u64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 {
        return Some(told);
    }
    let names = fs::read_dir("/proc/self/fd").ok()?;
    u64::try_from(names.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_memory_files_and_threads() {
        let read = Process::read().unwrap();
        assert!(read.resident_bytes > 100_000);
        assert!(read.open_fds >= 3);
        assert!(read.max_fds >= read.open_fds);
        assert!(read.threads >= 1);
    }
}
