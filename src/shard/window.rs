//! How long a busy room may gather before it is swept.
//!
//! A write per subscriber costs the same for one message as for ten, so a
//! shard that runs out of time sends fewer and larger runs. [`Load`] measures
//! the share of its time that a shard spends sweeping; while that is below
//! [`SPARE`], every room is swept as soon as its bell rings. Above it a room
//! waits a part of its longest delay, counted from the end of its last sweep,
//! so that a room which was quiet goes at once even on a busy shard.
//!
//! What a sweep costs does not lengthen the wait: messages gather while it runs
//! anyway, and a room whose sweep takes longer than the longest delay would only
//! be told later.
//!
//! Invariants: nobody waits longer than the longest delay after the sweep that
//! is under way; an essential message ends the wait, and what waits goes with
//! it, so order holds.
//!
//! Pure: told the time and the costs.

use std::time::Duration;

use crate::clock::Instant;
use crate::shard::FanoutConfig;

/// The share of time up to which a shard has time to spare.
pub const SPARE: f64 = 0.2;

/// The share of time from which rooms gather for their longest delay.
pub const FULL: f64 = 0.6;

/// How far back the measure looks: so far that one sweep of a large room is no
/// load, yet soon forgotten.
const MEMORY: Duration = Duration::from_millis(500);

/// The share of its time that one shard spends sweeping, lately.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Seconds spent, each fading with its age.
    spent: f64,
    at: Instant,
}

impl Load {
    /// Adds time spent up to `now`.
    pub fn spent(&mut self, cost: Duration, now: Instant) {
        self.spent = self.fading(now) + cost.as_secs_f64();
        self.at = self.at.max(now);
    }

    /// From 0 (nothing lately) to 1 (all the time).
    pub fn share(&self, now: Instant) -> f64 {
        (self.fading(now) / MEMORY.as_secs_f64()).min(1.0)
    }

    /// From 0 (time to spare) to 1 (none left).
    fn pressure(&self, now: Instant) -> f64 {
        ((self.share(now) - SPARE) / (FULL - SPARE)).clamp(0.0, 1.0)
    }

    fn fading(&self, now: Instant) -> f64 {
        let age = now.since(self.at).as_secs_f64();
        self.spent * (-age / MEMORY.as_secs_f64()).exp()
    }
}

/// When one room is to be swept on one shard.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    config: FanoutConfig,
    swept: Option<Instant>,
    due: Option<Instant>,
}

impl Window {
    /// A room that gathers for at most `max_delay`.
    pub fn new(config: FanoutConfig) -> Self {
        Self {
            config,
            swept: None,
            due: None,
        }
    }

    /// The room's bell rang: gives when to sweep it. One that waits already
    /// is never put off; an `essential` message makes it due at once.
    pub fn rung(&mut self, now: Instant, essential: bool, load: &Load) -> Instant {
        let due = if essential {
            now
        } else {
            self.earliest(load.pressure(now)).max(now)
        };
        let due = self.due.map_or(due, |waits| waits.min(due));
        self.due = Some(due);
        due
    }

    /// When to sweep the room; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The room was swept up to its head, until `now`.
    pub fn swept(&mut self, now: Instant) {
        self.swept = Some(now);
        self.due = None;
    }

