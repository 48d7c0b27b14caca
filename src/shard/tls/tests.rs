//! A handmade client that says what rustls's own never would: half messages,
//! messages cut over records, key updates in pieces.

use std::sync::Arc;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use proptest::prelude::*;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, ConnectionTrafficSecrets, RootCertStore};

use super::*;

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const DATA: u8 = 23;
const KEY_UPDATE_REQUESTED: [u8; 5] = [24, 0, 0, 1, 1];
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

#[test]
fn data_goes_both_ways_however_it_is_cut() {
    for cut in [1, 2, 5, 7, 100, 100_000] {
        let (mut client, mut server) = connected();
        let mut wire = client.record(DATA, b"hello ");
        wire.extend(client.record(DATA, b"world"));
        let heard = server.hear_in_pieces(&wire, cut).unwrap();
        assert_eq!(heard.plain, b"hello world");
        assert_eq!(server.0.retained_len(), 0);
        let mut out = Vec::new();
        server.0.seal(&[9; 40_000], &mut out).unwrap();
        assert_eq!(client.open_data(&out), vec![9; 40_000]);
    }
}

#[test]
fn half_a_key_update_followed_by_writes_harms_nothing() {
    let (mut client, mut server) = connected();
    for at in 1..KEY_UPDATE.len() {
        let (first, second) = KEY_UPDATE_REQUESTED.split_at(at);
        let half = client.record(HANDSHAKE, first);
        server.hear(&half).unwrap();
        assert!(server.0.retained_len() > 0);
        // The call that panics inside rustls when it is given an empty slice.
        let mut out = Vec::new();
        server.0.seal(b"in between", &mut out).unwrap();
        assert_eq!(client.open_data(&out), b"in between");
        let rest = client.record(HANDSHAKE, second);
        server.hear(&rest).unwrap();
        client.rekey_sending();
        assert_eq!(server.0.retained_len(), 0);
        let wire = client.record(DATA, b"new keys");
        assert_eq!(server.hear(&wire).unwrap().plain, b"new keys");
        // The update that was asked for goes out ahead of the next data.
        out.clear();
        server.0.seal(b"answer", &mut out).unwrap();
        assert_eq!(client.open_data(&out), b"answer");
    }
}

#[test]
fn data_between_two_halves_of_a_message_ends_the_connection_with_an_alert() {
    let (mut client, mut server) = connected();
    let mut wire = client.record(HANDSHAKE, &KEY_UPDATE[..2]);
    wire.extend(client.record(DATA, b"no"));
    let refused = server.hear(&wire).unwrap_err();
    assert!(matches!(refused, TlsError::Rustls(_)), "{refused}");
    let mut out = Vec::new();
    assert!(matches!(
        server.0.seal(b"x", &mut out),
        Err(TlsError::Failed)
    ));
    assert!(matches!(server.hear(b"more"), Err(TlsError::Failed)));
}

#[test]
fn what_is_retained_has_a_limit() {
    let (mut client, mut server) = connected();
    // A handshake message that never ends, four bytes a record.
    let mut announced = vec![24, 0, 255, 255];
    let refused = loop {
        let wire = client.record(HANDSHAKE, &announced);
        announced = vec![0; 4];
        if let Err(error) = server.hear(&wire) {
            break error;
        }
        let mut out = Vec::new();
        server.0.seal(b"still served", &mut out).unwrap();
        assert!(server.0.retained_len() <= MAX_RETAINED);
    };
    assert!(
        matches!(refused, TlsError::Retained(n) if n > MAX_RETAINED),
        "{refused}"
    );
}

#[test]
fn a_broken_record_is_answered_by_an_alert() {
    let (mut client, mut server) = connected();
    let mut wire = client.record(DATA, b"hello");
    *wire.last_mut().unwrap() ^= 1;
    let mut out = Vec::new();
    let refused = server.0.receive(&mut wire, &mut Vec::new(), &mut out);
    assert!(refused.is_err());
    let (kind, alert) = client.open(&out).remove(0);
    assert_eq!((kind, alert), (ALERT, vec![2, 20]), "fatal, bad_record_mac");
}

