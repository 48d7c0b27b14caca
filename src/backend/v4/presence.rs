//! Who is in which room.

use livegate_proto::client::{Member, Role};
use serde_json::{Map, Value};

use super::answer::{Answered, GROUP, Problem, object};
use super::command::{Call, Command, Field, Kind, Run, may, need};
use super::fields::bad;
use super::groups::{LIVE_ROOM, kind_of};
use super::people::until;
use crate::clock::Unix;
use crate::id::{RoomKey, UserId};

const SERVICE: &str = "group_open_http_svc";
const LIVE_SERVICE: &str = "group_open_avchatroom_http_svc";

/// Most members that get_group_member_info looks at, of those who entered
/// first.
const MAX_MEMBERS: u64 = 6_000;
/// Members of one page of the live room's list.
const PAGE: u32 = 500;
/// Most accounts that one call asks about.
const MAX_ASKED: usize = 500;
/// Most rooms of one page.
const MAX_ROOMS: u64 = 5_000;

const GROUP_ID: Field = need("GroupId", Kind::Text);

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "get_group_member_info",
        also: &[(SERVICE, "get_group_member")],
        about: "Lists a room's members, in the order of entering.",
        takes: &[
            GROUP_ID,
            may("Limit", Kind::Integer),
            may("Offset", Kind::Integer),
            may("MemberInfoFilter", Kind::Texts),
            may("MemberRoleFilter", Kind::Texts),
            may("AppDefinedDataFilter_GroupMember", Kind::Any),
            may("Next", Kind::Any),
        ],
        gives: &[
            may("MemberNum", Kind::Integer),
            may("MemberList", Kind::List(MEMBER)),
        ],
        dialect: GROUP,
        run: Run::Now(get_group_member_info),
    },
    Command {
        service: LIVE_SERVICE,
        name: "get_members",
        also: &[],
        about: "Lists a live room's members, 500 a page.",
        takes: &[
            GROUP_ID,
            may("Timestamp", Kind::Integer),
            may("Mark", Kind::Any),
        ],
        gives: &[
            may(
                "MemberList",
                Kind::List(&[
                    need("Member_Account", Kind::Text),
                    need("JoinTime", Kind::Integer),
                    need("NickName", Kind::Text),
                    need("Avatar", Kind::Text),
                ]),
            ),
            may("NextTimestamp", Kind::Integer),
        ],
        dialect: GROUP,
        run: Run::Now(get_members),
    },
    Command {
        service: LIVE_SERVICE,
        name: "check_members",
        also: &[],
        about: "Tells which of up to 500 users are in a room.",
        takes: &[GROUP_ID, need("Member_Account", Kind::Accounts(MAX_ASKED))],
        gives: &[may("Member_Account", Kind::Texts)],
        dialect: GROUP,
        run: Run::Now(check_members),
    },
    Command {
        service: SERVICE,
        name: "get_online_member_num",
        also: &[],
        about: "Counts who is in a room now.",
        takes: &[GROUP_ID],
        gives: &[may("OnlineMemberNum", Kind::Integer)],
        dialect: GROUP,
        run: Run::Now(get_online_member_num),
    },
    Command {
        service: SERVICE,
        name: "get_role_in_group",
        also: &[],
        about: "Tells the roles of up to 500 users in a room.",
        takes: &[GROUP_ID, need("User_Account", Kind::Accounts(MAX_ASKED))],
        gives: &[may(
            "UserIdList",
            Kind::List(&[need("Member_Account", Kind::Text), need("Role", Kind::Text)]),
        )],
        dialect: GROUP,
        run: Run::Now(get_role_in_group),
    },
    Command {
        service: SERVICE,
        name: "get_joined_group_list",
        also: &[],
        about: "Lists the rooms that a user is in; live rooms when they are asked for.",
        takes: &[
            need("Member_Account", Kind::Account),
            may("WithHugeGroups", Kind::Integer),
            may("WithNoActiveGroups", Kind::Any),
            may("Limit", Kind::Integer),
            may("Offset", Kind::Integer),
            may("GroupType", Kind::Text),
            may("ResponseFilter", Kind::Any),
        ],
        gives: &[
            may("TotalCount", Kind::Integer),
            may(
                "GroupIdList",
                Kind::List(&[
                    need("GroupId", Kind::Text),
                    may("Type", Kind::Text),
                    may("Name", Kind::Text),
                    may("SelfInfo", Kind::Object(&[need("Role", Kind::Text)])),
                ]),
            ),
        ],
        dialect: GROUP,
        run: Run::Now(get_joined_group_list),
    },
];

