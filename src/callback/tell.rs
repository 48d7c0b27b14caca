//! What backends are told of in the vendor's form, and how it reads. Pure.
//!
//! Invariant: a body is written once, when the event happens, and is the same
//! in every attempt; what must be fresh in an attempt (Sign, RequestTime) is in
//! the URL and is added by the delivery.

use livegate_proto::client as wire;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Unix;
use crate::engine::{OutboxRow, RowKind};
use crate::event::Origin;
use crate::id::{AppId, RoomId, UserId};

macro_rules! tells {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that a backend can be told of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Tell { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl Tell {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As the configuration and the vendor name it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

tells! {
    /// A live has started; livegate's own form.
    LiveStarted = "live_started",
    /// A live's host was lost; livegate's own form.
    HostAway = "host_away",
    /// A live's host came back in time; livegate's own form.
    HostBack = "host_back",
    /// A live has ended; livegate's own form.
    LiveEnded = "live_ended",
    /// Somebody has begun to publish; livegate's own form.
    PublisherJoined = "publisher_joined",
    /// Somebody has ceased to publish; livegate's own form.
    PublisherLeft = "publisher_left",
    /// A room that lasts was made.
    AfterCreateGroup = "Group.CallbackAfterCreateGroup",
    /// Users entered a room.
    AfterNewMemberJoin = "Group.CallbackAfterNewMemberJoin",
    /// Users left a room or were thrown out.
    AfterMemberExit = "Group.CallbackAfterMemberExit",
    /// Something was said in a room.
    AfterSendMsg = "Group.CallbackAfterSendMsg",
    /// A room is no more.
    AfterGroupDestroyed = "Group.CallbackAfterGroupDestroyed",
    /// What a room shows was changed.
    AfterGroupInfoChanged = "Group.CallbackAfterGroupInfoChanged",
    /// Users came to be in a room, or no longer are, with the cause.
    OnMemberStateChange = "Group.CallbackOnMemberStateChange",
    /// Something was said to a user.
    DirectAfterSendMsg = "C2C.CallbackAfterSendMsg",
    /// A session began or ended.
    StateChange = "State.StateChange",
}

/// A choice of [`Tell`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tells(u32);

impl Tells {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Starts and ends of lives.
    pub const LIVES: Self = Self::NONE.with(Tell::LiveStarted).with(Tell::LiveEnded);

    /// livegate's own: lives and publishers.
    pub const OWN: Self = Self::NONE
        .with(Tell::LiveStarted)
        .with(Tell::HostAway)
        .with(Tell::HostBack)
        .with(Tell::LiveEnded)
        .with(Tell::PublisherJoined)
        .with(Tell::PublisherLeft);

    /// With one more.
    #[must_use]
    pub const fn with(self, tell: Tell) -> Self {
        Self(self.0 | 1 << tell as u32)
    }

    /// Whether it is among them.
    pub const fn has(self, tell: Tell) -> bool {
        self.0 & 1 << tell as u32 != 0
    }

    /// Those chosen, in the order of [`Tell::ALL`].
    pub fn list(self) -> Vec<Tell> {
        let all = Tell::ALL.iter().copied();
        all.filter(|tell| self.has(*tell)).collect()
    }
}

impl FromIterator<Tell> for Tells {
    fn from_iter<I: IntoIterator<Item = Tell>>(tells: I) -> Self {
        tells.into_iter().fold(Self::NONE, Self::with)
    }
}

/// What every event says.
#[derive(Debug, Clone)]
pub struct Event {
    /// Whose backend.
    pub app: AppId,
    /// By which the backend knows repeats.
    pub id: String,
    /// When it happened.
    pub time: Unix,
    /// From where it came.
    pub origin: Origin,
}

/// A room as events name it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Its id.
    pub room: &'a RoomId,
    /// As the v4 API names its type.
    pub kind: &'a str,
}

/// What most rooms are, when nobody said otherwise.
const USUAL_KIND: &str = "AVChatRoom";

/// Something that was said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Who is shown to have said it.
    pub from: &'a str,
    /// The client's id of it; makes its `Random`.
    pub message_id: &'a str,
    /// What.
    pub content: &'a wire::Elements,
}

/// How somebody came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moved {
    /// Entered.
    Joined,
    /// Left of their own will.
    Quit,
    /// Was thrown out.
    Kicked,
    /// Nothing is heard of them.
    Lost,
}

