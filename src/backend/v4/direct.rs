//! Messages to users, and who of them is online.

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use livegate_proto::client::Platform;
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::{Answered, DIRECT, Problem, object};
use super::body::{content, sender};
use super::command::{Call, Command, Field, Kind, Later, Run, may, need};
use super::fields::{Fields, bad};
use super::messages::{Callbacks, MSG_BODY, callbacks};
use crate::actions::command::{Numbers, PushToUser, Sender};
use crate::actions::content::Content;
use crate::id::UserId;

const SERVICE: &str = "openim";
/// Where one library asks for who is online.
const LOGIN_SERVICE: &str = "im_open_login_svc";

/// Most accounts that one call speaks to, or asks about.
const MAX_TARGETS: usize = 500;
/// Most of them that one call tells at once. Those that the backend is asked
/// about wait besides for their turn among the app's batches.
const MAX_UNDER_WAY: usize = 64;
/// How long a message may be kept, seconds. It is not kept at all.
const MAX_LIFETIME: u64 = 7 * 24 * 3_600;

const OPTIONS: [Field; 9] = [
    may("SyncOtherMachine", Kind::Integer),
    may("From_Account", Kind::Account),
    may("MsgLifeTime", Kind::Integer),
    may("MsgSeq", Kind::Integer),
    may("MsgTimeStamp", Kind::Integer),
    may("CloudCustomData", Kind::Text),
    may("ForbidCallbackControl", Kind::Any),
    may("OfflinePushInfo", Kind::Any),
    may("SendMsgControl", Kind::Any),
];

/// The fields of a message to users, `to` among them.
const fn takes(to: Field) -> [Field; 12] {
    let [a, b, c, d, e, f, g, h, i] = OPTIONS;
    let random = need("MsgRandom", Kind::Integer);
    let body = need("MsgBody", MSG_BODY);
    [to, random, body, a, b, c, d, e, f, g, h, i]
}

const FAILED: &[Field] = &[
    need("To_Account", Kind::Text),
    need("ErrorCode", Kind::Integer),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "sendmsg",
        also: &[],
        about: "Says something to a user, on every session that they have.",
        takes: &takes(need("To_Account", Kind::Account)),
        gives: &[
            may("MsgTime", Kind::Integer),
            may("MsgKey", Kind::Text),
            may("MsgId", Kind::Text),
        ],
        dialect: DIRECT,
        run: Run::Later(sendmsg),
    },
    Command {
        service: SERVICE,
        name: "batchsendmsg",
        also: &[],
        about: "Says something to up to 500 users.",
        takes: &takes(need("To_Account", Kind::Accounts(MAX_TARGETS))),
        gives: &[
            may("MsgKey", Kind::Text),
            may("MsgId", Kind::Text),
            may("ErrorList", Kind::List(FAILED)),
        ],
        dialect: DIRECT,
        run: Run::Later(batchsendmsg),
    },
    Command {
        service: SERVICE,
        name: "query_online_status",
        also: &[
            (SERVICE, "querystate"),
            (LOGIN_SERVICE, "query_online_status"),
            (LOGIN_SERVICE, "querystate"),
        ],
        about: "Tells which of up to 500 users are online.",
        takes: &[
            need("To_Account", Kind::Accounts(MAX_TARGETS)),
            may("IsNeedDetail", Kind::Integer),
        ],
        gives: &[
            may(
                "QueryResult",
                Kind::List(&[
                    need("To_Account", Kind::Text),
                    need("Status", Kind::Text),
                    need("State", Kind::Text),
                    may(
                        "Detail",
                        Kind::List(&[need("Platform", Kind::Text), need("Status", Kind::Text)]),
                    ),
                ]),
            ),
            may("ErrorList", Kind::List(FAILED)),
        ],
        dialect: DIRECT,
        run: Run::Now(query_online_status),
    },
];

/// A message to users, read.
struct Message {
    from: Sender,
    content: Content,
    callbacks: Callbacks,
    numbers: Numbers,
    /// `{MsgSeq}_{MsgRandom}_{MsgTime}`.
    key: String,
}

fn sendmsg<'a>(call: &'a Call<'a>) -> Later<'a> {
    Box::pin(async move {
        let to = match call.fields.account(&["To_Account"]) {
            Ok(Some(to)) => to,
            Ok(None) => return Err(Code::DIRECT_NO_TARGET.into()),
            Err(problem) => return Err(no_such_target(problem)),
        };
        let message = read(call)?;
        let mut told = keys(&message, call);
        told.insert("MsgTime".to_owned(), call.now.unix.seconds().into());
        tell(call, to, &message).await?;
        Ok(told)
    })
}

fn batchsendmsg<'a>(call: &'a Call<'a>) -> Later<'a> {
    Box::pin(async move {
        if call.fields.pick(&["To_Account"]).is_none() {
            return Err(Code::DIRECT_NO_TARGET.into());
        }
        let targets = call.fields.accounts("To_Account", MAX_TARGETS);
        let targets = targets.map_err(no_such_target)?;
        let message = read(call)?;
        let mut told = keys(&message, call);
        let failed = tell_all(call, targets, &message).await;
        if !failed.is_empty() {
            told.insert("ErrorList".to_owned(), Value::Array(failed));
        }
        Ok(told)
    })
}

