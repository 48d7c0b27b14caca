//! Accounts: a directory that accepts whoever is named, profiles, mutes that
//! hold everywhere, logins that end.

use livegate_proto::client::Profile;
use livegate_proto::code::Code;
use serde_json::{Map, Value};

use super::answer::{Answered, GROUP, LOGIN, PROFILE, Problem, done, object};
use super::command::{Call, Command, Field, Kind, Run, may, need};
use super::fields::{Fields, bad};
use super::people::until;
use crate::actions::content::check_profile;
use crate::actions::governing::Span;
use crate::clock::Unix;
use crate::engine::record::UserRecord;
use crate::id::UserId;

const SERVICE: &str = "im_open_login_svc";
const PROFILES: &str = "profile";
const CONFIGURATION: &str = "openconfigsvr";

/// Most accounts that one call names.
const MAX_ACCOUNTS: usize = 100;
/// Most items of a profile in one call.
const MAX_ITEMS: usize = 64;

/// The parts of a profile that are kept, as the API names them.
const NICK: &str = "Tag_Profile_IM_Nick";
const IMAGE: &str = "Tag_Profile_IM_Image";

/// An account in both spellings.
const ACCOUNT: &[&str] = &["UserID", "Identifier"];
const NAMED: [Field; 2] = [
    may("UserID", Kind::Account),
    may("Identifier", Kind::Account),
];
const ITEM: &[Field] = &[need("Tag", Kind::Text), may("Value", Kind::Any)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: SERVICE,
        name: "account_import",
        also: &[],
        about: "Makes an account known, with its name and picture.",
        takes: &[
            may("UserID", Kind::Account),
            may("Identifier", Kind::Account),
            may("Nick", Kind::Text),
            may("FaceUrl", Kind::Text),
        ],
        gives: &[],
        dialect: LOGIN,
        run: Run::Now(account_import),
    },
    Command {
        service: SERVICE,
        name: "multiaccount_import",
        also: &[],
        about: "Makes up to 100 accounts known.",
        takes: &[need("Accounts", Kind::Accounts(MAX_ACCOUNTS))],
        gives: &[may("FailAccounts", Kind::Texts)],
        dialect: LOGIN,
        run: Run::Now(multiaccount_import),
    },
    Command {
        service: SERVICE,
        name: "account_check",
        also: &[],
        about: "Tells which of up to 100 accounts are known.",
        takes: &[need("CheckItem", Kind::List(&NAMED))],
        gives: &[may("ResultItem", Kind::List(RESULT))],
        dialect: LOGIN,
        run: Run::Now(account_check),
    },
    Command {
        service: SERVICE,
        name: "account_delete",
        also: &[],
        about: "Forgets up to 100 accounts; their signatures end.",
        takes: &[need("DeleteItem", Kind::List(&NAMED))],
        gives: &[may("ResultItem", Kind::List(RESULT))],
        dialect: LOGIN,
        run: Run::Now(account_delete),
    },
    Command {
        service: SERVICE,
        name: "kick",
        also: &[],
        about: "Ends a user's sessions and every signature issued until now.",
        takes: &NAMED,
        gives: &[],
        dialect: LOGIN,
        run: Run::Now(kick),
    },
    Command {
        service: PROFILES,
        name: "portrait_set",
        also: &[],
        about: "Fixes the name and the picture that a user shows.",
        takes: &[
            need("From_Account", Kind::Account),
            need("ProfileItem", Kind::List(ITEM)),
        ],
        gives: &[],
        dialect: PROFILE,
        run: Run::Now(portrait_set),
    },
    Command {
        service: PROFILES,
        name: "portrait_get",
        also: &[],
        about: "Reads names and pictures of up to 100 users.",
        takes: &[
            need("To_Account", Kind::Accounts(MAX_ACCOUNTS)),
            may("TagList", Kind::Texts),
        ],
        gives: &[may(
            "UserProfileItem",
            Kind::List(&[
                need("To_Account", Kind::Text),
                need("ProfileItem", Kind::List(ITEM)),
                need("ResultCode", Kind::Integer),
                need("ResultInfo", Kind::Text),
            ]),
        )],
        dialect: PROFILE,
        run: Run::Now(portrait_get),
    },
    Command {
        service: CONFIGURATION,
        name: "setnospeaking",
        also: &[],
        about: "Mutes a user everywhere.",
        takes: &[
            need("Set_Account", Kind::Account),
            may("C2CmsgNospeakingTime", Kind::Integer),
            may("GroupmsgNospeakingTime", Kind::Integer),
        ],
        gives: &[],
        dialect: GROUP,
        run: Run::Now(setnospeaking),
    },
    Command {
        service: CONFIGURATION,
        name: "getnospeaking",
        also: &[],
        about: "Tells for how long a user is muted everywhere.",
        takes: &[need("Get_Account", Kind::Account)],
        gives: &[
            may("C2CmsgNospeakingTime", Kind::Integer),
            may("GroupmsgNospeakingTime", Kind::Integer),
        ],
        dialect: GROUP,
        run: Run::Now(getnospeaking),
    },
];