/// What of a room's profile was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InfoChange {
    /// Its name.
    pub name: Option<String>,
    /// What it is about.
    pub introduction: Option<String>,
    /// What is pinned.
    pub notification: Option<String>,
    /// URL of its picture.
    pub face_url: Option<String>,
    /// Fields of the app's own that are different; an empty value: gone.
    pub fields: Vec<(String, bytes::Bytes)>,
}

/// How a session began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Logged in.
    Login,
    /// Logged out.
    Logout,
    /// Its connection closed.
    Closed,
    /// Nothing was heard of it.
    Silent,
}

#[derive(Serialize)]
struct Account<'a> {
    #[serde(rename = "Member_Account")]
    user: &'a str,
}

#[derive(Serialize)]
struct Field<'a> {
    #[serde(rename = "Key")]
    key: &'a str,
    #[serde(rename = "Value")]
    value: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "MsgType")]
    kind: &'a str,
    #[serde(rename = "MsgContent")]
    content: &'a RawValue,
}

/// The body of a callback about a room: fields that it lacks are left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct GroupBody<'a> {
    callback_command: &'a str,
    group_id: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_type: Option<&'a str>,
    #[serde(rename = "From_Account", skip_serializing_if = "Option::is_none")]
    from_account: Option<&'a str>,
    #[serde(rename = "Operator_Account", skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    #[serde(rename = "Owner_Account", skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introduction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    face_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_list: Option<Vec<Account<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_defined_data_list: Option<Vec<Field<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_only_flag: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_body: Option<Vec<Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_custom_data: Option<&'a str>,
    event_time: u64,
}

impl<'a> GroupBody<'a> {
    fn new(command: &'a str, site: &Site<'a>, time: Unix) -> Self {
        let usual = site.kind.is_empty();
        Self {
            callback_command: command,
            group_id: site.room.as_str(),
            r#type: if usual { USUAL_KIND } else { site.kind },
            event_time: time.0,
            ..Self::default()
        }
    }

    /// With what was said.
    fn saying(mut self, said: &Said<'a>) -> Self {
        self.from_account = Some(said.from);
        self.operator = Some(said.from);
        self.random = Some(random(said.message_id));
        self.online_only_flag = Some(0);
        self.msg_body = Some(parts(said.content));
        self.cloud_custom_data = custom_data(said.content);
        self
    }

    fn row(self, event: Event, tell: Tell, kind: RowKind) -> OutboxRow {
        let key = self.group_id.to_owned();
        row(event, tell.as_str(), key, kind, &self)
    }
}

/// `Group.CallbackAfterSendMsg`.
pub fn said(event: Event, site: &Site<'_>, said: &Said<'_>, seq: u64) -> OutboxRow {
    let (tell, time) = (Tell::AfterSendMsg, event.time);
    let id = event.id.clone();
    let mut body = GroupBody::new(tell.as_str(), site, time).saying(said);
    if said.message_id.is_empty() {
        body.random = Some(random(&id));
    }
    body.msg_id = Some(&id);
    body.msg_seq = Some(seq);
    body.msg_time = Some(time.seconds());
    body.row(event, tell, RowKind::Message)
}

/// `Group.CallbackAfterNewMemberJoin` or `Group.CallbackAfterMemberExit`, of
/// users who came or went in the same way.
pub fn moved(event: Event, site: &Site<'_>, how: Moved, users: &[UserId]) -> OutboxRow {
    let (tell, time) = match how {
        Moved::Joined => (Tell::AfterNewMemberJoin, event.time),
        Moved::Quit | Moved::Kicked | Moved::Lost => (Tell::AfterMemberExit, event.time),
    };
    let mut body = GroupBody::new(tell.as_str(), site, time);
    let accounts = Some(accounts(users));
    body.operator = match how {
        Moved::Kicked => None,
        Moved::Joined | Moved::Quit | Moved::Lost => users.first().map(UserId::as_str),
    };
    match how {
        Moved::Joined => (body.join_type, body.new_member_list) = (Some("Apply"), accounts),
        Moved::Kicked => (body.exit_type, body.exit_member_list) = (Some("Kicked"), accounts),
        Moved::Quit | Moved::Lost => {
            (body.exit_type, body.exit_member_list) = (Some("Quit"), accounts);
        }
    }
    body.row(event, tell, RowKind::Presence)
}

