//! What is said in rooms, to all rooms, and taken back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use livegate_proto::client::{Priority, Push, RoomMessage, push};
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::{Answered, GROUP, Problem, done, object};
use super::body::{content, digest, msg_body, said, sender};
use super::command::{Call, Command, Field, Kind, Later, Run, may, need};
use super::fields::{Fields, bad};
use crate::actions::command::PushToRoom;

const SERVICE: &str = "group_open_http_svc";

/// Most bytes of a system notification.
const MAX_NOTICE: usize = 12 << 10;
/// Most messages that one call takes back, and most bytes of its reason.
const MAX_RECALLS: usize = 10;
const MAX_REASON: usize = 100;
/// Most messages of one answer.
const MAX_MESSAGES: u64 = 20;
/// Where broadcasts are counted in the pace: no command has this number.
const BROADCASTS: usize = usize::MAX;

/// What may stand in ForbidCallbackControl.
const SILENCES: &[&str] = &[BEFORE, AFTER];
const BEFORE: &str = "ForbidBeforeSendMsgCallback";
const AFTER: &str = "ForbidAfterSendMsgCallback";

pub(super) const MSG_BODY: Kind = Kind::List(&[
    need("MsgType", Kind::Text),
    need("MsgContent", Kind::Object(&[])),
]);
const GROUP_ID: Field = need("GroupId", Kind::Text);

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "send_group_msg",
        also: &[],
        about: "Says something in a room.",
        takes: &[
            GROUP_ID,
            need("Random", Kind::Integer),
            need("MsgBody", MSG_BODY),
            may("MsgPriority", Kind::Text),
            may("From_Account", Kind::Account),
            may("CloudCustomData", Kind::Text),
            may("ForbidCallbackControl", Kind::Texts),
            may("OnlineOnlyFlag", Kind::Integer),
            may("MsgOnlineOnlyFlag", Kind::Integer),
            may("SendMsgControl", Kind::Any),
            may("OfflinePushInfo", Kind::Any),
            may("GroupAtInfo", Kind::Any),
        ],
        gives: &[
            may("MsgTime", Kind::Integer),
            may("MsgSeq", Kind::Integer),
            may("MsgDropReason", Kind::Text),
        ],
        dialect: GROUP,
        run: Run::Later(send_group_msg),
    },
    Command {
        service: SERVICE,
        name: "send_group_system_notification",
        also: &[],
        about: "Tells the apps in a room something that is not shown.",
        takes: &[GROUP_ID, need("Content", Kind::Text)],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(send_group_system_notification),
    },
    Command {
        service: SERVICE,
        name: "send_broadcast_msg",
        also: &[],
        about: "Says something in all rooms of the app.",
        takes: &[
            need("Random", Kind::Integer),
            need("MsgBody", MSG_BODY),
            may("From_Account", Kind::Account),
            may("CloudCustomData", Kind::Text),
        ],
        gives: &[may("MsgSeq", Kind::Integer)],
        dialect: GROUP,
        run: Run::Now(send_broadcast_msg),
    },
    Command {
        service: SERVICE,
        name: "group_msg_recall",
        also: &[],
        about: "Takes up to 10 messages back.",
        takes: &[
            GROUP_ID,
            need("MsgSeqList", Kind::List(&[need("MsgSeq", Kind::Integer)])),
            may("Reason", Kind::Text),
        ],
        gives: &[
            may("RecallRetList", Kind::List(RECALLED)),
            may("Results", Kind::List(RECALLED)),
        ],
        dialect: GROUP,
        run: Run::Now(group_msg_recall),
    },
    Command {
        service: SERVICE,
        name: "group_msg_get_simple",
        also: &[],
        about: "Reads the newest messages of a room, newest first.",
        takes: &[
            GROUP_ID,
            need("ReqMsgNumber", Kind::Integer),
            may("ReqMsgSeq", Kind::Integer),
            may("WithRecalledMsg", Kind::Integer),
        ],
        gives: &[
            may("GroupId", Kind::Text),
            may("IsFinished", Kind::Integer),
            may("RspMsgList", Kind::List(MESSAGE)),
        ],
        dialect: GROUP,
        run: Run::Now(group_msg_get_simple),
    },
    Command {
        service: SERVICE,
        name: "delete_group_msg_by_sender",
        also: &[],
        about: "Answered 10035, as the vendor's does for an AVChatRoom.",
        takes: &[GROUP_ID, need("Sender_Account", Kind::Account)],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(delete_group_msg_by_sender),
    },
];

