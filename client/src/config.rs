//! What a client is told at its start.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::{LoginRequest, Platform, Profile};

use crate::dial::DialConfig;
use crate::reconnect::BackoffConfig;
use crate::tls::Roots;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An error of the app's own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Everything that a [`Client`](crate::Client) needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` of the gateway.
    pub addr: String,
    /// Name to verify the certificate against; by default the host of `addr`.
    pub server_name: Option<String>,
    /// Who logs in.
    pub login: Login,
    /// Where signatures come from.
    pub sig: SigProvider,
    /// How connections are made.
    pub dial: DialConfig,
    /// When to try again after a loss.
    pub backoff: BackoffConfig,
    /// Fetch from the room's history what was missed while disconnected.
    /// Default true.
    pub fill_gaps: bool,
    /// Bounds of what the client holds and waits for.
    pub limits: Limits,
}

impl Config {
    /// A configuration with defaults for everything else.
    pub fn new(
        addr: impl Into<String>,
        sdk_app_id: u32,
        user_id: impl Into<String>,
        sig: SigProvider,
        roots: Roots,
    ) -> Self {
        Self {
            addr: addr.into(),
            server_name: None,
            login: Login::new(sdk_app_id, user_id),
            sig,
            dial: DialConfig::new(roots),
            backoff: BackoffConfig::default(),
            fill_gaps: true,
            limits: Limits::default(),
        }
    }
}

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The app.
    pub sdk_app_id: u32,
    /// The user, scoped by the app.
    pub user_id: String,
    /// Where the app runs.
    pub platform: Platform,
    /// Of the installation, at most 64 bytes; for logs and diagnosis.
    pub device_id: String,
    /// Name and version of the client software, at most 64 bytes.
    pub client_version: String,
    /// What others see of the user.
    pub profile: Option<Profile>,
}

impl Login {
    /// A login from Linux with no profile.
    pub fn new(sdk_app_id: u32, user_id: impl Into<String>) -> Self {
        Self {
            sdk_app_id,
            user_id: user_id.into(),
            platform: Platform::Linux,
            device_id: String::new(),
            client_version: concat!("livegate-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            profile: None,
        }
    }

    /// The request that logs this user in with `user_sig`.
    pub fn request(&self, user_sig: String) -> LoginRequest {
        LoginRequest {
            sdk_app_id: self.sdk_app_id,
            user_id: self.user_id.clone(),
            user_sig,
            platform: self.platform.into(),
            device_id: self.device_id.clone(),
            client_version: self.client_version.clone(),
            profile: self.profile.clone(),
        }
    }
}

/// Bounds of what a client holds and waits for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Events that wait for the app. Beyond it ordinary messages are skipped
    /// and counted ([`Event::Lagged`](crate::Event::Lagged)). Default 1,024.
    pub events: usize,
    /// Further places for what is never skipped: lives, gifts, kicks, states.
    /// When they are taken too, the client stops reading. Default 256.
    pub events_reserve: usize,
    /// Requests in flight. Default 32, what a gateway takes by default.
    pub requests: usize,
    /// Pushes of one room held back while its gap is being filled.
    /// Default 1,024.
    pub held_pushes: usize,
    /// Longest gap that is fetched from history, in messages. Default 1,000.
    pub fill: u64,
    /// How long a request waits for its reply. Default 10 s.
    pub request_timeout: Duration,
    /// How long a login waits for its reply. Default 10 s.
    pub login_timeout: Duration,
    /// How long what was sent may stay unanswered. Default 10 s.
    pub silence_timeout: Duration,
    /// Longest time between heartbeats on QUIC, if the gateway asks for none
    /// sooner: a gateway that was killed closes its TCP connections, but on
    /// QUIC only an answer that is missing tells. Default 10 s.
    pub quic_heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 1024,
            events_reserve: 256,
            requests: 32,
            held_pushes: 1024,
            fill: 1000,
            request_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(10),
            quic_heartbeat: Duration::from_secs(10),
        }
    }
}

/// Gives a signature whenever one is needed: at each login and when the
/// gateway says that the present one runs out.
#[derive(Clone)]
pub struct SigProvider {
    give: Arc<dyn Fn() -> BoxFuture<Result<String, BoxError>> + Send + Sync>,
    renewable: bool,
}

impl SigProvider {
    /// Always the same signature; when it has expired the client stops.
    pub fn fixed(user_sig: impl Into<String>) -> Self {
        let user_sig: Arc<str> = user_sig.into().into();
        Self {
            give: Arc::new(move || {
                let user_sig = user_sig.to_string();
                Box::pin(std::future::ready(Ok(user_sig)))
            }),
            renewable: false,
        }
    }

    /// Calls `give`, which must not block.
    pub fn from_fn(give: impl Fn() -> Result<String, BoxError> + Send + Sync + 'static) -> Self {
        Self {
            give: Arc::new(move || Box::pin(std::future::ready(give()))),
            renewable: true,
        }
    }

    /// Awaits what `give` returns, for example an answer of the app's backend.
    pub fn from_async<F>(give: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self {
            give: Arc::new(move || Box::pin(give())),
            renewable: true,
        }
    }

    /// Whether it may give another signature than before.
    pub(crate) fn is_renewable(&self) -> bool {
        self.renewable
    }

    pub(crate) fn give(&self) -> BoxFuture<Result<String, BoxError>> {
        (self.give)()
    }
}

impl fmt::Debug for SigProvider {
    /// Writes no signature: they are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigProvider")
            .field("renewable", &self.renewable)
            .finish_non_exhaustive()
    }
}
