//! Opens transports: QUIC raced with TLS over TCP.
//!
//! A [`Dialer`] is shared by many dials: it holds the TLS configurations with
//! their tickets, one UDP endpoint per local address, and the memory of where
//! UDP does not get through. A QUIC endpoint runs on the runtime that first
//! dials from its local address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{AckFrequencyConfig, Endpoint, EndpointConfig, TransportConfig, VarInt};
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::error::{AttemptError, DialError};
use crate::link::{Link, Transport};
use crate::race::{Attempt, Pace, TransportPreference, UdpMemory, plan, race};
use crate::tls::{self, Roots, TlsError};

/// Addresses of one name that are tried.
const MAX_ADDRS: usize = 4;

/// Local addresses with an endpoint of their own.
const MAX_ENDPOINTS: usize = 1024;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct DialConfig {
    /// Who is trusted.
    pub roots: Roots,
    /// Which transports are tried. Default: QUIC raced with TLS.
    pub transport: TransportPreference,
    /// How long QUIC runs alone before TLS is started beside it. Default
    /// 200 ms.
    pub head_start: Duration,
    /// How long QUIC is still waited for after TLS has failed: a gateway that is
    /// down refuses TCP at once, QUIC tells nothing. Default 1 s.
    pub patience: Duration,
    /// How long an address where UDP failed is dialled with TLS first.
    /// Default 5 min.
    pub udp_memory: Duration,
    /// How long a dial may take, resolving and handshakes included. Default
    /// 10 s.
    pub timeout: Duration,
    /// Resume TLS sessions with tickets. Default true.
    pub resume: bool,
    /// Keeps the mapping of a NAT open on QUIC; not a heartbeat of the
    /// protocol. Default 20 s.
    pub quic_keep_alive: Option<Duration>,
    /// Ends a QUIC connection that hears nothing at all. Default 90 s.
    pub quic_idle: Duration,
}

impl DialConfig {
    /// Trusts `roots`; everything else by default.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            transport: TransportPreference::default(),
            head_start: Duration::from_millis(200),
            patience: Duration::from_secs(1),
            udp_memory: Duration::from_secs(300),
            timeout: Duration::from_secs(10),
            resume: true,
            quic_keep_alive: Some(Duration::from_secs(20)),
            quic_idle: Duration::from_secs(90),
        }
    }
}

/// Where to.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`.
    pub addr: String,
    /// Name to verify the certificate against; by default the host of `addr`.
    pub server_name: Option<String>,
    /// Local address to dial from; by default the system's choice.
    pub bind: Option<IpAddr>,
    /// Bytes of the kernel's receive buffer on TCP; by default the system's
    /// choice. A small one shows early what becomes of a client that does not
    /// read.
    pub receive_buffer: Option<u32>,
}

impl Target {
    /// Dials `addr` from anywhere and verifies its host's name.
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            server_name: None,
            bind: None,
            receive_buffer: None,
        }
    }

    fn name(&self) -> String {
        if let Some(name) = &self.server_name {
            return name.clone();
        }
        let host = self.addr.rsplit_once(':').map(|(host, _)| host);
        let host = host.unwrap_or(&self.addr);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.to_owned()
    }
}

/// Dials; cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Dialer {
    config: DialConfig,
    tls: Arc<rustls::ClientConfig>,
    quic: quinn::ClientConfig,
    endpoints: Mutex<HashMap<IpAddr, Endpoint>>,
    udp: Mutex<UdpMemory>,
}

impl Dialer {
    /// Prepares TLS and QUIC; opens nothing.
    ///
    /// # Errors
    /// When TLS cannot be set up from the configuration.
    pub fn new(config: DialConfig) -> Result<Self, TlsError> {
        let tls = Arc::new(tls::config(&config.roots, config.resume)?);
        let crypto = QuicClientConfig::try_from(tls::config(&config.roots, config.resume)?)?;
        let mut quic = quinn::ClientConfig::new(Arc::new(crypto));
        quic.transport_config(Arc::new(quic_transport(&config)));
        Ok(Self {
            config,
            tls,
            quic,
            endpoints: Mutex::default(),
            udp: Mutex::default(),
        })
    }

    /// Opens a transport to `target`.
    ///
    /// # Errors
    /// When the name cannot be resolved, every attempt failed or time ran out.
    pub async fn dial(&self, target: &Target) -> Result<Link, DialError> {
        let limit = self.config.timeout;
        let timed = timeout(limit, self.dial_untimed(target)).await;
        timed.unwrap_or_else(|_| {
            Err(DialError::Timeout {
                addr: target.addr.clone(),
                after: limit,
            })
        })
    }