const RESULT: &[Field] = &[
    need("UserID", Kind::Text),
    need("ResultCode", Kind::Integer),
    need("ResultInfo", Kind::Text),
    may("AccountStatus", Kind::Text),
];

/// Changes what is kept of a user. The name and picture that result are held
/// to the limits of a profile.
fn change(
    call: &Call<'_>,
    user: UserId,
    change: impl FnOnce(&mut UserRecord),
) -> Result<(), Problem> {
    let key = call.user(user);
    let mut kept = call.actions().directory().get(&key);
    change(&mut kept);
    check_profile(&Profile {
        nick: kept.nick.clone(),
        avatar_url: kept.avatar_url.clone(),
        ..Profile::default()
    })?;
    let (nick, avatar_url, imported) = (kept.nick, kept.avatar_url, kept.imported);
    let changed = call.actions().change_account(&key, |record| {
        record.nick = nick;
        record.avatar_url = avatar_url;
        record.imported = imported;
    });
    Ok(changed?)
}

fn account_import(call: &Call<'_>) -> Answered {
    let user = call.fields.need_account(ACCOUNT)?;
    let (nick, face) = (call.fields.text("Nick")?, call.fields.text("FaceUrl")?);
    change(call, user, |kept| {
        kept.imported = true;
        put(&mut kept.nick, nick);
        put(&mut kept.avatar_url, face);
    })?;
    done()
}

fn put(place: &mut String, new: Option<&str>) {
    if let Some(new) = new {
        new.clone_into(place);
    }
}

fn multiaccount_import(call: &Call<'_>) -> Answered {
    let accounts = call.fields.accounts("Accounts", MAX_ACCOUNTS)?;
    for account in accounts {
        change(call, account, |kept| kept.imported = true)?;
    }
    Ok(object! {"FailAccounts": Vec::<Value>::new()})
}

/// The accounts of a list of `{UserID}`.
fn named(call: &Call<'_>, name: &str) -> Result<Vec<UserId>, Problem> {
    let list = call.fields.objects(name, MAX_ACCOUNTS)?;
    if list.is_empty() {
        return Err(bad(name, "is missing"));
    }
    let account = |fields: &Fields<'_>| fields.need_account(ACCOUNT);
    list.iter().map(account).collect()
}

fn result(user: &UserId) -> Map<String, Value> {
    object! {"UserID": user.as_str(), "ResultCode": 0, "ResultInfo": ""}
}

/// Known is who was imported, and who is online: an account comes to be with
/// its first login.
fn account_check(call: &Call<'_>) -> Answered {
    let accounts = named(call, "CheckItem")?;
    let told = accounts.into_iter().map(|user| {
        let mut entry = result(&user);
        let key = call.user(user);
        let actions = call.actions();
        let online = !actions.online().find(&key).is_empty();
        let known = online || actions.directory().get(&key).imported;
        let status = if known { "Imported" } else { "NotImported" };
        entry.insert("AccountStatus".to_owned(), status.into());
        Value::Object(entry)
    });
    let told: Value = told.collect();
    Ok(object! {"ResultItem": told})
}

