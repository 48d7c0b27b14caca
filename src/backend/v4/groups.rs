//! Rooms: made, read, changed, destroyed.

use livegate_proto::client::RoomProfile;
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::{Answered, GROUP, Problem, done, object};
use super::body::{pairs, told_pairs};
use super::command::{Call, Command, Field, Kind, Later, Run, may, need};
use super::fields::{Fields, bad, room_id};
use crate::actions::command::CreateRoom;
use crate::event::Origin;
use crate::id::RoomKey;
use crate::rooms::{ProfileChange, RoomReport};

/// Where these commands are.
const SERVICE: &str = "group_open_http_svc";

/// The type that a live room has, and one that nobody gave a type.
pub(super) const LIVE_ROOM: &str = "AVChatRoom";

/// The types that the vendor's documents and libraries name.
const TYPES: &[&str] = &[
    "Public",
    "Private",
    "ChatRoom",
    LIVE_ROOM,
    "BChatRoom",
    "Community",
    "Work",
    "Meeting",
];

/// Most bytes of what a room shows, by field.
const LIMITS: &[(&str, usize)] = &[
    ("Name", 30),
    ("Introduction", 240),
    ("Notification", 300),
    ("FaceUrl", 100),
];

/// Most AppDefinedData of a room, most bytes of a key and of a value.
const MAX_DEFINED: usize = 20;
const MAX_DEFINED_KEY: usize = 16;
const MAX_DEFINED_VALUE: usize = 512;

/// Most rooms that one get_group_info asks about.
const MAX_INFOS: usize = 50;

/// Most rooms of one page.
const MAX_PAGE: u64 = 10_000;

const DEFINED: &[Field] = &[need("Key", Kind::Text), may("Value", Kind::Text)];
const GROUP_ID: Field = need("GroupId", Kind::Text);
const GROUP_IDS: &[Field] = &[need("GroupId", Kind::Text), may("Type", Kind::Text)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "create_group",
        also: &[],
        about: "Makes a room that lasts.",
        takes: &[
            may("Owner_Account", Kind::Account),
            need("Type", Kind::Text),
            need("Name", Kind::Text),
            may("GroupId", Kind::Text),
            may("Introduction", Kind::Text),
            may("Notification", Kind::Text),
            may("FaceUrl", Kind::Text),
            may("MaxMemberCount", Kind::Any),
            may("ApplyJoinOption", Kind::Any),
            may("InviteJoinOption", Kind::Any),
            may("AppDefinedData", Kind::List(DEFINED)),
        ],
        gives: &[
            may("GroupId", Kind::Text),
            may("Type", Kind::Text),
            may("HugeGroupFlag", Kind::Integer),
        ],
        dialect: GROUP,
        run: Run::Later(create_group),
    },
    Command {
        service: SERVICE,
        name: "destroy_group",
        also: &[],
        about: "Ends a room's live, then the room.",
        takes: &[GROUP_ID],
        gives: &[],
        dialect: GROUP,
        run: Run::Later(destroy_group),
    },
    Command {
        service: SERVICE,
        name: "get_appid_group_list",
        also: &[],
        about: "Lists the app's rooms, in the order of their making.",
        takes: &[
            may("Limit", Kind::Integer),
            may("Next", Kind::Integer),
            may("GroupType", Kind::Text),
            may("Type", Kind::Text),
        ],
        gives: &[
            may("TotalCount", Kind::Integer),
            may("GroupIdList", Kind::List(GROUP_IDS)),
            may("Next", Kind::Integer),
        ],
        dialect: GROUP,
        run: Run::Now(get_appid_group_list),
    },
    Command {
        service: SERVICE,
        name: "get_group_info",
        also: &[],
        about: "Reads up to 50 rooms.",
        takes: &[
            need("GroupIdList", Kind::Texts),
            may(
                "ResponseFilter",
                Kind::Object(&[may("GroupBaseInfoFilter", Kind::Texts)]),
            ),
        ],
        gives: &[may("GroupInfo", Kind::List(INFO))],
        dialect: GROUP,
        run: Run::Now(get_group_info),
    },
    Command {
        service: SERVICE,
        name: "modify_group_base_info",
        also: &[],
        about: "Changes what a room shows; its members are told.",
        takes: &[
            GROUP_ID,
            may("Name", Kind::Text),
            may("Introduction", Kind::Text),
            may("Notification", Kind::Text),
            may("FaceUrl", Kind::Text),
            may("MaxMemberNum", Kind::Any),
            may("ApplyJoinOption", Kind::Any),
            may("InviteJoinOption", Kind::Any),
            may("MuteAllMember", Kind::Text),
            may("ShutUpAllMember", Kind::Text),
            may("AppDefinedData", Kind::List(DEFINED)),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(modify_group_base_info),
    },
    Command {
        service: SERVICE,
        name: "change_group_owner",
        also: &[],
        about: "Gives a room another owner.",
        takes: &[GROUP_ID, need("NewOwner_Account", Kind::Account)],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(change_group_owner),
    },
];

