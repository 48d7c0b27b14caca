//! What a sweep of a room costs its shard, apart from the network:
//! `cargo bench --bench sweep`.
//!
//! A whole shard, whose subscribers' transports take every byte and do nothing
//! with it: once with nothing above them and once with TLS, so that the
//! difference is the sealing. The time is what the shard itself counts for its
//! sweeps; waiting for more messages is not in it. `cargo bench --bench sweep --
//! --quick` plays a small room once, to see that it works. Asserts nothing about
//! time, for a loaded machine would fail it.
#![allow(clippy::print_stdout, clippy::large_futures)]

#[path = "../fuzz/src/tls_pair.rs"]
#[allow(dead_code, reason = "the fuzz targets use more of it")]
mod tls_pair;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use livegate::actions::command::PushToRoom;
use livegate::actions::content::Content;
use livegate::auth::{AppConfig, AuthConfig, KeyRing};
use livegate::clock::Clock;
use livegate::engine::EngineConfig;
use livegate::id::{AppId, RoomId, RoomKey, ShardId, UserId, UserKey};
use livegate::rooms::RoomsConfig;
use livegate::server::{Node, NodeSettings};
use livegate::session::SessionConfig;
use livegate::shard::adopted::{Adopted, LoggedIn, Transport};
use livegate::shard::carrier::Carrier;
use livegate::shard::io::{Layer, Parts};
use livegate::shard::{Handle, ShardConfig};
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    ClientFrame, CreateRoomRequest, EnterRoomRequest, Platform, Priority, Profile, Text,
};
use livegate_proto::codec;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

const APP: AppId = AppId(1_400_000_000);
const ROOM: &str = "demo";
/// So that a message is a frame of about 200 bytes.
const TEXT: usize = 140;
const WARM_UP: u64 = 5;

fn main() {
    // A test runner that asks for its list of tests gets an empty one.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rooms, batches): (&[(u64, u64)], &[u64]) = match quick {
        true => (&[(10, 1)], &[1, 16]),
        false => (&[(1_000, 200), (10_000, 40)], &[1, 16, 64]),
    };
    println!(
        "{:>11}  {:>5}  {:>5}  {:>13}  {:>11}  {:>14}  {:>12}",
        "subscribers",
        "layer",
        "batch",
        "bytes/message",
        "ns/delivery",
        "ns/subscriber",
        "bytes/write"
    );
    for (subscribers, rounds) in rooms {
        for tls in [false, true] {
            measure(*subscribers, *rounds, tls, batches);
        }
    }
}

fn measure(subscribers: u64, rounds: u64, tls: bool, batches: &[u64]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a reactor");
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let hall = Hall::open(subscribers, tls).await;
        for batch in batches {
            hall.talk(WARM_UP, *batch).await;
            let before = hall.seen();
            hall.talk(rounds, *batch).await;
            let cost = hall.seen().since(before);
            let (deliveries, writes) = (cost.messages * subscribers as f64, cost.writes);
            println!(
                "{subscribers:>11}  {:>5}  {batch:>5}  {:>13.0}  {:>11.1}  {:>14.0}  {:>12.0}",
                if tls { "tls" } else { "none" },
                cost.bytes / deliveries,
                cost.seconds * 1e9 / deliveries,
                cost.seconds * 1e9 / writes,
                cost.bytes / writes,
            );
        }
        hall.stop.cancel();
    }));
}

/// One shard with one room and everybody in it.
struct Hall {
    node: Node,
    stop: CancellationToken,
    taken: Arc<AtomicU64>,
    said: std::cell::Cell<u64>,
    _dir: tempfile::TempDir,
}

impl Hall {
    #[allow(clippy::disallowed_methods)] // its tasks end with the LocalSet
    async fn open(subscribers: u64, tls: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Clock::system();
        let (node, outcomes) =
            Node::open(settings(dir.path()), clock.clone()).expect("a new store");
        let stop = CancellationToken::new();
        node.rooms.accepting(clock.now()).expect("an empty store");
        let rooms = Arc::clone(&node.rooms);
        let driver = livegate::rooms::driver::run(rooms, outcomes, clock, stop.clone());
        tokio::task::spawn_local(driver);
        let handle = Handle::<Null>::new(ShardId(0), &node.dispatch);
        let parts = node.shard_parts(handle.clone());
        tokio::task::spawn_local(livegate::shard::run(parts, stop.clone()));
        let hall = Self {
            node,
            stop,
            taken: Arc::default(),
            said: 0.into(),
            _dir: dir,
        };
        for n in 0..subscribers {
            handle.adopt(hall.subscriber(n, tls));
            // Not all in one turn of the shard: it has heartbeats to look at.
            if n % 100 == 0 {
                hall.wait_online(n + 1).await;
            }
        }
        hall.wait_online(subscribers).await;
        // What their entering gave to tell is told.
        tokio::time::sleep(Duration::from_secs(2)).await;
        hall
    }

