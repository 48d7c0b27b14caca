//! The vendor's REST API: `POST /v4/<service>/<command>`.
//!
//! The API describes itself at `GET /v4/openapi.json`.
//!
//! A backend that was written for the vendor's API, and any library for it,
//! works unchanged. The door is thin: it reads, authorises, limits, calls an
//! action and tells the result in the vendor's words. What it does with each
//! command is in `docs/v4.md`.
//!
//! Invariants: HTTP is 200 whatever happens, the verdict is in the body; the
//! caller is an admin of the app, proven by a signature, before anything of
//! the body is read; every id is one of the caller's app; bodies and signatures
//! are never logged.

mod accounts;
mod answer;
mod attributes;
mod body;
mod command;
mod direct;
mod fields;
mod groups;
mod messages;
mod openapi;
mod pace;
mod people;
mod presence;
mod query;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{any, get};
use foldhash::fast::RandomState;
use livegate_proto::code::Code;
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use self::answer::{Answered, Problem};
use self::command::{Call, Command, Run};
use self::fields::Fields;
use self::pace::Pace;
use self::query::Claim;
use super::config::V4Config;
use crate::actions::Actions;
use crate::auth::KeyRing;
use crate::clock::{Clock, Moment};
use crate::id::{AppId, UserId, UserKey};
use crate::telemetry::Metrics;

/// All commands, by service.
const TABLE: &[&[Command]] = &[
    groups::COMMANDS,
    messages::COMMANDS,
    people::COMMANDS,
    presence::COMMANDS,
    attributes::COMMANDS,
    direct::COMMANDS,
    accounts::COMMANDS,
];

/// Commands by service and name, with their number.
type Index = HashMap<(&'static str, &'static str), (usize, &'static Command), RandomState>;

/// What the door needs.
#[derive(Debug)]
pub struct V4Parts {
    /// Carries out what is asked for.
    pub actions: Arc<Actions>,
    /// Whose signatures hold, and who is an admin.
    pub keys: Arc<KeyRing>,
    /// Tells the time.
    pub clock: Clock,
    /// Counts calls.
    pub metrics: Arc<Metrics>,
    /// Limits.
    pub config: V4Config,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// What goes on after its answer: broadcasts.
    pub tasks: TaskTracker,
}

/// The door.
pub struct V4 {
    actions: Arc<Actions>,
    keys: Arc<KeyRing>,
    clock: Clock,
    metrics: Arc<Metrics>,
    config: V4Config,
    max_body_bytes: usize,
    tasks: TaskTracker,
    index: Index,
    pace: Pace,
    /// Numbers what has no number of a room.
    counter: AtomicU32,
}

impl fmt::Debug for V4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V4")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl V4 {
    /// The door with all its commands.
    pub fn new(parts: V4Parts) -> Self {
        let mut index = Index::default();
        for (n, command) in TABLE.iter().copied().flatten().enumerate() {
            index.insert((command.service, command.name), (n, command));
            for path in command.also {
                index.insert(*path, (n, command));
            }
        }
        Self {
            actions: parts.actions,
            keys: parts.keys,
            clock: parts.clock,
            metrics: parts.metrics,
            config: parts.config,
            max_body_bytes: parts.max_body_bytes,
            tasks: parts.tasks,
            index,
            pace: Pace::default(),
            counter: AtomicU32::new(0),
        }
    }

    /// Its paths, to be merged with those of the other doors.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v4/openapi.json", get(|| async { openapi::response() }))
            .route("/v4", any(serve))
            .route("/v4/", any(serve))
            .route("/v4/{*path}", any(serve))
            .with_state(Arc::new(self))
    }

    async fn answer(&self, request: Request) -> Answered {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Problem::new(Code::BAD_URL, "the method is POST"));
        }
        let claim = Claim::read(head.uri.query().unwrap_or_default())?;
        let now = self.clock.now();
        let (app, admin) = self.admin(&claim, now)?;
        let (number, command) = self.find(head.uri.path()).ok_or(Code::UNSUPPORTED)?;
        if !(self.pace).take(app, number, self.config.calls_per_second, now.instant) {
            return Err(Code::ENDPOINT_RATE.into());
        }
        let answered = self.carry_out(command, (app, &admin), body).await;
        answered.map_err(|problem| Problem {
            code: command.dialect.tell(problem.code),
            ..problem
        })
    }

    /// Who calls, if they may.
    fn admin(&self, claim: &Claim<'_>, now: Moment) -> Result<(AppId, UserId), Problem> {
        let told = |error: crate::auth::SigError| Problem::new(error.code(), error.to_string());
        let proven = self
            .keys
            .verify(claim.app, Some(&claim.identifier), &claim.sig, now.unix)
            .map_err(told)?;
        let key = UserKey {
            app: claim.app,
            user: proven.user.clone(),
        };
        let revoked = self.actions.directory().revoked_at(&key);
        proven.unless_revoked(revoked).map_err(told)?;
        if !self.keys.is_admin(key.app, &key.user) {
            return Err(Code::NOT_ADMIN.into());
        }
        Ok((key.app, key.user))
    }

    fn find(&self, path: &str) -> Option<(usize, &'static Command)> {
        let (service, name) = path.strip_prefix("/v4/")?.split_once('/')?;
        // The index lives as long as its keys; any text may be looked up.
        self.index.get(&(service, name)).copied()
    }

    async fn carry_out(
        &self,
        command: &'static Command,
        (app, admin): (AppId, &UserId),
        body: axum::body::Body,
    ) -> Answered {
        let too_long = |_| Problem::new(Code::BAD_URL, "the body is too long or was cut off");
        let body = axum::body::to_bytes(body, self.max_body_bytes).await;
        let body: Map<String, Value> =
            serde_json::from_slice(&body.map_err(too_long)?).map_err(|_| Code::BAD_JSON)?;
        let call = Call {
            v4: self,
            app,
            admin,
            fields: Fields::new(&body),
            now: self.clock.now(),
        };
        match command.run {
            Run::Now(run) => run(&call),
            Run::Later(run) => run(&call).await,
        }
    }
}

async fn serve(State(v4): State<Arc<V4>>, request: Request) -> Response {
    let answered = tokio::time::timeout(v4.config.deadline, v4.answer(request)).await;
    let answered = answered.unwrap_or_else(|_| Err(Code::REQUEST_TIMEOUT.into()));
    let code = answered
        .as_ref()
        .map_or_else(|problem| problem.code, |_| Code::OK);
    v4.metrics.v4_answer(code);
    answer::render(answered)
}
