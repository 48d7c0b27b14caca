//! Reads what `GovernService` is asked for.

use livegate_proto::backend as wire;
use livegate_proto::client::{Attribute, Role};
use livegate_proto::code::Code;

use super::{room_id, room_key, sender, user_id};
use crate::actions::command::{CreateRoom, MAX_REASON, Sender};
use crate::actions::content::{BadRequest, Content, MAX_BODY, MAX_ROOM_INFO};
use crate::actions::governing::Span;
use crate::event::Origin;
use crate::id::{AppId, RoomKey, UserId, UserKey};
use crate::rooms::{AttributesChange, ProfileChange};

/// Most users that one request mutes or asks about (the vendor's figure).
const MAX_USERS: usize = 500;
/// Most users that one request bans (the vendor's figure).
const MAX_BANS: usize = 20;
/// Most messages that one request takes back.
const MAX_RECALLS: usize = 100;
/// Most bytes of a room's name, its two texts and its picture's URL.
const MAX_NAME: usize = 100;
const MAX_TEXT: usize = 400;
const MAX_URL: usize = 500;
/// Most bytes of a key and of a value of the app's own.
const MAX_KEY: usize = 32;
const MAX_VALUE: usize = 512;
/// Most bytes of the reason of a recall.
const MAX_RECALL_REASON: usize = 100;

/// Users of one app, and for how long something is to hold for them.
pub(in crate::backend) struct Users {
    /// In this room; none: everywhere.
    pub(in crate::backend) room: Option<RoomKey>,
    /// Whose.
    pub(in crate::backend) app: AppId,
    /// Whom.
    pub(in crate::backend) users: Vec<UserId>,
    /// How long.
    pub(in crate::backend) span: Span,
    /// Told to them.
    pub(in crate::backend) reason: String,
}