    /// Who has logged in and asked to enter; the first one makes the room.
    fn subscriber(&self, n: u64, tls: bool) -> Adopted<Null> {
        let room_id = ROOM.to_owned();
        let mut asks = Vec::new();
        if n == 0 {
            asks.push(Body::CreateRoom(CreateRoomRequest {
                room_id: room_id.clone(),
                ..CreateRoomRequest::default()
            }));
        }
        asks.push(Body::EnterRoom(EnterRoomRequest {
            room_id,
            profile: None,
        }));
        let mut plain = Vec::new();
        for (request_id, body) in (2..).zip(asks) {
            let body = Some(body);
            codec::append(&ClientFrame { request_id, body }, &mut plain);
        }
        Adopted {
            io: Parts {
                carrier: Null(Arc::clone(&self.taken)),
                layer: match tls {
                    true => Layer::Tls(Box::new(tls_pair::connected().1)),
                    false => Layer::Plain,
                },
                pending: Vec::new(),
                plain,
            },
            login: LoggedIn {
                key: UserKey {
                    app: APP,
                    user: UserId::new(&format!("user-{n}")).expect("an id"),
                },
                platform: Platform::Linux,
                profile: Arc::new(Profile::default()),
                sig_expires: self.node.clock.now().unix + Duration::from_secs(86_400),
                privileges: None,
            },
            request_id: 1,
            peer: ([127, 0, 0, 1], 9).into(),
            transport: Transport::Tls,
            permit: Box::new(()),
        }
    }

    async fn wait_online(&self, subscribers: u64) {
        let room = self.room();
        let online = || self.node.rooms.get(&room).map_or(0, |room| room.online());
        while u64::from(online()) < subscribers {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Says `batch` messages at once, `rounds` times, each when all before it
    /// are delivered.
    async fn talk(&self, rounds: u64, batch: u64) {
        for _ in 0..rounds {
            for _ in 0..batch {
                let text = "x".repeat(TEXT);
                let push = PushToRoom {
                    room: self.room(),
                    from: None,
                    priority: Priority::Normal,
                    content: Content::Text(Text { text }),
                };
                let pushed = self.node.actions.push_to_room(push, self.node.clock.now());
                pushed.expect("the shard keeps up");
            }
            self.said.set(self.said.get() + batch);
            let sweeps = self.seen().sweeps;
            while self.seen().sweeps == sweeps {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn room(&self) -> RoomKey {
        let room = RoomId::new(ROOM).expect("an id");
        RoomKey { app: APP, room }
    }

    /// What was said and what the shard has counted by now.
    fn seen(&self) -> Seen {
        let page = self.node.metrics.render();
        let figure = |name: &str| {
            let values = page.lines().filter_map(|line| line.split_once(' '));
            let mut values = values.filter(|(found, _)| *found == name);
            let (_, value) = values.next().expect("the metric is served");
            value.parse().expect("a number")
        };
        Seen {
            messages: self.said.get() as f64,
            sweeps: figure("livegate_shard_sweeps_total"),
            seconds: figure("livegate_shard_sweep_seconds_sum"),
            writes: figure("livegate_shard_sweep_subscribers_sum"),
            bytes: self.taken.load(Ordering::Relaxed) as f64,
        }
    }
}

#[derive(Clone, Copy)]
struct Seen {
    messages: f64,
    sweeps: f64,
    seconds: f64,
    writes: f64,
    bytes: f64,
}

impl Seen {
    fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            sweeps: self.sweeps - before.sweeps,
            seconds: self.seconds - before.seconds,
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn settings(dir: &std::path::Path) -> NodeSettings {
    let auth = AuthConfig {
        apps: vec![AppConfig::development()],
        ..AuthConfig::default()
    };
    NodeSettings {
        engine: EngineConfig {
            dir: dir.to_owned(),
            ..EngineConfig::default()
        },
        rooms: RoomsConfig::default(),
        session: SessionConfig::default(),
        shard: ShardConfig {
            threads: 1,
            ..ShardConfig::default()
        },
        keys: KeyRing::open(&auth, dir).expect("the development app's keys"),
        policies: std::collections::HashMap::default(),
    }
}

/// Takes every byte and counts it; nothing ever comes.
struct Null(Arc<AtomicU64>);

impl Carrier for Null {
    type Detached = Self;

    fn detach(self) -> io::Result<Self> {
        Ok(self)
    }

    fn attach(detached: Self) -> io::Result<Self> {
        Ok(detached)
    }

    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn close(&mut self) {}
}