    async fn dial_untimed(&self, target: &Target) -> Result<Link, DialError> {
        let host = target.name();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| DialError::ServerName(host.clone()))?;
        let addrs = resolve(target).await?;
        let now = Instant::now();
        let plan = plan(
            &addrs,
            self.config.transport,
            &self.udp.lock(),
            self.config.udp_memory,
            now,
        );
        let attempts = plan
            .iter()
            .map(|attempt| {
                let opening = self.attempt(*attempt, target, &host, name.clone());
                (attempt.transport, opening)
            })
            .collect();
        let pace = Pace {
            head_start: self.config.head_start,
            patience: self.config.patience,
        };
        match race(attempts, pace).await {
            Ok((place, link)) => {
                self.learn(&plan, place, Instant::now());
                Ok(link)
            }
            Err(attempts) => Err(DialError::Attempts {
                addr: target.addr.clone(),
                attempts,
            }),
        }
    }

    /// QUIC that won works; QUIC that was started before a winner of the same
    /// address and did not win counts as blocked.
    fn learn(&self, plan: &[Attempt], place: usize, now: Instant) {
        let winner = plan[place];
        let mut udp = self.udp.lock();
        if winner.transport == Transport::Quic {
            udp.works(winner.addr);
            return;
        }
        let lost = |attempt: &&Attempt| {
            attempt.transport == Transport::Quic && attempt.addr == winner.addr
        };
        if let Some(attempt) = plan[..place].iter().find(lost) {
            tracing::debug!(addr = %attempt.addr, "quic lost the race, tls goes first for a while");
            udp.failed(attempt.addr, now);
        }
    }

    async fn attempt(
        &self,
        attempt: Attempt,
        target: &Target,
        host: &str,
        name: ServerName<'static>,
    ) -> Result<Link, AttemptError> {
        let Attempt { transport, addr } = attempt;
        let opened = match transport {
            Transport::Quic => self.quic(addr, target.bind, host).await,
            Transport::Tls | Transport::Other => self.tls(addr, target, name).await,
        };
        opened.map_err(|source| AttemptError {
            transport,
            addr,
            source,
        })
    }

    async fn tls(
        &self,
        addr: SocketAddr,
        target: &Target,
        name: ServerName<'static>,
    ) -> io::Result<Link> {
        let tcp = tcp(addr, target).await?;
        // Without it delayed acknowledgements hold up every login.
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, tcp).await?;
        Ok(Link::tls(stream))
    }

    async fn quic(&self, addr: SocketAddr, bind: Option<IpAddr>, host: &str) -> io::Result<Link> {
        let endpoint = self.endpoint(addr, bind)?;
        let connecting = endpoint
            .connect_with(self.quic.clone(), addr, host)
            .map_err(io::Error::other)?;
        let connection = connecting.await.map_err(io::Error::other)?;
        let (send, recv) = connection.open_bi().await.map_err(io::Error::other)?;
        Ok(Link::quic(connection, send, recv))
    }

    /// The endpoint that dials from `bind`, made at its first use.
    fn endpoint(&self, addr: SocketAddr, bind: Option<IpAddr>) -> io::Result<Endpoint> {
        let local = bind.unwrap_or_else(|| match addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        let mut endpoints = self.endpoints.lock();
        if let Some(endpoint) = endpoints.get(&local) {
            return Ok(endpoint.clone());
        }
        if endpoints.len() >= MAX_ENDPOINTS {
            return Err(io::Error::other("too many local addresses"));
        }
        let runtime = quinn::default_runtime()
            .ok_or_else(|| io::Error::other("dial inside a tokio runtime"))?;
        let socket = UdpSocket::bind((local, 0))?;
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
        endpoints.insert(local, endpoint.clone());
        Ok(endpoint)
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(addr) = target.addr.parse() {
        return Ok(vec![addr]);
    }
    let failed = |source| DialError::Resolve {
        addr: target.addr.clone(),
        source,
    };
    let found = lookup_host(&target.addr).await.map_err(failed)?;
    let fits = |addr: &SocketAddr| target.bind.is_none_or(|ip| ip.is_ipv4() == addr.is_ipv4());
    let addrs: Vec<SocketAddr> = found.filter(fits).take(MAX_ADDRS).collect();
    if addrs.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(addrs)
}

async fn tcp(addr: SocketAddr, target: &Target) -> io::Result<TcpStream> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(ip) = target.bind {
        socket.bind((ip, 0).into())?;
    }
    if let Some(bytes) = target.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(addr).await
}

/// Small windows: a signaling connection carries little, and what it may buffer
/// is what a hostile gateway could make it hold.
fn quic_transport(config: &DialConfig) -> TransportConfig {
    const WINDOW: u32 = 128 * 1024;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(config.quic_keep_alive)
        .max_idle_timeout(config.quic_idle.try_into().ok())
        .ack_frequency_config(Some(AckFrequencyConfig::default()));
    transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_name_unless_another_is_given() {
        let name = |addr: &str| Target::new(addr).name();
        assert_eq!(name("live.example:7443"), "live.example");
        assert_eq!(name("127.0.0.1:7443"), "127.0.0.1");
        assert_eq!(name("[::1]:7443"), "::1");
        let mut target = Target::new("127.0.0.1:7443");
        target.server_name = Some("localhost".to_owned());
        assert_eq!(target.name(), "localhost");
    }
}