const RECALLED: &[Field] = &[
    need("MsgSeq", Kind::Integer),
    need("RetCode", Kind::Integer),
];
const MESSAGE: &[Field] = &[
    need("From_Account", Kind::Text),
    need("IsPlaceMsg", Kind::Integer),
    need("MsgBody", MSG_BODY),
    need("MsgPriority", Kind::Integer),
    need("MsgRandom", Kind::Integer),
    need("MsgSeq", Kind::Integer),
    need("MsgTimeStamp", Kind::Integer),
    may("CloudCustomData", Kind::Text),
];

/// The message is a repeat when the same sender says the same under the same
/// Random within five minutes: some libraries draw Random once per process, so
/// Random alone would swallow what they say after their first message.
fn send_group_msg<'a>(call: &'a Call<'a>) -> Later<'a> {
    Box::pin(async move {
        let (push, asked) = group_msg(call)?;
        let pushed = if asked {
            let actions = call.actions();
            actions.push_to_room_asked(push, &call.v4.clock).await?
        } else {
            call.actions().push_to_room(push, call.now)?
        };
        let mut told = object! {"MsgTime": pushed.time.seconds(), "MsgSeq": pushed.seq};
        if !pushed.drop_reason.is_empty() {
            told.insert("MsgDropReason".to_owned(), pushed.drop_reason.into());
        }
        Ok(told)
    })
}

/// The message of a call, and whether the app's backend is asked about it.
fn group_msg(call: &Call<'_>) -> Result<(PushToRoom, bool), Problem> {
    let fields = &call.fields;
    let room = call.room()?;
    let random = fields.need_small(&["Random"])?;
    let priority = priority(fields.text("MsgPriority")?)?;
    check_controls(fields)?;
    let callbacks = callbacks(fields)?;
    let content = content(fields)?;
    let push = PushToRoom {
        room,
        from: Some(sender(call)?),
        operator: Some(call.admin.clone()),
        random: Some(random),
        priority,
        message_id: format!("{random}:{}", digest(&content)),
        content,
        bound: true,
        quiet: !callbacks.after,
    };
    Ok((push, callbacks.before))
}

fn priority(name: Option<&str>) -> Result<Priority, Problem> {
    match name {
        None | Some("Normal") => Ok(Priority::Normal),
        Some("High") => Ok(Priority::High),
        Some("Low") => Ok(Priority::Low),
        Some("Lowest") => Ok(Priority::Lowest),
        Some(_) => Err(bad("MsgPriority", "is High, Normal, Low or Lowest")),
    }
}

/// Fields that change nothing in a live room, whose form is held to all the
/// same: nothing is kept of any message, and nobody is told offline.
fn check_controls(fields: &Fields<'_>) -> Result<(), Problem> {
    fields.integer(&["OnlineOnlyFlag", "MsgOnlineOnlyFlag"])?;
    if fields.pick(&["To_Account"]).is_some() {
        return Err(bad("To_Account", "cannot be given for a live room"));
    }
    Ok(())
}

/// Which callbacks a message may raise.
#[derive(Clone, Copy)]
pub(super) struct Callbacks {
    pub(super) before: bool,
    pub(super) after: bool,
}

/// What ForbidCallbackControl leaves.
pub(super) fn callbacks(fields: &Fields<'_>) -> Result<Callbacks, Problem> {
    let silences = fields.texts("ForbidCallbackControl", 8)?;
    if silences.iter().any(|name| !SILENCES.contains(name)) {
        return Err(bad("ForbidCallbackControl", "names no callback"));
    }
    Ok(Callbacks {
        before: !silences.contains(&BEFORE),
        after: !silences.contains(&AFTER),
    })
}

fn send_group_system_notification(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let content = call.fields.need_text("Content")?;
    if content.len() > MAX_NOTICE {
        return Err(Code::TOO_LONG.into());
    }
    let targets = call.fields.list("ToMembers_Account")?.unwrap_or_default();
    if !targets.is_empty() {
        let problem = "cannot be given for a live room";
        return Err(bad("ToMembers_Account", problem));
    }
    let content = content.to_owned();
    call.actions().notify(&room, content, call.now)?;
    done()
}

