//! The dice of a run.

use crate::dice::Dice;

/// Dice of a seed that is said, so that a run can be had again.
pub(crate) fn dice() -> Dice {
    let seed = match std::env::var("LIVEGATE_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    eprintln!("LIVEGATE_SEED={seed}");
    Dice::new(seed)
}
