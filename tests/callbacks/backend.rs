//! A backend that answers as it is told to, and verifies what it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use livegate::callback::{EVENT_ID, SIGNATURE, TIMESTAMP};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::gateway::SECRETS;

/// What a backend answers next; 200 when nothing is left.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
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
pub(crate) struct Told {
    pub(crate) event_id: String,
    pub(crate) query: String,
    pub(crate) room: String,
    pub(crate) body: Bytes,
    pub(crate) status: StatusCode,
}

pub(crate) struct Backend {
    pub(crate) told: mpsc::Receiver<Told>,
    pub(crate) handshakes: mpsc::Receiver<()>,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) told: mpsc::Sender<Told>,
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    pub(crate) poisoned: Mutex<String>,
}

impl Shared {
    pub(crate) fn poison(&self, room: &str) {
        *self.poisoned.lock().unwrap() = room.to_owned();
    }
}

impl Backend {
    pub(crate) fn new(
        answers: impl IntoIterator<Item = Answer>,
    ) -> (Self, mpsc::Sender<()>, Router) {
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

    pub(crate) async fn serve(answers: impl IntoIterator<Item = Answer>) -> (Self, SocketAddr) {
        let (backend, _, router) = Self::new(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        (backend, address)
    }

    /// With a certificate for localhost, which is returned as PEM.
    pub(crate) async fn serve_tls() -> (Self, SocketAddr, String) {
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

    pub(crate) async fn told(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(20), self.told.recv());
        told.await.expect("nothing was told").unwrap()
    }

    pub(crate) async fn told_other_than(&mut self, status: StatusCode) -> Told {
        loop {
            let told = self.told().await;
            if told.status != status {
                return told;
            }
        }
    }

    pub(crate) async fn refused_handshake(&mut self) {
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
