//! Posts one event to its app's backend.
//!
//! The URL is the operator's, never a client's, so addresses are not
//! restricted; but redirects are not followed and no proxy is taken from the
//! environment, so that what is configured is what is called.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::config::{AppCallback, CallbackConfig};
use super::dispatcher::{Attempt, Deliver};
use super::sign::{EVENT_ID, SIGNATURE, Signer, TIMESTAMP, vendor_sign};
use crate::clock::Unix;
use crate::engine::Row;
use crate::id::AppId;

/// Fewest characters of a secret.
pub(super) const MIN_SECRET: usize = 16;
/// Most secrets of an app.
pub(super) const MAX_SECRETS: usize = 2;
/// Most characters of the vendor's token.
const MAX_TOKEN: usize = 128;
/// Idle connections kept per backend.
const IDLE_CONNECTIONS: usize = 16;

/// What is wrong with the callback configuration.
#[derive(Debug, Error)]
#[error("{key}: {problem}")]
pub struct CallbackError {
    /// The key, from the section on: `apps[0].url`.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Error)]
pub enum Problem {
    /// The app has an entry already.
    #[error("the app is there twice")]
    Twice,
    /// An app has no id.
    #[error("an app id is not 0")]
    NoApp,
    /// The URL cannot be called.
    #[error("is no http or https URL with a host")]
    Url,
    /// A token that the vendor would not take.
    #[error("a token has 1 to {MAX_TOKEN} characters")]
    Token,
    /// Too few or too many secrets.
    #[error("1 or {MAX_SECRETS} secrets are needed")]
    Secrets,
    /// A secret that can be guessed.
    #[error("a secret has at least {MIN_SECRET} characters")]
    ShortSecret,
    /// The file of authorities cannot be read.
    #[error("cannot read certificates from {0}")]
    CaFile(PathBuf),
    /// There is nothing to verify certificates with.
    #[error("no certificate authorities: {0}")]
    Authorities(rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client: {0}")]
    Client(reqwest::Error),
}

/// Where each app's backend is, and the connections to it.
#[derive(Debug)]
pub struct Delivery {
    targets: HashMap<AppId, Target>,
    answer_bytes: usize,
}

#[derive(Debug)]
struct Target {
    url: Url,
    signer: Signer,
    /// Signs the URL of what is in the vendor's form.
    token: Option<SecretString>,
    client: Client,
}

impl Delivery {
    /// Checks the configuration, reads the files it names (relative paths
    /// start at `base`) and sets up clients. Connects to nothing.
    ///
    /// # Errors
    /// [`CallbackError`] names the first key that is wrong.
    pub fn open(config: &CallbackConfig, base: &Path) -> Result<Self, CallbackError> {
        let mut targets = HashMap::new();
        for (index, app) in config.apps.iter().enumerate() {
            let at = |(key, problem): (&str, Problem)| CallbackError {
                key: format!("apps[{index}].{key}"),
                problem,
            };
            let target = Target::open(app, config, base).map_err(at)?;
            if targets.insert(AppId(app.sdk_app_id), target).is_some() {
                return Err(at(("sdk_app_id", Problem::Twice)));
            }
        }
        Ok(Self {
            targets,
            answer_bytes: config.answer_bytes,
        })
    }

    async fn post(&self, target: &Target, app: AppId, row: &Row, now: Unix) -> Attempt {
        let timestamp = now.seconds();
        let signature = target.signer.sign(&row.event_id, timestamp, &row.body);
        let sent = target
            .client
            .post(target.address(app, &row.query, timestamp))
            .header(CONTENT_TYPE, "application/json")
            .header(EVENT_ID, &row.event_id)
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, signature)
            .body(row.body.clone())
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                return Attempt::Unreachable {
                    cause: cause(&error),
                };
            }
        };
        let status = response.status();
        let retry_after = retry_after(&response);
        self.drain(response).await;
        if status.is_success() {
            Attempt::Delivered
        } else {
            Attempt::Refused {
                status: status.as_u16(),
                retry_after,
            }
        }
    }

    /// Reads a short answer to its end, so that the connection can be used
    /// again; a long one is left, which closes it. What it says, or that it
    /// breaks off, changes nothing: the status has been given.
    async fn drain(&self, mut response: Response) {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > self.answer_bytes {
                return;
            }
        }
    }
}

