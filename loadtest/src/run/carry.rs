//! What a worker leaves, as it crosses from one process to another.

use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::member::Remains;
use crate::tally::Tally;
use crate::worker::Harvest;

/// A harvest on its way. Latencies of a tally are written as summaries, so
/// they travel beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    tally: Tally,
    latencies: Vec<Vec<(u64, u64)>>,
    ledgers: Vec<Ledger>,
    remains: Vec<Remains>,
}

impl From<Harvest> for Carried {
    fn from(harvest: Harvest) -> Self {
        let latencies = harvest.tally.latencies();
        Self {
            latencies: latencies.map(|it| it.values().collect()).into(),
            tally: harvest.tally,
            ledgers: harvest.ledgers,
            remains: harvest.remains,
        }
    }
}

impl From<Carried> for Harvest {
    fn from(mut carried: Carried) -> Self {
        let into = carried.tally.latencies_mut().into_iter();
        for (latency, values) in into.zip(carried.latencies) {
            for (us, count) in values {
                latency.record_many(us, count);
            }
        }
        Self {
            tally: carried.tally,
            ledgers: carried.ledgers,
            remains: carried.remains,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Stamp;

    #[test]
    fn a_harvest_arrives_as_it_left() {
        let mut harvest = Harvest {
            tally: Tally::default(),
            ledgers: vec![Ledger::default()],
            remains: vec![Remains {
                room: 0,
                view: Some((1, 2, 3)),
                ends: vec![("L".to_owned(), 1)],
                likes: 4,
            }],
        };
        harvest.tally.deliveries = 5;
        harvest.tally.error("refused");
        for (n, latency) in (1..).zip(harvest.tally.latencies_mut()) {
            latency.record_many(n * 10_007, n);
        }
        let stamp = Stamp {
            publisher: 1,
            number: 2,
            intended: 3,
        };
        harvest.ledgers[0].note(1, 1, u64::MAX, 10).is(&stamp, true);
        let before = format!("{harvest:?}");
        let line = serde_json::to_string(&Carried::from(harvest)).unwrap();
        let carried: Carried = serde_json::from_str(&line).unwrap();
        assert_eq!(format!("{:?}", Harvest::from(carried)), before);
    }
}
