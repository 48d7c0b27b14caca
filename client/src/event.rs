//! What an app hears of.

use std::time::Duration;

use livegate_proto::client::{
    Attributes, Broadcast, Dropped, EnterRoomReply, HostAway, HostBack, Invitation,
    InvitationEnded, Kicked, LiveEnded, LiveStarted, Muted, Presence, PresenceDigest, Priority,
    PublisherEvent, Push, Recalled, RoleChanged, RoomDestroyed, RoomInfoChanged, RoomMessage,
    SystemNotice, Totals, UserMessage, live_event, push, room_message,
};

use crate::error::{ConnectError, Disconnect, RequestError};
use crate::link::Transport;

/// Something that happened, in the order in which it did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Logged in. Rooms are being entered again.
    Connected(Connected),
    /// The connection ended.
    Disconnected(Disconnected),
    /// An attempt to connect failed.
    ConnectFailed {
        /// Why.
        error: ConnectError,
        /// When the next attempt follows; none after a final failure.
        retry_in: Option<Duration>,
    },
    /// A room was entered, or entered again after a reconnect.
    Entered(Box<Entered>),
    /// A room could not be entered again after a reconnect; it is given up.
    ReenterFailed {
        /// Which room.
        room_id: String,
        /// Why.
        error: RequestError,
    },
    /// Something happened in a room.
    Room(RoomEvent),
    /// Somebody, or the backend, said something to this user.
    Direct(DirectMessage),
    /// Sequenced events of a room are missing.
    Gap(Gap),
    /// The app read too slowly: so many ordinary events were skipped here.
    Lagged {
        /// How many.
        skipped: u64,
    },
    /// The signature runs out; a renewable provider is asked for another.
    SigExpiring {
        /// When, Unix seconds.
        expires_at: i64,
    },
    /// The signature was renewed.
    SigRenewed {
        /// When the new one runs out, Unix seconds.
        expires_at: i64,
    },
    /// The signature could not be renewed; tried again in a while.
    SigRenewFailed {
        /// Why.
        error: String,
    },
    /// The gateway stops; the client comes back by itself.
    GoAway {
        /// When it advises to.
        reconnect_after: Duration,
        /// Why, a short text.
        reason: String,
    },
}

/// A login that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Names the session at the gateway.
    pub session_id: u64,
    /// Which transport won.
    pub transport: Transport,
    /// Whether an earlier connection was lost.
    pub again: bool,
    /// When the signature runs out, Unix seconds.
    pub sig_expires_at: i64,
}

/// A connection that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// Why; carries the gateway's close code when there was one.
    pub cause: Disconnect,
    /// When the next attempt follows; none after a final close.
    pub retry_in: Option<Duration>,
}

/// A room that was entered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entered {
    /// Which room.
    pub room_id: String,
    /// Its state, the own role and more.
    pub reply: EnterRoomReply,
    /// Whether this is after a reconnect.
    pub again: bool,
}

/// Something that happened in a room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomEvent {
    /// Which room; empty for a broadcast to all.
    pub room_id: String,
    /// Of the room's sequence.
    pub epoch: u64,
    /// Place in the sequence; 0 for states, where the latest wins.
    pub seq: u64,
    /// Server time, Unix milliseconds; 0 when read from a snapshot.
    pub time_ms: i64,
    /// How the client learnt of it.
    pub source: Source,
    /// What happened.
    pub kind: RoomEventKind,
}

/// How a client learnt of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Pushed as it happened.
    Push,
    /// Fetched from the room's history after a reconnect.
    History,
    /// Inferred from the room's state after a reconnect.
    Snapshot,
}

/// What happened in a room.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomEventKind {
    /// Somebody said something: text, a gift, the app's own.
    Message(RoomMessage),
    /// Who came and went, by name.
    Presence(Presence),
    /// Who came and went, in numbers.
    Digest(PresenceDigest),
    /// A live began.
    LiveStarted {
        /// Names the live.
        live_id: String,
        /// Who and when.
        started: LiveStarted,
    },
    /// The host is lost; the live ends unless the host comes back.
    HostAway {
        /// Names the live.
        live_id: String,
        /// Until when, and why.
        away: HostAway,
    },
    /// The host came back in time.
    HostBack {
        /// Names the live.
        live_id: String,
        /// Who.
        back: HostBack,
    },
    /// The live is over. Told once per live; without reason and statistics
    /// when it ended, and its record was gone, while this client was away.
    LiveEnded {
        /// Names the live.
        live_id: String,
        /// Why, and its statistics.
        ended: LiveEnded,
    },
    /// The room's attributes changed.
    Attributes(Attributes),
    /// Somebody took or left the mic.
    Publisher(PublisherEvent),
    /// An invitation to the mic.
    Invitation(Invitation),
    /// To everybody.
    Broadcast(Broadcast),
    /// Running totals, absolute.
    Totals(Totals),
    /// This user may not speak, or may again.
    Muted(Muted),
    /// This user is no longer in the room.
    Kicked(Kicked),
    /// The gateway skipped messages because this connection was too slow.
    Dropped(Dropped),
    /// This user's role changed.
    RoleChanged(RoleChanged),
    /// The room is gone.
    Destroyed(RoomDestroyed),
    /// What the room shows of itself changed.
    InfoChanged(RoomInfoChanged),
    /// Messages are to be shown no longer.
    Recalled(Recalled),
    /// The backend says something to the app, not to be shown.
    Notice(SystemNotice),
    /// An invitation to the mic is over.
    InvitationEnded(InvitationEnded),
}

