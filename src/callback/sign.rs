//! Signs what is posted, so that a backend knows who says it and when.
//!
//! `livegate-signature: v1=HEX[,v1=HEX]`, where HEX is the HMAC-SHA256 of
//! `event id . timestamp . body` (joined by full stops) under one of the app's
//! secrets. A backend accepts when any of them is its own, and refuses a
//! timestamp that is far from its clock.

use std::fmt::{self, Write};

use aws_lc_rs::{digest, hmac};
use secrecy::{ExposeSecret as _, SecretString};

/// Header: the event's id, by which a backend knows repeats.
pub const EVENT_ID: &str = "livegate-event-id";
/// Header: when this attempt was made, Unix seconds.
pub const TIMESTAMP: &str = "livegate-timestamp";
/// Header: the signatures.
pub const SIGNATURE: &str = "livegate-signature";

/// Signs with an app's secrets.
pub struct Signer(Vec<hmac::Key>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}

impl Signer {
    /// Signs with each of the secrets, in their order.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let key = |secret: &SecretString| {
            hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())
        };
        Self(secrets.into_iter().map(key).collect())
    }

    /// The value of [`SIGNATURE`] for an attempt at `timestamp` (Unix seconds).
    pub fn sign(&self, event_id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut value = String::with_capacity(self.0.len() * 68);
        for key in &self.0 {
            let mut context = hmac::Context::with_key(key);
            context.update(event_id.as_bytes());
            context.update(b".");
            context.update(timestamp.to_string().as_bytes());
            context.update(b".");
            context.update(body);
            let separator = if value.is_empty() { "v1=" } else { ",v1=" };
            value.push_str(separator);
            for byte in context.sign().as_ref() {
                let _ = write!(value, "{byte:02x}");
            }
        }
        value
    }
}

/// The vendor's signature: `Sign` for an attempt at `timestamp` (Unix seconds).
pub fn vendor_sign(token: &SecretString, timestamp: u64) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(token.expose_secret().as_bytes());
    context.update(timestamp.to_string().as_bytes());
    let mut sign = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(sign, "{byte:02x}");
    }
    sign
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_signature_is_that_of_its_documentation() {
        let sign = vendor_sign(&SecretString::from("xxxxyyyy"), 1_669_872_112);
        let documented = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061";
        assert_eq!(sign, documented);
    }

    /// Computed by openssl: `printf 'e1.1700000000.{}' | openssl dgst -sha256 -hmac SECRET`.
    #[test]
    fn the_signature_is_what_openssl_computes() {
        let secrets = ["0123456789abcdef", "fedcba9876543210"].map(SecretString::from);
        let signed = Signer::new(&secrets).sign("e1", 1_700_000_000, b"{}");
        let expected = concat!(
            "v1=8f0fc9d2372c6cc1e05e6d1abffccf42564f70c9e5972f78c6e0cd65245192d3",
            ",v1=06ffffdeb4d73f6a149db4bb4298327ed2fe983607877557087fb5f03dadb93e"
        );
        assert_eq!(signed, expected);
        let document = include_str!("../../docs/callbacks.md");
        let (first, _) = expected.split_once(',').unwrap();
        assert!(document.contains(first));
    }
}
