//! Keys, each in a type that says what it may be used for and never shows it.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// Why a text is no key. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A secret is 1 to 256 printable ASCII characters.
    #[error("a key is 1 to 256 printable ASCII characters without spaces")]
    Text,
    /// No PEM block of the right label in it.
    #[error("no PEM block \"{0}\" found")]
    Pem(&'static str),
    /// Neither a P-256 nor a secp256k1 key.
    #[error("no elliptic-curve key on P-256 or secp256k1")]
    Curve,
}

/// A v2 secret, shared with the business backend.
#[derive(Clone)]
pub struct HmacKey(hmac::Key);

impl HmacKey {
    const MAX: usize = 256;

    /// Takes the secret's text as it stands in the vendor's console: its
    /// characters are the key, hexadecimal digits are not decoded.
    ///
    /// # Errors
    /// [`KeyError::Text`].
    pub fn new(secret: &SecretString) -> Result<Self, KeyError> {
        let secret = secret.expose_secret();
        let allowed = (1..=Self::MAX).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !allowed {
            return Err(KeyError::Text);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    pub(super) fn sign(&self, text: &[u8]) -> impl AsRef<[u8]> + use<> {
        hmac::sign(&self.0, text)
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, text: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, text, mac).is_ok()
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey")
    }
}

/// A v1 public key, on P-256 or secp256k1.
#[derive(Clone)]
pub struct PublicKey(ParsedPublicKey);

/// The curves, each with what verifies and what signs on it.
const CURVES: [(&EcdsaVerificationAlgorithm, &EcdsaSigningAlgorithm); 2] = [
    (&ECDSA_P256_SHA256_ASN1, &ECDSA_P256_SHA256_ASN1_SIGNING),
    (&ECDSA_P256K1_SHA256_ASN1, &ECDSA_P256K1_SHA256_ASN1_SIGNING),
];

impl PublicKey {
    /// Reads the PEM block `PUBLIC KEY` (SPKI); the key itself says its curve.
    ///
    /// # Errors
    /// [`KeyError::Pem`] or [`KeyError::Curve`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(unescape(pem).as_bytes())
            .map_err(|_| KeyError::Pem("PUBLIC KEY"))?;
        CURVES
            .iter()
            .find_map(|(curve, _)| ParsedPublicKey::new(*curve, &spki).ok())
            .map(Self)
            .ok_or(KeyError::Curve)
    }

    pub(super) fn verifies(&self, text: &[u8], der: &[u8]) -> bool {
        self.0.verify_sig(text, der).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

/// A v1 private key, on P-256 or secp256k1. A server holds none; the command
/// line and tests sign with one.
pub struct PrivateKey(EcdsaKeyPair);

impl PrivateKey {
    /// Reads the PEM block `PRIVATE KEY` (PKCS#8); the key itself says its curve.
    ///
    /// # Errors
    /// [`KeyError::Pem`] or [`KeyError::Curve`].
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let pem = unescape(pem.expose_secret());
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::Pem("PRIVATE KEY"))?;
        let pkcs8 = pkcs8.secret_pkcs8_der();
        CURVES
            .iter()
            .find_map(|(_, curve)| EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok())
            .map(Self)
            .ok_or(KeyError::Curve)
    }

    pub(super) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.sign(&SystemRandom::new(), text).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Keys pasted from source code have their line ends written out; PEM itself
/// has no backslash.
fn unescape(pem: &str) -> Zeroizing<String> {
    let joined = Zeroizing::new(pem.replace("\\r", ""));
    Zeroizing::new(joined.replace("\\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQYFMApXjI+sDpmVr\n\
        pjEHatwhboBQ4ClhmATHqOpSrryhRANCAAQVmIfR3bIuX8RAzbfQtByCte/j5OnJ\n\
        fHBPcQHsnIff49XFSB8qOUP39d64SRWYDckjNvsWvQRjaCg8mO/StKy6\n\
        -----END PRIVATE KEY-----\n";
    const P256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFZiH0d2yLl/EQM230LQcgrXv4+Tp\n\
        yXxwT3EB7JyH3+PVxUgfKjlD9/XeuEkVmA3JIzb7Fr0EY2goPJjv0rSsug==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_pair_signs_and_verifies() {
        let private = PrivateKey::from_pem(&P256.into()).unwrap();
        let public = PublicKey::from_pem(P256_PUBLIC).unwrap();
        let signature = private.sign(b"text").unwrap();
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"test", &signature));
    }

    #[test]
    fn line_ends_of_windows_and_of_source_code_are_read() {
        for end in ["\r\n", "\\r\\n", "\\n"] {
            let pem = P256_PUBLIC.replace('\n', end);
            assert!(PublicKey::from_pem(&pem).is_ok(), "{end:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_named() {
        let missing = PublicKey::from_pem("nothing").unwrap_err();
        assert_eq!(missing, KeyError::Pem("PUBLIC KEY"));
        let wrong_kind = PrivateKey::from_pem(&P256_PUBLIC.into()).unwrap_err();
        assert_eq!(wrong_kind, KeyError::Pem("PRIVATE KEY"));
        let off_curve = P256_PUBLIC.replace("sug==", "sUg==");
        assert_eq!(
            PublicKey::from_pem(&off_curve).unwrap_err(),
            KeyError::Curve
        );
        for secret in ["", "with space", "höher", &"x".repeat(257)] {
            assert_eq!(HmacKey::new(&secret.into()).unwrap_err(), KeyError::Text);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = HmacKey::new(&"0123456789abcdef".into()).unwrap();
        let private = PrivateKey::from_pem(&P256.into()).unwrap();
        let shown = format!("{secret:?} {private:?}");
        assert_eq!(shown, "HmacKey PrivateKey");
    }
}
