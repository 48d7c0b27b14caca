//! API keys: who may call.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::{hmac, rand};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::config::BackendConfig;

/// Fewest and most characters of an API key.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// Most API keys.
const MAX_KEYS: usize = 16;

/// Bytes of a key file that are read: more is no key.
const MAX_KEY_FILE: u64 = 4096;

/// An API key of the configuration that cannot be used.
#[derive(Debug, Error)]
#[error("{key}: {problem}")]
pub struct BadApiKey {
    /// Its path in the section, such as `api_keys[1]`. Never the key itself.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: KeyProblem,
}

/// What is wrong with an API key.
#[derive(Debug, Error)]
pub enum KeyProblem {
    /// Its file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It breaks its bounds.
    #[error("an API key is 16 to 256 visible ASCII characters")]
    Malformed,
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
    /// Reads the keys of `config` and of the files it names, whose paths are
    /// relative to `base`.
    ///
    /// # Errors
    /// The first key that cannot be read or used.
    pub fn open(config: &BackendConfig, base: &Path) -> Result<Self, BadApiKey> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .expect("the system gives random bytes");
        let mut keys = Self {
            secret,
            accepted: Vec::new(),
        };
        for (n, key) in config.api_keys.iter().enumerate() {
            let taken = keys.take(key.secret());
            taken.map_err(|problem| bad(format!("api_keys[{n}]"), problem))?;
        }
        for (n, path) in config.api_key_files.iter().enumerate() {
            let taken = read(&base.join(path)).and_then(|key| keys.take(&key));
            taken.map_err(|problem| bad(format!("api_key_files[{n}]"), problem))?;
        }
        Ok(keys)
    }

    fn take(&mut self, key: &SecretString) -> Result<(), KeyProblem> {
        let key = key.expose_secret();
        if !KEY_LENGTH.contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyProblem::Malformed);
        }
        if self.accepted.len() == MAX_KEYS {
            return Err(KeyProblem::TooMany);
        }
        self.accepted.push(hmac::sign(&self.secret, key.as_bytes()));
        Ok(())
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

fn bad(key: String, problem: KeyProblem) -> BadApiKey {
    BadApiKey { key, problem }
}

fn read(path: &Path) -> Result<SecretString, KeyProblem> {
    let failed = |source| KeyProblem::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let mut start = file.take(MAX_KEY_FILE);
    start.read_to_string(&mut text).map_err(failed)?;
    Ok(text.trim().into())
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.accepted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SecretText;

    const OLD: &str = "an-old-key-of-16+";
    const NEW: &str = "a-new-key-of-16-characters";

    fn config(keys: &[&str]) -> BackendConfig {
        BackendConfig {
            api_keys: keys.iter().copied().map(SecretText::new).collect(),
            ..BackendConfig::default()
        }
    }

    fn open(keys: &[&str]) -> Result<ApiKeys, BadApiKey> {
        ApiKeys::open(&config(keys), Path::new(""))
    }

    #[test]
    fn while_keys_change_both_are_accepted() {
        let keys = open(&[OLD, NEW]).unwrap();
        assert!(keys.accept(OLD.as_bytes()));
        assert!(keys.accept(NEW.as_bytes()));
        assert!(!keys.accept(b"another-key-of-16-chars"));
        assert!(!keys.accept(&OLD.as_bytes()[..16]));
    }

    #[test]
    fn without_keys_nobody_is_accepted() {
        let keys = open(&[]).unwrap();
        assert!(keys.is_empty());
        assert!(!keys.accept(b""));
    }

    #[test]
    fn a_key_from_a_file_beside_the_configuration_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), format!("{NEW}\n")).unwrap();
        let mut config = config(&[]);
        config.api_key_files.push("key".into());
        let keys = ApiKeys::open(&config, dir.path()).unwrap();
        assert!(keys.accept(NEW.as_bytes()));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_by_its_place() {
        let refused = open(&[NEW, "short"]).unwrap_err();
        assert_eq!(refused.key, "api_keys[1]");
        assert!(!refused.to_string().contains("short"));
        let mut config = config(&[]);
        config.api_key_files.push("nowhere".into());
        let refused = ApiKeys::open(&config, Path::new("")).unwrap_err();
        assert_eq!(refused.key, "api_key_files[0]");
    }
}
