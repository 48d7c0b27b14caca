//! The phases of a run as the coordinator sees them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use super::LOOK;
use super::crew::Crew;
use crate::board::{Stage, Window};
use crate::clock::{Micros, micros};
use crate::judge::Looks;
use crate::machine::{self, Usage};
use crate::progress::{Progress, complain};
use crate::worker::Orders;

/// From the decision to begin to the first message: workers hear of it within.
const COUNTDOWN: Duration = Duration::from_millis(300);

/// Looks at the gateway's process, if it may be looked at.
pub(super) fn look(orders: &Orders) -> Option<Usage> {
    machine::usage(orders.site.pid?)
}

/// Waits until all clients have entered, failed, or had time enough.
///
/// # Errors
/// When a worker is lost.
pub(super) async fn ramp(orders: &Orders, crew: &Crew, progress: &mut Progress) -> Result<()> {
    let clients = u64::from(orders.plan.clients());
    let paced = clients / u64::from(orders.plan.phases.ramp);
    let deadline = Instant::now() + Duration::from_secs(paced * 2 + 30);
    let begun = Instant::now();
    progress.begin("ramp", clients);
    loop {
        let board = &orders.board;
        let (entered, failed) = (board.entered.load(Relaxed), board.failed.load(Relaxed));
        progress.at(entered, format!("{failed} failed"));
        if entered + failed >= clients {
            break;
        }
        ensure!(!crew.has_lost_one(), "a worker ended during the ramp");
        if Instant::now() > deadline {
            complain(format!(
                "only {entered} of {clients} clients entered in time"
            ));
            break;
        }
        sleep(LOOK).await;
    }
    let entered = orders.board.entered.load(Relaxed);
    let took = begun.elapsed().as_secs_f64();
    progress.say(format!(
        "{entered} of {clients} clients entered in {took:.1} s"
    ));
    Ok(())
}

/// The moments of the run, when it begins now.
pub(super) fn window(orders: &Orders) -> Window {
    let phases = &orders.plan.phases;
    let start = orders.clock.now() + micros(COUNTDOWN);
    let from = start + micros(phases.warm_up);
    Window {
        start,
        from,
        to: from + micros(phases.steady),
    }
}

/// What was seen of the gateway's process while messages flowed.
pub(super) struct Watch {
    steady: Usage,
    end: Usage,
    peak_rss_kib: [u64; 2],
    longest_queue: u64,
    lasted: Duration,
}

impl Watch {
    /// Together with a look before the first client.
    pub(super) fn looks(self, before: Usage) -> Looks {
        Looks {
            before,
            steady: self.steady,
            end: self.end,
            peak_rss_kib: self.peak_rss_kib,
            longest_queue: self.longest_queue,
            lasted: self.lasted,
        }
    }
}

/// Waits through warm-up and steady phase and watches the gateway meanwhile.
///
/// # Errors
/// When a worker is lost.
pub(super) async fn steady(
    orders: &Orders,
    crew: &Crew,
    window: Window,
    progress: &mut Progress,
) -> Result<Option<Watch>> {
    let seconds = |from: Micros, to: Micros| to.saturating_sub(from) / 1_000_000;
    progress.begin("warm-up", seconds(window.start, window.from));
    sleep_until(orders.clock.deadline(window.from)).await;
    let (steady, begun) = (look(orders), Instant::now());
    progress.begin("steady", seconds(window.from, window.to));
    let (mut peak_rss_kib, mut longest_queue) = ([0; 2], 0);
    let half = window.from.midpoint(window.to);
    let mut delivered = orders.board.deliveries.load(Relaxed);
    let mut second = begun;
    while orders.clock.now() < window.to {
        second += Duration::from_secs(1);
        sleep_until(second.min(orders.clock.deadline(window.to))).await;
        ensure!(!crew.has_lost_one(), "a worker ended while messages flowed");
        let board = &orders.board;
        let now = board.deliveries.load(Relaxed);
        let (gone, hostile) = (board.gone.load(Relaxed), board.hostile.load(Relaxed));
        let word = format!("{}/s, {gone} lost, {hostile} hostile", now - delivered);
        progress.at(seconds(window.from, orders.clock.now()), word);
        delivered = now;
        let peak = &mut peak_rss_kib[usize::from(orders.clock.now() >= half)];
        *peak = look(orders).map_or(0, |usage| usage.rss_kib).max(*peak);
        if board.disturbed.load(Relaxed) {
            let queues = machine::send_queues(orders.site.public.port());
            longest_queue = longest_queue.max(queues.map_or(0, |(longest, _)| longest));
        }
    }
    let lasted = begun.elapsed();
    Ok(steady.zip(look(orders)).map(|(steady, end)| Watch {
        steady,
        end,
        peak_rss_kib,
        longest_queue,
        lasted,
    }))
}

/// Waits until everything that is under way has arrived, or the time for it is
/// over.
pub(super) async fn drain(orders: &Orders, progress: &mut Progress) {
    let plan = &orders.plan;
    let mut limit = plan.phases.drain;
    if let Some(crash) = &plan.host.crash {
        let end = crash.at + plan.host.told_within();
        limit += end.saturating_sub(plan.phases.steady);
    }
    let deadline = Instant::now() + limit;
    orders.board.go(Stage::Drain);
    progress.begin("drain", limit.as_secs());
    let begun = Instant::now();
    // What one worker sends another receives: only a look of every worker that
    // began after all had nothing left proves that nothing is under way.
    let mut quiet: Option<Vec<u64>> = None;
    while Instant::now() < deadline {
        if let Some((looks, left)) = orders.board.behind() {
            progress.at(begun.elapsed().as_secs(), format!("{left} clients behind"));
            let since = quiet.take().unwrap_or_else(|| looks.clone());
            let again = looks.iter().zip(&since).all(|(now, then)| *now >= then + 2);
            if left == 0 && again {
                return;
            }
            quiet = (left == 0).then_some(since);
        }
        sleep(LOOK).await;
    }
}
