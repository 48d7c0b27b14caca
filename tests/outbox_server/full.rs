//! The disk is full, or the outbox is, while the backend is down; the server
//! stays up, says so, and goes on by itself when there is a way again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::crew::Crew;
use crate::gateway::{Gateway, prepare};
use crate::moody::{Backend, Mood};
use crate::running::Setup;
use crate::script::{Kind, Script};
use crate::seed::dice;
use crate::small_disk::SmallDisk;
use crate::told::What;
use crate::trials::rounds;
use crate::verdict::Trial;

/// How long it may take until all is told.
const LIMIT: Duration = Duration::from_secs(60);

/// Deeds that are done while it is full.
const WHILE_FULL: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_overcome_and_what_it_took_is_counted() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("left out: a tmpfs cannot be mounted here");
        return;
    };
    let load = Load::start(&disk.path().join("data"), "keep_free_bytes = 2097152").await;
    for round in 0..rounds(2, 30) {
        load.backend.is_now(Mood::Down);
        // Something else fills it, or what waits for the backend does.
        if round % 2 == 0 {
            disk.fill();
            load.fails().await;
        } else {
            load.sheds().await;
        }
        load.script.goes_on(WHILE_FULL).await;
        // The backend is back before there is space, or after.
        if round % 4 == 2 {
            load.backend.is_now(Mood::Moody);
            load.script.goes_on(WHILE_FULL).await;
        }
        disk.free();
        load.backend.is_now(Mood::Moody);
        load.until_ready().await;
        load.script.goes_on(WHILE_FULL).await;
        load.drains().await;
    }
    let shed = load.finish().await;
    assert!(shed.messages > 0 && shed.presence > 0, "{shed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_outbox_has_no_place_for_is_counted_to_the_event() {
    let data = TempDir::new().unwrap();
    let load = Load::start(data.path(), "outbox_bytes = 262144").await;
    for _ in 0..rounds(2, 30) {
        load.backend.is_now(Mood::Down);
        load.sheds().await;
        load.script.goes_on(WHILE_FULL).await;
        assert!(load.gateway.is_ready().await);
        load.backend.is_now(Mood::Moody);
        load.script.goes_on(WHILE_FULL).await;
        load.drains().await;
    }
    let shed = load.finish().await;
    assert!(shed.messages > 0 && shed.presence > 0, "{shed:?}");
}

/// A server under load.
struct Load {
    gateway: Gateway,
    crew: Crew,
    script: Arc<Script>,
    backend: Backend,
    _home: TempDir,
}

/// What was let go.
#[derive(Debug)]
struct Shed {
    messages: u64,
    presence: u64,
}

impl Load {
    async fn start(data: &Path, engine: &'static str) -> Self {
        let dice = dice();
        let home = TempDir::new().unwrap();
        let backend = Backend::serve().await;
        let setup = Setup {
            engine,
            ..Setup::under_load(backend.address)
        };
        prepare(home.path(), &setup);
        let gateway = Gateway::start(home.path(), data);
        let script = Arc::new(Script::new());
        let crew = Crew::start(&gateway, &script, 0, 100..9_000, &dice);
        // Everybody is in.
        script.goes_on(WHILE_FULL).await;
        Self {
            gateway,
            crew,
            script,
            backend,
            _home: home,
        }
    }

    /// Goes on until messages are let go.
    async fn sheds(&self) {
        let before = self.gateway.shed("message").await;
        while self.gateway.shed("message").await == before {
            self.script.goes_on(10).await;
        }
    }

    /// Goes on until the store fails: facts are kept, and take what is left.
    async fn fails(&self) {
        let errors = "livegate_engine_errors_total";
        let before = self.gateway.metric(errors).await;
        while self.gateway.metric(errors).await == before {
            self.script.goes_on(10).await;
        }
    }

    async fn until_ready(&self) {
        while !self.gateway.is_ready().await {
            self.script.goes_on(1).await;
        }
    }

    /// The backend is well, and everything is told, while nobody does anything.
    async fn drains(&self) {
        self.crew.is_busy(false);
        self.backend.is_now(Mood::Well);
        let drained = async { while self.gateway.metric("livegate_outbox_depth").await > 0 {} };
        let waited = tokio::time::timeout(LIMIT, drained).await;
        waited.expect("something is never told");
        self.crew.is_busy(true);
    }

    /// Ends it all, and compares.
    async fn finish(self) -> Shed {
        self.backend.is_now(Mood::Well);
        let (ends, _hosts) = self.crew.finish().await;
        self.backend.has_heard(&ends).await;
        let shed = Shed {
            messages: self.gateway.shed("message").await,
            presence: self.gateway.shed("presence").await,
        };
        assert_eq!(self.gateway.shed("fact").await, 0);
        let recorded = self.gateway.recorded().await;
        self.backend.read(|told| {
            let trial = Trial::new(self.script.read(), told, recorded.clone());
            trial.judge();
            assert!(trial.is_clear(), "somebody got no answer");
            let starts = recorded.iter().filter(|id| id.ends_with(":started"));
            let done = trial.count(|kind| kind == Kind::Started);
            assert_eq!(starts.count() as u64, done, "refused, and yet recorded");
            let said = told.count(|what| matches!(what, What::Said(..)));
            let accepted = trial.count(|kind| kind == Kind::Said);
            assert_eq!(said + shed.messages, accepted);
            let moved = told.count(|what| matches!(what, What::Joined(_) | What::Left(_)));
            let moves = trial.count(|kind| matches!(kind, Kind::Entered | Kind::Left));
            assert_eq!(moved + shed.presence, moves);
            eprintln!(
                "{accepted} messages and {moves} moves accepted, {} starts and ends recorded, \
                 {shed:?}, {} tellings",
                recorded.len(),
                told.heard
            );
        });
        assert_eq!(self.gateway.terminate(), Some(0));
        shed
    }
}
