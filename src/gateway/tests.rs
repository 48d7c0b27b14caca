//! Strangers of every kind against the door, under paused time over in-memory
//! streams, and against the real sockets.

mod sockets;
mod strangers;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use livegate_proto::Message;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    ClientFrame, CloseCode, ListRoomsRequest, LoginRequest, PingRequest, ServerFrame,
};
use livegate_proto::code::Code;
use livegate_proto::codec::{self, Split};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::usersig::{Grant, issue};
use crate::auth::{AppConfig, AuthConfig, HmacKey};
use crate::clock::{Instant, Unix};
use crate::id::{AppId, UserId};
use crate::shard::adopted::{Adopted, Transport};
use crate::shard::carrier::{NetCarrier, StreamCarrier};
use crate::shard::frames::Scratch;
use crate::shard::io::FrameIo;
use crate::shard::tls::Tls;

const NOW: Unix = Unix(1_800_000_000_000);
const APP: u32 = 1_400_000_000;
const DEADLINE: Duration = Duration::from_secs(5);

/// A door over in-memory streams, and what comes out of it.
struct Fixture {
    door: Arc<Door<DuplexStream>>,
    adopted: mpsc::Receiver<Adopted<DuplexStream>>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    _dir: tempfile::TempDir,
}

fn keys() -> Arc<ArcSwap<KeyRing>> {
    let config = AuthConfig {
        apps: vec![AppConfig::development()],
        ..AuthConfig::default()
    };
    Arc::new(ArcSwap::from_pointee(
        KeyRing::open(&config, Path::new(".")).unwrap(),
    ))
}

fn place<D: Send + 'static>() -> (Place<D>, mpsc::Receiver<Adopted<D>>) {
    let (sender, receiver) = mpsc::channel(1_000);
    let place = move |adopted| sender.try_send(adopted).expect("room for all of a test");
    (Arc::new(place), receiver)
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let files = CertFiles::in_dir(dir.path());
    files.make(&[]).unwrap();
    let config = TlsConfig::default();
    let provider = provider(&config);
    let current = tls::Current::new(files.load(&provider).unwrap());
    let server = tls::tcp_config(&config, provider, current).unwrap();
    let (place, adopted) = place();
    let config = GatewayConfig::default();
    let door = Door {
        clock: Clock::simulated(NOW),
        admission: Admission::new(&config, 1),
        config,
        keys: keys(),
        revoked: Arc::new(|_| None),
        lobby: None,
        asks: Arc::default(),
        place,
        metrics: Metrics::new(1),
        stop: CancellationToken::new(),
    };
    Fixture {
        door: Arc::new(door),
        adopted,
        server,
        client: client_config(&files, &[tls::ALPN]),
        _dir: dir,
    }
}

fn client_config(files: &CertFiles, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(&files.cert).unwrap();
    roots.add(cert).unwrap();
    let provider = provider(&TlsConfig::default());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

impl Fixture {
    /// A stranger's end of a connection; the door's end is being served.
    fn knock(&self) -> (DuplexStream, Pin<Box<dyn Future<Output = ()>>>) {
        let (near, far) = duplex(1 << 16);
        let peer: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        let seat = self.door.admission.try_seat().expect("a seat");
        let pending = self.door.admission.admit(seat, peer.ip()).unwrap();
        let stranger = self.door.stranger(peer, Transport::Tls, pending);
        let tls = Tls::new(Arc::clone(&self.server)).unwrap();
        let door = Arc::clone(&self.door);
        let serving = async move {
            let carrier = StreamCarrier::new(near);
            door.receive_tls(carrier, tls, stranger).await;
        };
        (far, Box::pin(serving))
    }

    async fn dial(&self, stream: DuplexStream) -> TlsStream<DuplexStream> {
        dial(&self.client, stream).await.unwrap()
    }

    fn now(&self) -> Instant {
        self.door.clock.now().instant
    }

    /// Nothing of anybody is left.
    fn assert_nobody_counts(&self) {
        assert_eq!(self.door.admission.addresses(), 0);
        let page = self.door.metrics.render();
        assert!(page.contains("pending{transport=\"tls\"} 0"), "{page}");
    }
}

async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    stream: S,
) -> io::Result<TlsStream<S>> {
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
}

fn frame(request_id: u64, body: Body) -> Vec<u8> {
    let mut out = Vec::new();
    let body = Some(body);
    codec::append(&ClientFrame { request_id, body }, &mut out);
    out
}

fn login(user: &str, now: Unix) -> Vec<u8> {
    let app = AppConfig::development();
    let key = HmacKey::new(app.keys[0].secret()).unwrap();
    let grant = Grant {
        app: AppId(APP),
        user: &UserId::new(user).unwrap(),
        issued_at: now,
        lifetime: Duration::from_secs(3_600),
        userbuf: None,
    };
    let login = LoginRequest {
        sdk_app_id: APP,
        user_id: user.to_owned(),
        user_sig: issue(&key, &grant).unwrap(),
        ..LoginRequest::default()
    };
    frame(1, Body::Login(login))
}

/// Asks for a sign of life and waits for it.
async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> ServerFrame {
    let ping = frame(5, Body::Ping(PingRequest {}));
    stream.write_all(&ping).await.unwrap();
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body).await.unwrap();
    ServerFrame::decode(body.as_slice()).unwrap()
}

/// Everything that the server says until it closes.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Vec<ServerFrame> {
    let mut bytes = Vec::new();
    // An unclean end is an end too.
    let _ = stream.read_to_end(&mut bytes).await;
    let (mut frames, mut rest) = (Vec::new(), bytes.as_slice());
    while let Ok(Split::Frame { end }) = codec::split(rest, 1 << 20) {
        frames.push(ServerFrame::decode(&rest[4..end]).unwrap());
        rest = &rest[end..];
    }
    frames
}

fn last_word(frames: &[ServerFrame]) -> Option<CloseCode> {
    let close = frames.last()?.close.as_ref()?;
    CloseCode::try_from(close.code).ok()
}

fn code(frames: &[ServerFrame]) -> Option<Code> {
    Some(Code(frames.last()?.reply.as_ref()?.code))
}
