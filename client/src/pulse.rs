//! When a connection must say something, and when it counts as dead.
//!
//! Pure: told what was sent and heard and when; answers when to look again and
//! what to do then. Any frame is a sign of life, so a ping goes out only when
//! nothing else was sent.

use std::time::Duration;

use tokio::time::Instant;

/// What heartbeats are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// Keeps the session alive; the gateway answers none of them.
    Plain,
    /// Answered, which measures the round trip; the connection counts as dead
    /// when what was sent stays unanswered for this long.
    Measured {
        /// Longest time without an answer.
        silence: Duration,
    },
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    Ping,
    Silent(Duration),
}

#[derive(Debug)]
pub(crate) struct Pulse {
    kind: Heartbeat,
    interval: Option<Duration>,
    longest: Duration,
    last_sent: Instant,
    /// When the oldest frame without an answer was sent.
    unanswered: Option<Instant>,
    probed: bool,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            kind: Heartbeat::Plain,
            interval: None,
            longest: Duration::MAX,
            last_sent: now,
            unanswered: None,
            probed: false,
        }
    }

    pub(crate) fn set_kind(&mut self, kind: Heartbeat) {
        self.kind = kind;
    }

    pub(crate) fn kind(&self) -> Heartbeat {
        self.kind
    }

    /// Takes the interval that the gateway told; a tenth is kept back for the
    /// way there.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = Some(interval * 9 / 10);
    }

    /// Sends heartbeats at least this often, whatever is told.
    pub(crate) fn set_longest(&mut self, longest: Duration) {
        self.longest = longest;
    }

    fn interval(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.min(self.longest))
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
        self.unanswered.get_or_insert(now);
    }

    pub(crate) fn heard(&mut self) {
        self.unanswered = None;
        self.probed = false;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        let ping = self.interval().map(|interval| self.last_sent + interval);
        let silence = self.silence_due().map(|(at, _)| at);
        ping.into_iter().chain(silence).min()
    }

    /// Says what is due at `now`; a ping is taken as asked for.
    pub(crate) fn on_timer(&mut self, now: Instant) -> Beat {
        match self.silence_due() {
            Some((at, _)) if at > now => {}
            Some((_, false)) => {
                self.probed = true;
                return Beat::Ping;
            }
            Some((_, true)) => {
                let since = self.unanswered.unwrap_or(now);
                return Beat::Silent(now.duration_since(since));
            }
            None => {}
        }
        match self.interval() {
            Some(interval) if self.last_sent + interval <= now => Beat::Ping,
            Some(_) | None => Beat::Nothing,
        }
    }

    /// When to probe, or after a probe to give up.
    fn silence_due(&self) -> Option<(Instant, bool)> {
        let (Heartbeat::Measured { silence }, Some(since)) = (self.kind, self.unanswered) else {
            return None;
        };
        Some(if self.probed {
            (since + silence, true)
        } else {
            (since + silence / 2, false)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_is_due_only_when_nothing_else_was_sent() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.due(), None);
        pulse.set_interval(Duration::from_secs(10));
        assert_eq!(pulse.due(), Some(at(start, 9_000)));
        pulse.sent(at(start, 8_000));
        assert_eq!(pulse.on_timer(at(start, 9_000)), Beat::Nothing);
        assert_eq!(pulse.due(), Some(at(start, 17_000)));
        assert_eq!(pulse.on_timer(at(start, 17_000)), Beat::Ping);
    }

    #[tokio::test(start_paused = true)]
    async fn the_shorter_of_told_and_longest_holds() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.set_longest(Duration::from_secs(10));
        assert_eq!(pulse.due(), None);
        pulse.set_interval(Duration::from_secs(30));
        assert_eq!(pulse.due(), Some(at(start, 10_000)));
        pulse.set_interval(Duration::from_secs(3));
        assert_eq!(pulse.due(), Some(at(start, 2_700)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_unanswered_is_probed_and_then_given_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.set_kind(Heartbeat::Measured {
            silence: Duration::from_secs(10),
        });
        pulse.sent(start);
        assert_eq!(pulse.on_timer(at(start, 5_000)), Beat::Ping);
        pulse.sent(at(start, 5_000));
        assert_eq!(pulse.due(), Some(at(start, 10_000)));
        assert_eq!(
            pulse.on_timer(at(start, 10_000)),
            Beat::Silent(Duration::from_secs(10))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn anything_heard_ends_the_silence() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.set_kind(Heartbeat::Measured {
            silence: Duration::from_secs(10),
        });
        pulse.sent(start);
        pulse.heard();
        assert_eq!(pulse.due(), None);
        pulse.sent(at(start, 20_000));
        assert_eq!(pulse.due(), Some(at(start, 25_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn plain_heartbeats_expect_no_answer() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.set_interval(Duration::from_secs(10));
        pulse.sent(start);
        assert_eq!(pulse.on_timer(at(start, 60_000)), Beat::Ping);
    }
}
