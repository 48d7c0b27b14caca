//! What tests share: a node on a temporary store, clients on in-memory pipes.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::ops::RangeInclusive;
use std::sync::Arc;

use livegate::auth::{AppConfig, AuthConfig, KeyRing};
use livegate::clock::{Clock, Unix};
use livegate::engine::EngineConfig;
use livegate::id::{AppId, ShardId, UserId, UserKey};
use livegate::rooms::RoomsConfig;
use livegate::server::{Node, NodeSettings};
use livegate::session::SessionConfig;
use livegate::shard::adopted::{Adopted, LoggedIn, Transport};
use livegate::shard::carrier::StreamCarrier;
use livegate::shard::io::{Layer, Parts};
use livegate::shard::{Handle, ShardConfig};
use livegate_proto::client::{
    ClientFrame, CloseCode, Platform, Profile, Push, Reply, ServerFrame, client_frame, push,
};
use livegate_proto::codec::{self, PREFIX_LEN, Split};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

/// The app of every test.
pub(crate) const APP: u32 = 1_400_000_000;

/// The start of simulated wall time.
pub(crate) const START: Unix = Unix(1_700_000_000_000);

/// Settings over a temporary directory, one shard.
pub(crate) fn settings(dir: &std::path::Path) -> NodeSettings {
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
        keys: KeyRing::open(&auth, dir).unwrap(),
        callback: livegate::callback::CallbackConfig::default(),
        base: dir.to_owned(),
        policies: std::collections::HashMap::default(),
        routes: livegate::callback::call::Routes::default(),
    }
}

/// A node with one shard on the current thread; lives as long as its `LocalSet`.
pub(crate) struct OneShard {
    pub(crate) node: Node,
    pub(crate) handle: Handle<StreamCarrier<DuplexStream>>,
    dir: Option<tempfile::TempDir>,
}

impl OneShard {
    /// Starts store, driver and shard as tasks of the current `LocalSet`.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Self::start_with(settings(dir.path()));
        node.dir = Some(dir);
        node
    }

    #[allow(clippy::disallowed_methods)] // a test's tasks end with its LocalSet
    pub(crate) fn start_with(settings: NodeSettings) -> Self {
        let clock = Clock::simulated(START);
        let (node, outcomes, stepper) = Node::open_stepped(settings, clock.clone()).unwrap();
        let stop = CancellationToken::new();
        node.rooms.accepting(clock.now()).unwrap();
        tokio::task::spawn_local(stepper.run());
        let driver =
            livegate::rooms::driver::run(Arc::clone(&node.rooms), outcomes, clock, stop.clone());
        tokio::task::spawn_local(driver);
        let handle = Handle::new(ShardId(0), &node.dispatch);
        let parts = node.shard_parts(handle.clone());
        tokio::task::spawn_local(livegate::shard::run(parts, stop));
        Self {
            node,
            handle,
            dir: None,
        }
    }

    /// A logged-in client over a pipe of `pipe` bytes each way.
    pub(crate) async fn connect_over(&self, user: &str, pipe: usize) -> Client {
        let (near, far) = tokio::io::duplex(pipe);
        self.handle.adopt(Adopted {
            io: Parts {
                carrier: near,
                layer: Layer::Plain,
                pending: Vec::new(),
                plain: Vec::new(),
            },
            login: LoggedIn {
                key: UserKey {
                    app: AppId(APP),
                    user: UserId::new(user).unwrap(),
                },
                platform: Platform::Android,
                profile: Arc::new(Profile::default()),
                sig_expires: START + std::time::Duration::from_secs(86_400),
                privileges: None,
            },
            request_id: 1,
            peer: ([127, 0, 0, 1], 9).into(),
            transport: Transport::Tls,
            permit: Box::new(()),
        });
        let mut client = Client::new(far);
        let reply = client.reply(1).await;
        assert_eq!(reply.code, 0, "login of {user}: {}", reply.message);
        client
    }

    /// A logged-in client.
    pub(crate) async fn connect(&self, user: &str) -> Client {
        self.connect_over(user, 256 * 1024).await
    }

    /// A host in the room `demo`, which it has made, and a viewer there.
    pub(crate) async fn host_and_viewer(&self) -> (Client, Client) {
        let mut host = self.connect("host").await;
        let mut viewer = self.connect("viewer").await;
        assert_eq!(host.call(say::create("demo")).await.code, 0);
        for client in [&mut host, &mut viewer] {
            assert_eq!(client.call(say::enter("demo")).await.code, 0);
        }
        (host, viewer)
    }
}