/// `Group.CallbackOnMemberStateChange`, of users who came or went in the same
/// way.
pub fn state_in_room(event: Event, site: &Site<'_>, how: Moved, users: &[UserId]) -> OutboxRow {
    let (tell, time) = (Tell::OnMemberStateChange, event.time);
    let (kind, cause) = match how {
        Moved::Joined => ("Online", "Join"),
        Moved::Quit | Moved::Kicked => ("Offline", "Quit"),
        Moved::Lost => ("Offline", "HeartbeatInterrupt"),
    };
    let mut body = GroupBody::new(tell.as_str(), site, time);
    body.event_type = Some(kind);
    body.event_cause = Some(cause);
    body.member_list = Some(accounts(users));
    body.row(event, tell, RowKind::Presence)
}

/// `Group.CallbackAfterCreateGroup`.
pub fn created(
    event: Event,
    site: &Site<'_>,
    owner: &str,
    profile: &wire::RoomProfile,
) -> OutboxRow {
    let (tell, time) = (Tell::AfterCreateGroup, event.time);
    let mut body = GroupBody::new(tell.as_str(), site, time);
    body.operator = Some(owner);
    body.owner = Some(owner);
    body.name = Some(&profile.name);
    body.member_list = Some(Vec::new());
    let defined = profile.app_defined.iter();
    let defined: Vec<_> = defined
        .map(|it| (it.key.clone(), it.value.clone()))
        .collect();
    body.user_defined_data_list = Some(fields(&defined));
    body.row(event, tell, RowKind::Fact)
}

/// `Group.CallbackAfterGroupDestroyed`.
pub fn destroyed(event: Event, site: &Site<'_>, owner: &str, name: &str) -> OutboxRow {
    let (tell, time) = (Tell::AfterGroupDestroyed, event.time);
    let mut body = GroupBody::new(tell.as_str(), site, time);
    body.owner = Some(owner);
    body.name = Some(name);
    body.member_list = Some(Vec::new());
    body.row(event, tell, RowKind::Fact)
}

/// `Group.CallbackAfterGroupInfoChanged`.
pub fn info_changed(
    event: Event,
    site: &Site<'_>,
    operator: &str,
    change: &InfoChange,
) -> OutboxRow {
    let (tell, time) = (Tell::AfterGroupInfoChanged, event.time);
    let mut body = GroupBody::new(tell.as_str(), site, time);
    body.operator = Some(operator);
    body.name = change.name.as_deref();
    body.introduction = change.introduction.as_deref();
    body.notification = change.notification.as_deref();
    body.face_url = change.face_url.as_deref();
    let changed = !change.fields.is_empty();
    body.user_defined_data_list = changed.then(|| fields(&change.fields));
    body.row(event, tell, RowKind::Fact)
}

/// The body of a callback about a message to a user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DirectBody<'a> {
    callback_command: &'a str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    #[serde(rename = "To_Account")]
    to_account: &'a str,
    msg_seq: u32,
    msg_random: u32,
    msg_time: u64,
    msg_key: String,
    online_only_flag: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_msg_result: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_info: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_msg_num: Option<i32>,
    msg_body: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_custom_data: Option<&'a str>,
    event_time: u64,
}

