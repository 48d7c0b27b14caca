//! The outbox under kills and a full disk, with a backend that fails, hangs and
//! answers late.
//!
//! The property: every row that was recorded, fact or message, reaches the
//! backend at least once, in order per room and in the same bytes each time;
//! nothing reaches it that was not submitted, and nothing that is known not to
//! have been recorded. `LIVEGATE_LONG` takes 100 kills and 30 full disks.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::print_stdout, reason = "the child tells its parent so")]
#![allow(clippy::print_stderr, reason = "what is left out is said")]

#[path = "outbox_server/small_disk.rs"]
mod small_disk;
#[path = "outbox_server/trials.rs"]
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use livegate::auth::SecretText;
use livegate::callback::{AppCallback, CallbackConfig, Delivery, Dispatcher, EVENT_ID};
use livegate::clock::Clock;
use livegate::engine::{Commit, Engine, EngineConfig, OutboxRow, Outcome, RowKind, Subject};
use livegate::id::{AppId, RoomId, RoomKey};
use livegate::telemetry::{Metrics, RowClass};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use small_disk::SmallDisk;
use trials::rounds;

const APP: AppId = AppId(7);
const CHILD: &str = "LIVEGATE_TEST_OUTBOX";
const ROOMS: u64 = 8;

#[tokio::test]
async fn a_killed_process_leaves_nothing_untold_that_it_had_recorded() {
    let dir = TempDir::new().unwrap();
    let backend = Backend::serve().await;
    let (mut submitted, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..rounds(3, 100) {
        let enough = 20 + round * 37 % 101;
        let (path, address) = (dir.path().to_owned(), backend.address);
        let said =
            tokio::task::spawn_blocking(move || run_and_kill(&path, round, address, enough)).await;
        for line in said.unwrap() {
            match line.split_once(' ').unwrap() {
                ("submits", id) => submitted.insert(id.to_owned()),
                (_, id) => recorded.insert(id.to_owned()),
            };
        }
    }
    backend.shared.be_well();
    let gateway = Gateway::open(dir.path(), backend.address);
    backend.has_heard(&recorded).await;
    gateway.stop().await;
    backend.judge(&submitted);
    assert!(recorded.len() > 50);
}

/// What the parent starts; does nothing in a plain run.
#[tokio::test]
async fn child() {
    let Ok(job) = std::env::var(CHILD) else {
        return;
    };
    let mut parts = job.splitn(3, ' ');
    let round: u64 = parts.next().unwrap().parse().unwrap();
    let address = parts.next().unwrap().parse().unwrap();
    let mut gateway = Gateway::open(Path::new(parts.next().unwrap()), address);
    let mut next = 0;
    // Ends the line that the test's name is on.
    println!();
    // Several under way at once, so that a kill meets groups.
    for _ in 0..24 {
        submits(&gateway, round, &mut next);
    }
    while let Some(outcome) = gateway.outcomes.recv().await {
        outcome.result.unwrap();
        println!("recorded {}", id_of(&outcome.subject));
        submits(&gateway, round, &mut next);
    }
}

fn submits(gateway: &Gateway, round: u64, next: &mut u64) {
    let event = event(round, *next);
    println!("submits {}", event.event_id);
    gateway.engine.submit(commit(event)).unwrap();
    *next += 1;
}

/// Lines that the child said before it was killed.
fn run_and_kill(dir: &Path, round: u64, address: SocketAddr, enough: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{round} {address} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let mut recorded = 0;
    for line in lines.map_while(Result::ok) {
        let is_record = line.starts_with("recorded ");
        if is_record || line.starts_with("submits ") {
            said.push(line);
        }
        recorded += u64::from(is_record);
        if recorded == enough {
            child.kill().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert!(recorded >= enough, "the child ended by itself: {ended}");
    said
}

#[tokio::test]
async fn a_full_disk_loses_no_fact_and_nothing_that_was_recorded() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("left out: a tmpfs cannot be mounted here");
        return;
    };
    let backend = Backend::serve().await;
    let metrics = Metrics::new(1);
    let gateway = Gateway::open_with(disk.path(), backend.address, Arc::clone(&metrics));
    let mut load = Load::new(gateway);
    for round in 0..rounds(3, 30) {
        disk.fill();
        let failures = load.failed.len();
        // Until the disk fails, and on while it does.
        while load.gateway.engine.is_writable() && load.failed.len() == failures {
            load.step(round).await;
        }
        for _ in 0..20 {
            load.step(round).await;
        }
        disk.free();
        load.settle().await;
    }
    backend.shared.be_well();
    let mut owed = load.recorded.clone();
    owed.extend(load.facts.iter().cloned());
    backend.has_heard(&owed).await;
    // The messages that nobody waited for were told or counted.
    let shed = || metrics.outbox().shed_count(RowClass::Message);
    let all = load.messages;
    backend
        .until(|heard| heard.of(UNWATCHED) + shed() >= all)
        .await;
    load.gateway.stop().await;
    backend.judge(&load.submitted);
    let heard = backend.shared.heard.lock().unwrap();
    assert_eq!(heard.of(UNWATCHED) + shed(), all);
    assert_eq!(metrics.outbox().shed_count(RowClass::Fact), 0);
    assert!(
        load.failed.iter().all(|id| !heard.first.contains_key(id)),
        "told of what was not recorded"
    );
}

/// The room of messages whose outcome nobody is told.
const UNWATCHED: &str = "unwatched";

/// What is submitted while the disk comes and goes, and what became of it.
struct Load {
    gateway: Gateway,
    next: u64,
    waiting: u64,
    messages: u64,
    submitted: BTreeSet<String>,
    recorded: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Facts whose outcome nobody is told.
    facts: BTreeSet<String>,
}

impl Load {
    fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            next: 0,
            waiting: 0,
            messages: 0,
            submitted: BTreeSet::new(),
            recorded: BTreeSet::new(),
            failed: BTreeSet::new(),
            facts: BTreeSet::new(),
        }
    }

    /// Submits an event that is waited for, and a fact and a message that are
    /// not.
    async fn step(&mut self, round: u64) {
        let watched = event(round, self.next);
        let fact = OutboxRow {
            kind: RowKind::Fact,
            ..event_in("facts", round, self.next + 1)
        };
        let message = OutboxRow {
            kind: RowKind::Message,
            ..event_in(UNWATCHED, round, self.next + 2)
        };
        self.next += 3;
        self.messages += 1;
        self.facts.insert(fact.event_id.clone());
        for (row, quiet) in [(fact, true), (message, true), (watched, false)] {
            self.submitted.insert(row.event_id.clone());
            let mut commit = commit(row);
            if quiet {
                commit.subject = Subject::Quiet;
            }
            self.gateway.engine.submit(commit).unwrap();
        }
        self.waiting += 1;
        // The writer is given its time, and what it says is taken.
        tokio::time::sleep(Duration::from_millis(1)).await;
        while let Ok(outcome) = self.gateway.outcomes.try_recv() {
            self.take(outcome);
        }
    }

    /// Waits for every outcome.
    async fn settle(&mut self) {
        while self.waiting > 0 {
            let outcome = self.gateway.outcomes.recv().await.unwrap();
            self.take(outcome);
        }
    }

    fn take(&mut self, outcome: Outcome) {
        self.waiting -= 1;
        let id = id_of(&outcome.subject);
        match outcome.result {
            Ok(()) => self.recorded.insert(id),
            Err(_) => self.failed.insert(id),
        };
    }
}

