//! What a client asks for, typed and checked.
//!
//! Invariant: a [`Verb`] holds only ids that were parsed and fields within the
//! limits of the contract; nothing behind it checks them again. What the
//! caller may do, and whether the room exists, is decided by the action.

use std::fmt;
use std::time::Duration;

use livegate_proto::Bytes;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, send_request};
use livegate_proto::code::Code;
use secrecy::SecretString;

use super::content::{
    BadRequest, Content, Said, at_most, check_message_id, check_profile, check_room_info,
};
use crate::callback::call::{MAX_BODY, MAX_METHOD, MAX_SERVICE};
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
        /// Names the route; at most [`MAX_SERVICE`] bytes.
        service: String,
        /// At most [`MAX_METHOD`] bytes.
        method: String,
        /// At most [`MAX_BODY`] bytes.
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
    /// Checks a request and makes it a verb. Ping and Logout are the
    /// session's own and no verbs.
    ///
    /// # Errors
    /// [`BadRequest`] with the code of the reply: what this version does not
    /// support is [`Code::UNSUPPORTED`], a second login
    /// [`Code::ALREADY_LOGGED_IN`].
    pub fn from_wire(body: Body) -> Result<Self, BadRequest> {
        match body {
            Body::EnterRoom(enter) => enter_room(enter),
            Body::LeaveRoom(leave) => room(&leave.room_id).map(|room| Self::Leave { room }),
            Body::CreateRoom(create) => create_room(create),
            Body::DestroyRoom(it) => room(&it.room_id).map(|room| Self::Destroy { room }),
            Body::ListRooms(list) => Ok(Self::List {
                limit: limit(list.limit, 20, 100)?,
                cursor: cursor(list.cursor)?,
            }),
            Body::RoomInfo(info) => room(&info.room_id).map(|room| Self::Info { room }),
            Body::Members(members) => Ok(Self::Members {
                room: room(&members.room_id)?,
                limit: limit(members.limit, 50, 200)?,
                cursor: cursor(members.cursor)?,
            }),
            Body::Send(request) => send(request),
            Body::StartLive(start) => start_live(start),
            Body::EndLive(end) => end_live(&end),
            Body::History(history) => Ok(Self::History {
                room: room(&history.room_id)?,
                after: history.after_seq,
                limit: limit(history.limit, 50, 100)?,
            }),
            Body::SetAttributes(set) => Ok(Self::SetAttributes {
                room: room(&set.room_id)?,
                change: AttributesChange {
                    set: set
                        .attributes
                        .into_iter()
                        .map(|a| (a.key, a.value))
                        .collect(),
                    delete: set.delete_keys,
                    replace: set.replace,
                },
            }),
            Body::Invite(it) => mic(&it.room_id, user(&it.user_id).map(MicDeed::Invite)),
            Body::Ask(it) => mic(&it.room_id, Ok(MicDeed::Ask)),
            Body::Answer(it) => mic(&it.room_id, answer(it.invitation_id, it.accept)),
            Body::Cancel(it) => mic(
                &it.room_id,
                invitation(it.invitation_id).map(MicDeed::Cancel),
            ),
            Body::RemovePublisher(it) => mic(&it.room_id, user(&it.user_id).map(MicDeed::Remove)),
            Body::GrantPublisher(it) => mic(&it.room_id, user(&it.user_id).map(MicDeed::Grant)),
            Body::StartPublishing(it) => mic(&it.room_id, Ok(MicDeed::Start)),
            Body::StopPublishing(it) => mic(&it.room_id, Ok(MicDeed::Stop)),
            Body::Call(it) => call(it),
            Body::RenewSig(renew) => Ok(Self::RenewSig {
                sig: renew.user_sig.into(),
            }),
            Body::Login(_) => Err(refused(Code::ALREADY_LOGGED_IN)),
            Body::Ping(_) | Body::Logout(_) | Body::Resume(_) => Err(refused(Code::UNSUPPORTED)),
        }
    }

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

fn enter_room(enter: wire::EnterRoomRequest) -> Result<Verb, BadRequest> {
    if let Some(profile) = &enter.profile {
        check_profile(profile)?;
    }
    Ok(Verb::Enter {
        room: room(&enter.room_id)?,
        profile: enter.profile.map(Box::new),
    })
}

fn create_room(create: wire::CreateRoomRequest) -> Result<Verb, BadRequest> {
    check_room_info(&create.room_info)?;
    let wanted = Some(create.room_id).filter(|id| !id.is_empty());
    Ok(Verb::Create {
        room: wanted.as_deref().map(room).transpose()?,
        info: create.room_info,
    })
}

