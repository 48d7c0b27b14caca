//! A reconnect storm: the server is killed and started again, and everybody
//! comes back at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::block::{Run, SETTLE, coming_in, orders};
use super::crew::Crew;
use super::plan::{Plan, Target};
use super::server::Server;
use super::track::Seen;
use super::watch::{self, Watched};
use crate::clock::{Micros, monotonic};
use crate::machine;

/// How often it is looked how many are back.
const LOOK: Duration = Duration::from_millis(5);

/// How often the server is looked at.
const WATCH: Micros = 100_000;

/// How long it is watched after all were back: who is dropped again comes in a
/// second wave.
const AFTER: Duration = Duration::from_secs(5);

/// When subscribers were back.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Back {
    /// From the kill to half of them, ms.
    pub(super) back_50_ms: f64,
    /// From the kill to 99 % of them, ms.
    pub(super) back_99_ms: f64,
    /// The latter, divided by the CPU time that coming in takes, spread over
    /// the server's cores.
    pub(super) ratio: f64,
    /// Subscribers that lost their connection again after the kill.
    pub(super) second_wave: u64,
    /// Attempts to come back that failed.
    pub(super) tries: u64,
}

impl Back {
    /// Completed by what the workers counted: everybody is dropped once.
    pub(super) fn with(mut self, seen: &Seen, subscribers: u64) -> Self {
        self.second_wave = seen.drops.saturating_sub(subscribers);
        self.tries = seen.tries;
        self
    }
}

/// Plays a storm.
///
/// # Errors
/// When a worker is lost, or not all are back within the steady phase.
pub(super) async fn run(plan: &Plan, target: Target, server: &mut Server) -> Result<Run> {
    let before = watch::look(server.pid)?;
    let crew = Crew::start(&orders(plan, target, server)).await?;
    let subscribers = crew.all_in(plan.subscribers, coming_in(plan)).await?;
    sleep(SETTLE).await;
    let inside = watch::look(server.pid)?;
    sleep(plan.warm_up).await;
    let killed = monotonic();
    server.restart().await?;
    let (mut watched, mut half, mut nearly) = (Watched::default(), None, None);
    let mut next = killed;
    // Those who have not noticed yet still count as in.
    let mut left = false;
    loop {
        let (ready, now) = (crew.standing().0, monotonic());
        left |= ready < subscribers / 4 || half.is_some();
        if left && ready >= subscribers / 2 {
            half.get_or_insert(now - killed);
        }
        if left && u64::from(ready) * 100 >= u64::from(subscribers) * 99 {
            nearly.get_or_insert(now - killed);
        }
        if now >= next {
            watched.looks.push(watch::look(server.pid)?);
            next = now + WATCH;
        }
        if nearly.is_some() && ready == subscribers {
            break;
        }
        let late = now - killed > crate::clock::micros(plan.steady);
        ensure!(!late, "only {ready} of {subscribers} were back in time");
        sleep(LOOK).await;
    }
    sleep(AFTER).await;
    watched.looks.push(watch::look(server.pid)?);
    let seen = crew.end(0).await?;
    let ms = |us: Option<Micros>| us.unwrap_or_default() as f64 / 1_000.0;
    let cores = match plan.server_cpus.len() {
        0 => machine::cores(),
        n => n,
    };
    let takes_us = inside.ran_us.saturating_sub(before.ran_us) as f64 / cores as f64;
    Ok(Run {
        subscribers,
        before,
        inside,
        watched,
        seen,
        back: Some(Back {
            back_50_ms: ms(half),
            back_99_ms: ms(nearly),
            ratio: ms(nearly) * 1_000.0 / takes_us.max(1.0),
            ..Back::default()
        }),
        ..Run::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_dropped_a_second_time_is_a_second_wave() {
        let seen = Seen {
            drops: 103,
            tries: 7,
            ..Seen::default()
        };
        let back = Back::default().with(&seen, 100);
        assert_eq!((back.second_wave, back.tries), (3, 7));
    }
}
