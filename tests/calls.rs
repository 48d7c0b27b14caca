//! Calls of apps to their backend over real HTTP.
//!
//! The property: each call that is let through is answered once, within its
//! time, with what the backend said or why there is no answer; it carries who
//! asks under a signature that verifies; it is sent once unless its route is
//! idempotent; a backend that hangs or fails keeps no more than its places and
//! is left alone.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use livegate::auth::SecretText;
use livegate::callback::call::{
    AppRoutes, Call, CallError, Calls, DEADLINE_MS, MAX_BODY, METHOD, ROOM_ROLES, RouteConfig,
    Routes, SIGNED, USER_ID,
};
use livegate::callback::{SIGNATURE, TIMESTAMP};
use livegate::clock::Clock;
use livegate::dispatch::{Dispatch, Input, SessionEvent};
use livegate::id::{AppId, RoomId, SessionId, ShardId, UserId};
use livegate::telemetry::Metrics;
use livegate_proto::client::{CallReply, Reply, reply};
use livegate_proto::code::Code;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

const APP: AppId = AppId(7);
const SECRET: &str = "the secret of the shop";

#[tokio::test]
async fn the_backend_reads_who_asks_and_its_answer_goes_back() {
    let gateway = Gateway::over(|_| {}).await;
    gateway.start(1, "echo", b"{\"gift\":\"rose\"}").unwrap();
    let (id, answer) = gateway.answer().await;
    assert_eq!(id, 1);
    assert_eq!(answer.unwrap(), echo(b"{\"gift\":\"rose\"}"));
    let heard = gateway.backend.heard.lock().unwrap().remove(0);
    let text = |name: &str| heard.headers[name].to_str().unwrap();
    assert_eq!(text(USER_ID), "%E5%AE%89");
    assert_eq!(text(ROOM_ROLES), "demo=host,a%2Cb=viewer");
    assert_eq!(text("content-type"), "application/json");
    assert!((1..=5_000).contains(&text(DEADLINE_MS).parse::<u64>().unwrap()));
    let identity: Vec<_> = SIGNED.into_iter().map(text).collect();
    let mut signed = format!("{}.{}.", identity.join("\n"), text(TIMESTAMP)).into_bytes();
    signed.extend_from_slice(&heard.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, &signed);
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(text(SIGNATURE), format!("v1={hex}"));
}

#[tokio::test]
async fn a_status_is_the_apps_to_judge_and_a_redirect_is_not_followed() {
    let gateway = Gateway::over(|_| {}).await;
    for (method, status) in [("missing", 404), ("redirect", 302), ("failed", 500)] {
        gateway.start(1, method, b"").unwrap();
        assert_eq!(gateway.answer().await.1.unwrap().status, status);
    }
    assert_eq!(gateway.backend.times(), 3, "each called once");
}

#[tokio::test]
async fn what_the_backend_does_not_do_right_is_told_by_code() {
    let gateway = Gateway::over(|_| {}).await;
    gateway.start(1, "large", b"").unwrap();
    let refused = gateway.answer().await.1.unwrap_err();
    assert_eq!(refused, Code::BACKEND_UNAVAILABLE);
    gateway.start(2, "largest", b"").unwrap();
    assert_eq!(gateway.answer().await.1.unwrap().body.len(), MAX_BODY);
    gateway.start(3, "broken", b"").unwrap();
    let refused = gateway.answer().await.1.unwrap_err();
    assert_eq!(refused, Code::BACKEND_UNAVAILABLE);
    let mut call = call("hang", b"");
    call.deadline = Some(Duration::from_millis(20));
    gateway.calls.start(call, 4).unwrap();
    let refused = gateway.answer().await.1.unwrap_err();
    assert_eq!(refused, Code::BACKEND_TIMEOUT);
}

#[tokio::test]
async fn a_service_without_a_route_is_refused_at_once_and_so_is_another_apps() {
    let gateway = Gateway::over(|_| {}).await;
    let mut unknown = call("echo", b"");
    unknown.service = "other".into();
    assert_eq!(gateway.calls.start(unknown, 1), Err(CallError::NoRoute));
    let mut foreign = call("echo", b"");
    foreign.app = AppId(8);
    assert_eq!(gateway.calls.start(foreign, 1), Err(CallError::NoRoute));
    assert_eq!(gateway.backend.times(), 0);
}

