//! The public side: accepts, shakes hands, lets log in, hands over.
//!
//! Owns the public sockets, the limits of strangers and the certificate in
//! force. Bind first, then run: [`Gateway::bind`] needs nothing of the rest to
//! run, and [`Gateway::run`] ends when told to and every QUIC connection is
//! gone, for their packets pass through here to the end.
//!
//! Invariants: strangers are handled on the gateway's own runtime and within
//! limits, so that a storm of them takes nothing from those who are in; no
//! connection stays here once its login is done.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quinn::Endpoint;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::KeyRing;
use crate::callback::ask::Asks;
use crate::clock::Clock;
use crate::shard::carrier::NetDetached;
use crate::shard::quic::{Closer, Reaper};
use crate::telemetry::Metrics;

pub mod admission;
pub mod certs;
pub mod config;
pub mod door;
mod http;
mod quic;
mod quic_identity;
mod quic_socket;
mod tcp;
pub mod tls;

pub use certs::{CertError, CertFiles};
pub use config::{BadGatewayConfig, GatewayConfig, ListenConfig, TlsConfig};
pub use door::{Door, Place, Revoked};
pub use http::{Lobby, RoomServiceConfig, Signer};
pub use tls::provider;

use admission::Admission;
use certs::CertWatch;

/// Attempts to find a port that is free for TCP and UDP, when any will do.
const PORT_TRIES: usize = 16;

/// Settings of the gateway, as the configuration has them.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Where clients come in.
    pub listen: &'a ListenConfig,
    /// Certificates and TLS.
    pub tls: &'a TlsConfig,
    /// Limits.
    pub gateway: &'a GatewayConfig,
    /// Where relative paths start.
    pub base: &'a Path,
    /// Cores of the machine.
    pub cores: usize,
}

/// What the gateway is given by the rest of the server.
pub struct Parts {
    /// Reads the time.
    pub clock: Clock,
    /// Each app's keys.
    pub keys: Arc<ArcSwap<KeyRing>>,
    /// When a user's signatures were declared void.
    pub revoked: Revoked,
    /// The RoomService door, if it is to be there.
    pub lobby: Option<Arc<Lobby>>,
    /// Asks backends before a login.
    pub asks: Arc<Asks>,
    /// Where logged-in connections go.
    pub place: Place<NetDetached>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Why the gateway cannot start.
#[derive(Debug, Error)]
pub enum BindError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] tls::TlsSetupError),
    /// An address cannot be bound.
    #[error("cannot listen on {address} ({protocol}): {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// The bound public side.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    tcp: Option<(tcp::Listener, Arc<ServerConfig>)>,
    quic: Option<Endpoint>,
    closer: Closer,
    reaper: Reaper,
    watch: CertWatch,
    door: Arc<Door<NetDetached>>,
}

impl Gateway {
    /// Reads the certificate and binds the sockets. Must be called in the
    /// runtime that is to carry strangers and QUIC's packets.
    ///
    /// # Errors
    /// What cannot be used or bound.
    pub fn bind(settings: Settings<'_>, parts: Parts) -> Result<Self, BindError> {
        let Settings { listen, tls, .. } = settings;
        let provider = provider(tls);
        let files = CertFiles {
            cert: settings.base.join(&tls.cert),
            key: settings.base.join(&tls.key),
        };
        let metrics = Arc::clone(&parts.metrics);
        // An unreadable one is blamed below, by the watch.
        let private_key = std::fs::read(&files.key).unwrap_or_default();
        let watch = CertWatch::open(files, Arc::clone(&provider), tls.reload_every, metrics)?;
        let mut tcp_tls = tls::tcp_config(tls, Arc::clone(&provider), watch.current())?;
        if parts.lobby.is_some() {
            let protocols = &mut Arc::make_mut(&mut tcp_tls).alpn_protocols;
            protocols.push(http::ALPN.to_vec());
        }
        let quic_tls = tls::quic_config(provider, watch.current())?;
        let sockets = Sockets::bind(listen)?;
        let quic = match sockets.udp {
            Some(socket) => {
                let server = quic::server_config(settings.gateway, quic_tls);
                let identity = quic_identity::endpoint_config(&private_key);
                let endpoint = quic::endpoint(socket, identity, server);
                Some(endpoint.map_err(|source| failed(sockets.address, "udp", source))?)
            }
            None => None,
        };
        let (closer, reaper) = Closer::new();
        Ok(Self {
            address: sockets.address,
            tcp: sockets.tcp.map(|listener| (listener, tcp_tls)),
            quic,
            closer,
            reaper,
            watch,
            door: Arc::new(Door {
                clock: parts.clock,
                config: settings.gateway.clone(),
                keys: parts.keys,
                revoked: parts.revoked,
                lobby: parts.lobby,
                asks: parts.asks,
                admission: Admission::new(settings.gateway, settings.cores),
                place: parts.place,
                metrics: parts.metrics,
                stop: CancellationToken::new(),
            }),
        })
    }

