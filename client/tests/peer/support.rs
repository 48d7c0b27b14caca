//! A gateway by hand: the test says what it answers.

use std::sync::Arc;
use std::time::Duration;

use livegate_client::wire::{
    ClientFrame, Close, EnterRoomReply, LoginReply, Push, Reply, RoomMessage, RoomSnapshot,
    ServerFrame, Text, client_frame, push, reply, room_message,
};
use livegate_client::{
    Client, Config, Connector, DialError, Events, Link, Roots, SigProvider, State,
};
use livegate_proto::codec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

/// Room for what a test writes without the other side reading.
const PIPE: usize = 64 * 1024;

/// The gateway's end of one connection.
pub(crate) struct Peer<S = DuplexStream> {
    pub(crate) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The next frame of the client.
    pub(crate) async fn hear(&mut self) -> ClientFrame {
        let len = self.stream.read_u32().await.expect("a length");
        let mut body = vec![0; len as usize];
        self.stream.read_exact(&mut body).await.expect("a body");
        codec::decode(&body).expect("a frame")
    }

    /// The next request of the client that is no heartbeat.
    pub(crate) async fn hear_request(&mut self) -> (u64, client_frame::Body) {
        loop {
            let frame = self.hear().await;
            let body = frame.body.expect("a body");
            if let client_frame::Body::Ping(_) = body {
                self.pong(frame.request_id).await;
            } else {
                return (frame.request_id, body);
            }
        }
    }

    pub(crate) async fn pong(&mut self, request_id: u64) {
        if request_id != 0 {
            self.reply(request_id, reply::Body::Ping(Default::default()))
                .await;
        }
    }

    /// Whether the client has gone, having said nothing more but heartbeats
    /// and a logout.
    pub(crate) async fn hear_end(&mut self) {
        loop {
            let Ok(len) = self.stream.read_u32().await else {
                return;
            };
            let mut body = vec![0; len as usize];
            self.stream.read_exact(&mut body).await.expect("a body");
            let frame: ClientFrame = codec::decode(&body).expect("a frame");
            assert!(
                matches!(
                    frame.body,
                    Some(client_frame::Body::Ping(_) | client_frame::Body::Logout(_))
                ),
                "unexpected {frame:?}"
            );
        }
    }

    pub(crate) async fn say(&mut self, frame: &ServerFrame) {
        let mut bytes = Vec::new();
        codec::append(frame, &mut bytes);
        self.stream.write_all(&bytes).await.expect("written");
        self.stream.flush().await.expect("flushed");
    }

    pub(crate) async fn reply(&mut self, request_id: u64, body: reply::Body) {
        self.answer(Reply {
            request_id,
            body: Some(body),
            ..Reply::default()
        })
        .await;
    }

    pub(crate) async fn answer(&mut self, reply: Reply) {
        self.say(&ServerFrame {
            reply: Some(reply),
            ..ServerFrame::default()
        })
        .await;
    }

    pub(crate) async fn push(&mut self, pushes: Vec<Push>) {
        self.say(&ServerFrame {
            pushes,
            ..ServerFrame::default()
        })
        .await;
    }

    pub(crate) async fn close(&mut self, close: Close) {
        self.say(&ServerFrame {
            close: Some(close),
            ..ServerFrame::default()
        })
        .await;
    }

    /// Hears a login and accepts it.
    pub(crate) async fn accept_login(&mut self) -> String {
        let (id, body) = self.hear_request().await;
        let client_frame::Body::Login(login) = body else {
            panic!("expected a login, got {body:?}");
        };
        self.reply(id, reply::Body::Login(login_reply())).await;
        login.user_sig
    }

    /// Hears an enter and answers with a snapshot at (epoch, seq).
    pub(crate) async fn accept_enter(&mut self, epoch: u64, seq: u64) {
        let (id, body) = self.hear_request().await;
        let client_frame::Body::EnterRoom(enter) = body else {
            panic!("expected an enter, got {body:?}");
        };
        let room = RoomSnapshot {
            room_id: enter.room_id,
            epoch,
            seq,
            ..RoomSnapshot::default()
        };
        let entered = EnterRoomReply {
            room: Some(Box::new(room)),
            ..EnterRoomReply::default()
        };
        self.reply(id, reply::Body::EnterRoom(entered)).await;
    }
}

pub(crate) fn login_reply() -> LoginReply {
    LoginReply {
        session_id: 7,
        heartbeat_ms: 30_000,
        ..LoginReply::default()
    }
}

pub(crate) fn said(epoch: u64, seq: u64, text: &str) -> Push {
    let message = RoomMessage {
        content: Some(room_message::Content::Text(Text {
            text: text.to_owned(),
        })),
        ..RoomMessage::default()
    };
    in_room(epoch, seq, push::Body::RoomMessage(message))
}

pub(crate) fn in_room(epoch: u64, seq: u64, body: push::Body) -> Push {
    Push {
        room_id: "demo".to_owned(),
        epoch,
        seq,
        time_ms: 1,
        body: Some(body),
    }
}

/// Pipes instead of sockets: each attempt of the client arrives here.
pub(crate) struct Attempts(mpsc::Receiver<DuplexStream>);

impl Attempts {
    /// The next attempt's far end.
    pub(crate) async fn next(&mut self) -> Peer {
        let stream = self.0.recv().await.expect("the client tries again");
        Peer { stream }
    }
}

/// A connector that opens pipes, and where their far ends arrive.
pub(crate) fn pipes() -> (Connector, Attempts) {
    let (sender, receiver) = mpsc::channel(8);
    let sender = Arc::new(sender);
    let connector = Connector::from_fn(move || {
        let sender = Arc::clone(&sender);
        async move {
            let (near, far) = duplex(PIPE);
            let refused = DialError::Timeout {
                addr: "pipe".to_owned(),
                after: Duration::ZERO,
            };
            sender.send(far).await.map_err(|_| refused)?;
            Ok(Link::over(near))
        }
    });
    (connector, Attempts(receiver))
}

/// A configuration for tests over pipes; its roots verify nothing there.
pub(crate) fn config() -> Config {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let roots = Roots::pem(made.cert.pem().as_bytes()).expect("a root");
    Config::new("pipe:1", 7, "ada", SigProvider::fixed("sig"), roots)
}

/// A client that is logged in, its events, its peer and later attempts.
pub(crate) async fn online(config: Config) -> (Client, Events, Peer, Attempts) {
    let (connector, mut attempts) = pipes();
    let (client, events) = Client::start_over(connector, config);
    let mut peer = attempts.next().await;
    peer.accept_login().await;
    let mut states = client.states();
    let up = states.wait_for(|state| *state == State::Online).await;
    assert!(up.is_ok());
    (client, events, peer, attempts)
}
