//! Latencies as HDR histograms that merge without loss.
//!
//! Recorded by each worker for itself, merged when the run is over. What is
//! beyond the range is clamped to its end, so a percentile never lies low.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Micros;

/// The longest latency told apart: two minutes.
const MAX_US: u64 = 120_000_000;

/// Latencies in microseconds. Shown and written as their [`Summary`].
#[derive(Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 3);
        Self(histogram.expect("1 µs to two minutes at 3 digits is a valid range"))
    }
}

impl Latency {
    /// Counts one.
    pub(crate) fn record(&mut self, us: Micros) {
        self.0.saturating_record(us);
    }

    /// Counts `count` of `us`.
    pub(crate) fn record_many(&mut self, us: Micros, count: u64) {
        self.0.saturating_record_n(us, count);
    }

    /// What was counted: each value, rounded as the histogram does, and how
    /// often.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Micros, u64)> {
        let recorded = self.0.iter_recorded();
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// The value that a share of `quantile` does not exceed.
    pub(crate) fn at(&self, quantile: f64) -> Micros {
        self.0.value_at_quantile(quantile)
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        let added = self.0.add(&other.0);
        added.expect("all latencies have the same range");
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The figures that reports show; `None` when nothing was counted.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let ms = |us: u64| us as f64 / 1_000.0;
        (self.count() > 0).then(|| Summary {
            count: self.count(),
            mean_ms: self.0.mean() / 1_000.0,
            p50_ms: ms(self.0.value_at_quantile(0.50)),
            p90_ms: ms(self.0.value_at_quantile(0.90)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            p999_ms: ms(self.0.value_at_quantile(0.999)),
            max_ms: ms(self.0.max()),
        })
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.summary().serialize(serializer)
    }
}

/// A latency in figures, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many were counted.
    pub(crate) count: u64,
    /// Arithmetic mean.
    pub(crate) mean_ms: f64,
    /// Half are not longer.
    pub(crate) p50_ms: f64,
    /// 90 % are not longer.
    pub(crate) p90_ms: f64,
    /// 99 % are not longer.
    pub(crate) p99_ms: f64,
    /// 99.9 % are not longer.
    pub(crate) p999_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Reference model: one histogram that saw everything.
        #[test]
        fn merged_parts_equal_the_whole(
            samples in prop::collection::vec((0usize..4, 1u64..10_000_000), 1..300),
        ) {
            let (mut parts, mut whole) = (vec![Latency::default(); 4], Latency::default());
            for (worker, us) in samples {
                parts[worker].record(us);
                whole.record(us);
            }
            let mut merged = Latency::default();
            for part in &parts {
                merged.merge(part);
            }
            prop_assert_eq!(merged.summary(), whole.summary());
        }
    }

    #[test]
    fn what_is_out_of_range_counts_as_the_longest() {
        let mut latency = Latency::default();
        latency.record(u64::MAX);
        let summary = latency.summary().unwrap();
        assert!(summary.max_ms >= 119_000.0);
    }

    #[test]
    fn nothing_has_no_figures() {
        assert_eq!(Latency::default().summary(), None);
    }
}
