//! How a room comes to last, and how it is destroyed.

use std::sync::Arc;

use bytes::Bytes;
use livegate_proto::client::{self as wire, Role, push};
use livegate_proto::code::Code;

use super::governing::{ProfileChange, changed};
use super::reporting::Cause;
use super::{Core, Done, Out, Record, Recording, Standing};
use crate::clock::Moment;
use crate::dispatch::SessionEvent;
use crate::event::{EndReason, Origin};
use crate::id::UserId;
use crate::rooms::charter::Charter;
use crate::rooms::live::{Asker, EndArgs, Phase};
use crate::rooms::mic::Mic;
use crate::rooms::refusal::Refusal;

/// A CreateRoom, checked.
#[derive(Debug, Clone)]
pub struct CreateArgs {
    /// Whose request.
    pub asker: Asker,
    /// From where it came in.
    pub origin: Origin,
    /// Who makes the room, as the backend is told.
    pub operator: Arc<str>,
    /// Who will own the room; `None`: nobody, only the backend governs it.
    pub owner: Option<UserId>,
    /// Opaque.
    pub info: Bytes,
    /// What it shows from the beginning.
    pub profile: ProfileChange,
    /// As the v4 API names its type; empty: not said.
    pub kind: String,
}

/// Who destroys a room.
#[derive(Debug, Clone)]
pub enum DestroyedBy {
    /// A user, whose request is answered when it is done, and from where it
    /// came in.
    User(UserId, Asker, Origin),
    /// The business backend, which is answered when it is done.
    Backend(Asker),
}

impl Core {
    /// Makes the room the caller's, to last: a new one, or one that nobody
    /// owns. When this returns `Ok` the answer comes with the record.
    pub(crate) fn create(
        &mut self,
        args: CreateArgs,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        if self.charter.durable && self.charter.owner == args.owner {
            return Err(Refusal::new(Code::ROOM_ALREADY_OWNED));
        }
        let host = self.live.host().map(|(host, _)| host);
        let other_hosts = host.is_some_and(|host| args.owner.as_ref() != Some(host));
        if self.charter.durable || other_hosts {
            return Err(Refusal::new(Code::ROOM_ID_IN_USE));
        }
        self.must_not_be_recording()?;
        let mut profile = changed(self.charter.profile.clone(), args.profile)?;
        profile.r#type = args.kind;
        let charter = Charter {
            owner: args.owner,
            info: args.info,
            profile,
            durable: true,
            ..self.charter.clone()
        };
        out.records.push(Record::Room(Box::new(charter.clone())));
        self.recording = Recording::Creating {
            asker: args.asker,
            cause: Cause {
                operator: Some(args.operator),
                ..Cause::from(args.origin)
            },
            before: Box::new(std::mem::replace(&mut self.charter, charter)),
        };
        self.settle(now, out);
        Ok(())
    }

    /// Ends the live, if there is one, then the room. When this returns `Ok`
    /// the answer comes when the room is gone.
    pub(crate) fn destroy(
        &mut self,
        by: DestroyedBy,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.must_not_be_recording()?;
        let destroyer = match by {
            DestroyedBy::User(user, asker, origin) => {
                let member = self.members.get(&user);
                let is_admin = member.is_some_and(|member| member.person.role == Role::Admin);
                if !self.charter.is_owned_by(&user) && !is_admin {
                    return Err(Refusal::new(Code::NO_PERMISSION));
                }
                (asker, origin)
            }
            DestroyedBy::Backend(asker) => (asker, Origin::Api),
        };
        self.destroyer = Some(destroyer);
        self.standing = Standing::Closing;
        self.settle(now, out);
        Ok(())
    }

    /// What became of the record of the room itself.
    pub(crate) fn recorded(&mut self, done: bool, now: Moment, out: &mut Out) {
        match std::mem::replace(&mut self.recording, Recording::Nothing) {
            Recording::Nothing => {}
            Recording::Creating { asker, .. } if done => {
                let created = Done::Created(self.key.room.clone());
                out.answers.push((asker, Ok(created)));
            }
            Recording::Creating { asker, before, .. } => {
                // What else was changed meanwhile stays.
                self.charter.owner = before.owner;
                self.charter.info = before.info;
                self.charter.durable = before.durable;
                self.empty_since = now.instant;
                let refusal = Refusal::from(Code::STORE_UNAVAILABLE);
                out.answers.push((asker, Err(refusal)));
            }
            Recording::Removing if done => self.vanish(now, out),
            Recording::Removing => {
                self.standing = Standing::Open;
                self.answer_destroyer(Err(Refusal::from(Code::STORE_UNAVAILABLE)), out);
            }
        }
        self.settle(now, out);
    }

    /// Takes the next step of a destruction: the live first, then the record,
    /// then the members.
    pub(super) fn go_on_closing(&mut self, now: Moment, out: &mut Out) {
        match self.live.phase() {
            Phase::Starting | Phase::Live | Phase::Away => {
                let args = EndArgs {
                    reason: EndReason::RoomDestroyed,
                    live: None,
                    asker: None,
                };
                let effects = self.live.end(args, now);
                self.apply(effects, now, out);
            }
            Phase::Ending => {}
            Phase::Idle | Phase::Ended => match self.recording {
                Recording::Nothing if self.charter.durable => {
                    self.recording = Recording::Removing;
                    out.records.push(Record::Gone);
                }
                Recording::Nothing => self.vanish(now, out),
                Recording::Creating { .. } | Recording::Removing => {}
            },
        }
    }

    /// The room is no more: everybody in it is told.
    fn vanish(&mut self, now: Moment, out: &mut Out) {
        self.tell_combos(true, now, out);
        self.report_vanished(now, out);
        self.standing = Standing::Gone;
        let destroyed = wire::RoomDestroyed {
            reason: EndReason::RoomDestroyed.as_str().to_owned(),
        };
        let frame = self.aside(push::Body::RoomDestroyed(destroyed), now);
        self.mic = Mic::new(self.config.mic, now.instant);
        let members = std::mem::take(&mut self.members);
        for session in members.iter().flat_map(|member| &member.sessions) {
            self.following.unseat(session.shard(), &mut self.log);
            let removed = SessionEvent::Removed(self.uid, frame.clone());
            out.events.push((*session, removed));
        }
        self.answer_destroyer(Ok(Done::Destroyed), out);
    }

    fn answer_destroyer(&mut self, result: Result<Done, Refusal>, out: &mut Out) {
        if let Some((asker, _)) = self.destroyer.take() {
            out.answers.push((asker, result));
        }
    }

    fn must_not_be_recording(&self) -> Result<(), Refusal> {
        match self.recording {
            Recording::Nothing => Ok(()),
            Recording::Creating { .. } | Recording::Removing => {
                Err(Refusal::from(Code::OVERLOADED))
            }
        }
    }
}
