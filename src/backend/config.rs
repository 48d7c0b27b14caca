//! Settings of the internal port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::auth::SecretText;

/// The internal port: gRPC for business backends, health and metrics.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackendConfig {
    /// Where it listens. Loopback, unless `allow_plain_remote` is set.
    pub bind: SocketAddr,
    /// Allows an address that other machines reach, without TLS: only where
    /// the network itself is trusted, for API keys travel in the clear.
    pub allow_plain_remote: bool,
    /// API keys that business backends may call with, 16 to 256 visible ASCII
    /// characters each. Several, so that they can be changed one after another.
    /// None, here and in the files: every call is refused.
    pub api_keys: Vec<SecretText>,
    /// Files that hold one API key each, relative to the configuration file;
    /// white space around a key is ignored.
    pub api_key_files: Vec<PathBuf>,
    /// Most connections at a time; more wait to be accepted.
    pub max_connections: usize,
    /// Most requests in flight on one HTTP/2 connection.
    pub max_streams: u32,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// How long a connection may take for its first request's head, and later
    /// be idle between requests.
    #[serde(with = "crate::clock::span")]
    pub header_deadline: Duration,
    /// How long a request may take in all.
    #[serde(with = "crate::clock::span")]
    pub request_deadline: Duration,
    /// How long requests in flight are waited for when the gateway stops.
    #[serde(with = "crate::clock::span")]
    pub stop_grace: Duration,
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)),
            allow_plain_remote: false,
            api_keys: Vec::new(),
            api_key_files: Vec::new(),
            max_connections: 256,
            max_streams: 128,
            max_body_bytes: 1 << 20,
            header_deadline: Duration::from_secs(30),
            request_deadline: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// A value that parses but cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{key} {problem}")]
pub struct BadBackendConfig {
    /// The key, relative to the section.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

const REMOTE: &str = "is an address that other machines reach, and this port has no TLS: \
     bind a loopback address, or set allow_plain_remote = true where the network is trusted";

impl BackendConfig {
    /// Checks the settings before anything is bound.
    ///
    /// # Errors
    /// [`BadBackendConfig`] names the first key that cannot be used.
    pub fn validate(&self) -> Result<(), BadBackendConfig> {
        let zero = "must not be 0";
        let near = self.bind.ip().is_loopback() || self.allow_plain_remote;
        let rules = [
            ("bind", near, REMOTE),
            ("max_connections", self.max_connections > 0, zero),
            ("max_streams", self.max_streams > 0, zero),
            ("max_body_bytes", self.max_body_bytes > 0, zero),
            ("header_deadline", !self.header_deadline.is_zero(), zero),
            ("request_deadline", !self.request_deadline.is_zero(), zero),
        ];
        match rules.iter().find(|(_, holds, _)| !holds) {
            Some(&(key, _, problem)) => Err(BadBackendConfig { key, problem }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_network_needs_an_explicit_word() {
        let mut config = BackendConfig::default();
        assert_eq!(config.validate(), Ok(()));
        config.bind = "0.0.0.0:7080".parse().unwrap();
        assert_eq!(config.validate().unwrap_err().key, "bind");
        config.allow_plain_remote = true;
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_is_named() {
        let config = BackendConfig {
            max_streams: 0,
            ..BackendConfig::default()
        };
        assert_eq!(config.validate().unwrap_err().key, "max_streams");
    }

    #[test]
    fn defaults_are_written_and_read_alike() {
        let defaults = BackendConfig::default();
        let text = toml::to_string(&defaults).unwrap();
        assert_eq!(toml::from_str::<BackendConfig>(&text).unwrap(), defaults);
    }
}