    fn earliest(&self, pressure: f64) -> Instant {
        let gap = self.config.max_delay.mul_f64(pressure);
        let gap = gap.max(self.config.min_delay);
        self.swept
            .map_or_else(Instant::default, |swept| swept + gap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_DELAY: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn fanout(min_delay: u64) -> FanoutConfig {
        FanoutConfig {
            max_delay: MAX_DELAY,
            min_delay: ms(min_delay),
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// A shard with one room: sweeps it when it is due, each sweep at `cost`.
    struct Shard {
        load: Load,
        window: Window,
        cost: Duration,
        now: Instant,
        sweeps: u32,
        longest: Duration,
    }

    impl Shard {
        fn new(cost: Duration) -> Self {
            Self {
                load: Load::default(),
                window: Window::new(fanout(0)),
                cost,
                now: at(1_000),
                sweeps: 0,
                longest: Duration::ZERO,
            }
        }

        /// A message every `gap`, `count` times; each waits for its sweep.
        fn run(&mut self, gap: Duration, count: u32) {
            let start = self.now;
            let mut waits: Vec<Instant> = Vec::new();
            for n in 0..count {
                let arrives = start + gap * n;
                self.sweep_until(arrives, &mut waits);
                let rung = self.now.max(arrives);
                self.window.rung(rung, false, &self.load);
                waits.push(rung);
            }
            self.sweep_until(self.now + ms(500), &mut waits);
        }

        fn sweep_until(&mut self, end: Instant, waits: &mut Vec<Instant>) {
            while let Some(due) = self.window.due().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                for rung in waits.drain(..) {
                    self.longest = self.longest.max(self.now.since(rung));
                }
                self.now = self.now + self.cost;
                self.load.spent(self.cost, self.now);
                self.window.swept(self.now);
                self.sweeps += 1;
            }
            self.now = self.now.max(end);
        }
    }

    #[test]
    fn a_room_on_an_idle_shard_goes_at_once() {
        let mut window = Window::new(fanout(0));
        assert_eq!(window.rung(at(5), false, &Load::default()), at(5));
        window.swept(at(6));
        assert_eq!(window.due(), None);
        assert_eq!(window.rung(at(7), false, &Load::default()), at(7));
    }

    #[test]
    fn below_the_spare_share_every_message_has_its_own_sweep() {
        let mut shard = Shard::new(ms(8));
        shard.run(ms(50), 200);
        assert_eq!(shard.sweeps, 200);
        assert_eq!(shard.longest, Duration::ZERO);
    }

    #[test]
    fn a_room_that_would_fill_the_shard_gathers() {
        let mut shard = Shard::new(ms(10));
        shard.run(ms(5), 1_000);
        // 5 s of messages: one after the other they would need 10 s.
        assert!(shard.sweeps < 200, "{} sweeps", shard.sweeps);
        assert!(shard.longest <= MAX_DELAY);
    }

    #[test]
    fn the_window_closes_when_the_load_falls() {
        let mut shard = Shard::new(ms(10));
        shard.run(ms(2), 500);
        let busy = shard.load.share(shard.now - ms(500));
        assert!(busy > SPARE, "{busy}");
        let later = shard.now + ms(1_000);
        assert_eq!(shard.window.rung(later, false, &shard.load), later);
    }

    #[test]
    fn a_quiet_room_goes_at_once_on_a_busy_shard() {
        let mut load = Load::default();
        load.spent(ms(400), at(1_000));
        let mut busy = Window::new(fanout(0));
        busy.swept(at(1_000));
        assert_eq!(busy.rung(at(1_001), false, &load), at(1_050));
        let mut quiet = Window::new(fanout(0));
        quiet.swept(at(900));
        assert_eq!(quiet.rung(at(1_001), false, &load), at(1_001));
    }

    #[test]
    fn a_fixed_window_is_kept_on_an_idle_shard() {
        let mut window = Window::new(fanout(50));
        window.swept(at(1_000));
        assert_eq!(window.rung(at(1_001), false, &Load::default()), at(1_050));
        window.swept(at(1_050));
        assert_eq!(window.rung(at(1_051), true, &Load::default()), at(1_051));
    }

    #[test]
    fn an_essential_message_ends_the_wait() {
        let mut load = Load::default();
        load.spent(ms(400), at(1_000));
        let mut window = Window::new(fanout(0));
        window.swept(at(1_000));
        window.rung(at(1_001), false, &load);
        assert_eq!(window.rung(at(1_002), true, &load), at(1_002));
        assert_eq!(window.rung(at(1_003), false, &load), at(1_002));
    }

    proptest! {
        #[test]
        fn nobody_waits_beyond_the_longest_delay(
            steps in prop::collection::vec((0u64..100, 0u64..300, any::<bool>()), 1..100),
        ) {
            let (mut load, mut window) = (Load::default(), Window::new(fanout(0)));
            let mut now = at(0);
            for (gap, costs, essential) in steps {
                now = now + ms(gap);
                let due = window.rung(now, essential, &load);
                prop_assert!(due >= now && due.since(now) <= MAX_DELAY);
                prop_assert!(!essential || due == now);
                let cost = ms(costs);
                now = due + cost;
                load.spent(cost, now);
                window.swept(now);
                prop_assert!((0.0..=1.0).contains(&load.share(now)));
            }
        }
    }
}
