//! What a server is built from: every module's own settings, validated.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::actions::AppPolicy;
use crate::auth::AuthConfig;
use crate::backend::BackendConfig;
use crate::callback::CallbackConfig;
use crate::callback::call::AppRoutes;
use crate::config::{Loaded, StopConfig};
use crate::directory::DirectoryConfig;
use crate::engine::EngineConfig;
use crate::gateway::{GatewayConfig, ListenConfig, RoomServiceConfig, TlsConfig};
use crate::id::AppId;
use crate::rooms::RoomsConfig;
use crate::session::SessionConfig;
use crate::shard::ShardConfig;

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
    /// What is kept of users.
    pub directory: DirectoryConfig,
    /// The RoomService door.
    pub room_service: RoomServiceConfig,
    /// The store.
    pub engine: EngineConfig,
    /// The internal port.
    pub internal: BackendConfig,
    /// Where backends are told.
    pub callback: CallbackConfig,
    /// Apps and their keys.
    pub auth: AuthConfig,
    /// Where calls of the apps go.
    pub routes: Vec<AppRoutes>,
    /// Policies of the apps.
    pub policies: HashMap<AppId, AppPolicy>,
    /// How a stop goes.
    pub stop: StopConfig,
}

impl From<Loaded> for Settings {
    fn from(loaded: Loaded) -> Self {
        let Loaded { config, base, .. } = loaded;
        Self {
            auth: config.auth(),
            callback: config.callback(),
            routes: config.routes(),
            policies: config.policies(),
            base,
            listen: config.listen,
            tls: config.tls,
            gateway: config.gateway,
            session: config.session,
            shard: ShardConfig {
                fanout: config.fanout,
                ..config.shard
            },
            rooms: config.rooms,
            directory: config.directory,
            room_service: config.room_service,
            engine: config.engine,
            internal: config.internal,
            stop: config.stop,
        }
    }
}