pub(in crate::backend) fn create_room(
    request: wire::CreateRoomRequest,
) -> Result<CreateRoom, BadRequest> {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let profile = request.profile.unwrap_or_default();
    if request.room_info.len() > MAX_ROOM_INFO {
        return Err(BadRequest::parameter("room_info exceeds 4096 bytes"));
    }
    let change = ProfileChange {
        name: Some(profile.name),
        introduction: Some(profile.introduction),
        notification: Some(profile.notification),
        face_url: Some(profile.face_url),
        mute_all: Some(profile.mute_all),
        app_defined: fields(profile.app_defined)?,
    };
    at_most(profile.r#type.len(), MAX_KEY, "type exceeds 32 bytes")?;
    Ok(CreateRoom {
        app: AppId(request.sdk_app_id),
        room: named(&request.room_id)
            .as_deref()
            .map(room_id)
            .transpose()?,
        owner: named(&request.owner_id)
            .as_deref()
            .map(user_id)
            .transpose()?,
        operator: None,
        origin: Origin::Api,
        info: request.room_info,
        profile: checked(change)?,
        kind: profile.r#type,
    })
}

/// What is to change in which room, and its new owner.
pub(in crate::backend) type Modify = (RoomKey, ProfileChange, Option<UserId>);

pub(in crate::backend) fn modify_room(
    request: wire::ModifyRoomRequest,
) -> Result<Modify, BadRequest> {
    let change = ProfileChange {
        name: request.name,
        introduction: request.introduction,
        notification: request.notification,
        face_url: request.face_url,
        mute_all: request.mute_all,
        app_defined: fields(request.app_defined)?,
    };
    let owner = match request.owner_id.as_str() {
        "" => None,
        owner => Some(user_id(owner)?),
    };
    let room = room_key(request.sdk_app_id, &request.room_id)?;
    Ok((room, checked(change)?, owner))
}

fn checked(change: ProfileChange) -> Result<ProfileChange, BadRequest> {
    let bounds = [
        (&change.name, MAX_NAME, "name exceeds 100 bytes"),
        (
            &change.introduction,
            MAX_TEXT,
            "introduction exceeds 400 bytes",
        ),
        (
            &change.notification,
            MAX_TEXT,
            "notification exceeds 400 bytes",
        ),
        (&change.face_url, MAX_URL, "face_url exceeds 500 bytes"),
    ];
    for (text, most, message) in bounds {
        at_most(text.as_ref().map_or(0, String::len), most, message)?;
    }
    Ok(change)
}

fn fields(fields: Vec<Attribute>) -> Result<Vec<(String, bytes::Bytes)>, BadRequest> {
    for field in &fields {
        if field.key.is_empty() {
            return Err(BadRequest::parameter("a key of app_defined is empty"));
        }
        let (key, value) = (field.key.len(), field.value.len());
        at_most(key, MAX_KEY, "a key of app_defined exceeds 32 bytes")?;
        at_most(value, MAX_VALUE, "a value of app_defined exceeds 512 bytes")?;
    }
    Ok(fields.into_iter().map(|f| (f.key, f.value)).collect())
}

pub(in crate::backend) fn room(app: u32, room: &str) -> Result<RoomKey, BadRequest> {
    room_key(app, room)
}

pub(in crate::backend) fn page(asked: u32, default: u32, most: u32) -> Result<u32, BadRequest> {
    match asked {
        0 => Ok(default),
        asked if asked <= most => Ok(asked),
        _ => Err(BadRequest::parameter("limit is out of range")),
    }
}

pub(in crate::backend) fn set_attributes(
    request: wire::SetAttributesRequest,
) -> Result<(RoomKey, AttributesChange), BadRequest> {
    let set = request.attributes.into_iter();
    let change = AttributesChange {
        set: set.map(|a| (a.key, a.value)).collect(),
        delete: request.delete_keys,
        replace: request.replace,
    };
    Ok((room_key(request.sdk_app_id, &request.room_id)?, change))
}

pub(in crate::backend) fn mute_users(request: wire::MuteUsersRequest) -> Result<Users, BadRequest> {
    let room = match request.room_id.as_str() {
        "" => None,
        room => Some(room_key(request.sdk_app_id, room)?),
    };
    Ok(Users {
        room,
        app: AppId(request.sdk_app_id),
        users: users(&request.user_ids, MAX_USERS)?,
        span: Span::from_seconds(request.seconds),
        reason: String::new(),
    })
}

pub(in crate::backend) fn ban_users(request: wire::BanUsersRequest) -> Result<Users, BadRequest> {
    at_most(request.reason.len(), MAX_REASON, "reason exceeds 256 bytes")?;
    Ok(Users {
        room: Some(room_key(request.sdk_app_id, &request.room_id)?),
        app: AppId(request.sdk_app_id),
        users: users(&request.user_ids, MAX_BANS)?,
        span: Span::from_seconds(request.seconds),
        reason: request.reason,
    })
}

pub(in crate::backend) fn set_role(
    request: &wire::SetRoleRequest,
) -> Result<(RoomKey, UserId, Role), BadRequest> {
    let role = match request.role() {
        Role::Unspecified => return Err(BadRequest::parameter("role is missing")),
        Role::Host => return Err(BadRequest::parameter("hosting is a live's, not a role")),
        role @ (Role::Viewer | Role::Publisher | Role::Admin) => role,
    };
    let room = room_key(request.sdk_app_id, &request.room_id)?;
    Ok((room, user_id(&request.user_id)?, role))
}

pub(in crate::backend) fn remove_publisher(
    request: &wire::RemovePublisherRequest,
) -> Result<(RoomKey, UserId), BadRequest> {
    let room = room_key(request.sdk_app_id, &request.room_id)?;
    Ok((room, user_id(&request.user_id)?))
}

pub(in crate::backend) fn notify_room(
    request: wire::NotifyRoomRequest,
) -> Result<(RoomKey, String), BadRequest> {
    if request.content.len() > MAX_BODY {
        return Err(BadRequest {
            code: Code::TOO_LONG,
            message: "content exceeds 12 KiB",
        });
    }
    let room = room_key(request.sdk_app_id, &request.room_id)?;
    Ok((room, request.content))
}

pub(in crate::backend) fn recall(
    request: &wire::RecallMessagesRequest,
) -> Result<RoomKey, BadRequest> {
    if request.seqs.is_empty() {
        return Err(BadRequest::parameter("seqs are missing"));
    }
    at_most(request.seqs.len(), MAX_RECALLS, "more than 100 seqs")?;
    let reason = request.reason.len();
    at_most(reason, MAX_RECALL_REASON, "reason exceeds 100 bytes")?;
    room_key(request.sdk_app_id, &request.room_id)
}

pub(in crate::backend) fn broadcast(
    request: wire::BroadcastRequest,
) -> Result<(AppId, Option<Sender>, Content), BadRequest> {
    use wire::broadcast_request::Content as Said;

    let content = match request.content {
        Some(Said::Text(text)) => Content::Text(text),
        Some(Said::Custom(custom)) => Content::Custom(custom),
        Some(Said::Elements(said)) => Content::Elements(said),
        None => return Err(BadRequest::parameter("content is missing")),
    };
    let from = sender(request.from)?;
    Ok((AppId(request.sdk_app_id), from, content.checked()?))
}

pub(in crate::backend) fn one_user(app: u32, user: &str) -> Result<UserKey, BadRequest> {
    Ok(UserKey {
        app: AppId(app),
        user: user_id(user)?,
    })
}

/// Whose profile, and what of it is to be fixed.
pub(in crate::backend) type FixProfile = (UserKey, Option<String>, Option<String>);

pub(in crate::backend) fn set_profile(
    request: wire::SetProfileRequest,
) -> Result<FixProfile, BadRequest> {
    let user = one_user(request.sdk_app_id, &request.user_id)?;
    let (nick, url) = (request.nick, request.avatar_url);
    crate::actions::content::check_profile(&livegate_proto::client::Profile {
        nick: nick.clone().unwrap_or_default(),
        avatar_url: url.clone().unwrap_or_default(),
        ..livegate_proto::client::Profile::default()
    })?;
    Ok((user, nick, url))
}

pub(in crate::backend) fn get_users(
    request: &wire::GetUsersRequest,
) -> Result<Vec<UserKey>, BadRequest> {
    let app = AppId(request.sdk_app_id);
    let users = users(&request.user_ids, MAX_USERS)?;
    Ok(users
        .into_iter()
        .map(|user| UserKey { app, user })
        .collect())
}

fn users(texts: &[String], most: usize) -> Result<Vec<UserId>, BadRequest> {
    if texts.is_empty() {
        return Err(BadRequest::parameter("user_ids are missing"));
    }
    if texts.len() > most {
        return Err(BadRequest {
            code: Code::TOO_MANY_ACCOUNTS,
            message: "more user_ids than one request may name",
        });
    }
    texts.iter().map(|text| user_id(text)).collect()
}

fn at_most(len: usize, most: usize, message: &'static str) -> Result<(), BadRequest> {
    if len > most {
        return Err(BadRequest::parameter(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_users_are_refused_with_their_code() {
        let request = |n: usize| wire::BanUsersRequest {
            sdk_app_id: 1,
            room_id: "demo".into(),
            user_ids: (0..n).map(|n| format!("u{n}")).collect(),
            seconds: 60,
            reason: String::new(),
        };
        assert_eq!(ban_users(request(20)).unwrap().users.len(), 20);
        let refused = ban_users(request(21)).err().unwrap();
        assert_eq!(refused.code, Code::TOO_MANY_ACCOUNTS);
        assert_eq!(
            ban_users(request(0)).err().unwrap().code,
            Code::BAD_PARAMETER
        );
    }

    #[test]
    fn a_field_of_the_apps_own_has_its_bounds() {
        let modify = |key: &str, value: usize| {
            modify_room(wire::ModifyRoomRequest {
                room_id: "demo".into(),
                app_defined: vec![Attribute {
                    key: key.into(),
                    value: vec![0; value].into(),
                }],
                ..wire::ModifyRoomRequest::default()
            })
        };
        assert!(modify("item", 512).is_ok());
        assert!(modify("item", 513).is_err());
        assert!(modify("", 1).is_err());
        assert!(modify(&"k".repeat(33), 1).is_err());
    }

    #[test]
    fn the_hosts_role_is_not_given() {
        let request = |role: Role| wire::SetRoleRequest {
            sdk_app_id: 1,
            room_id: "demo".into(),
            user_id: "u".into(),
            role: role.into(),
        };
        assert!(set_role(&request(Role::Publisher)).is_ok());
        assert!(set_role(&request(Role::Host)).is_err());
        assert!(set_role(&request(Role::Unspecified)).is_err());
    }
}
