//! The door behind the real sockets, and what becomes of their errors.

use super::*;

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