impl<'a> DirectBody<'a> {
    fn new(command: &'a str, said: &Said<'a>, to: &'a UserId, seq: u32, time: Unix) -> Self {
        let random = random(said.message_id);
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

/// `C2C.CallbackAfterSendMsg`, in the order of who said it.
pub fn said_to_user(event: Event, said: &Said<'_>, to: &UserId, seq: u32) -> OutboxRow {
    let command = Tell::DirectAfterSendMsg.as_str();
    let mut body = DirectBody::new(command, said, to, seq, event.time);
    body.send_msg_result = Some(0);
    body.error_info = Some("send msg succeed");
    body.unread_msg_num = Some(0);
    let key = user_key(said.from);
    row(event, command, key, RowKind::Message, &body)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Device<'a> {
    platform: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateInfo<'a> {
    action: &'a str,
    #[serde(rename = "To_Account")]
    account: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateBody<'a> {
    callback_command: &'a str,
    event_time: u64,
    info: StateInfo<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kicked_device: Vec<Device<'a>>,
}

/// `State.StateChange`, in the order of the user; `kicked` are the platforms
/// of sessions that a login displaced.
pub fn state_changed(
    event: Event,
    user: &UserId,
    state: SessionState,
    kicked: &[&str],
) -> OutboxRow {
    let command = Tell::StateChange.as_str();
    let (action, reason) = match state {
        SessionState::Login => ("Login", "Register"),
        SessionState::Logout => ("Logout", "Unregister"),
        SessionState::Closed => ("Disconnect", "LinkClose"),
        SessionState::Silent => ("Disconnect", "TimeOut"),
    };
    let account = user.as_str();
    let body = StateBody {
        callback_command: command,
        event_time: event.time.0,
        info: StateInfo {
            action,
            account,
            reason,
        },
        kicked_device: kicked.iter().map(|platform| Device { platform }).collect(),
    };
    let key = user_key(account);
    row(event, command, key, RowKind::Presence, &body)
}

/// What is of no room is told in the order of its user.
fn user_key(user: &str) -> String {
    format!("user {user}")
}

fn row(
    event: Event,
    command: &str,
    order_key: String,
    kind: RowKind,
    body: &impl Serialize,
) -> OutboxRow {
    OutboxRow {
        order_key,
        event_id: event.id,
        app: event.app,
        body: super::payload::bytes(body),
        kind,
        query: query(command, event.origin),
    }
}

/// The part of the URL that stays the same in every attempt.
pub(super) fn query(command: &str, origin: Origin) -> String {
    let (address, platform) = (origin.address(), origin.platform());
    format!("CallbackCommand={command}&contenttype=json&ClientIP={address}&OptPlatform={platform}")
}

/// The vendor's `Random`: the same for a message and its repeats.
fn random(message_id: &str) -> u32 {
    use std::hash::BuildHasher;

    let hash = foldhash::quality::FixedState::default().hash_one(message_id);
    u32::try_from(hash >> 32).unwrap_or_default()
}

fn parts(said: &wire::Elements) -> Vec<Part<'_>> {
    let elements = said.elements.iter();
    let parts = elements.map(|it| Part {
        kind: &it.r#type,
        // Checked where it came in; what is no JSON all the same is nothing.
        content: serde_json::from_str(&it.content).unwrap_or(RawValue::NULL),
    });
    parts.collect()
}

fn custom_data(said: &wire::Elements) -> Option<&str> {
    Some(said.cloud_custom_data.as_str()).filter(|data| !data.is_empty())
}

fn accounts(users: &[UserId]) -> Vec<Account<'_>> {
    let users = users.iter();
    users
        .map(|user| Account {
            user: user.as_str(),
        })
        .collect()
}

