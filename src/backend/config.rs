//! Settings of the internal port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::auth::SecretText;

/// The internal port: v4 JSON and gRPC for business backends, health and
/// metrics.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackendConfig {
    /// Where it listens. Loopback, unless `allow_plain_remote` is set.
    pub bind: SocketAddr,
    /// Allows an address that other machines reach, without TLS: only where
    /// the network itself is trusted, for keys and signatures travel in the
    /// clear.
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
    /// The v4 JSON API.
    pub v4: V4Config,
    /// TLS of this port; absent: plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<InternalTls>,
}

/// The v4 JSON API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct V4Config {
    /// How long a call may take; then it is answered 60008. What it began is
    /// not taken back.
    #[serde(with = "crate::clock::span")]
    pub deadline: Duration,
    /// Calls a second of one app to one command; more are answered 60007.
    pub calls_per_second: u32,
    /// Broadcasts to all rooms a second of one app; more are answered 10023.
    pub broadcasts_per_second: u32,
    /// Whether `delete_group_member` takes a member out of an AVChatRoom. The
    /// vendor's answers 10004 there, and so does livegate unless this is set.
    pub remove_members: bool,
}

impl Default for V4Config {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            calls_per_second: 200,
            broadcasts_per_second: 1,
            remove_members: false,
        }
    }
}

/// Certificate and key of the internal port. Paths are relative to the
/// configuration file; the files are read at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InternalTls {
    /// The chain in PEM.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
    /// The authorities in PEM whose certificates callers must present; absent:
    /// callers present none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
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
            v4: V4Config::default(),
            tls: None,
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
     configure [internal.tls], bind a loopback address, or set allow_plain_remote = true where the network is trusted";

const LATE: &str = "must not exceed request_deadline: a v4 call is answered, not cut off";

impl BackendConfig {
    /// Checks the settings before anything is bound.
    ///
    /// # Errors
    /// [`BadBackendConfig`] names the first key that cannot be used.
    pub fn validate(&self) -> Result<(), BadBackendConfig> {
        let zero = "must not be 0";
        let secret = self.tls.is_some() || self.allow_plain_remote;
        let near = self.bind.ip().is_loopback() || secret;
        let rules = [
            ("bind", near, REMOTE),
            ("max_connections", self.max_connections > 0, zero),
            ("max_streams", self.max_streams > 0, zero),
            ("max_body_bytes", self.max_body_bytes > 0, zero),
            ("header_deadline", !self.header_deadline.is_zero(), zero),
            ("request_deadline", !self.request_deadline.is_zero(), zero),
            ("v4.deadline", !self.v4.deadline.is_zero(), zero),
            (
                "v4.deadline",
                self.v4.deadline <= self.request_deadline,
                LATE,
            ),
            ("v4.calls_per_second", self.v4.calls_per_second > 0, zero),
            (
                "v4.broadcasts_per_second",
                self.v4.broadcasts_per_second > 0,
                zero,
            ),
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
        config.allow_plain_remote = false;
        config.tls = Some(InternalTls::default());
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