#[test]
fn a_close_notify_ends_reading_after_the_data_before_it() {
    let (mut client, mut server) = connected();
    let mut wire = client.record(DATA, b"bye");
    wire.extend(client.record(ALERT, &[1, 0]));
    wire.extend(client.record(DATA, b"ignored"));
    assert_eq!(server.hear(&wire).unwrap().plain, b"bye");
    assert!(server.0.peer_closed());
    assert_eq!(server.0.retained_len(), 0);
    let mut out = Vec::new();
    server.0.seal(b"last word", &mut out).unwrap();
    server.0.close_notify(&mut out).unwrap();
    let opened = client.open(&out);
    assert_eq!(opened, [(DATA, b"last word".to_vec()), (ALERT, vec![1, 0])]);
    assert!(server.0.seal(b"x", &mut out).is_err());
}

#[test]
fn nothing_is_sealed_before_the_handshake() {
    let (server, _) = configs();
    let mut tls = Tls::new(server).unwrap();
    let mut out = Vec::new();
    assert!(matches!(
        tls.seal(b"early", &mut out),
        Err(TlsError::NotOpen)
    ));
    assert!(out.is_empty());
}

/// One thing that a hostile peer, or the server itself, may do next.
#[derive(Debug, Clone)]
enum Move {
    Record { kind: u8, body: Vec<u8> },
    Rekey,
    Raw(Vec<u8>),
    Seal(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    let piece = prop_oneof![
        Just(KEY_UPDATE.to_vec()),
        (1usize..5).prop_map(|n| KEY_UPDATE[..n].to_vec()),
        (1usize..5).prop_map(|n| KEY_UPDATE[n..].to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let kind = prop_oneof![3 => Just(HANDSHAKE), 3 => Just(DATA), 1 => Just(ALERT), 1 => Just(20)];
    prop_oneof![
        6 => (kind, piece).prop_map(|(kind, body)| Move::Record { kind, body }),
        2 => Just(Move::Rekey),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Move::Raw),
        4 => (0usize..2_000).prop_map(Move::Seal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_records_and_writes_panics(
        moves in prop::collection::vec(moves(), 1..40),
        cut in 1usize..200,
    ) {
        let (mut client, mut server) = connected();
        let mut out = Vec::new();
        for m in moves {
            let wire = match m {
                Move::Record { kind, body } => client.record(kind, &body),
                Move::Rekey => {
                    let wire = client.record(HANDSHAKE, &KEY_UPDATE);
                    client.rekey_sending();
                    wire
                }
                Move::Raw(bytes) => bytes,
                Move::Seal(n) => {
                    out.clear();
                    let _ = server.0.seal(&vec![1; n], &mut out);
                    continue;
                }
            };
            let _ = server.hear_in_pieces(&wire, cut);
            prop_assert!(server.0.retained_len() <= MAX_RETAINED || server.0.failed);
        }
    }

    #[test]
    fn no_first_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50) {
        let (config, _) = configs();
        let mut server = Server(Tls::new(config).unwrap());
        let _ = server.hear_in_pieces(&bytes, cut);
        let _ = server.0.seal(b"x", &mut Vec::new());
    }
}

/// A configured pair: one certificate, trusted by the client.
pub(crate) fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: std::sync::OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> =
        std::sync::OnceLock::new();
    CONFIGS.get_or_init(make_configs).clone()
}

fn make_configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let der: CertificateDer<'static> = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

struct Server(Tls);

#[derive(Debug)]
struct Heard {
    plain: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    fn hear(&mut self, wire: &[u8]) -> Result<Heard, TlsError> {
        self.hear_in_pieces(wire, usize::MAX)
    }

    fn hear_in_pieces(&mut self, wire: &[u8], cut: usize) -> Result<Heard, TlsError> {
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        for piece in wire.chunks(cut) {
            self.0.receive(&mut piece.to_vec(), &mut plain, &mut out)?;
        }
        Ok(Heard { plain, out })
    }
}

/// A client after its handshake, with its record layer in the test's hands.
struct Client {
    kernel: KernelConnection<ClientConnectionData>,
    tx: Half,
    rx: Half,
}

struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    seq: u64,
}

fn connected() -> (Client, Server) {
    let (server_config, client_config) = configs();
    let mut server = Server(Tls::new(server_config).unwrap());
    let name = "localhost".try_into().unwrap();
    let mut conn = UnbufferedClientConnection::new(client_config, name).unwrap();
    let mut incoming = Vec::new();
    while !(drive(&mut conn, &mut incoming, &mut server) && server.0.is_established()) {}
    let (secrets, kernel) = conn.dangerous_into_kernel_connection().unwrap();
    let mut client = Client {
        kernel,
        tx: Half::new(secrets.tx),
        rx: Half::new(secrets.rx),
    };
    // The tickets that came after the handshake.
    let tickets = client.open(&incoming);
    assert!(tickets.iter().all(|(kind, _)| *kind == HANDSHAKE));
    (client, server)
}

/// One round of the client's handshake; true when it may send data.
fn drive(
    conn: &mut UnbufferedClientConnection,
    incoming: &mut Vec<u8>,
    server: &mut Server,
) -> bool {
    let mut outgoing = Vec::new();
    let done = loop {
        let UnbufferedStatus { discard, state } = conn.process_tls_records(incoming);
        let done = match state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let mut room = vec![0; 8_192];
                let n = data.encode(&mut room).unwrap();
                outgoing.extend_from_slice(&room[..n]);
                None
            }
            ConnectionState::TransmitTlsData(transmit) => {
                transmit.done();
                None
            }
            ConnectionState::BlockedHandshake => Some(false),
            ConnectionState::WriteTraffic(_) => Some(true),
            other => panic!("unexpected {other:?}"),
        };
        incoming.drain(..discard);
        if let Some(done) = done {
            break done;
        }
    };
    // Byte by byte: the handshake too must not mind how it is cut.
    let heard = server.hear_in_pieces(&outgoing, 1).unwrap();
    incoming.extend_from_slice(&heard.out);
    done
}

