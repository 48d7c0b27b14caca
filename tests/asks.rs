//! Questions to a backend that is slow, down or rude, over real HTTP.
//!
//! The property: a question takes at most its time; those beyond the app's
//! places, and those to a backend that has failed too often, are decided at once
//! by `on_timeout`; what is no answer decides nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use livegate::auth::SecretText;
use livegate::callback::ask::{Ask, Asks, OnTimeout, Question, Verdict};
use livegate::callback::{AppCallback, CallbackConfig, question, tell::Event};
use livegate::clock::{Clock, Unix};
use livegate::event::Origin;
use livegate::id::{AppId, UserId};
use livegate::telemetry::{AskResult, Metrics};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

const APP: AppId = AppId(7);

fn asks(
    backend: SocketAddr,
    change: impl FnOnce(&mut CallbackConfig),
) -> (Arc<Asks>, Arc<Metrics>) {
    let mut config = CallbackConfig {
        apps: vec![AppCallback {
            sdk_app_id: APP.0,
            url: format!("http://{backend}/hook"),
            secrets: vec![SecretText::new("a secret of the asks' test".to_owned())],
            ask: vec![Ask::Login],
            on_timeout: OnTimeout::Refuse,
            ..AppCallback::default()
        }],
        ..CallbackConfig::default()
    };
    change(&mut config);
    let metrics = Metrics::new(1);
    let asks = Asks::open(&config, Path::new("/"), &Clock::system(), &metrics).unwrap();
    (Arc::new(asks), metrics)
}

fn login() -> Question {
    let event = Event {
        app: APP,
        id: "ask:1".to_owned(),
        time: Unix(1_000),
        origin: Origin::Unknown,
    };
    question::before_login(event, &UserId::new("anna").unwrap())
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    address
}

fn is_refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused { .. })
}

#[tokio::test]
async fn questions_beyond_the_app_s_places_are_decided_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let arrived = Arc::new(Semaphore::new(0));
    let (held, here) = (Arc::clone(&gate), Arc::clone(&arrived));
    let hook = move || {
        let (held, here) = (Arc::clone(&held), Arc::clone(&here));
        async move {
            here.add_permits(1);
            held.acquire().await.unwrap().forget();
            "{\"ErrorCode\":0}"
        }
    };
    let backend = serve(Router::new().route("/hook", axum::routing::post(hook))).await;
    let (asks, metrics) = asks(backend, |config| {
        config.ask_parallel = 1;
        config.ask_timeout = Duration::from_secs(60);
    });
    let first = Arc::clone(&asks);
    let first = TaskTracker::new().spawn(async move { first.ask(APP, login()).await });
    arrived.acquire().await.unwrap().forget();
    assert!(is_refused(&asks.ask(APP, login()).await));
    assert_eq!(metrics.outbox().asked_count(AskResult::Overloaded), 1);
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), Verdict::Allowed(None));
}

#[tokio::test]
async fn a_backend_that_is_down_is_asked_no_more_for_a_while() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let (asks, metrics) = asks(nobody, |config| {
        config.breaker_failures = 2;
        config.breaker_rest = Duration::from_secs(3_600);
    });
    for _ in 0..5 {
        assert!(is_refused(&asks.ask(APP, login()).await));
    }
    let count = |result| metrics.outbox().asked_count(result);
    assert_eq!((count(AskResult::Failed), count(AskResult::Open)), (2, 3));
}

#[tokio::test]
async fn what_is_no_answer_decides_nothing() {
    async fn hook(body: Bytes) -> Response {
        let question: serde_json::Value = serde_json::from_slice(&body).unwrap();
        match question["user_id"].as_str().unwrap() {
            "error" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "text" => "yes".into_response(),
            "long" => vec![b' '; 1 << 20].into_response(),
            "away" => axum::response::Redirect::temporary("/elsewhere").into_response(),
            _ => std::future::pending().await,
        }
    }
    let router = Router::new()
        .route("/hook", axum::routing::post(hook))
        .route(
            "/elsewhere",
            axum::routing::post(|| async { "{\"ErrorCode\":0}" }),
        );
    let backend = serve(router).await;
    let (asks, metrics) = asks(backend, |config| {
        config.ask_timeout = Duration::from_millis(500);
    });
    for user in ["error", "text", "long", "away", "silent"] {
        let event = Event {
            app: APP,
            id: asks.event_id(),
            time: Unix(1_000),
            origin: Origin::Unknown,
        };
        let question = question::before_login(event, &UserId::new(user).unwrap());
        assert!(is_refused(&asks.ask(APP, question).await), "{user}");
    }
    let count = |result| metrics.outbox().asked_count(result);
    assert_eq!(
        (count(AskResult::Failed), count(AskResult::TimedOut)),
        (4, 1)
    );
}
