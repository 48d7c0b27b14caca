//! The door to callbacks that were given up: lists them, has them told again,
//! forgets them. For operators; bodies are not shown.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::auth::ApiKeys;
use super::routes::json;
use crate::engine::{DEAD_LIMIT, DeadLetter, Outbox, Unavailable, Which};
use crate::id::AppId;

/// Most bytes of an order.
const MAX_ORDER: usize = 64 << 10;
/// Letters of a page when it is not said.
const PAGE: usize = 100;

/// One letter as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// By which it is named in orders.
    pub place: u64,
    /// Whose backend.
    pub sdk_app_id: u32,
    /// The room, else the user, in whose order it was told.
    pub order: String,
    /// Its event id.
    pub event_id: String,
    /// The last answer or error.
    pub cause: String,
    /// When it was recorded, Unix milliseconds.
    pub queued_ms: u64,
    /// When it was given up, Unix milliseconds.
    pub dead_ms: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

/// A page of letters, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// The page.
    pub letters: Vec<Letter>,
    /// There may be more after its last one.
    pub more: bool,
}

/// What is to be told again or forgotten: these places, else the oldest
/// thousand, of one app or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// By their places; at most a thousand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<u64>,
    /// Of this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_app_id: Option<u32>,
}

/// How many letters an order concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// So many.
    pub count: u64,
}

/// The routes, behind an API key.
pub fn dead_letters(outbox: Outbox, keys: Arc<ApiKeys>) -> Router {
    Router::new()
        .route("/livegate/v1/callbacks", get(list))
        .route("/livegate/v1/callbacks/replay", post(replay))
        .route("/livegate/v1/callbacks/drop", post(forget))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_ORDER))
        .layer(middleware::from_fn_with_state(keys, guard))
        .with_state(outbox)
}

async fn guard(State(keys): State<Arc<ApiKeys>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let presented = bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()));
    if presented.is_some_and(|key| keys.accept(key)) {
        return next.run(request).await;
    }
    refuse(StatusCode::UNAUTHORIZED, "an API key is needed: x-api-key")
}

async fn list(State(outbox): State<Outbox>, uri: Uri) -> Response {
    let Some((after, limit)) = page(uri.query().unwrap_or_default()) else {
        return refuse(StatusCode::BAD_REQUEST, "after and limit are numbers");
    };
    match outbox.dead_letters(after, limit).await {
        Ok(found) => {
            let more = found.len() == limit;
            let letters = found.into_iter().map(letter).collect();
            answer(&Letters { letters, more })
        }
        Err(unavailable) => store(unavailable),
    }
}

async fn replay(State(outbox): State<Outbox>, body: Bytes) -> Response {
    match which(&body) {
        Some(which) => count(outbox.replay(which).await),
        None => refuse(StatusCode::BAD_REQUEST, "not an order"),
    }
}

async fn forget(State(outbox): State<Outbox>, body: Bytes) -> Response {
    match which(&body) {
        Some(which) => count(outbox.forget(which).await),
        None => refuse(StatusCode::BAD_REQUEST, "not an order"),
    }
}

/// `after` and `limit` of a query.
fn page(query: &str) -> Option<(u64, usize)> {
    let (mut after, mut limit) = (0, PAGE);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("after", value) => after = value.parse().ok()?,
            ("limit", value) => limit = value.parse().ok()?,
            _ => {}
        }
    }
    (1..=DEAD_LIMIT).contains(&limit).then_some((after, limit))
}

fn which(body: &[u8]) -> Option<Which> {
    let order: Order = serde_json::from_slice(body).ok()?;
    if order.places.len() > DEAD_LIMIT {
        return None;
    }
    Some(match order.places.is_empty() {
        true => Which::Oldest(order.sdk_app_id.map(AppId)),
        false => Which::Places(order.places),
    })
}

fn letter(dead: DeadLetter) -> Letter {
    Letter {
        place: dead.row.seq,
        sdk_app_id: dead.order.app.0,
        order: dead.order.key.to_string(),
        event_id: dead.row.event_id,
        cause: dead.cause,
        queued_ms: dead.row.queued.0,
        dead_ms: dead.dead.0,
        bytes: u64::try_from(dead.row.body.len()).unwrap_or(u64::MAX),
    }
}

fn count(done: Result<u64, Unavailable>) -> Response {
    match done {
        Ok(count) => answer(&Count { count }),
        Err(unavailable) => store(unavailable),
    }
}

fn store(unavailable: Unavailable) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, &unavailable.to_string())
}

fn answer(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

fn refuse(status: StatusCode, error: &str) -> Response {
    json(status, &serde_json::json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_pages_are_read_or_refused() {
        assert_eq!(which(b"{}"), Some(Which::Oldest(None)));
        let app = br#"{"sdk_app_id":7}"#;
        assert_eq!(which(app), Some(Which::Oldest(Some(AppId(7)))));
        let places = br#"{"places":[3,5]}"#;
        assert_eq!(which(places), Some(Which::Places(vec![3, 5])));
        for bad in [&b""[..], b"[]x", br#"{"all":true}"#, br#"{"places":"3"}"#] {
            assert_eq!(which(bad), None);
        }
        assert_eq!(page(""), Some((0, PAGE)));
        assert_eq!(page("after=9&limit=2"), Some((9, 2)));
        for bad in ["limit=0", "limit=1001", "after=x", "after"] {
            assert_eq!(page(bad), None, "{bad}");
        }
    }
}