impl Half {
    fn new((seq, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => panic!("unknown cipher"),
        };
        Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap()),
            iv: iv.as_ref().try_into().unwrap(),
            seq,
        }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, seq) in nonce[4..].iter_mut().zip(self.seq.to_be_bytes()) {
            *byte ^= seq;
        }
        self.seq += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Client {
    /// One record of any content type.
    fn record(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut inner = body.to_vec();
        inner.push(kind);
        let len = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [DATA, 3, 3, len[0], len[1]];
        let nonce = self.tx.nonce();
        let key = &self.tx.key;
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut inner)
            .unwrap();
        [&header[..], &inner].concat()
    }

    fn rekey_sending(&mut self) {
        self.tx = Half::new(self.kernel.update_tx_secret().unwrap());
    }

    /// Opens the server's records, following its key updates.
    fn open(&mut self, mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut records = Vec::new();
        while let Some((header, rest)) = wire.split_first_chunk::<5>() {
            let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let (body, rest) = rest.split_at(len);
            wire = rest;
            let mut body = body.to_vec();
            let nonce = self.rx.nonce();
            let inner = self
                .rx
                .key
                .open_in_place(nonce, Aad::from(*header), &mut body)
                .unwrap();
            let (kind, body) = inner.split_last().unwrap();
            if *kind == HANDSHAKE && body[0] == 24 {
                self.rx = Half::new(self.kernel.update_rx_secret().unwrap());
            }
            records.push((*kind, body.to_vec()));
        }
        records
    }

    fn open_data(&mut self, wire: &[u8]) -> Vec<u8> {
        let records = self.open(wire).into_iter();
        let data = records.filter(|(kind, _)| *kind == DATA);
        data.flat_map(|(_, body)| body).collect()
    }
}
