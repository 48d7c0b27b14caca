//! API keys: who may call.

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::{hmac, rand};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::config::BackendConfig;

/// Fewest and most characters of an API key.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// Most API keys.
const MAX_KEYS: usize = 16;

/// An API key as configured. Never shown: neither in `Debug` nor in a printed
/// configuration.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes a key as it is; [`ApiKeys::load`] checks it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(Self::new)
    }
}

impl Serialize for ApiKey {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str("(hidden)")
    }
}

/// Why the configured keys cannot be used.
#[derive(Debug, Error)]
pub enum BadKeys {
    /// A file cannot be read.
    #[error("`api_key_files`: {path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key breaks its bounds.
    #[error("{origin}: an API key is 16 to 256 visible ASCII characters")]
    Malformed {
        /// Where the key is from; never the key.
        origin: String,
    },
    /// There are more than anybody needs.
    #[error("more than {MAX_KEYS} API keys")]
    TooMany,
}

/// The keys that are accepted.
///
/// Holds no key, only what each gives under a secret of this process, so that
/// comparing takes the same time whatever is presented, and length and content
/// of the keys stay unknown.
pub struct ApiKeys {
    secret: hmac::Key,
    accepted: Vec<hmac::Tag>,
}

impl ApiKeys {
    /// Reads the keys of `config` and of the files it names.
    ///
    /// # Errors
    /// The first key that cannot be read or used.
    pub fn load(config: &BackendConfig) -> Result<Self, BadKeys> {
        let mut keys = Vec::new();
        for (n, key) in config.api_keys.iter().enumerate() {
            keys.push((format!("`api_keys[{n}]`"), key.clone()));
        }
        for path in &config.api_key_files {
            let text = std::fs::read_to_string(path).map_err(|source| BadKeys::Unreadable {
                path: path.clone(),
                source,
            })?;
            keys.push((
                format!("`api_key_files`: {}", path.display()),
                ApiKey::new(text.trim()),
            ));
        }
        if keys.len() > MAX_KEYS {
            return Err(BadKeys::TooMany);
        }
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .expect("the system gives random bytes");
        let mut accepted = Vec::with_capacity(keys.len());
        for (origin, key) in keys {
            let key = key.0.expose_secret();
            if !KEY_LENGTH.contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(BadKeys::Malformed { origin });
            }
            accepted.push(hmac::sign(&secret, key.as_bytes()));
        }
        Ok(Self { secret, accepted })
    }

    /// Whether `presented` is one of the keys. Looks at all of them, whichever
    /// fits.
    pub fn accept(&self, presented: &[u8]) -> bool {
        if !KEY_LENGTH.contains(&presented.len()) {
            return false;
        }
        self.accepted.iter().fold(false, |found, tag| {
            found | hmac::verify(&self.secret, presented, tag.as_ref()).is_ok()
        })
    }

    /// Whether there are any keys.
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.accepted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an-old-key-of-16+";
    const NEW: &str = "a-new-key-of-16-characters";

    fn config(keys: &[&str]) -> BackendConfig {
        BackendConfig {
            api_keys: keys.iter().copied().map(ApiKey::new).collect(),
            ..BackendConfig::default()
        }
    }

    #[test]
    fn while_keys_change_both_are_accepted() {
        let keys = ApiKeys::load(&config(&[OLD, NEW])).unwrap();
        assert!(keys.accept(OLD.as_bytes()));
        assert!(keys.accept(NEW.as_bytes()));
        assert!(!keys.accept(b"another-key-of-16-chars"));
        assert!(!keys.accept(&OLD.as_bytes()[..16]));
    }

    #[test]
    fn without_keys_nobody_is_accepted() {
        let keys = ApiKeys::load(&config(&[])).unwrap();
        assert!(keys.is_empty());
        assert!(!keys.accept(b""));
    }

    #[test]
    fn a_key_from_a_file_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{NEW}\n")).unwrap();
        let mut config = config(&[]);
        config.api_key_files.push(path);
        assert!(ApiKeys::load(&config).unwrap().accept(NEW.as_bytes()));
    }

    #[test]
    fn a_short_key_is_refused_by_its_place() {
        let refused = ApiKeys::load(&config(&[NEW, "short"])).unwrap_err();
        assert!(refused.to_string().contains("api_keys[1]"));
        assert!(!refused.to_string().contains("short"));
    }

    #[test]
    fn a_key_is_never_shown() {
        let config = config(&[NEW]);
        assert!(!format!("{config:?}").contains(NEW));
        assert!(!serde_json::to_string(&config).unwrap().contains(NEW));
    }
}
