//! How much of everything a room may have that the backend changes.

use std::collections::BTreeMap;

use bytes::Bytes;
use livegate_proto::client as wire;
use livegate_proto::code::Code;

use super::ProfileChange;
use crate::rooms::refusal::Refusal;

/// Most attributes of a room (the vendor's figure).
const ATTRIBUTES: usize = 16;
/// Most bytes of one attribute's value.
const ATTRIBUTE_BYTES: usize = 4 << 10;
/// Most bytes of an attribute's key.
const ATTRIBUTE_KEY: usize = 32;
/// Most bytes of all of them together, keys included.
const ATTRIBUTES_BYTES: usize = 16 << 10;
/// Most fields of the app's own in a room's profile.
const APP_DEFINED: usize = 20;
/// Users that one room remembers as muted, and as banned.
const MAX_UNTILS: usize = 10_000;

/// Refuses when as many users are remembered as may be.
pub(super) fn must_have_place(taken: usize) -> Result<(), Refusal> {
    if taken >= MAX_UNTILS {
        return Err(Refusal::with(
            Code::OVERLOADED,
            "the room remembers no more users",
        ));
    }
    Ok(())
}

/// The profile with the change.
///
/// # Errors
/// [`Code::BAD_PARAMETER`] for more fields than a room may have.
pub(in crate::rooms::core) fn changed(
    mut profile: wire::RoomProfile,
    change: ProfileChange,
) -> Result<wire::RoomProfile, Refusal> {
    let put = |place: &mut String, new: Option<String>| {
        if let Some(new) = new {
            *place = new;
        }
    };
    put(&mut profile.name, change.name);
    put(&mut profile.introduction, change.introduction);
    put(&mut profile.notification, change.notification);
    put(&mut profile.face_url, change.face_url);
    profile.mute_all = change.mute_all.unwrap_or(profile.mute_all);
    for (key, value) in change.app_defined {
        profile.app_defined.retain(|field| field.key != key);
        if !value.is_empty() {
            profile.app_defined.push(wire::Attribute { key, value });
        }
    }
    if profile.app_defined.len() > APP_DEFINED {
        return Err(Refusal::with(
            Code::BAD_PARAMETER,
            "more than 20 AppDefinedData",
        ));
    }
    Ok(profile)
}

/// Refuses more or larger attributes than a room may have.
pub(super) fn check_attributes(attributes: &BTreeMap<String, Bytes>) -> Result<(), Refusal> {
    let refused = |message| Err(Refusal::with(Code::BAD_PARAMETER, message));
    if attributes.len() > ATTRIBUTES {
        return refused("more than 16 attributes");
    }
    let mut bytes = 0;
    for (key, value) in attributes {
        if key.is_empty() || key.len() > ATTRIBUTE_KEY {
            return refused("an attribute's key is 1 to 32 bytes");
        }
        if value.len() > ATTRIBUTE_BYTES {
            return refused("an attribute exceeds 4096 bytes");
        }
        bytes += key.len() + value.len();
    }
    if bytes > ATTRIBUTES_BYTES {
        return refused("attributes exceed 16384 bytes together");
    }
    Ok(())
}