const INFO: &[Field] = &[
    need("GroupId", Kind::Text),
    need("ErrorCode", Kind::Integer),
    need("ErrorInfo", Kind::Text),
    may("Type", Kind::Text),
    may("Name", Kind::Text),
    may("Introduction", Kind::Text),
    may("Notification", Kind::Text),
    may("FaceUrl", Kind::Text),
    may("Owner_Account", Kind::Text),
    may("Appid", Kind::Integer),
    may("CreateTime", Kind::Integer),
    may("InfoSeq", Kind::Integer),
    may("LastInfoTime", Kind::Integer),
    may("LastMsgTime", Kind::Integer),
    may("NextMsgSeq", Kind::Integer),
    may("MemberNum", Kind::Integer),
    may("MaxMemberNum", Kind::Integer),
    may("ApplyJoinOption", Kind::Text),
    may("InviteJoinOption", Kind::Text),
    may("MuteAllMember", Kind::Text),
    may("ShutUpAllMember", Kind::Text),
    may("AppDefinedData", Kind::List(DEFINED)),
    may("MemberList", Kind::Any),
];

fn create_group<'a>(call: &'a Call<'a>) -> Later<'a> {
    Box::pin(async move {
        let fields = &call.fields;
        let kind = fields.need_text("Type")?;
        if !TYPES.contains(&kind) {
            return Err(bad("Type", "is none of the group types"));
        }
        fields.need_text("Name")?;
        if !fields.list("MemberList")?.unwrap_or_default().is_empty() {
            let message = "members enter with their clients: MemberList cannot be given";
            return Err(Problem::new(Code::NO_PERMISSION, message));
        }
        let create = CreateRoom {
            app: call.app,
            room: fields.text("GroupId")?.map(room_id).transpose()?,
            owner: fields.account(&["Owner_Account"])?,
            operator: Some(call.admin.clone()),
            origin: Origin::Api,
            info: bytes::Bytes::new(),
            profile: shown(fields)?,
            kind: kind.to_owned(),
        };
        let clock = &call.v4.clock;
        let room = call.actions().create_room_asked(create, clock).await?;
        Ok(object! {"GroupId": room.as_str(), "Type": kind, "HugeGroupFlag": 0})
    })
}

fn destroy_group<'a>(call: &'a Call<'a>) -> Later<'a> {
    Box::pin(async move {
        let room = call.room()?;
        call.actions().destroy_room(&room, call.now).await?;
        done()
    })
}

/// What a body says that a room is to show.
fn shown(fields: &Fields<'_>) -> Result<ProfileChange, Problem> {
    let text = |n: usize| {
        let (name, max) = LIMITS[n];
        Ok::<_, Problem>(fields.text_within(name, max)?.map(str::to_owned))
    };
    let mute_all = match fields.pick(&["MuteAllMember", "ShutUpAllMember"]) {
        None => None,
        Some(value) => match value.as_str() {
            Some("On") => Some(true),
            Some("Off") => Some(false),
            _ => return Err(bad("MuteAllMember", "is On or Off")),
        },
    };
    Ok(ProfileChange {
        name: text(0)?,
        introduction: text(1)?,
        notification: text(2)?,
        face_url: text(3)?,
        mute_all,
        app_defined: app_defined(fields)?,
    })
}

fn app_defined(fields: &Fields<'_>) -> Result<Vec<(String, bytes::Bytes)>, Problem> {
    let name = "AppDefinedData";
    let defined = pairs(fields, name, MAX_DEFINED, ("Key", "Value"))?;
    for (key, value) in &defined {
        let starts = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let rest = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !starts || !rest || key.len() > MAX_DEFINED_KEY {
            let problem = "has a key that is not 1 to 16 letters, digits and _";
            return Err(bad(name, problem));
        }
        if value.len() > MAX_DEFINED_VALUE {
            return Err(bad(name, "has a value of more than 512 bytes"));
        }
    }
    Ok(defined)
}

fn modify_group_base_info(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let change = shown(&call.fields)?;
    let operator = Some(call.admin);
    call.actions()
        .modify_room(&room, change, operator, call.now)?;
    done()
}

fn change_group_owner(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let owner = call.fields.need_account(&["NewOwner_Account"])?;
    call.actions().change_owner(&room, owner, call.now)?;
    done()
}

