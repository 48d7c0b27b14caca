//! TLS of both transports: one certificate, one policy.
//!
//! Invariants: the crypto provider is given explicitly, never the process's;
//! early data is off, so nothing of a client can be replayed; the certificate
//! is looked up at each handshake, so that a reload needs no restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::config::TlsConfig;

/// The protocol of native frames, on both transports.
pub const ALPN: &[u8] = b"livegate/1";

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsSetupError {
    /// rustls refuses the configuration.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
    /// QUIC needs a cipher suite that is not there.
    #[error("quic: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The certificate in force, whatever name the client asks for.
#[derive(Debug)]
pub struct Current(ArcSwap<CertifiedKey>);

impl Current {
    /// Starts with `key`.
    pub fn new(key: Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(key)))
    }

    /// The certificate that the next handshake gets.
    pub fn in_force(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }

    /// Uses `key` from the next handshake on.
    pub fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force())
    }
}

/// The primitives that TLS may use.
pub fn provider(config: &TlsConfig) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !config.post_quantum {
        let hybrid = NamedGroup::X25519MLKEM768;
        provider.kx_groups.retain(|group| group.name() != hybrid);
    }
    Arc::new(provider)
}

/// TLS over TCP.
///
/// # Errors
/// When rustls refuses the configuration.
pub fn tcp_config(
    config: &TlsConfig,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let with_12 = &[&rustls::version::TLS13, &rustls::version::TLS12][..];
    let only_13 = &[&rustls::version::TLS13][..];
    let versions = if config.tls12 { with_12 } else { only_13 };
    server_config(versions, provider, current).map(Arc::new)
}

/// TLS within QUIC: always 1.3.
///
/// # Errors
/// When rustls or quinn refuses the configuration.
pub fn quic_config(
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
) -> Result<quinn::crypto::rustls::QuicServerConfig, TlsSetupError> {
    let config = server_config(&[&rustls::version::TLS13], provider, current)?;
    Ok(quinn::crypto::rustls::QuicServerConfig::try_from(config)?)
}

fn server_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
) -> Result<ServerConfig, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    // One is enough for the next connection, and half the bytes.
    config.send_tls13_tickets = 1;
    // Already rustls's default; a replayed login must never become possible.
    config.max_early_data_size = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::CertFiles;

    fn config_of(tls: &TlsConfig) -> Arc<ServerConfig> {
        let dir = tempfile::tempdir().unwrap();
        let files = CertFiles::in_dir(dir.path());
        files.make(&[]).unwrap();
        let provider = provider(tls);
        let current = Current::new(files.load(&provider).unwrap());
        assert!(quic_config(Arc::clone(&provider), Arc::clone(&current)).is_ok());
        tcp_config(tls, provider, current).unwrap()
    }

    #[test]
    fn early_data_is_off_and_tickets_are_on() {
        let config = config_of(&TlsConfig::default());
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.ticketer.enabled());
        assert_eq!(config.alpn_protocols, [ALPN]);
    }

    #[test]
    fn the_hybrid_key_exchange_is_first_unless_switched_off() {
        let groups = |post_quantum| {
            let tls = TlsConfig {
                post_quantum,
                ..TlsConfig::default()
            };
            provider(&tls)
                .kx_groups
                .iter()
                .map(|g| g.name())
                .collect::<Vec<_>>()
        };
        assert_eq!(groups(true)[0], NamedGroup::X25519MLKEM768);
        assert!(!groups(false).contains(&NamedGroup::X25519MLKEM768));
        assert!(groups(false).contains(&NamedGroup::X25519));
    }
}