const MEMBER: &[Field] = &[
    need("Member_Account", Kind::Text),
    may("Role", Kind::Text),
    may("JoinTime", Kind::Integer),
    may("MsgSeq", Kind::Integer),
    may("MsgFlag", Kind::Text),
    may("LastSendMsgTime", Kind::Integer),
    may("MuteUntil", Kind::Integer),
    may("ShutUpUntil", Kind::Integer),
    may("NameCard", Kind::Text),
    may("NickName", Kind::Text),
    may("AppMemberDefinedData", Kind::Any),
];

/// A role in the API's words. Who hosts or publishes is a member like others
/// there.
fn role_name(role: Option<Role>, owns: bool) -> &'static str {
    match role {
        _ if owns => "Owner",
        Some(Role::Admin) => "Admin",
        Some(Role::Host | Role::Publisher | Role::Viewer | Role::Unspecified) => "Member",
        None => "NotMember",
    }
}

/// Up to `limit` members after the first `offset`, of those who entered first.
fn members(
    call: &Call<'_>,
    room: &RoomKey,
    (offset, limit): (u64, u64),
) -> Result<(Vec<Member>, u32), Problem> {
    let end = offset.saturating_add(limit).min(MAX_MEMBERS);
    let end = u32::try_from(end).unwrap_or(u32::MAX);
    let page = call.actions().room_members(room, end, "")?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let members = page.members.into_iter().skip(offset).collect();
    Ok((members, page.online))
}

fn get_group_member_info(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let fields = &call.fields;
    let limit = fields.integer(&["Limit"])?.unwrap_or(MAX_MEMBERS);
    if limit > MAX_MEMBERS {
        return Err(bad("Limit", "is at most 6000"));
    }
    let offset = fields.integer(&["Offset"])?.unwrap_or(0);
    let shown = fields.texts("MemberInfoFilter", 64)?;
    let wanted = fields.texts("MemberRoleFilter", 8)?;
    let owner = call.actions().roles(&room)?.0;
    let muted = call.actions().mutes(&room, call.now)?;
    let (members, online) = members(call, &room, (offset, limit))?;
    let list = members.iter().filter_map(|member| {
        let described = describe(member, owner.as_ref(), &muted);
        let role = described.get("Role").and_then(Value::as_str);
        let wanted = wanted.is_empty() || role.is_some_and(|role| wanted.contains(&role));
        wanted.then_some(described)
    });
    let list = list.map(|mut described| {
        let keep = |name: &str| name == "Member_Account" || shown.contains(&name);
        described.retain(|name, _| shown.is_empty() || keep(name));
        Value::Object(described)
    });
    let list: Value = list.collect();
    Ok(object! {"MemberNum": online, "MemberList": list})
}

fn describe(
    member: &Member,
    owner: Option<&UserId>,
    muted: &[(UserId, Unix)],
) -> Map<String, Value> {
    let user = member.user.clone().unwrap_or_default();
    let owns = owner.is_some_and(|owner| owner.as_str() == user.user_id);
    let ends = muted.iter().find(|(id, _)| id.as_str() == user.user_id);
    let ends = ends.map_or(0, |(_, time)| until(*time));
    object! {
        "Role": role_name(Some(member.role()), owns),
        "JoinTime": member.entered_ms / 1_000,
        "MsgSeq": 0,
        "MsgFlag": "AcceptAndNotify",
        "LastSendMsgTime": 0,
        "MuteUntil": ends,
        "ShutUpUntil": ends,
        "NameCard": "",
        "NickName": user.profile.unwrap_or_default().nick,
        "AppMemberDefinedData": Vec::<Value>::new(),
        "Member_Account": user.user_id,
    }
}

