//! The whole gateway: builds the parts, owns the order of start and stop.
//!
//! [`Node`] is everything behind the sockets; production and the simulation
//! share it. [`Server::bind`] opens the store, takes up what an earlier process
//! left, and binds every socket, so that addresses are known and errors are
//! told before anything runs. [`Server::run`] lets clients in, and stops in
//! named phases: nobody new, clients sent away, lives left open for the next
//! process, the store closed.
//!
//! Invariant: a planned stop decides nothing about lives; a host comes back
//! within the restart grace and goes on.

mod node;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use node::{Node, NodeSettings, StartError};
pub use settings::Settings;

use crate::auth::{AuthConfig, HmacKey, KeyRing};
use crate::backend::{
    ApiKeys, Backend, BackendConfig, Doors, InternalPort, V4, V4Parts, dead_letters, routes,
};
use crate::callback::call::Routes;
use crate::callback::{Delivery, Dispatcher};
use crate::clock::Clock;
use crate::config::StopConfig;
use crate::gateway::{self, Gateway, Lobby, RoomServiceConfig};
use crate::id::{AppId, UserKey};
use crate::rooms::driver;
use crate::shard::Shards;
use crate::shard::carrier::NetCarrier;
use crate::telemetry::Health;

/// How often a stop looks whether the last client has gone.
const POLL: Duration = Duration::from_millis(50);

/// How often the store's state is looked at for `/readyz`.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// A gateway that is bound and not yet running.
#[derive(Debug)]
pub struct Server {
    node: Node,
    shards: Shards<NetCarrier>,
    gateway: Gateway,
    strangers: Runtime,
    internal: InternalPort,
    doors: Doors<Backend>,
    v4: V4,
    tasks: TaskTracker,
    health: Arc<Health>,
    delivery: Dispatcher<Delivery>,
    outcomes: tokio::sync::mpsc::Receiver<crate::engine::Outcome>,
    stop: StopConfig,
}

/// Has certificate files looked at.
#[derive(Debug, Clone)]
pub struct Reload([Arc<Notify>; 2]);

impl Reload {
    /// Now; returns before it is done.
    pub fn now(&self) {
        self.0.iter().for_each(|notify| notify.notify_one());
    }
}

impl Server {
    /// Opens the store and binds every socket. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    pub async fn bind(settings: Settings) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let base = settings.base.clone();
        let keys = KeyRing::open(&settings.auth, &base)?;
        let gateway_keys = Arc::new(ArcSwap::from_pointee(KeyRing::open(&settings.auth, &base)?));
        let api_keys = ApiKeys::open(&settings.internal, &base)?;
        let delivery = Delivery::open(&settings.callback, &base).context("callback")?;
        let internal = InternalPort::bind(&settings.internal, &base).await?;
        let (node, outcomes) = Node::open(
            NodeSettings {
                engine: settings.engine,
                rooms: settings.rooms,
                directory: settings.directory,
                session: settings.session,
                shard: settings.shard,
                keys,
                callback: settings.callback.clone(),
                base: base.clone(),
                policies: settings.policies,
                routes: Routes::open(&settings.routes, &base)?,
            },
            clock.clone(),
        )?;
        let shards = Shards::<NetCarrier>::new(&node.dispatch);
        let strangers = stranger_runtime(&settings.gateway)?;
        let lobby = lobby(&node, settings.room_service, &settings.auth)?;
        let parts = gateway_parts(&node, &shards, gateway_keys, lobby);
        let public = gateway::Settings {
            listen: &settings.listen,
            tls: &settings.tls,
            gateway: &settings.gateway,
            base: &base,
            cores: cores(),
        };
        let gateway = bind_public(&strangers, public, parts)?;
        let health = Arc::new(Health::default());
        let most = settings.internal.max_body_bytes;
        let doors = doors(&node, api_keys, &health, most);
        let tasks = TaskTracker::new();
        let v4 = v4(&node, &settings.internal, tasks.clone());
        let delivery = Dispatcher::new(
            node.engine.outbox(),
            delivery,
            settings.callback,
            clock,
            Arc::clone(&node.metrics),
        );
        Ok(Self {
            node,
            shards,
            gateway,
            strangers,
            internal,
            doors,
            v4,
            tasks,
            health,
            delivery,
            outcomes,
            stop: settings.stop,
        })
    }

    /// Where clients come in, with the real port.
    pub fn public(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Where backends and operators come in, with the real port.
    pub fn internal(&self) -> SocketAddr {
        self.internal.address()
    }

    /// Has the certificate files of both ports looked at.
    pub fn reload(&self) -> Reload {
        Reload([self.gateway.reload(), self.internal.reload()])
    }

    /// Runs until `stop`, then goes through the phases of a stop.
    ///
    /// # Errors
    /// When a shard cannot be started.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let node = self.node;
        let tasks = self.tasks;
        let (behind, shard_stop, internal_stop) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let threads = start_shards(&node, &self.shards, &shard_stop)?;
        tasks.spawn(driver::run(
            Arc::clone(&node.rooms),
            self.outcomes,
            node.clock.clone(),
            behind.clone(),
        ));
        tasks.spawn(self.delivery.run(behind.clone()));
        tasks.spawn(watch_store(
            Arc::clone(&node.engine),
            Arc::clone(&self.health),
            behind.clone(),
        ));
        node.rooms.accepting(node.clock.now())?;
        let dead = dead_letters(node.engine.outbox(), Arc::clone(&self.doors.keys));
        let doors = routes(self.doors).merge(self.v4.router()).merge(dead);
        let metrics = Arc::clone(&node.metrics);
        tasks.spawn(self.internal.run(doors, metrics, internal_stop.clone()));
        let gateway_stop = CancellationToken::new();
        let gateway = self.strangers.spawn(self.gateway.run(gateway_stop.clone()));
        self.health.accepting();
        tracing::info!("accepting");

        stop.cancelled().await;
        tracing::info!("phase 1 of 4: no new connections");
        self.health.draining();
        node.rooms.stop();
        gateway_stop.cancel();
        tracing::info!(
            connections = self.shards.connections(),
            "phase 2 of 4: clients are sent away"
        );
        for shard in self.shards.handles() {
            shard.drain(self.stop.spread);
        }
        wait_for_goodbyes(&self.shards, self.stop.goodbye).await;
        tracing::info!("phase 3 of 4: shards and doors end");
        shard_stop.cancel();
        internal_stop.cancel();
        behind.cancel();
        tasks.close();
        tasks.wait().await;
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| {
                // A shard that panicked has ended the process already.
                let _ = thread.join();
            });
        });
        joined.await?;
        // QUIC's last acknowledgements pass through the gateway.
        if tokio::time::timeout(Duration::from_secs(3), gateway)
            .await
            .is_err()
        {
            tracing::warn!("the gateway was cut off");
        }
        self.strangers.shutdown_background();
        tracing::info!("phase 4 of 4: the store is closed");
        let engine = Arc::clone(&node.engine);
        tokio::task::spawn_blocking(move || engine.close()).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn gateway_parts(
    node: &Node,
    shards: &Shards<NetCarrier>,
    keys: Arc<ArcSwap<KeyRing>>,
    lobby: Option<Arc<Lobby>>,
) -> gateway::Parts {
    let onto = shards.clone();
    gateway::Parts {
        clock: node.clock.clone(),
        keys,
        revoked: revoked(node),
        asks: Arc::clone(&node.asks),
        lobby,
        place: Arc::new(move |adopted| onto.place(adopted)),
        metrics: Arc::clone(&node.metrics),
    }
}