/// A message to this user alone.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectMessage {
    /// Server time, Unix milliseconds.
    pub time_ms: i64,
    /// Who said what.
    pub message: UserMessage,
}

/// Sequenced events that this client did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Of which room.
    pub room_id: String,
    /// Of its present sequence.
    pub epoch: u64,
    /// First and last missing place; both 0 when the sequence began anew and
    /// nobody can tell how much is missing.
    pub from_seq: u64,
    /// See `from_seq`.
    pub to_seq: u64,
    /// Why.
    pub cause: GapCause,
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// They happened while the client was disconnected, and history no longer
    /// holds them or was not asked.
    Reconnect,
    /// The room's sequence began anew.
    NewEpoch,
    /// They were skipped on this connection.
    Skipped,
}

impl RoomEventKind {
    /// What a push says, unless it is of no room.
    pub(crate) fn of(body: push::Body) -> Option<Self> {
        Some(match body {
            push::Body::RoomMessage(message) => Self::Message(message),
            push::Body::Presence(presence) => Self::Presence(presence),
            push::Body::PresenceDigest(digest) => Self::Digest(digest),
            push::Body::Live(event) => return Self::of_live(event.live_id, event.kind?),
            push::Body::Attributes(attributes) => Self::Attributes(attributes),
            push::Body::Publisher(publisher) => Self::Publisher(publisher),
            push::Body::Invitation(invitation) => Self::Invitation(invitation),
            push::Body::Broadcast(broadcast) => Self::Broadcast(broadcast),
            push::Body::Totals(totals) => Self::Totals(totals),
            push::Body::Muted(muted) => Self::Muted(muted),
            push::Body::Kicked(kicked) => Self::Kicked(kicked),
            push::Body::Dropped(dropped) => Self::Dropped(dropped),
            push::Body::RoleChanged(changed) => Self::RoleChanged(changed),
            push::Body::RoomDestroyed(destroyed) => Self::Destroyed(destroyed),
            push::Body::RoomInfoChanged(changed) => Self::InfoChanged(changed),
            push::Body::Recalled(recalled) => Self::Recalled(recalled),
            push::Body::SystemNotice(notice) => Self::Notice(notice),
            push::Body::InvitationEnded(ended) => Self::InvitationEnded(ended),
            push::Body::UserMessage(_) | push::Body::SigExpiring(_) | push::Body::GoAway(_) => {
                return None;
            }
        })
    }

    #[allow(clippy::unnecessary_wraps)] // a kind of a later version may be none of these
    fn of_live(live_id: String, kind: live_event::Kind) -> Option<Self> {
        Some(match kind {
            live_event::Kind::Started(started) => Self::LiveStarted { live_id, started },
            live_event::Kind::Away(away) => Self::HostAway { live_id, away },
            live_event::Kind::Back(back) => Self::HostBack { live_id, back },
            live_event::Kind::Ended(ended) => Self::LiveEnded { live_id, ended },
        })
    }
}

impl RoomEvent {
    /// The event that a push carries, unless it is of no room.
    pub(crate) fn of(push: Push, source: Source) -> Option<Self> {
        Some(Self {
            kind: RoomEventKind::of(push.body?)?,
            room_id: push.room_id,
            epoch: push.epoch,
            seq: push.seq,
            time_ms: push.time_ms,
            source,
        })
    }
}

impl Event {
    /// Whether an app that does not keep up may miss it: danmaku of ordinary
    /// priority, presence and totals.
    pub(crate) fn may_be_skipped(&self) -> bool {
        let Self::Room(event) = self else {
            return false;
        };
        match &event.kind {
            RoomEventKind::Message(message) => {
                message.priority() != Priority::High
                    && !matches!(message.content, Some(room_message::Content::Gift(_)))
            }
            RoomEventKind::Presence(_) | RoomEventKind::Digest(_) | RoomEventKind::Totals(_) => {
                true
            }
            _ => false,
        }
    }
}