fn send(request: wire::SendRequest) -> Result<Verb, BadRequest> {
    let priority = priority(request.priority());
    let message_id = request.client_message_id;
    check_message_id(&message_id)?;
    let target = (request.target).ok_or_else(|| BadRequest::parameter("no target"))?;
    let content = (request.content).ok_or_else(|| BadRequest::parameter("no content"))?;
    match (target, Said::from(content)) {
        (send_request::Target::RoomId(id), Said::Content(content)) => Ok(Verb::Publish {
            room: room(&id)?,
            content: content.checked()?,
            priority,
            message_id,
        }),
        (send_request::Target::RoomId(id), Said::Like(like)) => Ok(Verb::Like {
            room: room(&id)?,
            count: likes(like.count)?,
        }),
        (send_request::Target::UserId(id), Said::Content(content)) => Ok(Verb::Direct {
            user: user(&id)?,
            content: content.checked()?,
            message_id,
        }),
        (send_request::Target::UserId(_), Said::Like(_)) => {
            Err(BadRequest::parameter("a like goes to a room"))
        }
    }
}

fn priority(said: wire::Priority) -> wire::Priority {
    match said {
        wire::Priority::Unspecified | wire::Priority::Normal => wire::Priority::Normal,
        wire::Priority::High => wire::Priority::High,
        wire::Priority::Low => wire::Priority::Low,
        wire::Priority::Lowest => wire::Priority::Lowest,
    }
}

fn likes(count: u32) -> Result<u32, BadRequest> {
    if count > MAX_LIKES {
        return Err(BadRequest::parameter("more than 1000 likes at once"));
    }
    Ok(count.max(1))
}

fn start_live(start: wire::StartLiveRequest) -> Result<Verb, BadRequest> {
    if start.start_id.is_empty() || start.start_id.len() > MAX_START_ID {
        return Err(BadRequest::parameter("start_id is not 1 to 64 bytes"));
    }
    let grace = start.grace_ms.map(|ms| Duration::from_millis(ms.into()));
    if grace.is_some_and(|grace| grace > MAX_GRACE) {
        return Err(BadRequest::parameter("grace_ms exceeds 120000"));
    }
    Ok(Verb::StartLive {
        room: room(&start.room_id)?,
        start_id: start.start_id,
        grace,
    })
}

fn end_live(end: &wire::EndLiveRequest) -> Result<Verb, BadRequest> {
    let named = Some(end.live_id.as_str()).filter(|id| !id.is_empty());
    let live = named
        .map(LiveId::parse)
        .transpose()
        .map_err(|_| BadRequest::parameter("malformed live_id"))?;
    Ok(Verb::EndLive {
        room: room(&end.room_id)?,
        live,
    })
}

fn call(call: wire::CallRequest) -> Result<Verb, BadRequest> {
    if !(1..=MAX_SERVICE).contains(&call.service.len()) {
        return Err(BadRequest::parameter("service is not 1 to 64 bytes"));
    }
    at_most(call.method.len(), MAX_METHOD, "method exceeds 128 bytes")?;
    if call.body.len() > MAX_BODY {
        return Err(refused(Code::TOO_LONG));
    }
    let deadline = Duration::from_millis(call.deadline_ms.into());
    Ok(Verb::Call {
        service: call.service,
        method: call.method,
        body: call.body,
        deadline: Some(deadline).filter(|asked| !asked.is_zero()),
    })
}

fn mic(id: &str, deed: Result<MicDeed, BadRequest>) -> Result<Verb, BadRequest> {
    let (room, deed) = (room(id)?, deed?);
    Ok(Verb::Mic { room, deed })
}

fn answer(id: String, accept: bool) -> Result<MicDeed, BadRequest> {
    let invitation = invitation(id)?;
    Ok(MicDeed::Answer { invitation, accept })
}

fn invitation(id: String) -> Result<String, BadRequest> {
    at_most(id.len(), MAX_INVITATION_ID, "malformed invitation_id")?;
    Ok(id)
}

fn user(id: &str) -> Result<UserId, BadRequest> {
    UserId::new(id).map_err(|_| BadRequest::parameter("malformed user_id"))
}

fn room(id: &str) -> Result<RoomId, BadRequest> {
    RoomId::new(id).map_err(|_| refused(Code::BAD_ROOM_ID))
}

fn limit(asked: u32, default: u32, max: u32) -> Result<u32, BadRequest> {
    match asked {
        0 => Ok(default),
        _ if asked > max => Err(BadRequest::parameter("limit is out of range")),
        _ => Ok(asked),
    }
}

fn cursor(text: String) -> Result<String, BadRequest> {
    at_most(text.len(), MAX_CURSOR, "cursor was not given by livegate")?;
    Ok(text)
}

fn refused(code: Code) -> BadRequest {
    BadRequest {
        code,
        message: code.text(),
    }
}

#[cfg(test)]
mod tests;
