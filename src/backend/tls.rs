//! TLS of the internal port, with the callers' certificates where they are
//! asked for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, VerifierBuilderError, WebPkiClientVerifier};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::config::InternalTls;

/// Longest file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// A file of the configuration that cannot be used.
#[derive(Debug, Error)]
#[error("tls.{key}: {problem}")]
pub struct BadInternalTls {
    /// Its key in the section `tls`.
    pub key: &'static str,
    /// What is wrong with it.
    #[source]
    pub problem: InternalTlsProblem,
}

/// What is wrong with a certificate, a key or an authority.
#[derive(Debug, Error)]
pub enum InternalTlsProblem {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds nothing of the kind.
    #[error("{} holds none in PEM", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be used, or does not belong to the other file.
    #[error("cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// No caller could prove anything by it.
    #[error("cannot be used: {0}")]
    Authority(#[from] VerifierBuilderError),
}

impl InternalTls {
    /// Reads the files and forgets them again.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn check(&self, base: &Path) -> Result<(), BadInternalTls> {
        Secured::open(self, base).map(drop)
    }
}

/// The port's TLS.
#[derive(Clone)]
pub(super) struct Secured(TlsAcceptor);

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secured")
    }
}

impl Secured {
    pub(super) fn open(tls: &InternalTls, base: &Path) -> Result<Self, BadInternalTls> {
        let (cert, key) = (base.join(&tls.cert), base.join(&tls.key));
        let chain = certificates(&cert).map_err(|it| bad("cert", it))?;
        let key = private_key(&key).map_err(|it| bad("key", it))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("cert", error.into()))?;
        let builder = match &tls.client_ca {
            None => versions.with_no_client_auth(),
            Some(path) => {
                let roots = roots(&base.join(path)).map_err(|it| bad("client_ca", it))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| bad("client_ca", error.into()))?;
                versions.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| bad("key", error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

fn bad(key: &'static str, problem: InternalTlsProblem) -> BadInternalTls {
    BadInternalTls { key, problem }
}

fn read(path: &Path) -> Result<Vec<u8>, InternalTlsProblem> {
    let failed = |source| InternalTlsProblem::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let mut start = File::open(path).map_err(failed)?.take(MAX_FILE);
    start.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn empty(path: &Path) -> InternalTlsProblem {
    let path = path.to_owned();
    InternalTlsProblem::Empty { path }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, InternalTlsProblem> {
    let bytes = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| empty(path))?;
    if chain.is_empty() {
        return Err(empty(path));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, InternalTlsProblem> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| empty(path))
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, InternalTlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_told_by_its_key() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        let tls = InternalTls {
            cert: "nowhere".into(),
            ..InternalTls::default()
        };
        assert_eq!(tls.check(dir.path()).unwrap_err().key, "cert");
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = dir.path().join("cert");
        std::fs::write(pem, certified.cert.pem()).unwrap();
        let mut tls = InternalTls {
            cert: "cert".into(),
            key: "empty".into(),
            client_ca: None,
        };
        assert_eq!(tls.check(dir.path()).unwrap_err().key, "key");
        let key = certified.signing_key.serialize_pem();
        std::fs::write(dir.path().join("key"), key).unwrap();
        tls.key = "key".into();
        assert!(tls.check(dir.path()).is_ok());
        tls.client_ca = Some("empty".into());
        assert_eq!(tls.check(dir.path()).unwrap_err().key, "client_ca");
        tls.client_ca = Some("cert".into());
        assert!(tls.check(dir.path()).is_ok());
    }
}
