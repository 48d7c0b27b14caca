//! What a server is built from: every module's own settings, validated.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::AppPolicy;
use crate::auth::AuthConfig;
use crate::backend::BackendConfig;
use crate::callback::CallbackConfig;
use crate::engine::EngineConfig;
use crate::gateway::{GatewayConfig, ListenConfig, TlsConfig};
use crate::id::AppId;
use crate::rooms::RoomsConfig;
use crate::session::SessionConfig;
use crate::shard::ShardConfig;

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

/// What a server is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where relative paths start.
    pub base: PathBuf,
    /// Where clients come in.
    pub listen: ListenConfig,
    /// Certificates and TLS.
    pub tls: TlsConfig,
    /// Limits of strangers.
    pub gateway: GatewayConfig,
    /// Limits of sessions.
    pub session: SessionConfig,
    /// Limits of shards.
    pub shard: ShardConfig,
    /// Limits of rooms.
    pub rooms: RoomsConfig,
    /// The store.
    pub engine: EngineConfig,
    /// The internal port.
    pub internal: BackendConfig,
    /// Where backends are told.
    pub callback: CallbackConfig,
    /// Apps and their keys.
    pub auth: AuthConfig,
    /// Policies of the apps.
    pub policies: HashMap<AppId, AppPolicy>,
    /// How a stop goes.
    pub stop: StopConfig,
}

impl Settings {
    /// Development: the vendor's sample app, loopback, generous.
    pub fn dev() -> Self {
        let loopback = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            base: PathBuf::from("."),
            listen: ListenConfig {
                public: loopback(7443),
                ..ListenConfig::default()
            },
            tls: TlsConfig::default(),
            gateway: GatewayConfig {
                exempt_loopback: true,
                ..GatewayConfig::default()
            },
            session: SessionConfig::default(),
            shard: ShardConfig::default(),
            rooms: RoomsConfig {
                open_hosting: true,
                ..RoomsConfig::default()
            },
            engine: EngineConfig::default(),
            internal: BackendConfig::default(),
            callback: CallbackConfig::default(),
            auth: AuthConfig {
                apps: vec![crate::auth::AppConfig::development()],
                ..AuthConfig::default()
            },
            policies: HashMap::new(),
            stop: StopConfig::default(),
        }
    }
}
