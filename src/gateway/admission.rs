//! Who may knock: limits before a stranger has cost anything.
//!
//! Three limits, each with a guard that gives its place free on any road out:
//! a [`Seat`] for every connection that is not logged in, a [`Slot`] while a
//! handshake is in flight, and counts per address. An address is an IPv4
//! address or an IPv6 /64. Counts are kept only for addresses that have some.
//!
//! Invariants: what is not logged in is bounded whatever comes; a spoofed UDP
//! source counts against nobody's address (see [`Admission::admit_unproven`]).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::GatewayConfig;
use crate::telemetry::RefusalCause;

/// The limits and their counts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seats: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    max_slots: usize,
    retry_above: usize,
    pending_per_address: u32,
    sessions_per_address: u32,
    exempt_loopback: bool,
    addresses: Mutex<foldhash::HashMap<IpAddr, Counts>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    pending: u32,
    sessions: u32,
}

/// A place among those that are not logged in.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held, then dropped")] OwnedSemaphorePermit);

/// A handshake in flight.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held, then dropped")] OwnedSemaphorePermit);

/// A connection that is not logged in.
#[derive(Debug)]
pub struct Pending {
    count: Count,
    _seat: Seat,
}

/// A connection that is logged in.
#[derive(Debug)]
pub struct Admitted {
    _count: Count,
}

/// One connection counted for an address; `None`: it counts for none.
#[derive(Debug)]
struct Count {
    admission: Admission,
    address: Option<IpAddr>,
    logged_in: bool,
}

impl Admission {
    /// The limits of `config` on a machine of `cores`.
    pub fn new(config: &GatewayConfig, cores: usize) -> Self {
        let max_slots = config.handshakes(cores).min(Semaphore::MAX_PERMITS);
        let max_seats = config.max_pending.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            seats: Arc::new(Semaphore::new(max_seats)),
            slots: Arc::new(Semaphore::new(max_slots)),
            max_slots,
            retry_above: max_slots * usize::from(config.quic_retry_above) / 100,
            pending_per_address: config.pending_per_address,
            sessions_per_address: config.sessions_per_address,
            exempt_loopback: config.exempt_loopback,
            addresses: Mutex::default(),
        }))
    }

    /// Waits for a place for one more connection.
    pub async fn seat(&self) -> Seat {
        let seats = Arc::clone(&self.0.seats);
        Seat(seats.acquire_owned().await.expect("never closed"))
    }

    /// A place for one more connection, if there is one.
    pub fn try_seat(&self) -> Option<Seat> {
        let seats = Arc::clone(&self.0.seats);
        seats.try_acquire_owned().ok().map(Seat)
    }

    /// Waits for its turn to do a handshake. Fair.
    pub async fn slot(&self) -> Slot {
        let slots = Arc::clone(&self.0.slots);
        Slot(slots.acquire_owned().await.expect("never closed"))
    }

    /// The right to do a handshake, if nobody waits for it.
    pub fn try_slot(&self) -> Option<Slot> {
        let slots = Arc::clone(&self.0.slots);
        slots.try_acquire_owned().ok().map(Slot)
    }

    /// Whether so many handshakes are in flight, the caller's own included,
    /// that QUIC clients must prove their addresses first.
    pub fn wants_proof(&self) -> bool {
        let in_flight = self.0.max_slots - self.0.slots.available_permits();
        in_flight > self.0.retry_above
    }

    /// Lets a connection from `ip` in, which is known to be there.
    ///
    /// # Errors
    /// The limit of its address that it would exceed.
    pub fn admit(&self, seat: Seat, ip: IpAddr) -> Result<Pending, RefusalCause> {
        let mut pending = self.admit_unproven(seat);
        pending.prove(ip)?;
        Ok(pending)
    }

    /// Lets a connection in of which the address is not proven: it counts for
    /// no address until [`Pending::prove`].
    pub fn admit_unproven(&self, seat: Seat) -> Pending {
        Pending {
            count: Count {
                admission: self.clone(),
                address: None,
                logged_in: false,
            },
            _seat: seat,
        }
    }

    /// Addresses that have connections: a gauge.
    pub fn addresses(&self) -> usize {
        self.0.addresses.lock().len()
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        self.0.exempt_loopback && ip.is_loopback()
    }

    fn count_pending(&self, address: IpAddr) -> Result<(), RefusalCause> {
        let mut addresses = self.0.addresses.lock();
        let counts = addresses.get(&address).copied().unwrap_or_default();
        if counts.sessions >= self.0.sessions_per_address {
            return Err(RefusalCause::AddressSessions);
        }
        if counts.pending >= self.0.pending_per_address {
            return Err(RefusalCause::AddressPending);
        }
        addresses.entry(address).or_default().pending += 1;
        Ok(())
    }

    fn count_session(&self, address: IpAddr) -> Result<(), RefusalCause> {
        let mut addresses = self.0.addresses.lock();
        let counts = addresses.entry(address).or_default();
        if counts.sessions >= self.0.sessions_per_address {
            return Err(RefusalCause::AddressSessions);
        }
        counts.sessions += 1;
        counts.pending = counts.pending.saturating_sub(1);
        Ok(())
    }

    fn forget(&self, address: IpAddr, logged_in: bool) {
        let mut addresses = self.0.addresses.lock();
        let Some(counts) = addresses.get_mut(&address) else {
            return;
        };
        let count = match logged_in {
            true => &mut counts.sessions,
            false => &mut counts.pending,
        };
        *count = count.saturating_sub(1);
        if counts.pending == 0 && counts.sessions == 0 {
            addresses.remove(&address);
        }
    }
}

