//! Where the gateway is and how clients reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use livegate_client::{DialConfig, Dialer, Roots, Target, TransportPreference};

use crate::identity::App;

/// Most time for a dial with its handshakes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// QUIC clients that share a source address, and so a UDP socket: more of them
/// overflow its receive buffer whenever a room speaks.
pub(crate) const QUIC_PER_ADDRESS: u32 = 16;

/// A gateway under load.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The public port, TCP and UDP.
    pub(crate) public: SocketAddr,
    /// The internal port, when health and metrics are to be read.
    pub(crate) internal: Option<SocketAddr>,
    /// The gateway's process, when it runs on this machine and may be looked at.
    pub(crate) pid: Option<u32>,
    /// The name in its certificate.
    pub(crate) server_name: String,
    /// Who is trusted.
    pub(crate) roots: Roots,
    /// The file that says so.
    pub(crate) certificate: PathBuf,
    /// The app that clients log in to.
    pub(crate) app: App,
}

/// The dialers of one thread, one for each transport.
#[derive(Debug)]
pub(crate) struct Dialers {
    tls: Dialer,
    quic: Dialer,
}

impl Dialers {
    /// The dialer for QUIC or TLS.
    pub(crate) fn of(&self, quic: bool) -> &Dialer {
        if quic { &self.quic } else { &self.tls }
    }
}

impl Site {
    /// Dialers of this site. Tickets are off: every client is a device of its
    /// own and pays for its whole handshake.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn dialers(&self) -> Result<Dialers> {
        let dialer = |transport| {
            let mut config = DialConfig::new(self.roots.clone());
            config.transport = transport;
            config.timeout = DIAL_TIMEOUT;
            config.resume = false;
            Dialer::new(config).context("setting up TLS")
        };
        Ok(Dialers {
            tls: dialer(TransportPreference::Tls)?,
            quic: dialer(TransportPreference::Quic)?,
        })
    }

    /// The target as a client at `source` sees it.
    pub(crate) fn target(&self, source: Option<IpAddr>) -> Target {
        let mut target = Target::new(self.public.to_string());
        target.server_name = Some(self.server_name.clone());
        target.bind = source;
        target
    }
}

/// Hands out the loopback addresses that clients dial from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources {
    per_address: Option<u32>,
}

impl Sources {
    /// Addresses for clients of `site`, `per_address` of them on each. Where the
    /// gateway is not on loopback, or the machine has one loopback address
    /// only, the system chooses.
    pub(crate) fn new(site: &Site, per_address: u32) -> Self {
        let spread = site.public.ip().is_loopback()
            && site.public.is_ipv4()
            && UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).is_ok();
        Self {
            per_address: spread.then_some(per_address.max(1)),
        }
    }

    /// The address of client `index`.
    pub(crate) fn of(&self, index: u32, quic: bool) -> Option<IpAddr> {
        let per_address = self.per_address?;
        Some(match quic {
            false => address(1, index / per_address),
            true => address(2, index / QUIC_PER_ADDRESS.min(per_address)),
        })
    }
}

/// The n-th address of block 127.0.0.0/16 or of its neighbour; 127.0.0.1 is
/// left to the gateway.
fn address(block: u32, n: u32) -> IpAddr {
    let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
    Ipv4Addr::from(first + ((block - 1) << 16) + n % 65_000).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_loopback_and_never_sit_on_the_gateways() {
        let sources = Sources {
            per_address: Some(1_000),
        };
        assert_eq!(sources.of(0, false).unwrap().to_string(), "127.0.0.2");
        assert_eq!(sources.of(999, false).unwrap().to_string(), "127.0.0.2");
        assert_eq!(sources.of(1_000, false).unwrap().to_string(), "127.0.0.3");
        assert_eq!(sources.of(16, true).unwrap().to_string(), "127.1.0.3");
        let gateway: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert!((0..100_000).all(|n| sources.of(n, false) != Some(gateway)));
    }
}
