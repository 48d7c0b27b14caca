//! A store and a dispatcher that tells what is put into it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use livegate::auth::SecretText;
use livegate::callback::{AppCallback, CallbackConfig, Delivery, Dispatcher, payload};
use livegate::clock::{Clock, Unix};
use livegate::engine::{Commit, Engine, EngineConfig, Subject};
use livegate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};
use livegate::id::{AppId, LiveId, RoomId, UserId};
use livegate::telemetry::Metrics;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const APP: AppId = AppId(7);
pub(crate) const SECRETS: [&str; 2] = ["the current secret", "the next one to come"];

/// A store and a dispatcher.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) stop: CancellationToken,
    pub(crate) dispatcher: JoinHandle<()>,
}

impl Gateway {
    pub(crate) fn start(dir: &TempDir, url: &str) -> Self {
        Self::open(dir, config(url), dir.path())
    }

    pub(crate) fn open(dir: &TempDir, config: CallbackConfig, base: &Path) -> Self {
        let store = EngineConfig {
            dir: dir.path().to_owned(),
            ..EngineConfig::default()
        };
        let (clock, metrics) = (Clock::system(), Metrics::new(1));
        let (engine, _, _) = Engine::open(&store, clock.clone(), metrics.clone()).unwrap();
        let delivery = Delivery::open(&config, base).unwrap();
        let dispatcher = Dispatcher::new(engine.outbox(), delivery, config, clock, metrics);
        let stop = CancellationToken::new();
        let dispatcher = TaskTracker::new().spawn(dispatcher.run(stop.clone()));
        Self {
            engine,
            stop,
            dispatcher,
        }
    }

    pub(crate) fn tell_start(&self, room: &str, number: u128) {
        let started = started(room, number);
        self.submit(payload::live_started(&started));
    }

    pub(crate) fn tell_end(&self, room: &str, number: u128) {
        let started = started(room, number);
        let ended = LiveEnded {
            app: started.app,
            room: started.room,
            live: started.live,
            host: started.host,
            started: started.started,
            ended: Unix(2_000),
            reason: EndReason::HostCrashed,
            stats: LiveStats::default(),
            detection_ms: 5,
        };
        self.submit(payload::live_ended(&ended));
    }

    pub(crate) fn submit(&self, row: livegate::engine::OutboxRow) {
        let commit = Commit {
            subject: Subject::Quiet,
            facts: Vec::new(),
            outbox: vec![row],
            reserve: false,
        };
        self.engine.submit(commit).unwrap();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.dispatcher.await.unwrap();
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.close())
            .await
            .unwrap();
    }
}

pub(crate) fn config(url: &str) -> CallbackConfig {
    CallbackConfig {
        first_backoff: Duration::from_millis(30),
        longest_backoff: Duration::from_millis(100),
        apps: vec![app(url)],
        ..CallbackConfig::default()
    }
}

pub(crate) fn app(url: &str) -> AppCallback {
    AppCallback {
        sdk_app_id: APP.0,
        url: url.to_owned(),
        secrets: SECRETS.map(|text| SecretText::new(text.to_owned())).into(),
        ca_file: None,
        ..AppCallback::default()
    }
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}/hook")
}

fn started(room: &str, number: u128) -> LiveStarted {
    LiveStarted {
        app: APP,
        room: RoomId::new(room).unwrap(),
        live: live(number),
        host: UserId::new("anna").unwrap(),
        started: Unix(1_000),
    }
}

pub(crate) fn live(number: u128) -> LiveId {
    LiveId(uuid::Uuid::from_u128(number))
}