impl Pending {
    /// Counts the connection for `ip`, now that its address is proven.
    ///
    /// # Errors
    /// The limit of its address that it would exceed.
    pub fn prove(&mut self, ip: IpAddr) -> Result<(), RefusalCause> {
        let admission = &self.count.admission;
        if self.count.address.is_some() || admission.is_exempt(ip) {
            return Ok(());
        }
        let address = network(ip);
        admission.count_pending(address)?;
        self.count.address = Some(address);
        Ok(())
    }

    /// The connection has logged in: gives its place among the others free.
    ///
    /// # Errors
    /// When its address has as many sessions as it may.
    pub fn log_in(mut self) -> Result<Admitted, RefusalCause> {
        if let Some(address) = self.count.address {
            self.count.admission.count_session(address)?;
        }
        self.count.logged_in = true;
        Ok(Admitted { _count: self.count })
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.admission.forget(address, self.logged_in);
        }
    }
}

/// What counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(pending: u32, sessions: u32) -> Admission {
        let config = GatewayConfig {
            pending_per_address: pending,
            sessions_per_address: sessions,
            max_pending: 10,
            max_handshakes: 8,
            exempt_loopback: true,
            ..GatewayConfig::default()
        };
        Admission::new(&config, 1)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn knock(admission: &Admission, from: &str) -> Result<Pending, RefusalCause> {
        admission.admit(admission.try_seat().expect("a seat"), ip(from))
    }

    #[test]
    fn an_address_has_so_many_strangers_and_no_more() {
        let admission = admission(2, 9);
        let first = knock(&admission, "192.0.2.1").unwrap();
        let _second = knock(&admission, "192.0.2.1").unwrap();
        let third = knock(&admission, "192.0.2.1");
        assert_eq!(third.unwrap_err(), RefusalCause::AddressPending);
        assert!(knock(&admission, "192.0.2.2").is_ok());
        drop(first);
        assert!(knock(&admission, "192.0.2.1").is_ok());
    }

    #[test]
    fn a_login_moves_the_count_and_its_end_clears_it() {
        let admission = admission(1, 2);
        let held: Vec<_> = (0..2)
            .map(|_| knock(&admission, "192.0.2.1").unwrap().log_in().unwrap())
            .collect();
        let refused = knock(&admission, "192.0.2.1").unwrap_err();
        assert_eq!(refused, RefusalCause::AddressSessions);
        drop(held);
        assert_eq!(admission.addresses(), 0);
        assert!(admission.try_seat().is_some());
    }

    #[test]
    fn a_login_beyond_the_limit_is_refused_and_leaves_nothing_behind() {
        let admission = admission(5, 1);
        let (a, b) = (
            knock(&admission, "192.0.2.1"),
            knock(&admission, "192.0.2.1"),
        );
        let held = a.unwrap().log_in().unwrap();
        assert_eq!(
            b.unwrap().log_in().unwrap_err(),
            RefusalCause::AddressSessions
        );
        drop(held);
        assert_eq!(admission.addresses(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let admission = admission(1, 9);
        let _first = knock(&admission, "2001:db8::1").unwrap();
        assert!(knock(&admission, "2001:db8::2:1").is_err());
        assert!(knock(&admission, "2001:db8:0:1::1").is_ok());
        let _v4 = knock(&admission, "192.0.2.1").unwrap();
        assert!(knock(&admission, "::ffff:192.0.2.1").is_err());
    }

    #[test]
    fn this_machine_may_be_exempt() {
        let admission = admission(1, 1);
        let all: Vec<_> = (0..5).map(|_| knock(&admission, "127.0.0.1")).collect();
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(admission.addresses(), 0);
    }

    #[test]
    fn seats_are_bounded_whatever_the_address() {
        let admission = admission(100, 100);
        let seats: Vec<_> = (0..10).map(|_| admission.try_seat().unwrap()).collect();
        assert!(admission.try_seat().is_none());
        drop(seats);
        assert!(admission.try_seat().is_some());
    }

    #[test]
    fn proof_is_wanted_above_the_threshold() {
        let admission = admission(1, 1);
        let first = admission.try_slot();
        let _second = admission.try_slot();
        assert!(!admission.wants_proof());
        let _third = admission.try_slot();
        assert!(admission.wants_proof());
        drop(first);
        assert!(!admission.wants_proof());
    }

    #[test]
    fn an_unproven_address_is_not_counted() {
        let admission = admission(1, 1);
        let mut unproven: Vec<_> = (0..3)
            .map(|_| admission.admit_unproven(admission.try_seat().unwrap()))
            .collect();
        assert_eq!(admission.addresses(), 0);
        assert!(unproven[0].prove(ip("192.0.2.1")).is_ok());
        assert!(unproven[1].prove(ip("192.0.2.1")).is_err());
    }
}
