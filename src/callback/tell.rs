//! What backends are told of in the vendor's form, and how it reads. Pure.
//!
//! Invariant: a body is written once, when the event happens, and is the same
//! in every attempt; what must be fresh in an attempt (Sign, RequestTime) is in
//! the URL and is added by the delivery.

use livegate_proto::client as wire;
use serde::{Deserialize, Serialize};

use super::body::{DirectBody, GroupBody, accounts, fields, random};
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

/// Something that was said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Who is shown to have said it.
    pub from: &'a str,
    /// Who had it said.
    pub operator: &'a str,
    /// Its `Random`; `None`: it has none of its own, the event's id makes one.
    pub random: Option<u32>,
    /// What.
    pub content: &'a wire::Elements,
}

/// The `Random` of a client's message: the same for it and its repeats.
/// `None`: its client gave it no id.
pub fn random_of(message_id: &str) -> Option<u32> {
    (!message_id.is_empty()).then(|| random(message_id))
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

impl GroupBody<'_> {
    fn row(self, event: Event, tell: Tell, kind: RowKind) -> OutboxRow {
        let key = self.group_id.to_owned();
        row(event, tell.as_str(), key, kind, &self)
    }
}

/// `Group.CallbackAfterSendMsg`.
pub fn said(event: Event, site: &Site<'_>, said: &Said<'_>, seq: u64) -> OutboxRow {
    let (tell, time) = (Tell::AfterSendMsg, event.time);
    let id = event.id.clone();
    let mut body = GroupBody::new(tell.as_str(), site, time).saying(said, &id);
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

/// `Group.CallbackAfterCreateGroup`: who made the room, and who owns it.
pub fn created(
    event: Event,
    site: &Site<'_>,
    (operator, owner): (&str, &str),
    profile: &wire::RoomProfile,
) -> OutboxRow {
    let (tell, time) = (Tell::AfterCreateGroup, event.time);
    let mut body = GroupBody::new(tell.as_str(), site, time);
    body.operator = Some(operator);
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

/// `C2C.CallbackAfterSendMsg`, in the order of who said it.
pub fn said_to_user(event: Event, said: &Said<'_>, to: &UserId, seq: u32) -> OutboxRow {
    let command = Tell::DirectAfterSendMsg.as_str();
    let mut body = DirectBody::new(command, said, to, seq, &event);
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

#[cfg(test)]
mod tests;