impl Deliver for Delivery {
    async fn attempt(&self, app: AppId, row: &Row, now: Unix) -> Attempt {
        match self.targets.get(&app) {
            Some(target) => self.post(target, app, row, now).await,
            None => Attempt::Unwanted,
        }
    }
}

impl Target {
    fn open(
        app: &AppCallback,
        config: &CallbackConfig,
        base: &Path,
    ) -> Result<Self, (&'static str, Problem)> {
        if app.sdk_app_id == 0 {
            return Err(("sdk_app_id", Problem::NoApp));
        }
        let url = Url::parse(&app.url).map_err(|_| ("url", Problem::Url))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(("url", Problem::Url));
        }
        if app.secrets.is_empty() || app.secrets.len() > MAX_SECRETS {
            return Err(("secrets", Problem::Secrets));
        }
        let secrets = || app.secrets.iter().map(|secret| secret.secret());
        if secrets().any(|secret| secret.expose_secret().chars().count() < MIN_SECRET) {
            return Err(("secrets", Problem::ShortSecret));
        }
        let token = app.token.as_ref().map(|token| token.secret().clone());
        let length = |token: &SecretString| token.expose_secret().chars().count();
        if token
            .as_ref()
            .is_some_and(|token| !(1..=MAX_TOKEN).contains(&length(token)))
        {
            return Err(("token", Problem::Token));
        }
        let ca_file = app.ca_file.as_ref().map(|file| base.join(file));
        let tls = tls(&url, ca_file.as_deref())?;
        Ok(Self {
            signer: Signer::new(secrets()),
            token,
            client: client(tls, config.connect_timeout, config.timeout)
                .map_err(|error| ("url", Problem::Client(error)))?,
            url,
        })
    }

    /// The URL of an attempt. livegate's own form adds nothing to it, the
    /// vendor's says who is meant and signs.
    fn address(&self, app: AppId, query: &str, timestamp: u64) -> Url {
        let mut url = self.url.clone();
        if query.is_empty() {
            return url;
        }
        let mut all = match url.query() {
            Some(own) if !own.is_empty() => format!("{own}&SdkAppid={app}&{query}"),
            Some(_) | None => format!("SdkAppid={app}&{query}"),
        };
        if let Some(token) = &self.token {
            let sign = vendor_sign(token, timestamp);
            all = format!("{all}&Sign={sign}&RequestTime={timestamp}");
        }
        url.set_query(Some(&all));
        url
    }
}

/// A client that calls what it is told to and nothing else.
pub(super) fn client(
    tls: ClientConfig,
    connect_timeout: Duration,
    timeout: Duration,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("livegate/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// TLS towards `url`, with the authorities of a file or of the system.
pub(super) fn tls(
    url: &Url,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, (&'static str, Problem)> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    let builder = match ca_file {
        Some(file) => {
            let roots = roots(file).ok_or_else(|| ("ca_file", Problem::CaFile(file.to_owned())))?;
            builder.with_root_certificates(roots)
        }
        // A plain URL needs no authorities, and the machine may have none.
        None if url.scheme() == "http" => builder.with_root_certificates(RootCertStore::empty()),
        None => builder
            .with_platform_verifier()
            .map_err(|error| ("url", Problem::Authorities(error)))?,
    };
    Ok(builder.with_no_client_auth())
}

/// The certificates of a PEM file; `None` when it has none that can be used.
fn roots(file: &Path) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// Seconds only: a date would need the two clocks to agree.
fn retry_after(response: &Response) -> Option<Duration> {
    let asks = response.status() == StatusCode::TOO_MANY_REQUESTS
        || response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let value = response.headers().get(RETRY_AFTER).filter(|_| asks)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What kind of error, without the URL, whose query may hold a key.
fn cause(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "broken off"
    }
}