/// The v4 JSON API; what goes on after its answers runs among `tasks`.
fn v4(node: &Node, config: &BackendConfig, tasks: TaskTracker) -> V4 {
    V4::new(V4Parts {
        actions: Arc::clone(&node.actions),
        keys: Arc::clone(&node.keys),
        clock: node.clock.clone(),
        metrics: Arc::clone(&node.metrics),
        config: config.v4.clone(),
        max_body_bytes: config.max_body_bytes,
        tasks,
    })
}

/// Strangers get threads of their own, so that a storm of them takes nothing
/// from rooms, callbacks and the internal port.
fn stranger_runtime(config: &gateway::GatewayConfig) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads(cores()))
        .thread_name("gateway")
        .enable_all()
        .build()
}

/// Binds the public side on the runtime that carries it.
fn bind_public(
    strangers: &Runtime,
    settings: gateway::Settings<'_>,
    parts: gateway::Parts,
) -> Result<Gateway, gateway::BindError> {
    let _on = strangers.enter();
    Gateway::bind(settings, parts)
}

fn start_shards(
    node: &Node,
    shards: &Shards<NetCarrier>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<std::thread::JoinHandle<()>>> {
    let start = |handle: &crate::shard::Handle<NetCarrier>| {
        let name = format!("shard-{}", handle.id().0);
        let parts = node.shard_parts(handle.clone());
        crate::shard::spawn(|| parts, name, stop.clone())
    };
    let threads: Result<Vec<_>, _> = shards.handles().iter().map(start).collect();
    threads.context("cannot start a shard's thread")
}

async fn wait_for_goodbyes(shards: &Shards<NetCarrier>, within: Duration) {
    let gone = async {
        while shards.connections() > 0 {
            tokio::time::sleep(POLL).await;
        }
        // What was written last is on its way; its sockets linger a moment.
        tokio::time::sleep(POLL).await;
    };
    if tokio::time::timeout(within, gone).await.is_err() {
        tracing::warn!(
            left = shards.connections(),
            "clients cut off at the end of the goodbye"
        );
    }
}

/// Tells `/readyz` when the store cannot be written.
async fn watch_store(
    engine: Arc<crate::engine::Engine>,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut every = tokio::time::interval(HEALTH_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        if engine.is_writable() {
            health.mended("store");
        } else {
            health.fault("store", "cannot be written");
        }
    }
}

/// What the internal port leads to.
fn doors(
    node: &Node,
    keys: ApiKeys,
    health: &Arc<Health>,
    max_body_bytes: usize,
) -> Doors<Backend> {
    let (actions, clock) = (Arc::clone(&node.actions), node.clock.clone());
    Doors {
        actions: Arc::new(Backend::new(actions, clock)),
        node: Some(node.for_backends()),
        keys: Arc::new(keys),
        metrics: Arc::clone(&node.metrics),
        health: Arc::clone(health),
        max_body_bytes,
    }
}

/// The RoomService door, if it is to be there.
fn lobby(
    node: &Node,
    config: RoomServiceConfig,
    auth: &AuthConfig,
) -> anyhow::Result<Option<Arc<Lobby>>> {
    if !config.enabled {
        return Ok(None);
    }
    let app = auth.apps.first();
    let key = app.and_then(|app| Some((app.sdk_app_id, app.keys.first()?)));
    let signer = match key.filter(|_| config.login_info) {
        Some((app, key)) => Some((AppId(app), HmacKey::new(key.secret())?)),
        None => None,
    };
    let (actions, clock) = (Arc::clone(&node.actions), node.clock.clone());
    Ok(Some(Arc::new(Lobby::new(actions, clock, config, signer))))
}

/// Tells the gateway whose signatures were declared void.
fn revoked(node: &Node) -> gateway::Revoked {
    let directory = Arc::clone(&node.directory);
    Arc::new(move |user: &UserKey| directory.revoked_at(user))
}
