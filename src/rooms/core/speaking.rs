//! What is said in a room: messages of members and of the backend.

use std::sync::Arc;

use livegate_proto::client::room_message::Content;
use livegate_proto::client::{self as wire, Priority, Role, push};
use livegate_proto::code::Code;

use super::reporting::Cause;
use super::{Core, Out};
use crate::clock::{Moment, Unix};
use crate::dispatch::Class;
use crate::event::Origin;
use crate::id::{SessionId, UserId};
use crate::rooms::dedupe::Place;
use crate::rooms::limit::Urgency;
use crate::rooms::live::Phase;
use crate::rooms::members::Member;
use crate::rooms::refusal::Refusal;
use crate::telemetry::DropCause;

/// Discarded because too much is said in the room.
const ROOM_RATE: &str = "room_rate";
/// Discarded because the room's subscribers are behind.
const ROOM_FULL: &str = "room_full";

/// A member's message, checked.
#[derive(Clone)]
pub struct Publish {
    /// The member's session.
    pub session: SessionId,
    /// What is said.
    pub content: Content,
    /// How urgent the client says it is.
    pub priority: Priority,
    /// Makes a retry the same message; empty: not deduplicated.
    pub message_id: Arc<str>,
}

impl std::fmt::Debug for Publish {
    /// Writes no content: bodies are never logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publish")
            .field("session", &self.session)
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// The place that a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The incarnation of the room's sequence.
    pub epoch: u64,
    /// In the room's order; 0 when it was discarded, or is a gift that its
    /// combo tells.
    pub seq: u64,
    /// When it was stamped or discarded.
    pub time: Unix,
    /// Why it was accepted and yet discarded; empty: it was not.
    pub drop_reason: &'static str,
    /// What may happen to it under pressure.
    pub class: Class,
}

impl Published {
    /// The body of the reply.
    pub fn wire(&self) -> wire::SendReply {
        wire::SendReply {
            seq: self.seq,
            epoch: self.epoch,
            time_ms: self.time.millis_i64(),
            drop_reason: self.drop_reason.to_owned(),
        }
    }
}

/// What the backend says to a room, checked.
#[derive(Clone)]
pub struct BackendPush {
    /// Shown as the sender.
    pub from: wire::User,
    /// What is said.
    pub content: Content,
    /// Unspecified is high; low and lowest are normal.
    pub priority: Priority,
    /// What binds a message of a user binds it too: the room's rate, mutes.
    pub bound: bool,
    /// Its own backend is not told of it.
    pub quiet: bool,
    /// Who had it said, as the backend is told.
    pub operator: Arc<str>,
    /// The vendor's number of it, as the backend is told.
    pub random: Option<u32>,
    /// Makes a repeat within five minutes the same message; empty: none.
    pub message_id: Arc<str>,
}

impl std::fmt::Debug for BackendPush {
    /// Writes no content: bodies are never logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendPush")
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// The place that the backend's message got, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The incarnation of the room's sequence.
    pub epoch: u64,
    /// In the room's order; 0 when it was discarded, or is a gift that its
    /// combo tells.
    pub seq: u64,
    /// When it was stamped or discarded.
    pub time: Unix,
    /// Why it was accepted and yet discarded; empty: it was not.
    pub drop_reason: &'static str,
    /// Sessions in the room, to which it is offered.
    pub offered: u32,
    /// Sessions that are lost and may yet come back: a host within its grace.
    pub away: u32,
}

impl Pushed {
    /// The backend itself had it let go, and nobody is to know.
    pub fn swallowed(time: Unix) -> Self {
        Self {
            epoch: 0,
            seq: 0,
            time,
            drop_reason: "",
            offered: 0,
            away: 0,
        }
    }
}

