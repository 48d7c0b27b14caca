//! Backends are told over real HTTP.
//!
//! The property: whatever a backend answers, each event reaches it in order
//! per room with a signature that verifies, the same id and the same bytes in
//! every attempt, until it says 2xx; and what was not settled when the gateway
//! stopped is told by the next one.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use livegate::auth::SecretText;
use livegate::callback::tell::{self, Event, Site};
use livegate::callback::{
    AppCallback, CallbackConfig, Delivery, Dispatcher, EVENT_ID, SIGNATURE, TIMESTAMP, payload,
    vendor_sign,
};
use livegate::clock::{Clock, Unix};
use livegate::engine::{Commit, Engine, EngineConfig, Subject};
use livegate::event::{EndReason, LiveEnded, LiveStarted, LiveStats, Origin};
use livegate::id::{AppId, LiveId, RoomId, UserId};
use livegate::telemetry::Metrics;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const APP: AppId = AppId(7);
const SECRETS: [&str; 2] = ["the current secret", "the next one to come"];

#[tokio::test]
async fn an_event_is_told_until_2xx_signed_anew_with_the_same_bytes() {
    let answers = [
        Answer::Status(500),
        Answer::Busy,
        Answer::Redirect,
        Answer::BreakOff,
        Answer::Status(204),
    ];
    let (mut backend, address) = Backend::serve(answers).await;
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("demo", 1);
    let first = backend.told().await;
    assert_eq!(first.event_id, format!("{}:started", live(1)));
    for _ in 0..4 {
        let again = backend.told().await;
        assert_eq!(again.event_id, first.event_id);
        assert_eq!(again.body, first.body);
    }
    gateway.tell_start("demo", 2);
    let next = backend.told().await;
    assert_eq!(next.event_id, format!("{}:started", live(2)));
    gateway.stop().await;
}

