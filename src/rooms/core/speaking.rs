//! What is said in a room: messages of members and of the backend, likes.

use std::sync::Arc;

use livegate_proto::client::room_message::Content;
use livegate_proto::client::{self as wire, Priority, Role, push};
use livegate_proto::code::Code;

use super::{Core, Out};
use crate::clock::{Moment, Unix};
use crate::dispatch::Class;
use crate::id::SessionId;
use crate::rooms::dedupe::Place;
use crate::rooms::limit::Urgency;
use crate::rooms::live::Phase;
use crate::rooms::log::Refused;
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
    /// In the room's order; 0 when it was discarded.
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
    /// In the room's order.
    pub seq: u64,
    /// Sessions in the room, to which it is offered.
    pub offered: u32,
    /// Sessions that are lost and may yet come back: a host within its grace.
    pub away: u32,
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
        self.must_be_open()?;
        let member = self.member(publish.session)?;
        let role = self.role_of(member);
        let person = member.person.clone();
        let class = self.class_of(&publish, role)?;
        let found = self
            .dedupe
            .find(&person.user, &publish.message_id, now.instant);
        if let Some(place) = found {
            self.metrics.rooms().deduplicated();
            return Ok(self.published(place, class, ""));
        }
        if !self
            .bucket
            .take(urgency(class, publish.priority), now.instant)
        {
            let rooms = self.metrics.rooms();
            rooms.dropped(class, DropCause::RoomRate, 1);
            return Ok(self.discarded(class, ROOM_RATE, now));
        }
        let gifts = gifts(&publish.content);
        let message = wire::RoomMessage {
            from: Some(person.wire()),
            role: role.into(),
            client_message_id: publish.message_id.to_string(),
            priority: priority(class, publish.priority).into(),
            content: Some(publish.content),
        };
        let seq = match self.stamp(class, push::Body::RoomMessage(message), now, out) {
            Ok(seq) => seq,
            Err(_) if class == Class::Normal => return Ok(self.discarded(class, ROOM_FULL, now)),
            Err(refused) => return Err(refusal(refused)),
        };
        self.metrics.rooms().taken(class);
        self.count(gifts);
        let time = now.unix;
        let place = Place { seq, time };
        self.dedupe
            .remember(&person.user, &publish.message_id, place, now.instant);
        self.settle(now, out);
        Ok(self.published(place, class, ""))
    }

    /// Stamps what the backend says. The room's rate does not bind it.
    pub(crate) fn push(
        &mut self,
        push: BackendPush,
        now: Moment,
        out: &mut Out,
    ) -> Result<Pushed, Refusal> {
        self.must_be_open()?;
        let class = match push.priority {
            Priority::Unspecified | Priority::High => Class::High,
            Priority::Normal | Priority::Low | Priority::Lowest => Class::Normal,
        };
        let gifts = gifts(&push.content);
        let message = wire::RoomMessage {
            from: Some(push.from),
            role: Role::Admin.into(),
            client_message_id: String::new(),
            priority: priority(class, push.priority).into(),
            content: Some(push.content),
        };
        let body = push::Body::RoomMessage(message);
        let seq = self.stamp(class, body, now, out).map_err(refusal)?;
        self.metrics.rooms().taken(class);
        self.count(gifts);
        self.settle(now, out);
        Ok(Pushed {
            epoch: self.log.epoch(),
            seq,
            offered: u32::try_from(self.members.sessions()).unwrap_or(u32::MAX),
            away: u32::from(self.live.phase() == Phase::Away),
        })
    }

    /// Counts likes of a member.
    pub(crate) fn like(
        &mut self,
        session: SessionId,
        count: u32,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.member(session)?;
        self.metrics.rooms().taken(Class::Low);
        self.likes.add(count.into());
        self.live.like(count.into());
        self.settle(now, out);
        Ok(())
    }

    /// Gifts are high; what members say is high when they ask for it and their
    /// role allows it.
    fn class_of(&self, publish: &Publish, role: Role) -> Result<Class, Refusal> {
        let privileged = match role {
            Role::Host | Role::Publisher | Role::Admin => true,
            Role::Viewer | Role::Unspecified => false,
        };
        match publish.content {
            Content::Gift(_) if privileged || self.config.client_gifts => Ok(Class::High),
            Content::Gift(_) => Err(Refusal::with(
                Code::NO_PERMISSION,
                "gifts are sent by the backend",
            )),
            Content::Text(_) | Content::Custom(_) if privileged => match publish.priority {
                Priority::High => Ok(Class::High),
                Priority::Unspecified | Priority::Normal | Priority::Low | Priority::Lowest => {
                    Ok(Class::Normal)
                }
            },
            Content::Text(_) | Content::Custom(_) => Ok(Class::Normal),
        }
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
        Content::Text(_) | Content::Custom(_) => 0,
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

fn refusal(_: Refused) -> Refusal {
    Refusal::from(Code::OVERLOADED)
}
