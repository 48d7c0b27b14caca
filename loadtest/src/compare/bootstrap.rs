//! How sure a median is: the bootstrap interval.

use serde::Serialize;

use crate::dice::Dice;

/// Samples that are drawn.
const DRAWS: usize = 4_000;

/// Share of the medians of draws that lie below the interval, and above it.
const TAIL: f64 = 0.025;

/// A median with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    /// The interval's lower end.
    pub(crate) low: f64,
    /// The median of what was seen.
    pub(crate) median: f64,
    /// The interval's upper end.
    pub(crate) high: f64,
}

/// The median of `values`; `None` when there are none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)? / 2;
    if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(sorted[middle], sorted[middle + 1]))
    } else {
        Some(sorted[middle])
    }
}

/// The median of `values` and how far it would move with other blocks: medians
/// of draws with replacement. The same values give the same interval.
pub(crate) fn interval(values: &[f64]) -> Option<Interval> {
    let seen = median(values)?;
    let mut dice = Dice::new(values.len() as u64);
    let mut medians: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let draw = |_| values[dice.within(0..values.len() as u64) as usize];
            let drawn: Vec<f64> = (0..values.len()).map(draw).collect();
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let end = |share: f64| medians[(share * (DRAWS - 1) as f64).round() as usize];
    Some(Interval {
        low: end(TAIL),
        median: seen,
        high: end(1.0 - TAIL),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn values_that_agree_have_no_width() {
        let interval = interval(&[2.0; 7]).unwrap();
        assert_eq!((interval.low, interval.high), (2.0, 2.0));
    }

    #[test]
    fn one_wild_block_of_seven_does_not_move_the_median_far() {
        let interval = interval(&[1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 40.0]).unwrap();
        assert_eq!(interval.median, 1.0);
        assert!(interval.high < 2.0, "{interval:?}");
    }

    proptest! {
        #[test]
        fn the_median_lies_within_and_the_ends_were_seen(
            values in prop::collection::vec(0.1f64..10.0, 1..12),
        ) {
            let interval = interval(&values).unwrap();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= interval.low && interval.high <= most);
            prop_assert!(interval.low <= interval.median && interval.median <= interval.high);
        }
    }
}
