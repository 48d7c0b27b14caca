//! What the RoomService door answers: HTTP 200 and a code, as the vendor's
//! servers do.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use livegate_proto::code::Code;
use serde_json::{Map, Value, json};

use crate::rooms::Refusal;

/// A code of the vendor's RoomService, or the one that is livegate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A parameter is missing or malformed.
    Parameter = 2,
    /// The room does not exist, or is not the caller's.
    Room = 3,
    /// Parameters of a login are missing.
    Login = 4,
    /// The caller is not in the room.
    Member = 5,
    /// The room could not be made or entered.
    Failed = 6,
    /// The signature or the token does not hold.
    Authentication = 7,
    /// Needs a media cloud, which livegate is not.
    Media = 8,
    /// There is no more place.
    Full = 5001,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// Answered 200 with this code.
    Said(Outcome, String),
    /// The body is no JSON object.
    NoJson,
    /// The body is missing, or longer than it may be.
    NoBody(StatusCode),
}

impl Problem {
    pub(super) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self::Said(outcome, message.into())
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(
            Outcome::Parameter,
            format!("{field} is missing or malformed"),
        )
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let outcome = match refusal.code {
            Code::NO_ROOM | Code::ROOM_ID_IN_USE | Code::NO_PERMISSION => Outcome::Room,
            Code::BAD_ROOM_ID | Code::BAD_PARAMETER | Code::TOO_LONG => Outcome::Parameter,
            Code::OVERLOADED | Code::ROOM_COUNT_LIMIT => Outcome::Full,
            Code::NOT_IN_ROOM => Outcome::Member,
            _ => Outcome::Failed,
        };
        Self::new(outcome, format!("{} ({})", refusal.message, refusal.code.0))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Said(outcome, message) => {
                let code = outcome as i32;
                ok(json!({ "code": code, "message": message }))
            }
            Self::NoJson => status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is no JSON"),
            Self::NoBody(code) => status(code, "the body is missing or too long"),
        }
    }
}

/// Done, with what else is answered.
pub(super) fn done(more: Map<String, Value>) -> Response {
    let mut body = Map::new();
    body.insert("code".to_owned(), json!(0));
    body.insert("message".to_owned(), json!("ok"));
    body.extend(more);
    ok(Value::Object(body))
}

fn ok(body: Value) -> Response {
    with(StatusCode::OK, &body)
}

fn status(code: StatusCode, message: &str) -> Response {
    let body = json!({ "code": Outcome::Parameter as i32, "message": message });
    with(code, &body)
}

fn with(code: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
