//! A room's attributes: small state that late joiners get on entering.

use super::answer::{Answered, GROUP, Problem, done, object};
use super::body::{pairs, told_pairs};
use super::command::{Call, Command, Field, Kind, Run, may, need};
use super::fields::{Fields, bad};
use crate::rooms::AttributesChange;

const SERVICE: &str = "group_open_http_svc";
/// Where they are read.
const READ_SERVICE: &str = "group_open_attr_http_svc";

/// Most attributes of one call; a room has fewer, and says so itself.
const MAX: usize = 64;

const GROUP_ID: Field = need("GroupId", Kind::Text);
const ATTRIBUTES: Kind = Kind::List(&[need("key", Kind::Text), may("value", Kind::Text)]);

const fn command(
    name: &'static str,
    about: &'static str,
    takes: &'static [Field],
    run: fn(&Call<'_>) -> Answered,
) -> Command {
    Command {
        service: SERVICE,
        name,
        also: &[],
        about,
        takes,
        gives: &[],
        dialect: GROUP,
        run: Run::Now(run),
    }
}

const WITH_ATTRIBUTES: &[Field] = &[GROUP_ID, need("GroupAttr", ATTRIBUTES)];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        service: READ_SERVICE,
        name: "get_group_attr",
        also: &[
            (SERVICE, "get_group_attr"),
            // As one library spells it.
            (READ_SERVICE, "get_group_att"),
        ],
        about: "Reads a room's attributes.",
        takes: &[GROUP_ID],
        gives: &[may("GroupAttrAry", ATTRIBUTES)],
        dialect: GROUP,
        run: Run::Now(get_group_attr),
    },
    command(
        "set_group_attr",
        "Puts attributes in place of all there are.",
        WITH_ATTRIBUTES,
        set_group_attr,
    ),
    command(
        "modify_group_attr",
        "Puts attributes in place of those with the same keys.",
        WITH_ATTRIBUTES,
        modify_group_attr,
    ),
    command(
        "clear_group_attr",
        "Takes all attributes away.",
        &[GROUP_ID],
        clear_group_attr,
    ),
    command(
        "delete_group_attr",
        "Takes some attributes away.",
        WITH_ATTRIBUTES,
        delete_group_attr,
    ),
];

fn get_group_attr(call: &Call<'_>) -> Answered {
    let attributes = call.actions().attributes(&call.room()?)?.attributes;
    let pairs = attributes.iter().map(|it| (&it.key, &it.value));
    Ok(object! {"GroupAttrAry": told_pairs(pairs, ("key", "value"))})
}

fn read(fields: &Fields<'_>) -> Result<Vec<(String, bytes::Bytes)>, Problem> {
    let attributes = pairs(fields, "GroupAttr", MAX, ("key", "value"))?;
    if attributes.is_empty() {
        return Err(bad("GroupAttr", "is missing"));
    }
    Ok(attributes)
}

fn change(call: &Call<'_>, change: AttributesChange) -> Answered {
    call.actions()
        .set_attributes(&call.room()?, change, call.now)?;
    done()
}

fn set_group_attr(call: &Call<'_>) -> Answered {
    let set = read(&call.fields)?;
    let all = AttributesChange {
        set,
        replace: true,
        ..AttributesChange::default()
    };
    change(call, all)
}

fn modify_group_attr(call: &Call<'_>) -> Answered {
    let set = read(&call.fields)?;
    let some = AttributesChange {
        set,
        ..AttributesChange::default()
    };
    change(call, some)
}

fn clear_group_attr(call: &Call<'_>) -> Answered {
    let none = AttributesChange {
        replace: true,
        ..AttributesChange::default()
    };
    change(call, none)
}

fn delete_group_attr(call: &Call<'_>) -> Answered {
    let gone = read(&call.fields)?;
    let less = AttributesChange {
        delete: gone.into_iter().map(|(key, _)| key).collect(),
        ..AttributesChange::default()
    };
    change(call, less)
}
