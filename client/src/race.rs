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

/// Runs futures in order, each started when one before it failed or
/// `head_start` after the last was started; the first success wins, the others
/// are dropped. Answers with the winner's place.
///
/// # Errors
/// When all failed: their errors, in order.
pub(crate) async fn race<F, T, E>(
    attempts: Vec<F>,
    head_start: Duration,
) -> Result<(usize, T), Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut lanes: Vec<Lane<F, E>> = attempts
        .into_iter()
        .map(|attempt| Lane::Runs(Box::pin(attempt)))
        .collect();
    let mut started = lanes.len().min(1);
    let mut timer = Box::pin(sleep(head_start));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            for (place, lane) in lanes.iter_mut().enumerate().take(started) {
                let Lane::Runs(attempt) = lane else { continue };
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(value)) => return Poll::Ready(Ok((place, value))),
                    Poll::Ready(Err(error)) => {
                        *lane = Lane::Failed(error);
                        failed = true;
                    }
                    Poll::Pending => {}
                }
            }
            if started < lanes.len() && (failed || timer.as_mut().poll(cx).is_ready()) {
                started += 1;
                timer.as_mut().reset(Instant::now() + head_start);
                continue;
            }
            return match failures(&mut lanes) {
                Some(errors) => Poll::Ready(Err(errors)),
                None => Poll::Pending,
            };
        }
    })
    .await
}

enum Lane<F, E> {
    Runs(Pin<Box<F>>),
    Failed(E),
}

/// The errors of all lanes, once every one has failed.
fn failures<F, E>(lanes: &mut Vec<Lane<F, E>>) -> Option<Vec<E>> {
    if lanes.iter().any(|lane| matches!(lane, Lane::Runs(_))) {
        return None;
    }
    let errors = lanes.drain(..).filter_map(|lane| match lane {
        Lane::Runs(_) => None,
        Lane::Failed(error) => Some(error),
    });
    Some(errors.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_millis(200);

    /// Ends after `ms` as `result` says.
    async fn attempt(ms: u64, result: Result<u64, u64>) -> Result<u64, u64> {
        sleep(Duration::from_millis(ms)).await;
        result
    }

    async fn timed(
        attempts: Vec<(u64, Result<u64, u64>)>,
    ) -> (Result<(usize, u64), Vec<u64>>, u128) {
        let begin = Instant::now();
        let attempts = attempts
            .into_iter()
            .map(|(ms, result)| attempt(ms, result))
            .collect();
        let outcome = race(attempts, START).await;
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