fn fields(fields: &[(String, bytes::Bytes)]) -> Vec<Field<'_>> {
    let fields = fields.iter().map(|(key, value)| Field {
        key,
        value: String::from_utf8_lossy(value),
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Event {
        Event {
            app: AppId(7),
            id: "2a:1".to_owned(),
            time: Unix(1_670_574_414_123),
            origin: Origin::Client(wire::Platform::Ios, [192, 0, 2, 7].into()),
        }
    }

    fn room() -> RoomId {
        RoomId::new("room_1001").unwrap()
    }

    fn users(names: &[&str]) -> Vec<UserId> {
        names
            .iter()
            .map(|name| UserId::new(name).unwrap())
            .collect()
    }

    fn body(row: &OutboxRow) -> Value {
        serde_json::from_slice(&row.body).unwrap()
    }

    fn text(text: &str) -> wire::Elements {
        let text = wire::Text { text: text.into() };
        wire::Elements::from(&wire::room_message::Content::Text(text))
    }

    #[test]
    fn what_was_said_reads_as_the_vendor_documents_it() {
        let id = room();
        let site = Site {
            room: &id,
            kind: "",
        };
        let content = text("hi");
        let said_by = Said {
            from: "jared",
            message_id: "m1",
            content: &content,
        };
        let row = said(event(), &site, &said_by, 12);
        let body = body(&row);
        assert!(body["Random"].is_u64());
        let expected = json!({
            "CallbackCommand": "Group.CallbackAfterSendMsg",
            "GroupId": "room_1001",
            "Type": "AVChatRoom",
            "From_Account": "jared",
            "Operator_Account": "jared",
            "Random": body["Random"],
            "OnlineOnlyFlag": 0,
            "MsgId": "2a:1",
            "MsgSeq": 12,
            "MsgTime": 1_670_574_414,
            "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}],
            "EventTime": 1_670_574_414_123_u64,
        });
        assert_eq!(body, expected);
        assert_eq!(
            (row.kind, row.order_key.as_str()),
            (RowKind::Message, "room_1001")
        );
        let query = "CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json\
                     &ClientIP=192.0.2.7&OptPlatform=iOS";
        assert_eq!(row.query, query);
    }

    #[test]
    fn comings_and_goings_name_everybody_of_their_window() {
        let id = room();
        let site = Site {
            room: &id,
            kind: "Meeting",
        };
        let users = users(&["a", "b"]);
        let row = moved(event(), &site, Moved::Joined, &users);
        let both = json!([{"Member_Account": "a"}, {"Member_Account": "b"}]);
        let joined = body(&row);
        assert_eq!(
            joined["CallbackCommand"],
            "Group.CallbackAfterNewMemberJoin"
        );
        assert_eq!(
            (&joined["NewMemberList"], &joined["JoinType"]),
            (&both, &json!("Apply"))
        );
        assert_eq!(
            (&joined["Type"], &joined["Operator_Account"]),
            (&json!("Meeting"), &json!("a"))
        );
        let left = body(&moved(event(), &site, Moved::Kicked, &users));
        assert_eq!(
            (&left["ExitMemberList"], &left["ExitType"]),
            (&both, &json!("Kicked"))
        );
        for (how, kind, cause) in [
            (Moved::Joined, "Online", "Join"),
            (Moved::Quit, "Offline", "Quit"),
            (Moved::Lost, "Offline", "HeartbeatInterrupt"),
        ] {
            let row = state_in_room(event(), &site, how, &users);
            let state = body(&row);
            assert_eq!(
                (&state["EventType"], &state["EventCause"]),
                (&json!(kind), &json!(cause))
            );
            assert_eq!((&state["MemberList"], row.kind), (&both, RowKind::Presence));
        }
    }

    #[test]
    fn a_room_s_own_events_are_facts_and_name_what_changed() {
        let id = room();
        let site = Site {
            room: &id,
            kind: "",
        };
        let profile = wire::RoomProfile {
            name: "show".into(),
            app_defined: vec![wire::Attribute {
                key: "level".into(),
                value: "7".into(),
            }],
            ..wire::RoomProfile::default()
        };
        let made = created(event(), &site, "anna", &profile);
        let fields = json!([{"Key": "level", "Value": "7"}]);
        assert_eq!(body(&made)["UserDefinedDataList"], fields);
        assert_eq!(body(&made)["Owner_Account"], "anna");
        let change = InfoChange {
            notification: Some("soon".into()),
            ..InfoChange::default()
        };
        let changed = info_changed(event(), &site, "", &change);
        let keys: Vec<String> = body(&changed)
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let expected = [
            "CallbackCommand",
            "EventTime",
            "GroupId",
            "Notification",
            "Operator_Account",
            "Type",
        ];
        assert_eq!(keys, expected);
        let gone = destroyed(event(), &site, "anna", "show");
        assert_eq!(body(&gone)["Name"], "show");
        for row in [made, changed, gone] {
            assert_eq!(row.kind, RowKind::Fact);
        }
    }

    #[test]
    fn a_message_to_a_user_and_a_login_are_in_the_order_of_their_user() {
        let content = text("psst");
        let said_by = Said {
            from: "jared",
            message_id: "m1",
            content: &content,
        };
        let to = UserId::new("anna").unwrap();
        let row = said_to_user(event(), &said_by, &to, 9);
        let said = body(&row);
        assert_eq!(said["CallbackCommand"], "C2C.CallbackAfterSendMsg");
        assert_eq!(
            (&said["To_Account"], &said["SendMsgResult"]),
            (&json!("anna"), &json!(0))
        );
        let key = format!("9_{}_1670574414", said["MsgRandom"]);
        assert_eq!(said["MsgKey"], key);
        let from = UserId::new("jared").unwrap();
        let login = state_changed(event(), &from, SessionState::Login, &["Web"]);
        assert_eq!(login.order_key, row.order_key);
        let expected = json!({
            "CallbackCommand": "State.StateChange",
            "EventTime": 1_670_574_414_123_u64,
            "Info": {"Action": "Login", "To_Account": "jared", "Reason": "Register"},
            "KickedDevice": [{"Platform": "Web"}],
        });
        assert_eq!(body(&login), expected);
    }

    #[test]
    fn a_choice_is_what_was_chosen() {
        let chosen: Tells = [Tell::AfterSendMsg, Tell::LiveEnded].into_iter().collect();
        assert_eq!(chosen.list(), [Tell::LiveEnded, Tell::AfterSendMsg]);
        assert!(!chosen.has(Tell::LiveStarted));
        for tell in Tell::ALL {
            let json = serde_json::to_string(tell).unwrap();
            assert_eq!(json, format!("\"{}\"", tell.as_str()));
        }
    }
}
