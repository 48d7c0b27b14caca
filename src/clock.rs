//! The only file that reads a clock. Decisions are told the time.
//!
//! [`Instant`] is monotonic and counts from the clock's origin: every duration
//! and deadline uses it, so a step of the wall clock ends nothing. [`Unix`] is
//! the wall clock: for display, for records and for the end of signatures.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time, microseconds since the clock's origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Later than any time that a clock will tell.
    pub const FAR: Self = Self(u64::MAX / 2);

    /// An instant so many milliseconds after the origin.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1000)
    }

    /// Time from `earlier` to this, zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(Self::FAR.0);
        Self(self.0.saturating_add(micros).min(Self::FAR.0))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

/// Wall-clock time, milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Unix(pub u64);

impl Unix {
    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// As the contract carries it.
    pub fn millis_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl Add<Duration> for Unix {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let millis = u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// What a decision is told: both clocks, read at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock.
    pub unix: Unix,
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self {
            instant: self.instant + rhs,
            unix: self.unix + rhs,
        }
    }
}

/// Reads the clocks. Cheap to clone; clones share the origin.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    System,
    /// Wall time at the origin; goes on with the monotonic clock.
    Simulated(Unix),
}

impl Clock {
    /// The clocks of the machine.
    pub fn system() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            wall: Wall::System,
        }
    }

    /// Follows tokio's clock (paused or simulated), with `unix` as wall time now.
    pub fn simulated(unix: Unix) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            wall: Wall::Simulated(unix),
        }
    }

    /// Both clocks now.
    pub fn now(&self) -> Moment {
        let elapsed = self.origin.elapsed();
        let instant = Instant::default() + elapsed;
        let unix = match self.wall {
            Wall::Simulated(start) => start + elapsed,
            Wall::System => system_unix(),
        };
        Moment { instant, unix }
    }

    /// The deadline `at` as tokio's timers take it.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.origin + Duration::from_micros(at.0.min(Instant::FAR.0 >> 16))
    }
}

#[allow(clippy::disallowed_methods)]
fn system_unix() -> Unix {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    Unix(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Wall-clock time for the command line, where no [`Clock`] runs.
pub fn unix_now() -> Unix {
    system_unix()
}

/// Durations as configuration writes them: `"50ms"`, `"10s"`, `"5m"`, `"24h"`.
///
/// For `#[serde(with = "crate::clock::span")]` on a [`Duration`]. Sub-millisecond
/// parts cannot be written and are dropped when printed.
pub mod span {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Unit and its length in milliseconds, longest first.
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

    /// Reads `<integer><ms|s|m|h>`, nothing around or between.
    pub fn parse(text: &str) -> Option<Duration> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let millis = number.parse::<u64>().ok()?.checked_mul(*length)?;
        Some(Duration::from_millis(millis))
    }

    /// The shortest exact text.
    pub fn format(span: Duration) -> String {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return "0s".to_owned();
        }
        let exact = UNITS.iter().find(|(_, length)| millis % length == 0);
        let (unit, length) = exact.expect("every whole number is a multiple of 1 ms");
        format!("{}{unit}", millis / length)
    }

    /// For serde: writes [`format()`].
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format(*span))
    }

    /// For serde: reads what [`parse`] reads.
    ///
    /// # Errors
    /// When the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(input)?;
        parse(&text).ok_or_else(|| {
            let form = "is no duration: write an integer and ms, s, m or h, as in \"10s\"";
            D::Error::custom(format_args!("\"{text}\" {form}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_follows_the_paused_one() {
        let clock = Clock::simulated(Unix(1_000));
        tokio::time::advance(Duration::from_millis(250)).await;
        let now = clock.now();
        assert_eq!(now.instant, Instant::from_millis(250));
        assert_eq!(now.unix, Unix(1_250));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant::from_millis(1) - Duration::from_secs(1), Instant(0));
        assert_eq!(Instant::FAR + Duration::MAX, Instant::FAR);
        assert_eq!(Instant(0).since(Instant(5)), Duration::ZERO);
    }

    #[test]
    fn spans_print_the_shortest_exact_form() {
        for (text, millis) in [
            ("0s", 0),
            ("50ms", 50),
            ("1500ms", 1_500),
            ("90s", 90_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
        ] {
            let span = Duration::from_millis(millis);
            assert_eq!(span::format(span), text);
            assert_eq!(span::parse(text), Some(span));
        }
        assert_eq!(span::parse("120s"), Some(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            " 1s",
            "1 s",
            "1d",
            "99999999999999999999s",
        ] {
            assert_eq!(span::parse(text), None, "{text:?}");
        }
        assert_eq!(span::parse("18446744073709551615h"), None);
    }
}
