//! Settings of the internal port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::auth::ApiKey;

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
    pub api_keys: Vec<ApiKey>,
    /// Files that hold one API key each; white space around it is ignored.
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

/// Why the settings of the internal port cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BackendConfigError {
    /// Other machines would reach a port without TLS.
    #[error(
        "`bind` is {0}, which other machines reach, and the internal port has no TLS: \
         bind a loopback address, or set `allow_plain_remote = true` if the network is trusted"
    )]
    Remote(SocketAddr),
    /// A limit or deadline of 0 would let nothing through.
    #[error("`{0}` is 0: at least 1 is needed")]
    Zero(&'static str),
}

impl BackendConfig {
    /// Checks the settings before anything is bound.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), BackendConfigError> {
        if !self.bind.ip().is_loopback() && !self.allow_plain_remote {
            return Err(BackendConfigError::Remote(self.bind));
        }
        let limits = [
            ("max_connections", self.max_connections == 0),
            ("max_streams", self.max_streams == 0),
            ("max_body_bytes", self.max_body_bytes == 0),
            ("header_deadline", self.header_deadline.is_zero()),
            ("request_deadline", self.request_deadline.is_zero()),
        ];
        match limits.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(BackendConfigError::Zero(name)),
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
        assert_eq!(
            config.validate(),
            Err(BackendConfigError::Remote(config.bind))
        );
        config.allow_plain_remote = true;
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_is_named() {
        let config = BackendConfig {
            max_streams: 0,
            ..BackendConfig::default()
        };
        assert_eq!(
            config.validate(),
            Err(BackendConfigError::Zero("max_streams"))
        );
    }
}
