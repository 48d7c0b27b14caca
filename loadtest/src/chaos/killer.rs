//! Kills the gateway at random moments and starts it again.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::latency::Latency;

/// Kills that hit a gateway which has only just been started, percent.
const DURING_START: u64 = 25;

/// Kills `gateway` `kills` times; how long it took to be ready again each time.
///
/// # Errors
/// When the gateway does not come back.
pub(crate) async fn rage(
    gateway: &mut Gateway,
    kills: u32,
    mut dice: Dice,
    mut tell: impl FnMut(u32),
) -> Result<Latency> {
    let mut ready_after = Latency::default();
    let mut done = 0;
    while done < kills {
        sleep(Duration::from_millis(dice.within(50..1_500))).await;
        gateway.kill().await?;
        done += 1;
        if done < kills && dice.chance(DURING_START) {
            gateway.launch()?;
            sleep(Duration::from_millis(dice.within(0..150))).await;
            gateway.kill().await?;
            done += 1;
        }
        let started = Instant::now();
        gateway.restart().await?;
        ready_after.record(crate::clock::micros(started.elapsed()));
        tell(done);
    }
    Ok(ready_after)
}
