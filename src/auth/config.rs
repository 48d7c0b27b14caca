//! What an operator says about apps and their keys.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::span;

/// Signatures: which apps there are and which keys count for them.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// How far ahead of this machine's clock a signature may be issued; covers
    /// clocks that differ. Default 5 minutes.
    #[serde(with = "span")]
    pub future_skew: Duration,
    /// Longest lifetime of a signature that is accepted. Default 50 years, the
    /// vendor's bound, so that no existing backend is shut out; a day suffices
    /// where backends issue afresh for each login.
    #[serde(with = "span")]
    pub max_lifetime: Duration,
    /// The apps. Each id once.
    pub apps: Vec<AppConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            future_skew: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(50 * 365 * 24 * 3600),
            apps: Vec::new(),
        }
    }
}

/// One app (tenant) and its keys. The keys that are given decide which
/// versions of signatures count: `keys` and `key_files` v2, `public_keys` and
/// `public_key_files` v1. Paths are relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppConfig {
    /// The vendor's SDKAppID, not 0.
    pub sdk_app_id: u32,
    /// v2 secrets: the current one, then the previous one while keys rotate.
    /// At most 2 together with `key_files`, each of at least 32 characters.
    pub keys: Vec<SecretText>,
    /// Files with one v2 secret each, read after `keys`.
    pub key_files: Vec<PathBuf>,
    /// v1 public keys in PEM. At most 2 together with `public_key_files`.
    pub public_keys: Vec<String>,
    /// Files with one v1 public key in PEM each.
    pub public_key_files: Vec<PathBuf>,
    /// Identifiers with an administrator's rights in this app.
    pub admins: Vec<String>,
}

impl AppConfig {
    /// The app of development mode: the vendor's published sample key, so
    /// nobody may listen with it on anything but loopback.
    pub fn development() -> Self {
        let published = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
        Self {
            sdk_app_id: 1_400_000_000,
            keys: vec![SecretText::new(published)],
            admins: vec!["administrator".to_owned()],
            ..Self::default()
        }
    }
}

/// A secret in the configuration. Is read, but written and shown as
/// `[redacted]`.
#[derive(Clone)]
pub struct SecretText(SecretString);

const REDACTED: &str = "[redacted]";

impl SecretText {
    /// Takes the secret's text.
    pub fn new(text: impl Into<SecretString>) -> Self {
        Self(text.into())
    }

    /// The secret, for whoever is to use it.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.expose_secret(), other.0.expose_secret());
        verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_but_never_written_or_shown() {
        let text = "sdk_app_id = 7\nkeys = [\"0123456789abcdef0123456789abcdef\"]\n";
        let app: AppConfig = toml::from_str(text).unwrap();
        assert_eq!(
            app.keys[0].secret().expose_secret(),
            "0123456789abcdef0123456789abcdef"
        );
        for shown in [format!("{app:?}"), toml::to_string(&app).unwrap()] {
            assert!(!shown.contains("0123456789abcdef"), "{shown}");
        }
    }

    #[test]
    fn defaults_are_written_and_read_alike() {
        let defaults = AuthConfig::default();
        let text = toml::to_string(&defaults).unwrap();
        assert!(text.contains("future_skew = \"5m\""), "{text}");
        assert_eq!(toml::from_str::<AuthConfig>(&text).unwrap(), defaults);
        assert!(toml::from_str::<AuthConfig>("futureskew = \"5m\"").is_err());
    }
}