/// A store and a dispatcher.
struct Gateway {
    engine: Engine,
    outcomes: mpsc::Receiver<Outcome>,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
}

impl Gateway {
    fn open(dir: &Path, backend: SocketAddr) -> Self {
        Self::open_with(dir, backend, Metrics::new(1))
    }

    fn open_with(dir: &Path, backend: SocketAddr, metrics: Arc<Metrics>) -> Self {
        let store = EngineConfig {
            dir: dir.to_owned(),
            verify: false,
            // What waits may take all of a small disk.
            keep_free_bytes: 0,
            ..EngineConfig::default()
        };
        let config = CallbackConfig {
            timeout: Duration::from_millis(500),
            first_backoff: Duration::from_millis(20),
            longest_backoff: Duration::from_millis(100),
            breaker_rest: Duration::from_millis(50),
            apps: vec![AppCallback {
                sdk_app_id: APP.0,
                url: format!("http://{backend}/hook"),
                secrets: vec![SecretText::new("a secret of the outbox test".to_owned())],
                ..AppCallback::default()
            }],
            ..CallbackConfig::default()
        };
        let clock = Clock::system();
        let (engine, _, outcomes) =
            Engine::open(&store, clock.clone(), Arc::clone(&metrics)).unwrap();
        let delivery = Delivery::open(&config, dir).unwrap();
        let dispatcher = Dispatcher::new(engine.outbox(), delivery, config, clock, metrics);
        let stop = CancellationToken::new();
        Self {
            engine,
            outcomes,
            dispatcher: TaskTracker::new().spawn(dispatcher.run(stop.clone())),
            stop,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.dispatcher.await.unwrap();
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.close())
            .await
            .unwrap();
    }
}