fn get_members(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let after = call.fields.integer(&["Timestamp"])?.unwrap_or(0);
    let cursor = if after == 0 {
        String::new()
    } else {
        after.to_string()
    };
    let page = call.actions().room_members(&room, PAGE, &cursor)?;
    let member = |member: &Member| {
        let user = member.user.clone().unwrap_or_default();
        let profile = user.profile.unwrap_or_default();
        Value::Object(object! {
            "Member_Account": user.user_id,
            "JoinTime": member.entered_ms / 1_000,
            "NickName": profile.nick,
            "Avatar": profile.avatar_url,
        })
    };
    let list: Value = page.members.iter().map(member).collect();
    let next: u64 = page.next_cursor.parse().unwrap_or(0);
    Ok(object! {"MemberList": list, "NextTimestamp": next})
}

fn check_members(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let asked = call.fields.accounts("Member_Account", MAX_ASKED)?;
    let roles = call.actions().roles_of(&room, &asked)?;
    let here = asked.iter().zip(&roles).filter(|(_, role)| role.is_some());
    let here: Vec<&str> = here.map(|(user, _)| user.as_str()).collect();
    Ok(object! {"Member_Account": here})
}

fn get_online_member_num(call: &Call<'_>) -> Answered {
    let report = call.actions().room_report(&call.room()?)?;
    Ok(object! {"OnlineMemberNum": report.summary.online})
}

fn get_role_in_group(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let asked = call.fields.accounts("User_Account", MAX_ASKED)?;
    let owner = call.actions().roles(&room)?.0;
    let roles = call.actions().roles_of(&room, &asked)?;
    let told = asked.iter().zip(roles).map(|(user, role)| {
        let role = role_name(role, owner.as_ref() == Some(user));
        Value::Object(object! {"Member_Account": user.as_str(), "Role": role})
    });
    let told: Value = told.collect();
    Ok(object! {"UserIdList": told})
}

fn get_joined_group_list(call: &Call<'_>) -> Answered {
    let fields = &call.fields;
    let user = fields.need_account(&["Member_Account"])?;
    let huge = fields.integer(&["WithHugeGroups"])? == Some(1);
    let kind = fields.text("GroupType")?;
    let limit = fields.integer(&["Limit"])?.unwrap_or(MAX_ROOMS);
    let offset = fields.integer(&["Offset"])?.unwrap_or(0);
    let mut rooms = call.actions().rooms_of_user(&call.user(user.clone()))?;
    rooms.sort_unstable_by(|(a, _), (b, _)| a.room.as_str().cmp(b.room.as_str()));
    let joined = rooms.iter().filter_map(|(room, role)| {
        let report = call.actions().room_report(room).ok()?;
        let summary = report.summary;
        let its_kind = kind_of(summary.profile.as_deref());
        let wanted = kind.is_none_or(|kind| kind == its_kind);
        if !wanted || (its_kind == LIVE_ROOM && !huge) {
            return None;
        }
        let name = summary.profile.as_ref().map_or("", |it| it.name.as_str());
        let role = role_name(Some(*role), summary.owner_id == user.as_str());
        Some(Value::Object(object! {
            "GroupId": summary.room_id.as_str(),
            "Type": its_kind,
            "Name": name,
            "SelfInfo": object! {"Role": role},
        }))
    });
    let joined: Vec<Value> = joined.collect();
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (skip, take) = (place(offset), place(limit.min(MAX_ROOMS)));
    let total = joined.len();
    let page: Value = joined.into_iter().skip(skip).take(take).collect();
    Ok(object! {"TotalCount": total, "GroupIdList": page})
}
