//! Codes of replies: 0, Tencent's where one fits, livegate's own from 30000.
//!
//! Source of Tencent's: the tables of its IM (Chat) documentation.

/// A reply code, as `Reply.code` carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Every code that this version answers with, and its text.
            pub const TABLE: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

codes! {
    /// Done.
    OK = 0, "ok";
    /// Something failed inside; a retry may succeed.
    INTERNAL = 10002, "internal error, retry";
    /// The command is not known.
    UNKNOWN_COMMAND = 10003, "unknown command";
    /// A field is missing or malformed.
    BAD_PARAMETER = 10004, "bad parameter";
    /// More accounts in one request than it may name.
    TOO_MANY_ACCOUNTS = 10005, "too many accounts in one request";
    /// An operation is repeated too often.
    OPERATION_RATE = 10006, "operation too frequent";
    /// The caller lacks the role or the signed privilege.
    NO_PERMISSION = 10007, "no permission";
    /// The room does not exist, or was destroyed.
    NO_ROOM = 10010, "room does not exist";
    /// The body is not what it should be.
    BAD_BODY = 10011, "body cannot be parsed";
    /// The acting user's id is malformed.
    BAD_USER_ID = 10012, "malformed user id";
    /// The room id is malformed.
    BAD_ROOM_ID = 10015, "malformed room id";
    /// The business backend refused.
    BACKEND_REFUSED = 10016, "refused by the business backend";
    /// The sender is muted.
    MUTED = 10017, "sender is muted";
    /// The account does not exist.
    NO_ACCOUNT = 10019, "account does not exist";
    /// The room id is in use by another owner.
    ROOM_ID_IN_USE = 10021, "room id in use";
    /// Too many messages.
    MESSAGE_RATE = 10023, "message frequency limit";
    /// The invitation or request was answered, or is over.
    ALREADY_HANDLED = 10024, "invitation already handled";
    /// The room exists and the caller owns it.
    ROOM_ALREADY_OWNED = 10025, "room exists and is yours";
    /// The message to recall does not exist.
    NO_MESSAGE = 10030, "message does not exist";
    /// The message is too old to be recalled.
    RECALL_TOO_LATE = 10031, "message can no longer be recalled";
    /// Messages of this kind of room cannot be deleted.
    NOT_DELETABLE = 10035, "messages of this room cannot be deleted";
    /// The app has as many rooms as it may.
    ROOM_COUNT_LIMIT = 10036, "too many rooms";
    /// The user addressed is not known or not here.
    NO_USER = 20003, "user not found";
    /// The business backend refused a message to a user.
    DIRECT_REFUSED = 20006, "refused by the business backend";
    /// The sender is muted in messages to users.
    DIRECT_MUTED = 20012, "sender is muted";
    /// A field of a profile is missing or malformed.
    BAD_PROFILE = 40001, "malformed profile";
    /// The URL or the HTTP request is malformed.
    BAD_URL = 60002, "malformed URL";
    /// The body is not valid JSON.
    BAD_JSON = 60003, "body is not valid JSON";
    /// The account or the signature in the URL is wrong.
    BAD_ACCOUNT = 60004, "account or signature in the URL is wrong";
    /// The app id in the URL is malformed.
    BAD_APP_ID = 60006, "malformed sdkappid";
    /// This endpoint is called too often.
    ENDPOINT_RATE = 60007, "endpoint called too often";
    /// The request took too long.
    REQUEST_TIMEOUT = 60008, "request timed out";
    /// Unknown verb or one that this version does not support.
    UNSUPPORTED = 60009, "unsupported verb";
    /// Only an admin of the app may do this.
    NOT_ADMIN = 60010, "needs an admin of the app";
    /// Requests come too fast.
    TOO_FREQUENT = 60011, "too many requests";
    /// The app id is missing from the URL.
    NO_APP_ID = 60012, "sdkappid is missing";
    /// An account field is not a text.
    ACCOUNT_NOT_TEXT = 60015, "account fields must be strings";
    /// The signature has expired.
    SIG_EXPIRED = 70001, "signature expired";
    /// The signature is empty.
    SIG_EMPTY = 70002, "signature is empty";
    /// The signature cannot be parsed.
    SIG_MALFORMED = 70003, "signature cannot be parsed";
    /// The signature is well formed but not valid.
    SIG_INVALID = 70005, "signature invalid";
    /// The signature does not match the app's key.
    SIG_MISMATCH = 70009, "signature does not match the key";
    /// The identifier differs from the one in the signature.
    SIG_USER_MISMATCH = 70013, "identifier does not match the signature";
    /// The app differs from the one in the signature.
    SIG_APP_MISMATCH = 70014, "sdk_app_id does not match the signature";
    /// The app has no key.
    APP_WITHOUT_KEY = 70016, "app has no key";
    /// The app does not exist.
    NO_APP = 70020, "sdk_app_id does not exist";
    /// The signature was revoked.
    SIG_REVOKED = 70052, "signature no longer valid";
    /// The account was never imported and never logged in.
    NOT_IMPORTED = 70107, "account does not exist";
    /// A field of an account command is malformed.
    BAD_ACCOUNT_PARAMETER = 70402, "bad parameter";
    /// An account command failed inside; a retry may succeed.
    ACCOUNT_INTERNAL = 70500, "internal error, retry";
    /// The backend's text check refused it.
    TEXT_REFUSED = 80001, "text refused";
    /// A message is longer than allowed.
    TOO_LONG = 80002, "message too long";
    /// The body of a message to a user is not valid JSON.
    DIRECT_BAD_JSON = 90001, "body is not valid JSON";
    /// The parts of a message to a user are malformed.
    DIRECT_BAD_MSG_BODY = 90002, "malformed MsgBody";
    /// A message to a user names nobody.
    DIRECT_NO_TARGET = 90003, "To_Account is missing";
    /// MsgRandom is missing or no number.
    DIRECT_BAD_RANDOM = 90005, "MsgRandom is missing or not an integer";
    /// MsgTimeStamp is no number.
    DIRECT_BAD_TIME = 90006, "MsgTimeStamp is not an integer";
    /// MsgBody is not an array.
    DIRECT_BODY_NOT_ARRAY = 90007, "MsgBody is not an array";
    /// The sender is malformed.
    DIRECT_BAD_SENDER = 90008, "malformed From_Account";
    /// A field of a message to a user is malformed.
    DIRECT_BAD_FORMAT = 90010, "malformed body";
    /// More receivers than one request may name.
    DIRECT_TOO_MANY = 90011, "more than 500 receivers";
    /// The receiver is not known.
    DIRECT_NO_USER = 90012, "To_Account does not exist";
    /// A message to a user is to be kept for too long.
    DIRECT_KEPT_TOO_LONG = 90026, "MsgLifeTime exceeds 7 days";
    /// SyncOtherMachine is no number.
    DIRECT_BAD_SYNC = 90031, "SyncOtherMachine is not an integer";
    /// MsgLifeTime is no number.
    DIRECT_BAD_LIFETIME = 90044, "MsgLifeTime is not an integer";
    /// A message to a user failed inside; a retry may succeed.
    DIRECT_INTERNAL = 91000, "internal error, retry";
    /// A message to a user is too long.
    DIRECT_TOO_LONG = 93000, "message too long";
    /// The room has a live of another user.
    LIVE_EXISTS = 30001, "the room has a live of another host";
    /// The caller is not in the room.
    NOT_IN_ROOM = 30002, "not in the room";
    /// The live has ended or is ending.
    LIVE_ENDED = 30003, "the live has ended";
    /// The room has no live.
    NO_LIVE = 30004, "the room has no live";
    /// The connection is logged in already.
    ALREADY_LOGGED_IN = 30005, "already logged in";
    /// The connection is in as many rooms as it may be.
    TOO_MANY_ROOMS = 30006, "too many rooms joined";
    /// The gateway has no capacity for this now; see retry_after_ms.
    OVERLOADED = 30007, "overloaded, retry later";
    /// The store cannot record this now.
    STORE_UNAVAILABLE = 30008, "store unavailable, retry later";
    /// The gateway is stopping.
    SHUTTING_DOWN = 30009, "shutting down";
    /// Before login only Login and Ping are answered.
    NOT_LOGGED_IN = 30010, "log in first";
    /// A request with this id is still in flight.
    DUPLICATE_REQUEST = 30011, "request id already in flight";
    /// The user is banned from the room.
    BANNED = 30012, "banned from the room";
    /// The app has no route for this service.
    NO_ROUTE = 30013, "no such service";
    /// The business backend did not answer in time.
    BACKEND_TIMEOUT = 30014, "the business backend did not answer in time";
    /// The business backend cannot be reached, or its breaker is open.
    BACKEND_UNAVAILABLE = 30015, "the business backend cannot be reached";
    /// As many calls are in flight as may be.
    TOO_MANY_CALLS = 30016, "too many calls in flight";
    /// As many invitations are open as may be.
    TOO_MANY_INVITATIONS = 30017, "too many invitations";
}

impl Code {
    /// The text of this code; free to change, only the number is stable.
    pub fn text(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("unknown", |(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct() {
        let numbers: HashSet<i32> = Code::TABLE.iter().map(|(code, _)| code.0).collect();
        assert_eq!(numbers.len(), Code::TABLE.len());
    }
}