#[tokio::test]
async fn the_vendor_s_form_says_in_its_url_what_it_is_and_signs_each_attempt() {
    let answers = [Answer::Status(500), Answer::Status(200)];
    let (mut backend, address) = Backend::serve(answers).await;
    let url = format!("{}?own=1", url(address));
    let config = CallbackConfig {
        apps: vec![AppCallback {
            token: Some(SecretText::new("xxxxyyyy".to_owned())),
            ..app(&url)
        }],
        ..config(&url)
    };
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::open(&dir, config, dir.path());
    let event = Event {
        app: APP,
        id: "2a:1".to_owned(),
        time: Unix(1_000),
        origin: Origin::Api,
    };
    let room = RoomId::new("demo").unwrap();
    let site = Site {
        room: &room,
        kind: "",
    };
    gateway.submit(tell::destroyed(event, &site, "anna", "show"));
    let (first, again) = (backend.told().await, backend.told().await);
    assert_eq!(first.body, again.body);
    for told in [first, again] {
        let (unsigned, signed) = told.query.split_once("&Sign=").unwrap();
        let expected = "own=1&SdkAppid=7&CallbackCommand=Group.CallbackAfterGroupDestroyed\
                        &contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI";
        assert_eq!(unsigned, expected);
        let (sign, time) = signed.split_once("&RequestTime=").unwrap();
        let token = secrecy::SecretString::from("xxxxyyyy");
        assert_eq!(sign, vendor_sign(&token, time.parse().unwrap()));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_room_hears_of_its_start_before_its_end_and_rooms_do_not_wait_for_each_other() {
    let (mut backend, address) = Backend::serve([]).await;
    backend.shared.poison("poisoned");
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("poisoned", 100);
    for number in 0..20 {
        let room = format!("room{number}");
        gateway.tell_start(&room, number);
        gateway.tell_end(&room, number);
    }
    let mut told = Vec::new();
    while told.len() < 40 {
        let event = backend.told().await;
        if event.room != "poisoned" {
            told.push(event.event_id);
        }
    }
    for number in 0..20 {
        let at = |what: &str| {
            let id = format!("{}:{what}", live(number));
            told.iter().position(|told| *told == id).unwrap()
        };
        assert!(at("started") < at("ended"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_not_settled_is_told_by_the_next_process_under_the_same_id() {
    let (mut backend, address) = Backend::serve([]).await;
    backend.shared.poison("demo");
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::start(&dir, &url(address));
    gateway.tell_start("demo", 1);
    gateway.tell_end("demo", 1);
    let refused = backend.told().await;
    gateway.stop().await;
    backend.shared.poison("nobody");
    let gateway = Gateway::start(&dir, &url(address));
    let started = backend.told_other_than(StatusCode::BAD_GATEWAY).await;
    let ended = backend.told().await;
    assert_eq!(started.event_id, refused.event_id);
    assert_eq!(started.body, refused.body);
    assert_eq!(ended.event_id, format!("{}:ended", live(1)));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_without_an_end_holds_nothing_up() {
    let answers = [Answer::Endless, Answer::Status(200)];
    let (mut backend, address) = Backend::serve(answers).await;
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("demo", 1);
    gateway.tell_end("demo", 1);
    assert!(backend.told().await.event_id.ends_with(":started"));
    assert!(backend.told().await.event_id.ends_with(":ended"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_backend_over_https_is_told_only_when_its_certificate_is_trusted() {
    let dir = TempDir::new().unwrap();
    let (mut backend, address, certificate) = Backend::serve_tls().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("good.pem"), certificate).unwrap();
    std::fs::write(dir.path().join("other.pem"), other.cert.pem()).unwrap();
    let url = format!("https://localhost:{}/hook", address.port());
    for (file, trusted) in [("other.pem", false), ("good.pem", true)] {
        let config = CallbackConfig {
            apps: vec![AppCallback {
                ca_file: Some(file.into()),
                ..app(&url)
            }],
            ..config(&url)
        };
        let store = TempDir::new().unwrap();
        let gateway = Gateway::open(&store, config, dir.path());
        gateway.tell_start("demo", 1);
        if trusted {
            assert!(backend.told().await.event_id.ends_with(":started"));
        } else {
            backend.refused_handshake().await;
        }
        gateway.stop().await;
    }
}

#[test]
fn a_wrong_configuration_is_refused_by_the_name_of_its_key() {
    let secret = |text: &str| SecretText::new(text.to_owned());
    let wrong = [
        (
            "url",
            AppCallback {
                url: "ftp://x/".into(),
                ..app("")
            },
        ),
        (
            "url",
            AppCallback {
                url: "hook".into(),
                ..app("")
            },
        ),
        (
            "sdk_app_id",
            AppCallback {
                sdk_app_id: 0,
                ..app("http://x/")
            },
        ),
        (
            "secrets",
            AppCallback {
                secrets: vec![],
                ..app("http://x/")
            },
        ),
        (
            "secrets",
            AppCallback {
                secrets: vec![secret("short")],
                ..app("http://x/")
            },
        ),
        (
            "ca_file",
            AppCallback {
                ca_file: Some("gone.pem".into()),
                ..app("https://x/")
            },
        ),
    ];
    for (key, app) in wrong {
        let config = CallbackConfig {
            apps: vec![app],
            ..CallbackConfig::default()
        };
        let error = Delivery::open(&config, Path::new("/")).unwrap_err();
        assert_eq!(error.key, format!("apps[0].{key}"));
    }
    let config = CallbackConfig {
        apps: vec![app("http://x/"), app("http://y/")],
        ..CallbackConfig::default()
    };
    let error = Delivery::open(&config, Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "apps[1].sdk_app_id: the app is there twice"
    );
}

/// A store and a dispatcher.
struct Gateway {
    engine: Engine,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
}

impl Gateway {
    fn start(dir: &TempDir, url: &str) -> Self {
        Self::open(dir, config(url), dir.path())
    }

    fn open(dir: &TempDir, config: CallbackConfig, base: &Path) -> Self {
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

    fn tell_start(&self, room: &str, number: u128) {
        let started = started(room, number);
        self.submit(payload::live_started(&started));
    }

    fn tell_end(&self, room: &str, number: u128) {
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

    fn submit(&self, row: livegate::engine::OutboxRow) {
        let commit = Commit {
            subject: Subject::Quiet,
            facts: Vec::new(),
            outbox: vec![row],
            reserve: false,
        };
        self.engine.submit(commit).unwrap();
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

/// What a backend answers next; 200 when nothing is left.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// 429 with a Retry-After of 0 s.
    Busy,
    /// To a place that would say 200.
    Redirect,
    /// The connection ends without an answer.
    BreakOff,
    /// 200 and a body that does not end.
    Endless,
}

/// An event as a backend was told it, its signature verified.
#[derive(Debug)]
struct Told {
    event_id: String,
    query: String,
    room: String,
    body: Bytes,
    status: StatusCode,
}

struct Backend {
    told: mpsc::Receiver<Told>,
    handshakes: mpsc::Receiver<()>,
    shared: Arc<Shared>,
}

struct Shared {
    told: mpsc::Sender<Told>,
    answers: Mutex<VecDeque<Answer>>,
    poisoned: Mutex<String>,
}

impl Shared {
    fn poison(&self, room: &str) {
        *self.poisoned.lock().unwrap() = room.to_owned();
    }
}

impl Backend {
    fn new(answers: impl IntoIterator<Item = Answer>) -> (Self, mpsc::Sender<()>, Router) {
        let (tell, told) = mpsc::channel(1_000);
        let (refuse, handshakes) = mpsc::channel(1_000);
        let shared = Arc::new(Shared {
            told: tell,
            answers: Mutex::new(answers.into_iter().collect()),
            poisoned: Mutex::default(),
        });
        let router = Router::new()
            .route("/hook", axum::routing::post(hook))
            .route("/elsewhere", axum::routing::post(elsewhere))
            .with_state(shared.clone());
        let backend = Self {
            told,
            handshakes,
            shared,
        };
        (backend, refuse, router)
    }

    async fn serve(answers: impl IntoIterator<Item = Answer>) -> (Self, SocketAddr) {
        let (backend, _, router) = Self::new(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        (backend, address)
    }

    /// With a certificate for localhost, which is returned as PEM.
    async fn serve_tls() -> (Self, SocketAddr, String) {
        let (backend, refuse, router) = Self::new([]);
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = issued.signing_key.serialize_der().try_into().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    refuse.send(()).await.unwrap();
                    continue;
                };
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let io = hyper_util::rt::TokioIo::new(stream);
                TaskTracker::new().spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(io, service).await
                });
            }
        });
        (backend, address, issued.cert.pem())
    }

    async fn told(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(20), self.told.recv());
        told.await.expect("nothing was told").unwrap()
    }

    async fn told_other_than(&mut self, status: StatusCode) -> Told {
        loop {
            let told = self.told().await;
            if told.status != status {
                return told;
            }
        }
    }

    async fn refused_handshake(&mut self) {
        let refused = tokio::time::timeout(Duration::from_secs(20), self.handshakes.recv());
        refused.await.expect("the handshake succeeded").unwrap();
    }
}

async fn hook(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let event_id = verify(&headers, &body);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let room = json.get("room_id").or_else(|| json.get("GroupId"));
    let room = room.unwrap().as_str().unwrap().to_owned();
    if let Some(in_body) = json.get("event_id") {
        assert_eq!(*in_body, *event_id);
    }
    let poisoned = *shared.poisoned.lock().unwrap() == room;
    let answer = match poisoned {
        true => Answer::Status(502),
        false => {
            let next = shared.answers.lock().unwrap().pop_front();
            next.unwrap_or(Answer::Status(200))
        }
    };
    let response = respond(answer);
    let told = Told {
        event_id,
        query: uri.query().unwrap_or_default().to_owned(),
        room,
        body,
        status: response.status(),
    };
    shared.told.send(told).await.unwrap();
    response
}

/// Where a redirect would lead: to be told here fails a test.
async fn elsewhere(State(shared): State<Arc<Shared>>) {
    let told = Told {
        event_id: "redirected".to_owned(),
        query: String::new(),
        room: String::new(),
        body: Bytes::new(),
        status: StatusCode::OK,
    };
    shared.told.send(told).await.unwrap();
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Busy => {
            let headers = [(header::RETRY_AFTER, "0")];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
        Answer::Redirect => {
            let headers = [(header::LOCATION, "/elsewhere")];
            (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
        }
        Answer::BreakOff => {
            let broken = futures_util::stream::once(async {
                Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            });
            let mut response = Body::from_stream(broken).into_response();
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
        Answer::Endless => {
            let chunk = Bytes::from_static(&[b'x'; 4_096]);
            let endless = futures_util::stream::repeat_with(move || {
                Ok::<Bytes, std::io::Error>(chunk.clone())
            });
            Body::from_stream(endless).into_response()
        }
    }
}

/// As docs tell a backend to verify: both secrets sign, either will do.
fn verify(headers: &HeaderMap, body: &[u8]) -> String {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/json");
    let (event_id, timestamp) = (text(EVENT_ID), text(TIMESTAMP));
    let age = livegate::clock::unix_now().seconds() - timestamp.parse::<u64>().unwrap();
    assert!(age < 60, "signed {age} s ago");
    let mut signed = format!("{event_id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let signatures = text(SIGNATURE);
    let signatures: Vec<&str> = signatures.split(',').collect();
    assert_eq!(signatures.len(), SECRETS.len());
    for (signature, secret) in signatures.iter().zip(SECRETS) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let hex = signature.strip_prefix("v1=").unwrap();
        let tag: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        hmac::verify(&key, &signed, &tag).unwrap();
    }
    event_id
}

fn config(url: &str) -> CallbackConfig {
    CallbackConfig {
        first_backoff: Duration::from_millis(30),
        longest_backoff: Duration::from_millis(100),
        apps: vec![app(url)],
        ..CallbackConfig::default()
    }
}

fn app(url: &str) -> AppCallback {
    AppCallback {
        sdk_app_id: APP.0,
        url: url.to_owned(),
        secrets: SECRETS.map(|text| SecretText::new(text.to_owned())).into(),
        ca_file: None,
        ..AppCallback::default()
    }
}

fn url(address: SocketAddr) -> String {
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

fn live(number: u128) -> LiveId {
    LiveId(uuid::Uuid::from_u128(number))
}
