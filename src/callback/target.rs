//! One app's backend: its URL, what signs for it, and the connections to it.
//!
//! The URL is the operator's, never a client's. What a name in it resolves to
//! is checked all the same, so that who governs the name cannot lead callbacks
//! into the operator's own network ([`Networks`]); redirects are not followed and
//! no proxy is taken from the environment, so that what is configured is what is
//! called.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret as _, SecretString};

use super::config::{AppCallback, CallbackConfig};
use super::delivery::Problem;
use super::networks::{Networks, Resolver};
use super::sign::{EVENT_ID, SIGNATURE, Signer, TIMESTAMP, vendor_sign};
use crate::auth::SecretText;
use crate::clock::Unix;
use crate::id::AppId;

/// Fewest characters of a secret.
pub(super) const MIN_SECRET: usize = 16;
/// Most secrets of an app.
pub(super) const MAX_SECRETS: usize = 2;
/// Most characters of the vendor's token.
pub(super) const MAX_TOKEN: usize = 128;
/// Idle connections kept per backend.
const IDLE_CONNECTIONS: usize = 16;

/// Where one app's backend is.
#[derive(Debug)]
pub(super) struct Target {
    app: AppId,
    url: Url,
    signer: Signer,
    /// Signs the URL of what is in the vendor's form.
    token: Option<SecretString>,
    client: Client,
}

/// Something to post.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// By which the backend knows repeats.
    pub(super) event_id: &'a str,
    /// The vendor's form: what it says in the URL; empty: livegate's own.
    pub(super) query: &'a str,
    /// JSON.
    pub(super) body: Bytes,
    /// When it is signed.
    pub(super) now: Unix,
}

impl Target {
    /// Checks the settings of `app` and sets its client up, whose attempts take
    /// `timeout` at most. Connects to nothing.
    pub(super) fn open(
        app: &AppCallback,
        config: &CallbackConfig,
        timeout: Duration,
        base: &Path,
    ) -> Result<Self, (&'static str, Problem)> {
        if app.sdk_app_id == 0 {
            return Err(("sdk_app_id", Problem::NoApp));
        }
        let line = Line {
            url: &app.url,
            secrets: &app.secrets,
            ca_file: app.ca_file.as_deref(),
            networks: &app.networks,
            connect_timeout: config.connect_timeout,
            timeout,
        };
        let Opened {
            url,
            signer,
            client,
        } = line.open(base)?;
        Ok(Self {
            app: AppId(app.sdk_app_id),
            signer,
            token: token(app)?,
            client,
            url,
        })
    }

    /// Whose backend it is.
    pub(super) fn app(&self) -> AppId {
        self.app
    }

    /// Posts once, signed for its time.
    pub(super) async fn post(&self, post: Post<'_>) -> Result<Response, reqwest::Error> {
        let timestamp = post.now.seconds();
        let signature = self.signer.sign(post.event_id, timestamp, &post.body);
        self.client
            .post(self.address(post.query, timestamp))
            .header(CONTENT_TYPE, "application/json")
            .header(EVENT_ID, post.event_id)
            .header(TIMESTAMP, timestamp)
            .header(SIGNATURE, signature)
            .body(post.body)
            .send()
            .await
    }

    /// The URL of an attempt. livegate's own form adds nothing to it, the
    /// vendor's says who is meant and signs.
    fn address(&self, query: &str, timestamp: u64) -> Url {
        let mut url = self.url.clone();
        if query.is_empty() {
            return url;
        }
        let app = self.app;
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

/// What leads to a backend, as it is configured.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) url: &'a str,
    pub(super) secrets: &'a [SecretText],
    pub(super) ca_file: Option<&'a Path>,
    pub(super) networks: &'a [String],
    pub(super) connect_timeout: Duration,
    /// Of one attempt.
    pub(super) timeout: Duration,
}

/// A backend that can be called.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) url: Url,
    pub(super) signer: Signer,
    pub(super) client: Client,
}

impl Line<'_> {
    /// Checks everything and sets the client up. Connects to nothing.
    pub(super) fn open(&self, base: &Path) -> Result<Opened, (&'static str, Problem)> {
        let url = Url::parse(self.url).map_err(|_| ("url", Problem::Url))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(("url", Problem::Url));
        }
        if self.secrets.is_empty() || self.secrets.len() > MAX_SECRETS {
            return Err(("secrets", Problem::Secrets));
        }
        let secrets = || self.secrets.iter().map(|secret| secret.secret());
        if secrets().any(|secret| secret.expose_secret().chars().count() < MIN_SECRET) {
            return Err(("secrets", Problem::ShortSecret));
        }
        let networks = Networks::parse(self.networks).ok_or(("networks", Problem::Networks))?;
        if !networks.allow_written(&url) {
            return Err(("url", Problem::Address));
        }
        let ca_file = self.ca_file.map(|file| base.join(file));
        let tls = tls(&url, ca_file.as_deref())?;
        let client = client(tls, Some(networks), self.connect_timeout, self.timeout);
        Ok(Opened {
            signer: Signer::new(secrets()),
            client: client.map_err(|error| ("url", Problem::Client(error)))?,
            url,
        })
    }
}

fn token(app: &AppCallback) -> Result<Option<SecretString>, (&'static str, Problem)> {
    let Some(token) = app.token.as_ref().map(|token| token.secret()) else {
        return Ok(None);
    };
    let length = token.expose_secret().chars().count();
    if !(1..=MAX_TOKEN).contains(&length) {
        return Err(("token", Problem::Token));
    }
    Ok(Some(token.clone()))
}

/// A client that calls what it is told to and nothing else; with `networks`, only
/// where they allow.
fn client(
    tls: ClientConfig,
    networks: Option<Networks>,
    connect_timeout: Duration,
    timeout: Duration,
) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder();
    if let Some(networks) = networks {
        builder = builder.dns_resolver(Arc::new(Resolver::new(networks)));
    }
    builder
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout.min(timeout))
        .timeout(timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("livegate/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// A client for operators, who call their own gateway.
///
/// # Errors
/// [`Problem`] says what is wrong with the file of authorities.
pub fn operator_client(
    url: &Url,
    ca_file: Option<&Path>,
    timeout: Duration,
) -> Result<Client, Problem> {
    let tls = tls(url, ca_file).map_err(|(_, problem)| problem)?;
    client(tls, None, timeout, timeout).map_err(Problem::Client)
}

/// TLS towards `url`, with the authorities of a file or of the system.
fn tls(url: &Url, ca_file: Option<&Path>) -> Result<ClientConfig, (&'static str, Problem)> {
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

/// Reads an answer to its end, so that its connection can be used again; `None`
/// for one of more than `limit` bytes or that breaks off, which is left, and
/// that closes its connection.
pub(super) async fn read(mut response: Response, limit: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(_)) | Err(_) => return None,
            Ok(None) => return Some(body),
        }
    }
}

/// What kind of error, without the URL, whose query may hold a key.
pub(super) fn cause(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "broken off"
    }
}
