//! Real sockets: the same conversation over TLS and over QUIC, the race
//! between them, resumption, trust.

#![allow(clippy::large_futures, clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Peer, login_reply, said};
use livegate_client::wire::{LoginRequest, ServerFrame};
use livegate_client::{
    Connection, DialConfig, DialError, Dialer, Disconnect, Roots, Target, Transport,
    TransportPreference,
};
use livegate_proto::{ALPN, CloseCode};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::{HandshakeKind, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const LIMIT: Duration = Duration::from_secs(10);

struct Certificate {
    roots: Roots,
    tls: Arc<ServerConfig>,
}

fn certificate() -> Certificate {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Certificate {
        roots: Roots::certificates([certificate]).unwrap(),
        tls: Arc::new(tls),
    }
}

fn dialer(roots: &Roots, transport: TransportPreference) -> Dialer {
    let mut config = DialConfig::new(roots.clone());
    config.transport = transport;
    Dialer::new(config).unwrap()
}

fn target(addr: SocketAddr) -> Target {
    Target::new(addr.to_string())
}

fn quic_server(tls: &ServerConfig, addr: SocketAddr) -> quinn::Endpoint {
    let crypto = QuicServerConfig::try_from(tls.clone()).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    quinn::Endpoint::server(config, addr).unwrap()
}

async fn accept_tls(listener: &TcpListener, tls: &Arc<ServerConfig>) -> Peer<TlsStream<TcpStream>> {
    let (tcp, _) = listener.accept().await.unwrap();
    let stream = TlsAcceptor::from(Arc::clone(tls))
        .accept(tcp)
        .await
        .unwrap();
    Peer { stream }
}

type QuicStream = tokio::io::Join<quinn::RecvStream, quinn::SendStream>;

async fn accept_quic(endpoint: &quinn::Endpoint) -> (quinn::Connection, Peer<QuicStream>) {
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let (send, recv) = connection.accept_bi().await.unwrap();
    let stream = tokio::io::join(recv, send);
    (connection, Peer { stream })
}

/// Logs in, then hears one push.
async fn converse(dialer: &Dialer, target: &Target) -> Connection {
    let mut connection = Connection::open(dialer, target).await.unwrap();
    let login = connection.login(LoginRequest::default(), LIMIT).await;
    assert_eq!(login.unwrap(), login_reply());
    assert_eq!(connection.next().await.unwrap(), greeting());
    connection
}

fn greeting() -> ServerFrame {
    ServerFrame {
        pushes: vec![said(1, 1, "hello")],
        ..ServerFrame::default()
    }
}

async fn serve<S>(peer: &mut Peer<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    peer.accept_login().await;
    peer.say(&greeting()).await;
}

#[tokio::test]
async fn tls_carries_a_conversation_and_resumes_the_next() {
    let certificate = certificate();
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let dialer = dialer(&certificate.roots, TransportPreference::Tls);
    let target = target(listener.local_addr().unwrap());
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (connection, kind) = tokio::join!(converse(&dialer, &target), async {
            let mut peer = accept_tls(&listener, &certificate.tls).await;
            serve(&mut peer).await;
            peer.stream.get_ref().1.handshake_kind()
        });
        assert_eq!(connection.transport(), Transport::Tls);
        kinds.extend(kind);
    }
    assert!(matches!(
        kinds[..],
        [
            HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest,
            HandshakeKind::Resumed
        ]
    ));
}

#[tokio::test]
async fn quic_carries_a_conversation_and_its_close_code_is_the_reason() {
    let certificate = certificate();
    let endpoint = quic_server(&certificate.tls, LOCAL);
    let dialer = dialer(&certificate.roots, TransportPreference::Quic);
    let target = target(endpoint.local_addr().unwrap());
    let (mut connection, served) = tokio::join!(converse(&dialer, &target), async {
        let (connection, mut peer) = accept_quic(&endpoint).await;
        serve(&mut peer).await;
        (connection, peer)
    });
    assert_eq!(connection.transport(), Transport::Quic);
    let code = quinn::VarInt::from_u32(CloseCode::Displaced as u32);
    served.0.close(code, b"displaced");
    assert_eq!(
        connection.next().await.unwrap_err(),
        Disconnect::Closed {
            code: 3501,
            reason: "displaced".to_owned(),
            retry_after: Duration::ZERO,
        }
    );
}

#[tokio::test]
async fn quic_wins_the_race_where_it_is_served() {
    let certificate = certificate();
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let endpoint = quic_server(&certificate.tls, addr);
    let mut config = DialConfig::new(certificate.roots.clone());
    config.head_start = Duration::from_secs(5);
    let dialer = Dialer::new(config).unwrap();
    let target = target(addr);
    let (connection, _served) = tokio::join!(converse(&dialer, &target), async {
        let (connection, mut peer) = accept_quic(&endpoint).await;
        serve(&mut peer).await;
        (connection, peer)
    });
    assert_eq!(connection.transport(), Transport::Quic);
}

#[tokio::test]
async fn tls_wins_the_race_where_udp_is_swallowed() {
    let certificate = certificate();
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let _swallows = UdpSocket::bind(addr).await.unwrap();
    let dialer = dialer(&certificate.roots, TransportPreference::Race);
    let target = target(addr);
    for _ in 0..2 {
        let (connection, _peer) = tokio::join!(converse(&dialer, &target), async {
            let mut peer = accept_tls(&listener, &certificate.tls).await;
            serve(&mut peer).await;
            peer
        });
        assert_eq!(connection.transport(), Transport::Tls);
    }
}

#[tokio::test]
async fn a_local_address_may_be_chosen() {
    let certificate = certificate();
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let dialer = dialer(&certificate.roots, TransportPreference::Tls);
    let mut target = target(listener.local_addr().unwrap());
    let from = IpAddr::from([127, 0, 0, 9]);
    target.bind = Some(from);
    let (_connection, peer) = tokio::join!(converse(&dialer, &target), async {
        let mut peer = accept_tls(&listener, &certificate.tls).await;
        serve(&mut peer).await;
        peer
    });
    let seen = peer.stream.get_ref().0.peer_addr().unwrap();
    assert_eq!(seen.ip(), from);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_on_both() {
    let (served, trusted) = (certificate(), certificate());
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let endpoint = quic_server(&served.tls, addr);
    let dialer = dialer(&trusted.roots, TransportPreference::Race);
    let serving = async {
        loop {
            tokio::select! {
                Some(incoming) = endpoint.accept() => drop(incoming.await),
                Ok((tcp, _)) = listener.accept() => {
                    drop(TlsAcceptor::from(Arc::clone(&served.tls)).accept(tcp).await);
                }
            }
        }
    };
    let target = target(addr);
    let error = tokio::select! {
        dialled = Connection::open(&dialer, &target) => dialled.unwrap_err(),
        () = serving => unreachable!("serves for ever"),
    };
    let DialError::Attempts { attempts, .. } = &error else {
        panic!("expected both attempts, got {error}");
    };
    let transports: Vec<Transport> = attempts.iter().map(|attempt| attempt.transport).collect();
    assert_eq!(transports, [Transport::Quic, Transport::Tls]);
    let text = error.to_string();
    assert!(text.contains("tls to 127.0.0.1"), "{text}");
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_address() {
    let certificate = certificate();
    let gone = TcpListener::bind(LOCAL).await.unwrap();
    let addr = gone.local_addr().unwrap();
    drop(gone);
    let dialer = dialer(&certificate.roots, TransportPreference::Tls);
    let error = Connection::open(&dialer, &target(addr)).await.unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}
