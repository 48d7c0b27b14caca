//! What somebody says and shows of themselves, within its bounds.
//!
//! Owns the limits that the contract states for bodies, names and profiles,
//! so that every door (sessions, the backend's) refuses the same things with
//! the same codes. Does not look into bodies: those are the app's.

use std::fmt;

use livegate_proto::client::{self as wire, broadcast, room_message, send_request, user_message};
use livegate_proto::code::Code;
use thiserror::Error;

/// Most bytes of a text, a custom message's data, a gift's data.
pub const MAX_BODY: usize = 12 * 1024;
/// Most bytes of a name within a message: custom type, gift id, combo id.
pub const MAX_NAME: usize = 64;
/// Most parts of a message of several.
pub const MAX_ELEMENTS: usize = 64;
/// Most bytes of a client message id.
pub const MAX_MESSAGE_ID: usize = 64;
/// Most bytes of a room's opaque info.
pub const MAX_ROOM_INFO: usize = 4096;
/// Most bytes of a nick.
pub const MAX_NICK: usize = 96;
/// Most bytes of an avatar's URL.
pub const MAX_AVATAR_URL: usize = 512;
/// Most bytes of a profile's custom field.
pub const MAX_PROFILE_CUSTOM: usize = 512;

/// Why a request is not carried out, before anybody looked at its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{message} ({})", code.0)]
pub struct BadRequest {
    /// What the reply carries.
    pub code: Code,
    /// Which bound it breaks, for the developer at the other end.
    pub message: &'static str,
}

impl BadRequest {
    /// A field that is missing, malformed or out of its range.
    pub fn parameter(message: &'static str) -> Self {
        Self {
            code: Code::BAD_PARAMETER,
            message,
        }
    }

    fn too_long(message: &'static str) -> Self {
        Self {
            code: Code::TOO_LONG,
            message,
        }
    }
}

/// What is said, to a room or to a user. Likes are not said but counted.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Text of 1 to [`MAX_BODY`] bytes.
    Text(wire::Text),
    /// The app's own.
    Custom(wire::Custom),
    /// A gift; its count is at least 1.
    Gift(wire::Gift),
    /// Several parts; never a single text and nothing else, which is a text.
    Elements(wire::Elements),
}

impl Content {
    /// Holds `self` to the limits of the contract. A gift without a count is
    /// one gift.
    ///
    /// # Errors
    /// [`Code::TOO_LONG`] for a body over [`MAX_BODY`], else
    /// [`Code::BAD_PARAMETER`].
    pub fn checked(mut self) -> Result<Self, BadRequest> {
        match &mut self {
            Self::Text(text) => {
                if text.text.is_empty() {
                    return Err(BadRequest::parameter("text is empty"));
                }
                body(text.text.len(), "text exceeds 12 KiB")?;
            }
            Self::Custom(custom) => {
                name(&custom.r#type, "custom type exceeds 64 bytes")?;
                body(custom.data.len(), "custom data exceeds 12 KiB")?;
            }
            Self::Gift(gift) => {
                if gift.gift_id.is_empty() {
                    return Err(BadRequest::parameter("gift_id is empty"));
                }
                name(&gift.gift_id, "gift_id exceeds 64 bytes")?;
                name(&gift.combo_id, "combo_id exceeds 64 bytes")?;
                body(gift.data.len(), "gift data exceeds 12 KiB")?;
                gift.count = gift.count.max(1);
                gift.combo_total = 0;
                gift.combo_ended = false;
            }
            Self::Elements(elements) => {
                check_elements(elements)?;
                if let Some(text) = livegate_proto::elements::lone_text(elements) {
                    return Self::Text(wire::Text { text }).checked();
                }
            }
        }
        Ok(self)
    }
}

fn check_elements(said: &wire::Elements) -> Result<(), BadRequest> {
    if said.elements.is_empty() {
        return Err(BadRequest::parameter("elements are missing"));
    }
    let message = "more than 64 elements";
    at_most(said.elements.len(), MAX_ELEMENTS, message)?;
    let mut bytes = said.cloud_custom_data.len();
    for element in &said.elements {
        if element.r#type.is_empty() {
            return Err(BadRequest::parameter("element type is empty"));
        }
        name(&element.r#type, "element type exceeds 64 bytes")?;
        bytes += element.content.len();
        body(bytes, "elements exceed 12 KiB")?;
        if !livegate_proto::elements::is_object(&element.content) {
            return Err(BadRequest::parameter(
                "element content is not a JSON object",
            ));
        }
    }
    Ok(())
}

fn body(len: usize, message: &'static str) -> Result<(), BadRequest> {
    if len > MAX_BODY {
        return Err(BadRequest::too_long(message));
    }
    Ok(())
}

fn name(text: &str, message: &'static str) -> Result<(), BadRequest> {
    at_most(text.len(), MAX_NAME, message)
}

/// Refuses `len` over `max` as a bad parameter.
pub(super) fn at_most(len: usize, max: usize, message: &'static str) -> Result<(), BadRequest> {
    if len > max {
        return Err(BadRequest::parameter(message));
    }
    Ok(())
}

/// Holds a client's profile to the limits of the contract.
///
/// # Errors
/// [`Code::BAD_PARAMETER`] with the field that breaks its limit.
pub fn check_profile(profile: &wire::Profile) -> Result<(), BadRequest> {
    at_most(profile.nick.len(), MAX_NICK, "nick exceeds 96 bytes")?;
    let (url, custom) = (profile.avatar_url.len(), profile.custom.len());
    at_most(url, MAX_AVATAR_URL, "avatar_url exceeds 512 bytes")?;
    at_most(
        custom,
        MAX_PROFILE_CUSTOM,
        "profile custom exceeds 512 bytes",
    )
}

/// Holds a client message id to its limit.
///
/// # Errors
/// [`Code::BAD_PARAMETER`] when it is too long.
pub fn check_message_id(id: &str) -> Result<(), BadRequest> {
    let message = "client_message_id exceeds 64 bytes";
    at_most(id.len(), MAX_MESSAGE_ID, message)
}

/// Holds a room's info to its limit.
///
/// # Errors
/// [`Code::BAD_PARAMETER`] when it is too long.
pub fn check_room_info(info: &[u8]) -> Result<(), BadRequest> {
    at_most(info.len(), MAX_ROOM_INFO, "room_info exceeds 4096 bytes")
}

/// What a Send carries: something said, or a like.
pub(super) enum Said {
    Content(Content),
    Like(wire::Like),
}

impl From<send_request::Content> for Said {
    fn from(content: send_request::Content) -> Self {
        match content {
            send_request::Content::Text(text) => Self::Content(Content::Text(text)),
            send_request::Content::Custom(custom) => Self::Content(Content::Custom(custom)),
            send_request::Content::Gift(gift) => Self::Content(Content::Gift(gift)),
            send_request::Content::Elements(said) => Self::Content(Content::Elements(said)),
            send_request::Content::Like(like) => Self::Like(like),
        }
    }
}

impl From<Content> for room_message::Content {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Custom(custom) => Self::Custom(custom),
            Content::Gift(gift) => Self::Gift(gift),
            Content::Elements(said) => Self::Elements(said),
        }
    }
}

