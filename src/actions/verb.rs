//! What a client asks for, typed and checked.
//!
//! Invariant: a [`Verb`] holds only ids that were parsed and fields within the
//! limits of the contract; nothing behind it checks them again. What the
//! caller may do, and whether the room exists, is decided by the action.

mod reading;

use std::fmt;
use std::time::Duration;

use livegate_proto::Bytes;
use livegate_proto::client as wire;
use secrecy::SecretString;

use super::content::Content;
use crate::id::{LiveId, RoomId, UserId};
use crate::rooms::AttributesChange;

/// Most bytes of a paging cursor: longer than any that livegate gives.
pub const MAX_CURSOR: usize = 256;
/// Most bytes of a start id.
pub const MAX_START_ID: usize = 64;
/// Most bytes of an invitation's id.
pub const MAX_INVITATION_ID: usize = 64;
/// Most likes in one request.
pub const MAX_LIKES: u32 = 1000;
/// The longest grace that a host may ask for.
pub const MAX_GRACE: Duration = Duration::from_secs(120);

/// One request of a logged-in client, ready to be carried out.
#[derive(Clone)]
pub enum Verb {
    /// Enter a room.
    Enter {
        /// Which.
        room: RoomId,
        /// Shown in this room in place of the login's.
        profile: Option<Box<wire::Profile>>,
    },
    /// Leave a room.
    Leave {
        /// Which.
        room: RoomId,
    },
    /// Create a room that the caller then owns.
    Create {
        /// None: the gateway assigns an id.
        room: Option<RoomId>,
        /// Opaque.
        info: Bytes,
    },
    /// Destroy a room.
    Destroy {
        /// Which.
        room: RoomId,
    },
    /// List the app's rooms.
    List {
        /// 1 to 100.
        limit: u32,
        /// Empty: from the beginning.
        cursor: String,
    },
    /// Read a room's summary.
    Info {
        /// Which.
        room: RoomId,
    },
    /// List a room's members.
    Members {
        /// Which.
        room: RoomId,
        /// 1 to 200.
        limit: u32,
        /// Empty: from the beginning.
        cursor: String,
    },
    /// Say something to a room.
    Publish {
        /// Where.
        room: RoomId,
        /// What.
        content: Content,
        /// Normal unless the client said otherwise.
        priority: wire::Priority,
        /// Empty: not deduplicated.
        message_id: String,
    },
    /// Say something to a user.
    Direct {
        /// To whom.
        user: UserId,
        /// What.
        content: Content,
        /// Empty: not deduplicated.
        message_id: String,
    },
    /// Like a room's live.
    Like {
        /// Where.
        room: RoomId,
        /// 1 to [`MAX_LIKES`].
        count: u32,
    },
    /// Start a live.
    StartLive {
        /// Where.
        room: RoomId,
        /// Makes a repeat the same live. 1 to [`MAX_START_ID`] bytes.
        start_id: String,
        /// At most [`MAX_GRACE`]; None: the room's.
        grace: Option<Duration>,
    },
    /// End a live.
    EndLive {
        /// Where.
        room: RoomId,
        /// None: whichever the room has.
        live: Option<LiveId>,
    },
    /// Read what the room's log still holds.
    History {
        /// Where.
        room: RoomId,
        /// Greater sequence numbers are wanted.
        after: u64,
        /// 1 to 100.
        limit: u32,
    },
    /// Change a room's attributes.
    SetAttributes {
        /// Which.
        room: RoomId,
        /// What is different.
        change: AttributesChange,
    },
    /// Take part on the mic of a room.
    Mic {
        /// Which.
        room: RoomId,
        /// How.
        deed: MicDeed,
    },
    /// Ask the backend something.
    Call {
        /// Names the route; at most [`MAX_SERVICE`](crate::callback::call::MAX_SERVICE) bytes.
        service: String,
        /// At most [`MAX_METHOD`](crate::callback::call::MAX_METHOD) bytes.
        method: String,
        /// At most [`MAX_BODY`](crate::callback::call::MAX_BODY) bytes.
        body: Bytes,
        /// How long the caller waits; None: as long as the route allows.
        deadline: Option<Duration>,
    },
    /// Put a new signature in place of the one that runs out.
    RenewSig {
        /// Not yet verified.
        sig: SecretString,
    },
}

/// What a member does about the mic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MicDeed {
    /// Invite a member to it.
    Invite(UserId),
    /// Ask the host for it.
    Ask,
    /// Answer an invitation, or one who asks.
    Answer {
        /// Which; at most [`MAX_INVITATION_ID`] bytes.
        invitation: String,
        /// Yes or no.
        accept: bool,
    },
    /// Take an invitation back; at most [`MAX_INVITATION_ID`] bytes.
    Cancel(String),
    /// Take a user off it, and the role.
    Remove(UserId),
    /// Give a user the publisher's role.
    Grant(UserId),
    /// Take it.
    Start,
    /// Leave it.
    Stop,
}

impl MicDeed {
    /// The stable text for logs and metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Invite(_) => "invite",
            Self::Ask => "ask",
            Self::Answer { .. } => "answer",
            Self::Cancel(_) => "cancel",
            Self::Remove(_) => "remove_publisher",
            Self::Grant(_) => "grant_publisher",
            Self::Start => "start_publishing",
            Self::Stop => "stop_publishing",
        }
    }
}

impl Verb {
    /// The stable text for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enter { .. } => "enter_room",
            Self::Leave { .. } => "leave_room",
            Self::Create { .. } => "create_room",
            Self::Destroy { .. } => "destroy_room",
            Self::List { .. } => "list_rooms",
            Self::Info { .. } => "room_info",
            Self::Members { .. } => "members",
            Self::Publish { .. } => "publish",
            Self::Direct { .. } => "direct",
            Self::Like { .. } => "like",
            Self::StartLive { .. } => "start_live",
            Self::EndLive { .. } => "end_live",
            Self::History { .. } => "history",
            Self::SetAttributes { .. } => "set_attributes",
            Self::Mic { deed, .. } => deed.name(),
            Self::Call { .. } => "call",
            Self::RenewSig { .. } => "renew_sig",
        }
    }
}

impl fmt::Debug for Verb {
    /// Writes the name only: bodies and signatures are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
