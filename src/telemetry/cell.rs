//! The cells that hold figures: atomics, added to without a lock.
//!
//! Every operation is relaxed: figures steer nothing, and a scrape that misses
//! an addition in progress finds it at the next.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(i64::try_from(n).unwrap_or(i64::MAX), Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One counter for each value of a label.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize>([Counter; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Tally<N> {
    pub(crate) fn add(&self, index: usize, n: u64) {
        self.0[index].add(n);
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.0[index].get()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(Counter::get).sum()
    }
}

/// One counter for each pair of values of two labels.
#[derive(Debug)]
pub(crate) struct Grid<const A: usize, const B: usize>([Tally<B>; A]);

impl<const A: usize, const B: usize> Default for Grid<A, B> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Tally::default()))
    }
}

impl<const A: usize, const B: usize> Grid<A, B> {
    pub(crate) fn row(&self, a: usize) -> &Tally<B> {
        &self.0[a]
    }
}

/// The scale of a histogram: upper bounds, rising, in whole `steps` of its
/// unit (a time scale steps by microseconds, one millionth of its second).
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) bounds: [u64; PLACES],
    pub(crate) steps_per_unit: f64,
}

/// Bounds of a scale; every histogram has as many, and one place above.
pub(crate) const PLACES: usize = 16;

/// 10 µs to 10 s, three a decade up to 1 s.
pub(crate) const TIME: Scale = Scale {
    bounds: [
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000,
        2_000_000, 10_000_000,
    ],
    steps_per_unit: 1e6,
};

/// 1 to 65,536, for frames, rows and subscribers.
pub(crate) const SIZE: Scale = Scale {
    bounds: [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536,
    ],
    steps_per_unit: 1.0,
};

/// Counts values by fixed bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    scale: &'static Scale,
    places: [Counter; PLACES + 1],
    sum: Counter,
}

impl Histogram {
    pub(crate) fn new(scale: &'static Scale) -> Self {
        Self {
            scale,
            places: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
        }
    }

    /// Counts a value in whole steps of the scale.
    pub(crate) fn record(&self, steps: u64) {
        let place = self.scale.bounds.partition_point(|bound| *bound < steps);
        self.places[place].add(1);
        self.sum.add(steps);
    }

    /// Counts a duration on the scale [`TIME`].
    pub(crate) fn time(&self, spent: Duration) {
        self.record(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX >> 16));
    }

    /// Adds what this holds to `total`.
    pub(crate) fn add_to(&self, total: &mut Snapshot) {
        for (sum, place) in total.places.iter_mut().zip(&self.places) {
            *sum += place.get();
        }
        total.sum += self.sum.get();
    }

    /// An empty total for [`Self::add_to`].
    pub(crate) fn zero(&self) -> Snapshot {
        Snapshot {
            scale: self.scale,
            places: [0; PLACES + 1],
            sum: 0,
        }
    }

    /// What this holds alone.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut total = self.zero();
        self.add_to(&mut total);
        total
    }
}

/// What one or several histograms of one scale held when they were read.
#[derive(Debug)]
pub(crate) struct Snapshot {
    scale: &'static Scale,
    places: [u64; PLACES + 1],
    sum: u64,
}

impl Snapshot {
    pub(crate) fn count(&self) -> u64 {
        self.places.iter().sum()
    }

    /// The sum of the values, in units.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum is read by eye and by rate()"
    )]
    pub(crate) fn sum(&self) -> f64 {
        self.sum as f64 / self.scale.steps_per_unit
    }

    /// Upper bound in units and count of each place; the last is infinite.
    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    pub(crate) fn buckets(&self) -> [(f64, u64); PLACES + 1] {
        std::array::from_fn(|place| {
            let bound = self.scale.bounds.get(place);
            let bound = bound.map_or(f64::INFINITY, |b| *b as f64 / self.scale.steps_per_unit);
            (bound, self.places[place])
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_is_counted_under_the_first_bound_that_holds_it(values in prop::collection::vec(0u64..100_000_000, 0..40)) {
            let histogram = Histogram::new(&TIME);
            for value in &values {
                histogram.record(*value);
            }
            let read = histogram.snapshot();
            let mut below = 0;
            for (place, (_, count)) in read.buckets().into_iter().enumerate() {
                below += count;
                let bound = TIME.bounds.get(place).copied().unwrap_or(u64::MAX);
                let expected = values.iter().filter(|v| **v <= bound).count();
                prop_assert_eq!(below, u64::try_from(expected).unwrap());
            }
            prop_assert_eq!(read.count(), u64::try_from(values.len()).unwrap());
        }
    }

    #[test]
    fn scales_rise() {
        for scale in [&TIME, &SIZE] {
            assert!(scale.bounds.is_sorted());
        }
    }
}
