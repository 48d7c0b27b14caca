//! Who is tried first, and who is tried beside whom: happy eyeballs over
//! transports and addresses.
//!
//! Pure but for polling: [`race`] is told the order, [`UdpMemory`] the time.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::link::Transport;

/// Addresses whose UDP failure is remembered at most.
const MEMORY_LIMIT: usize = 256;

/// Which transports are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportPreference {
    /// QUIC first, TLS beside it after a head start or when QUIC fails.
    #[default]
    Race,
    /// TLS over TCP only.
    Tls,
    /// QUIC only.
    Quic,
}

/// One thing to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) transport: Transport,
    pub(crate) addr: SocketAddr,
}

/// Remembers to which addresses UDP did not get through.
#[derive(Debug, Default)]
pub(crate) struct UdpMemory {
    failed: HashMap<SocketAddr, Instant>,
}

impl UdpMemory {
    /// Notes that QUIC to `addr` failed, or lost the race, at `now`.
    pub(crate) fn failed(&mut self, addr: SocketAddr, now: Instant) {
        if self.failed.len() >= MEMORY_LIMIT && !self.failed.contains_key(&addr) {
            let oldest = self.failed.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(addr, _)| *addr) {
                self.failed.remove(&oldest);
            }
        }
        self.failed.insert(addr, now);
    }

    /// Notes that QUIC to `addr` works.
    pub(crate) fn works(&mut self, addr: SocketAddr) {
        self.failed.remove(&addr);
    }

    fn is_blocked(&self, addr: SocketAddr, now: Instant, memory: Duration) -> bool {
        self.failed
            .get(&addr)
            .is_some_and(|at| now.duration_since(*at) < memory)
    }
}

/// The order of attempts: per address QUIC before TLS, but QUIC behind
/// everything for addresses where UDP failed lately.
pub(crate) fn plan(
    addrs: &[SocketAddr],
    preference: TransportPreference,
    udp: &UdpMemory,
    memory: Duration,
    now: Instant,
) -> Vec<Attempt> {
    let attempt = |transport, addr| Attempt { transport, addr };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for addr in addrs.iter().copied() {
        match preference {
            TransportPreference::Tls => first.push(attempt(Transport::Tls, addr)),
            TransportPreference::Quic => first.push(attempt(Transport::Quic, addr)),
            TransportPreference::Race if udp.is_blocked(addr, now, memory) => {
                first.push(attempt(Transport::Tls, addr));
                last.push(attempt(Transport::Quic, addr));
            }
            TransportPreference::Race => {
                first.push(attempt(Transport::Quic, addr));
                first.push(attempt(Transport::Tls, addr));
            }
        }
    }
    first.append(&mut last);
    first
}

/// How attempts follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long an attempt runs before the next is started beside it.
    pub(crate) head_start: Duration,
    /// How long QUIC is still waited for after TLS has failed: where nobody
    /// listens TCP says so at once and QUIC never does.
    pub(crate) patience: Duration,
}

/// Runs attempts in order, each started when one before it failed or a head
/// start after the last was started; the first success wins, the others are
/// dropped. Answers with the winner's place.
///
/// # Errors
/// When all failed, or nothing is to be hoped for from those that still run:
/// the errors, in order.
pub(crate) async fn race<F, T, E>(
    attempts: Vec<(Transport, F)>,
    pace: Pace,
) -> Result<(usize, T), Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut lanes: Vec<Lane<F, E>> = attempts
        .into_iter()
        .map(|(transport, attempt)| Lane::Runs(transport, Box::pin(attempt)))
        .collect();
    let mut started = lanes.len().min(1);
    let mut waits_out = false;
    let mut timer = Box::pin(sleep(pace.head_start));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            for (place, lane) in lanes.iter_mut().enumerate().take(started) {
                let Lane::Runs(transport, attempt) = lane else {
                    continue;
                };
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(value)) => return Poll::Ready(Ok((place, value))),
                    Poll::Ready(Err(error)) => {
                        *lane = Lane::Failed(*transport, error);
                        failed = true;
                    }
                    Poll::Pending => {}
                }
            }
            if failed && !waits_out && only_quic_is_left(&lanes) {
                waits_out = true;
                started = lanes.len();
                timer.as_mut().reset(Instant::now() + pace.patience);
                continue;
            }
            let is_due = timer.as_mut().poll(cx).is_ready();
            if started < lanes.len() && (failed || is_due) {
                started += 1;
                timer.as_mut().reset(Instant::now() + pace.head_start);
                continue;
            }
            if waits_out && is_due || !lanes.iter().any(Lane::runs) {
                return Poll::Ready(Err(failures(&mut lanes)));
            }
            return Poll::Pending;
        }
    })
    .await
}

enum Lane<F, E> {
    Runs(Transport, Pin<Box<F>>),
    Failed(Transport, E),
}

impl<F, E> Lane<F, E> {
    fn runs(&self) -> bool {
        matches!(self, Self::Runs(..))
    }
}

