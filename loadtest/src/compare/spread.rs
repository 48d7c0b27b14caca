//! Latencies that cross process borders: a [`Latency`] written as the values
//! that it holds.

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::latency::{Latency, Summary};

/// Latencies of one worker, or of all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Spread(Latency);

impl From<Vec<(u64, u64)>> for Spread {
    fn from(values: Vec<(u64, u64)>) -> Self {
        let mut latency = Latency::default();
        for (us, count) in values {
            latency.record_many(us, count);
        }
        Self(latency)
    }
}

impl From<Spread> for Vec<(u64, u64)> {
    fn from(spread: Spread) -> Self {
        spread.0.values().collect()
    }
}

impl Spread {
    /// Counts one.
    pub(crate) fn record(&mut self, us: Micros) {
        self.0.record(us);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// How many were counted.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.count()
    }

    /// The figures; `None` when nothing was counted.
    pub(crate) fn summary(&self) -> Option<Summary> {
        self.0.summary()
    }

    /// Latency in ms at each of `steps` percentiles, for drawing: the n-th is
    /// that of 1 - 10^(-n/10).
    pub(crate) fn curve(&self, steps: u32) -> Vec<(f64, f64)> {
        let at = |step| {
            let quantile = 1.0 - 10f64.powf(-f64::from(step) / 10.0);
            (f64::from(step), self.0.at(quantile) as f64 / 1_000.0)
        };
        (0..=steps).map(at).collect()
    }

    /// Counts in bins whose upper bounds grow by a fixed factor, for drawing:
    /// (upper bound in ms, count).
    pub(crate) fn bins(&self, per_decade: u32) -> Vec<(f64, u64)> {
        let bound = |bin: i32| 10f64.powf(f64::from(bin) / f64::from(per_decade));
        let mut bins: Vec<(i32, u64)> = Vec::new();
        for (us, count) in self.0.values() {
            let bin = ((us.max(1) as f64).log10() * f64::from(per_decade)).ceil() as i32;
            match bins.last_mut() {
                Some((last, sum)) if *last == bin => *sum += count,
                Some(_) | None => bins.push((bin, count)),
            }
        }
        bins.into_iter()
            .map(|(bin, n)| (bound(bin) / 1_000.0, n))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crosses_a_border_is_the_same_behind_it() {
        let mut spread = Spread::default();
        for us in [3, 900, 900, 1_234, 55_000, 7_000_000] {
            spread.record(us);
        }
        let text = serde_json::to_string(&spread).unwrap();
        let back: Spread = serde_json::from_str(&text).unwrap();
        assert_eq!(back.summary(), spread.summary());
        assert_eq!(back.bins(5).iter().map(|bin| bin.1).sum::<u64>(), 6);
    }
}
