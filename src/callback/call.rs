//! Calls: requests that apps send up to their backend over our connection.
//!
//! A call names a service; the operator's configuration says where that is.
//! It is posted there with who asks in signed headers ([`headers`]), and what
//! the backend answers goes back as the reply to the request.
//!
//! Invariants:
//! - a call that was started is answered exactly once, as
//!   [`SessionEvent::Answered`], within its route's time;
//! - it is sent at most once, unless its route is idempotent;
//! - only URLs of the configuration are called, redirects are not followed;
//! - a route has a bounded number of calls under way and leaves a backend that
//!   fails alone for a while;
//! - bodies are bounded both ways and never logged.
//!
//! Nothing of it runs on a shard.

mod headers;
mod route;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use livegate_proto::client::{CallReply, Reply, reply};
use livegate_proto::code::Code;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Handle;

pub use self::headers::{
    CLIENT_ADDRESS, DEADLINE_MS, METHOD, ROOM_ROLES, SDK_APP_ID, SERVICE, SESSION_ID, SIGNED,
    TRACE_ID, USER_ID,
};
use self::route::Route;
pub use self::route::{AppRoutes, MAX_SERVICE, RouteConfig, RouteError, RouteProblem, Routes};
use crate::clock::{Clock, Instant};
use crate::dispatch::{Dispatch, SessionEvent};
use crate::id::{AppId, RoomId, SessionId, UserId};
use crate::telemetry::{CallResult, Metrics};

/// Most bytes of a body, either way.
pub const MAX_BODY: usize = 64 << 10;
/// Most bytes of a method's name.
pub const MAX_METHOD: usize = 128;
/// Most bytes of an answer's content type that are passed on.
const MAX_CONTENT_TYPE: usize = 128;
/// How long an idempotent call waits before its second attempt.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// A request of a client, checked, with who asks.
#[derive(Clone)]
pub struct Call {
    /// The app.
    pub app: AppId,
    /// Who asks.
    pub user: UserId,
    /// By which session; the answer goes there.
    pub session: SessionId,
    /// The session's rooms, with the name of its role in each.
    pub roles: Vec<(RoomId, &'static str)>,
    /// Where the client comes from.
    pub address: IpAddr,
    /// Names the call in the headers and the log.
    pub trace_id: String,
    /// Names the route; at most [`MAX_SERVICE`] bytes.
    pub service: String,
    /// At most [`MAX_METHOD`] bytes.
    pub method: String,
    /// At most [`MAX_BODY`] bytes.
    pub body: Bytes,
    /// How long the caller waits; `None`: as long as the route allows.
    pub deadline: Option<Duration>,
}

impl std::fmt::Debug for Call {
    /// Writes no body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("app", &self.app)
            .field("service", &self.service)
            .field("trace_id", &self.trace_id)
            .finish_non_exhaustive()
    }
}

/// Why a call has no answer of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// The app has no such service.
    NoRoute,
    /// As many calls of the route are under way as may be.
    Busy,
    /// The backend failed too often and is left alone for so long.
    Resting(Duration),
    /// It cannot be reached, or broke off.
    Unreachable,
    /// Its answer is larger than a reply may be.
    TooLarge,
    /// It did not answer in time.
    Timeout,
}

impl CallError {
    /// What the reply says.
    pub fn code(self) -> Code {
        match self {
            Self::NoRoute => Code::NO_ROUTE,
            Self::Busy => Code::TOO_MANY_CALLS,
            Self::Resting(_) | Self::Unreachable | Self::TooLarge => Code::BACKEND_UNAVAILABLE,
            Self::Timeout => Code::BACKEND_TIMEOUT,
        }
    }

    /// More than the code's own text, where there is more to say.
    pub fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the answer of the business backend exceeds 65536 bytes",
            Self::NoRoute | Self::Busy | Self::Resting(_) | Self::Unreachable | Self::Timeout => {
                self.code().text()
            }
        }
    }

    /// When it is worth trying again.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Busy => Some(Duration::from_secs(1)),
            Self::Resting(wait) => Some(wait),
            Self::NoRoute | Self::Unreachable | Self::TooLarge | Self::Timeout => None,
        }
    }

    fn result(self) -> CallResult {
        match self {
            Self::NoRoute => CallResult::NoRoute,
            Self::Busy => CallResult::Busy,
            Self::Resting(_) => CallResult::Resting,
            Self::Unreachable | Self::TooLarge => CallResult::Unreachable,
            Self::Timeout => CallResult::Timeout,
        }
    }
}

/// Carries calls out.
#[derive(Debug)]
pub struct Calls {
    routes: Routes,
    dispatch: Dispatch,
    clock: Clock,
    metrics: Arc<Metrics>,
    runtime: Option<Handle>,
}

