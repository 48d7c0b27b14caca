//! The dispatcher on a real store, with backends that do as they are told and
//! a clock that jumps.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::engine::{Commit, Engine, EngineConfig, OutboxRow, RowKind, Subject};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_takes_in_time_becomes_a_dead_letter_and_frees_its_room() {
    let config = CallbackConfig {
        give_up_after: 3 * HOUR,
        ..CallbackConfig::default()
    };
    let mut world = World::start(Backend::default(), config);
    world.backend.refuse("a1");
    world.tell(1, "a", &["a1", "a2"]);
    tokio::time::sleep(2 * HOUR).await;
    assert!(world.backend.delivered().is_empty());
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(world.backend.delivered(), ["a2"]);
    let dead = world.engine.outbox().dead_letters(0, 9).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].row.event_id, "a1");
    assert_eq!(dead[0].cause, "status 500");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_poison_room_holds_up_nobody_but_itself() {
    let mut world = World::start(Backend::default(), CallbackConfig::default());
    world.backend.refuse("a1");
    world.tell(1, "a", &["a1", "a2"]);
    world.tell(1, "b", &["b1", "b2"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.backend.delivered(), ["b1", "b2"]);
    world.backend.relent();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.backend.delivered(), ["b1", "b2", "a1", "a2"]);
    assert!(world.backend.attempts("a1") > 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_whose_backend_hangs_leaves_places_for_the_others() {
    let config = CallbackConfig {
        parallel: 8,
        parallel_per_app: 4,
        ..CallbackConfig::default()
    };
    let backend = Backend {
        hangs: Some(AppId(1)),
        ..Backend::default()
    };
    let mut world = World::start(backend, config);
    for room in 0..50 {
        let room = format!("r{room}");
        world.tell(1, &room, &["slow"]);
        world.tell(2, &room, &["quick"]);
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(world.backend.delivered(), vec!["quick"; 50]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_dispatcher_delivers_what_the_old_one_did_not_settle() {
    let mut world = World::start(Backend::default(), CallbackConfig::default());
    world.backend.refuse("a2");
    world.tell(1, "a", &["a1", "a2", "a3"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.stop().await;
    let backend = Arc::clone(&world.backend);
    backend.relent();
    let mut world = world.restart();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(backend.delivered(), ["a1", "a2", "a3"]);
    assert!(
        world
            .engine
            .outbox()
            .keys(None, 1)
            .await
            .unwrap()
            .is_empty()
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_an_app_without_a_callback_are_let_go() {
    let backend = Backend {
        unwanted: Some(AppId(3)),
        ..Backend::default()
    };
    let mut world = World::start(backend, CallbackConfig::default());
    world.tell(3, "a", &["a1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        world
            .engine
            .outbox()
            .keys(None, 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(world.backend.delivered().is_empty());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_rooms_than_fit_in_memory_are_all_told() {
    let config = CallbackConfig {
        keys: 4,
        parallel: 2,
        ..CallbackConfig::default()
    };
    let mut world = World::start(Backend::default(), config);
    for room in 0..60 {
        world.tell(1, &format!("r{room}"), &["x", "y"]);
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.backend.delivered().len(), 120);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_is_left_alone_and_told_everything_when_it_is_back() {
    let backend = Backend::default();
    *backend.down.lock() = true;
    let mut world = World::start(backend, CallbackConfig::default());
    let rooms: Vec<String> = (0..100).map(|room| format!("r{room}")).collect();
    for room in &rooms {
        world.tell(1, room, &[room]);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let attempts: u32 = world.backend.attempts.lock().values().sum();
    // Twenty, those that were under way by then, and one for each rest.
    assert!(attempts <= 20 + 32 + 13, "{attempts} attempts");
    *world.backend.down.lock() = false;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut delivered = world.backend.delivered();
    delivered.sort_unstable();
    let mut expected = rooms;
    expected.sort_unstable();
    assert_eq!(delivered, expected);
    world.stop().await;
}

/// A store on disk, a dispatcher, and a backend that they tell.
struct World {
    dir: TempDir,
    engine: Engine,
    backend: Arc<Backend>,
    config: CallbackConfig,
    clock: Clock,
    stop: CancellationToken,
    store: JoinHandle<()>,
    dispatcher: Option<JoinHandle<()>>,
}

impl World {
    fn start(backend: Backend, config: CallbackConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::simulated(Unix(1_700_000_000_000));
        Self::open(dir, Arc::new(backend), config, clock)
    }

    fn open(dir: TempDir, backend: Arc<Backend>, config: CallbackConfig, clock: Clock) -> Self {
        let store = EngineConfig {
            dir: dir.path().to_owned(),
            alive_every: HOUR,
            ..EngineConfig::default()
        };
        let metrics = Metrics::new(1);
        let (engine, _, _, stepper) =
            Engine::open_stepped(&store, clock.clone(), Arc::clone(&metrics)).unwrap();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let store = tasks.spawn(stepper.run());
        let dispatcher = Dispatcher::new(
            engine.outbox(),
            Arc::clone(&backend),
            config.clone(),
            clock.clone(),
            metrics,
        );
        let dispatcher = Some(tasks.spawn(dispatcher.run(stop.clone())));
        Self {
            dir,
            engine,
            backend,
            config,
            clock,
            stop,
            store,
            dispatcher,
        }
    }

    fn tell(&self, app: u32, room: &str, events: &[&str]) {
        for event in events {
            let row = OutboxRow {
                order_key: room.to_owned(),
                event_id: (*event).to_owned(),
                app: AppId(app),
                body: bytes::Bytes::from_static(b"{}"),
                kind: RowKind::Fact,
                query: String::new(),
            };
            let commit = Commit {
                subject: Subject::Quiet,
                facts: Vec::new(),
                outbox: vec![row],
                reserve: false,
            };
            self.engine.submit(commit).unwrap();
        }
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.dispatcher.take().unwrap().await.unwrap();
        self.engine.close();
        (&mut self.store).await.unwrap();
    }

    fn restart(self) -> Self {
        let Self {
            dir,
            backend,
            config,
            clock,
            ..
        } = self;
        Self::open(dir, backend, config, clock)
    }
}

#[derive(Default)]
struct Backend {
    refused: Mutex<Vec<String>>,
    delivered: Mutex<Vec<String>>,
    attempts: Mutex<BTreeMap<String, u32>>,
    hangs: Option<AppId>,
    down: Mutex<bool>,
    unwanted: Option<AppId>,
}

impl Backend {
    fn refuse(&self, event: &str) {
        self.refused.lock().push(event.to_owned());
    }

    fn relent(&self) {
        self.refused.lock().clear();
    }

    fn delivered(&self) -> Vec<String> {
        self.delivered.lock().clone()
    }

    fn attempts(&self, event: &str) -> u32 {
        self.attempts.lock().get(event).copied().unwrap_or(0)
    }
}

impl Deliver for Arc<Backend> {
    async fn attempt(&self, app: AppId, row: &Row, _now: Unix) -> Attempt {
        if self.unwanted == Some(app) {
            return Attempt::Unwanted;
        }
        *self
            .attempts
            .lock()
            .entry(row.event_id.clone())
            .or_default() += 1;
        if self.hangs == Some(app) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Attempt::Unreachable { cause: "timed out" };
        }
        if *self.down.lock() {
            return Attempt::Unreachable {
                cause: "cannot connect",
            };
        }
        if self.refused.lock().contains(&row.event_id) {
            return Attempt::Refused {
                status: 500,
                retry_after: None,
            };
        }
        self.delivered.lock().push(row.event_id.clone());
        Attempt::Delivered
    }
}

mod schedule_model {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Rows(u8),
        Next,
        Served { which: u8, how: u8 },
        Scan(bool),
        Wait(u16),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..12u8).prop_map(Op::Rows),
            4 => Just(Op::Next),
            4 => (any::<u8>(), 0..3u8).prop_map(|(which, how)| Op::Served { which, how }),
            2 => any::<bool>().prop_map(Op::Scan),
            2 => (0..900u16).prop_map(Op::Wait),
        ]
    }

    proptest! {
        #[test]
        fn every_key_with_rows_is_served_by_one_at_a_time_and_in_the_end(
            ops in prop::collection::vec(op(), 1..200),
            keys in 1..8_usize,
        ) {
            let mut model = Model::new(keys);
            for op in ops {
                model.step(op);
            }
            model.settle();
        }
    }

    /// The store has keys with rows; serving a key once takes all of them.
    struct Model {
        schedule: Schedule,
        store: BTreeSet<OrderKey>,
        serving: Vec<OrderKey>,
        ms: u64,
    }

    impl Model {
        fn new(keys: usize) -> Self {
            let config = CallbackConfig {
                keys,
                parallel: 3,
                parallel_per_app: 2,
                ..CallbackConfig::default()
            };
            Self {
                schedule: Schedule::new(&config),
                store: BTreeSet::new(),
                serving: Vec::new(),
                ms: 0,
            }
        }

        fn step(&mut self, op: Op) {
            match op {
                Op::Rows(n) => {
                    let key = OrderKey {
                        app: AppId(u32::from(n % 3)),
                        key: n.to_string().into(),
                    };
                    self.store.insert(key.clone());
                    self.schedule.add_all(vec![key]);
                }
                Op::Next => {
                    if let Some((key, _)) = self.schedule.next() {
                        assert!(!self.serving.contains(&key), "served by two");
                        // The rows are read now; later ones ring again.
                        self.store.remove(&key);
                        self.serving.push(key);
                        let app = self.serving[self.serving.len() - 1].app;
                        let of_app = self.serving.iter().filter(|key| key.app == app);
                        assert!(of_app.count() <= 2 && self.serving.len() <= 3);
                    }
                }
                Op::Served { which, how } => self.served(usize::from(which), how),
                Op::Scan(fails) => self.scan(fails),
                Op::Wait(ms) => {
                    self.ms += u64::from(ms);
                    self.schedule.wake(self.now());
                }
            }
        }

        fn served(&mut self, which: usize, how: u8) {
            if self.serving.is_empty() {
                return;
            }
            let key = self.serving.swap_remove(which % self.serving.len());
            let progress = Progress::default();
            let turn = match how {
                0 => Turn::Empty(progress),
                1 => Turn::More(progress),
                _ => {
                    self.store.insert(key.clone());
                    Turn::Rest(progress, self.now() + Duration::from_millis(500))
                }
            };
            self.schedule.served(key, turn);
        }

        fn scan(&mut self, fails: bool) {
            let Some(after) = self.schedule.scan(self.now()) else {
                return;
            };
            let later = self.store.iter().filter(|key| Some(*key) > after.as_ref());
            let read = match fails {
                true => Err(self.now() + Duration::from_secs(1)),
                false => Ok(later.take(2).cloned().collect()),
            };
            self.schedule.scanned(read, 2);
        }

        fn settle(&mut self) {
            for _ in 0..2_000 {
                self.step(Op::Next);
                self.step(Op::Scan(false));
                self.step(Op::Served { which: 0, how: 0 });
                self.step(Op::Wait(100));
            }
            assert!(self.store.is_empty(), "never served: {:?}", self.store);
            assert!(self.serving.is_empty());
        }

        fn now(&self) -> Instant {
            Instant::from_millis(self.ms)
        }
    }
}
