//! A whole shard with one room, whose subscribers' transports take every byte
//! and do nothing with it. Shared by benches.

#[path = "../../fuzz/src/tls_pair.rs"]
#[allow(dead_code, reason = "the fuzz targets use more of it")]
pub(crate) mod tls_pair;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

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
use livegate_proto::client::{ClientFrame, CreateRoomRequest, EnterRoomRequest, Platform, Profile};
use livegate_proto::codec;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

const APP: AppId = AppId(1_400_000_000);
const ROOM: &str = "demo";

/// Runs a bench on one thread.
pub(crate) fn run<T>(bench: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a reactor");
    runtime.block_on(LocalSet::new().run_until(bench))
}

/// One shard with one room and everybody in it.
pub(crate) struct Hall {
    pub(crate) node: Node,
    pub(crate) stop: CancellationToken,
    pub(crate) taken: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
}

impl Hall {
    #[allow(clippy::disallowed_methods)] // its tasks end with the LocalSet
    /// Opens it and lets everybody in.
    pub(crate) async fn open(subscribers: u64, tls: bool) -> Self {
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

    /// The room's key.
    pub(crate) fn room(&self) -> RoomKey {
        let room = RoomId::new(ROOM).expect("an id");
        RoomKey { app: APP, room }
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
        directory: livegate::directory::DirectoryConfig::default(),
        session: SessionConfig::default(),
        shard: ShardConfig {
            threads: 1,
            ..ShardConfig::default()
        },
        keys: KeyRing::open(&auth, dir).expect("the development app's keys"),
        callback: livegate::callback::CallbackConfig::default(),
        base: dir.to_owned(),
        policies: std::collections::HashMap::default(),
        routes: livegate::callback::call::Routes::default(),
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