/// Whether TLS has failed and nothing but QUIC may yet succeed. In a race of
/// QUIC alone its own timeouts decide.
fn only_quic_is_left<F, E>(lanes: &[Lane<F, E>]) -> bool {
    let (mut quic, mut tls_failed) = (false, false);
    for lane in lanes {
        match lane {
            Lane::Runs(Transport::Quic, _) => quic = true,
            Lane::Runs(..) => return false,
            Lane::Failed(transport, _) => tls_failed |= *transport != Transport::Quic,
        }
    }
    quic && tls_failed
}

fn failures<F, E>(lanes: &mut Vec<Lane<F, E>>) -> Vec<E> {
    let errors = lanes.drain(..).filter_map(|lane| match lane {
        Lane::Runs(..) => None,
        Lane::Failed(_, error) => Some(error),
    });
    errors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        head_start: Duration::from_millis(200),
        patience: Duration::from_millis(1_000),
    };

    /// Ends after `ms` as `result` says.
    async fn attempt(ms: u64, result: Result<u64, u64>) -> Result<u64, u64> {
        sleep(Duration::from_millis(ms)).await;
        result
    }

    /// QUIC and TLS by turns, the outcome and when it came.
    async fn timed(
        attempts: Vec<(u64, Result<u64, u64>)>,
    ) -> (Result<(usize, u64), Vec<u64>>, u128) {
        let begin = Instant::now();
        let transports = [Transport::Quic, Transport::Tls].into_iter().cycle();
        let attempts = transports
            .zip(attempts)
            .map(|(transport, (ms, result))| (transport, attempt(ms, result)))
            .collect();
        let outcome = race(attempts, PACE).await;
        (outcome, begin.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_runs_alone() {
        assert_eq!(timed(vec![(50, Ok(1)), (0, Ok(2))]).await, (Ok((0, 1)), 50));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_starts_after_the_head_start_and_may_win() {
        let stuck = (60_000, Err(1));
        assert_eq!(timed(vec![stuck, (30, Ok(2))]).await, (Ok((1, 2)), 230));
        assert_eq!(
            timed(vec![(210, Ok(1)), (30, Ok(2))]).await,
            (Ok((0, 1)), 210)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        let attempts = vec![(10, Err(1)), (10, Err(2)), (10, Ok(3))];
        assert_eq!(timed(attempts).await, (Ok((2, 3)), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn quic_that_hangs_is_given_up_a_while_after_tls_has_failed() {
        let (hangs, slow) = ((60_000, Ok(1)), (900, Ok(2)));
        assert_eq!(
            timed(vec![hangs, (50, Err(2))]).await,
            (Err(vec![2]), 1_250)
        );
        assert_eq!(timed(vec![slow, (50, Err(3))]).await, (Ok((0, 2)), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn tls_has_its_time_when_quic_has_failed_and_so_has_quic_alone() {
        let attempts = vec![(10, Err(1)), (5_000, Ok(2))];
        assert_eq!(timed(attempts).await, (Ok((1, 2)), 5_010));
        assert_eq!(timed(vec![(5_000, Ok(1))]).await, (Ok((0, 1)), 5_000));
        let quic = |ms, result| (Transport::Quic, attempt(ms, result));
        let both = vec![quic(10, Err(1)), quic(5_000, Ok(2))];
        assert_eq!(race(both, PACE).await, Ok((1, 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_are_told_in_order() {
        let attempts = vec![(300, Err(1)), (10, Err(2))];
        assert_eq!(timed(attempts).await, (Err(vec![1, 2]), 300));
        assert_eq!(timed(vec![]).await, (Err(vec![]), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn udp_that_failed_goes_last_until_it_is_forgotten() {
        let addr: SocketAddr = "192.0.2.1:7443".parse().unwrap();
        let memory = Duration::from_secs(300);
        let mut udp = UdpMemory::default();
        let order = |udp: &UdpMemory, now| -> Vec<Transport> {
            plan(&[addr], TransportPreference::Race, udp, memory, now)
                .iter()
                .map(|attempt| attempt.transport)
                .collect()
        };
        let now = Instant::now();
        assert_eq!(order(&udp, now), [Transport::Quic, Transport::Tls]);
        udp.failed(addr, now);
        assert_eq!(order(&udp, now), [Transport::Tls, Transport::Quic]);
        assert_eq!(order(&udp, now + memory), [Transport::Quic, Transport::Tls]);
        udp.works(addr);
        assert_eq!(order(&udp, now), [Transport::Quic, Transport::Tls]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_forgets_the_oldest_beyond_its_limit() {
        let mut udp = UdpMemory::default();
        let addr = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        let start = Instant::now();
        for n in 0..300u16 {
            udp.failed(addr(n), start + Duration::from_secs(n.into()));
        }
        let now = start + Duration::from_secs(300);
        assert_eq!(udp.failed.len(), MEMORY_LIMIT);
        assert!(!udp.is_blocked(addr(0), now, Duration::from_secs(900)));
        assert!(udp.is_blocked(addr(299), now, Duration::from_secs(900)));
    }
}
