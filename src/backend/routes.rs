//! What the internal port answers, by path.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use livegate_proto::backend::backend_service_server::BackendServiceServer;
use livegate_proto::backend::govern_service_server::GovernServiceServer;
use livegate_proto::backend::stream_service_server::StreamServiceServer;
use serde::Serialize;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha;

use super::auth::ApiKeys;
use super::grpc::govern::Govern;
use super::grpc::stream::Streams;
use super::grpc::{self, BackendActions, Grpc};
use crate::actions::Actions;
use crate::clock::Clock;
use crate::engine::Journal;
use crate::telemetry::{Health, Metrics};

/// What the doors lead to.
#[derive(Debug)]
pub struct Doors<A> {
    /// Carries out what backends ask for.
    pub actions: Arc<A>,
    /// What governs rooms and users, and what follows them.
    pub node: Option<Node>,
    /// Who may call.
    pub keys: Arc<ApiKeys>,
    /// Shown at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Shown at `/healthz` and `/readyz`.
    pub health: Arc<Health>,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
}

/// What the doors that need the whole node are made from.
#[derive(Debug)]
pub struct Node {
    /// What a backend may do.
    pub actions: Arc<Actions>,
    /// Facts in the order of their records.
    pub journal: Journal,
    /// Tells the time.
    pub clock: Clock,
}

/// Puts the doors together. Whatever is not a door is answered 404 (405 for
/// the wrong method), in JSON; to gRPC callers in gRPC.
pub fn routes<A: BackendActions>(doors: Doors<A>) -> Router {
    let grpc = Grpc {
        actions: doors.actions,
        metrics: Arc::clone(&doors.metrics),
    };
    let service = BackendServiceServer::new(grpc)
        .max_decoding_message_size(doors.max_body_bytes)
        .max_encoding_message_size(usize::MAX);
    let keys = doors.keys;
    let guard =
        move |request: tonic::Request<()>| grpc::authorise(&keys, &request).map(|()| request);
    let mut services = Routes::new(InterceptedService::new(service, guard.clone()));
    if let Some(node) = doors.node {
        let most = doors.max_body_bytes;
        let (govern, streams) = node.services(doors.metrics.clone());
        let govern = GovernServiceServer::new(govern).max_decoding_message_size(most);
        let streams = StreamServiceServer::new(streams).max_decoding_message_size(most);
        services = services
            .add_service(InterceptedService::new(govern, guard.clone()))
            .add_service(InterceptedService::new(streams, guard));
    }
    services = services
        .add_service(reflection())
        .add_service(old_reflection());
    let watch = Router::new()
        .route("/healthz", get(alive))
        .route("/livez", get(alive))
        .route("/readyz", get(ready).with_state(doors.health))
        .route("/metrics", get(metrics).with_state(doors.metrics));
    services
        .into_axum_router()
        .layer(middleware::from_fn(only_grpc))
        .merge(watch)
        .reset_fallback()
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
}

impl Node {
    fn services(self, metrics: Arc<Metrics>) -> (Govern, Streams) {
        let govern = Govern {
            actions: Arc::clone(&self.actions),
            clock: self.clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        let streams = Streams {
            actions: self.actions,
            journal: self.journal,
            clock: self.clock,
            metrics,
        };
        (govern, streams)
    }
}

/// Tells tools such as grpcurl what services and messages there are. Needs no
/// key: it is the contract, and that is public.
fn reflection() -> ServerReflectionServer<impl ServerReflection> {
    described()
        .build_v1()
        .expect("the contract's own description")
}

/// The same by the name that it had before: older tools know no other.
fn old_reflection() -> v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection> {
    described()
        .build_v1alpha()
        .expect("the contract's own description")
}

fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(livegate_proto::FILE_DESCRIPTOR_SET)
}

async fn alive() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "alive": true }))
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, &readiness)
}

async fn metrics(State(metrics): State<Arc<Metrics>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}

/// Tells who comes to a gRPC path with something else that this is one.
async fn only_grpc(request: Request, next: Next) -> Response {
    if is_grpc(&request) {
        return next.run(request).await;
    }
    let error = "this path speaks gRPC: POST with content-type application/grpc over HTTP/2";
    json(StatusCode::UNSUPPORTED_MEDIA_TYPE, &Problem { error })
}

async fn nowhere(request: Request) -> Response {
    if is_grpc(&request) {
        return tonic::Status::unimplemented("no such service").into_http();
    }
    let error = "no such path";
    json(StatusCode::NOT_FOUND, &Problem { error })
}

async fn wrong_method() -> Response {
    let error = "this path does not know that method";
    json(StatusCode::METHOD_NOT_ALLOWED, &Problem { error })
}

fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

/// An answer of the port's own.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("made of plain fields");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