/// Tells each, a few at a time. Those who were not told, with the code.
async fn tell_all(call: &Call<'_>, targets: Vec<UserId>, message: &Message) -> Vec<Value> {
    let mut waiting = targets.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        while under_way.len() < MAX_UNDER_WAY
            && let Some(to) = waiting.next()
        {
            under_way.push(async move {
                let _turn = match message.callbacks.before {
                    true => call.actions().turn_in_batch(call.app).await,
                    false => None,
                };
                let told = tell(call, to.clone(), message).await;
                (to, told)
            });
        }
        match under_way.next().await {
            None => return failed,
            Some((_, Ok(()))) => {}
            Some((to, Err(problem))) => {
                let code = DIRECT.tell(problem.code).0;
                let entry = object! {"To_Account": to.as_str(), "ErrorCode": code};
                failed.push(Value::Object(entry));
            }
        }
    }
}

/// An id that nobody can have.
fn no_such_target(problem: Problem) -> Problem {
    match problem.code {
        Code::BAD_PARAMETER => Code::DIRECT_NO_USER.into(),
        _ => problem,
    }
}

/// Any account may be spoken to: what the directory does not know may log in.
/// Nothing waits for who is not online.
async fn tell(call: &Call<'_>, to: UserId, message: &Message) -> Result<(), Problem> {
    let push = PushToUser {
        to: call.user(to),
        from: Some(message.from.clone()),
        numbers: Some(message.numbers),
        content: message.content.clone(),
        quiet: !message.callbacks.after,
    };
    if message.callbacks.before {
        call.actions().push_to_user_asked(push, call.now).await?;
    } else {
        call.actions().push_to_user(push, call.now)?;
    }
    Ok(())
}

fn read(call: &Call<'_>) -> Result<Message, Problem> {
    let fields = &call.fields;
    let told_as = |code: Code| move |_: Problem| Problem::from(code);
    let random = fields
        .need_small(&["MsgRandom"])
        .map_err(told_as(Code::DIRECT_BAD_RANDOM))?;
    let from = sender(call).map_err(|problem| match problem.code {
        Code::BAD_USER_ID => Code::DIRECT_BAD_SENDER.into(),
        _ => problem,
    })?;
    let now = call.now.unix;
    let key = call.user(from.user.clone());
    if call.actions().directory().is_muted_directly(&key, now) {
        return Err(Code::DIRECT_MUTED.into());
    }
    check_options(fields)?;
    if !matches!(fields.pick(&["MsgBody"]), Some(Value::Array(_))) {
        return Err(Code::DIRECT_BODY_NOT_ARRAY.into());
    }
    let content = content(fields).map_err(|problem| match problem.code {
        Code::BAD_PARAMETER => Problem::new(Code::DIRECT_BAD_MSG_BODY, problem.info),
        _ => problem,
    })?;
    let counted = || call.v4.counter.fetch_add(1, Ordering::Relaxed);
    let seq = fields.small(&["MsgSeq"])?.unwrap_or_else(counted);
    Ok(Message {
        from,
        content,
        callbacks: callbacks(fields)?,
        numbers: Numbers { seq, random },
        key: format!("{seq}_{random}_{}", now.seconds()),
    })
}

/// Fields whose form is held to, each with its own code.
fn check_options(fields: &Fields<'_>) -> Result<(), Problem> {
    let number = |name: &str, code: Code| {
        let read = fields.integer(&[name]);
        read.map_err(|_| Problem::from(code))
    };
    number("SyncOtherMachine", Code::DIRECT_BAD_SYNC)?;
    number("MsgTimeStamp", Code::DIRECT_BAD_TIME)?;
    let lifetime = number("MsgLifeTime", Code::DIRECT_BAD_LIFETIME)?;
    if lifetime.is_some_and(|seconds| seconds > MAX_LIFETIME) {
        return Err(Code::DIRECT_KEPT_TOO_LONG.into());
    }
    Ok(())
}

fn keys(message: &Message, call: &Call<'_>) -> Map<String, Value> {
    let id = format!("{}-{}", call.app, message.key);
    object! {"MsgKey": message.key.as_str(), "MsgId": id}
}

fn query_online_status(call: &Call<'_>) -> Answered {
    let asked = call.fields.accounts("To_Account", MAX_TARGETS)?;
    let detailed = match call.fields.integer(&["IsNeedDetail"])? {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(bad("IsNeedDetail", "is 0 or 1")),
    };
    let told = asked.into_iter().map(|user| {
        let key = call.user(user);
        let platforms = call.actions().online().platforms(&key);
        let status = if platforms.is_empty() {
            "Offline"
        } else {
            "Online"
        };
        let mut entry = object! {
            "To_Account": key.user.as_str(),
            "Status": status,
            "State": status,
        };
        if detailed && !platforms.is_empty() {
            let platform = |number: &i32| {
                let name = platform_name(Platform::try_from(*number).unwrap_or_default());
                Value::Object(object! {"Platform": name, "Status": "Online"})
            };
            let detail: Value = platforms.iter().map(platform).collect();
            entry.insert("Detail".to_owned(), detail);
        }
        Value::Object(entry)
    });
    let told: Value = told.collect();
    Ok(object! {"QueryResult": told})
}

/// As the API names it; what it has no name for is a PC.
fn platform_name(platform: Platform) -> &'static str {
    match platform {
        Platform::Android => "Android",
        Platform::Ios => "iPhone",
        Platform::Ipad => "iPad",
        Platform::Mac => "Mac",
        Platform::Web | Platform::MiniProgram => "Web",
        Platform::Windows | Platform::Linux | Platform::Unspecified => "PC",
    }
}
