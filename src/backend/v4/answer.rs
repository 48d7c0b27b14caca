//! What the door says: HTTP 200 always, the verdict in three fields.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use crate::actions::content::BadRequest;
use crate::rooms::Refusal;

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: Code,
    /// For people; free to change.
    pub(super) info: Cow<'static, str>,
}

/// What a command answers beside the three fields.
pub(super) type Answered = Result<Map<String, Value>, Problem>;

impl Problem {
    pub(super) fn new(code: Code, info: impl Into<Cow<'static, str>>) -> Self {
        let info = info.into();
        Self { code, info }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.text())
    }
}

impl From<Refusal> for Problem {
    /// livegate's own codes mean nothing to a client of this API: what may
    /// pass by itself is its internal error, which it knows to retry.
    fn from(refusal: Refusal) -> Self {
        let own = refusal.code.0 >= OWN_CODES && refusal.code.0 < OWN_CODES_END;
        let code = if own { Code::INTERNAL } else { refusal.code };
        Self::new(code, refusal.message)
    }
}

impl From<BadRequest> for Problem {
    fn from(bad: BadRequest) -> Self {
        Self::new(bad.code, bad.message)
    }
}

/// The codes that a service answers with in place of the common ones. Each
/// service of the vendor has a table of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialect(&'static [(Code, Code)]);

/// Rooms, messages in them, and what has no codes of its own.
pub(super) const GROUP: Dialect = Dialect(&[]);

/// Messages to users.
pub(super) const DIRECT: Dialect = Dialect(&[
    (Code::BAD_JSON, Code::DIRECT_BAD_JSON),
    (Code::BAD_PARAMETER, Code::DIRECT_BAD_FORMAT),
    (Code::TOO_MANY_ACCOUNTS, Code::DIRECT_TOO_MANY),
    (Code::TOO_LONG, Code::DIRECT_TOO_LONG),
    (Code::INTERNAL, Code::DIRECT_INTERNAL),
]);

/// Accounts.
pub(super) const LOGIN: Dialect = Dialect(&[
    (Code::BAD_PARAMETER, Code::BAD_ACCOUNT_PARAMETER),
    (Code::TOO_MANY_ACCOUNTS, Code::BAD_ACCOUNT_PARAMETER),
    (Code::TOO_LONG, Code::BAD_ACCOUNT_PARAMETER),
    (Code::INTERNAL, Code::ACCOUNT_INTERNAL),
]);

/// Profiles.
pub(super) const PROFILE: Dialect = Dialect(&[
    (Code::BAD_PARAMETER, Code::BAD_PROFILE),
    (Code::TOO_MANY_ACCOUNTS, Code::BAD_PROFILE),
]);

impl Dialect {
    /// The code that this service says for `common`.
    pub(super) fn tell(&self, common: Code) -> Code {
        let own = self.0.iter().find(|(code, _)| *code == common);
        own.map_or(common, |(_, own)| *own)
    }
}

/// livegate's own codes, which no client of this API knows.
const OWN_CODES: i32 = 30_000;
const OWN_CODES_END: i32 = 40_000;

/// The answer of a command that has none of its own.
pub(super) fn done() -> Answered {
    Ok(Map::new())
}

/// The HTTP response.
pub(super) fn render(answered: Answered) -> Response {
    let (mut fields, status, code, info) = match answered {
        Ok(fields) => (fields, "OK", Code::OK, Cow::Borrowed("")),
        Err(problem) => (Map::new(), "FAIL", problem.code, problem.info),
    };
    fields.insert("ActionStatus".to_owned(), status.into());
    fields.insert("ErrorCode".to_owned(), code.0.into());
    fields.insert("ErrorInfo".to_owned(), info.into());
    json(&Value::Object(fields))
}

/// 200 with a JSON body.
pub(super) fn json(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An object of an answer, from pairs.
macro_rules! object {
    ($($name:literal: $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an object may have no fields")]
        let mut map = serde_json::Map::new();
        $(map.insert($name.to_owned(), serde_json::Value::from($value));)*
        map
    }};
}
pub(super) use object;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_code_is_told_as_an_internal_error_and_a_vendors_as_it_is() {
        let own = Problem::from(Refusal::from(Code::OVERLOADED));
        assert_eq!(own.code, Code::INTERNAL);
        let known = Problem::from(Refusal::from(Code::NO_ROOM));
        assert_eq!(known.code, Code::NO_ROOM);
        for (code, _) in Code::TABLE.iter().filter(|(code, _)| *code != Code::OK) {
            let told = Problem::from(Refusal::from(*code)).code.0;
            assert!(!(OWN_CODES..OWN_CODES_END).contains(&told), "{code:?}");
        }
    }

    #[test]
    fn a_service_has_codes_of_its_own() {
        assert_eq!(GROUP.tell(Code::TOO_LONG).0, 80002);
        assert_eq!(DIRECT.tell(Code::TOO_LONG).0, 93000);
        assert_eq!(LOGIN.tell(Code::BAD_PARAMETER).0, 70402);
        assert_eq!(DIRECT.tell(Code::NO_ROOM), Code::NO_ROOM);
    }

    #[test]
    fn the_three_fields_are_in_every_answer() {
        for answered in [done(), Err(Code::NO_ROOM.into())] {
            let response = render(answered);
            assert_eq!(response.status(), 200);
        }
    }
}