impl Core {
    /// Stamps a member's message, or finds the one that it repeats, or
    /// discards it for the room's rate.
    pub(crate) fn publish(
        &mut self,
        publish: Publish,
        now: Moment,
        out: &mut Out,
    ) -> Result<Published, Refusal> {
        let (member, role) = self.speaker(publish.session, &publish.content, now)?;
        let person = member.person.clone();
        let class = class_of(&publish, role);
        let id = publish.message_id;
        if let Some(place) = self.dedupe.find(&person.user, &id, now.instant) {
            self.metrics.rooms().deduplicated();
            return Ok(self.published(place, class, ""));
        }
        let message = wire::RoomMessage {
            from: Some(person.wire()),
            role: role.into(),
            client_message_id: id.to_string(),
            priority: priority(class, publish.priority).into(),
            content: Some(publish.content),
        };
        let urgency = Some(urgency(class, publish.priority));
        let cause = Some(Cause::from(self.origin_of(publish.session)));
        let seq = match self.say(message, class, (urgency, cause), now, out) {
            Ok(seq) => seq,
            Err(Unsaid::Rate) => return Ok(self.discarded(class, ROOM_RATE, now)),
            Err(Unsaid::Log) if class == Class::Normal => {
                return Ok(self.discarded(class, ROOM_FULL, now));
            }
            Err(Unsaid::Log) => return Err(Code::OVERLOADED.into()),
        };
        let time = now.unix;
        let place = Place { seq, time };
        self.dedupe.remember(&person.user, &id, place, now.instant);
        self.settle(now, out);
        Ok(self.published(place, class, ""))
    }

    /// Gives a message its place in the room's order; 0 for a gift that is
    /// gathered into its combo. `urgency`: how it is bound by the room's rate;
    /// `None`: it is not. Without `cause` the backend is not told of it.
    fn say(
        &mut self,
        mut message: wire::RoomMessage,
        class: Class,
        (urgency, cause): (Option<Urgency>, Option<Cause>),
        now: Moment,
        out: &mut Out,
    ) -> Result<u64, Unsaid> {
        let gifts = message.content.as_ref().map_or(0, gifts);
        if self.gather(&message, now) {
            self.count(gifts);
            return Ok(0);
        }
        let may = urgency.is_none_or(|urgency| self.bucket.take(urgency, now.instant));
        if !may {
            self.metrics.rooms().dropped(class, DropCause::RoomRate, 1);
            return Err(Unsaid::Rate);
        }
        self.combos.mark(&mut message);
        let body = push::Body::RoomMessage(message.clone());
        let seq = self.stamp(class, body, now, out).map_err(|_| Unsaid::Log)?;
        if let Some(cause) = cause {
            self.report_said(&message, &cause, seq, now, out);
        }
        self.combos.open(&message, now.instant);
        self.metrics.rooms().taken(class);
        self.count(gifts);
        Ok(seq)
    }

    /// Stamps what the backend says, or finds what it repeats. The room's rate
    /// binds it only if it is to be treated as a user's message.
    pub(crate) fn push(
        &mut self,
        push: BackendPush,
        now: Moment,
        out: &mut Out,
    ) -> Result<Pushed, Refusal> {
        let user = UserId::new(&push.from.user_id).ok();
        let bound = user.as_ref().filter(|_| push.bound);
        self.must_take_push(bound, now)?;
        let class = match push.priority {
            Priority::Unspecified | Priority::High => Class::High,
            Priority::Normal | Priority::Low | Priority::Lowest => Class::Normal,
        };
        let role = self.backend_role(user.as_ref());
        if let Some(user) = user.as_ref() {
            let repeated = self.pushes.find(user, &push.message_id, now.instant);
            if let Some(place) = repeated {
                self.metrics.rooms().deduplicated();
                return Ok(self.pushed(place, ""));
            }
        }
        let bound = push.bound.then(|| urgency(class, push.priority));
        let message = wire::RoomMessage {
            from: Some(push.from),
            role: role.into(),
            client_message_id: String::new(),
            priority: priority(class, push.priority).into(),
            content: Some(push.content),
        };
        let time = now.unix;
        let cause = (!push.quiet).then_some(Cause {
            origin: Origin::Api,
            operator: Some(push.operator),
            random: push.random,
        });
        let seq = match self.say(message, class, (bound, cause), now, out) {
            Ok(seq) => seq,
            Err(Unsaid::Rate) => return Ok(self.pushed(Place { seq: 0, time }, ROOM_RATE)),
            Err(Unsaid::Log) => return Err(Code::OVERLOADED.into()),
        };
        let place = Place { seq, time };
        if let Some(user) = user.as_ref() {
            self.pushes
                .remember(user, &push.message_id, place, now.instant);
        }
        self.settle(now, out);
        Ok(self.pushed(place, ""))
    }

    fn pushed(&self, place: Place, drop_reason: &'static str) -> Pushed {
        Pushed {
            epoch: self.log.epoch(),
            seq: place.seq,
            time: place.time,
            drop_reason,
            offered: u32::try_from(self.members.sessions()).unwrap_or(u32::MAX),
            away: u32::from(self.live.phase() == Phase::Away),
        }
    }