/// A backend that fails, hangs and answers late, until it is well.
struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Notify,
}

#[derive(Default)]
struct Heard {
    is_well: bool,
    requests: u64,
    /// The bytes of each event.
    first: BTreeMap<String, Bytes>,
    /// Events of each room in the order of their first telling.
    rooms: BTreeMap<String, Vec<u64>>,
    accepted: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Heard {
    fn of(&self, room: &str) -> u64 {
        let of_room = self.rooms.get(room);
        of_room.map_or(0, |all| all.len() as u64)
    }

    fn hear(&mut self, id: &str, body: &Bytes) {
        match self.first.get(id) {
            Some(first) if first == body => {}
            Some(_) => self.wrong.push(format!("{id}: told again in other bytes")),
            None => {
                self.first.insert(id.to_owned(), body.clone());
                let event: serde_json::Value = serde_json::from_slice(body).unwrap();
                let (room, place) = (event["room"].as_str(), event["place"].as_u64());
                let told = self.rooms.entry(room.unwrap().to_owned()).or_default();
                if told.last().is_some_and(|last| *last >= place.unwrap()) {
                    self.wrong.push(format!("{id}: out of order"));
                }
                told.push(place.unwrap());
            }
        }
    }
}

impl Shared {
    fn be_well(&self) {
        self.heard.lock().unwrap().is_well = true;
    }
}

impl Backend {
    async fn serve() -> Self {
        let shared = Arc::<Shared>::default();
        let router = Router::new()
            .route("/hook", axum::routing::post(hook))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    async fn until(&self, holds: impl Fn(&Heard) -> bool) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if holds(&self.shared.heard.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), wait);
        waited.await.expect("not everything was told");
    }

    async fn has_heard(&self, all: &BTreeSet<String>) {
        self.until(|heard| all.is_subset(&heard.accepted)).await;
    }

    /// Nothing was told in another order, in other bytes, or that nobody said.
    fn judge(&self, submitted: &BTreeSet<String>) {
        let heard = self.shared.heard.lock().unwrap();
        assert!(heard.wrong.is_empty(), "{:?}", heard.wrong);
        for id in heard.first.keys() {
            assert!(submitted.contains(id), "{id} was never submitted");
        }
    }
}

async fn hook(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers[EVENT_ID].to_str().unwrap().to_owned();
    let kind = {
        let mut heard = shared.heard.lock().unwrap();
        heard.hear(&id, &body);
        heard.requests += 1;
        if heard.is_well {
            9
        } else {
            heard.requests % 10
        }
    };
    match kind {
        // It is heard, but the answer never comes.
        0 => std::future::pending().await,
        1 | 2 => return StatusCode::INTERNAL_SERVER_ERROR,
        3 => return StatusCode::SERVICE_UNAVAILABLE,
        4 => tokio::time::sleep(Duration::from_millis(30)).await,
        _ => {}
    }
    shared.heard.lock().unwrap().accepted.insert(id);
    shared.changed.notify_waiters();
    StatusCode::OK
}

/// Event `number` of a round; rooms take turns, every other one is a message.
fn event(round: u64, number: u64) -> OutboxRow {
    event_in(&format!("r{}", number % ROOMS), round, number)
}

fn event_in(room: &str, round: u64, number: u64) -> OutboxRow {
    let place = round << 32 | number;
    let body = format!(
        "{{\"room\":\"{room}\",\"place\":{place},\"pad\":\"{}\"}}",
        "x".repeat(600)
    );
    OutboxRow {
        order_key: room.to_owned(),
        event_id: format!("{round}.{number}"),
        app: APP,
        body: body.into(),
        kind: match number % 2 {
            0 => RowKind::Fact,
            _ => RowKind::Message,
        },
        query: String::new(),
    }
}

/// The commit of an event whose outcome is told under its id.
fn commit(row: OutboxRow) -> Commit {
    let room = RoomId::new(&row.event_id).unwrap();
    Commit {
        subject: Subject::Room(RoomKey { app: APP, room }),
        facts: Vec::new(),
        outbox: vec![row],
        reserve: false,
    }
}

fn id_of(subject: &Subject) -> String {
    match subject {
        Subject::Room(key) => key.room.to_string(),
        other => panic!("{other:?} was not submitted"),
    }
}
