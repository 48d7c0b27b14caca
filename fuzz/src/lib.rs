//! What is done with a fuzzer's bytes, and what must hold then.
//!
//! Used by libFuzzer (`fuzz_targets/`) and, without a fuzzer, by
//! `tests/fuzz_smoke.rs`. A body panics when something does not hold.

mod frame_stream;
mod session_machine;
mod tls_pair;

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use livegate::auth::{AppConfig, AuthConfig, KeyRing, SecretText};
use livegate::clock::Unix;
use livegate::id::AppId;
use livegate::session::{Prelogin, PreloginStep};
use livegate::shard::tls::{MAX_RETAINED, Tls};
use livegate_proto::Message as _;
use livegate_proto::client::ClientFrame;
use livegate_proto::codec::{self, MAX_CLIENT_FRAME, Split};

pub use frame_stream::frame_stream;
pub use session_machine::session_machine;
use tls_pair::{connected, flush, hear, pair};

/// The app whose key the bodies know.
pub const APP: AppId = AppId(1_400_000_000);
/// The time that it is for them.
pub const NOW: Unix = Unix(1_800_000_000_000);

/// Framing: what is split off is what was there, within the limit; what
/// decodes encodes again to something that decodes to the same.
pub fn frame(data: &[u8]) {
    let mut rest = data;
    while let Ok(Split::Frame { end }) = codec::split(rest, MAX_CLIENT_FRAME) {
        assert!(end <= rest.len() && end <= MAX_CLIENT_FRAME + codec::PREFIX_LEN);
        if let Ok(frame) = codec::decode::<ClientFrame>(&rest[codec::PREFIX_LEN..end]) {
            let again = codec::decode::<ClientFrame>(&frame.encode_to_vec());
            assert_eq!(again.as_ref(), Ok(&frame));
        }
        rest = &rest[end..];
    }
}

/// Before login: few frames are answered, and a connection is refused or goes
/// on; nobody is logged in by bytes alone.
pub fn prelogin(data: &[u8]) {
    let mut state = Prelogin::default();
    for body in data.chunks(600).take(16) {
        match state.on_frame(body, NOW) {
            PreloginStep::Quiet | PreloginStep::Pong(_) => {}
            PreloginStep::Login(login, request_id) => {
                assert!(request_id != 0);
                let ring = ring();
                let app = AppId(login.sdk_app_id);
                let verdict = ring.verify(app, Some(&login.user_id), &login.user_sig, NOW);
                assert!(verdict.is_err(), "bytes of a fuzzer made a signature");
            }
            PreloginStep::Refuse { .. } => return,
        }
    }
}

/// Signatures: text that was not issued is never accepted, for anybody.
pub fn signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(ring().verify(APP, None, &text, NOW).is_err());
    assert!(
        ring()
            .verify(APP, Some("administrator"), &text, NOW)
            .is_err()
    );
}

/// TLS before the handshake: a stranger's first bytes, cut anyhow.
pub fn hello(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let mut tls = Tls::new(Arc::clone(&pair().0)).expect("a good configuration");
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        if tls
            .receive(&mut piece.to_vec(), &mut plain, &mut out)
            .is_err()
        {
            break;
        }
        assert!(tls.retained_len() <= MAX_RETAINED);
        assert!(
            tls.seal(b"early", &mut out).is_err(),
            "spoke before the handshake"
        );
    }
    assert!(plain.is_empty(), "strangers' bytes were taken for data");
}

/// TLS after the handshake: data, key updates and garbage, cut anyhow, with
/// writes in between. While nothing was garbled, all data arrives in order.
pub fn record(data: &[u8]) {
    let (mut client, mut server) = connected();
    let (mut sent, mut heard) = (Vec::new(), Vec::new());
    let mut wire = Vec::new();
    let mut garbled = false;
    for pair in data.chunks_exact(2).take(200) {
        let (what, size) = (pair[0] % 5, pair[1]);
        match what {
            0 => {
                let text = vec![size; usize::from(size)];
                client.writer().write_all(&text).expect("a buffer takes it");
                sent.extend(text);
            }
            1 if client.refresh_traffic_keys().is_err() => return,
            1 => {}
            2 => {
                // A piece arrives.
                flush(&mut client, &mut wire);
                let piece = wire.len().min(usize::from(size));
                let mut piece: Vec<u8> = wire.drain(..piece).collect();
                if server
                    .receive(&mut piece, &mut heard, &mut Vec::new())
                    .is_err()
                {
                    assert!(garbled, "sound bytes were refused");
                    return;
                }
            }
            3 => {
                let mut out = Vec::new();
                if server.seal(&vec![1; usize::from(size)], &mut out).is_err() {
                    return;
                }
                hear(&mut client, &out);
            }
            _ => {
                flush(&mut client, &mut wire);
                if let Some(byte) = wire.last_mut().filter(|_| size > 250) {
                    *byte ^= size;
                    garbled = true;
                }
            }
        }
        assert!(server.retained_len() <= MAX_RETAINED);
    }
    flush(&mut client, &mut wire);
    if server
        .receive(&mut wire, &mut heard, &mut Vec::new())
        .is_ok()
        && !garbled
    {
        assert_eq!(heard, sent);
    }
}

/// A key that nobody signs with here.
fn ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| {
        let app = AppConfig {
            sdk_app_id: APP.0,
            keys: vec![SecretText::new("f".repeat(64))],
            ..AppConfig::default()
        };
        let config = AuthConfig {
            apps: vec![app],
            ..AuthConfig::default()
        };
        KeyRing::open(&config, Path::new("")).expect("one good key")
    })
}
