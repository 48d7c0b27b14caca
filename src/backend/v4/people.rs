//! Who may speak in a room, enter it, govern it.

use livegate_proto::client::Role;
use livegate_proto::code::Code;
use serde_json::Value;

use super::answer::{Answered, GROUP, Problem, done, object};
use super::command::{Call, Command, Field, Kind, Run, may, need};
use super::fields::bad;
use super::groups::{LIVE_ROOM, kind_of};
use crate::actions::command::{Kick, MAX_REASON};
use crate::actions::governing::Span;
use crate::clock::Unix;
use crate::id::{RoomKey, UserId};

const SERVICE: &str = "group_open_http_svc";
/// Where the commands of live rooms alone are.
const LIVE_SERVICE: &str = "group_open_avchatroom_http_svc";

/// Most accounts that one call mutes, asks about, removes, bans, makes admins.
const MAX_MUTES: usize = 500;
const MAX_REMOVED: usize = 100;
const MAX_BANS: usize = 20;
const MAX_ADMINS: usize = 5;
/// Most bytes of why somebody is banned.
const MAX_DESCRIPTION: usize = 1_000;
/// Most bytes of a name card, which is read and not kept.
const MAX_NAME_CARD: usize = 50;

const GROUP_ID: Field = need("GroupId", Kind::Text);
const MUTED: &[Field] = &[
    need("Member_Account", Kind::Text),
    need("MutedUntil", Kind::Integer),
];
const SHUTTED: &[Field] = &[
    need("Member_Account", Kind::Text),
    need("ShuttedUntil", Kind::Integer),
];
const BANNED: &[Field] = &[
    need("Member_Account", Kind::Text),
    need("BannedUntil", Kind::Integer),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "forbid_send_msg",
        also: &[],
        about: "Mutes up to 500 users in a room; 0 seconds lets them speak.",
        takes: &[
            GROUP_ID,
            need("Members_Account", Kind::Accounts(MAX_MUTES)),
            may("MuteTime", Kind::Integer),
            may("ShutUpTime", Kind::Integer),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(forbid_send_msg),
    },
    Command {
        service: SERVICE,
        name: "get_group_muted_account",
        also: &[(SERVICE, "get_group_shutted_uin")],
        about: "Lists who is muted in a room, in both spellings.",
        takes: &[GROUP_ID],
        gives: &[
            may("GroupId", Kind::Text),
            may("MutedAccountList", Kind::List(MUTED)),
            may("ShuttedUinList", Kind::List(SHUTTED)),
        ],
        dialect: GROUP,
        run: Run::Now(get_group_muted_account),
    },
    Command {
        service: SERVICE,
        name: "ban_group_member",
        also: &[],
        about: "Takes up to 20 users out and keeps them out for a time.",
        takes: &[
            GROUP_ID,
            need("Members_Account", Kind::Accounts(MAX_BANS)),
            need("Duration", Kind::Integer),
            may("Description", Kind::Text),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(ban_group_member),
    },
    Command {
        service: SERVICE,
        name: "unban_group_member",
        also: &[],
        about: "Lets up to 20 users in again.",
        takes: &[GROUP_ID, need("Members_Account", Kind::Accounts(MAX_BANS))],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(unban_group_member),
    },
    Command {
        service: SERVICE,
        name: "get_group_ban_member",
        also: &[],
        about: "Lists who is banned from a room.",
        takes: &[
            GROUP_ID,
            may("Limit", Kind::Integer),
            may("Offset", Kind::Integer),
        ],
        gives: &[
            may("BannedAccountList", Kind::List(BANNED)),
            may("NextOffset", Kind::Integer),
        ],
        dialect: GROUP,
        run: Run::Now(get_group_ban_member),
    },
    Command {
        service: SERVICE,
        name: "delete_group_member",
        also: &[],
        about: "Takes members out; answered 10004 for an AVChatRoom, as the vendor's is.",
        takes: &[
            GROUP_ID,
            need("MemberToDel_Account", Kind::Accounts(MAX_REMOVED)),
            may("Silence", Kind::Any),
            may("Reason", Kind::Text),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(delete_group_member),
    },
    Command {
        service: SERVICE,
        name: "add_group_member",
        also: &[],
        about: "Answered 10007: members enter with their clients.",
        takes: &[
            GROUP_ID,
            need(
                "MemberList",
                Kind::List(&[need("Member_Account", Kind::Account)]),
            ),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(add_group_member),
    },
    Command {
        service: SERVICE,
        name: "modify_group_member_info",
        also: &[],
        about: "Makes a user an admin of a room or a member again, or mutes them.",
        takes: &[
            GROUP_ID,
            need("Member_Account", Kind::Account),
            may("Role", Kind::Text),
            may("MuteTime", Kind::Integer),
            may("ShutUpTime", Kind::Integer),
            may("NameCard", Kind::Text),
            may("MsgFlag", Kind::Any),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(modify_group_member_info),
    },
    Command {
        service: LIVE_SERVICE,
        name: "modify_admin",
        also: &[],
        about: "Makes up to 5 users admins of a room (1) or members again (2).",
        takes: &[
            GROUP_ID,
            need("CommandType", Kind::Integer),
            need("Admin_Account", Kind::Accounts(MAX_ADMINS)),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(modify_admin),
    },
    Command {
        service: LIVE_SERVICE,
        name: "get_admin_list",
        also: &[],
        about: "Lists the admins of a room.",
        takes: &[GROUP_ID],
        gives: &[may(
            "Admin_List",
            Kind::List(&[
                need("Admin_Account", Kind::Text),
                need("Avatar", Kind::Text),
                need("NickName", Kind::Text),
            ]),
        )],
        dialect: GROUP,
        run: Run::Now(get_admin_list),
    },
];

fn forbid_send_msg(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let members = call.fields.accounts("Members_Account", MAX_MUTES)?;
    let seconds = call.fields.need_small(&["MuteTime", "ShutUpTime"])?;
    mute(call, &room, &members, seconds)?;
    done()
}

fn mute(call: &Call<'_>, room: &RoomKey, members: &[UserId], seconds: u32) -> Result<(), Problem> {
    let span = Span::from_seconds(seconds);
    for member in members {
        call.actions().mute(room, member, span, call.now)?;
    }
    Ok(())
}

/// Seconds, 4294967295 for good, as the times in requests.
pub(super) fn until(time: Unix) -> u64 {
    time.seconds().min(u32::MAX.into())
}

fn untils(list: &[(UserId, Unix)], name: &str) -> Value {
    let entry = |(user, time): &(UserId, Unix)| {
        let mut map = object! {"Member_Account": user.as_str()};
        map.insert(name.to_owned(), until(*time).into());
        Value::Object(map)
    };
    list.iter().map(entry).collect()
}

fn get_group_muted_account(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let muted = call.actions().mutes(&room, call.now)?;
    Ok(object! {
        "GroupId": room.room.as_str(),
        "MutedAccountList": untils(&muted, "MutedUntil"),
        "ShuttedUinList": untils(&muted, "ShuttedUntil"),
    })
}

fn ban_group_member(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let fields = &call.fields;
    let members = fields.accounts("Members_Account", MAX_BANS)?;
    let seconds = fields.need_small(&["Duration"])?;
    if seconds == 0 {
        return Err(bad("Duration", "must not be 0"));
    }
    let reason = fields.text_within("Description", MAX_DESCRIPTION)?;
    let (span, reason) = (Span::from_seconds(seconds), reason.unwrap_or_default());
    for member in &members {
        call.actions().ban(&room, member, span, reason, call.now)?;
    }
    done()
}

fn unban_group_member(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    for member in &call.fields.accounts("Members_Account", MAX_BANS)? {
        let span = Span::Ended;
        call.actions().ban(&room, member, span, "", call.now)?;
    }
    done()
}

fn get_group_ban_member(call: &Call<'_>) -> Answered {
    /// Most users of one page.
    const MAX_PAGE: u64 = 100;
    let room = call.room()?;
    let limit = call.fields.integer(&["Limit"])?.unwrap_or(MAX_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(bad("Limit", "is 1 to 100"));
    }
    let offset = call.fields.integer(&["Offset"])?.unwrap_or(0);
    let banned = call.actions().bans(&room, call.now)?;
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(banned.len());
    let (from, to) = (place(offset), place(offset.saturating_add(limit)));
    let next = if to < banned.len() { to } else { 0 };
    Ok(object! {
        "BannedAccountList": untils(&banned[from..to], "BannedUntil"),
        "NextOffset": next,
    })
}

fn delete_group_member(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let fields = &call.fields;
    let members = fields.accounts("MemberToDel_Account", MAX_REMOVED)?;
    let reason = fields.text_within("Reason", MAX_REASON)?;
    let report = call.actions().room_report(&room)?;
    let live_room = kind_of(report.summary.profile.as_deref()) == LIVE_ROOM;
    if live_room && !call.v4.config.remove_members {
        let message = "not available for an AVChatRoom: ban_group_member is";
        return Err(Problem::new(Code::BAD_PARAMETER, message));
    }
    for member in members {
        let kick = Kick {
            user: call.user(member),
            room: Some(room.room.clone()),
            reason: reason.unwrap_or_default().to_owned(),
        };
        call.actions().kick(&kick, call.now)?;
    }
    done()
}

fn add_group_member(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    call.actions().room_report(&room)?;
    let message = "members enter with their clients";
    Err(Problem::new(Code::NO_PERMISSION, message))
}

fn modify_group_member_info(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let fields = &call.fields;
    let member = fields.need_account(&["Member_Account"])?;
    let role = match fields.text("Role")? {
        None => None,
        Some("Admin") => Some(Role::Admin),
        Some("Member") => Some(Role::Viewer),
        Some(_) => return Err(bad("Role", "is Admin or Member")),
    };
    let seconds = fields.small(&["MuteTime", "ShutUpTime"])?;
    fields.text_within("NameCard", MAX_NAME_CARD)?;
    call.actions().room_report(&room)?;
    if let Some(role) = role {
        call.actions().set_role(&room, &member, role, call.now)?;
    }
    if let Some(seconds) = seconds {
        mute(call, &room, &[member], seconds)?;
    }
    done()
}

fn modify_admin(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let admins = call.fields.accounts("Admin_Account", MAX_ADMINS)?;
    let role = match call.fields.need_small(&["CommandType"])? {
        1 => Role::Admin,
        2 => Role::Viewer,
        _ => return Err(bad("CommandType", "is 1 or 2")),
    };
    for admin in &admins {
        call.actions().set_role(&room, admin, role, call.now)?;
    }
    done()
}

fn get_admin_list(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let (_, roles) = call.actions().roles(&room)?;
    let admins = roles.into_iter().filter(|(_, role)| *role == Role::Admin);
    let admins = admins.map(|(user, _)| {
        let kept = call.actions().directory().get(&call.user(user.clone()));
        Value::Object(object! {
            "Admin_Account": user.as_str(),
            "Avatar": kept.avatar_url,
            "NickName": kept.nick,
        })
    });
    let admins: Value = admins.collect();
    Ok(object! {"Admin_List": admins})
}
