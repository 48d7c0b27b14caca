//! What backends are asked before it happens, and how it reads. Pure.

use serde::Serialize;

use super::ask::{Ask, Question};
use super::body::{DirectBody, GroupBody};
use super::payload::bytes;
use super::tell::{Event, Said, Site, query};
use crate::id::{RoomId, UserId};

/// `Group.CallbackBeforeSendMsg`.
pub fn before_said(event: Event, site: &Site<'_>, said: &Said<'_>) -> Question {
    let ask = Ask::BeforeSendMsg;
    let body = GroupBody::new(ask.as_str(), site, event.time).saying(said, &event.id);
    question(event, ask, &body)
}

/// `C2C.CallbackBeforeSendMsg`.
pub fn before_said_to_user(event: Event, said: &Said<'_>, to: &UserId, seq: u32) -> Question {
    let ask = Ask::DirectBeforeSendMsg;
    let body = DirectBody::new(ask.as_str(), said, to, seq, &event);
    question(event, ask, &body)
}

/// A room that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The id that was chosen; `None`: the gateway assigns one.
    pub room: Option<&'a RoomId>,
    /// As the v4 API names its type; empty: nobody said.
    pub kind: &'a str,
    /// Who is to own it; empty: nobody.
    pub owner: &'a str,
    /// Who has it made.
    pub operator: &'a str,
    /// What it is to be called.
    pub name: &'a str,
}

/// `Group.CallbackBeforeCreateGroup`. The vendor names no group here; livegate
/// does when its id was chosen.
pub fn before_created(event: Event, plan: &Plan<'_>) -> Question {
    let ask = Ask::BeforeCreateGroup;
    let room = plan.room.map_or("", RoomId::as_str);
    let mut body = GroupBody::of(ask.as_str(), room, plan.kind, event.time);
    body.operator = Some(plan.operator);
    body.owner = Some(plan.owner);
    body.name = Some(plan.name);
    body.member_list = Some(Vec::new());
    question(event, ask, &body)
}

/// `Group.CallbackBeforeApplyJoinGroup`.
pub fn before_joined(event: Event, site: &Site<'_>, user: &UserId) -> Question {
    let ask = Ask::BeforeApplyJoinGroup;
    let mut body = GroupBody::new(ask.as_str(), site, event.time);
    body.requestor = Some(user.as_str());
    question(event, ask, &body)
}

#[derive(Serialize)]
struct Login<'a> {
    event: &'static str,
    event_id: &'a str,
    sdk_app_id: u32,
    user_id: &'a str,
    platform: &'a str,
    client_ip: String,
    time_ms: u64,
}

/// `login`, in livegate's own form.
pub fn before_login(event: Event, user: &UserId) -> Question {
    let body = bytes(&Login {
        event: Ask::Login.as_str(),
        event_id: &event.id,
        sdk_app_id: event.app.0,
        user_id: user.as_str(),
        platform: event.origin.platform(),
        client_ip: event.origin.address().to_string(),
        time_ms: event.time.0,
    });
    Question {
        ask: Ask::Login,
        query: String::new(),
        body,
        event_id: event.id,
    }
}

fn question(event: Event, ask: Ask, body: &impl Serialize) -> Question {
    Question {
        ask,
        query: query(ask.as_str(), event.origin),
        body: bytes(body),
        event_id: event.id,
    }
}
