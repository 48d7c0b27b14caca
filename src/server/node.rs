//! Everything behind the sockets: store, rooms, users, actions.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::actions::{Actions, AppPolicy, Backends};
use crate::auth::KeyRing;
use crate::callback::ask::Asks;
use crate::callback::call::{Calls, Routes};
use crate::callback::{CallbackConfig, CallbackError, Teller};
use crate::clock::Clock;
use crate::directory::{Directory, DirectoryConfig};
use crate::dispatch::Dispatch;
use crate::engine::record::BadRecord;
use crate::engine::{Engine, EngineConfig, OpenError, Outcome, Stepper};
use crate::id::AppId;
use crate::online::Online;
use crate::rooms::{Rooms, RoomsConfig};
use crate::session::SessionConfig;
use crate::shard::carrier::Carrier;
use crate::shard::{Handle, Parts, ShardConfig};
use crate::telemetry::Metrics;

/// What a node is built from; every part was validated.
#[derive(Debug)]
pub struct NodeSettings {
    /// The store.
    pub engine: EngineConfig,
    /// Rooms.
    pub rooms: RoomsConfig,
    /// What is kept of users.
    pub directory: DirectoryConfig,
    /// Sessions.
    pub session: SessionConfig,
    /// Shards.
    pub shard: ShardConfig,
    /// Keys of the apps.
    pub keys: KeyRing,
    /// Where relative paths of callbacks start.
    pub base: PathBuf,
    /// What backends are told and asked.
    pub callback: CallbackConfig,
    /// Policies of the apps.
    pub policies: HashMap<AppId, AppPolicy>,
    /// Where the calls of the apps go. They run on the tokio runtime in which
    /// the node is opened.
    pub routes: Routes,
}

/// Why a node does not come up.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Engine(#[from] OpenError),
    /// What is configured for callbacks cannot work.
    #[error("callback: {0}")]
    Callback(#[from] CallbackError),
    /// The store holds a record that cannot be read.
    #[error("the store holds a record that livegate did not write: {0}")]
    Record(#[from] BadRecord),
}

/// Everything behind the sockets.
#[derive(Debug)]
pub struct Node {
    /// Reads the time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Reaches the shards.
    pub dispatch: Dispatch,
    /// The store.
    pub engine: Arc<Engine>,
    /// What backends said of users.
    pub directory: Arc<Directory>,
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// What users and backends may do.
    pub actions: Arc<Actions>,
    /// Whose signatures hold.
    pub keys: Arc<KeyRing>,
    /// Limits of sessions.
    pub session: Arc<SessionConfig>,
    /// Limits of shards.
    pub shard: Arc<ShardConfig>,
    /// Asks backends.
    pub asks: Arc<Asks>,
}

impl Node {
    /// Opens the store with its writer thread and takes up what an earlier
    /// process left. The outcomes are for [`crate::rooms::driver::run`].
    ///
    /// # Errors
    /// [`StartError`] says what is wrong with the store and what to do.
    pub fn open(
        settings: NodeSettings,
        clock: Clock,
    ) -> Result<(Self, mpsc::Receiver<Outcome>), StartError> {
        let metrics = Metrics::new(settings.shard.thread_count());
        let opened = Engine::open(&settings.engine, clock.clone(), Arc::clone(&metrics))?;
        let (engine, mut recovered, outcomes) = opened;
        let node = Self::assemble(settings, clock, metrics, engine)?;
        node.directory.recover(&mut recovered);
        node.rooms.recover(&mut recovered, node.clock.now())?;
        Ok((node, outcomes))
    }

    /// The same with the writer as a task, for the simulation.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(
        settings: NodeSettings,
        clock: Clock,
    ) -> Result<(Self, mpsc::Receiver<Outcome>, Stepper), StartError> {
        let metrics = Metrics::new(settings.shard.thread_count());
        let opened = Engine::open_stepped(&settings.engine, clock.clone(), Arc::clone(&metrics))?;
        let (engine, mut recovered, outcomes, stepper) = opened;
        let node = Self::assemble(settings, clock, metrics, engine)?;
        node.directory.recover(&mut recovered);
        node.rooms.recover(&mut recovered, node.clock.now())?;
        Ok((node, outcomes, stepper))
    }

    fn assemble(
        settings: NodeSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        engine: Engine,
    ) -> Result<Self, CallbackError> {
        let dispatch = Dispatch::new(settings.shard.thread_count());
        let (engine, keys) = (Arc::new(engine), Arc::new(settings.keys));
        let teller = Teller::new(
            &settings.callback,
            Arc::clone(&engine),
            Arc::clone(&metrics),
        );
        let teller = Arc::new(teller);
        let rooms = Rooms::new(
            settings.rooms,
            dispatch.clone(),
            Arc::clone(&engine),
            Arc::clone(&teller),
            clock.clone(),
            Arc::clone(&metrics),
        );
        let directory = Directory::new(settings.directory, Arc::clone(&engine));
        let directory = Arc::new(directory);
        let asks = Asks::open(&settings.callback, &settings.base, &clock, &metrics)?;
        let asks = Arc::new(asks);
        let actions = Actions::new(
            Arc::clone(&rooms),
            Online::default(),
            dispatch.clone(),
            Arc::clone(&keys),
            Arc::clone(&directory),
            Backends {
                teller,
                asks: Arc::clone(&asks),
                calls: Calls::new(
                    settings.routes,
                    dispatch.clone(),
                    clock.clone(),
                    Arc::clone(&metrics),
                ),
            },
            settings.policies,
        );
        Ok(Self {
            clock,
            metrics,
            dispatch,
            engine,
            directory,
            rooms,
            actions: Arc::new(actions),
            keys,
            session: Arc::new(settings.session),
            shard: Arc::new(settings.shard),
            asks,
        })
    }

    /// What the doors for backends are made from.
    pub fn for_backends(&self) -> crate::backend::Node {
        crate::backend::Node {
            actions: Arc::clone(&self.actions),
            journal: self.engine.journal(),
            clock: self.clock.clone(),
        }
    }

    /// What the shard of this handle is given.
    pub fn shard_parts<C: Carrier>(&self, handle: Handle<C>) -> Parts<C> {
        Parts {
            handle,
            actions: Arc::clone(&self.actions),
            clock: self.clock.clone(),
            config: Arc::clone(&self.shard),
            metrics: Arc::clone(&self.metrics),
            session: Arc::clone(&self.session),
            dispatch: self.dispatch.clone(),
        }
    }
}
