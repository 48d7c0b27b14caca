//! Both ends of a TLS connection in one thread: ours under test, rustls's own
//! client against it. Also used by `benches/sweep.rs`.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use livegate::shard::tls::Tls;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

/// Takes what the client has to send.
pub(crate) fn flush(client: &mut ClientConnection, wire: &mut Vec<u8>) {
    while client.wants_write() {
        client.write_tls(wire).expect("a Vec takes everything");
    }
}

/// Gives the client what the server sent; what it says is not looked at.
pub(crate) fn hear(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client
            .read_tls(&mut bytes)
            .expect("a slice gives everything");
        client.process_new_packets().expect("the server speaks TLS");
        let _ = client.reader().read_to_end(&mut Vec::new());
    }
}

/// A pair after its handshake.
pub(crate) fn connected() -> (ClientConnection, Tls) {
    let (server, client) = pair();
    let name = "localhost".try_into().expect("a plain name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a good configuration");
    let mut server = Tls::new(Arc::clone(server)).expect("a good configuration");
    for _ in 0..4 {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        flush(&mut client, &mut there);
        let heard = server.receive(&mut there, &mut Vec::new(), &mut back);
        heard.expect("the client speaks TLS");
        hear(&mut client, &back);
    }
    assert!(server.is_established() && !client.is_handshaking());
    (client, server)
}

/// The configurations of both ends.
pub(crate) fn pair() -> &'static (Arc<ServerConfig>, Arc<ClientConfig>) {
    static PAIR: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("the system gives random bytes");
        let der = made.cert.der().clone();
        let key = made.signing_key.serialize_der();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3 is built in")
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key.try_into().expect("PKCS #8"))
            .expect("the key fits the certificate");
        let mut roots = RootCertStore::empty();
        roots.add(der).expect("a certificate");
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3 is built in")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    })
}
