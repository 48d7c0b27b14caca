//! The port from outside: real sockets, pretended actions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::backend::backend_service_client::BackendServiceClient;
use livegate_proto::backend::{self as wire, push_to_room_request};
use livegate_proto::client::Text;
use livegate_proto::code::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::*;
use crate::actions::command::{EndLive, Kick, ListLives, PushToRoom, PushToUser};
use crate::auth::SecretText;
use crate::id::RoomKey;
use crate::rooms::refusal::Refusal;
use crate::telemetry::{Health, Metrics};

const KEY: &str = "a-key-for-the-tests";

/// Knows the room "demo" and no other.
struct Pretended;

impl BackendActions for Pretended {
    fn push_to_room(&self, push: PushToRoom) -> Result<wire::PushToRoomResponse, Refusal> {
        if push.room.room.as_str() != "demo" {
            return Err(Refusal::new(Code::NO_ROOM));
        }
        Ok(wire::PushToRoomResponse {
            sessions_offered: 7,
            ..wire::PushToRoomResponse::default()
        })
    }

    fn push_to_user(&self, _: PushToUser) -> Result<wire::PushToUserResponse, Refusal> {
        Err(Refusal::new(Code::NO_USER))
    }

    fn kick(&self, _: Kick) -> Result<wire::KickUserResponse, Refusal> {
        Ok(wire::KickUserResponse { sessions_kicked: 1 })
    }

    fn room_info(&self, _: RoomKey) -> Result<wire::GetRoomResponse, Refusal> {
        Err(Refusal::new(Code::NO_ROOM))
    }

    fn list_lives(&self, _: ListLives) -> Result<wire::ListLivesResponse, Refusal> {
        Ok(wire::ListLivesResponse::default())
    }

    async fn end_live(&self, _: EndLive) -> Result<wire::EndLiveResponse, Refusal> {
        std::future::pending().await
    }
}

struct Running {
    address: std::net::SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    port: JoinHandle<()>,
}

async fn running(change: impl FnOnce(&mut BackendConfig)) -> Running {
    let mut config = BackendConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        api_keys: ["another-key-of-16-chars", KEY].map(SecretText::new).into(),
        ..BackendConfig::default()
    };
    change(&mut config);
    let port = InternalPort::bind(&config, Path::new("")).await.unwrap();
    let (health, metrics) = (Arc::<Health>::default(), Metrics::new(1));
    let routes = routes(Doors {
        actions: Arc::new(Pretended),
        node: None,
        keys: Arc::new(ApiKeys::open(&config, Path::new("")).unwrap()),
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        max_body_bytes: config.max_body_bytes,
    });
    let stop = CancellationToken::new();
    Running {
        address: port.address(),
        health,
        metrics: Arc::clone(&metrics),
        stop: stop.clone(),
        port: spawn(port.run(routes, metrics, stop)),
    }
}

/// Spawns on the test's own runtime, which ends with the test.
#[allow(clippy::disallowed_methods)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Running {
    /// Sends `head` on a connection of its own and reads the whole answer.
    async fn http(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn grpc(&self) -> BackendServiceClient<Channel> {
        let uri = format!("http://{}", self.address);
        let channel = Channel::from_shared(uri).unwrap().connect().await;
        BackendServiceClient::new(channel.unwrap())
    }
}

fn with_key<T>(message: T, key: &'static str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = AsciiMetadataValue::from_static(key);
    request.metadata_mut().insert("x-api-key", value);
    request
}

fn push(room: &str, text: String) -> wire::PushToRoomRequest {
    wire::PushToRoomRequest {
        sdk_app_id: 1,
        room_id: room.into(),
        content: Some(push_to_room_request::Content::Text(Text { text })),
        ..wire::PushToRoomRequest::default()
    }
}

