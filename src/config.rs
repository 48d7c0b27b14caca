//! The configuration: every module's own settings under one roof.
//!
//! Owns the form of the file, the order of sources (file, then environment,
//! then flags) and what a mistake is told as. Each module owns its settings,
//! their defaults and what values work; here they are composed and held
//! together. Everything is checked before a socket is bound.
//!
//! `livegate.toml` at the root of the repository is the commented sample; a test
//! holds it equal to the defaults.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::{AppPolicy, RoomsPerUser};
use crate::auth::{self, AuthConfig, SecretText};
use crate::backend::BackendConfig;
use crate::callback::ask::{Ask, OnTimeout};
use crate::callback::call::{AppRoutes, RouteConfig};
use crate::callback::tell::Tell;
use crate::callback::{AppCallback, CallbackConfig};
use crate::directory::DirectoryConfig;
use crate::engine::EngineConfig;
use crate::gateway::{GatewayConfig, ListenConfig, RoomServiceConfig, TlsConfig};
use crate::id::AppId;
use crate::online::DeviceConfig;
use crate::rooms::RoomsConfig;
use crate::session::SessionConfig;
use crate::shard::{FanoutConfig, ShardConfig};
use crate::telemetry::LogConfig;

mod error;
mod files;
mod load;
mod locate;
mod validate;

pub use error::{ConfigError, Place};
pub use load::{Ground, Loaded, Override, environment, load};

/// The commented sample, with every key at its default.
pub const SAMPLE: &str = include_str!("../livegate.toml");

/// What development mode changes.
const DEV: &str = "
[listen]
public = \"127.0.0.1:7443\"
[gateway]
exempt_loopback = true
[internal]
api_keys = [\"livegate-dev-key\"]
[rooms]
open_hosting = true
";

/// Everything that an operator may set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients come in.
    pub listen: ListenConfig,
    /// Certificates and TLS.
    pub tls: TlsConfig,
    /// The internal port: backends, health, metrics.
    pub internal: BackendConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The store.
    pub engine: EngineConfig,
    /// Limits of strangers.
    pub gateway: GatewayConfig,
    /// Limits of sessions.
    pub session: SessionConfig,
    /// Limits of shards.
    pub shard: ShardConfig,
    /// How long rooms gather messages.
    pub fanout: FanoutConfig,
    /// Limits and paces of rooms.
    pub rooms: RoomsConfig,
    /// What is kept of users.
    pub directory: DirectoryConfig,
    /// The RoomService door.
    pub room_service: RoomServiceConfig,
    /// Signatures, the same for all apps.
    pub auth: AuthConfig,
    /// Telling backends, the same for all apps.
    pub callback: CallbackConfig,
    /// How a stop goes.
    pub stop: StopConfig,
    /// The apps (tenants). Each id once.
    pub apps: Vec<App>,
}

/// How a stop goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    /// Clients are told to come back within this time, each at a moment of its
    /// own, so that they do not come all at once.
    #[serde(with = "crate::clock::span")]
    pub spread: Duration,
    /// How long clients may take to read the last word.
    #[serde(with = "crate::clock::span")]
    pub goodbye: Duration,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self {
            spread: Duration::from_secs(5),
            goodbye: Duration::from_secs(10),
        }
    }
}

/// One app (tenant): its keys, policies and backend.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct App {
    /// The vendor's SDKAppID, not 0.
    pub sdk_app_id: u32,
    /// Secrets of v2 signatures: the current one, then the previous one while
    /// keys rotate. At most 2 together with `key_files`.
    pub keys: Vec<SecretText>,
    /// Files with one such secret each.
    pub key_files: Vec<PathBuf>,
    /// Public keys of v1 signatures, in PEM. At most 2 together with
    /// `public_key_files`.
    pub public_keys: Vec<String>,
    /// Files with one such key each.
    pub public_key_files: Vec<PathBuf>,
    /// Identifiers with an administrator's rights.
    pub admins: Vec<String>,
    /// Who the backend speaks as when it does not say.
    pub system_user: String,
    /// Whether clients may list rooms.
    pub list_rooms: bool,
    /// Whether clients may create rooms; else only the backend may.
    pub create_rooms: bool,
    /// How many sessions a user may hold, and which login displaces which.
    pub devices: DeviceConfig,
    /// What users may do in rooms, per app.
    pub rooms: AppRooms,
    /// Where calls of clients to the app's backend go, by service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteConfig>,
    /// Where the app's backend is told what happens; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// What users of one app may do in rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppRooms {
    /// How many rooms a user may be in at once, on all devices together: `one`
    /// (entering another leaves it) or `many`.
    pub per_user: RoomsPerUser,
}

