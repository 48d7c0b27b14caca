//! The one task of the rooms: feeds them what the store says and the time.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::Outcome;
use crate::rooms::registry::Rooms;
use crate::rooms::timers::TICK;

/// Outcomes taken at one turn, so that a storm of them delays no deadline.
const BATCH: usize = 256;

/// Runs until `shutdown`, or until the store has closed its channel. Cancel it
/// after the last connection is gone: commits that are under way then are on
/// disk, but nobody is told of them.
pub async fn run(
    rooms: Arc<Rooms>,
    mut outcomes: mpsc::Receiver<Outcome>,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            // 1. The end.
            () = shutdown.cancelled() => return,
            // 2. Time: graces end when they end, however much is recorded.
            _ = ticks.tick() => rooms.tick(clock.now()),
            // 3. What was recorded.
            taken = outcomes.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    return;
                }
                for outcome in batch.drain(..) {
                    rooms.outcome(outcome, clock.now());
                }
            }
        }
    }
}
