//! What a business backend asks for, typed and checked.
//!
//! The doors of the internal API read their own dialect into these; actions
//! carry them out as they do a client's verbs. A backend may speak as anybody
//! and end anybody's live: its API key is its authority.

use livegate_proto::client::{Priority, Profile};

use super::content::Content;
use crate::event::Origin;
use crate::id::{AppId, LiveId, RoomId, RoomKey, UserId, UserKey};
use crate::rooms::ProfileChange;

/// Who a push is shown to come from.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The user.
    pub user: UserId,
    /// Shown with the name.
    pub profile: Profile,
}

/// Say something to everybody in a room.
#[derive(Clone, Debug)]
pub struct PushToRoom {
    /// Where.
    pub room: RoomKey,
    /// None: the app's admin.
    pub from: Option<Sender>,
    /// Who calls. None: the app's admin.
    pub operator: Option<UserId>,
    /// The vendor's number of it; None: it has none.
    pub random: Option<u32>,
    /// Never unspecified.
    pub priority: Priority,
    /// What.
    pub content: Content,
    /// What binds a message of a user binds it too: the room's rate, mutes.
    pub bound: bool,
    /// Its own backend is not told of it.
    pub quiet: bool,
    /// Makes a repeat within five minutes the same message; empty: none.
    pub message_id: String,
}

/// Say something to every session of a user.
#[derive(Clone, Debug)]
pub struct PushToUser {
    /// To whom.
    pub to: UserKey,
    /// None: the app's admin.
    pub from: Option<Sender>,
    /// The vendor's numbers of it; None: it has none.
    pub numbers: Option<Numbers>,
    /// What.
    pub content: Content,
    /// Its own backend is not told of it.
    pub quiet: bool,
}

/// What the vendor's API knows a message to a user by.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// `MsgSeq`.
    pub seq: u32,
    /// `MsgRandom`.
    pub random: u32,
}

/// Most bytes of the reason of a [`Kick`].
pub const MAX_REASON: usize = 256;

/// Take a user out of a room, or off the gateway.
#[derive(Clone, Debug)]
pub struct Kick {
    /// Who.
    pub user: UserKey,
    /// None: every session of the user is closed.
    pub room: Option<RoomId>,
    /// Told to the user; at most [`MAX_REASON`] bytes.
    pub reason: String,
}

/// Make a room that lasts.
#[derive(Clone, Debug)]
pub struct CreateRoom {
    /// The tenant.
    pub app: AppId,
    /// None: the gateway assigns an id.
    pub room: Option<RoomId>,
    /// None: nobody owns it.
    pub owner: Option<UserId>,
    /// Who calls. None: the app's admin.
    pub operator: Option<UserId>,
    /// From where it came in.
    pub origin: Origin,
    /// Opaque.
    pub info: bytes::Bytes,
    /// What it shows.
    pub profile: ProfileChange,
    /// As the v4 API names its type.
    pub kind: String,
}

/// List the lives of an app that have not ended, by live id.
#[derive(Clone, Debug)]
pub struct ListLives {
    /// The tenant.
    pub app: AppId,
    /// 1 to 1,000.
    pub limit: u32,
    /// Lives with a greater id are wanted; None: from the beginning.
    pub after: Option<LiveId>,
}

/// End a live for [`crate::event::EndReason::BackendEnded`].
#[derive(Clone, Debug)]
pub struct EndLive {
    /// Where.
    pub room: RoomKey,
    /// None: whichever live the room has.
    pub live: Option<LiveId>,
}