/// Where one app's backend is told what happens.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callback {
    /// Events are posted here: http or https.
    pub url: String,
    /// Secrets that sign: the current one, then another while they rotate.
    pub secrets: Vec<SecretText>,
    /// PEM file of the authorities that may have issued the backend's
    /// certificate; absent: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The vendor's token, which signs the URL of callbacks in the vendor's
    /// form; absent: it is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// Networks, as `10.0.0.0/8`, that the URL's name may resolve into beside
    /// public addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// What the backend is asked before it happens, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<Ask>,
    /// What happens when it does not answer a question: allow or refuse.
    pub on_timeout: OnTimeout,
    /// What the backend is told of, by name; absent: livegate's own events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<Vec<Tell>>,
}

impl Default for App {
    fn default() -> Self {
        let policy = AppPolicy::default();
        Self {
            sdk_app_id: 0,
            keys: Vec::new(),
            key_files: Vec::new(),
            public_keys: Vec::new(),
            public_key_files: Vec::new(),
            admins: Vec::new(),
            system_user: policy.admin,
            list_rooms: policy.list_rooms,
            create_rooms: policy.create_rooms,
            devices: policy.devices,
            rooms: AppRooms {
                per_user: policy.rooms_per_user,
            },
            routes: Vec::new(),
            callback: None,
        }
    }
}

impl App {
    /// The app of development mode: the vendor's published sample key.
    pub fn development() -> Self {
        let auth = auth::AppConfig::development();
        Self {
            sdk_app_id: auth.sdk_app_id,
            keys: auth.keys,
            admins: auth.admins,
            ..Self::default()
        }
    }

    fn auth(&self) -> auth::AppConfig {
        auth::AppConfig {
            sdk_app_id: self.sdk_app_id,
            keys: self.keys.clone(),
            key_files: self.key_files.clone(),
            public_keys: self.public_keys.clone(),
            public_key_files: self.public_key_files.clone(),
            admins: self.admins.clone(),
        }
    }

    fn policy(&self) -> AppPolicy {
        AppPolicy {
            admin: self.system_user.clone(),
            devices: self.devices,
            list_rooms: self.list_rooms,
            create_rooms: self.create_rooms,
            rooms_per_user: self.rooms.per_user,
        }
    }

    fn callback(&self) -> Option<AppCallback> {
        let callback = self.callback.as_ref()?;
        Some(AppCallback {
            sdk_app_id: self.sdk_app_id,
            url: callback.url.clone(),
            secrets: callback.secrets.clone(),
            ca_file: callback.ca_file.clone(),
            token: callback.token.clone(),
            networks: callback.networks.clone(),
            ask: callback.ask.clone(),
            on_timeout: callback.on_timeout,
            tell: callback.tell.clone(),
        })
    }
}

impl Config {
    /// Signatures with the keys of every app.
    pub fn auth(&self) -> AuthConfig {
        AuthConfig {
            apps: self.apps.iter().map(App::auth).collect(),
            ..self.auth.clone()
        }
    }

    /// Telling backends, with the address of every app's.
    pub fn callback(&self) -> CallbackConfig {
        CallbackConfig {
            apps: self.apps.iter().filter_map(App::callback).collect(),
            ..self.callback.clone()
        }
    }

    /// Where the calls of every app go, in the order of the apps.
    pub fn routes(&self) -> Vec<AppRoutes> {
        let routes = |app: &App| AppRoutes {
            sdk_app_id: app.sdk_app_id,
            routes: app.routes.clone(),
        };
        self.apps.iter().map(routes).collect()
    }

    /// Each app's policies.
    pub fn policies(&self) -> HashMap<AppId, AppPolicy> {
        let policy = |app: &App| (AppId(app.sdk_app_id), app.policy());
        self.apps.iter().map(policy).collect()
    }

    /// Makes the paths that modules open by themselves start at `base`.
    fn rebase(&mut self, base: &Path) {
        self.engine.dir = base.join(&self.engine.dir);
    }
}

#[cfg(test)]
mod tests;