    /// Refuses what [`publish`](Self::publish) would refuse of a session.
    pub(crate) fn must_take(
        &self,
        session: SessionId,
        content: &Content,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.speaker(session, content, now).map(drop)
    }

    /// Who is to say this, if they may.
    fn speaker(
        &self,
        session: SessionId,
        content: &Content,
        now: Moment,
    ) -> Result<(&Member, Role), Refusal> {
        self.must_be_open()?;
        let member = self.member(session)?;
        let role = self.role_of(member);
        self.must_not_be_muted(&member.person.user, role, now)?;
        let is_gift = matches!(content, Content::Gift(_));
        if is_gift && !is_privileged(role) && !self.config.client_gifts {
            let message = "gifts are sent by the backend";
            return Err(Refusal::with(Code::NO_PERMISSION, message));
        }
        Ok((member, role))
    }

    /// Refuses what [`push`](Self::push) would refuse of this sender; `None`:
    /// one who is not bound as a user is.
    pub(crate) fn must_take_push(
        &self,
        sender: Option<&UserId>,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        match sender {
            Some(user) => self.must_not_be_muted(user, self.backend_role(sender), now),
            None => Ok(()),
        }
    }

    /// As whom the backend speaks: a member with their role, else its admin.
    fn backend_role(&self, user: Option<&UserId>) -> Role {
        let member = user.and_then(|user| self.members.get(user));
        member.map_or(Role::Admin, |member| self.role_of(member))
    }

    /// Refuses who was muted, and while all are muted who has no role.
    fn must_not_be_muted(&self, user: &UserId, role: Role, now: Moment) -> Result<(), Refusal> {
        let may_while_all_are_muted = is_privileged(role) || self.charter.is_owned_by(user);
        let all = self.charter.profile.mute_all && !may_while_all_are_muted;
        if all || self.charter.muted_until(user, now.unix).is_some() {
            return Err(Refusal::new(Code::MUTED));
        }
        Ok(())
    }

    fn count(&mut self, gifts: u32) {
        self.live.message();
        if gifts > 0 {
            self.live.gift(gifts.into());
        }
    }

    fn published(&self, place: Place, class: Class, drop_reason: &'static str) -> Published {
        Published {
            epoch: self.log.epoch(),
            seq: place.seq,
            time: place.time,
            drop_reason,
            class,
        }
    }

    fn discarded(&self, class: Class, drop_reason: &'static str, now: Moment) -> Published {
        let time = now.unix;
        self.published(Place { seq: 0, time }, class, drop_reason)
    }
}

fn gifts(content: &Content) -> u32 {
    match content {
        Content::Gift(gift) => gift.count.max(1),
        Content::Text(_) | Content::Custom(_) | Content::Elements(_) => 0,
    }
}

fn is_privileged(role: Role) -> bool {
    match role {
        Role::Host | Role::Publisher | Role::Admin => true,
        Role::Viewer | Role::Unspecified => false,
    }
}

/// Gifts are high; what members say is high when they ask for it and their
/// role allows it.
fn class_of(publish: &Publish, role: Role) -> Class {
    match publish.content {
        Content::Gift(_) => Class::High,
        Content::Text(_) | Content::Custom(_) | Content::Elements(_) if is_privileged(role) => {
            match publish.priority {
                Priority::High => Class::High,
                Priority::Unspecified | Priority::Normal | Priority::Low | Priority::Lowest => {
                    Class::Normal
                }
            }
        }
        Content::Text(_) | Content::Custom(_) | Content::Elements(_) => Class::Normal,
    }
}

fn urgency(class: Class, priority: Priority) -> Urgency {
    match (class, priority) {
        (Class::High | Class::Essential, _) => Urgency::High,
        (_, Priority::Low) => Urgency::Low,
        (_, Priority::Lowest) => Urgency::Lowest,
        (_, Priority::Unspecified | Priority::Normal | Priority::High) => Urgency::Normal,
    }
}

/// As it is told to the room: what the class came to.
fn priority(class: Class, asked: Priority) -> Priority {
    match (class, asked) {
        (Class::High | Class::Essential, _) => Priority::High,
        (_, Priority::Low | Priority::Lowest) => asked,
        (_, Priority::Unspecified | Priority::Normal | Priority::High) => Priority::Normal,
    }
}

/// Why something has no place in the room's order.
enum Unsaid {
    /// Too much is said in the room.
    Rate,
    /// The log has no place.
    Log,
}
