//! Connections to a target, all with the same cipher, key exchange and socket
//! options: what differs between targets is the target.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::plan::Target;
use super::wire::Wire;

/// The name in the certificates of all targets.
pub(super) const SERVER_NAME: &str = "localhost";

/// Most time for a dial with its handshakes.
const DIAL_WITHIN: Duration = Duration::from_secs(30);

/// Clients that share a source address.
const PER_ADDRESS: u32 = 1_000;

/// QUIC clients that share a socket: more of them overflow its receive buffer
/// whenever the room speaks.
const PER_SOCKET: u32 = 16;

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Dials one target.
pub(super) struct Dialer {
    addr: SocketAddr,
    clear_greeting: bool,
    tls: Arc<ClientConfig>,
    quic: Option<Quic>,
}

struct Quic {
    config: quinn::ClientConfig,
    /// The endpoint that is shared at the moment, and by how many.
    shared: RefCell<Option<(quinn::Endpoint, u32)>>,
}

impl Dialer {
    /// Dials `target` at `addr`, which has `certificate`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(
        target: Target,
        wire: &dyn Wire,
        addr: SocketAddr,
        certificate: &Path,
        post_quantum: bool,
    ) -> Result<Self> {
        let tls = Arc::new(config(wire.alpn(), certificate, post_quantum)?);
        let quic = match target {
            Target::LivegateQuic => Some(Quic::new(&tls)?),
            Target::Livegate
            | Target::LivegateOther
            | Target::Limit
            | Target::LimitChunks
            | Target::Mosquitto
            | Target::Nats => None,
        };
        Ok(Self {
            addr,
            clear_greeting: wire.greets_in_clear(),
            tls,
            quic,
        })
    }

    /// Connects client `index`, handshakes included.
    ///
    /// # Errors
    /// When the target does not take it in time.
    pub(super) async fn dial(&self, index: u32) -> Result<Box<dyn Duplex>> {
        let dialed = async {
            match &self.quic {
                Some(quic) => quic.dial(self.addr).await,
                None => self.dial_tls(index).await,
            }
        };
        timeout(DIAL_WITHIN, dialed).await.context("dialing")?
    }

    async fn dial_tls(&self, index: u32) -> Result<Box<dyn Duplex>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source(index), 0).into())?;
        let mut stream = socket.connect(self.addr).await?;
        stream.set_nodelay(true)?;
        if self.clear_greeting {
            skip_line(&mut stream).await?;
        }
        let name = ServerName::try_from(SERVER_NAME)?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await?;
        Ok(Box::new(stream))
    }
}

impl Quic {
    fn new(tls: &Arc<ClientConfig>) -> Result<Self> {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls.clone())?;
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(None);
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Ok(Self {
            config,
            shared: RefCell::new(None),
        })
    }

    async fn dial(&self, addr: SocketAddr) -> Result<Box<dyn Duplex>> {
        let endpoint = self.endpoint()?;
        let connecting = endpoint.connect_with(self.config.clone(), addr, SERVER_NAME)?;
        let (send, receive) = connecting.await?.open_bi().await?;
        Ok(Box::new(tokio::io::join(receive, send)))
    }

    fn endpoint(&self) -> Result<quinn::Endpoint> {
        let mut shared = self.shared.borrow_mut();
        let (endpoint, users) = match shared.take() {
            Some((endpoint, users)) if users < PER_SOCKET => (endpoint, users),
            Some(_) | None => (quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?, 0),
        };
        *shared = Some((endpoint.clone(), users + 1));
        Ok(endpoint)
    }
}

/// One cipher suite and one key exchange, so that no target has it easier; no
/// tickets, so that each client pays for its handshake.
fn config(alpn: Option<&[u8]>, certificate: &Path, post_quantum: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: match post_quantum {
            true => vec![kx_group::X25519MLKEM768, kx_group::X25519],
            false => vec![kx_group::X25519],
        },
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Reads to the end of the first line and not a byte further.
async fn skip_line(stream: &mut TcpStream) -> Result<()> {
    for _ in 0..4_096 {
        if stream.read_u8().await? == b'\n' {
            return Ok(());
        }
    }
    ensure!(false, "a greeting of more than 4,096 bytes");
    Ok(())
}

/// Where client `index` dials from: an address has about 28,000 free ports.
fn source(index: u32) -> IpAddr {
    let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
    Ipv4Addr::from(first + (index / PER_ADDRESS) % 65_000).into()
}