    /// The address that was bound, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Notify it to have the certificate files looked at now.
    pub fn reload(&self) -> Arc<Notify> {
        self.watch.asked()
    }

    /// Serves until `stop`; then takes nobody in any more, and ends when the
    /// last QUIC connection is gone. The caller bounds that.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let door = &self.door;
        let watch = self.watch.run(stop.clone());
        let lobby = async {
            if let Some(lobby) = &door.lobby {
                Box::pin(Arc::clone(lobby).run(stop.clone())).await;
            }
        };
        let tcp = async {
            if let Some((listener, tls)) = self.tcp {
                tcp::run(listener, Arc::clone(door), tls, tasks.clone()).await;
            }
        };
        let quic = async {
            if let Some(endpoint) = &self.quic {
                let (door, closer) = (Arc::clone(door), self.closer);
                quic::run(endpoint.clone(), door, closer, tasks.clone()).await;
            }
        };
        let stopping = async {
            stop.cancelled().await;
            door.stop.cancel();
        };
        let serving = async {
            tokio::join!(watch, lobby, tcp, quic, stopping);
            tasks.close();
            tasks.wait().await;
        };
        let last = async {
            serving.await;
            if let Some(endpoint) = &self.quic {
                endpoint.wait_idle().await;
            }
        };
        // The reaper has work until the last carrier is gone.
        tokio::select! {
            biased;
            () = last => {}
            () = run_forever(self.reaper) => {}
        }
    }
}

async fn run_forever(reaper: Reaper) {
    reaper.run().await;
    std::future::pending().await
}

/// The sockets of one address.
struct Sockets {
    address: SocketAddr,
    tcp: Option<tcp::Listener>,
    udp: Option<std::net::UdpSocket>,
}

impl Sockets {
    fn bind(listen: &ListenConfig) -> Result<Self, BindError> {
        let any_port = listen.public.port() == 0;
        let mut tries = if any_port { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match Self::try_bind(listen) {
                Err(_) if tries > 0 => {}
                result => return result,
            }
        }
    }

    fn try_bind(listen: &ListenConfig) -> Result<Self, BindError> {
        let mut address = listen.public;
        let mut tcp = None;
        if listen.tcp {
            let bound = tcp::Listener::bind(address, listen)
                .and_then(|listener| Ok((listener.address()?, listener)));
            let (real, listener) = bound.map_err(|source| failed(address, "tcp", source))?;
            address = real;
            tcp = Some(listener);
        }
        let mut udp = None;
        if listen.quic {
            let bound = quic::bind(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
            let (real, socket) = bound.map_err(|source| failed(address, "udp", source))?;
            address = real;
            udp = Some(socket);
        }
        Ok(Self { address, tcp, udp })
    }
}

fn failed(address: SocketAddr, protocol: &'static str, source: io::Error) -> BindError {
    BindError::Bind {
        address,
        protocol,
        source,
    }
}

#[cfg(test)]
mod tests;