#[tokio::test]
async fn a_backend_that_hangs_keeps_its_places_and_no_more() {
    let gateway = Gateway::over(|route| route.parallel = 2).await;
    gateway.start(1, "hang", b"").unwrap();
    gateway.start(2, "hang", b"").unwrap();
    assert_eq!(gateway.start(3, "echo", b""), Err(CallError::Busy));
    assert_eq!(CallError::Busy.code(), Code::TOO_MANY_CALLS);
    gateway.backend.heard_times(2).await;
    gateway.backend.go_on.notify_waiters();
    let mut answered = gateway.answers(2).await;
    answered.sort_by_key(|(id, _)| *id);
    assert_eq!(answered.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
    gateway.start(4, "echo", b"").unwrap();
    assert_eq!(gateway.answer().await.0, 4);
}

#[tokio::test]
async fn a_backend_that_fails_in_a_row_is_left_alone() {
    let gateway = Gateway::over(|route| {
        route.failures = 2;
        route.rest = Duration::from_secs(3_600);
    })
    .await;
    for id in 1..=2 {
        gateway.start(id, "failed", b"").unwrap();
        assert_eq!(gateway.answer().await.1.unwrap().status, 500);
    }
    let refused = gateway.start(3, "echo", b"").unwrap_err();
    assert!(matches!(refused, CallError::Resting(_)), "{refused:?}");
    assert_eq!(refused.code(), Code::BACKEND_UNAVAILABLE);
    assert!(refused.retry_after().is_some());
    assert_eq!(gateway.backend.times(), 2);
}

#[tokio::test]
async fn only_an_idempotent_call_is_sent_again_and_only_once() {
    let gateway = Gateway::over(|_| {}).await;
    gateway.start(1, "unavailable", b"").unwrap();
    assert_eq!(gateway.answer().await.1.unwrap().status, 503);
    assert_eq!(gateway.backend.times(), 1);
    let gateway = Gateway::over(|route| route.idempotent = true).await;
    gateway.start(1, "unavailable", b"").unwrap();
    assert_eq!(gateway.answer().await.1.unwrap().status, 503);
    assert_eq!(gateway.backend.times(), 2);
    gateway.start(2, "failed", b"").unwrap();
    assert_eq!(gateway.answer().await.1.unwrap().status, 500);
    assert_eq!(gateway.backend.times(), 3, "it took that one");
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_told_so() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = Gateway::to(address, |_| {});
    gateway.start(1, "echo", b"").unwrap();
    let refused = gateway.answer().await.1.unwrap_err();
    assert_eq!(refused, Code::BACKEND_UNAVAILABLE);
}

/// Calls of one session, and the backend that they go to.
struct Gateway {
    calls: Calls,
    dispatch: Dispatch,
    backend: Arc<Backend>,
}

impl Gateway {
    async fn over(change: impl FnOnce(&mut RouteConfig)) -> Self {
        let backend = Arc::new(Backend::default());
        let router = Router::new()
            .route("/shop", axum::routing::post(hear))
            .with_state(Arc::clone(&backend));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self {
            backend,
            ..Self::to(address, change)
        }
    }

    fn to(address: SocketAddr, change: impl FnOnce(&mut RouteConfig)) -> Self {
        let mut route = RouteConfig {
            service: "shop".into(),
            url: format!("http://{address}/shop"),
            secrets: vec![SecretText::new(SECRET)],
            ..RouteConfig::default()
        };
        change(&mut route);
        let app = AppRoutes {
            sdk_app_id: APP.0,
            routes: vec![route],
        };
        let routes = Routes::open(&[app], Path::new("/")).unwrap();
        let dispatch = Dispatch::new(1);
        Self {
            calls: Calls::new(routes, dispatch.clone(), Clock::system(), Metrics::new(1)),
            dispatch,
            backend: Arc::default(),
        }
    }

    fn start(&self, request_id: u64, method: &str, body: &'static [u8]) -> Result<(), CallError> {
        self.calls.start(call(method, body), request_id)
    }

    /// The next answer: to which request, and what.
    async fn answer(&self) -> Answer {
        self.answers(1).await.remove(0)
    }

    /// The next `count` answers.
    async fn answers(&self, count: usize) -> Vec<Answer> {
        let inbox = self.dispatch.inbox(ShardId(0));
        let mut answers = Vec::new();
        let wait = async {
            while answers.len() < count {
                let mut inputs = Vec::new();
                inbox.take(&mut inputs);
                let none = inputs.is_empty();
                answers.extend(inputs.into_iter().map(answer));
                if none {
                    inbox.rung().await;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        waited.expect("no answer");
        assert_eq!(answers.len(), count);
        answers
    }
}

/// To which request, and what.
type Answer = (u64, Result<CallReply, Code>);

fn answer(input: Input) -> Answer {
    let Input::Event(to, SessionEvent::Answered(reply)) = input else {
        panic!("no answer: {input:?}");
    };
    assert_eq!(to, session());
    let Reply {
        request_id,
        code,
        body,
        ..
    } = *reply;
    let result = match body {
        Some(reply::Body::Call(answer)) => Ok(answer),
        Some(other) => panic!("no answer to a call: {other:?}"),
        None => Err(Code(code)),
    };
    (request_id, result)
}

fn call(method: &str, body: &'static [u8]) -> Call {
    Call {
        app: APP,
        user: UserId::new("安").unwrap(),
        session: session(),
        roles: vec![
            (RoomId::new("demo").unwrap(), "host"),
            (RoomId::new("a,b").unwrap(), "viewer"),
        ],
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trace_id: "0123456789abcdef".into(),
        service: "shop".into(),
        method: method.into(),
        body: Bytes::from_static(body),
        deadline: None,
    }
}

fn session() -> SessionId {
    SessionId::new(ShardId(0), 3, 9)
}

fn echo(body: &'static [u8]) -> CallReply {
    CallReply {
        status: 200,
        body: Bytes::from_static(body),
        content_type: "text/plain".into(),
    }
}

/// A call as the backend got it.
struct Heard {
    headers: HeaderMap,
    body: Bytes,
}

/// A backend that does what the method says.
#[derive(Default)]
struct Backend {
    heard: Mutex<Vec<Heard>>,
    /// Rung with each call that is heard.
    hears: Notify,
    go_on: Notify,
}

impl Backend {
    fn times(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// Waits until so many calls were heard.
    async fn heard_times(&self, times: usize) {
        while self.times() < times {
            self.hears.notified().await;
        }
    }
}

async fn hear(State(backend): State<Arc<Backend>>, headers: HeaderMap, body: Bytes) -> Response {
    let method = headers[METHOD].to_str().unwrap().to_owned();
    let mut go_on = std::pin::pin!(backend.go_on.notified());
    go_on.as_mut().enable();
    let echoed = body.clone();
    backend.heard.lock().unwrap().push(Heard { headers, body });
    backend.hears.notify_one();
    let plain = [(header::CONTENT_TYPE, "text/plain")];
    match method.as_str() {
        "echo" => (plain, echoed).into_response(),
        "missing" => StatusCode::NOT_FOUND.into_response(),
        "failed" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "redirect" => {
            let to = [(header::LOCATION, "/shop")];
            (StatusCode::FOUND, to).into_response()
        }
        "large" => vec![b'x'; MAX_BODY + 1].into_response(),
        "largest" => vec![b'x'; MAX_BODY].into_response(),
        "broken" => {
            let broken = futures_util::stream::iter([
                Ok(Bytes::from_static(b"half")),
                Err(std::io::Error::other("gone")),
            ]);
            Body::from_stream(broken).into_response()
        }
        "hang" => {
            go_on.await;
            StatusCode::OK.into_response()
        }
        other => panic!("no such method: {other}"),
    }
}
