//! Trust and the TLS client configurations made of it.
//!
//! TLS 1.3 only, crypto by aws-lc-rs, early data off. Tickets are kept for
//! resumption, apart for TCP and QUIC: a ticket of one does not fit the other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use livegate_proto::ALPN;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use thiserror::Error;

/// Servers whose tickets are remembered.
const TICKET_SERVERS: usize = 64;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read or holds no PEM.
    #[error("cannot read certificates from {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What failed.
        source: pem::Error,
    },
    /// The text is no PEM.
    #[error("cannot read certificates: {0}")]
    Pem(pem::Error),
    /// There is no certificate to trust.
    #[error("no certificate found")]
    NoCertificate,
    /// A certificate cannot be used as a root, or the provider lacks a suite.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The provider lacks the suite that QUIC starts with.
    #[error(transparent)]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The certificates that are trusted: authorities, or a server's own
/// self-signed certificate. Cheap to clone.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Trusts every certificate in a PEM file, such as the development
    /// certificate that `livegate serve --dev` writes.
    ///
    /// # Errors
    /// When the file cannot be read or holds no usable certificate.
    pub fn pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let at = |source| TlsError::File {
            path: path.to_owned(),
            source,
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).map_err(at)?.collect();
        Self::certificates(certificates.map_err(at)?)
    }

    /// Trusts every certificate in a PEM text.
    ///
    /// # Errors
    /// When the text holds no usable certificate.
    pub fn pem(text: &[u8]) -> Result<Self, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        Self::certificates(certificates.map_err(TlsError::Pem)?)
    }

    /// Trusts these certificates.
    ///
    /// # Errors
    /// When there is none, or one cannot be a root.
    pub fn certificates(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate)?;
        }
        if store.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Ok(Self(Arc::new(store)))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({} certificates)", self.0.len())
    }
}

/// A TLS configuration that trusts `roots` and speaks the native framing.
pub(crate) fn config(roots: &Roots, resume: bool) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::clone(&roots.0))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = if resume {
        Resumption::in_memory_sessions(TICKET_SERVERS)
    } else {
        Resumption::disabled()
    };
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        assert!(matches!(
            Roots::pem(b"no certificate here"),
            Err(TlsError::NoCertificate)
        ));
        assert!(matches!(
            Roots::pem_file("does/not/exist.pem"),
            Err(TlsError::File { .. })
        ));
    }

    #[test]
    fn a_self_signed_certificate_is_accepted_as_root() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let roots = Roots::pem(made.cert.pem().as_bytes()).unwrap();
        assert!(config(&roots, true).is_ok());
    }
}
