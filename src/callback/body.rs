//! The bodies of callbacks in the vendor's form.

use std::borrow::Cow;

use livegate_proto::client as wire;
use serde::Serialize;
use serde_json::value::RawValue;

use super::tell::{Event, Said, Site};
use crate::clock::Unix;
use crate::id::UserId;

/// What most rooms are, when nobody said otherwise.
const USUAL_KIND: &str = "AVChatRoom";

#[derive(Serialize)]
pub(super) struct Account<'a> {
    #[serde(rename = "Member_Account")]
    pub(super) user: &'a str,
}

#[derive(Serialize)]
pub(super) struct Field<'a> {
    #[serde(rename = "Key")]
    pub(super) key: &'a str,
    #[serde(rename = "Value")]
    pub(super) value: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct Part<'a> {
    #[serde(rename = "MsgType")]
    pub(super) kind: &'a str,
    #[serde(rename = "MsgContent")]
    pub(super) content: &'a RawValue,
}

/// The body of a callback about a room: fields that it lacks are left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupBody<'a> {
    pub(super) callback_command: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) group_id: &'a str,
    pub(super) r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) join_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_type: Option<&'a str>,
    #[serde(rename = "From_Account", skip_serializing_if = "Option::is_none")]
    pub(super) from_account: Option<&'a str>,
    #[serde(rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    pub(super) operator: Option<&'a str>,
    #[serde(rename = "Requestor_Account", skip_serializing_if = "Option::is_none")]
    pub(super) requestor: Option<&'a str>,
    #[serde(rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) introduction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notification: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) face_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new_member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_defined_data_list: Option<Vec<Field<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) random: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) online_only_flag: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) msg_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) msg_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) msg_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) msg_body: Option<Vec<Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cloud_custom_data: Option<&'a str>,
    pub(super) event_time: u64,
}

impl<'a> GroupBody<'a> {
    pub(super) fn new(command: &'a str, site: &Site<'a>, time: Unix) -> Self {
        Self::of(command, site.room.as_str(), site.kind, time)
    }

    /// About the room `room`; empty: one that has no id yet.
    pub(super) fn of(command: &'a str, room: &'a str, kind: &'a str, time: Unix) -> Self {
        Self {
            callback_command: command,
            group_id: room,
            r#type: if kind.is_empty() { USUAL_KIND } else { kind },
            event_time: time.0,
            ..Self::default()
        }
    }

    /// With what was said, in the event or question with this id.
    pub(super) fn saying(mut self, said: &Said<'a>, id: &str) -> Self {
        self.from_account = Some(said.from);
        self.operator = Some(said.operator);
        self.random = Some(said.random.unwrap_or_else(|| random(id)));
        self.online_only_flag = Some(0);
        self.msg_body = Some(parts(said.content));
        self.cloud_custom_data = custom_data(said.content);
        self
    }
}

/// The body of a callback about a message to a user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DirectBody<'a> {
    pub(super) callback_command: &'a str,
    #[serde(rename = "From_Account")]
    pub(super) from_account: &'a str,
    #[serde(rename = "To_Account")]
    pub(super) to_account: &'a str,
    pub(super) msg_seq: u32,
    pub(super) msg_random: u32,
    pub(super) msg_time: u64,
    pub(super) msg_key: String,
    pub(super) online_only_flag: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_msg_result: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_info: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unread_msg_num: Option<i32>,
    pub(super) msg_body: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cloud_custom_data: Option<&'a str>,
    pub(super) event_time: u64,
}

impl<'a> DirectBody<'a> {
    pub(super) fn new(
        command: &'a str,
        said: &Said<'a>,
        to: &'a UserId,
        seq: u32,
        event: &Event,
    ) -> Self {
        let time = event.time;
        let random = said.random.unwrap_or_else(|| random(&event.id));
        Self {
            callback_command: command,
            from_account: said.from,
            to_account: to.as_str(),
            msg_seq: seq,
            msg_random: random,
            msg_time: time.seconds(),
            msg_key: format!("{seq}_{random}_{}", time.seconds()),
            online_only_flag: 0,
            send_msg_result: None,
            error_info: None,
            unread_msg_num: None,
            msg_body: parts(said.content),
            cloud_custom_data: custom_data(said.content),
            event_time: time.0,
        }
    }
}

/// The vendor's `Random`: the same for the same id.
pub(super) fn random(message_id: &str) -> u32 {
    use std::hash::BuildHasher;

    let hash = foldhash::quality::FixedState::default().hash_one(message_id);
    u32::try_from(hash >> 32).unwrap_or_default()
}

pub(super) fn parts(said: &wire::Elements) -> Vec<Part<'_>> {
    let elements = said.elements.iter();
    let parts = elements.map(|it| Part {
        kind: &it.r#type,
        // Checked where it came in; what is no JSON all the same is nothing.
        content: serde_json::from_str(&it.content).unwrap_or(RawValue::NULL),
    });
    parts.collect()
}

pub(super) fn custom_data(said: &wire::Elements) -> Option<&str> {
    Some(said.cloud_custom_data.as_str()).filter(|data| !data.is_empty())
}

pub(super) fn accounts(users: &[UserId]) -> Vec<Account<'_>> {
    let users = users.iter();
    users
        .map(|user| Account {
            user: user.as_str(),
        })
        .collect()
}

pub(super) fn fields(fields: &[(String, bytes::Bytes)]) -> Vec<Field<'_>> {
    let fields = fields.iter().map(|(key, value)| Field {
        key,
        value: String::from_utf8_lossy(value),
    });
    fields.collect()
}
