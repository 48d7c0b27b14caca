//! The backend's side of callbacks: hears them and verifies their signatures.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use livegate::callback::{EVENT_ID, SIGNATURE, TIMESTAMP};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::running::{self, HOOK_SECRET};

/// One event, as it was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event_id: String,
    pub(crate) body: Value,
}

/// A backend that says 200 to everything.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    told: mpsc::Receiver<Told>,
}

impl Hook {
    pub(crate) async fn serve() -> Self {
        let (tell, told) = mpsc::channel(100);
        let router = Router::new()
            .route("/hook", axum::routing::post(hear))
            .with_state(tell);
        let address = running::serve(router).await;
        Self { address, told }
    }

    /// The next event.
    pub(crate) async fn told(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(30), self.told.recv());
        told.await.expect("nothing was told").unwrap()
    }

    /// Whether there is nothing more.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.told.try_recv().is_err()
    }
}

/// Whether a callback was signed by livegate.
pub(crate) fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers[name].to_str().unwrap();
    let mut signed = format!("{}.{}.", text(EVENT_ID), text(TIMESTAMP)).into_bytes();
    signed.extend_from_slice(body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, HOOK_SECRET.as_bytes());
    let tag = hmac::sign(&key, &signed);
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text(SIGNATURE) == format!("v1={hex}")
}

async fn hear(
    State(tell): State<mpsc::Sender<Told>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    assert!(is_signed(&headers, &body));
    let event_id = headers[EVENT_ID].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap();
    // When a host is away and back is not for certain in every test.
    if matches!(body["event"].as_str(), Some("host_away" | "host_back")) {
        return StatusCode::OK;
    }
    tell.send(Told { event_id, body }).await.unwrap();
    StatusCode::OK
}
