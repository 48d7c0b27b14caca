//! What a QUIC endpoint keeps over restarts: the key of its stateless resets.
//!
//! A gateway that was killed has forgotten its connections. To their packets
//! the next process answers with stateless resets (RFC 9000, 10.3), which the
//! clients believe only when both processes derive the tokens from one key; so
//! they come back at their next packet instead of after a silence.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

/// Bytes of a connection id: random, so that nobody can link two of them.
const ID_LEN: usize = 8;

/// Least time between two resets; quinn's own 20 ms would keep the last of
/// 10,000 clients waiting for more than three minutes after a restart.
const RESET_EVERY: Duration = Duration::from_millis(1);

/// The endpoint of a gateway with this private key (its file's bytes).
pub(crate) fn endpoint_config(private_key: &[u8]) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, private_key);
    let derived = hmac::sign(&secret, b"livegate quic stateless reset");
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    // quinn's own generator takes ids of an earlier process for garbage.
    config
        .cid_generator(|| Box::new(RandomIds))
        .min_reset_interval(RESET_EVERY);
    config
}

/// Connection ids of nothing but randomness.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_LEN];
        // Fails only before the system has any randomness; then no handshake
        // succeeds either.
        let _ = rand::fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