/// A client over a byte stream, speaking whole frames.
pub(crate) struct Client<S = DuplexStream> {
    stream: S,
    buffer: Vec<u8>,
    frames: std::collections::VecDeque<ServerFrame>,
    /// Pushes that came while a reply was awaited.
    pub(crate) pushes: std::collections::VecDeque<Push>,
    requests: u64,
    pub(crate) closed: Option<livegate_proto::client::Close>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            frames: Default::default(),
            pushes: Default::default(),
            requests: 1, // taken by the login
            closed: None,
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request and returns its id.
    pub(crate) async fn send(&mut self, body: client_frame::Body) -> u64 {
        *self.send_all([body]).await.end()
    }

    /// Sends requests in one write and returns their ids.
    pub(crate) async fn send_all<const N: usize>(
        &mut self,
        all: [client_frame::Body; N],
    ) -> RangeInclusive<u64> {
        let first = self.requests + 1;
        let mut bytes = Vec::new();
        for body in all {
            self.requests += 1;
            let frame = ClientFrame {
                request_id: self.requests,
                body: Some(body),
            };
            codec::append(&frame, &mut bytes);
        }
        self.send_raw(&bytes).await;
        first..=self.requests
    }

    /// Sends a request and waits for its reply.
    pub(crate) async fn call(&mut self, body: client_frame::Body) -> Reply {
        let id = self.send(body).await;
        self.reply(id).await
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                if let Some(close) = &frame.close {
                    self.closed = Some(close.clone());
                }
                return Some(frame);
            }
            while let Split::Frame { end } =
                codec::split(&self.buffer, codec::MAX_SERVER_FRAME).unwrap()
            {
                let frame = codec::decode(&self.buffer[PREFIX_LEN..end]).unwrap();
                self.frames.push_back(frame);
                self.buffer.drain(..end);
            }
            if self.frames.is_empty() && self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads to the end of the stream; the gateway's last word, if it had one.
    pub(crate) async fn ending(mut self) -> Option<CloseCode> {
        while self.frame().await.is_some() {}
        self.closed.map(|close| close.code())
    }

    /// The reply to a request; pushes that come before it are kept.
    pub(crate) async fn reply(&mut self, id: u64) -> Reply {
        loop {
            let frame = self.frame().await.expect("closed before the reply came");
            self.pushes.extend(frame.pushes);
            if let Some(reply) = frame.reply {
                assert_eq!(reply.request_id, id, "another request's reply");
                return reply;
            }
        }
    }

    /// The next push that came or comes; `None` at the end of the stream.
    pub(crate) async fn push(&mut self) -> Option<Push> {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return Some(push);
            }
            let frame = self.frame().await?;
            self.pushes.extend(frame.pushes);
        }
    }

    /// The next push that `pick` picks; others are dropped.
    pub(crate) async fn find<T>(&mut self, pick: impl Fn(&Push) -> Option<T>) -> T {
        loop {
            let push = self.push().await.expect("closed before it came");
            if let Some(found) = pick(&push) {
                return found;
            }
        }
    }

    /// The next message of a room: its seq and text.
    pub(crate) async fn text(&mut self) -> (u64, String) {
        self.find(|push| match &push.body {
            Some(push::Body::RoomMessage(message)) => match &message.content {
                Some(livegate_proto::client::room_message::Content::Text(text)) => {
                    Some((push.seq, text.text.clone()))
                }
                _ => None,
            },
            _ => None,
        })
        .await
    }
}

/// Requests in short.
pub(crate) mod say {
    use livegate_proto::client::client_frame::Body;
    use livegate_proto::client::{
        CreateRoomRequest, EndLiveRequest, EnterRoomRequest, SendRequest, StartLiveRequest, Text,
        send_request,
    };

    pub(crate) fn create(room: &str) -> Body {
        Body::CreateRoom(CreateRoomRequest {
            room_id: room.into(),
            ..Default::default()
        })
    }

    pub(crate) fn enter(room: &str) -> Body {
        Body::EnterRoom(EnterRoomRequest {
            room_id: room.into(),
            ..Default::default()
        })
    }

    pub(crate) fn text(room: &str, text: &str) -> Body {
        Body::Send(SendRequest {
            target: Some(send_request::Target::RoomId(room.into())),
            content: Some(send_request::Content::Text(Text { text: text.into() })),
            ..Default::default()
        })
    }

    pub(crate) fn start(room: &str, id: &str) -> Body {
        Body::StartLive(StartLiveRequest {
            room_id: room.into(),
            start_id: id.into(),
            grace_ms: None,
        })
    }

    pub(crate) fn end(room: &str) -> Body {
        Body::EndLive(EndLiveRequest {
            room_id: room.into(),
            live_id: String::new(),
        })
    }
}