impl Calls {
    /// Calls run on the tokio runtime that this is called in; without one
    /// every call is refused as unreachable.
    pub fn new(routes: Routes, dispatch: Dispatch, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            routes,
            dispatch,
            clock,
            metrics,
            runtime: Handle::try_current().ok(),
        }
    }

    /// Whether calls of the app lead anywhere.
    pub fn has_routes(&self, app: AppId) -> bool {
        self.routes.has(app)
    }

    /// Sends a call up. After `Ok` its session is answered, with
    /// [`SessionEvent::Answered`] to `request_id`.
    ///
    /// # Errors
    /// [`CallError`] when it was not sent.
    pub fn start(&self, call: Call, request_id: u64) -> Result<(), CallError> {
        let sent = self.send(call, request_id);
        if let Err(error) = sent {
            self.metrics.calls().came_to(error.result());
        }
        sent
    }

    fn send(&self, call: Call, request_id: u64) -> Result<(), CallError> {
        let route = self.routes.get(call.app, &call.service);
        let route = Arc::clone(route.ok_or(CallError::NoRoute)?);
        let runtime = self.runtime.as_ref().ok_or(CallError::Unreachable)?;
        let place = Arc::clone(&route.places).try_acquire_owned();
        let place = place.map_err(|_| CallError::Busy)?;
        let begun = self.clock.now().instant;
        let admitted = route.breaker.lock().admit(&route.limits, begun);
        admitted.map_err(|until| CallError::Resting(until.since(begun)))?;
        let (dispatch, clock) = (self.dispatch.clone(), self.clock.clone());
        let metrics = Arc::clone(&self.metrics);
        metrics.calls().sent();
        runtime.spawn(async move {
            let result = route.carry_out(&call, &clock).await;
            drop(place);
            let spent = clock.now().instant.since(begun);
            metrics.calls().over(spent);
            metrics.calls().came_to(outcome(&result));
            tracing::debug!(?call, result = outcome(&result).as_str(), "call");
            let reply = Box::new(reply(request_id, result));
            dispatch.event(call.session, SessionEvent::Answered(reply));
        });
        Ok(())
    }
}

fn outcome(result: &Result<CallReply, CallError>) -> CallResult {
    match result {
        Ok(answer) if answer.status >= 500 => CallResult::Failed,
        Ok(_) => CallResult::Answered,
        Err(error) => error.result(),
    }
}

impl Route {
    async fn carry_out(&self, call: &Call, clock: &Clock) -> Result<CallReply, CallError> {
        let within = call
            .deadline
            .map_or(self.timeout, |asked| asked.min(self.timeout));
        let until = clock.now().instant + within;
        let first = self.attempt(call, until, clock).await;
        if !self.idempotent || !is_worth_another(&first) {
            return first;
        }
        let again = clock.now().instant + RETRY_AFTER;
        if again >= until {
            return first;
        }
        tokio::time::sleep(RETRY_AFTER).await;
        self.attempt(call, until, clock).await
    }

    async fn attempt(
        &self,
        call: &Call,
        until: Instant,
        clock: &Clock,
    ) -> Result<CallReply, CallError> {
        let now = clock.now();
        let left = until.since(now.instant);
        let request = self
            .client
            .post(self.url.clone())
            .headers(headers::headers(call, self, left, now.unix))
            .body(call.body.clone());
        let answer = tokio::time::timeout(left, answer(request)).await;
        let answer = answer.unwrap_or(Err(CallError::Timeout));
        let failed = match &answer {
            Ok(answer) => answer.status >= 500,
            Err(error) => *error != CallError::TooLarge,
        };
        let mut breaker = self.breaker.lock();
        if !failed {
            breaker.succeeded();
        } else if breaker.failed(&self.limits, clock.now().instant) {
            tracing::warn!(service = %call.service, app = %call.app, "a backend fails: left alone");
        }
        answer
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<CallReply, CallError> {
    let failed = |error: reqwest::Error| match error.is_timeout() {
        true => CallError::Timeout,
        false => CallError::Unreachable,
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16().into();
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .filter(|text| text.len() <= MAX_CONTENT_TYPE)
        .unwrap_or_default()
        .to_owned();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(CallReply {
        status,
        body: body.freeze(),
        content_type,
    })
}

/// Whether the backend did not take the call and may take it the next time.
fn is_worth_another(first: &Result<CallReply, CallError>) -> bool {
    match first {
        Ok(answer) => [
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ]
        .iter()
        .any(|status| u32::from(status.as_u16()) == answer.status),
        Err(error) => *error == CallError::Unreachable,
    }
}

fn reply(request_id: u64, result: Result<CallReply, CallError>) -> Reply {
    let mut reply = Reply {
        request_id,
        ..Reply::default()
    };
    match result {
        Ok(answer) => reply.body = Some(reply::Body::Call(answer)),
        Err(error) => {
            let retry_after = error.retry_after().unwrap_or_default().as_millis();
            reply.code = error.code().0;
            error.text().clone_into(&mut reply.message);
            reply.retry_after_ms = u32::try_from(retry_after).unwrap_or(u32::MAX);
        }
    }
    reply
}
