//! Reads a client's request, within the limits of the contract.

use std::time::Duration;

use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, send_request};
use livegate_proto::code::Code;

use super::{MAX_CURSOR, MAX_GRACE, MAX_INVITATION_ID, MAX_LIKES, MAX_START_ID, MicDeed, Verb};
use crate::actions::content::{
    BadRequest, Said, at_most, check_message_id, check_profile, check_room_info,
};
use crate::callback::call::{MAX_BODY, MAX_METHOD, MAX_SERVICE};
use crate::id::{LiveId, RoomId, UserId};
use crate::rooms::AttributesChange;

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
