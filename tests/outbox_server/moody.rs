//! The backend: well, or failing, hanging and late by turns, or down.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use livegate::callback::EVENT_ID;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::hook::is_signed;
use crate::told::Told;

/// How long livegate waits for an answer of it.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);

/// How long a test waits for it to be told.
const LIMIT: Duration = Duration::from_secs(120);

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Moody,
    Down,
}

/// What it does with one telling.
enum Answer {
    Yes,
    /// After a while, within the time that it has or beyond it.
    Late(Duration),
    Fails(StatusCode),
    Hangs,
}

/// A backend that runs.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    told: Mutex<Told>,
    mood: Mutex<Mood>,
    changed: Notify,
}

impl Backend {
    pub(crate) async fn serve() -> Self {
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            mood: Mutex::new(Mood::Moody),
            changed: Notify::new(),
        });
        let router = Router::new()
            .route("/hook", axum::routing::post(hear))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub(crate) fn is_now(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Told) -> T) -> T {
        read(&self.shared.told.lock().unwrap())
    }

    /// Waits until all of these were told and accepted.
    pub(crate) async fn has_heard(&self, all: &BTreeSet<String>) {
        let holds = |told: &Told| all.iter().all(|id| told.has(id));
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.read(holds) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.expect("not everything was told");
    }
}

async fn hear(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers[EVENT_ID].to_str().unwrap().to_owned();
    let answer = {
        let mut told = shared.told.lock().unwrap();
        if !is_signed(&headers, &body) {
            told.wrong.push(format!("{id}: not signed"));
        }
        told.hears(&id, &body);
        answer(*shared.mood.lock().unwrap(), told.heard)
    };
    match answer {
        Answer::Yes => {}
        Answer::Late(by) => tokio::time::sleep(by).await,
        Answer::Fails(status) => return status,
        Answer::Hangs => std::future::pending().await,
    }
    shared.told.lock().unwrap().accepts(&id);
    shared.changed.notify_waiters();
    StatusCode::OK
}

fn answer(mood: Mood, turn: u64) -> Answer {
    match (mood, turn % 16) {
        (Mood::Well, _) => Answer::Yes,
        (_, 0) => Answer::Hangs,
        (_, 1) => Answer::Late(TIMEOUT * 2),
        (_, 2 | 3) => Answer::Fails(StatusCode::INTERNAL_SERVER_ERROR),
        (_, 4) => Answer::Fails(StatusCode::SERVICE_UNAVAILABLE),
        (Mood::Down, _) => Answer::Fails(StatusCode::BAD_GATEWAY),
        (Mood::Moody, 5) => Answer::Late(TIMEOUT / 6),
        (Mood::Moody, _) => Answer::Yes,
    }
}
