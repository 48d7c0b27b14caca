//! Settings of the public transports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A record of TLS and what the kernel adds to it.
const SMALLEST_SEND_BUFFER: u32 = 16_384;

/// Where clients come in. TCP and UDP have the same port number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Address and port of the public transports.
    pub public: SocketAddr,
    /// Whether TLS over TCP is offered.
    pub tcp: bool,
    /// Whether QUIC is offered; clients fall back to TCP where UDP is blocked.
    pub quic: bool,
    /// Connections that the kernel holds until they are accepted; the system
    /// may set a lower bound (net.core.somaxconn).
    pub backlog: u32,
    /// Bytes that the kernel may hold for one connection over TCP that does not
    /// read (SO_SNDBUF; Linux doubles it and counts its own overhead in).
    /// Without it the kernel goes up to megabytes, and a client that stopped
    /// reading is noticed only when they are full. 0: the system's choice.
    pub send_buffer: u32,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            public: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7443)),
            tcp: true,
            quic: true,
            backlog: 4096,
            send_buffer: 65_536,
        }
    }
}

/// Certificates and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate chain in PEM, the server's own first. Relative paths
    /// start at the configuration file.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// How often both files are looked at; SIGHUP makes it happen at once. What
    /// cannot be used is logged and the old certificate kept.
    #[serde(with = "crate::clock::span")]
    pub reload_every: Duration,
    /// Whether TLS 1.2 is offered besides 1.3, for old devices over TCP.
    pub tls12: bool,
    /// Whether the hybrid key exchange X25519MLKEM768 is offered: safe against
    /// recordings that are broken later, at about 1 KB more each way.
    pub post_quantum: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert: PathBuf::from("certs/livegate.pem"),
            key: PathBuf::from("certs/livegate.key"),
            reload_every: Duration::from_secs(30),
            tls12: false,
            post_quantum: true,
        }
    }
}

/// Limits of connections that are not logged in, and of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Threads for accepting, handshakes, logins and QUIC packets; 0: half the
    /// cores.
    pub threads: usize,
    /// From accepting a connection to the end of its handshake.
    #[serde(with = "crate::clock::span")]
    pub handshake_deadline: Duration,
    /// From the end of the handshake to a whole, valid login.
    #[serde(with = "crate::clock::span")]
    pub login_deadline: Duration,
    /// Handshakes in flight on all transports; 0: 256 for each core. TCP
    /// connections queue for a place within their deadline, QUIC's are ignored.
    pub max_handshakes: usize,
    /// Connections that are not logged in; beyond it nothing more is accepted.
    pub max_pending: usize,
    /// Connections of one address (of one /64 in IPv6) that are not logged in.
    pub pending_per_address: u32,
    /// Connections of one address that are logged in: carriers put many phones
    /// behind one address.
    pub sessions_per_address: u32,
    /// Whether the limits per address do not count for this machine's own
    /// addresses.
    pub exempt_loopback: bool,
    /// Percentage of `max_handshakes` in flight above which a QUIC client must
    /// prove its address first (a Retry); 0: always.
    pub quic_retry_above: u8,
    /// A QUIC connection without any packet for so long is gone. Longer than
    /// the heartbeat allowance of viewers, so that heartbeats decide.
    #[serde(with = "crate::clock::span")]
    pub quic_idle: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            handshake_deadline: Duration::from_secs(5),
            login_deadline: Duration::from_secs(5),
            max_handshakes: 0,
            max_pending: 16_384,
            pending_per_address: 64,
            sessions_per_address: 5_000,
            exempt_loopback: false,
            quic_retry_above: 25,
            quic_idle: Duration::from_secs(90),
        }
    }
}

/// A setting of the public transports that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{key} {problem}")]
pub struct BadGatewayConfig {
    /// The key with its section.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Handshakes in flight for each core.
const HANDSHAKES_PER_CORE: usize = 256;

impl GatewayConfig {
    /// Handshakes that may be in flight on a machine of `cores`.
    pub fn handshakes(&self, cores: usize) -> usize {
        match self.max_handshakes {
            0 => HANDSHAKES_PER_CORE * cores.max(1),
            n => n,
        }
    }

    /// Threads of the gateway's runtime on a machine of `cores`.
    pub fn threads(&self, cores: usize) -> usize {
        match self.threads {
            0 => cores.div_ceil(2).max(1),
            n => n,
        }
    }

    /// Refuses values with which nobody could log in.
    ///
    /// # Errors
    /// The first such key.
    pub fn validate(&self) -> Result<(), BadGatewayConfig> {
        let zero = "must be greater than 0";
        let rules = [
            (
                "gateway.handshake_deadline",
                !self.handshake_deadline.is_zero(),
                zero,
            ),
            (
                "gateway.login_deadline",
                !self.login_deadline.is_zero(),
                zero,
            ),
            ("gateway.max_pending", self.max_pending > 0, zero),
            (
                "gateway.pending_per_address",
                self.pending_per_address > 0,
                zero,
            ),
            (
                "gateway.sessions_per_address",
                self.sessions_per_address > 0,
                zero,
            ),
            (
                "gateway.quic_retry_above",
                self.quic_retry_above <= 100,
                "is a percentage",
            ),
            ("gateway.quic_idle", !self.quic_idle.is_zero(), zero),
            (
                "gateway.threads",
                self.threads <= 1_024,
                "must be at most 1024",
            ),
        ];
        first_broken(&rules)
    }
}

impl ListenConfig {
    /// Refuses to listen on nothing.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn validate(&self) -> Result<(), BadGatewayConfig> {
        let nothing = "and listen.quic are both false: nobody could connect";
        let rules = [
            ("listen.tcp", self.tcp || self.quic, nothing),
            ("listen.backlog", self.backlog > 0, "must be greater than 0"),
            (
                "listen.send_buffer",
                self.send_buffer == 0 || self.send_buffer >= SMALLEST_SEND_BUFFER,
                "must be 0 or at least 16384: a record of TLS fits",
            ),
        ];
        first_broken(&rules)
    }
}

impl TlsConfig {
    /// Refuses to look at the files all the time.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn validate(&self) -> Result<(), BadGatewayConfig> {
        let often = self.reload_every < Duration::from_secs(1);
        first_broken(&[("tls.reload_every", !often, "must be at least 1s")])
    }
}

fn first_broken(rules: &[(&'static str, bool, &'static str)]) -> Result<(), BadGatewayConfig> {
    match rules.iter().find(|(_, holds, _)| !holds) {
        Some((key, _, problem)) => Err(BadGatewayConfig { key, problem }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_read_back() {
        let gateway = GatewayConfig::default();
        assert_eq!(gateway.validate(), Ok(()));
        assert_eq!(ListenConfig::default().validate(), Ok(()));
        assert_eq!(TlsConfig::default().validate(), Ok(()));
        let text = toml::to_string(&gateway).unwrap();
        assert_eq!(toml::from_str::<GatewayConfig>(&text).unwrap(), gateway);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let listen = ListenConfig {
            tcp: false,
            quic: false,
            ..ListenConfig::default()
        };
        assert_eq!(listen.validate().unwrap_err().key, "listen.tcp");
        let gateway = GatewayConfig {
            quic_retry_above: 101,
            ..GatewayConfig::default()
        };
        let refused = gateway.validate().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "gateway.quic_retry_above is a percentage"
        );
    }

    #[test]
    fn zero_means_a_share_of_the_machine() {
        let gateway = GatewayConfig::default();
        assert_eq!(gateway.handshakes(4), 1_024);
        assert_eq!((gateway.threads(1), gateway.threads(4)), (1, 2));
    }
}