fn account_delete(call: &Call<'_>) -> Answered {
    let accounts = named(call, "DeleteItem")?;
    for account in &accounts {
        change(call, account.clone(), |kept| {
            kept.imported = false;
            kept.nick.clear();
            kept.avatar_url.clear();
        })?;
        call.actions()
            .revoke(&call.user(account.clone()), call.now)?;
    }
    let told: Value = accounts
        .iter()
        .map(|it| Value::Object(result(it)))
        .collect();
    Ok(object! {"ResultItem": told})
}

fn kick(call: &Call<'_>) -> Answered {
    let user = call.fields.need_account(ACCOUNT)?;
    call.actions().revoke(&call.user(user), call.now)?;
    done()
}

/// Of a profile the name and the picture are kept. Other tags of the vendor
/// are taken and left aside.
fn portrait_set(call: &Call<'_>) -> Answered {
    let user = call.fields.need_account(&["From_Account"])?;
    let items = call.fields.objects("ProfileItem", MAX_ITEMS)?;
    if items.is_empty() {
        return Err(bad("ProfileItem", "is missing"));
    }
    let (mut nick, mut image) = (None, None);
    for item in &items {
        let place = match item.need_text("Tag")? {
            NICK => &mut nick,
            IMAGE => &mut image,
            tag if tag.starts_with("Tag_Profile_") => continue,
            _ => return Err(bad("Tag", "is none of a profile")),
        };
        // An empty text takes the name away.
        *place = Some(item.text("Value")?.unwrap_or_default());
    }
    change(call, user, |kept| {
        put(&mut kept.nick, nick);
        put(&mut kept.avatar_url, image);
    })?;
    done()
}

fn portrait_get(call: &Call<'_>) -> Answered {
    let users = call.fields.accounts("To_Account", MAX_ACCOUNTS)?;
    let tags = call.fields.texts("TagList", MAX_ITEMS)?;
    let told = users.into_iter().map(|user| {
        let key = call.user(user);
        let kept = call.actions().directory().get(&key);
        let items = [(NICK, kept.nick), (IMAGE, kept.avatar_url)];
        let items = items.into_iter().filter(|(tag, value)| {
            let asked = tags.is_empty() || tags.contains(tag);
            asked && !value.is_empty()
        });
        let items: Value = items
            .map(|(tag, value)| Value::Object(object! {"Tag": tag, "Value": value}))
            .collect();
        Value::Object(object! {
            "To_Account": key.user.as_str(),
            "ProfileItem": items,
            "ResultCode": Code::OK.0,
            "ResultInfo": "",
        })
    });
    let told: Value = told.collect();
    Ok(object! {"UserProfileItem": told})
}

fn setnospeaking(call: &Call<'_>) -> Answered {
    let fields = &call.fields;
    let user = fields.need_account(&["Set_Account"])?;
    let span = |name| Ok::<_, Problem>(fields.small(&[name])?.map(Span::from_seconds));
    let rooms = span("GroupmsgNospeakingTime")?;
    let direct = span("C2CmsgNospeakingTime")?;
    if rooms.is_none() && direct.is_none() {
        return Err(bad("GroupmsgNospeakingTime", "is missing"));
    }
    let user = call.user(user);
    call.actions()
        .mute_everywhere(&user, rooms, direct, call.now)?;
    done()
}

fn getnospeaking(call: &Call<'_>) -> Answered {
    let user = call.fields.need_account(&["Get_Account"])?;
    let mutes = call.actions().mutes_everywhere(&call.user(user));
    let left = |end: Unix| match end {
        Unix(u64::MAX) => u32::MAX.into(),
        end => until(end).saturating_sub(call.now.unix.seconds()),
    };
    Ok(object! {
        "C2CmsgNospeakingTime": left(mutes.direct),
        "GroupmsgNospeakingTime": left(mutes.rooms),
    })
}
