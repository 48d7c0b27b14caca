//! The values that labels of metrics may have: closed sets, known to the
//! compiler.

use livegate_proto::CloseCode;
use livegate_proto::close;
use livegate_proto::code::Code;

/// A closed set of label values, numbered from 0.
pub(crate) trait Label {
    /// The label's name.
    const KEY: &'static str;
    /// How many values there are.
    const VALUES: usize;

    /// The text of a value by its number.
    fn text(number: usize) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident($key:literal) { $($(#[$each:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many values there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The stable text in the exposition.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn index(self) -> usize {
                self as usize
            }
        }

        impl Label for $name {
            const KEY: &'static str = $key;
            const VALUES: usize = Self::COUNT;

            fn text(number: usize) -> &'static str {
                Self::ALL[number].as_str()
            }
        }
    )*};
}

labels! {
    /// How a client's bytes come.
    Transport("transport") {
        /// TLS over TCP.
        Tls = "tls",
        /// QUIC over UDP.
        Quic = "quic",
    }

    /// What happens to a message under pressure; mirrors `dispatch::Class`.
    MessageClass("class") {
        /// Latest wins.
        Low = "low",
        /// Laggards skip the oldest.
        Normal = "normal",
        /// Kept as long as the log holds it.
        High = "high",
        /// Never dropped.
        Essential = "essential",
    }

    /// Why one subscriber did not get a message that others got.
    SkipCause("cause") {
        /// It lagged behind the room by more than its budget.
        Lagging = "lagging",
        /// Its own ring of direct frames was full.
        RingFull = "ring_full",
    }

    /// Why a message was accepted, or offered, but went to nobody.
    DropCause("cause") {
        /// The room's message limit.
        RoomRate = "room_rate",
        /// The room's log was full and pinned by a slow shard.
        LogFull = "log_full",
        /// All logs together were at their byte budget.
        LogBudget = "log_budget",
    }

    /// Why a connection was turned away before its handshake.
    RefusalCause("cause") {
        /// Too many of its address are not logged in yet.
        AddressPending = "address_pending",
        /// Too many of its address are logged in.
        AddressSessions = "address_sessions",
        /// Too many handshakes are in flight.
        Handshakes = "handshakes",
        /// The gateway holds as many connections as it may.
        Connections = "connections",
        /// Connections come faster than they may.
        Rate = "rate",
        /// The gateway is stopping.
        Draining = "draining",
        /// The system gave no socket: out of files or memory.
        AcceptError = "accept_error",
    }

    /// Why a connection never got to its first frame.
    HandshakeFailure("cause") {
        /// Its deadline passed.
        Timeout = "timeout",
        /// TLS, QUIC or ALPN refused it.
        Protocol = "protocol",
        /// The peer went away.
        PeerGone = "peer_gone",
    }

    /// What came of one attempt to tell a backend something.
    AttemptResult("result") {
        /// Answered 2xx.
        Delivered = "delivered",
        /// Answered otherwise.
        Refused = "refused",
        /// No answer: not connected, broken off, timed out.
        Unreachable = "unreachable",
    }

    /// What came of a question to a backend.
    AskResult("result") {
        /// It may happen.
        Allowed = "allowed",
        /// It may not.
        Refused = "refused",
        /// The message is let go silently.
        Swallowed = "swallowed",
        /// No answer in time.
        TimedOut = "timed_out",
        /// No answer that can be understood, or no connection.
        Failed = "failed",
        /// Not asked: as many questions are under way as may be.
        Overloaded = "overloaded",
        /// Not asked: the backend has failed too often of late.
        Open = "open",
    }

    /// What a call of a client to its backend came to.
    CallResult("result") {
        /// The backend answered, with whatever status below 500.
        Answered = "answered",
        /// It answered 5xx.
        Failed = "failed",
        /// No answer: not connected, broken off, too long.
        Unreachable = "unreachable",
        /// No answer in time.
        Timeout = "timeout",
        /// Not sent: no such service.
        NoRoute = "no_route",
        /// Not sent: as many as may be were under way.
        Busy = "busy",
        /// Not sent: the backend is left alone.
        Resting = "resting",
    }

    /// What an event for a backend tells of.
    RowClass("kind") {
        /// Lives, rooms, publishers.
        Fact = "fact",
        /// What was said.
        Message = "message",
        /// Comings and goings.
        Presence = "presence",
    }

    /// A call on the internal port.
    BackendMethod("method") {
        /// `PushToRoom`.
        PushToRoom = "push_to_room",
        /// `PushToUser`.
        PushToUser = "push_to_user",
        /// `KickUser`.
        KickUser = "kick_user",
        /// `GetRoom`.
        GetRoom = "get_room",
        /// `ListLives`.
        ListLives = "list_lives",
        /// `EndLive`.
        EndLive = "end_live",
        /// `CreateRoom`.
        CreateRoom = "create_room",
        /// `DestroyRoom`.
        DestroyRoom = "destroy_room",
        /// `ModifyRoom`.
        ModifyRoom = "modify_room",
        /// `ListRooms`.
        ListRooms = "list_rooms",
        /// `ListMembers`.
        ListMembers = "list_members",
        /// `SetAttributes`.
        SetAttributes = "set_attributes",
        /// `GetAttributes`.
        GetAttributes = "get_attributes",
        /// `MuteUsers`.
        MuteUsers = "mute_users",
        /// `ListMutes`.
        ListMutes = "list_mutes",
        /// `BanUsers`.
        BanUsers = "ban_users",
        /// `ListBans`.
        ListBans = "list_bans",
        /// `SetRole`.
        SetRole = "set_role",
        /// `RemovePublisher`.
        RemovePublisher = "remove_publisher",
        /// `ListRoles`.
        ListRoles = "list_roles",
        /// `NotifyRoom`.
        NotifyRoom = "notify_room",
        /// `RecallMessages`.
        RecallMessages = "recall_messages",
        /// `GetHistory`.
        GetHistory = "get_history",
        /// `Broadcast`.
        Broadcast = "broadcast",
        /// `RevokeUser`.
        RevokeUser = "revoke_user",
        /// `SetProfile`.
        SetProfile = "set_profile",
        /// `GetUsers`.
        GetUsers = "get_users",
        /// `PushStream`.
        PushStream = "push_stream",
        /// `Watch`.
        Watch = "watch",
    }
}