/// Rooms by when they were made; `Next` says how far a page came: when the
/// last of it was made, and how many of that millisecond were told. So rooms
/// that come and go between two pages shift nothing.
fn get_appid_group_list(call: &Call<'_>) -> Answered {
    /// Rooms of one millisecond that are told apart. With them a cursor stays
    /// exact where numbers have 53 bits.
    const TIES: u64 = 1 << 12;
    let fields = &call.fields;
    let limit = fields.integer(&["Limit"])?.unwrap_or(MAX_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(bad("Limit", "is 1 to 10000"));
    }
    let next = fields.integer(&["Next"])?.unwrap_or(0);
    let kind = match fields.text("GroupType")? {
        Some(kind) => Some(kind),
        None => fields.text("Type")?,
    };
    let mut rooms = call.actions().rooms_of_app(call.app)?;
    rooms.retain(|room| kind.is_none_or(|kind| kind == kind_of(room.profile.as_deref())));
    rooms.sort_by_key(|room| room.created_ms);
    let mut last = (0, 0);
    let placed = rooms.iter().map(|room| {
        let made = u64::try_from(room.created_ms).unwrap_or(0);
        let told = if made == last.0 { last.1 + 1 } else { 0 };
        last = (made, told);
        (made * TIES + told.min(TIES - 1) + 1, room)
    });
    let mut rest = placed.skip_while(|(place, _)| *place <= next).peekable();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.peek().is_some();
    let next = page.last().filter(|_| more).map_or(0, |(place, _)| *place);
    let told = page.iter().map(|(_, room)| {
        let kind = kind_of(room.profile.as_deref());
        Value::Object(object! {"GroupId": room.room_id.as_str(), "Type": kind})
    });
    let told: Value = told.collect();
    Ok(object! {"TotalCount": rooms.len(), "GroupIdList": told, "Next": next})
}

fn get_group_info(call: &Call<'_>) -> Answered {
    let asked = call.fields.texts("GroupIdList", MAX_INFOS)?;
    if asked.is_empty() {
        return Err(bad("GroupIdList", "is missing"));
    }
    let filter = match call.fields.object("ResponseFilter")? {
        Some(filter) => filter.texts("GroupBaseInfoFilter", 64)?,
        None => Vec::new(),
    };
    let infos: Value = asked
        .into_iter()
        .map(|id| Value::Object(info(call, id, &filter)))
        .collect();
    Ok(object! {"GroupInfo": infos})
}

/// One entry of get_group_info, with a verdict of its own.
fn info(call: &Call<'_>, id: &str, filter: &[&str]) -> Map<String, Value> {
    let read = room_id(id).and_then(|room| {
        let app = call.app;
        Ok(call.actions().room_report(&RoomKey { app, room })?)
    });
    let (mut shown, code, why) = match read {
        Ok(report) => (describe(call, &report), Code::OK, "".into()),
        Err(problem) => (Map::new(), problem.code, problem.info),
    };
    if !filter.is_empty() {
        shown.retain(|name, _| filter.contains(&name.as_str()));
    }
    shown.insert("GroupId".to_owned(), id.into());
    shown.insert("ErrorCode".to_owned(), code.0.into());
    shown.insert("ErrorInfo".to_owned(), why.into());
    shown
}

fn describe(call: &Call<'_>, report: &RoomReport) -> Map<String, Value> {
    let room = &report.summary;
    let profile = room.profile.as_deref().cloned().unwrap_or_default();
    let muted = if profile.mute_all { "On" } else { "Off" };
    let defined = profile.app_defined.iter();
    let defined = defined.map(|field| (&field.key, &field.value));
    let made = room.created_ms / 1_000;
    object! {
        "Type": kind_of(Some(&profile)),
        "Name": profile.name.as_str(),
        "Introduction": profile.introduction.as_str(),
        "Notification": profile.notification.as_str(),
        "FaceUrl": profile.face_url.as_str(),
        "Owner_Account": room.owner_id.as_str(),
        "Appid": call.app.0,
        "CreateTime": made,
        "InfoSeq": 0,
        "LastInfoTime": made,
        "LastMsgTime": 0,
        "NextMsgSeq": report.head + 1,
        "MemberNum": room.online,
        "MaxMemberNum": 0,
        "ApplyJoinOption": "FreeAccess",
        "InviteJoinOption": "DisableInvite",
        "MuteAllMember": muted,
        "ShutUpAllMember": muted,
        "AppDefinedData": told_pairs(defined, ("Key", "Value")),
        "MemberList": Vec::<Value>::new(),
    }
}

/// The type of a room as the API names it.
pub(super) fn kind_of(profile: Option<&RoomProfile>) -> &str {
    let kind = profile.map_or("", |profile| profile.r#type.as_str());
    if kind.is_empty() { LIVE_ROOM } else { kind }
}