#[tokio::test]
async fn health_follows_the_life_of_the_process() {
    let running = running(|_| ()).await;
    let starting = running.http("GET /readyz HTTP/1.1").await;
    assert!(starting.starts_with("HTTP/1.1 503"), "{starting}");
    running.health.accepting();
    assert!(
        running
            .http("GET /readyz HTTP/1.1")
            .await
            .contains(r#""ready":true"#)
    );
    running.health.fault("store", "no space left on device");
    let faulty = running.http("GET /readyz HTTP/1.1").await;
    assert!(faulty.starts_with("HTTP/1.1 503"));
    assert!(faulty.contains(r#""store":"no space left on device""#));
    running.health.draining();
    assert!(
        running
            .http("GET /readyz HTTP/1.1")
            .await
            .contains("draining")
    );
    assert!(
        running
            .http("GET /healthz HTTP/1.1")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let running = running(|_| ()).await;
    let page = running.http("GET /metrics HTTP/1.1").await;
    assert!(page.contains("application/openmetrics-text; version=1.0.0"));
    assert!(page.contains("livegate_rooms_open 0\n"));
}

#[tokio::test]
async fn a_path_that_is_not_there_is_never_200() {
    let running = running(|_| ()).await;
    for path in [
        "/",
        "/metric",
        "/livegate.backend.v1.BackendServices/GetRoom",
        "/healthz/",
    ] {
        let answer = running.http(&format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains(r#"{"error":"#), "{answer}");
    }
    let answer = running
        .http("POST /healthz HTTP/1.1\r\ncontent-length: 0")
        .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let path = "/livegate.backend.v1.BackendService/GetRoom";
    let answer = running
        .http(&format!("POST {path} HTTP/1.1\r\ncontent-length: 0"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn a_connection_outlives_an_answer_that_needed_no_body() {
    let running = running(|_| ()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n";
    for _ in 0..2 {
        let expecting = format!("{head}expect: 100-continue\r\n\r\n");
        stream.write_all(expecting.as_bytes()).await.unwrap();
        let go_on = read_head(&mut stream).await;
        assert!(go_on.starts_with("HTTP/1.1 100"), "{go_on}");
        stream.write_all(b"body").await.unwrap();
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        let length = answer.split("content-length: ").nth(1).unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
    }
}

/// The head of the next answer.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    head
}

#[tokio::test]
async fn a_call_needs_one_of_the_keys() {
    let running = running(|_| ()).await;
    let mut client = running.grpc().await;
    let hello = || push("demo", "hello".into());
    let refused = client.push_to_room(hello()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let wrong = with_key(hello(), "a-key-that-is-not-it");
    let refused = client.push_to_room(wrong).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let answer = client.push_to_room(with_key(hello(), KEY)).await.unwrap();
    assert_eq!(answer.into_inner().sessions_offered, 7);
    let mut bearer = tonic::Request::new(hello());
    let value = format!("Bearer {KEY}").parse().unwrap();
    bearer.metadata_mut().insert("authorization", value);
    assert!(client.push_to_room(bearer).await.is_ok());
    let counted = r#"livegate_backend_calls_total{method="push_to_room",result="ok"} 2"#;
    assert!(running.metrics.render().contains(counted));
}

#[tokio::test]
async fn refusals_and_bounds_are_told_in_grpc() {
    let running = running(|_| ()).await;
    let mut client = running.grpc().await;
    let unknown = with_key(push("nowhere", "hello".into()), KEY);
    let refused = client.push_to_room(unknown).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert_eq!(refused.metadata().get("livegate-code").unwrap(), "10010");
    let long = with_key(push("demo", "x".repeat(12 * 1024 + 1)), KEY);
    let refused = client.push_to_room(long).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let huge = with_key(push("demo", "x".repeat((1 << 20) + 1)), KEY);
    assert!(client.push_to_room(huge).await.is_err());
    let again = with_key(push("demo", "hello".into()), KEY);
    assert!(client.push_to_room(again).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_or_half_is_closed_at_its_deadline() {
    let running = running(|_| ()).await;
    for said in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET /healthz HTTP/1.1\r\nhost:",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset and an end are both a close.
        let _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up_at_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let client_ca = None;
    let tls = InternalTls {
        cert,
        key,
        client_ca,
    };
    let running = running(|config| config.tls = Some(tls)).await;
    for said in ["", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // A reset and an end are both a close.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_given_up() {
    let running = running(|config| config.request_deadline = Duration::from_secs(3)).await;
    let mut client = running.grpc().await;
    let end = wire::EndLiveRequest {
        room_id: "demo".into(),
        ..wire::EndLiveRequest::default()
    };
    let late = client.end_live(with_key(end, KEY)).await.unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_the_port() {
    let running = running(|_| ()).await;
    let mut client = running.grpc().await;
    let list = with_key(wire::ListLivesRequest::default(), KEY);
    client.list_lives(list).await.unwrap();
    running.stop.cancel();
    running.port.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_one_that_ends() {
    let running = running(|config| config.max_connections = 1).await;
    let first = TcpStream::connect(running.address).await.unwrap();
    drop(first);
    let answer = running.http("GET /healthz HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 200"));
}