labels! {
    /// Whether a handshake resumed an earlier one.
    Resumed("resumed") {
        /// A full handshake.
        No = "false",
        /// By a ticket.
        Yes = "true",
    }

    /// Whether something was done.
    Outcome("result") {
        /// Done.
        Ok = "ok",
        /// Not done.
        Error = "error",
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The gateway closed it and said why, or the client logged out.
    Code(CloseCode),
    /// The peer closed the stream, or the transport failed, without a word.
    Lost,
}

impl CloseReason {
    pub(crate) const COUNT: usize = close::TABLE.len() + 2;

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Lost => 0,
            Self::Code(code) => close::TABLE
                .iter()
                .position(|(known, _)| *known == code)
                .map_or(1, |at| at + 2),
        }
    }

    /// The stable text, for the session's last log line too.
    pub fn as_str(self) -> &'static str {
        Self::text(self.index())
    }
}

impl Label for CloseReason {
    const KEY: &'static str = "reason";
    const VALUES: usize = Self::COUNT;

    fn text(number: usize) -> &'static str {
        match number {
            0 => "lost",
            1 => "unspecified",
            _ => close::TABLE[number - 2].1,
        }
    }
}

impl From<CloseCode> for CloseReason {
    fn from(code: CloseCode) -> Self {
        Self::Code(code)
    }
}

/// How many places a tally by reply code has: each known code, and others.
pub(crate) const CODES: usize = Code::TABLE.len() + 1;

/// The place of a reply code.
pub(crate) fn code_index(code: Code) -> usize {
    Code::TABLE
        .iter()
        .position(|(known, _)| *known == code)
        .unwrap_or(CODES - 1)
}

/// The text of the code at a place.
pub(crate) fn code_text(index: usize) -> String {
    Code::TABLE
        .get(index)
        .map_or_else(|| "other".to_owned(), |(code, _)| code.0.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_close_reason_has_its_own_place_and_text() {
        let mut reasons = vec![CloseReason::Lost, CloseCode::Unspecified.into()];
        reasons.extend(
            close::TABLE
                .iter()
                .map(|(code, _)| CloseReason::from(*code)),
        );
        let places: HashSet<_> = reasons.iter().map(|r| r.index()).collect();
        let texts: HashSet<_> = reasons.iter().map(|r| r.as_str()).collect();
        assert_eq!(places, (0..CloseReason::COUNT).collect());
        assert_eq!(texts.len(), CloseReason::COUNT);
    }

    #[test]
    fn a_code_that_is_not_known_is_counted_as_other() {
        assert_eq!(code_text(code_index(Code::SIG_EXPIRED)), "70001");
        assert_eq!(code_text(code_index(Code(123_456))), "other");
    }
}
