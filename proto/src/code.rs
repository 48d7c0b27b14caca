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
    /// A field is missing or malformed.
    BAD_PARAMETER = 10004, "bad parameter";
    /// The caller lacks the role or the signed privilege.
    NO_PERMISSION = 10007, "no permission";
    /// The room does not exist, or was destroyed.
    NO_ROOM = 10010, "room does not exist";
    /// The room id is malformed.
    BAD_ROOM_ID = 10015, "malformed room id";
    /// The business backend refused.
    BACKEND_REFUSED = 10016, "refused by the business backend";
    /// The sender is muted.
    MUTED = 10017, "sender is muted";
    /// The room id is in use by another owner.
    ROOM_ID_IN_USE = 10021, "room id in use";
    /// Too many messages.
    MESSAGE_RATE = 10023, "message frequency limit";
    /// The room exists and the caller owns it.
    ROOM_ALREADY_OWNED = 10025, "room exists and is yours";
    /// The app has as many rooms as it may.
    ROOM_COUNT_LIMIT = 10036, "too many rooms";
    /// The user addressed is not known or not here.
    NO_USER = 20003, "user not found";
    /// Unknown verb or one that this version does not support.
    UNSUPPORTED = 60009, "unsupported verb";
    /// Requests come too fast.
    TOO_FREQUENT = 60011, "too many requests";
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
    /// A message is longer than allowed.
    TOO_LONG = 80002, "message too long";
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
