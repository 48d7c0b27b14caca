//! The load generator's clock: microseconds since one base that all threads
//! share.
//!
//! Latency is receive time minus the intended send time that the payload
//! carries, so both must be read from the same base. [`Clock`] is that base,
//! copied into every thread.

use std::time::{Duration, Instant};

/// Microseconds since the base of a [`Clock`].
pub(crate) type Micros = u64;

/// A monotonic clock with a base of its own; copies share the base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    base: Instant,
    unix_ms: u64,
}

#[allow(clippy::disallowed_methods)]
impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        let unix = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        Self {
            base: Instant::now(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The clock of the process that began at `base` of the machine's
    /// monotonic clock, when it was `unix_ms`.
    pub(crate) fn of(base: Micros, unix_ms: u64) -> Self {
        let passed = Duration::from_micros(monotonic().saturating_sub(base));
        Self {
            base: Instant::now()
                .checked_sub(passed)
                .unwrap_or_else(Instant::now),
            unix_ms,
        }
    }

    /// Where it began, for [`Clock::of`] in another process.
    pub(crate) fn origin(&self) -> (Micros, u64) {
        (monotonic().saturating_sub(self.now()), self.unix_ms)
    }

    /// Microseconds since the base.
    pub(crate) fn now(&self) -> Micros {
        micros(self.base.elapsed())
    }

    /// The instant `at` as tokio's timers take it.
    pub(crate) fn deadline(&self, at: Micros) -> tokio::time::Instant {
        (self.base + Duration::from_micros(at)).into()
    }

    /// Wall-clock milliseconds since 1970, as the base saw it plus what passed.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.unix_ms + self.now() / 1_000
    }

    /// Whole seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        self.unix_ms() / 1_000
    }
}

/// Microseconds of the machine's monotonic clock: the same in all processes.
pub(crate) fn monotonic() -> Micros {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    micros(Duration::try_from(now).unwrap_or_default())
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
