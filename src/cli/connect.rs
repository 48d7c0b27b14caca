//! What `watch` and `host` need to log in: arguments with defaults that fit
//! `livegate serve --dev`, and the client configuration made of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use livegate_client::wire::Profile;
use livegate_client::{Config, Roots, SigProvider, TransportPreference};
use secrecy::{ExposeSecret as _, SecretString};

use crate::auth::usersig::{self, Grant};
use crate::auth::{AppConfig, HmacKey};
use crate::clock;
use crate::id::{AppId, RoomId, UserId};

/// The certificates that are trusted when `--ca` is not given: the first that
/// exists.
const TRUSTED: [&str; 2] = ["certs/livegate.pem", "certs/dev-ca.pem"];

/// How long a signature made here holds; the client makes another in time.
const SIG_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Where to connect and as whom.
#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    /// The room.
    #[arg(long, value_parser = room_id)]
    pub(super) room: RoomId,
    /// Prints one JSON object a line; docs/events.md names the fields.
    #[arg(long)]
    pub(super) json: bool,
    /// The gateway.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443")]
    addr: String,
    /// The name in the gateway's certificate; the host of --addr when not
    /// given.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// PEM file of the certificates to trust: certs/livegate.pem or
    /// certs/dev-ca.pem when not given.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The app's sdk_app_id; the development app when not given.
    #[arg(long, value_name = "ID")]
    app: Option<u32>,
    /// The app's secret to sign with; the development app's when not given.
    #[arg(long, env = "LIVEGATE_KEY", hide_env_values = true)]
    key: Option<SecretString>,
    /// A signature made elsewhere, instead of --key.
    #[arg(long, env = "LIVEGATE_SIG", hide_env_values = true, requires = "user")]
    sig: Option<SecretString>,
    /// Whom to log in.
    #[arg(long, value_parser = user_id)]
    user: Option<UserId>,
    /// A name to show to others.
    #[arg(long)]
    nick: Option<String>,
    /// Which transports are tried. Not given: a watcher races both; a host uses
    /// TLS, because the kernel closes a killed process's TCP connection for it,
    /// while over QUIC only the missing heartbeats tell.
    #[arg(long, value_enum)]
    transport: Option<TransportArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TransportArg {
    /// QUIC, and TLS beside it when QUIC does not answer at once.
    Race,
    Tls,
    Quic,
}

impl From<TransportArg> for TransportPreference {
    fn from(arg: TransportArg) -> Self {
        match arg {
            TransportArg::Race => Self::Race,
            TransportArg::Tls => Self::Tls,
            TransportArg::Quic => Self::Quic,
        }
    }
}

impl ConnectArgs {
    /// The user that logs in: the one given, else `fallback`'s.
    pub(super) fn user(&self, fallback: impl FnOnce() -> String) -> anyhow::Result<UserId> {
        match &self.user {
            Some(user) => Ok(user.clone()),
            None => UserId::new(&fallback()).context("user name"),
        }
    }

    /// The configuration of a client that logs `user` in, over `transport`
    /// unless another was asked for.
    ///
    /// # Errors
    /// When the certificates cannot be read, or the key is too short.
    pub(super) fn config(
        &self,
        user: &UserId,
        transport: TransportPreference,
    ) -> anyhow::Result<Config> {
        let development = AppConfig::development();
        let app = self.app.unwrap_or(development.sdk_app_id);
        let sig = match (&self.sig, &self.key) {
            (Some(sig), _) => SigProvider::fixed(sig.expose_secret()),
            (None, Some(key)) => signing(app, user, key)?,
            (None, None) if app == development.sdk_app_id => {
                signing(app, user, development.keys[0].secret())?
            }
            (None, None) => anyhow::bail!("app {app} needs --key or --sig"),
        };
        let roots = self.roots()?;
        let mut config = Config::new(&self.addr, app, user.as_str(), sig, roots);
        config.server_name.clone_from(&self.server_name);
        config.dial.transport = self.transport.map_or(transport, Into::into);
        config.login.client_version =
            concat!("livegate-cli/", env!("CARGO_PKG_VERSION")).to_owned();
        config.login.profile = self.nick.clone().map(|nick| Profile {
            nick,
            ..Profile::default()
        });
        Ok(config)
    }

    fn roots(&self) -> anyhow::Result<Roots> {
        if let Some(path) = &self.ca {
            return Ok(Roots::pem_file(path)?);
        }
        let found = TRUSTED
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists());
        let path = found.context(
            "no certificate to trust: start `livegate serve --dev` in this directory first, \
             or give --ca",
        )?;
        Ok(Roots::pem_file(path)?)
    }
}

/// Signs afresh for each login.
fn signing(app: u32, user: &UserId, key: &SecretString) -> anyhow::Result<SigProvider> {
    let key = HmacKey::new(key).context("--key")?;
    let user = user.clone();
    Ok(SigProvider::from_fn(move || {
        let grant = Grant {
            app: AppId(app),
            user: &user,
            issued_at: clock::unix_now(),
            lifetime: SIG_LIFETIME,
            userbuf: None,
        };
        usersig::issue(&key, &grant).map_err(Into::into)
    }))
}

fn room_id(text: &str) -> Result<RoomId, crate::id::BadId> {
    RoomId::new(text)
}

fn user_id(text: &str) -> Result<UserId, crate::id::BadId> {
    UserId::new(text)
}