/// Answered at once; the rooms are told one after another behind the answer.
fn send_broadcast_msg(call: &Call<'_>) -> Answered {
    let v4 = call.v4;
    call.fields.need_small(&["Random"])?;
    let content = content(&call.fields)?;
    let from = sender(call)?;
    let rate = v4.config.broadcasts_per_second;
    if !v4.pace.take(call.app, BROADCASTS, rate, call.now.instant) {
        return Err(Code::MESSAGE_RATE.into());
    }
    let (actions, clock, app) = (Arc::clone(&v4.actions), v4.clock.clone(), call.app);
    v4.tasks.spawn(async move {
        // The app is known: its admin called.
        let _ = actions.broadcast(app, Some(from), content, &clock).await;
    });
    let seq = v4.counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    Ok(object! {"MsgSeq": seq})
}

fn group_msg_recall(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let list = call.fields.objects("MsgSeqList", MAX_RECALLS)?;
    if list.is_empty() {
        return Err(bad("MsgSeqList", "is missing"));
    }
    let seq = |fields: &Fields<'_>| {
        let missing = || bad("MsgSeq", "is missing");
        fields.integer(&["MsgSeq"])?.ok_or_else(missing)
    };
    let seqs = list.iter().map(seq).collect::<Result<Vec<u64>, _>>()?;
    let reason = call.fields.text_within("Reason", MAX_REASON)?;
    let reason = reason.unwrap_or_default();
    let results = call.actions().recall(&room, &seqs, reason, call.now)?;
    let result =
        |(seq, code): &(u64, Code)| Value::Object(object! {"MsgSeq": *seq, "RetCode": code.0});
    let told: Value = results.iter().map(result).collect();
    Ok(object! {"RecallRetList": told.clone(), "Results": told})
}

fn group_msg_get_simple(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    let fields = &call.fields;
    let missing = || bad("ReqMsgNumber", "is missing");
    let number = fields.integer(&["ReqMsgNumber"])?.ok_or_else(missing)?;
    let before = fields.integer(&["ReqMsgSeq"])?.unwrap_or(0);
    let with_recalled = fields.integer(&["WithRecalledMsg"])? == Some(1);
    let limit = usize::try_from(number.min(MAX_MESSAGES)).unwrap_or(usize::MAX);
    let (messages, all) = call.actions().newest_messages(&room, before, limit)?;
    let whole = all || number <= MAX_MESSAGES;
    let told = messages
        .iter()
        .filter_map(|(push, recalled)| match &push.body {
            Some(push::Body::RoomMessage(message)) => Some(Value::Object(told(
                push,
                message,
                (*recalled, with_recalled),
            ))),
            _ => None,
        });
    let list: Value = told.collect();
    Ok(object! {
        "GroupId": room.room.as_str(),
        "IsFinished": u8::from(whole),
        "RspMsgList": list,
    })
}

/// One message of group_msg_get_simple. What was taken back has its place and,
/// unless it is asked for, no body.
fn told(
    push: &Push,
    message: &RoomMessage,
    (recalled, with_recalled): (bool, bool),
) -> Map<String, Value> {
    let said = said(message);
    let (place, body) = match (recalled, with_recalled) {
        (false, _) => (0, msg_body(&said)),
        (true, true) => (2, msg_body(&said)),
        (true, false) => (1, Value::Array(Vec::new())),
    };
    let priority = match message.priority() {
        Priority::High => 1,
        Priority::Normal | Priority::Unspecified => 2,
        Priority::Low => 3,
        Priority::Lowest => 4,
    };
    let from = message.from.as_ref().map_or("", |from| &from.user_id);
    let custom = if place == 1 {
        ""
    } else {
        &said.cloud_custom_data
    };
    object! {
        "From_Account": from,
        "IsPlaceMsg": place,
        "MsgBody": body,
        "MsgPriority": priority,
        "MsgRandom": 0,
        "MsgSeq": push.seq,
        "MsgTimeStamp": push.time_ms / 1_000,
        "CloudCustomData": custom,
    }
}

fn delete_group_msg_by_sender(call: &Call<'_>) -> Answered {
    let room = call.room()?;
    call.fields.need_account(&["Sender_Account"])?;
    call.actions().room_report(&room)?;
    Err(Code::NOT_DELETABLE.into())
}