impl From<Content> for broadcast::Content {
    /// A gift is no word to everybody: it goes as its parts.
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Custom(custom) => Self::Custom(custom),
            Content::Elements(said) => Self::Elements(said),
            gift @ Content::Gift(_) => Self::Elements((&room_message::Content::from(gift)).into()),
        }
    }
}

impl From<Content> for user_message::Content {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Custom(custom) => Self::Custom(custom),
            Content::Gift(gift) => Self::Gift(gift),
            Content::Elements(said) => Self::Elements(said),
        }
    }
}

impl fmt::Debug for Content {
    /// Writes the kind only: bodies are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Custom(_) => "Custom",
            Self::Gift(_) => "Gift",
            Self::Elements(_) => "Elements",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Content {
        Content::Text(wire::Text {
            text: "x".repeat(len),
        })
    }

    #[test]
    fn a_body_at_the_limit_passes_and_one_byte_more_is_too_long() {
        assert!(text(MAX_BODY).checked().is_ok());
        let refused = text(MAX_BODY + 1).checked().unwrap_err();
        assert_eq!(refused.code, Code::TOO_LONG);
        let custom = wire::Custom {
            data: vec![0; MAX_BODY + 1].into(),
            ..wire::Custom::default()
        };
        let refused = Content::Custom(custom).checked().unwrap_err();
        assert_eq!(refused.code, Code::TOO_LONG);
    }

    #[test]
    fn a_gift_without_a_count_is_one_gift() {
        let gift = wire::Gift {
            gift_id: "rose".into(),
            ..wire::Gift::default()
        };
        let Content::Gift(gift) = Content::Gift(gift).checked().unwrap() else {
            panic!("a gift stays a gift");
        };
        assert_eq!(gift.count, 1);
    }

    #[test]
    fn a_profile_is_refused_by_the_field_that_is_too_long() {
        let profile = wire::Profile {
            nick: "n".repeat(MAX_NICK + 1),
            ..wire::Profile::default()
        };
        let refused = check_profile(&profile).unwrap_err();
        assert_eq!(refused.message, "nick exceeds 96 bytes");
        assert!(check_profile(&wire::Profile::default()).is_ok());
    }

    #[test]
    fn a_body_does_not_reach_the_log() {
        assert_eq!(format!("{:?}", text(3)), "Text");
    }
}
