//! Reads gRPC requests into commands.

pub(super) mod govern;

use livegate_proto::backend::{self as wire, push_to_room_request, push_to_user_request};
use livegate_proto::client::{Priority, User};
use livegate_proto::code::Code;

use crate::actions::command::{
    EndLive, Kick, ListLives, MAX_REASON, PushToRoom, PushToUser, Sender,
};
use crate::actions::content::{BadRequest, Content, check_profile};
use crate::id::{AppId, LiveId, RoomId, RoomKey, UserId, UserKey};

const NO_CONTENT: BadRequest = BadRequest {
    code: Code::BAD_PARAMETER,
    message: "content is missing",
};

pub(super) fn push_to_room(request: wire::PushToRoomRequest) -> Result<PushToRoom, BadRequest> {
    let content = match request.content.ok_or(NO_CONTENT)? {
        push_to_room_request::Content::Text(text) => Content::Text(text),
        push_to_room_request::Content::Custom(custom) => Content::Custom(custom),
        push_to_room_request::Content::Gift(gift) => Content::Gift(gift),
        push_to_room_request::Content::Elements(said) => Content::Elements(said),
    };
    Ok(PushToRoom {
        room: room_key(request.sdk_app_id, &request.room_id)?,
        from: sender(request.from)?,
        operator: None,
        random: None,
        priority: priority(request.priority)?,
        content: content.checked()?,
        bound: false,
        quiet: false,
        message_id: request.idempotency_key,
    })
}

pub(super) fn push_to_user(request: wire::PushToUserRequest) -> Result<PushToUser, BadRequest> {
    let content = match request.content.ok_or(NO_CONTENT)? {
        push_to_user_request::Content::Text(text) => Content::Text(text),
        push_to_user_request::Content::Custom(custom) => Content::Custom(custom),
        push_to_user_request::Content::Gift(gift) => Content::Gift(gift),
        push_to_user_request::Content::Elements(said) => Content::Elements(said),
    };
    Ok(PushToUser {
        to: user(request.sdk_app_id, &request.user_id)?,
        from: sender(request.from)?,
        numbers: None,
        content: content.checked()?,
        quiet: false,
    })
}

pub(super) fn kick(request: wire::KickUserRequest) -> Result<Kick, BadRequest> {
    if request.reason.len() > MAX_REASON {
        return Err(BadRequest::parameter("reason exceeds 256 bytes"));
    }
    let room = match request.room_id.as_str() {
        "" => None,
        room => Some(room_id(room)?),
    };
    Ok(Kick {
        user: user(request.sdk_app_id, &request.user_id)?,
        room,
        reason: request.reason,
    })
}

pub(super) fn get_room(request: &wire::GetRoomRequest) -> Result<RoomKey, BadRequest> {
    room_key(request.sdk_app_id, &request.room_id)
}

pub(super) fn list_lives(request: &wire::ListLivesRequest) -> Result<ListLives, BadRequest> {
    let limit = match request.limit {
        0 => 100,
        limit @ 1..=1000 => limit,
        _ => return Err(BadRequest::parameter("limit exceeds 1000")),
    };
    Ok(ListLives {
        app: AppId(request.sdk_app_id),
        limit,
        after: live(&request.cursor, "cursor is not from an answer")?,
    })
}

pub(super) fn end_live(request: &wire::EndLiveRequest) -> Result<EndLive, BadRequest> {
    Ok(EndLive {
        room: room_key(request.sdk_app_id, &request.room_id)?,
        live: live(&request.live_id, "live_id is malformed")?,
    })
}

fn room_key(app: u32, text: &str) -> Result<RoomKey, BadRequest> {
    Ok(RoomKey {
        app: AppId(app),
        room: room_id(text)?,
    })
}

fn room_id(text: &str) -> Result<RoomId, BadRequest> {
    RoomId::new(text).map_err(|_| BadRequest {
        code: Code::BAD_ROOM_ID,
        message: "room_id is 1 to 48 bytes of printable ASCII",
    })
}

fn user(app: u32, text: &str) -> Result<UserKey, BadRequest> {
    Ok(UserKey {
        app: AppId(app),
        user: user_id(text)?,
    })
}

fn user_id(text: &str) -> Result<UserId, BadRequest> {
    UserId::new(text).map_err(|_| BadRequest::parameter("user_id is malformed"))
}

fn sender(from: Option<User>) -> Result<Option<Sender>, BadRequest> {
    let Some(from) = from else {
        return Ok(None);
    };
    let profile = from.profile.unwrap_or_default();
    check_profile(&profile)?;
    Ok(Some(Sender {
        user: user_id(&from.user_id)?,
        profile,
    }))
}

fn priority(number: i32) -> Result<Priority, BadRequest> {
    match Priority::try_from(number) {
        Ok(Priority::Unspecified) => Ok(Priority::High),
        Ok(priority) => Ok(priority),
        Err(_) => Err(BadRequest::parameter("priority is not known")),
    }
}

fn live(text: &str, message: &'static str) -> Result<Option<LiveId>, BadRequest> {
    if text.is_empty() {
        return Ok(None);
    }
    let live = LiveId::parse(text).map_err(|_| BadRequest::parameter(message))?;
    Ok(Some(live))
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::Text;

    use super::*;

    fn push(text: &str) -> wire::PushToRoomRequest {
        let text = Text { text: text.into() };
        wire::PushToRoomRequest {
            sdk_app_id: 1,
            room_id: "demo".into(),
            content: Some(push_to_room_request::Content::Text(text)),
            ..wire::PushToRoomRequest::default()
        }
    }

    #[test]
    fn a_push_without_a_priority_is_high() {
        let command = push_to_room(push("hello")).unwrap();
        assert_eq!(command.priority, Priority::High);
        assert!(command.from.is_none());
    }

    #[test]
    fn a_bad_push_is_refused_with_its_own_code() {
        let empty = push_to_room(push("")).unwrap_err();
        assert_eq!(empty.code, Code::BAD_PARAMETER);
        let mut nowhere = push("hello");
        nowhere.room_id = "a\nb".into();
        assert_eq!(push_to_room(nowhere).unwrap_err().code, Code::BAD_ROOM_ID);
        let mut nothing = push("hello");
        nothing.content = None;
        assert_eq!(push_to_room(nothing).unwrap_err(), NO_CONTENT);
    }

    #[test]
    fn a_page_of_lives_has_a_limit_and_a_cursor_of_ours() {
        let mut request = wire::ListLivesRequest::default();
        assert_eq!(list_lives(&request).unwrap().limit, 100);
        request.limit = 1001;
        assert!(list_lives(&request).is_err());
        request.limit = 1000;
        request.cursor = "page 2".into();
        assert!(list_lives(&request).is_err());
    }

    #[test]
    fn a_kick_without_a_room_is_off_the_gateway() {
        let mut request = wire::KickUserRequest {
            user_id: "u".into(),
            ..wire::KickUserRequest::default()
        };
        assert!(kick(request.clone()).unwrap().room.is_none());
        request.reason = "r".repeat(MAX_REASON + 1);
        assert!(kick(request).is_err());
    }
}
