//! Strangers of every kind against the door, under paused time over in-memory
//! streams, and against the real sockets.

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

#[tokio::test(start_paused = true)]
async fn a_login_is_handed_over_with_what_was_sent_ahead() {
    let mut f = fixture();
    let (stream, serving) = f.knock();
    let ahead = frame(2, Body::ListRooms(ListRoomsRequest::default()));
    let client = async {
        let mut client = f.dial(stream).await;
        let all = [login("alice", NOW), ahead.clone(), ahead.clone()].concat();
        client.write_all(&all).await.unwrap();
        client
    };
    let (mut client, ()) = tokio::join!(client, serving);
    let adopted = f.adopted.recv().await.unwrap();
    assert_eq!(adopted.login.key.user.as_str(), "alice");
    assert_eq!(
        (adopted.request_id, adopted.io.plain.len()),
        (1, ahead.len() * 2)
    );
    let mut scratch = Scratch::default();
    let mut io = FrameIo::<StreamCarrier<_>>::attach(adopted.io, &mut scratch).unwrap();
    assert_eq!(io.next_frame(&mut scratch, 1_000), Ok(Some(&ahead[4..])));
    poll_fn(|cx| std::task::Poll::Ready(io.write(cx, &ahead, &mut scratch)))
        .await
        .unwrap();
    let mut heard = vec![0; ahead.len()];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, ahead);
    drop(adopted.permit);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_before_the_login() {
    let mut f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        let pong = ping(&mut client).await;
        client.write_all(&login("alice", NOW)).await.unwrap();
        (client, pong)
    };
    let ((_client, pong), ()) = tokio::join!(client, serving);
    assert_eq!(pong.reply.unwrap().request_id, 5);
    assert!(f.adopted.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_gone_at_the_deadline() {
    let f = fixture();
    let (_stream, serving) = f.knock();
    serving.await;
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_dribbled_handshake_does_not_move_the_deadline() {
    let f = fixture();
    let (mut stream, serving) = f.knock();
    let dribble = async {
        // The start of a record that never ends.
        for byte in [22, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1)) {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(dribble);
    tokio::select! {
        () = serving => {}
        () = &mut dribble => panic!("the server was to end it"),
    }
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_login_that_does_not_come_is_told_so() {
    let f = fixture();
    for first in [Vec::new(), login("alice", NOW)[..50].to_vec()] {
        let start = f.now();
        let (stream, serving) = f.knock();
        let client = async {
            let mut client = f.dial(stream).await;
            client.write_all(&first).await.unwrap();
            hear(&mut client).await
        };
        let (heard, ()) = tokio::join!(client, serving);
        assert_eq!(last_word(&heard), Some(CloseCode::LoginTimeout));
        assert_eq!(f.now().since(start), DEADLINE);
    }
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_read_the_last_word_is_gone_a_moment_later() {
    let f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let client = f.dial(stream).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        client
    };
    tokio::select! {
        () = serving => {}
        _ = client => panic!("the server was to end it"),
    }
    assert_eq!(f.now(), Instant(0) + DEADLINE + Duration::from_secs(1));
    f.assert_nobody_counts();
}

/// Sends `bytes` as the first frame; what the server says and nothing else.
async fn answer_to(f: &Fixture, bytes: Vec<u8>) -> Vec<ServerFrame> {
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        client.write_all(&bytes).await.unwrap();
        hear(&mut client).await
    };
    let (heard, ()) = tokio::join!(client, serving);
    heard
}

#[tokio::test(start_paused = true)]
async fn bad_first_frames_get_a_clear_answer() {
    let mut f = fixture();
    let list = frame(1, Body::ListRooms(ListRoomsRequest::default()));
    let too_large = (4_097u32).to_be_bytes().to_vec();
    let huge = u32::MAX.to_be_bytes().to_vec();
    let garbage = [&[0, 0, 0, 4][..], &[255; 4]].concat();
    let stale = login("alice", Unix(NOW.0 - 7_200_000));
    let cases = [
        (list, Some(Code::NOT_LOGGED_IN), CloseCode::ProtocolError),
        (too_large, None, CloseCode::FrameTooLarge),
        (huge, None, CloseCode::FrameTooLarge),
        (garbage, None, CloseCode::ProtocolError),
        (stale, Some(Code::SIG_EXPIRED), CloseCode::LoginRefused),
    ];
    for (bytes, reply, close) in cases {
        let heard = Box::pin(answer_to(&f, bytes)).await;
        assert_eq!((code(&heard), last_word(&heard)), (reply, Some(close)));
    }
    assert!(f.adopted.try_recv().is_err());
    assert_eq!(f.now(), Instant(0), "no deadline was waited for");
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_refused_with_an_alert() {
    let f = fixture();
    let dir = tempfile::tempdir().unwrap();
    let files = CertFiles::in_dir(dir.path());
    files.make(&[]).unwrap();
    let mut web = (*f.client).clone();
    web.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (stream, serving) = f.knock();
    let web = Arc::new(web);
    let (refused, ()) = tokio::join!(dial(&web, stream), serving);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    let mut silent = (*f.client).clone();
    silent.alpn_protocols.clear();
    let (stream, serving) = f.knock();
    let silent = Arc::new(silent);
    let (client, ()) = tokio::join!(dial(&silent, stream), serving);
    assert!(hear(&mut client.unwrap()).await.is_empty());
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn strangers_are_sent_away_when_the_gateway_stops() {
    let f = fixture();
    let (stream, serving) = f.knock();
    let client = async {
        let mut client = f.dial(stream).await;
        ping(&mut client).await;
        f.door.stop.cancel();
        hear(&mut client).await
    };
    let (heard, ()) = tokio::join!(client, serving);
    assert_eq!(last_word(&heard), Some(CloseCode::ShuttingDown));
    let close = heard[0].close.as_ref().unwrap();
    assert!(close.retry_after_ms >= 1_000);
    let (_stream, serving) = f.knock();
    serving.await;
    assert_eq!(f.now(), Instant(0));
}

#[tokio::test(start_paused = true)]
async fn a_session_too_many_of_an_address_is_told_to_come_later() {
    let f = fixture();
    let limits = GatewayConfig {
        sessions_per_address: 1,
        ..GatewayConfig::default()
    };
    let door = Door {
        clock: f.door.clock.clone(),
        config: limits.clone(),
        keys: Arc::clone(&f.door.keys),
        revoked: Arc::clone(&f.door.revoked),
        lobby: None,
        asks: Arc::default(),
        admission: Admission::new(&limits, 1),
        place: Arc::clone(&f.door.place),
        metrics: Arc::clone(&f.door.metrics),
        stop: CancellationToken::new(),
    };
    let mut f = Fixture {
        door: Arc::new(door),
        ..f
    };
    let first = f.knock();
    let second = f.knock();
    let enter = async |(stream, serving)| {
        let client = async {
            let mut client = f.dial(stream).await;
            client.write_all(&login("alice", NOW)).await.unwrap();
            client
        };
        tokio::join!(client, serving).0
    };
    let _first = Box::pin(enter(first)).await;
    let mut second = Box::pin(enter(second)).await;
    let heard = hear(&mut second).await;
    let answer = (code(&heard), last_word(&heard));
    assert_eq!(
        answer,
        (Some(Code::OVERLOADED), Some(CloseCode::Overloaded))
    );
    drop(f.adopted.recv().await);
    f.assert_nobody_counts();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_half_open_connections_leave_nothing_behind() {
    let f = fixture();
    let limits = GatewayConfig {
        pending_per_address: 2_000,
        max_handshakes: 100,
        ..GatewayConfig::default()
    };
    let admission = Admission::new(&limits, 1);
    let door = Door {
        clock: f.door.clock.clone(),
        config: limits,
        keys: Arc::clone(&f.door.keys),
        revoked: Arc::clone(&f.door.revoked),
        lobby: None,
        asks: Arc::default(),
        admission,
        place: Arc::clone(&f.door.place),
        metrics: Arc::clone(&f.door.metrics),
        stop: CancellationToken::new(),
    };
    let f = Fixture {
        door: Arc::new(door),
        ..f
    };
    let (mut streams, mut serving) = (Vec::new(), Vec::new());
    for n in 0..1_000u32 {
        let (mut stream, task) = f.knock();
        if n % 2 == 0 {
            stream.write_all(&[22, 3, 1]).await.unwrap();
        }
        streams.push(stream);
        serving.push(task);
    }
    futures_util::future::join_all(serving).await;
    assert_eq!(f.now(), Instant(0) + DEADLINE);
    f.assert_nobody_counts();
}

/// A gateway on real sockets.
struct Real {
    address: SocketAddr,
    files: CertFiles,
    reload: Arc<Notify>,
    adopted: mpsc::Receiver<Adopted<NetDetached>>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn real(gateway: GatewayConfig) -> Real {
    let dir = tempfile::tempdir().unwrap();
    let files = CertFiles::in_dir(dir.path());
    files.make(&[]).unwrap();
    let listen = ListenConfig {
        public: "127.0.0.1:0".parse().unwrap(),
        ..ListenConfig::default()
    };
    let tls = TlsConfig {
        cert: certs::CERT_FILE.into(),
        key: certs::KEY_FILE.into(),
        ..TlsConfig::default()
    };
    let settings = Settings {
        listen: &listen,
        tls: &tls,
        gateway: &gateway,
        base: dir.path(),
        cores: 1,
    };
    let (place, adopted) = place();
    let metrics = Metrics::new(1);
    let parts = Parts {
        clock: Clock::system(),
        keys: keys(),
        revoked: Arc::new(|_| None),
        lobby: None,
        asks: Arc::default(),
        place,
        metrics: Arc::clone(&metrics),
    };
    let gateway = Gateway::bind(settings, parts).unwrap();
    let stop = CancellationToken::new();
    Real {
        address: gateway.address(),
        files,
        reload: gateway.reload(),
        adopted,
        metrics,
        stop: stop.clone(),
        running: TaskTracker::new().spawn(gateway.run(stop)),
        _dir: dir,
    }
}

impl Real {
    async fn dial_tcp(&self) -> TlsStream<TcpStream> {
        let config = client_config(&self.files, &[tls::ALPN]);
        let stream = TcpStream::connect(self.address).await.unwrap();
        dial(&config, stream).await.unwrap()
    }

    async fn dial_quic(&self) -> (Endpoint, quinn::Connection) {
        let config = (*client_config(&self.files, &[tls::ALPN])).clone();
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(config));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, self.address, "localhost");
        let connection = connecting.unwrap().await.unwrap();
        (endpoint, connection)
    }

    /// Attaches what was handed over, says one word, closes.
    async fn answer(&mut self) -> Transport {
        let adopted = self.adopted.recv().await.unwrap();
        let mut scratch = Scratch::default();
        let mut io = FrameIo::<NetCarrier>::attach(adopted.io, &mut scratch).unwrap();
        poll_fn(|cx| io.poll_flush(cx)).await.unwrap();
        poll_fn(|cx| std::task::Poll::Ready(io.write(cx, b"welcome", &mut scratch)))
            .await
            .unwrap();
        poll_fn(|cx| io.poll_close(cx)).await.unwrap();
        adopted.transport
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

#[tokio::test]
async fn the_same_login_goes_over_tcp_and_over_quic() {
    let mut real = real(GatewayConfig::default());
    let mut client = real.dial_tcp().await;
    let now = crate::clock::unix_now();
    client.write_all(&login("alice", now)).await.unwrap();
    assert_eq!(real.answer().await, Transport::Tls);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"welcome");
    let (endpoint, connection) = real.dial_quic().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&login("alice", now)).await.unwrap();
    assert_eq!(real.answer().await, Transport::Quic);
    assert_eq!(recv.read_to_end(100).await.unwrap(), b"welcome");
    drop((send, recv, connection));
    endpoint.wait_idle().await;
    real.stop().await;
}

#[tokio::test]
async fn an_address_is_proven_when_the_gateway_wants_it() {
    let gateway = GatewayConfig {
        quic_retry_above: 0,
        ..GatewayConfig::default()
    };
    let real = real(gateway);
    let (_endpoint, connection) = real.dial_quic().await;
    // The Retry and its answer are datagrams of their own.
    assert!(connection.stats().udp_rx.datagrams >= 2);
    drop(connection);
    real.stop().await;
}

#[tokio::test]
async fn a_quic_connection_without_a_stream_is_closed_with_its_code() {
    let gateway = GatewayConfig {
        login_deadline: Duration::from_millis(50),
        ..GatewayConfig::default()
    };
    let real = real(gateway);
    let (_endpoint, connection) = real.dial_quic().await;
    let closed = connection.closed().await;
    let quinn::ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(closed.error_code, quinn::VarInt::from_u32(3_505));
    real.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_in_force_without_a_restart() {
    let real = real(GatewayConfig::default());
    let first = real.dial_tcp().await;
    let shown = |client: &TlsStream<TcpStream>| {
        let (_, connection) = client.get_ref();
        connection.peer_certificates().unwrap()[0].to_vec()
    };
    let old = shown(&first);
    real.files.make(&[]).unwrap();
    real.reload.notify_one();
    while !real.metrics.render().contains("result=\"ok\"} 1") {
        tokio::task::yield_now().await;
    }
    assert_ne!(shown(&real.dial_tcp().await), old);
    real.stop().await;
}

/// Accepting that fails a few times and then waits for ever.
struct Failing {
    left: u32,
    sheds: Arc<std::sync::atomic::AtomicU32>,
}

impl tcp::Accept for Failing {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.left == 0 {
            std::future::pending::<()>().await;
        }
        self.left -= 1;
        Err(io::Error::from_raw_os_error(24))
    }

    fn shed(&mut self) {
        self.sheds
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_accepting_back_off_and_never_end_the_listener() {
    let f = fixture();
    let (place, _adopted) = place::<NetDetached>();
    let door = Arc::new(Door {
        clock: f.door.clock.clone(),
        config: f.door.config.clone(),
        keys: Arc::clone(&f.door.keys),
        revoked: Arc::clone(&f.door.revoked),
        lobby: None,
        asks: Arc::default(),
        admission: f.door.admission.clone(),
        place,
        metrics: Arc::clone(&f.door.metrics),
        stop: CancellationToken::new(),
    });
    let sheds = Arc::default();
    let failing = Failing {
        left: 10,
        sheds: Arc::clone(&sheds),
    };
    let tasks = TaskTracker::new();
    let running = tcp::run(failing, Arc::clone(&door), Arc::clone(&f.server), tasks);
    let stop = async {
        // 10 + 20 + … + 640 ms, then 1 s each.
        tokio::time::sleep(Duration::from_millis(1_270 + 3_000 - 1)).await;
        assert_eq!(sheds.load(std::sync::atomic::Ordering::Relaxed), 10);
        door.stop.cancel();
    };
    tokio::join!(running, stop);
    assert!(door.admission.try_seat().is_some());
}
