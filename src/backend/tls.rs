//! TLS of the internal port, with the callers' certificates where they are
//! asked for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, VerifierBuilderError, WebPkiClientVerifier};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::config::InternalTls;
use crate::telemetry::Metrics;

/// Longest file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// How often the files are looked at without being asked to.
const LOOK_EVERY: Duration = Duration::from_secs(30);

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
        self.configure(&self.read(base)?).map(drop)
    }

    fn read(&self, base: &Path) -> Result<Contents, BadInternalTls> {
        let file = |key, path: &Path| read(&base.join(path)).map_err(|it| bad(key, it));
        let client_ca = self.client_ca.as_deref();
        Ok(Contents {
            cert: file("cert", &self.cert)?,
            key: file("key", &self.key)?,
            client_ca: client_ca.map(|path| file("client_ca", path)).transpose()?,
        })
    }

    fn configure(&self, contents: &Contents) -> Result<ServerConfig, BadInternalTls> {
        let chain = certificates(&contents.cert).ok_or_else(|| empty("cert", &self.cert))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key);
        let key = key.map_err(|_| empty("key", &self.key))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("cert", error.into()))?;
        let builder = match &contents.client_ca {
            None => versions.with_no_client_auth(),
            Some(bytes) => {
                let path = self.client_ca.as_deref().unwrap_or_else(|| Path::new(""));
                let authorities = certificates(bytes).ok_or_else(|| empty("client_ca", path))?;
                let roots = roots(authorities).map_err(|it| bad("client_ca", it.into()))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| bad("client_ca", error.into()))?;
                versions.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| bad("key", error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// The port's TLS, as the files are: new ones serve the connections that come
/// after them.
pub(super) struct Secured {
    tls: InternalTls,
    base: PathBuf,
    config: ArcSwap<ServerConfig>,
    /// What was found last, whether or not it could be used.
    seen: Mutex<Contents>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Secured {
    pub(super) fn open(tls: &InternalTls, base: &Path) -> Result<Self, BadInternalTls> {
        let contents = tls.read(base)?;
        Ok(Self {
            config: ArcSwap::from_pointee(tls.configure(&contents)?),
            seen: Mutex::new(contents),
            tls: tls.clone(),
            base: base.to_owned(),
        })
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        acceptor.accept(stream).await
    }

    /// Looks at the files until `stop`: when asked to, and every [`LOOK_EVERY`].
    pub(super) async fn watch(
        self: Arc<Self>,
        asked: Arc<Notify>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        loop {
            let again = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = asked.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let me = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || me.look(again)).await;
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    metrics.gateway().reloaded(true);
                    info!("internal port: certificate reloaded");
                }
                Ok(Err(error)) => {
                    metrics.gateway().reloaded(false);
                    warn!(%error, "internal port: certificate not reloaded, the old one stays");
                }
                Err(_) => error!("internal port: looking at the certificate panicked"),
            }
        }
    }

    /// Whether the files are in force anew. What was found before is tried
    /// again only when it is asked for.
    fn look(&self, again: bool) -> Result<bool, BadInternalTls> {
        let contents = self.tls.read(&self.base)?;
        let mut seen = self.seen.lock();
        if *seen == contents && !again {
            return Ok(false);
        }
        let config = self.tls.configure(&contents);
        *seen = contents;
        self.config.store(Arc::new(config?));
        Ok(true)
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

fn empty(key: &'static str, path: &Path) -> BadInternalTls {
    let path = path.to_owned();
    bad(key, InternalTlsProblem::Empty { path })
}

/// At least one, or None.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    chain.ok().filter(|chain| !chain.is_empty())
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
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
