//! Certificates: read, made for development, and read anew while running.
//!
//! Invariants: whatever is wrong with new files, the certificate in force stays
//! (a certificate that was replaced before its key is such a case, and mends
//! itself at the next look); a private key is written so that only its owner
//! reads it, and is never logged.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::tls::Current;
use crate::telemetry::Metrics;

/// File of the certificate within a directory.
pub const CERT_FILE: &str = "livegate.pem";

/// File of the private key within a directory.
pub const KEY_FILE: &str = "livegate.key";

/// Longest file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Names that a development certificate is good for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What is wrong with the certificate files.
#[derive(Debug, Error)]
pub enum CertError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no certificate file.
    #[error("{0} is far too large for a certificate or key")]
    TooLarge(PathBuf),
    /// No certificate in the file.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// No private key in the file.
    #[error("{0} holds no private key in PEM")]
    NoKey(PathBuf),
    /// The key cannot be used, or belongs to another certificate.
    #[error("{cert} and {key} cannot be used: {source}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// No name that a certificate could be for.
    #[error("`{0}` is neither a host's name nor an address")]
    Name(String),
    /// Development certificates could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// Development certificates could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFiles {
    /// The chain in PEM.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// What the files held, to see changes. Never shown.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl CertFiles {
    /// The files that `livegate certs` writes into `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            cert: dir.join(CERT_FILE),
            key: dir.join(KEY_FILE),
        }
    }

    /// Whether both files are there.
    pub fn exist(&self) -> bool {
        self.cert.exists() && self.key.exists()
    }

    /// Reads and checks both files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, CertError> {
        self.parse(&self.read()?, provider)
    }

    /// Makes a self-signed ECDSA P-256 certificate for this machine's local
    /// names and `names`, and writes both files, in place of older ones.
    ///
    /// # Errors
    /// When a name is none, or a file cannot be written.
    pub fn make(&self, names: &[String]) -> Result<(), CertError> {
        if let Some(bad) = names
            .iter()
            .find(|name| ServerName::try_from(name.as_str()).is_err())
        {
            return Err(CertError::Name(bad.clone()));
        }
        let local = LOCAL_NAMES.map(str::to_owned);
        let all: Vec<String> = local.into_iter().chain(names.iter().cloned()).collect();
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(all)?;
        let name = "livegate development certificate";
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let cert = params.self_signed(&key)?;
        write(&self.key, key.serialize_pem().as_bytes(), true)?;
        write(&self.cert, cert.pem().as_bytes(), false)
    }

    fn read(&self) -> Result<Contents, CertError> {
        Ok(Contents {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
        })
    }

    fn parse(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, CertError> {
        let no_certificate = || CertError::NoCertificate(self.cert.clone());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| CertError::NoKey(self.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, provider);
        certified
            .map(Arc::new)
            .map_err(|source| CertError::Unusable {
                cert: self.cert.clone(),
                key: self.key.clone(),
                source,
            })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    let failed = |source| CertError::Read {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(CertError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(failed)
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn write(path: &Path, bytes: &[u8], private: bool) -> Result<(), CertError> {
    let attempt = || -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let beside = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        if private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| CertError::Write {
        path: path.to_owned(),
        source,
    })
}

/// What a look at the files came to.
#[derive(Debug)]
pub enum Looked {
    /// They are as they were at the last look.
    Same,
    /// The new certificate is in force.
    Replaced,
    /// The new files cannot be used; the old certificate stays.
    Kept(CertError),
}

/// Looks at the files from time to time and when asked, and puts a new
/// certificate in force.
pub struct CertWatch {
    files: CertFiles,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    seen: Option<Contents>,
    every: Duration,
    asked: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for CertWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertWatch")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl CertWatch {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When they cannot be used: there is no older certificate to keep.
    pub fn open(
        files: CertFiles,
        provider: Arc<CryptoProvider>,
        every: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CertError> {
        let contents = files.read()?;
        let current = Current::new(files.parse(&contents, &provider)?);
        Ok(Self {
            files,
            current,
            provider,
            seen: Some(contents),
            every,
            asked: Arc::default(),
            metrics,
        })
    }

    /// The certificate in force, for TLS configurations.
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current)
    }

    /// Notify it to have the files looked at now.
    pub fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Looks once. `again` also tries files that were found wrong before.
    pub fn look(&mut self, again: bool) -> Looked {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) => {
                // Told once, until the files are back.
                let told = self.seen.take().is_none();
                return if told && !again {
                    Looked::Same
                } else {
                    Looked::Kept(error)
                };
            }
        };
        if self.seen.as_ref() == Some(&contents) && !again {
            return Looked::Same;
        }
        let parsed = self.files.parse(&contents, &self.provider);
        self.seen = Some(contents);
        match parsed {
            Ok(key) => {
                self.current.replace(key);
                Looked::Replaced
            }
            Err(error) => Looked::Kept(error),
        }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let asked = Arc::clone(&self.asked);
        loop {
            let again = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = asked.notified() => true,
                () = tokio::time::sleep(self.every) => false,
            };
            let look = tokio::task::spawn_blocking(move || {
                let looked = self.look(again);
                (self, looked)
            });
            let Ok((watch, looked)) = look.await else {
                tracing::error!("looking at the certificates panicked, they are no longer watched");
                return;
            };
            self = watch;
            self.tell(&looked);
        }
    }

    fn tell(&self, looked: &Looked) {
        match looked {
            Looked::Same => {}
            Looked::Replaced => {
                self.metrics.gateway().reloaded(true);
                tracing::info!(cert = %self.files.cert.display(), "certificate reloaded");
            }
            Looked::Kept(error) => {
                self.metrics.gateway().reloaded(false);
                tracing::warn!(%error, "certificate not reloaded, the old one stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::TlsConfig;
    use crate::gateway::tls::provider;

    struct Fixture {
        _dir: tempfile::TempDir,
        files: CertFiles,
        watch: CertWatch,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let files = CertFiles::in_dir(dir.path());
        files.make(&[]).unwrap();
        let provider = provider(&TlsConfig::default());
        let every = Duration::from_secs(30);
        let watch = CertWatch::open(files.clone(), provider, every, Metrics::new(1)).unwrap();
        Fixture {
            _dir: dir,
            files,
            watch,
        }
    }

    impl Fixture {
        fn in_force(&self) -> Vec<u8> {
            self.watch.current.in_force().cert[0].to_vec()
        }
    }

    #[test]
    fn a_made_certificate_can_be_used_and_its_key_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let f = fixture();
        let mode = fs::metadata(&f.files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(f.files.exist());
    }

    #[test]
    fn new_files_come_into_force_once() {
        let mut f = fixture();
        let old = f.in_force();
        assert!(matches!(f.watch.look(false), Looked::Same));
        f.files.make(&["live.example.com".to_owned()]).unwrap();
        assert!(matches!(f.watch.look(false), Looked::Replaced));
        assert_ne!(f.in_force(), old);
        assert!(matches!(f.watch.look(false), Looked::Same));
    }

    #[test]
    fn the_old_certificate_stays_whatever_is_wrong_with_the_new_one() {
        let mut f = fixture();
        let old = f.in_force();
        let good = f.files.read().unwrap();
        let other = fixture();
        let breakages: [(&str, &dyn Fn()); 5] = [
            ("certificate without its key", &|| {
                fs::copy(&other.files.cert, &f.files.cert).unwrap();
            }),
            ("no PEM", &|| fs::write(&f.files.cert, "hello").unwrap()),
            ("no certificate", &|| fs::write(&f.files.cert, "").unwrap()),
            ("no key", &|| fs::write(&f.files.key, &good.cert).unwrap()),
            ("no file", &|| fs::remove_file(&f.files.cert).unwrap()),
        ];
        for (what, breakage) in breakages {
            breakage();
            let kept = matches!(f.watch.look(false), Looked::Kept(_));
            assert!(kept, "{what}");
            assert!(
                matches!(f.watch.look(false), Looked::Same),
                "told once: {what}"
            );
            assert_eq!(f.in_force(), old, "{what}");
            fs::write(&f.files.cert, &good.cert).unwrap();
            fs::write(&f.files.key, &good.key).unwrap();
            assert!(matches!(f.watch.look(false), Looked::Replaced), "{what}");
        }
    }

    #[test]
    fn errors_name_the_file_and_show_no_key() {
        let f = fixture();
        fs::write(&f.files.cert, "no pem").unwrap();
        let error = f.files.load(&f.watch.provider).unwrap_err().to_string();
        assert!(
            error.contains("livegate.pem holds no certificate"),
            "{error}"
        );
        let debug = format!("{:?}", f.watch);
        assert!(!debug.contains("PRIVATE"), "{debug}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_watch_looks_in_its_time_and_when_asked() {
        let f = fixture();
        let (files, current, asked) = (f.files.clone(), f.watch.current(), f.watch.asked());
        let metrics = Arc::clone(&f.watch.metrics);
        let first = f.in_force();
        let stop = CancellationToken::new();
        let running = f.watch.run(stop.clone());
        let script = async {
            files.make(&[]).unwrap();
            while current.in_force().cert[0].to_vec() == first {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let second = current.in_force().cert[0].to_vec();
            files.make(&[]).unwrap();
            asked.notify_one();
            while current.in_force().cert[0].to_vec() == second {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(running, script);
        let page = metrics.render();
        assert!(page.contains("result=\"ok\"} 2"), "{page}");
    }
}
